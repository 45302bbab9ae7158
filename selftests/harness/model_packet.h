/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a packet tells the reference. */
#ifndef SALLYPORT_SELFTESTS_MODEL_PACKET_H
#define SALLYPORT_SELFTESTS_MODEL_PACKET_H

#include "model.h"

/* Addresses are IPv6; those of IPv4 as ::ffff:a.b.c.d. */
#define MODEL_MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff"

struct told {
	const uint8_t *b; /* the frame */
	size_t n;
	bool bad; /* cannot be read to its end */
	int version;
	uint8_t src[16], dst[16];
	unsigned int hops, proto;
	bool fragment, later, more;
	const uint8_t *upper;
	size_t upper_len;
	unsigned int sport, dport, type, code;
};

/* What is in F, whose N bytes B are (model_bytes): long enough for a header of its ethertype. */
struct told model_read(const struct model_frame *f, const uint8_t *b, size_t n);

/* Can F be read down to its last header? Who cannot be judged is sent to no machine. */
bool model_readable(const struct model_frame *f);

/* Is it neighbor discovery? */
bool model_is_nd(const struct told *t);

/* Two bytes in network order. */
unsigned int model_get16(const uint8_t *p);

#endif
