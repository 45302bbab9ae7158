/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which flows of a table have to go? Those that are over, those of a machine that leaves, one that
 * an operator names. Who ends a flow takes its lock and never gives it back: whoever waits for it
 * finds the table without it.
 */
#ifndef SALLYPORT_BPF_COLLECT_H
#define SALLYPORT_BPF_COLLECT_H

#include "flow.h"

/* Ended at a time: each costs as much as looking at ten. */
#define SWEEP_ENDS_MAX 512

struct sweeper {
	__u64 now;  /* CLOCK_MONOTONIC */
	__u32 what; /* enum sp_sweep */
	__u32 port;
	__u32 ended;
	__u32 limit;
};

static __always_inline __u32 owner_ticks(const struct sp_flow *f, __u32 word, __u64 now)
{
	__u32 port = end_port(f, owner_end(f, word));
	const struct sp_machine *m = find_machine(port);

	return m ? machine_ticks(m, now) : f->expires;
}

static __always_inline bool has_to_go(const struct sweeper *s, const struct sp_flow *f, __u32 word)
{
	if (s->what == SP_SWEEP_PORT)
		return end_port(f, 0) == s->port || end_port(f, 1) == s->port;
	return s->what == SP_SWEEP_OVER && flow_is_over(f, word, owner_ticks(f, word, s->now));
}

/* Each flow: a look without the lock first, which costs more than the look. */
static long sweep_one(void *table, void *key, struct sp_flow *f, struct sweeper *s)
{
	const __u32 proof = SP_END_EPOCH << SP_END_EPOCH_SHIFT;
	__u32 word = READ_ONCE(f->word);

	if (s->what != SP_SWEEP_PROOFS && !has_to_go(s, f, word & ~SP_FLOW_LOCK))
		return 0;
	if (!lock_word(&f->word, &word))
		return 0;
	if (s->what == SP_SWEEP_PROOFS) {
		f->end[0] &= ~proof;
		f->end[1] &= ~proof;
	} else if (has_to_go(s, f, word) && !bpf_map_delete_elem(table, key)) {
		return ++s->ended >= s->limit;
	}
	unlock_word(&f->word, word);
	return 0;
}

/*
 * A table of a slot: the shards of IPv4, then those of IPv6. WHAT: enum sp_sweep. The number of
 * flows that were ended. Two calls, kept apart: Linux 6.1 wants one map for each.
 */
__noinline int sweep_table(__u32 slot, __u32 table, __u32 what, __u32 port, __u32 limit)
{
	struct sweeper s = {.now = bpf_ktime_get_ns(), .what = what, .port = port, .limit = limit};
	__u32 i = slot * sp_shards + (table < sp_shards ? table : table - sp_shards);
	struct sp_slot *row = find_slot(slot);
	void *flows;

	if (table >= 2 * sp_shards || !row)
		return 0;
	if (table < sp_shards) {
		flows = bpf_map_lookup_elem(&flows4, &i);
		if (flows)
			bpf_for_each_map_elem(flows, sweep_one, &s, 0);
		asm volatile("" ::: "memory");
	} else {
		flows = bpf_map_lookup_elem(&flows6, &i);
		if (flows)
			bpf_for_each_map_elem(flows, sweep_one, &s, 0);
	}
	__sync_fetch_and_add(&row->flows, -s.ended);
	return s.ended;
}

/* --- the timer --- */

#define TICK_MIN_NS 1000000ULL
#define TICK_MAX_NS 100000000ULL
#define TICK_SHARE 64 /* it takes no more of a CPU than one part in so many */
#define PASS_MIN_NS 1000000000ULL
#define SLOTS_A_TICK 256

struct search {
	__u32 slot, table;
	bool found, end;
};

/* On to the next table of a slot that has flows. */
static long search_slot(__u32 i, void *arg)
{
	struct search *s = arg;
	const struct sp_slot *row = find_slot(s->slot);

	s->end = !row;
	s->found = row && row->used && row->flows && s->table < 2 * sp_shards;
	if (s->end || s->found)
		return 1;
	s->slot++;
	s->table = 0;
	return 0;
}

static __always_inline __u64 collect_piece(struct sp_collector *c, const struct search *at)
{
	struct sp_slot *row = find_slot(at->slot);
	__u64 began = bpf_ktime_get_ns(), took;
	__u32 ended = sweep_table(at->slot, at->table, SP_SWEEP_OVER, 0, SWEEP_ENDS_MAX);

	if (row)
		__sync_fetch_and_add(&row->expired, ended);
	took = bpf_ktime_get_ns() - began;
	c->pieces++;
	c->ended += ended;
	c->total_ns += took;
	if (took > c->longest_ns)
		c->longest_ns = took;
	/* The same one again where it was not looked at to its end. */
	c->slot = at->slot;
	c->table = ended < SWEEP_ENDS_MAX ? at->table + 1 : at->table;
	return took;
}

static __always_inline __u64 end_pass(struct sp_collector *c)
{
	__u64 now = bpf_ktime_get_ns(), took = now - c->pass_ns;

	c->passes++;
	c->slot = 1;
	c->table = 0;
	c->pass_ns = now;
	return took < PASS_MIN_NS ? PASS_MIN_NS - took : 0;
}

static __always_inline __u64 clamp_ns(__u64 ns)
{
	return ns < TICK_MIN_NS ? TICK_MIN_NS : ns > TICK_MAX_NS ? TICK_MAX_NS : ns;
}

/* A bounded piece of work, and when the next one is due. */
static int collect_tick(void *map, __u32 *key, struct sp_collector *c)
{
	struct search s = {.slot = c->slot, .table = c->table};
	__u64 next = TICK_MIN_NS;

	bpf_loop(SLOTS_A_TICK, search_slot, &s, 0);
	c->slot = s.slot;
	c->table = s.table;
	if (s.found)
		next = clamp_ns(collect_piece(c, &s) * TICK_SHARE);
	else if (s.end)
		next = end_pass(c);
	bpf_timer_start(&c->timer, next < TICK_MIN_NS ? TICK_MIN_NS : next, 0);
	return 0;
}

#endif
