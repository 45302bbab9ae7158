/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which flow does a packet belong to, and is it still one? Keys and look-ups, the lock of an entry,
 * machines' time, and when a flow is over.
 */
#ifndef SALLYPORT_BPF_FLOW_H
#define SALLYPORT_BPF_FLOW_H

#include "machine.h"
#include "packet.h"

/* Indices of struct passage. */
#define FROM 0
#define TO 1

union flow_key {
	struct sp_flow4_key k4;
	struct sp_flow6_key k6;
	__u32 word[sizeof(struct sp_flow6_key) / sizeof(__u32)];
};

/* A packet on its way between two ports, at least one of them a machine's. */
struct passage {
	__u32 slot;	/* of the segment */
	__u32 table;	/* in `flows4` or `flows6` */
	__u32 port[2];	/* the machines there; 0: another port */
	__u32 ticks[2]; /* what time it is for them */
	__u8 epoch;	/* low bits of the slot's, before anything was proved */
	__u8 leg[3];	/* as in the key */
	__u16 tag;	/* of the key, as in sp_flow */
	__u8 six;	/* IPv6 */
	__u8 from;	/* which end of the key has sent it */
	union flow_key key;
};

/*
 * What functions of the firewall answer: a negative enum sp_reason, that the packet is to go on, or
 * how it has to be looked at again.
 */
#define GO_ON 0
#define FRESH 1 /* it has no flow, or begins another in its place */
#define LOST 2	/* its flow was ended, or made, by another CPU at this moment */

/* --- time --- */

static __always_inline __u64 machine_ns(const struct sp_machine *m, __u64 now)
{
	return m->frozen_ns ?: now - m->clock_off_ns;
}

static __always_inline __u32 machine_ticks(const struct sp_machine *m, __u64 now)
{
	return machine_ns(m, now) >> SP_TICK_SHIFT;
}

/* Is it A, or later? Ticks wrap. */
static __always_inline bool ticks_reached(__u32 now, __u32 a)
{
	return (__s32)(now - a) >= 0;
}

static __always_inline const struct sp_timeouts *all_timeouts(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&timeouts, &zero);
}

static __always_inline __u32 timeout(enum sp_timeout which)
{
	const struct sp_timeouts *t = all_timeouts();
	__u32 i = which;

	return t ? t->ticks[i & 31] : 0;
}

/* --- keys --- */

/* ICMP's requests that are answered; RFC 792, 950; RFC 4443, 4620. */
static __always_inline bool icmp_is_request(const struct packet *p)
{
	if (p->version == 6)
		return p->icmp_type == 128 || p->icmp_type == 139;
	return p->icmp_type == 8 || p->icmp_type == 13 || p->icmp_type == 15 || p->icmp_type == 17;
}

/* The type of the request that it is, or answers; only of what has a flow (icmp_has_id). */
static __always_inline __u8 icmp_request_type(const struct packet *p)
{
	if (p->version == 6)
		return p->icmp_type == 128 || p->icmp_type == 129 ? 128 : 139;
	if (p->icmp_type == 0 || p->icmp_type == 8)
		return 8;
	return p->icmp_type & 1 ? p->icmp_type : p->icmp_type - 1; /* 14: 13, 16: 15, 18: 17 */
}

static __always_inline bool is_icmp(const struct packet *p)
{
	return p->proto == (p->version == 6 ? PROTO_ICMP6 : PROTO_ICMP);
}

/* Which end of the key is it that sent P? */
static __always_inline __u8 sending_end4(const struct packet *p)
{
	__u32 a = bpf_ntohl(p->src.w[3]), b = bpf_ntohl(p->dst.w[3]);

	return a == b ? bpf_ntohs(p->sport) > bpf_ntohs(p->dport) : a > b;
}

static __always_inline __u8 sending_end6(const struct packet *p)
{
	__u64 a = bpf_be64_to_cpu(p->src.d[0]), b = bpf_be64_to_cpu(p->dst.d[0]);

	if (a == b) {
		a = bpf_be64_to_cpu(p->src.d[1]);
		b = bpf_be64_to_cpu(p->dst.d[1]);
	}
	return a == b ? bpf_ntohs(p->sport) > bpf_ntohs(p->dport) : a > b;
}

/*
 * What stands for ports in a query of ICMP: who asked is part of it, so that two that ask each
 * other with the same identifier have a flow each.
 */
static __always_inline __u32 icmp_ports(const struct packet *p, __u8 from)
{
	__u8 asker = icmp_is_request(p) ? from : !from;
	__u16 kind = (icmp_request_type(p) & 0x7f) << 8 | p->icmp_code;

	return join(p->icmp_id, bpf_htons(asker << 15 | kind));
}

