/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a fragment pass that has no header to judge it by? Only where the first one of its datagram
 * has passed, by the same way and a moment ago: it opens nothing by itself, and reaches no byte
 * that the first one was judged by.
 */
#ifndef SALLYPORT_BPF_FRAGMENT_H
#define SALLYPORT_BPF_FRAGMENT_H

#include "flow.h"

#define FRAGMENT_TICKS ((SP_FRAGMENT_S * 1000000000ULL) >> SP_TICK_SHIFT)

/* The one place that a datagram's record can have. */
static __always_inline struct sp_fragment *fragment_place(const struct packet *p,
							  const struct passage *w)
{
	__u64 h = mix(mix(sp_mark, p->src.d[0] ^ p->src.d[1]), p->dst.d[0] ^ p->dst.d[1]);
	__u32 slot = w->slot, i;
	void *table = bpf_map_lookup_elem(&fragments, &slot);

	i = mix(h, (__u64)p->fragment_id << 8 | p->proto) % SP_FRAGMENTS;
	return table ? bpf_map_lookup_elem(table, &i) : NULL;
}

static __always_inline bool fragment_is(const struct sp_fragment *r, const struct packet *p,
					const struct passage *w)
{
	union addr src, dst;

	__builtin_memcpy(src.b, r->src, sizeof(src.b));
	__builtin_memcpy(dst.b, r->dst, sizeof(dst.b));
	return r->id == p->fragment_id && r->proto == p->proto && r->from_port == w->port[FROM] &&
	       r->to_port == w->port[TO] && addr_equal(&src, &p->src) && addr_equal(&dst, &p->dst);
}

static __always_inline __u32 ticks_now(void)
{
	return bpf_ktime_get_coarse_ns() >> SP_TICK_SHIFT;
}

/* How much of its datagram the first fragment alone may have: all that it is judged by. */
static __always_inline __u16 judged_part(const struct packet *p)
{
	__u32 header = p->proto == PROTO_TCP ? p->tcp_len : upper_min(p);

	return p->l4 - p->begin + (header ?: 8);
}

/* P, the first of several, passes. */
__noinline int remember_fragment(const struct packet *p, const struct passage *w)
{
	struct sp_fragment n = {}, *r;
	__u32 word;

	if (!p || !w)
		return GO_ON;
	__builtin_memcpy(n.src, p->src.b, sizeof(n.src));
	__builtin_memcpy(n.dst, p->dst.b, sizeof(n.dst));
	n.word = SP_FLOW_LOCK;
	n.id = p->fragment_id;
	n.proto = p->proto;
	n.from_port = w->port[FROM];
	n.to_port = w->port[TO];
	n.header = judged_part(p);
	n.expires = (ticks_now() + FRAGMENT_TICKS) ?: 1;
	r = fragment_place(p, w);
	if (!r || !lock_word(&r->word, &word))
		return GO_ON;
	*r = n;
	unlock_word(&r->word, 0);
	return GO_ON;
}

__noinline int judge_fragment(const struct packet *p, const struct passage *w)
{
	struct sp_fragment *r;
	__u32 word;
	bool ok;

	if (!p || !w)
		return -SP_R_FRAGMENT;
	r = fragment_place(p, w);
	if (!r || !lock_word(&r->word, &word))
		return -SP_R_FRAGMENT;
	ok = r->expires && !ticks_reached(ticks_now(), r->expires) && fragment_is(r, p, w) &&
	     p->offset >= r->header;
	unlock_word(&r->word, 0);
	return ok ? GO_ON : -SP_R_FRAGMENT;
}

#endif
