// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where does a frame that enters by a port go? tc, at the ingress of every port; and what may leave
 * by one: tc, at its egress. Nothing is ever handed to the host's stack (I4).
 */
#include "forward.h"

char LICENSE[] SEC("license") = "GPL";

static __noinline int drop_skb(struct __sk_buff *skb, const struct frame *f, const struct owner *o,
			       __u32 reason_hook)
{
	enum sp_reason reason = reason_hook & 0xff;
	struct sp_reason_count *r;
	struct sp_event *e;
	__u32 n;

	if (!f || !o)
		return 0;
	r = count_drop(reason, o, f->len);
	e = r ? new_event(r, reason, reason_hook >> 8, f, o) : NULL;
	if (!e)
		return 0;
	n = snap(skb->len);
	if (!bpf_skb_load_bytes(skb, 0, e->data, n))
		e->caplen = n;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __always_inline int refuse(struct __sk_buff *skb, const struct frame *f,
				  const struct owner *o, enum sp_reason reason, enum sp_hook hook)
{
	drop_skb(skb, f, o, reason | hook << 8);
	return TC_ACT_SHOT;
}

/* No binding was found, or none was looked for: say why. */
static __always_inline int refuse_unbound(struct __sk_buff *skb, const struct frame *f,
					  enum sp_reason form)
{
	struct owner o = {};
	enum sp_reason reason = explain_unbound(f, &o);

	return refuse(skb, f, &o, form ? form : reason, SP_HOOK_STEER);
}

SEC("tc")
int steer_ingress(struct __sk_buff *skb)
{
	const struct sp_bind *bind;
	const struct sp_dst *d;
	enum sp_reason reason;
	struct frame f = {};
	struct owner o;

	reason = parse_skb(skb, &f);
	bind = reason ? NULL : find_binding(&f);
	if (!bind)
		return refuse_unbound(skb, &f, reason);
	o.port = bind->port;
	o.segment = bind->segment;

	if (mac_is_group(f.dst)) {
		reason = mac_is_reserved(f.dst) ? SP_R_DST_RESERVED : flood_frame(skb, &f, bind);
		if (reason)
			return refuse(skb, &f, &o, reason, SP_HOOK_STEER);
		count_rx(o.port, f.len);
		return TC_ACT_SHOT; /* the copies are on their way */
	}

	d = find_destination(&f, o.segment);
	reason = judge_unicast(&f, bind, d);
	if (!reason && d && (f.vid || d->vid) && !retag(skb, f.vid, d->vid))
		reason = SP_R_TAG_FAILED;
	if (reason || !d)
		return refuse(skb, &f, &o, reason, SP_HOOK_STEER);
	count_rx(o.port, f.len);
	count_tx(d->port, f.len);
	return send(skb, d);
}

/* I4: nothing but our own redirects leaves by a port, the host's own IPv6 and ARP included. */
SEC("tc")
int egress_guard(struct __sk_buff *skb)
{
	struct frame f = {};
	struct owner o = {};

	if (skb->mark == sp_mark) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	parse_skb(skb, &f);
	explain_unbound(&f, &o);
	return refuse(skb, &f, &o, SP_R_NOT_OURS, SP_HOOK_EGRESS);
}
