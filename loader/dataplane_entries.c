/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How are the maps' entries written and read? Typed access, and iteration in batches. */
#include <errno.h>
#include <string.h>
#include <sys/param.h>

#include "dataplane_internal.h"
#include "lib/cleanup.h"
#include "lib/mac.h"
#include "sallyport/limits.h"

static int set(int fd, const void *key, const void *value)
{
	if (bpf_map_update_elem(fd, key, value, BPF_ANY) == 0)
		return 0;
	/* The kernel says E2BIG where a hash is full. */
	return errno == E2BIG ? -ENOSPC : -errno;
}

static int del(int fd, const void *key)
{
	return bpf_map_delete_elem(fd, key) == 0 || errno == ENOENT ? 0 : -errno;
}

/*
 * Calls CB for each entry of a hash. Batched: one system call for some thousand entries. Entries
 * that CB removes are fine; those that come meanwhile may or may not be seen.
 */
#define BATCH 4096

static int each(int fd, size_t key_size, size_t value_size,
		int (*cb)(const void *key, const void *value, void *arg), void *arg)
{
	_cleanup_free_
	char *keys = malloc(BATCH * key_size);
	_cleanup_free_
	char *values = malloc(BATCH * value_size);
	uint32_t cursor = 0;
	bool first = true;

	if (!keys || !values)
		return -ENOMEM;
	for (;;) {
		uint32_t n = BATCH;
		int last = bpf_map_lookup_batch(fd, first ? NULL : &cursor, &cursor, keys, values,
						&n, NULL) < 0
				   ? errno
				   : 0;

		if (last && last != ENOENT)
			return -last;
		for (uint32_t i = 0; i < n; i++) {
			int r = cb(keys + i * key_size, values + i * value_size, arg);

			if (r < 0)
				return r;
		}
		if (last)
			return 0;
		first = false;
	}
}

/* The typed callbacks all have this shape, so one trampoline each keeps the casts in one place. */
#define EACH(name, key_type, value_type, key_expr)                                                 \
	struct name##_call {                                                                       \
		int (*cb)(key_type, const value_type *, void *);                                   \
		void *arg;                                                                         \
	};                                                                                         \
	static int name##_one(const void *key, const void *value, void *arg)                       \
	{                                                                                          \
		struct name##_call *c = arg;                                                       \
                                                                                                   \
		return c->cb(key_expr, value, c->arg);                                             \
	}

/* --- ports --- */

int dataplane_port_get(struct dataplane *dp, uint32_t ifindex, struct sp_port *ret)
{
	return bpf_map_lookup_elem(dp->map_fd[DP_PORTS], &ifindex, ret) < 0 ? -errno : 0;
}

/* --- VLAN ids --- */

int dataplane_vid_set(struct dataplane *dp, uint32_t ifindex, uint16_t vid,
		      const struct sp_vid *value)
{
	struct sp_vid_key key = {.ifindex = ifindex, .vid = vid};

	return set(dp->map_fd[DP_VIDS], &key, value);
}

int dataplane_vid_del(struct dataplane *dp, uint32_t ifindex, uint16_t vid)
{
	struct sp_vid_key key = {.ifindex = ifindex, .vid = vid};

	return del(dp->map_fd[DP_VIDS], &key);
}

EACH(vid, const struct sp_vid_key *, struct sp_vid, key)

int dataplane_each_vid(struct dataplane *dp,
		       int (*cb)(const struct sp_vid_key *key, const struct sp_vid *value,
				 void *arg),
		       void *arg)
{
	struct vid_call call = {cb, arg};

	return each(dp->map_fd[DP_VIDS], sizeof(struct sp_vid_key), sizeof(struct sp_vid), vid_one,
		    &call);
}

/* --- bindings --- */

int dataplane_bind(struct dataplane *dp, uint32_t ifindex, uint16_t vid,
		   const uint8_t mac[SP_MAC_LEN], const struct sp_bind *value)
{
	struct sp_bind_key key = {.ifindex = ifindex, .vid = vid};

	if (!mac_is_unicast(mac)) /* I6: the programs rely on it */
		return -EINVAL;
	memcpy(key.mac, mac, SP_MAC_LEN);
	return set(dp->map_fd[DP_BINDINGS], &key, value);
}

