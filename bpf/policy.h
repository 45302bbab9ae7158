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
	__u16 sum; /* of its rows, less their kind */
};

/* What all of a row makes: SP_ROW_SUM of the policy and the row's kind, where it is whole. */
static __always_inline __u16 row_sum(const struct sp_row *row)
{
	__u64 even = 0, odd = 0;

	for (int i = 0; i < SP_ROW_LEN / 8; i += 2) {
		even ^= row->word[i];
		odd ^= row->word[i + 1];
		/* In this order: loads that are all made first would need a stack. */
		asm volatile("" : "+r"(even), "+r"(odd));
	}
	even ^= odd;
	even ^= even >> 32;
	return even ^ even >> 16;
}

/* The sum of a whole row of this kind; POLICY: policy_view.sum. */
static __always_inline __u16 sum_of(__u16 policy, enum sp_row_kind kind)
{
	return policy + SP_ROW_SUM(0ULL, kind);
}

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
	if (!row)
		return false;
	v->head = &row->head;
	v->sum = SP_FOLD(row->head.digest);
	return row_sum(row) == sum_of(v->sum, SP_ROW_HEAD);
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

/* 1 if KEY is not above X, which is BOUND less one. The compiler would make a branch of it. */
static __always_inline __u32 not_above(__u32 key, __u64 bound)
{
	__u64 below = key - bound;

	asm volatile("" : "+r"(below));
	return below >> 63;
}

#define NODE32_QUARTER (SP_NODE32_KEYS / 4)

/*
 * How many keys are not above X? Two branches to a quarter of them, which the processor foresees
 * where many packets are alike; the quarter's five are counted without any. So no load waits for
 * one before it, as it would in a binary search, and not all twenty are counted.
 */
static __always_inline __u32 rank32(const struct sp_node32 *n, __u32 x)
{
	__u32 first = 0, n_below = 0;

	if (x >= n->key[2 * NODE32_QUARTER - 1])
		first = 2 * NODE32_QUARTER;
	if (x >= n->key[first + NODE32_QUARTER - 1])
		first += NODE32_QUARTER;
	for (int i = 0; i < NODE32_QUARTER; i++)
		n_below += not_above(n->key[first + i], (__u64)x + 1);
	return first + n_below;
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

/* Down to a vector; the sum of a row tells its kind, and that it is whole. POLICY: see sum_of. */
static __always_inline const struct sp_vector *find32(void *rows, __u32 at, __u32 key, __u16 policy)
{
	for (int i = 0; i <= SP_DEPTH32; i++) {
		const struct sp_row *row = bpf_map_lookup_elem(rows, &at);
		__u16 sum;

		if (!row)
			return NULL;
		sum = row_sum(row);
		if (sum == sum_of(policy, SP_ROW_VECTOR))
			return &row->vector;
		if (sum != sum_of(policy, SP_ROW_NODE32))
			return NULL;
		at = row->node32.child[rank32(&row->node32, key)];
	}
	return NULL;
}

static __noinline const struct sp_vector *find128(void *rows, __u32 at, __u64 high, __u64 low,
						  __u16 policy)
{
	for (int i = 0; i <= SP_DEPTH128; i++) {
		const struct sp_row *row = bpf_map_lookup_elem(rows, &at);
		__u16 sum;

		if (!row)
			return NULL;
		sum = row_sum(row);
		if (sum == sum_of(policy, SP_ROW_VECTOR))
			return &row->vector;
		if (sum != sum_of(policy, SP_ROW_NODE128))
			return NULL;
		at = row->node128.child[rank128(&row->node128, high, low)];
	}
	return NULL;
}

/* By itself, where few rules ask: what it needs on the stack is not added to the caller's. */
static __noinline const struct sp_vector *find32_apart(void *rows, __u32 at, __u32 key,
						       __u16 policy)
{
	return find32(rows, at, key, policy);
}

static __always_inline const struct sp_vector *find_address6(const struct policy_view *v, __u32 at,
							     const union addr *a)
{
	return find128(v->rows, at, bpf_be64_to_cpu(a->d[0]), bpf_be64_to_cpu(a->d[1]), v->sum);
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
	const union addr *remote = out ? &p->dst : &p->src, *local = out ? &p->src : &p->dst;

	ret->service = find32(v->rows, s->service, service_of(p), v->sum);
	if (!ret->service)
		return false;
	ret->remote = ret->local = ret->source = ret->service;
	if (p->version == 4) {
		if (s->remote4)
			ret->remote = find32(v->rows, s->remote4, bpf_ntohl(remote->w[3]), v->sum);
		if (s->local4)
			ret->local =
				find32_apart(v->rows, s->local4, bpf_ntohl(local->w[3]), v->sum);
	} else {
		if (s->remote6)
			ret->remote = find_address6(v, s->remote6, remote);
		if (s->local6)
			ret->local = find_address6(v, s->local6, local);
	}
	if (s->source)
		ret->source = find32_apart(v->rows, s->source, bpf_ntohs(p->sport), v->sum);
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

/* Word I of what is in all vectors. */
static __always_inline __u64 common_word(const struct vectors *x, __u32 i)
{
	if (i < SP_VECTOR_WORDS)
		return x->service->word[i] & x->remote->word[i] & x->local->word[i] &
		       x->source->word[i];
	return last_word(x->service) & last_word(x->remote) & last_word(x->local) &
	       last_word(x->source);
}

/* The lowest rule that is in all vectors; SP_RULES_MAX: there is none. */
static __always_inline __u32 first_rule(const struct vectors *x)
{
	__u8 some = x->service->some & x->remote->some & x->local->some & x->source->some;
	__u32 rule = 0;
	__u64 w = 0;

#pragma unroll
	for (__u32 i = 0; i <= SP_VECTOR_WORDS; i++) {
		if (!(some & 1 << i / 2))
			continue;
		w = common_word(x, i);
		rule = i * 64;
		if (w)
			break;
	}
	return w ? rule + lowest_bit(w) : SP_RULES_MAX;
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
	__u32 rule, slot, at;

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
	rule = first_rule(&x);
	if (rule >= SP_RULES_MAX)
		return conclude_default(&v, q, p, ret);
	at = v.head->first_rules + rule / SP_RULES_ROW;
	row = bpf_map_lookup_elem(v.rows, &at);
	if (!row || row_sum(row) != sum_of(v.sum, SP_ROW_RULES))
		return SP_R_POLICY_BROKEN;
	slot = rule % SP_RULES_ROW;
	return conclude(q, p, row->rules.action[slot], row->rules.counter[slot], rule + 1, ret);
}

#endif
