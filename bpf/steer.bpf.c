// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where does a frame that enters by a port go? tc, at the ingress of every port; and what may leave
 * by one: tc, at its egress. Nothing is ever handed to the host's stack (I4).
 */
#include "asleep.h"
#include "fast.h"
#include "forward.h"
#include "police.h"
#include "reject.h"
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

/* The same of what is bound. */
static __noinline int refuse_bound(struct __sk_buff *skb, const struct frame *f,
				   const struct sp_bind *bind, enum sp_reason reason)
{
	struct owner o = {.port = bind->port, .segment = bind->segment};

	return refuse(skb, f, &o, reason, SP_HOOK_STEER);
}

/* --- a frame whose sender is known, and may send it --- */

/*
 * What is known of the frame that is judged. Not on the stack, whose 512 bytes must do for all that
 * are called: on a CPU one frame is judged at a time, and copies of it leave by no such way.
 */
struct desk {
	struct packet p;
	struct passage w;
	__u64 now; /* 0: nobody has asked */
};

ARRAY_MAP(desks, BPF_MAP_TYPE_PERCPU_ARRAY, struct desk, 1);

static __always_inline struct desk *clear_desk(void)
{
	__u32 zero = 0;
	struct desk *k = bpf_map_lookup_elem(&desks, &zero);

	if (k)
		__builtin_memset(k, 0, sizeof(*k));
	return k;
}

static __always_inline bool is_ip(const struct frame *f)
{
	return f->proto != bpf_htons(ETH_P_ARP);
}

/* P is zero where it could not be read, and is as good as new. */
static __always_inline bool reread(struct __sk_buff *skb, const struct frame *f, struct packet *p)
{
	if (!read_packet(skb, f, p))
		return true;
	__builtin_memset(p, 0, sizeof(*p));
	return false;
}

/* SELF: the machine that sends, NULL where another does; P: what it sends, or room for that. */
static __always_inline int steer_group(struct __sk_buff *skb, const struct frame *f,
				       const struct sp_bind *bind, struct sp_machine *self,
				       struct packet *p)
{
	enum sp_reason reason = SP_R_NONE;
	bool read = self;
	int r = GO_ON;

	if (mac_is_reserved(f->dst))
		reason = SP_R_DST_RESERVED;
	else if (self && over_group_rate(bind->port))
		reason = SP_R_GROUP_RATE;
	else if (may_ask(f))
		r = answer(skb, f, bind, 0);
	if (!reason && !r && self && is_ip(f))
		r = judge_copy(skb, p, bind->port, POLICY_OUT);
	if (!reason && !r && may_be_lease(f)) {
		read = read || reread(skb, f, p);
		r = read ? -judge_lease(skb, f, bind, 0, p) : GO_ON;
	}
	if (r > 0)
		return r;
	if (r < 0)
		reason = -r;
	if (!reason)
		reason = flood_frame(skb, f, bind, p, read);
	if (reason)
		return refuse_bound(skb, f, bind, reason);
	count_rx(bind->port, f->len);
	if (self)
		note_from(self, f, whereabouts(bind->port, bind->segment), 0);
	return TC_ACT_SHOT; /* the copies are on their way */
}

static __noinline int foreign_group(struct __sk_buff *skb, const struct frame *f,
				    const struct sp_bind *bind)
{
	struct packet p = {};

	return steer_group(skb, f, bind, NULL, &p);
}

/* ARP and neighbor discovery for the machine of D: it is answered for it, or goes to it. */
static __always_inline int ask_machine(struct __sk_buff *skb, const struct frame *f,
				       const struct sp_bind *bind, const struct sp_dst *d,
				       const struct sp_machine *to, const struct packet *p)
{
	bool asleep = d->flags & SP_F_ASLEEP;
	int r = GO_ON;

	/* Who has it in the cache asks it alone: RFC 4861, 7.3. */
	if (asleep || (to->flags & SP_M_PROXY))
		r = is_ip(f) ? answer_nd(skb, f, bind, d->port, p)
			     : answer_arp(skb, f, bind, d->port);
	return r ?: asleep ? -SP_R_ASLEEP : GO_ON;
}

/*
 * D is the machine TO's. On the desk K is what is in the frame, unless that is ARP; FLOW its flow.
 * What the firewall refuses neither wakes a machine nor waits for it.
 */
static __always_inline int to_machine(struct __sk_buff *skb, const struct frame *f,
				      const struct sp_bind *bind, const struct sp_dst *d,
				      struct sp_machine *to, struct desk *k, struct sp_flow *flow)
{
	bool asleep = d->flags & SP_F_ASLEEP;
	struct packet *p = &k->p;
	int r;

	if (!is_ip(f) || is_nd(p)) {
		r = ask_machine(skb, f, bind, d, to, p);
		asleep = false;
	} else {
		r = asleep ? may_wait(f, to) : GO_ON;
		r = r ?: firewall(skb, f, p, &k->w, flow);
		if (!r && (to->flags & SP_M_LEASE))
			r = -judge_lease(skb, f, bind, d->port, p);
	}
	if (r)
		return r;
	if (asleep)
		return park(skb, f, bind, to, d->port);
	note_to(to, f, whereabouts(d->port, bind->segment), k->now);
	return GO_ON;
}

