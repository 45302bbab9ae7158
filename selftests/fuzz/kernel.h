/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What bpf/policy.h needs of the kernel, in user space: so that the very code that judges in the
 * kernel can be put before a fuzzer with sanitizers. Maps are arrays here.
 */
#ifndef SALLYPORT_SELFTESTS_FUZZ_KERNEL_H
#define SALLYPORT_SELFTESTS_FUZZ_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/abi.h"

/* Instead of vmlinux.h, bpf/maps.h and libbpf's headers. */
#define __VMLINUX_H__
#define SALLYPORT_BPF_MAPS_H
#define __BPF_HELPERS__
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

struct ethhdr {
	__u8 h_dest[SP_MAC_LEN], h_source[SP_MAC_LEN];
	__be16 h_proto;
};

struct vlan_hdr {
	__be16 h_vlan_TCI, h_vlan_encapsulated_proto;
};

/* An array, or an array of those. */
struct fuzz_map {
	void *values;
	__u32 n, value_size;
	const struct fuzz_map *inner; /* of an array of maps */
};

static inline void *fuzz_lookup(const struct fuzz_map *map, const void *key)
{
	__u32 i;

	__builtin_memcpy(&i, key, sizeof(i));
	if (i >= map->n)
		return NULL;
	return map->inner ? (void *)map->inner : (char *)map->values + (size_t)i * map->value_size;
}

#define bpf_map_lookup_elem(map, key) fuzz_lookup((const struct fuzz_map *)(map), key)

/* Frames are not read here. */
static inline long bpf_skb_load_bytes(const void *skb, __u32 at, void *to, __u32 n)
{
	return -1;
}

static inline long bpf_skb_pull_data(void *skb, __u32 n)
{
	return -1;
}

static inline long bpf_loop(__u32 n, void *callback, void *arg, __u64 flags)
{
	return -1;
}

static struct fuzz_map policies, rule_counters;
static const __u32 sp_explain;

#endif
