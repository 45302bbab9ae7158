// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is the dataplane measured against, and with? Programs that do nothing, or only redirect; the
 * source and the sink of live frames; and one that gives a test run's frame another address each
 * time.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "bench/peers.h"

char LICENSE[] SEC("license") = "GPL";

/* uapi/linux/pkt_cls.h */
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2

const volatile __u32 redirect_target = 0; /* ifindex */

/* How `cycle` walks through the addresses. */
__u32 cycle_mask;   /* of the index: 2^n - 1 */
__u32 cycle_random; /* 0: one after the other */
__u32 cycle_state;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sunk SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("tc")
int redirect_only(struct __sk_buff *skb)
{
	return bpf_redirect(redirect_target, 0);
}

/* Knuth's multiplier and any odd increment: all 2^32 states; the high bits are the random ones. */
static __always_inline __u32 step(void)
{
	if (!cycle_random)
		return ++cycle_state & cycle_mask;
	cycle_state = cycle_state * 1664525 + 1013904223;
	return (cycle_state >> 8) & cycle_mask;
}

/* Another source and destination each time, then the program in `next`. */
SEC("tc")
int cycle(struct __sk_buff *skb)
{
	struct bench_addresses *a = (void *)(long)skb->data;
	__u32 i = step();

	if ((void *)(a + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	bench_mac(a->dst, i ^ 1);
	bench_mac(a->src, i);
	bpf_tail_call(skb, &next, 0);
	return TC_ACT_SHOT;
}

/* A test run gives the next run what the last one left: without the tag, then `next`. */
SEC("tc")
int untag(struct __sk_buff *skb)
{
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	bpf_tail_call(skb, &next, 0);
	return TC_ACT_SHOT;
}

SEC("xdp")
int inject(struct xdp_md *xdp)
{
	return XDP_PASS;
}

/* At the far end, at tc: a frame that was moved there directly never meets XDP. */
SEC("tc")
int sink(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&sunk, &zero);

	if (n)
		++*n;
	return TC_ACT_SHOT;
}
