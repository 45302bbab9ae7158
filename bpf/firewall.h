/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a packet pass the ports of the machines that it goes from and to? By the flow that it belongs
 * to, which was judged at both when it began; or, where it begins one, by their policies.
 *
 * One look-up of a flow serves both ports and the guard of addresses (is_proven). What has no
 * machine at either end never comes here.
 */
#ifndef SALLYPORT_BPF_FIREWALL_H
#define SALLYPORT_BPF_FIREWALL_H

#include "fragment.h"
#include "nd.h"
#include "police.h"
#include "policy.h"
#include "related.h"
#include "rulelog.h"
#include "tcp.h"
#include "walk.h"

/* uapi/asm-generic/errno-base.h */
#define EEXIST 17

/* --- the passage --- */

static __always_inline __u64 mix_mac(const __u8 *mac)
{
	__u64 v = 0;

	__builtin_memcpy(&v, mac, SP_MAC_LEN);
	return mix(mix(sp_mark, v), v); /* once would add up: 1 and 5 as 2 and 4 */
}

/*
 * Where a machine routes, a packet comes by twice, to it and from it again: the two addresses of
 * the frame tell which of the ways this is, in either direction. Those of neighbors differ in a
 * few bits only, and two ways taken for one would end each other's flows.
 */
static __always_inline void note_leg(struct passage *w, const struct frame *f)
{
	__u64 h = mix_mac(f->src) + mix_mac(f->dst);

	w->leg[0] = h; /* the low bits are the ones that all others are in */
	w->leg[1] = h >> 8;
	w->leg[2] = h >> 16;
}

static __always_inline void set_machine(struct passage *w, __u8 which, __u32 port,
					const struct sp_machine *m, __u64 now)
{
	w->port[which] = port;
	w->ticks[which] = machine_ticks(m, now);
	w->slot = m->slot;
}

/* From the machine A to the machine B; either may be NULL. What time it is. */
static __always_inline __u64 begin_passage(struct passage *w, const struct frame *f,
					   const struct sp_machine *a, __u32 a_port,
					   const struct sp_machine *b, __u32 b_port)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 flags = 0;
	const struct sp_slot *s;

	if (b) {
		set_machine(w, TO, b_port, b, now);
		flags |= b->flags;
	}
	if (a) {
		set_machine(w, FROM, a_port, a, now);
		flags |= a->flags;
	}
	if (flags & SP_M_ROUTER)
		note_leg(w, f);
	s = find_slot(w->slot);
	w->epoch = s ? READ_ONCE(s->epoch) & SP_END_EPOCH : 0;
	return now;
}

static __always_inline bool is_error(const struct packet *p)
{
	return is_icmp(p) && icmp_is_error(p);
}

/* What the guards judge, and what is none of a flow: multicast listeners (RFC 2710, 3810). */
static __always_inline bool is_flowless(const struct packet *p)
{
	return p->version == 6 && p->proto == PROTO_ICMP6 &&
	       ((p->icmp_type >= 130 && p->icmp_type <= ND_REDIRECT) ||
		p->icmp_type == MLD2_REPORT);
}

static __always_inline bool may_have_flow(const struct packet *p)
{
	return !(p->fragment & FRAGMENT_LATER) && (!is_icmp(p) || icmp_has_id(p));
}

/* The flow of P, if there is one. */
static __noinline struct sp_flow *find_flow(const struct packet *p, struct passage *w)
{
	if (!may_have_flow(p))
		return NULL;
	make_key(p, w);
	return look_up(w);
}

/* --- by its flow --- */

#define UDP_STREAM_TICKS (2000000000ULL >> SP_TICK_SHIFT)

static __always_inline __u32 plain_timeout(const struct packet *p, __u32 word)
{
	if (p->proto == PROTO_UDP || p->proto == PROTO_UDPLITE)
		return timeout((word & SP_FLOW_STATE) == SP_FLOW_STREAM ? SP_TIMEOUT_UDP_STREAM
									: SP_TIMEOUT_UDP);
	if (is_icmp(p))
		return timeout(p->version == 6 ? SP_TIMEOUT_ICMP6 : SP_TIMEOUT_ICMP);
	return timeout(SP_TIMEOUT_OTHER);
}

