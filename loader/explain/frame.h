/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the frame look like that is asked about? Made whole, right to its checksums. */
#ifndef SALLYPORT_LOADER_EXPLAIN_FRAME_H
#define SALLYPORT_LOADER_EXPLAIN_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "sallyport/abi.h"
#include "sallyport/limits.h"

/* TCP's flags as the header has them (RFC 9293, 3.1). */
#define FRAME_FIN 0x01
#define FRAME_SYN 0x02
#define FRAME_RST 0x04
#define FRAME_PSH 0x08
#define FRAME_ACK 0x10
#define FRAME_URG 0x20

/* Everything in host byte order; addresses as in `addresses`: IPv4 as ::ffff:a.b.c.d. */
struct frame_text {
	uint8_t src_mac[SP_MAC_LEN], dst_mac[SP_MAC_LEN];
	uint8_t src[16], dst[16]; /* of one family */
	uint8_t proto;		  /* IPPROTO_ICMPV6 in IPv6 where ICMP is meant */
	uint16_t sport, dport;	  /* TCP, UDP */
	uint8_t flags;		  /* TCP */
	uint32_t seq, ack;	  /* TCP */
	uint8_t type, code;	  /* ICMP; of an echo request the identifier is SPORT */
};

#define FRAME_MAX 128

/*
 * The frame, padded to SP_EXPLAIN_MIN: its length. Protocols that are not TCP, UDP or ICMP have
 * eight bytes of nothing behind the IP header.
 */
size_t frame_write(const struct frame_text *t, uint8_t ret[FRAME_MAX]);

#endif
