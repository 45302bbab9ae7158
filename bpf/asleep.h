/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of frames for a machine that does not run? Questions for its address are answered in
 * its name, so that who asks goes on to send; what is sent then wakes it, and waits for it.
 */
#ifndef SALLYPORT_BPF_ASLEEP_H
#define SALLYPORT_BPF_ASLEEP_H

#include "arp.h"
#include "forward.h"
#include "machine.h"
#include "nd.h"

/*
 * What these functions answer: a verdict (TC_ACT_SHOT: it is parked; TC_ACT_REDIRECT), a negative
 * enum sp_reason, or that the frame is to go on as any other (GO_ON).
 */

/* --- answers --- */

/* Who, of the machines that are asked for, may be answered for. */
static __always_inline const struct sp_address *
find_asked(const struct sp_bind *bind, __u32 sleeper, const union addr *target, __u32 *ret_flags)
{
	const struct sp_address *a = find_address(bind->segment, target);
	const struct sp_machine *m;

	if (!a || a->port == bind->port)
		return NULL;
	m = find_machine(a->port);
	if (!m || !(m->flags & SP_M_PROXY) || (sleeper && a->port != sleeper))
		return NULL;
	*ret_flags = m->flags;
	return a;
}

/* The frame is an answer now: to the asker's port, and to no other (I2). */
static __always_inline int send_back(struct __sk_buff *skb, const struct frame *f,
				     const struct sp_dst *d)
{
	int r = hand_back(skb, f, d);

	if (r >= 0)
		count_rx(d->port, f->len);
	return r;
}

/* SLEEPER: the one machine that may be answered for, or 0: any. SP_M_PROXY is needed. */
__noinline int answer_arp(struct __sk_buff *skb, const struct frame *f, const struct sp_bind *bind,
			  __u32 sleeper)
{
	const struct sp_address *a;
	const struct sp_dst *back;
	struct arp_packet arp;
	union addr target;
	__u32 flags;

	if (!f || !bind || f->gso_size || !read_arp(skb, &arp) || arp.op != bpf_htons(ARP_REQUEST))
		return GO_ON;
	map_ip4(&target, arp_target(&arp));
	a = find_asked(bind, sleeper, &target, &flags);
	if (!a)
		return GO_ON;
	tell(SP_STEP_ANSWER, a->port, 0, 0);
	back = find_source(f, bind);
	if (!back || !write_arp_reply(skb, f, &arp, a->mac))
		return -SP_R_ASLEEP;
	return send_back(skb, f, back);
}

__noinline int answer_nd(struct __sk_buff *skb, const struct frame *f, const struct sp_bind *bind,
			 __u32 sleeper, const struct packet *p)
{
	const struct sp_address *a;
	const struct sp_dst *back;
	union addr target;
	__u32 flags;

	if (!f || !bind || !p || f->gso_size || !read_solicitation(skb, p, &target))
		return GO_ON;
	a = find_asked(bind, sleeper, &target, &flags);
	if (!a)
		return GO_ON;
	tell(SP_STEP_ANSWER, a->port, 0, 0);
	back = find_source(f, bind);
	if (!back || !write_advertisement(skb, f, p, &target, a->mac, flags & SP_M_ROUTER))
		return -SP_R_ASLEEP;
	return send_back(skb, f, back);
}

/* Group frames that may ask for an address: ARP, and what goes to a solicited-node address. */
static __always_inline bool may_ask(const struct frame *f)
{
	if (f->proto == bpf_htons(ETH_P_ARP))
		return true;
	return f->proto == bpf_htons(ETH_P_IPV6) && f->dst[0] == 0x33 && f->dst[1] == 0x33 &&
	       f->dst[2] == 0xff; /* RFC 2464, 7 */
}

/*
 * A question for a machine that cannot answer by itself (yet): SLEEPER, or 0 where it was put to
 * the segment.
 */
static __noinline int answer(struct __sk_buff *skb, const struct frame *f,
			     const struct sp_bind *bind, __u32 sleeper)
{
	struct packet p = {};

	if (f->proto == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, f, bind, sleeper);
	if (f->proto != bpf_htons(ETH_P_IPV6))
		return GO_ON;
	/* What cannot be read is no question; whose business it is was judged before. */
	return read_packet(skb, f, &p) ? GO_ON : answer_nd(skb, f, bind, sleeper, &p);
}

/* --- parking --- */

/* One of park_max places, if there is one. Never counted back: user space may have reset it. */
static __always_inline bool take_place(struct sp_machine *m)
{
	__u32 n = m->parked;

	for (int i = 0; i < 4; i++) {
		__u32 seen;

		if (n >= m->park_max)
			return false;
		seen = __sync_val_compare_and_swap(&m->parked, n, n + 1);
		if (seen == n)
			return true;
		n = seen;
	}
	return false;
}

/* Why a unicast frame may not wait for M, before room for it is taken from others. */
static __always_inline int may_wait(const struct frame *f, const struct sp_machine *m)
{
	if (f->gso_size || f->len > SP_PARK_LEN)
		return -SP_R_ASLEEP;
	return m->parked >= m->park_max ? -SP_R_PARK_FULL : GO_ON;
}

/* The frame, which may wait (may_wait), is taken for M, the machine of PORT. */
__noinline int park(struct __sk_buff *skb, const struct frame *f, const struct sp_bind *bind,
		    struct sp_machine *m, __u32 port)
{
	struct sp_parked *r;
	__u32 len;

	if (!f || !bind || !m)
		return -SP_R_ASLEEP;
	if (sp_explain) {
		tell(SP_STEP_PARK, port, 0, 0);
		return TC_ACT_SHOT;
	}
	len = f->len;
	r = bpf_ringbuf_reserve(&notices, sizeof(*r), 0);
	if (!r)
		return -SP_R_PARK_FULL;
	fill_notice(&r->head, SP_NOTICE_PARKED, port, bind->segment, len);
	r->head.from_port = bind->port;
	if (len < ETH_HLEN || len > SP_PARK_LEN || bpf_skb_load_bytes(skb, 0, r->data, len)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return -SP_R_ASLEEP;
	}
	if (!take_place(m)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return -SP_R_PARK_FULL;
	}
	bpf_ringbuf_submit(r, 0);
	count_rx(bind->port, len);
	return TC_ACT_SHOT;
}

#endif
