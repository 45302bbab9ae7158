// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How do flows come to an end? By a timer in the kernel that looks at all of them again and again,
 * daemon dead or alive; and by programs that the daemon runs (BPF_PROG_TEST_RUN), on no port. They
 * answer an errno: nothing here may be negative.
 */
#include "collect.h"

char LICENSE[] SEC("license") = "GPL";

/* uapi/linux/time.h, asm-generic/errno-base.h */
#define CLOCK_MONOTONIC 1
#define ENOENT 2
#define EBUSY 16
#define EINVAL 22

/* Start the timer, or put this program behind the one that runs. */
SEC("tc")
int collect(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sp_collector *c = bpf_map_lookup_elem(&collector, &zero);

	if (!c)
		return ENOENT;
	bpf_timer_init(&c->timer, &collector, CLOCK_MONOTONIC); /* it may be from before */
	if (bpf_timer_set_callback(&c->timer, collect_tick))
		return EINVAL;
	return bpf_timer_start(&c->timer, TICK_MIN_NS, 0) ? EINVAL : 0;
}

/* cb[0]: the slot, cb[1]: its table, cb[2]: enum sp_sweep, cb[3]: the port. */
SEC("tc")
int sweep(struct __sk_buff *skb)
{
	__u32 what = skb->cb[2], port = skb->cb[3];

	if (what == SP_SWEEP_PORT && !port)
		return EINVAL;
	sweep_table(skb->cb[0], skb->cb[1], what, port, SP_SHARD_FLOWS);
	return 0;
}

static __always_inline int end_one(struct sp_slot *row, void *table, void *key)
{
	struct sp_flow *f = bpf_map_lookup_elem(table, key);
	__u32 word;

	if (!f)
		return ENOENT;
	if (!lock_word(&f->word, &word))
		return EBUSY;
	if (bpf_map_delete_elem(table, key)) {
		let_go(&f->word);
		return ENOENT;
	}
	__sync_fetch_and_add(&row->flows, -1);
	return 0;
}

/* cb[0]: the slot, cb[1]: its table; the flow's key is behind the Ethernet header and two bytes. */
#define KEY_AT 16

SEC("tc")
int end_flow(struct __sk_buff *skb)
{
	__u32 slot = skb->cb[0], table = skb->cb[1];
	__u32 i = slot * sp_shards + (table < sp_shards ? table : table - sp_shards);
	struct sp_slot *row = find_slot(slot);
	struct sp_flow6_key k6;
	struct sp_flow4_key k4;
	void *flows;

	if (!row || table >= 2 * sp_shards)
		return EINVAL;
	if (table < sp_shards) {
		flows = bpf_map_lookup_elem(&flows4, &i);
		if (!flows || bpf_skb_load_bytes(skb, KEY_AT, &k4, sizeof(k4)))
			return EINVAL;
		return end_one(row, flows, &k4);
	}
	flows = bpf_map_lookup_elem(&flows6, &i);
	if (!flows || bpf_skb_load_bytes(skb, KEY_AT, &k6, sizeof(k6)))
		return EINVAL;
	return end_one(row, flows, &k6);
}