/* The same from a port that is no machine's. */
static __noinline int foreign_to_machine(struct __sk_buff *skb, const struct frame *f,
					 const struct sp_bind *bind, const struct sp_dst *d)
{
	struct sp_machine *to = find_machine(d->port);
	struct sp_flow *flow = NULL;
	struct desk *k = clear_desk();
	int r;

	if (!to || !k)
		return -SP_R_PORT_UNKNOWN;
	if (is_ip(f)) {
		r = read_packet(skb, f, &k->p);
		if (r)
			return -r;
		k->now = begin_passage(&k->w, f, NULL, 0, to, d->port);
		flow = find_flow(&k->p, &k->w);
	}
	return to_machine(skb, f, bind, d, to, k, flow);
}

/* Off it goes. R: what became of it on the way. */
static __always_inline int depart(struct __sk_buff *skb, const struct frame *f,
				  const struct sp_bind *bind, const struct sp_dst *d, int r)
{
	enum sp_reason reason = r < 0 ? -r : SP_R_NONE;

	if (r > 0)
		return r;
	if (!reason && d && (f->vid || d->vid) && !retag(skb, f->vid, d->vid))
		reason = SP_R_TAG_FAILED;
	if (reason || !d) {
		r = refuse_bound(skb, f, bind, reason);
		return reason == SP_R_POLICY_REJECT ? reject(skb, f, bind) : r;
	}
	count_rx(bind->port, f->len);
	count_tx(d->port, f->len);
	return TC_ACT_OK;
}

/*
 * What most frames are (fast.h), from SELF, NULL where no machine sends. 0: it is none of those,
 * and has yet to be judged.
 */
static __noinline int pass_quickly(struct __sk_buff *skb, const struct frame *f,
				   const struct sp_bind *bind, struct sp_machine *self,
				   const struct sp_dst *d)
{
	struct sp_machine *to = NULL;
	__u64 now;
	int r;

	if (d->kind == SP_PORT_MACHINE) {
		to = find_machine(d->port);
		if (!to)
			return 0;
	}
	if (!is_in_order(skb, f, bind, self, to, d, &now))
		return 0;
	r = depart(skb, f, bind, d, GO_ON);
	if (r)
		return r;
	if (to)
		note_to(to, f, whereabouts(d->port, bind->segment), now);
	if (self)
		note_from(self, f, whereabouts(bind->port, bind->segment), now);
	return send(skb, d);
}

/* --- what a machine sends --- */

/* What it sends is read, before it is judged by anything. */
static __always_inline enum sp_reason read_own(struct __sk_buff *skb, const struct frame *f,
					       struct packet *p)
{
	return is_ip(f) ? read_packet(skb, f, p) : SP_R_NONE;
}

static __noinline int machine_group(struct __sk_buff *skb, const struct frame *f,
				    const struct sp_bind *bind, struct sp_machine *self)
{
	struct packet p = {};
	enum sp_reason reason;

	reason = read_own(skb, f, &p);
	reason = reason ?: judge_sender(skb, f, bind, self, &p);
	if (reason)
		return refuse_bound(skb, f, bind, reason);
	return steer_group(skb, f, bind, self, &p);
}

/*
 * Its flow is looked up before it is judged: it may say that the source's address was looked up
 * already. D: where it goes, may be NULL.
 */
static __noinline int machine_unicast(struct __sk_buff *skb, const struct frame *f,
				      const struct sp_bind *bind, struct sp_machine *self,
				      const struct sp_dst *d)
{
	struct sp_machine *to = NULL;
	struct sp_flow *flow = NULL;
	struct desk *k = clear_desk();
	enum sp_reason reason;
	int r;

	if (!k)
		return refuse_bound(skb, f, bind, SP_R_PORT_UNKNOWN);
	if (d && d->kind == SP_PORT_MACHINE)
		to = find_machine(d->port);
	reason = read_own(skb, f, &k->p);
	if (!reason && is_ip(f)) {
		k->now = begin_passage(&k->w, f, self, bind->port, to, d ? d->port : 0);
		flow = find_flow(&k->p, &k->w);
		k->p.proven = flow && is_proven(flow, &k->w);
	}
	reason = reason ?: judge_sender(skb, f, bind, self, &k->p);
	if (reason)
		return refuse_bound(skb, f, bind, reason);
	r = -judge_unicast(f, bind, d);
	if (!r && d && d->kind == SP_PORT_MACHINE)
		r = to ? to_machine(skb, f, bind, d, to, k, flow) : -SP_R_PORT_UNKNOWN;
	else if (!r && is_ip(f))
		r = is_nd(&k->p) ? GO_ON : firewall(skb, f, &k->p, &k->w, flow);
	r = depart(skb, f, bind, d, r);
	if (!r)
		note_from(self, f, whereabouts(bind->port, bind->segment), k->now);
	return r;
}

/* --- the ports' ends --- */