/* The ports of P in the key's order. */
static __always_inline __u32 key_ports(const struct packet *p, __u8 from)
{
	if (is_icmp(p))
		return icmp_ports(p, from);
	return from ? join(p->dport, p->sport) : join(p->sport, p->dport);
}

/* For the choice of the table and the tag; the kernel's hash is not ours to have. */
static __always_inline __u64 mix(__u64 h, __u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL; /* 2^64 over the golden ratio, odd */
	return h ^ h >> 32;
}

static __always_inline void place_key(struct passage *w, __u64 h)
{
	__u32 shards = sp_shards;

	w->table = w->slot * shards + ((__u32)h & (shards - 1));
	w->tag = h >> 40;
}

/* The last eight bytes of a key: ports, protocol, leg; as two words that are stored whole. */
static __always_inline __u64 key_end(const struct packet *p, const struct passage *w)
{
	__u32 leg = w->leg[0] | (__u32)w->leg[1] << 8 | (__u32)w->leg[2] << 16;

	return key_ports(p, w->from) | (__u64)(p->proto | leg << 8) << 32;
}

/* As they are hashed. */
static __always_inline void set_words(__u32 *at, __u64 v)
{
	at[0] = v;
	at[1] = v >> 32;
}

static __always_inline void make_key4(const struct packet *p, struct passage *w)
{
	__be32 src = p->src.w[3], dst = p->dst.w[3];
	__u64 ends, end;

	w->six = 0;
	w->from = sending_end4(p);
	ends = w->from ? dst | (__u64)src << 32 : src | (__u64)dst << 32;
	end = key_end(p, w);
	set_words(w->key.word, ends);
	set_words(w->key.word + 2, end);
	place_key(w, mix(mix(sp_mark, ends), end));
}

/* By copies: of pointers that it chooses from, clang would keep all of P in memory. */
static __always_inline void make_key6(const struct packet *p, struct passage *w)
{
	union addr low = p->src, high = p->dst;
	__u64 end, h = sp_mark;

	w->six = 1;
	w->from = sending_end6(p);
	end = key_end(p, w);
	if (w->from) {
		low = p->dst;
		high = p->src;
	}
	set_words(w->key.word, low.d[0]);
	set_words(w->key.word + 2, low.d[1]);
	set_words(w->key.word + 4, high.d[0]);
	set_words(w->key.word + 6, high.d[1]);
	set_words(w->key.word + 8, end);
	h = mix(mix(h, low.d[0]), low.d[1]);
	h = mix(mix(h, high.d[0]), high.d[1]);
	place_key(w, mix(h, end));
}

/* Slot and leg of the passage are known. */
static __always_inline void make_key(const struct packet *p, struct passage *w)
{
	if (p->version == 6)
		make_key6(p, w);
	else
		make_key4(p, w);
}

/* --- entries --- */

/*
 * One call for each kind of table: the kernel puts the look-up in place only of a call that always
 * has the same (bpf_map_ptr_poisoned), and clang would make one of both.
 */
static __always_inline struct sp_flow *look_up4(struct passage *w)
{
	void *table = bpf_map_lookup_elem(&flows4, &w->table);

	return table ? bpf_map_lookup_elem(table, &w->key.k4) : NULL;
}

static __always_inline struct sp_flow *look_up6(struct passage *w)
{
	void *table = bpf_map_lookup_elem(&flows6, &w->table);
	struct sp_flow *f = table ? bpf_map_lookup_elem(table, &w->key.k6) : NULL;

	asm volatile("" : "+r"(f));
	return f;
}

static __always_inline struct sp_flow *look_up(struct passage *w)
{
	return w->six ? look_up6(w) : look_up4(w);
}

static __always_inline struct sp_slot *find_slot(__u32 slot)
{
	return bpf_map_lookup_elem(&slots, &slot);
}

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/* Tries: much longer than another CPU takes that runs, and less than a tenth of a millisecond. */
#define LOCK_PATIENCE 4096

struct locking {
	__u32 *at, word;
	bool held;
};

static __always_inline bool try_lock(struct locking *l)
{
	__u32 word = READ_ONCE(*l->at);

	if (word & SP_FLOW_LOCK)
		return false;
	l->word = word;
	l->held = __sync_val_compare_and_swap(l->at, word, word | SP_FLOW_LOCK) == word;
	return l->held;
}

static long lock_again(__u32 i, void *arg)
{
	return try_lock(arg);
}

/* False: it is being ended, or its holder does not run. *RET: the word, without the lock. */
static __always_inline bool lock_word(__u32 *at, __u32 *ret)
{
	struct locking l = {.at = at};

	if (!try_lock(&l))
		bpf_loop(LOCK_PATIENCE, lock_again, &l, 0);
	*ret = l.word;
	return l.held;
}

