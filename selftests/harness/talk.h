/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What two hosts say to each other, packet by packet, most of it nearly right: handshakes, data
 * that comes again or too early, resets and closes of every kind, numbers that wrap, errors that
 * quote, fragments. The same for the same seed of draw.h.
 */
#ifndef SALLYPORT_SELFTESTS_TALK_H
#define SALLYPORT_SELFTESTS_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALK_MAX 32	   /* packets */
#define TALK_BYTES 4096	   /* of one of them */
#define TALK_NO_SCALE 15   /* no such option */
#define TALK_SACK_BLOCKS 3 /* beside timestamps there is no room for more */

/* How a packet was made, for who judges a difference. */
#define TALK_ALTERED 0x1   /* a field is not what it should be */
#define TALK_QUOTE_OFF 0x2 /* its quotation's sequence number is one that nobody sent */
#define TALK_SUM_WRONG 0x4 /* the upper layer's checksum is there, and is wrong */
#define TALK_TO_SELF 0x8   /* both addresses are the sender's */

struct talk_packet {
	uint8_t from; /* the end that sends it: 0, 1 */
	uint8_t proto;
	uint8_t flags, scale; /* TCP */
	uint8_t type, code;   /* ICMP */
	uint8_t n_sack, how;  /* TALK_* */
	bool sack_permitted, timestamps;
	bool more;		   /* fragments follow */
	int8_t quotes;		   /* the packet that an ICMP error is about; -1: none */
	uint16_t win, data;	   /* data: bytes behind the upper layer's header */
	uint16_t port[2];	   /* of end 0, of end 1; ICMP: [0] is its identifier */
	uint16_t slice, slice_len; /* a fragment: which part of the upper layer; 0, 0: all of it */
	uint32_t id;		   /* of the datagram */
	uint32_t seq, ack;
	uint32_t sack[TALK_SACK_BLOCKS][2];
};

struct talk {
	bool six;
	uint8_t caller; /* the end that speaks first, mostly */
	unsigned int n;
	struct talk_packet packet[TALK_MAX];
};

/* The addresses of the two ends. */
extern const char *const talk_address[2][2]; /* [six][end] */

/* Draw one; its ports are made of NUMBER, so that no two of a run meet. */
void talk_draw(struct talk *t, uint32_t number);

/* Packet I of T from its IP header on: its length, at most TALK_BYTES. Only IPv4's header is
 * summed. */
size_t talk_bytes(const struct talk *t, unsigned int i, uint8_t buf[TALK_BYTES]);

/* One line about packet I, for who has to find out what went wrong; the buffer is used anew. */
const char *talk_line(const struct talk *t, unsigned int i);

#endif