/* From a session's or a workload's port. */
static __always_inline int steer(struct __sk_buff *skb)
{
	const struct sp_bind *bind;
	const struct sp_dst *d;
	enum sp_reason reason;
	struct frame f = {};
	int r;

	reason = parse_skb(skb, &f);
	bind = reason ? NULL : find_binding(&f);
	if (!bind)
		return refuse_unbound(skb, &f, reason);
	tell(SP_STEP_BOUND, bind->port, 0, bind->segment);
	if (mac_is_group(f.dst))
		return foreign_group(skb, &f, bind);
	d = find_destination(&f, bind->segment);
	if (d)
		tell(SP_STEP_TO, d->port, d->kind, d->flags);
	if (d && d->kind == SP_PORT_MACHINE) {
		r = pass_quickly(skb, &f, bind, NULL, d);
		if (r)
			return r;
	}
	r = -judge_unicast(&f, bind, d);
	if (!r && d && d->kind == SP_PORT_MACHINE)
		r = foreign_to_machine(skb, &f, bind, d);
	r = depart(skb, &f, bind, d, r);
	return r || !d ? r : send(skb, d);
}

SEC("tc")
int steer_ingress(struct __sk_buff *skb)
{
	return steer(skb);
}

/*
 * `sallyport explain`: the same for a frame that has no tag yet, as a test run's has not; cb[0] is
 * the tag's VLAN id, or 0. Loaded only where sp_explain is set.
 */
SEC("tc")
int steer_explained(struct __sk_buff *skb)
{
	__u16 vid = skb->cb[0];

	if (vid && !retag(skb, 0, vid))
		return TC_ACT_SHOT;
	return steer(skb);
}

/* From a machine's tap: what it sends is looked at down to its last header (I6). */
SEC("tc")
int steer_machine(struct __sk_buff *skb)
{
	const struct sp_bind *bind;
	struct sp_machine *self;
	enum sp_reason reason;
	const struct sp_dst *d;
	struct frame f = {};
	int r;

	reason = parse_skb(skb, &f);
	bind = reason ? NULL : find_binding(&f);
	if (!bind)
		return refuse_unbound(skb, &f, reason);
	tell(SP_STEP_BOUND, bind->port, 0, bind->segment);
	self = find_machine(bind->port);
	if (!self)
		return refuse_bound(skb, &f, bind, SP_R_PORT_UNKNOWN);
	reason = judge_rate(bind->port, f.len);
	if (reason)
		return refuse_bound(skb, &f, bind, reason);
	if (mac_is_group(f.dst))
		return machine_group(skb, &f, bind, self);
	d = find_destination(&f, bind->segment);
	if (d)
		tell(SP_STEP_TO, d->port, d->kind, d->flags);
	r = d ? pass_quickly(skb, &f, bind, self, d) : 0;
	if (r)
		return r;
	r = machine_unicast(skb, &f, bind, self, d);
	return r || !d ? r : send(skb, d);
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
#define EPERM 1
#define ENOENT 2
#define EIO 5
#define EINVAL 22
#define EMSGSIZE 90

/* May the frame still go to the machine TO? It was judged when it came, by who had sent it. */
static __noinline bool may_still_go(struct __sk_buff *skb, const struct frame *f, __u32 segment,
				    const struct sp_machine *to, __u32 to_port)
{
	struct sp_fdb_key key = {.segment = segment};
	const struct sp_machine *from = NULL;
	const struct sp_dst *s;
	struct passage w = {};
	struct packet p = {};

	if (!is_ip(f))
		return true;
	if (read_packet(skb, f, &p))
		return false;
	__builtin_memcpy(key.mac, f->src, SP_MAC_LEN);
	s = bpf_map_lookup_elem(&fdb, &key);
	if (s && s->kind == SP_PORT_MACHINE)
		from = find_machine(s->port);
	begin_passage(&w, f, from, s ? s->port : 0, to, to_port);
	return recall(skb, &p, &w) == GO_ON;
}

/*
 * A frame that was parked goes on. Run by BPF_PROG_TEST_RUN, on no port: cb[0] is its segment, and
 * who sent it was judged when it came. Answers an errno: nothing here may be negative.
 */
SEC("tc")
int replay(struct __sk_buff *skb)
{
	__u32 segment = skb->cb[0];
	struct sp_machine *m = NULL;
	const struct sp_dst *d;
	struct frame f = {};

	if (parse_skb(skb, &f))
		return EINVAL;
	d = find_destination(&f, segment);
	if (!d || (d->flags & (SP_F_CLOSED | SP_F_ASLEEP)))
		return ENOENT;
	if (wire_len(&f) > d->max_len)
		return EMSGSIZE;
	if (d->kind == SP_PORT_MACHINE) {
		m = find_machine(d->port);
		if (!m || !may_still_go(skb, &f, segment, m, d->port))
			return EPERM;
	}
	if (d->vid && !retag(skb, 0, d->vid))
		return EIO;
	skb->mark = sp_mark;
	if (bpf_clone_redirect(skb, d->ifindex, 0))
		return EIO;
	count_tx(d->port, f.len);
	if (m)
		note_to(m, &f, whereabouts(d->port, segment), 0);
	return 0;
}