/* Not TCP. The flow F is locked. */
static __always_inline int meet_plain(struct sp_flow *f, __u32 *word, const struct packet *p,
				      bool reply, __u32 now)
{
	__u8 state = *word & SP_FLOW_STATE;

	if ((*word & SP_FLOW_BOTH) && p->proto == PROTO_UDP &&
	    now - f->last_end >= UDP_STREAM_TICKS) {
		state = SP_FLOW_STREAM;
		*word |= SP_FLOW_ASSURED;
	}
	if (reply) {
		*word |= SP_FLOW_BOTH;
		if (state == SP_FLOW_UNREPLIED)
			state = SP_FLOW_REPLIED;
	}
	*word = (*word & ~SP_FLOW_STATE) | state;
	f->expires = now + plain_timeout(p, *word);
	return GO_ON;
}

/* Is there something in the options that the flow needs to know? A look without the lock. */
static __always_inline bool options_matter(const struct packet *p, const struct sp_flow *f,
					   const struct passage *w)
{
	__u32 word = READ_ONCE(f->word);
	bool reply = originator(word) != w->from;

	if (p->tcp_flags & TCP_SYN)
		return true;
	return p->tcp_len > TCP_HEADER && (word_side(word, !reply) & SP_SIDE_SACK);
}

/* A copy of it, which the packet may change; how it stands is told. */
static __noinline struct sp_flow *look_only(struct sp_flow *f, const struct passage *w)
{
	struct sp_flow *copy = &walk.flow;
	__u32 word;

	if (lock_word(&f->word, &word)) {
		*copy = *f;
		let_go(&f->word);
	} else {
		*copy = *f; /* it is being ended, and may be torn */
	}
	word = copy->word &= ~SP_FLOW_LOCK;
	tell(SP_STEP_FLOW, w->port[TO], word & SP_FLOW_STATE,
	     ((__u64)(copy->expires - flow_now(copy, word)) << SP_TICK_SHIFT) / NS_PER_S);
	return copy;
}

__noinline int meet_flow(struct __sk_buff *skb, const struct packet *p, const struct passage *w,
			 struct sp_flow *f)
{
	struct tcp_options o = {};
	__u32 word, now;
	bool reply;
	int r;

	if (!p || !w || !f)
		return FRESH;
	o.sack = p->ack;
	if (p->proto == PROTO_TCP && options_matter(p, f, w))
		read_tcp_options(skb, p, &o);
	if (!lock_word(&f->word, &word))
		return LOST;
	if (f->tag != w->tag) {
		let_go(&f->word);
		return LOST;
	}
	reply = originator(word) != w->from;
	now = owner_now(w, reply);
	if (!same_ends(f, w) || flow_is_over(f, word, now))
		r = FRESH;
	else if (p->proto == PROTO_TCP)
		r = meet_quickly(f, &word, p, o.sack, (__u64)reply << 32 | now)
			    ? GO_ON
			    : meet_slowly(f, &word, p, &o, (__u64)reply << 32 | now);
	else
		r = meet_plain(f, &word, p, reply, now);
	if (r == GO_ON && w->port[FROM])
		note_proof(f, w);
	unlock_word(&f->word, word);
	return r;
}

/* Keys come from the stack: Linux 6.1 takes no others. */
static __noinline struct sp_flow *look_again(const struct passage *w)
{
	struct passage q = *w;

	return look_up(&q);
}

/* Another CPU was there first: look again, once. */
static __always_inline int meet_again(struct __sk_buff *skb, const struct packet *p,
				      const struct passage *w)
{
	struct sp_flow *f = look_again(w);

	if (f && sp_explain)
		f = look_only(f, w);
	return f ? meet_flow(skb, p, w, f) : FRESH;
}

/* --- by the policies --- */

