/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a machine's policy say of a packet? The first rule that matches, found by search trees
 * and bit vectors (abi.h, "policies"): a look-up for each level of a tree, one for each vector, and
 * one for the rule, however many rules there are.
 *
 * The rows are what the loader wrote and nobody can change; they are read as if that were not so.
 * An index that leads nowhere, a row of another kind or of another policy, a tree that is deeper
 * than trees are: the packet is dropped as policy-broken (I4).
 */
#ifndef SALLYPORT_BPF_POLICY_H
#define SALLYPORT_BPF_POLICY_H

#include "maps.h"
#include "packet.h"

/* abi.h: enum sp_direction, enum sp_subject */
enum policy_direction { POLICY_IN = SP_IN, POLICY_OUT = SP_OUT };
enum policy_state {
	POLICY_NEW = SP_SUBJECT_NEW + 1,
	POLICY_RELATED = SP_SUBJECT_RELATED + 1,
	POLICY_GROUP = SP_SUBJECT_GROUP + 1,
};

struct policy_question {
	__u32 port;	/* whose policy: the machine's */
	__u8 direction; /* enum policy_direction: as the machine sees it */
	__u8 state;	/* enum policy_state: what is judged */
	__u8 foreign;	/* it comes from another segment than the machine's: by a grant */
	__u8 pad;
};

struct policy_answer {
	__u8 action; /* SP_ACCEPT, SP_DROP, SP_REJECT */
	__u8 log;    /* the rule says that it is to be logged */
	__u16 rule;  /* its number, from 1; 0: the default */
};

/* One policy, as long as this program runs: the map may be replaced meanwhile, not this one. */
struct policy_view {
	void *rows;
	const struct sp_head *head;
	__u16 stamp;
};

static __always_inline bool policy_open(struct policy_view *v, __u32 port)
{
	__u32 zero = 0;
	const struct sp_row *row;

	v->rows = bpf_map_lookup_elem(&policies, &port);
	if (!v->rows)
		v->rows = bpf_map_lookup_elem(&policies, &zero);
	if (!v->rows)
		return false;
	row = bpf_map_lookup_elem(v->rows, &zero);
	if (!row || row->kind != SP_ROW_HEAD)
		return false;
	v->head = &row->head;
	v->stamp = row->stamp;
	return true;
}

static __always_inline const struct sp_row *policy_row(const struct policy_view *v, __u32 index)
{
	const struct sp_row *row = bpf_map_lookup_elem(v->rows, &index);

	return row && row->stamp == v->stamp ? row : NULL;
}

/*
 * NULL: the question is none. The index is compared behind a barrier, in the register that is used,
 * or the verifier does not see that it is in bounds.
 */
static __always_inline const struct sp_section *section_of(const struct sp_head *head,
							   const struct policy_question *q)
{
	__u32 i = q->direction * _SP_SUBJECTS + q->state - POLICY_NEW;

	if (q->state < POLICY_NEW || q->state > POLICY_GROUP)
		return NULL;
	asm volatile("" : "+r"(i));
	if (i >= _SP_DIRECTIONS * _SP_SUBJECTS)
		return NULL;
	return &head->section[0][0] + i;
}

/* --- trees --- */

/*
 * How many keys are not above X: by counting all of them, without a branch. Loads that wait for
 * none before them take a fraction of the time of a binary search, in which each does.
 */
static __always_inline __u32 rank32(const struct sp_node32 *n, __u32 x)
{
	__u64 bound = (__u64)x + 1;
	__u32 rank = 0;

	for (int i = 0; i < SP_NODE32_KEYS; i++) {
		rank += (n->key[i] - bound) >> 63;
		asm volatile("" : "+r"(rank)); /* in order: sums in a tree would need a stack */
	}
	return rank;
}