int dataplane_unbind(struct dataplane *dp, uint32_t ifindex, uint16_t vid,
		     const uint8_t mac[SP_MAC_LEN])
{
	struct sp_bind_key key = {.ifindex = ifindex, .vid = vid};

	memcpy(key.mac, mac, SP_MAC_LEN);
	return del(dp->map_fd[DP_BINDINGS], &key);
}

EACH(binding, const struct sp_bind_key *, struct sp_bind, key)

int dataplane_each_binding(struct dataplane *dp,
			   int (*cb)(const struct sp_bind_key *key, const struct sp_bind *value,
				     void *arg),
			   void *arg)
{
	struct binding_call call = {cb, arg};

	return each(dp->map_fd[DP_BINDINGS], sizeof(struct sp_bind_key), sizeof(struct sp_bind),
		    binding_one, &call);
}

/* --- forwarding database --- */

int dataplane_fdb_set(struct dataplane *dp, uint32_t segment, const uint8_t mac[SP_MAC_LEN],
		      const struct sp_dst *value)
{
	struct sp_fdb_key key = {.segment = segment};

	if (!mac_is_unicast(mac))
		return -EINVAL;
	memcpy(key.mac, mac, SP_MAC_LEN);
	return set(dp->map_fd[DP_FDB], &key, value);
}

int dataplane_fdb_get(struct dataplane *dp, uint32_t segment, const uint8_t mac[SP_MAC_LEN],
		      struct sp_dst *ret)
{
	struct sp_fdb_key key = {.segment = segment};

	memcpy(key.mac, mac, SP_MAC_LEN);
	return bpf_map_lookup_elem(dp->map_fd[DP_FDB], &key, ret) < 0 ? -errno : 0;
}

int dataplane_fdb_del(struct dataplane *dp, uint32_t segment, const uint8_t mac[SP_MAC_LEN])
{
	struct sp_fdb_key key = {.segment = segment};

	memcpy(key.mac, mac, SP_MAC_LEN);
	return del(dp->map_fd[DP_FDB], &key);
}

EACH(fdb, const struct sp_fdb_key *, struct sp_dst, key)

int dataplane_each_fdb(struct dataplane *dp,
		       int (*cb)(const struct sp_fdb_key *key, const struct sp_dst *value,
				 void *arg),
		       void *arg)
{
	struct fdb_call call = {cb, arg};

	return each(dp->map_fd[DP_FDB], sizeof(struct sp_fdb_key), sizeof(struct sp_dst), fdb_one,
		    &call);
}

/* --- flood lists --- */

int dataplane_flood_set(struct dataplane *dp, uint32_t segment, const struct sp_dst *dst, size_t n)
{
	struct sp_flood value = {.count = (uint32_t)n};

	if (n > SP_FLOOD_MAX)
		return -E2BIG;
	if (n == 0)
		return del(dp->map_fd[DP_FLOOD], &segment);
	memcpy(value.dst, dst, n * sizeof(*dst));
	return set(dp->map_fd[DP_FLOOD], &segment, &value);
}

EACH(flood, uint32_t, struct sp_flood, *(const uint32_t *)key)

int dataplane_each_flood(struct dataplane *dp,
			 int (*cb)(uint32_t segment, const struct sp_flood *value, void *arg),
			 void *arg)
{
	struct flood_call call = {cb, arg};

	return each(dp->map_fd[DP_FLOOD], sizeof(uint32_t), sizeof(struct sp_flood), flood_one,
		    &call);
}

/* --- addresses --- */

static struct sp_address_key address_key(uint32_t segment, const uint8_t addr[16])
{
	struct sp_address_key key = {.segment = segment};

	memcpy(key.addr, addr, sizeof(key.addr));
	return key;
}

int dataplane_address_set(struct dataplane *dp, uint32_t segment, const uint8_t addr[16],
			  const struct sp_address *value)
{
	struct sp_address_key key = address_key(segment, addr);

	int r;

	if (!mac_is_unicast(value->mac)) /* it is what answers are given from */
		return -EINVAL;
	r = set(dp->map_fd[DP_ADDRESSES], &key, value);
	dataplane_unprove_segment(dp, segment);
	return r;
}