static __always_inline void tell_policy(const struct policy_question *q,
					const struct policy_answer *a, enum sp_reason reason)
{
	struct sp_step *s = sp_explain ? next_step(SP_STEP_POLICY, q->port) : NULL;

	if (s) {
		s->direction = q->direction;
		s->subject = q->state - POLICY_NEW;
		s->rule = a->rule;
		s->action = a->action;
		s->log = a->log;
		s->value = reason;
	}
}

/* A reject is told by its reason, SP_R_POLICY_REJECT: who drops the frame answers it (reject.h). */
static __always_inline int ask_policy(struct __sk_buff *skb, const struct packet *p, __u32 port,
				      __u8 direction, __u8 state)
{
	struct policy_question q = {.port = port, .direction = direction, .state = state};
	struct policy_answer a = {};
	int reason = policy_judge(&q, p, &a);

	tell_policy(&q, &a, reason);
	if (a.log)
		log_rule(skb, &q, &a, reason);
	return -reason;
}

/* At the port that it comes from, then at the one that it goes to. */
static __always_inline int ask_policies(struct __sk_buff *skb, const struct packet *p,
					const struct passage *w, __u8 state)
{
	int r = GO_ON;

	if (w->port[FROM])
		r = ask_policy(skb, p, w->port[FROM], POLICY_OUT, state);
	if (!r && w->port[TO])
		r = ask_policy(skb, p, w->port[TO], POLICY_IN, state);
	return r;
}

/* --- one that begins --- */

static __always_inline bool may_pick_up(const struct sp_slot *s)
{
	return s->pick_up_until_ns && bpf_ktime_get_coarse_ns() < s->pick_up_until_ns;
}

static __always_inline bool may_begin(const struct packet *p, const struct sp_slot *s)
{
	if (addr_equal(&p->src, &p->dst)) /* nobody talks to himself over a wire */
		return false;
	if (p->proto == PROTO_TCP)
		return tcp_kind(p->tcp_flags) == SP_TCP_SYN ||
		       (tcp_kind(p->tcp_flags) == SP_TCP_ACK && may_pick_up(s));
	return !is_icmp(p) || icmp_is_request(p);
}

/* The segment's budget of new flows in time. */
static __always_inline bool over_flow_rate(struct sp_slot *s)
{
	__u64 now, next;

	if (!s->new_cost_ns)
		return false;
	now = bpf_ktime_get_ns();
	next = s->new_next_ns;
	if (is_ahead(next, now, s->new_burst_ns))
		return true;
	if (sp_explain)
		return false;
	take(&s->new_next_ns, next, now, s->new_cost_ns);
	return false;
}

static __always_inline void begin_tcp(struct sp_flow *n, const struct packet *p,
				      const struct tcp_options *o)
{
	bool syn = p->tcp_flags & TCP_SYN;
	__u16 side = o->scale | (o->sack_permitted ? SP_SIDE_SACK : 0);

	n->side[0].end = n->side[0].maxend = tcp_end(p);
	n->side[0].maxwin = p->win ?: 1;
	if (syn) {
		n->word |= SP_FLOW_SYN_SENT | SP_TCP_SYN << SP_FLOW_LAST_SHIFT;
		n->word = tcp_word(n->word, side, SP_NO_SCALE);
		n->expires = timeout((enum sp_timeout)SP_FLOW_SYN_SENT);
		return;
	}
	side = SP_NO_SCALE | SP_SIDE_SACK | SP_SIDE_LIBERAL;
	n->side[0].maxend += n->side[0].maxwin;
	n->word |= SP_FLOW_ESTABLISHED | SP_TCP_ACK << SP_FLOW_LAST_SHIFT;
	n->word = tcp_word(n->word, side, side);
	n->expires = timeout(SP_TIMEOUT_UNACKED);
}