static __always_inline __u32 rank128(const struct sp_node128 *n, __u64 high, __u64 low)
{
	__u32 rank = 0;

	for (int i = 0; i < SP_NODE128_KEYS; i++) {
		const struct sp_key128 *k = &n->key[i];

		if (k->high > high || (k->high == high && k->low > low))
			break;
		rank++;
	}
	return rank;
}

static __always_inline const struct sp_vector *find32(const struct policy_view *v, __u32 at,
						      __u32 key)
{
	for (int i = 0; i <= SP_DEPTH32; i++) {
		const struct sp_row *row = policy_row(v, at);

		if (!row)
			return NULL;
		if (row->kind == SP_ROW_VECTOR)
			return &row->vector;
		if (row->kind != SP_ROW_NODE32)
			return NULL;
		at = row->node32.child[rank32(&row->node32, key)];
	}
	return NULL;
}

static __always_inline const struct sp_vector *find128(const struct policy_view *v, __u32 at,
						       __u64 high, __u64 low)
{
	for (int i = 0; i <= SP_DEPTH128; i++) {
		const struct sp_row *row = policy_row(v, at);

		if (!row)
			return NULL;
		if (row->kind == SP_ROW_VECTOR)
			return &row->vector;
		if (row->kind != SP_ROW_NODE128)
			return NULL;
		at = row->node128.child[rank128(&row->node128, high, low)];
	}
	return NULL;
}

static __always_inline const struct sp_vector *find_address(const struct policy_view *v,
							    __u32 root4, __u32 root6,
							    const struct packet *p,
							    const union addr *a)
{
	if (p->version == 4)
		return find32(v, root4, bpf_ntohl(a->w[3]));
	return find128(v, root6, bpf_be64_to_cpu(a->d[0]), bpf_be64_to_cpu(a->d[1]));
}

/* --- rules --- */

static __always_inline __u32 service_of(const struct packet *p)
{
	__u32 key = (__u32)p->proto << 16;

	if (p->proto == (p->version == 4 ? PROTO_ICMP6 : PROTO_ICMP))
		return SP_SERVICE_NONE;
	if (p->proto == PROTO_ICMP || p->proto == PROTO_ICMP6)
		return key | p->icmp_type << 8 | p->icmp_code;
	return key | bpf_ntohs(p->dport);
}

struct vectors {
	const struct sp_vector *service, *remote, *local, *source;
};

/* The vector of each dimension; of one that no rule asks for, another's, which changes nothing. */
static __always_inline bool find_vectors(const struct policy_view *v, const struct sp_section *s,
					 const struct packet *p, bool out, struct vectors *ret)
{
	bool v4 = p->version == 4;

	ret->service = find32(v, s->service, service_of(p));
	if (!ret->service)
		return false;
	ret->remote = ret->local = ret->source = ret->service;
	if (v4 ? s->remote4 : s->remote6)
		ret->remote = find_address(v, s->remote4, s->remote6, p, out ? &p->dst : &p->src);
	if (v4 ? s->local4 : s->local6)
		ret->local = find_address(v, s->local4, s->local6, p, out ? &p->src : &p->dst);
	if (s->source)
		ret->source = find32(v, s->source, bpf_ntohs(p->sport));
	return ret->remote && ret->local && ret->source;
}

static __always_inline __u64 last_word(const struct sp_vector *v)
{
	return (__u64)v->high << 32 | v->low;
}

/*
 * Which is the lowest bit of W? Not 0. As many bits are below it as it has when taken less one,
 * and those are counted in parallel; the compiler's own way is one that its BPF backend has not.
 */
