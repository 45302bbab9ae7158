/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The maps, as include/sallyport/abi.h lays them out and docs/maps.md tells them. Sizes here are
 * placeholders: the loader sets them before loading. Hashes are not preallocated: memory follows
 * use.
 */
#ifndef SALLYPORT_BPF_MAPS_H
#define SALLYPORT_BPF_MAPS_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "sallyport/abi.h"

#define HASH_MAP(name, key_type, value_type)                                                       \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, 1);                                                            \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

#define ARRAY_MAP(name, array_type, value_type, entries)                                           \
	struct {                                                                                   \
		__uint(type, array_type);                                                          \
		__uint(max_entries, entries);                                                      \
		__type(key, __u32);                                                                \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

HASH_MAP(ports, __u32, struct sp_port);
HASH_MAP(vids, struct sp_vid_key, struct sp_vid);
HASH_MAP(bindings, struct sp_bind_key, struct sp_bind);
HASH_MAP(fdb, struct sp_fdb_key, struct sp_dst);
HASH_MAP(flood, __u32, struct sp_flood);
ARRAY_MAP(police, BPF_MAP_TYPE_ARRAY, struct sp_police, 1);
ARRAY_MAP(quotas, BPF_MAP_TYPE_ARRAY, struct sp_quota, 1);
ARRAY_MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, struct sp_counter, 1);
ARRAY_MAP(reasons, BPF_MAP_TYPE_PERCPU_ARRAY, struct sp_reason_count, SP_REASON_SLOTS);
ARRAY_MAP(config, BPF_MAP_TYPE_ARRAY, struct sp_config, 1);

HASH_MAP(addresses, struct sp_address_key, struct sp_address);

/* Written by user space without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sp_machine);
} machines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SP_EVENTS_SIZE);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SP_NOTICES_SIZE);
} notices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sp_slot);
} slots SEC(".maps");

/* By slot. What is in them the loader makes, sizes as well. */
#define MAP_OF_MAPS(name, inner)                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__array(values, inner);                                                            \
	} name SEC(".maps")

/* Sizes, not types: clang leaves out of the BTF what is reached by way of pointers alone. */
#define INNER_MAP(name, map_type, key, value, entries, flags)                                      \
	struct name {                                                                              \
		__uint(type, map_type);                                                            \
		__uint(max_entries, entries);                                                      \
		__uint(map_flags, flags);                                                          \
		__uint(key_size, sizeof(key));                                                     \
		__uint(value_size, sizeof(value));                                                 \
	}

INNER_MAP(flow4_table, BPF_MAP_TYPE_HASH, struct sp_flow4_key, struct sp_flow, SP_SHARD_FLOWS,
	  BPF_F_NO_PREALLOC);
INNER_MAP(flow6_table, BPF_MAP_TYPE_HASH, struct sp_flow6_key, struct sp_flow, SP_SHARD_FLOWS,
	  BPF_F_NO_PREALLOC);
INNER_MAP(fragment_table, BPF_MAP_TYPE_ARRAY, __u32, struct sp_fragment, SP_FRAGMENTS, 0);

MAP_OF_MAPS(flows4, struct flow4_table);
MAP_OF_MAPS(flows6, struct flow6_table);
MAP_OF_MAPS(fragments, struct fragment_table);
ARRAY_MAP(timeouts, BPF_MAP_TYPE_ARRAY, struct sp_timeouts, 1);
ARRAY_MAP(collector, BPF_MAP_TYPE_ARRAY, struct sp_collector, 1);
/*
 * A compiled policy. Programs only read it, and user space freezes it. That there is one here,
 * which nobody uses, gives the types to those that the loader makes.
 */
struct policy_rows {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct sp_row);
} policy SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct policy_rows);
} policies SEC(".maps");

ARRAY_MAP(rule_counters, BPF_MAP_TYPE_PERCPU_ARRAY, struct sp_rule_counter, 1);
ARRAY_MAP(limits, BPF_MAP_TYPE_ARRAY, struct sp_limit, 1);

/* Set before loading, from the pinned `config`. */
const volatile __u32 sp_mark = 0;
const volatile __u32 sp_sampling = 0;
const volatile __u64 sp_sample_ns = 0;
const volatile __u32 sp_shards = 1; /* tables for each slot and family: 2^n */
/* 1: other CPUs see this one's stores in their order (x86). */
const volatile __u32 sp_stores_in_order = 0;
/* 0: every frame is judged the long way (fast.h), to compare. */
const volatile __u32 sp_fast = 1;
/* 1: only look: nothing is counted, kept, answered or sent. */
const volatile __u32 sp_explain = 0;

#endif
