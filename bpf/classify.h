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
	struct sp_bind_key key;

	key.ifindex = f->ifindex;
	key.vid = f->vid;
	__builtin_memcpy(key.mac, f->src, SP_MAC_LEN);
	return bpf_map_lookup_elem(&bindings, &key);
}

/* I2: only the segment's own addresses can be found. */
static __always_inline const struct sp_dst *find_destination(const struct frame *f, __u32 segment)
{
	struct sp_fdb_key key;

	key.segment = segment;
	__builtin_memcpy(key.mac, f->dst, SP_MAC_LEN);
	key.pad = 0;
	return bpf_map_lookup_elem(&fdb, &key);
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