/* What N, which is zero, is when its first packet has passed. */
static __always_inline void begin_flow(struct sp_flow *n, const struct packet *p,
				       const struct passage *w, const struct tcp_options *o)
{
	__u32 now = w->port[TO] ? w->ticks[TO] : w->ticks[FROM];

	n->tag = w->tag;
	n->end[0] = w->from ? w->port[TO] : w->port[FROM];
	n->end[1] = w->from ? w->port[FROM] : w->port[TO];
	if (w->port[FROM])
		note_proof(n, w);
	n->word = w->from ? SP_FLOW_FLIP : 0;
	if (p->proto == PROTO_TCP) {
		begin_tcp(n, p, o);
	} else {
		n->word |= SP_FLOW_UNREPLIED;
		n->expires = plain_timeout(p, n->word);
		n->last_end = now;
	}
	n->expires += now;
}

/* In the place of one that is over, or that other machines had. */
static __always_inline int replace_flow(struct sp_flow *f, const struct sp_flow *n)
{
	__u32 word;

	if (!lock_word(&f->word, &word))
		return LOST;
	if (f->tag != n->tag) {
		let_go(&f->word);
		return LOST;
	}
	f->expires = n->expires;
	f->end[0] = n->end[0];
	f->end[1] = n->end[1];
	f->last_win = 0;
	f->last_end = n->last_end;
	f->side[0] = n->side[0];
	f->side[1] = n->side[1];
	unlock_word(&f->word, n->word);
	return GO_ON;
}

static __always_inline int insert_flow(const struct passage *w, const struct sp_flow *n)
{
	union flow_key key = w->key; /* on the stack, as above */
	__u32 i = w->table;
	void *table;
	long r;

	if (w->six) {
		table = bpf_map_lookup_elem(&flows6, &i);
		r = table ? bpf_map_update_elem(table, &key.k6, n, BPF_NOEXIST) : -1;
	} else {
		table = bpf_map_lookup_elem(&flows4, &i);
		r = table ? bpf_map_update_elem(table, &key.k4, n, BPF_NOEXIST) : -1;
	}
	if (r == -EEXIST)
		return LOST;
	return r ? -SP_R_FLOW_TABLE_FULL : GO_ON;
}

/* One more, if there may be. */
static __always_inline int add_flow(struct sp_slot *s, const struct passage *w,
				    const struct sp_flow *n)
{
	int r = -SP_R_FLOW_TABLE_FULL;

	if (__sync_fetch_and_add(&s->flows, 1) < s->flows_max)
		r = insert_flow(w, n);
	if (r)
		__sync_fetch_and_add(&s->flows, -1);
	return r;
}

/* Its flow, in the place of F if that is there. O: of a SYN. */
__noinline int make_flow(const struct packet *p, const struct passage *w,
			 const struct tcp_options *o, struct sp_flow *f)
{
	struct sp_flow n = {};
	struct sp_slot *s;
	int r;

	if (!p || !w || !o)
		return -SP_R_FLOW_TABLE_FULL;
	s = find_slot(w->slot);
	if (!s)
		return -SP_R_FLOW_TABLE_FULL;
	if (sp_explain)
		return over_flow_rate(s)		? -SP_R_FLOW_RATE
		       : !f && s->flows >= s->flows_max ? -SP_R_FLOW_TABLE_FULL
							: GO_ON;
	if (over_flow_rate(s)) {
		__sync_fetch_and_add(&s->over_rate, 1);
		return -SP_R_FLOW_RATE;
	}
	begin_flow(&n, p, w, o);
	r = f ? replace_flow(f, &n) : add_flow(s, w, &n);
	if (r == GO_ON)
		__sync_fetch_and_add(&s->opened, 1);
	else if (r == -SP_R_FLOW_TABLE_FULL)
		__sync_fetch_and_add(&s->full, 1);
	return r;
}

static __always_inline int open_flow(struct __sk_buff *skb, const struct packet *p,
				     const struct passage *w, struct sp_flow *f)
{
	struct tcp_options o = {.scale = SP_NO_SCALE};
	const struct sp_slot *s;
	int r;

	s = find_slot(w->slot);
	if (!s || !w->slot)
		return -SP_R_FLOW_TABLE_FULL;
	if (!may_begin(p, s))
		return -SP_R_FLOW_INVALID;
	tell(SP_STEP_FRESH, w->port[TO], 0, 0);
	r = ask_policies(skb, p, w, POLICY_NEW);
	if (r)
		return r;
	if (p->proto == PROTO_TCP)
		read_tcp_options(skb, p, &o);
	return make_flow(p, w, &o, f);
}

