/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames as a table can write them: ARP, IPv4, IPv6 and what is in them, right to the checksum
 * unless the shape says what is wrong with it. Written without a look at how the programs read.
 */
#ifndef SALLYPORT_SELFTESTS_SHAPE_H
#define SALLYPORT_SELFTESTS_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#define SHAPE_MAX 2048

enum shape_kind {
	SHAPE_ARP,  /* a: operation */
	SHAPE_UDP,  /* a, b: ports */
	SHAPE_TCP,  /* a, b: ports */
	SHAPE_ICMP, /* a: type, b: code; ICMPv6 where the addresses are IPv6 */
	SHAPE_RS,
	SHAPE_RA,
	SHAPE_NS,
	SHAPE_NA,
	SHAPE_REDIRECT, /* of ICMPv6 */
	SHAPE_OTHER,	/* a: the protocol; 8 bytes of it */
};

/* What is not as usual. */
#define SHAPE_FIRST 0x1		/* the first fragment of several */
#define SHAPE_LATER 0x2		/* a later one, at offset 1480 */
#define SHAPE_ATOMIC 0x4	/* IPv6: a fragment header, and no other fragment */
#define SHAPE_HOP 0x8		/* IPv6: a hop-by-hop header with router alert */
#define SHAPE_DST_OPTIONS 0x10	/* IPv6: destination options */
#define SHAPE_LONG_CHAIN 0x20	/* IPv6: nine extension headers */
#define SHAPE_AUTH 0x40		/* IPv6: an authentication header */
#define SHAPE_NO_LENGTH 0x80	/* the IP header's length is 0 */
#define SHAPE_LENGTH_PLUS 0x100 /* the IP header's length is one more than there is */
#define SHAPE_OPTIONS 0x200	/* IPv4: with options; ARP: hardware of another kind */
#define SHAPE_VERSION 0x400	/* the version in the IP header is 5; ARP: protocol 0x86dd */
#define SHAPE_ZERO_OPTION                                                                          \
	0x800			 /* ND: an option of length 0; ARP: hardware addresses of 8 bytes  \
				  */
#define SHAPE_NONCE 0x1000	 /* ND: with a nonce (RFC 7527), before the link-layer address */
#define SHAPE_LLA_LONG 0x2000	 /* ND: the link-layer address's option is of 16 bytes */
#define SHAPE_OPTION_PAST 0x4000 /* ND: the last option ends behind the message */
#define SHAPE_IHL 0x8000	 /* IPv4: a header length of 4; TCP: a data offset of 4 */
#define SHAPE_TINY 0x10000	 /* IPv4: a fragment at offset 1 */
#define SHAPE_MANY_OPTIONS 0x20000 /* ND: seventeen nonces */
#define SHAPE_PARTIAL 0x40000	   /* the checksum is left to the device */
#define SHAPE_FRAGMENT_TWICE 0x80000
#define SHAPE_UDP_LONG 0x100000 /* UDP: its length is 1000 more than there is */

struct shape {
	enum shape_kind kind;
	const char *src, *dst; /* IP; ARP: sender and target */
	const char *target;    /* NS, NA, Redirect */
	const uint8_t *lla;    /* ND: an option of the kind that the message has; ARP: sender's */
	const uint8_t *tha;    /* ARP: target's; NULL: zero */
	uint16_t a, b;
	uint16_t data;	  /* bytes behind the upper layer's header */
	uint8_t hops;	  /* 0: 255 for ND, 1 for MLD, else 64 */
	uint8_t nd_flags; /* NA */
	uint8_t lla_type; /* 0: as the message has it */
	uint32_t how;	  /* SHAPE_* */
};

/*
 * The frame from its Ethernet header on: its length, at most SHAPE_MAX; no padding. An address that
 * cannot be read ends the test.
 */
size_t shape_bytes(const struct shape *s, const uint8_t dst[6], const uint8_t src[6],
		   uint8_t buf[SHAPE_MAX]);

/* "10.0.0.1" or "fd00::1" as the keys of `addresses` have it. */
void shape_address(const char *text, uint8_t ret[16]);

/* The checksum of the internet over N bytes, and what was summed before. */
uint16_t shape_checksum(const uint8_t *p, size_t n, uint32_t sum);

/* Is every checksum in the frame right? IPv4, UDP, TCP, ICMP, ICMPv6; extension headers are not
 * followed. */
int shape_checksums_right(const uint8_t *frame, size_t len);

#endif
