/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose is this frame, and where does it go? The look-ups, one for the source, one for the
 * destination. */
#ifndef SALLYPORT_BPF_CLASSIFY_H
#define SALLYPORT_BPF_CLASSIFY_H

#include "maps.h"
#include "parse.h"

/* I1: the one question that lets a frame in. */
static __always_inline const struct sp_bind *find_binding(const struct frame *f)
{
	union {
		struct sp_bind_key key;
		__u32 word[3];
	} u;

	u.word[0] = f->ifindex;
	u.word[1] = join(f->vid, f->macs[1] >> 16);
	u.word[2] = f->macs[2];
	return bpf_map_lookup_elem(&bindings, &u.key);
}

/* I2: only the segment's own addresses can be found. */
static __always_inline const struct sp_dst *find_destination(const struct frame *f, __u32 segment)
{
	union {
		struct sp_fdb_key key;
		__u32 word[3];
	} u;

	u.word[0] = segment;
	u.word[1] = f->macs[0];
	u.word[2] = join(f->macs[1], 0);
	return bpf_map_lookup_elem(&fdb, &u.key);
}

/* Headers that a segment of a GSO frame has at the least: Ethernet, IPv4, TCP. */
#define GSO_HEADERS (ETH_HLEN + 20 + 20)

/* The longest frame that it will be on a wire: a GSO frame is cut up later. */
static __always_inline __u32 wire_len(const struct frame *f)
{
	return f->gso_size ? f->gso_size + GSO_HEADERS : f->len;
}

static __always_inline enum sp_reason
judge_unicast(const struct frame *f, const struct sp_bind *bind, const struct sp_dst *d)
{
	if (!d)
		return SP_R_DST_UNKNOWN;
	if (d->port == bind->port)
		return SP_R_DST_SAME_PORT;
	if (d->flags & SP_F_CLOSED)
		return SP_R_PORT_DOWN;
	if (wire_len(f) > d->max_len)
		return SP_R_TOO_LONG;
	return SP_R_NONE;
}

#endif