/* What was written before is seen before: an exchange is a barrier, and costs as much as a look-up.
 */
static __always_inline void unlock_word(__u32 *at, __u32 word)
{
	if (sp_stores_in_order) {
		asm volatile("" ::: "memory");
		WRITE_ONCE(*at, word);
	} else {
		__sync_lock_test_and_set(at, word);
	}
}

/* As it was, or as whoever has used the memory anew has made it. */
static __always_inline void let_go(__u32 *at)
{
	__sync_fetch_and_and(at, ~SP_FLOW_LOCK);
}

static __always_inline __u8 originator(__u32 word)
{
	return word & SP_FLOW_FLIP ? 1 : 0;
}

static __always_inline __u32 end_port(const struct sp_flow *f, __u8 end)
{
	return f->end[end & 1] & SP_END_PORT;
}

/* The end whose machine's clock counts: the one that was called, if a machine is there. */
static __always_inline __u8 owner_end(const struct sp_flow *f, __u32 word)
{
	__u8 called = !originator(word);

	return end_port(f, called) ? called : !called;
}

static __always_inline bool is_tcp_state(__u8 state)
{
	return state <= SP_FLOW_SYN_SENT2;
}

/* The timeout that holds in a state when nothing else is the matter. */
static __always_inline enum sp_timeout state_timeout(__u32 word)
{
	__u8 state = word & SP_FLOW_STATE;

	if (is_tcp_state(state))
		return (enum sp_timeout)state;
	return state == SP_FLOW_STREAM ? SP_TIMEOUT_UDP_STREAM : SP_TIMEOUT_OTHER;
}

/*
 * Its time has run out on its owner's clock. If there is a machine at the other end as well, it
 * lives on while that one's clock stands, and as long again as it lives in its state when that
 * one's goes again: it is the owner's clock that has gone on meanwhile.
 */
static __noinline bool may_end(const struct sp_flow *f, __u32 word)
{
	__u32 port = end_port(f, !owner_end(f, word));
	const struct sp_machine *m = port ? find_machine(port) : NULL;
	__u64 since;

	if (!m)
		return true;
	if (m->frozen_ns)
		return false;
	if (!m->thawed_ns)
		return true;
	since = bpf_ktime_get_coarse_ns() - m->thawed_ns;
	return since >> SP_TICK_SHIFT >= timeout(state_timeout(word));
}

/* NOW: the owner's time. */
static __always_inline bool flow_is_over(const struct sp_flow *f, __u32 word, __u32 now)
{
	return ticks_reached(now, f->expires) && may_end(f, word);
}

/* The time of the machine that was called, or of the other where none was. */
static __always_inline __u32 owner_now(const struct passage *w, bool reply)
{
	if (reply)
		return w->port[FROM] ? w->ticks[FROM] : w->ticks[TO];
	return w->port[TO] ? w->ticks[TO] : w->ticks[FROM];
}

/* What time it is for a flow, whoever's frame asks. */
static __always_inline __u32 flow_now(const struct sp_flow *f, __u32 word)
{
	__u32 port = end_port(f, owner_end(f, word));
	const struct sp_machine *m = find_machine(port);

	return m ? machine_ticks(m, bpf_ktime_get_coarse_ns()) : f->expires;
}

/* Do the machines that it was judged for stand at its ends? */
static __always_inline bool same_ends(const struct sp_flow *f, const struct passage *w)
{
	return end_port(f, w->from) == w->port[FROM] && end_port(f, !w->from) == w->port[TO];
}

/* --- what is proved of a flow's sender --- */

/*
 * May be asked without the lock: one word says it all, and who writes it has the machine's port and
 * the key's address before him. The 0 of an epoch, one in 256, proves nothing: the daemon then
 * takes back all proofs, so that none is ever taken for one of a later round.
 */
static __always_inline bool is_proven(const struct sp_flow *f, const struct passage *w)
{
	__u32 word = READ_ONCE(f->end[w->from & 1]);

	return w->epoch && (word >> SP_END_EPOCH_SHIFT & SP_END_EPOCH) == w->epoch &&
	       (word & SP_END_PORT) == w->port[FROM];
}

/* The sender's address was looked up, or its flow says that it was. The flow is locked. */
static __always_inline void note_proof(struct sp_flow *f, const struct passage *w)
{
	const __u32 mask = SP_END_EPOCH << SP_END_EPOCH_SHIFT;
	__u32 proof = (__u32)w->epoch << SP_END_EPOCH_SHIFT;

	if (w->from)
		f->end[1] = (f->end[1] & ~mask) | proof;
	else
		f->end[0] = (f->end[0] & ~mask) | proof;
}

#endif
