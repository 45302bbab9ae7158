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

/* Set before loading, from the pinned `config`. */
const volatile __u32 sp_mark = 0;
const volatile __u32 sp_sampling = 0;
const volatile __u64 sp_sample_ns = 0;

#endif
