// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where does a frame that enters by a port go? tc, at the ingress of every port; and what may leave
 * by one: tc, at its egress. Nothing is ever handed to the host's stack (I4).
 */
#include "asleep.h"
#include "forward.h"
#include "police.h"
#include "spoof.h"

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

/* --- a frame whose sender is known, and may send it --- */

/* SELF: the machine that sends, NULL where another does. */
static __always_inline int steer_group(struct __sk_buff *skb, const struct frame *f,
				       const struct sp_bind *bind, const struct owner *o,
				       struct sp_machine *self)
{
	enum sp_reason reason = SP_R_NONE;
	int r = GO_ON;

	if (mac_is_reserved(f->dst))
		reason = SP_R_DST_RESERVED;
	else if (self && over_group_rate(o->port))
		reason = SP_R_GROUP_RATE;
	else if (may_ask(f))
		r = answer(skb, f, bind, 0);
	else if (may_be_lease(f))
		r = -judge_lease(skb, f, bind, 0);
	if (r > 0)
		return r;
	if (r < 0)
		reason = -r;
	if (!reason)
		reason = flood_frame(skb, f, bind);
	if (reason)
		return refuse(skb, f, o, reason, SP_HOOK_STEER);
	count_rx(o->port, f->len);
	if (self)
		note_from(self, f, o);
	return TC_ACT_SHOT; /* the copies are on their way */
}

/* D is a machine's. */
static __noinline int to_machine(struct __sk_buff *skb, const struct frame *f,
				 const struct sp_bind *bind, const struct sp_dst *d)
{
	struct owner o = {.port = d->port, .segment = bind->segment};
	struct sp_machine *m;

	m = find_machine(d->port);
	if (m && (m->flags & SP_M_LEASE)) {
		int r = judge_lease(skb, f, bind, d->port);

		if (r)
			return -r;
	}
	if (d->flags & SP_F_ASLEEP)
		return to_sleeper(skb, f, bind, d);
	if (!m)
		return GO_ON;
	if (m->flags & SP_M_PROXY) { /* who has it in the cache asks it alone: RFC 4861, 7.3 */
		int r = answer(skb, f, bind, d->port);

		if (r)
			return r;
	}
	note_to(m, f, &o);
	return GO_ON;
}

static __always_inline int steer_unicast(struct __sk_buff *skb, const struct frame *f,
					 const struct sp_bind *bind, const struct owner *o,
					 struct sp_machine *self)
{
	const struct sp_dst *d = find_destination(f, o->segment);
	enum sp_reason reason = judge_unicast(f, bind, d);

	if (!reason && d && d->kind == SP_PORT_MACHINE) {
		int r = to_machine(skb, f, bind, d);

		if (r > 0)
			return r;
		reason = -r;
	}
	if (!reason && d && (f->vid || d->vid) && !retag(skb, f->vid, d->vid))
		reason = SP_R_TAG_FAILED;
	if (reason || !d)
		return refuse(skb, f, o, reason, SP_HOOK_STEER);
	count_rx(o->port, f->len);
	count_tx(d->port, f->len);
	if (self)
		note_from(self, f, o);
	return send(skb, d);
}

static __always_inline int steer(struct __sk_buff *skb, const struct frame *f,
				 const struct sp_bind *bind, const struct owner *o,
				 struct sp_machine *self)
{
	return mac_is_group(f->dst) ? steer_group(skb, f, bind, o, self)
				    : steer_unicast(skb, f, bind, o, self);
}

/* --- the ports' ends --- */

SEC("tc")
int steer_ingress(struct __sk_buff *skb)
{
	const struct sp_bind *bind;
	enum sp_reason reason;
	struct frame f = {};
	struct owner o;

	reason = parse_skb(skb, &f);
	bind = reason ? NULL : find_binding(&f);
	if (!bind)
		return refuse_unbound(skb, &f, reason);
	o.port = bind->port;
	o.segment = bind->segment;
	return steer(skb, &f, bind, &o, NULL);
}

/* From a machine's tap: what it sends is looked at down to its last header (I6). */
SEC("tc")
int steer_machine(struct __sk_buff *skb)
{
	const struct sp_bind *bind;
	struct sp_machine *self;
	enum sp_reason reason;
	struct frame f = {};
	struct owner o;

	reason = parse_skb(skb, &f);
	bind = reason ? NULL : find_binding(&f);
	if (!bind)
		return refuse_unbound(skb, &f, reason);
	o.port = bind->port;
	o.segment = bind->segment;
	self = find_machine(o.port);
	if (!self)
		return refuse(skb, &f, &o, SP_R_PORT_UNKNOWN, SP_HOOK_STEER);
	reason = judge_rate(o.port, f.len) ?: judge_sender(skb, &f, &o, self);
	if (reason)
		return refuse(skb, &f, &o, reason, SP_HOOK_STEER);
	return steer(skb, &f, bind, &o, self);
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

/* uapi/asm-generic/errno-base.h, errno.h */
#define ENOENT 2
#define EIO 5
#define EINVAL 22
#define EMSGSIZE 90

/*
 * A frame that was parked goes on. Run by BPF_PROG_TEST_RUN, on no port: cb[0] is its segment, and
 * who sent it was judged when it came. Answers an errno: nothing here may be negative.
 */
SEC("tc")
int replay(struct __sk_buff *skb)
{
	const struct sp_dst *d;
	struct frame f = {};
	struct sp_machine *m;
	struct owner o;

	o.segment = skb->cb[0];
	if (parse_skb(skb, &f))
		return EINVAL;
	d = find_destination(&f, o.segment);
	if (!d || (d->flags & (SP_F_CLOSED | SP_F_ASLEEP)))
		return ENOENT;
	if (wire_len(&f) > d->max_len)
		return EMSGSIZE;
	if (d->vid && !retag(skb, 0, d->vid))
		return EIO;
	skb->mark = sp_mark;
	if (bpf_clone_redirect(skb, d->ifindex, 0))
		return EIO;
	o.port = d->port;
	count_tx(o.port, f.len);
	m = d->kind == SP_PORT_MACHINE ? find_machine(o.port) : NULL;
	if (m)
		note_to(m, &f, &o);
	return 0;
}