int dataplane_address_get(struct dataplane *dp, uint32_t segment, const uint8_t addr[16],
			  struct sp_address *ret)
{
	struct sp_address_key key = {.segment = segment};

	memcpy(key.addr, addr, sizeof(key.addr));
	return bpf_map_lookup_elem(dp->map_fd[DP_ADDRESSES], &key, ret) < 0 ? -errno : 0;
}

int dataplane_address_del(struct dataplane *dp, uint32_t segment, const uint8_t addr[16])
{
	struct sp_address_key key = address_key(segment, addr);
	int r = del(dp->map_fd[DP_ADDRESSES], &key);

	dataplane_unprove_segment(dp, segment);
	return r;
}

EACH(address, const struct sp_address_key *, struct sp_address, key)

int dataplane_each_address(struct dataplane *dp,
			   int (*cb)(const struct sp_address_key *key,
				     const struct sp_address *value, void *arg),
			   void *arg)
{
	struct address_call call = {cb, arg};

	return each(dp->map_fd[DP_ADDRESSES], sizeof(struct sp_address_key),
		    sizeof(struct sp_address), address_one, &call);
}

/* --- rates --- */

#define NS_PER_S 1000000000ULL

/* BURST at RATE, as time; at least UNIT, or nothing would ever pass. */
static uint64_t burst_ns(uint64_t rate, uint64_t burst, uint64_t unit)
{
	if (rate == 0)
		return 0;
	if (burst < unit)
		burst = unit;
	return (uint64_t)((unsigned __int128)burst * NS_PER_S / rate);
}

int dataplane_police_set(struct dataplane *dp, uint32_t port, const struct dataplane_rate *rate)
{
	struct sp_police value = {
		.bytes_per_s = rate->bytes_per_s,
		.bytes_burst_ns = burst_ns(rate->bytes_per_s, rate->bytes_burst, 1514),
		.frames_per_s = (uint32_t)MIN(rate->frames_per_s, UINT32_MAX),
		.frames_burst_ns = burst_ns(rate->frames_per_s, rate->frames_burst, 1),
		.user = rate->user,
	};

	return set(dp->map_fd[DP_POLICE], &port, &value);
}

int dataplane_quota_set(struct dataplane *dp, uint32_t port, uint64_t group_per_s,
			uint64_t group_burst)
{
	struct sp_quota value = {
		.group_ns = group_per_s ? NS_PER_S / group_per_s : 0,
		.group_burst_ns = burst_ns(group_per_s, group_burst, 1),
	};

	return set(dp->map_fd[DP_QUOTAS], &port, &value);
}

/* --- counters: sums over the CPUs --- */

/* Adds up N 64-bit fields of each CPU's copy. */
static int sum(const struct dataplane *dp, int fd, uint32_t key, uint64_t *ret, size_t n)
{
	_cleanup_free_
	uint64_t *values = calloc((size_t)dp->n_cpus * n, sizeof(*values));

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &key, values) < 0)
		return -errno;
	memset(ret, 0, n * sizeof(*ret));
	for (size_t i = 0; i < (size_t)dp->n_cpus * n; i++)
		ret[i % n] += values[i];
	return 0;
}

int dataplane_counter_get(struct dataplane *dp, uint32_t port, struct sp_counter *ret)
{
	return sum(dp, dp->map_fd[DP_COUNTERS], port, (uint64_t *)ret,
		   sizeof(*ret) / sizeof(uint64_t));
}

int dataplane_counter_clear(struct dataplane *dp, uint32_t port)
{
	_cleanup_free_
	struct sp_counter *zero = calloc((size_t)dp->n_cpus, sizeof(*zero));

	return zero ? set(dp->map_fd[DP_COUNTERS], &port, zero) : -ENOMEM;
}

int dataplane_reason_get(struct dataplane *dp, enum sp_reason reason, struct sp_reason_count *ret)
{
	return sum(dp, dp->map_fd[DP_REASONS], reason, (uint64_t *)ret,
		   sizeof(*ret) / sizeof(uint64_t));
}