static __always_inline __u32 lowest_bit(__u64 w)
{
	__u64 n = (w & -w) - 1;

	n -= n >> 1 & 0x5555555555555555ULL;
	n = (n & 0x3333333333333333ULL) + (n >> 2 & 0x3333333333333333ULL);
	n = (n + (n >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return n * 0x0101010101010101ULL >> 56;
}

/* The lowest of the first N rules that is in all vectors; N: there is none. */
static __always_inline __u32 first_rule(const struct vectors *x, __u32 n)
{
	__u64 w;

	for (__u32 i = 0; i < SP_VECTOR_WORDS; i++) {
		if (i * 64 >= n)
			return n;
		w = x->service->word[i] & x->remote->word[i] & x->local->word[i] &
		    x->source->word[i];
		if (w)
			return i * 64 + lowest_bit(w);
	}
	w = last_word(x->service) & last_word(x->remote) & last_word(x->local) &
	    last_word(x->source);
	return w ? SP_VECTOR_WORDS * 64 + lowest_bit(w) : n;
}

/* --- the answer --- */

static __always_inline void count_rule(__u32 counter, const struct packet *p)
{
	struct sp_rule_counter *c;

	if (sp_explain)
		return;
	c = bpf_map_lookup_elem(&rule_counters, &counter);
	if (c) {
		c->packets++;
		c->bytes += p->l4 + p->l4_len;
	}
}

/* SAYS: an action as rows have it. The one place where a policy's answer is made. */
static __always_inline int conclude(const struct policy_question *q, const struct packet *p,
				    __u8 says, __u32 counter, __u32 rule, struct policy_answer *ret)
{
	__u8 action = says & ~SP_RULE_LOG;

	if (action == SP_SEGMENT)
		action = q->foreign ? SP_DROP : SP_ACCEPT;
	if (action != SP_ACCEPT && action != SP_DROP && action != SP_REJECT)
		return SP_R_POLICY_BROKEN;
	count_rule(counter, p);
	ret->action = action;
	ret->log = says & SP_RULE_LOG ? 1 : 0;
	ret->rule = rule;
	if (action == SP_ACCEPT)
		return SP_R_NONE;
	if (!rule)
		return SP_R_POLICY;
	return action == SP_REJECT ? SP_R_POLICY_REJECT : SP_R_POLICY_DROP;
}

/* No rule matches. What is related to a flow passes with it, unless a rule says otherwise. */
static __always_inline int conclude_default(const struct policy_view *v,
					    const struct policy_question *q, const struct packet *p,
					    struct policy_answer *ret)
{
	bool out = q->direction == POLICY_OUT;

	if (q->state == POLICY_RELATED)
		return conclude(q, p, SP_ACCEPT, 0, 0, ret);
	return conclude(q, p, v->head->fallback[out], v->head->counter[out], 0, ret);
}

/*
 * What the policy of machine Q->port says of packet P. Counts the rule that matched. SP_R_NONE: it
 * passes; else why not, and *RET says whether its sender is to be told.
 */
__noinline int policy_judge(const struct policy_question *q, const struct packet *p,
			    struct policy_answer *ret)
{
	const struct sp_section *s;
	const struct sp_row *row;
	struct policy_view v;
	struct vectors x;
	__u32 rule, slot;

	if (!q || !p || !ret)
		return SP_R_POLICY_BROKEN;
	ret->action = SP_DROP;
	ret->log = 0;
	ret->rule = 0;
	if (!policy_open(&v, q->port))
		return SP_R_POLICY_BROKEN;
	s = section_of(v.head, q);
	if (!s)
		return SP_R_POLICY_BROKEN;
	if (!s->rules)
		return conclude_default(&v, q, p, ret);
	if (!find_vectors(&v, s, p, q->direction == POLICY_OUT, &x))
		return SP_R_POLICY_BROKEN;
	rule = first_rule(&x, s->rules);
	if (rule >= s->rules)
		return conclude_default(&v, q, p, ret);
	row = policy_row(&v, v.head->first_rules + rule / SP_RULES_ROW);
	if (!row || row->kind != SP_ROW_RULES)
		return SP_R_POLICY_BROKEN;
	slot = rule % SP_RULES_ROW;
	return conclude(q, p, row->rules.action[slot], row->rules.counter[slot], rule + 1, ret);
}

#endif
