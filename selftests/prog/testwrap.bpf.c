// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How does a test run give `steer_ingress` or `steer_machine` a tagged frame? The tag is metadata
 * beside the frame, and BPF_PROG_TEST_RUN has no field for it: it comes in cb, is put where it
 * belongs here, and the real program takes over.
 */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* No program here: a verdict that neither program can give. */
#define BROKEN 77

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/*
 * cb[0]: the tag's protocol, 0 for none; cb[1]: its 16 bits; cb[2]: cut to this length, 0 for not:
 * newer kernels take no test frame that is shorter than its headers; cb[3]: which program.
 */
SEC("tc")
int wrap(struct __sk_buff *skb)
{
	__u32 proto = skb->cb[0], tci = skb->cb[1], len = skb->cb[2], which = skb->cb[3];

	if (len && bpf_skb_change_tail(skb, len, 0))
		return BROKEN;
	if (proto && bpf_skb_vlan_push(skb, bpf_htons(proto), tci))
		return BROKEN;
	bpf_tail_call(skb, &target, which);
	return BROKEN;
}