/* --- both --- */

static __always_inline int judge_by_flow(struct __sk_buff *skb, const struct packet *p,
					 const struct passage *w, struct sp_flow *f)
{
	int r;

	if (p->proto == PROTO_TCP && !tcp_flags_good(p))
		return -SP_R_FLOW_INVALID;
	if (f && sp_explain)
		r = meet_flow(skb, p, w, look_only(f, w));
	else
		r = f ? meet_flow(skb, p, w, f) : FRESH;
	if (r == LOST) {
		r = meet_again(skb, p, w);
		f = NULL;
	}
	if (r == FRESH) {
		r = open_flow(skb, p, w, f);
		if (r == LOST)
			r = meet_again(skb, p, w);
	}
	return r > 0 ? -SP_R_FLOW_BUSY : r;
}

/*
 * P, in frame F, between the ports of W, at least one of which is a machine's; FLOW: what find_flow
 * found. P may be another afterwards.
 */
__noinline int firewall(struct __sk_buff *skb, const struct frame *f, struct packet *p,
			const struct passage *w, struct sp_flow *flow)
{
	int r;

	if (!f || !p || !w)
		return -SP_R_FLOW_INVALID;
	if (p->fragment & FRAGMENT_LATER) {
		tell(SP_STEP_FRAGMENT, w->port[TO], 0, 0);
		return judge_fragment(p, w);
	}
	if (is_flowless(p))
		return is_nd(p) ? GO_ON : ask_policies(skb, p, w, POLICY_NEW);
	if (is_error(p)) {
		r = judge_related(skb, p, w);
		if (r)
			return r;
		tell(SP_STEP_RELATED, w->port[TO], 0, 0);
		__builtin_memset(p, 0, sizeof(*p));
		if (read_packet(skb, f, p))
			return -SP_R_BAD_HEADERS;
		return ask_policies(skb, p, w, POLICY_RELATED);
	}
	if (!may_have_flow(p)) /* an ICMP message that asks nothing and answers nothing */
		return -SP_R_FLOW_INVALID;
	r = judge_by_flow(skb, p, w, flow);
	if (!r && (p->fragment & FRAGMENT_MORE) && !sp_explain)
		remember_fragment(p, w);
	return r;
}

/* --- what is no flow's --- */

/* A group frame, at the port of a machine that sends it or would get a copy. It makes no flow. */
__noinline int judge_copy(struct __sk_buff *skb, const struct packet *p, __u32 port,
			  __u32 direction)
{
	if (!p)
		return -SP_R_FLOW_INVALID;
	return is_nd(p) ? GO_ON : ask_policy(skb, p, port, direction, POLICY_GROUP);
}

/* Has the packet P, on its way as W has it, a flow that is not over? It is looked up anew. */
static __noinline bool has_flow(const struct packet *p, const struct passage *w)
{
	struct passage q = *w;
	struct sp_flow *f = find_flow(p, &q);
	__u32 word;

	if (!f)
		return false;
	word = READ_ONCE(f->word);
	return same_ends(f, &q) && !flow_is_over(f, word, flow_now(f, word));
}

/*
 * A packet that was judged when it came, and has waited since: may it still go on? Nothing is
 * learned from it a second time.
 */
__noinline int recall(struct __sk_buff *skb, struct packet *p, const struct passage *w)
{
	if (!p || !w)
		return -SP_R_FLOW_INVALID;
	if (p->fragment & FRAGMENT_LATER)
		return judge_fragment(p, w);
	if (is_flowless(p))
		return GO_ON;
	if (is_error(p))
		return judge_related(skb, p, w);
	return has_flow(p, w) ? GO_ON : -SP_R_FLOW_INVALID;
}

#endif
