/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is told of a frame that a rule logs? The readers of `events`, as often as sp_limit allows. */
#ifndef SALLYPORT_BPF_RULELOG_H
#define SALLYPORT_BPF_RULELOG_H

#include "drop.h"
#include "flow.h"
#include "police.h"
#include "policy.h"

static __always_inline __u32 segment_of(__u32 port)
{
	const struct sp_machine *m = find_machine(port);
	__u32 slot = m ? m->slot : 0;
	const struct sp_slot *s = bpf_map_lookup_elem(&slots, &slot);

	return s ? s->segment : 0;
}

/*
 * The frame, as it is now: nothing of it was changed yet, unless it is a group frame at a machine
 * that would get a copy. That has the tag and the destination that the copy before it was given.
 */
static __always_inline void put_frame(struct __sk_buff *skb, struct sp_event *e)
{
	__u32 n = snap(skb->len);

	if (!bpf_skb_load_bytes(skb, 0, e->data, n))
		e->caplen = n;
}

/* The policy of machine Q->port has said A, which is to be logged; REASON is what it comes to. */
__noinline int log_rule(struct __sk_buff *skb, const struct policy_question *q,
			const struct policy_answer *a, __u32 reason)
{
	struct frame f = {.ifindex = skb->ifindex, .len = skb->len};
	struct owner o = {};
	struct sp_limit *limit;
	struct sp_event *e;

	if (!q || !a || sp_explain)
		return 0;
	o.port = q->port;
	limit = bpf_map_lookup_elem(&limits, &o.port);
	if (!limit || !may_say(&limit->log_next_ns, &limit->logs_withheld))
		return 0;
	o.segment = segment_of(o.port);
	if (skb->vlan_present)
		f.vid = skb->vlan_tci & VLAN_VID_MASK;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&limit->logs_withheld, 1);
		return 0;
	}
	fill_event(e, reason, q->direction == POLICY_OUT ? SP_HOOK_OUT : SP_HOOK_IN, &f, &o);
	e->rule = a->rule;
	put_frame(skb, e);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#endif
