// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How does the daemon talk with the programs about a machine? Its entry in `machines`, which both
 * write, through memory; notices of what became of it; and the frames that waited for it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "dataplane_internal.h"

#define ETH_HLEN 14

/* --- entries --- */

static size_t map_size(const struct dataplane *dp, size_t entry)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (dp->max_ports * entry + page - 1) / page * page;
}

static void *map_memory(const struct dataplane *dp, enum dataplane_map map, size_t entry)
{
	void *p = mmap(NULL, map_size(dp, entry), PROT_READ | PROT_WRITE, MAP_SHARED,
		       dp->map_fd[map], 0);

	return p == MAP_FAILED ? NULL : p;
}

int dataplane_share(struct dataplane *dp)
{
	dp->machines = map_memory(dp, DP_MACHINES, sizeof(*dp->machines));
	dp->slots = map_memory(dp, DP_SLOTS, sizeof(*dp->slots));
	if (!dp->machines || !dp->slots)
		return -errno;
	for (dp->slots_end = dp->max_ports; dp->slots_end > 1; dp->slots_end--)
		if (dp->slots[dp->slots_end - 1].used)
			break;
	return 0;
}

void dataplane_unshare(struct dataplane *dp)
{
	if (dp->machines)
		munmap(dp->machines, map_size(dp, sizeof(*dp->machines)));
	if (dp->slots)
		munmap(dp->slots, map_size(dp, sizeof(*dp->slots)));
	dp->machines = NULL;
	dp->slots = NULL;
}

static struct sp_machine *machine_at(struct dataplane *dp, uint32_t port)
{
	return port < dp->max_ports ? &dp->machines[port] : NULL;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int dataplane_machine_begin(struct dataplane *dp, uint32_t port, const struct sp_machine *value)
{
	struct sp_machine *m = machine_at(dp, port);

	int r;

	if (!m)
		return -ENOENT;
	/* Flows of who had the number before must not be taken for its own. */
	r = value->slot ? dataplane_flows_end_port(dp, value->slot, port) : 0;
	if (r < 0)
		return r;
	__atomic_store_n(&m->watch, 0, __ATOMIC_RELAXED); /* likewise */
	__atomic_store_n(&m->active_ns, now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&m->generation, value->generation, __ATOMIC_RELAXED);
	__atomic_store_n(&m->parked, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&m->park_max, value->park_max, __ATOMIC_RELAXED);
	__atomic_store_n(&m->flags, value->flags, __ATOMIC_RELAXED);
	__atomic_store_n(&m->clock_off_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&m->frozen_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&m->thawed_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&m->slot, value->slot, __ATOMIC_RELAXED);
	__atomic_store_n(&m->watch, value->watch, __ATOMIC_RELEASE);
	return 0;
}

int dataplane_machine_end(struct dataplane *dp, uint32_t port)
{
	static const struct sp_machine nobody;
	struct sp_machine *m = machine_at(dp, port);
	uint32_t slot = m ? __atomic_load_n(&m->slot, __ATOMIC_RELAXED) : 0;
	int r = dataplane_machine_begin(dp, port, &nobody);

	return r < 0 || !slot ? r : dataplane_flows_end_port(dp, slot, port);
}

int dataplane_machine_get(struct dataplane *dp, uint32_t port, struct sp_machine *ret)
{
	struct sp_machine *m = machine_at(dp, port);

	if (!m)
		return -ENOENT;
	*ret = (struct sp_machine){
		.active_ns = __atomic_load_n(&m->active_ns, __ATOMIC_RELAXED),
		.generation = __atomic_load_n(&m->generation, __ATOMIC_RELAXED),
		.watch = __atomic_load_n(&m->watch, __ATOMIC_RELAXED),
		.flags = __atomic_load_n(&m->flags, __ATOMIC_RELAXED),
		.parked = __atomic_load_n(&m->parked, __ATOMIC_RELAXED),
		.park_max = __atomic_load_n(&m->park_max, __ATOMIC_RELAXED),
		.slot = __atomic_load_n(&m->slot, __ATOMIC_RELAXED),
		.clock_off_ns = __atomic_load_n(&m->clock_off_ns, __ATOMIC_RELAXED),
		.frozen_ns = __atomic_load_n(&m->frozen_ns, __ATOMIC_RELAXED),
		.thawed_ns = __atomic_load_n(&m->thawed_ns, __ATOMIC_RELAXED),
	};
	return 0;
}

int dataplane_each_machine(struct dataplane *dp,
			   int (*cb)(uint32_t port, const struct sp_machine *entry, void *arg),
			   void *arg)
{
	struct sp_machine entry;
	int r = 0;

	for (uint32_t port = 1; r >= 0 && port < dp->max_ports; port++) {
		if (!__atomic_load_n(&dp->machines[port].generation, __ATOMIC_RELAXED))
			continue;
		r = dataplane_machine_get(dp, port, &entry);
		if (r == 0)
			r = cb(port, &entry, arg);
	}
	return r < 0 ? r : 0;
}

void dataplane_machine_set_slot(struct dataplane *dp, uint32_t port, uint32_t slot)
{
	struct sp_machine *m = machine_at(dp, port);

	if (m)
		__atomic_store_n(&m->slot, slot, __ATOMIC_SEQ_CST);
}

void dataplane_machine_freeze(struct dataplane *dp, uint32_t port)
{
	struct sp_machine *m = machine_at(dp, port);

	if (m && !__atomic_load_n(&m->frozen_ns, __ATOMIC_SEQ_CST))
		__atomic_store_n(&m->frozen_ns,
				 now_ns() - __atomic_load_n(&m->clock_off_ns, __ATOMIC_SEQ_CST),
				 __ATOMIC_SEQ_CST);
}

/* At each moment between the stores the programs see the time at which it stood. */
void dataplane_machine_thaw(struct dataplane *dp, uint32_t port)
{
	struct sp_machine *m = machine_at(dp, port);
	uint64_t frozen = m ? __atomic_load_n(&m->frozen_ns, __ATOMIC_SEQ_CST) : 0, now;

	if (!frozen)
		return;
	now = now_ns();
	__atomic_store_n(&m->clock_off_ns, now - frozen, __ATOMIC_SEQ_CST);
	__atomic_store_n(&m->thawed_ns, now, __ATOMIC_SEQ_CST);
	__atomic_store_n(&m->frozen_ns, 0, __ATOMIC_SEQ_CST);
}

void dataplane_machine_flags(struct dataplane *dp, uint32_t port, uint32_t set, uint32_t clear)
{
	struct sp_machine *m = machine_at(dp, port);
	uint32_t old;

	if (!m)
		return;
	/* In one step: a guard that is exchanged for another leaves no moment without. */
	old = __atomic_load_n(&m->flags, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&m->flags, &old, (old & ~clear) | set, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	if ((set | clear) & (SP_M_PINNED | SP_M_ROUTER))
		dataplane_unprove_slot(dp, __atomic_load_n(&m->slot, __ATOMIC_RELAXED));
}

void dataplane_machine_watch(struct dataplane *dp, uint32_t port, uint32_t bits)
{
	struct sp_machine *m = machine_at(dp, port);

	if (m)
		__atomic_fetch_or(&m->watch, bits, __ATOMIC_SEQ_CST);
}

void dataplane_machine_park(struct dataplane *dp, uint32_t port, uint32_t max)
{
	struct sp_machine *m = machine_at(dp, port);

	if (m)
		__atomic_store_n(&m->park_max, max, __ATOMIC_SEQ_CST);
}

void dataplane_machine_unpark(struct dataplane *dp, uint32_t port)
{
	struct sp_machine *m = machine_at(dp, port);

	if (m)
		__atomic_store_n(&m->parked, 0, __ATOMIC_SEQ_CST);
}

/* --- frames that waited --- */

int dataplane_replay(struct dataplane *dp, uint32_t segment, const uint8_t *frame, size_t len)
{
	struct __sk_buff ctx = {.cb = {segment}};
	uint8_t copy[SP_PARK_LEN];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = copy, .data_size_in = (uint32_t)len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);

	if (len < ETH_HLEN)
		return -EINVAL;
	if (len > sizeof(copy))
		return -EMSGSIZE;
	memcpy(copy, frame, len);
	checksum_complete(copy, len);
	/* A test run for the kernel; what the program sends is sent. */
	if (bpf_prog_test_run_opts(dp->prog_fd[DP_REPLAY], &opts) < 0)
		return -errno;
	return -(int)opts.retval;
}

/* --- notices --- */

static bool notice_ok(const struct sp_notice *n, size_t size)
{
	if (size < sizeof(*n))
		return false;
	if (n->kind != SP_NOTICE_PARKED && n->kind != SP_NOTICE_DHCP_SENT &&
	    n->kind != SP_NOTICE_DHCP_GOT)
		return n->kind > SP_NOTICE_PARKED && n->kind <= SP_NOTICE_ANSWER;
	return size >= sizeof(struct sp_parked) && n->len >= ETH_HLEN && n->len <= SP_PARK_LEN;
}

static int on_notice(void *arg, void *data, size_t size)
{
	struct dataplane *dp = arg;
	const struct sp_notice *n = data;

	if (notice_ok(n, size) && dp->notice_cb)
		dp->notice_cb(n, dp->notice_arg);
	return 0;
}

int dataplane_notices_fd(struct dataplane *dp)
{
	if (!dp->notices)
		dp->notices = ring_buffer__new(dp->map_fd[DP_NOTICES], on_notice, dp, NULL);
	return dp->notices ? ring_buffer__epoll_fd(dp->notices) : -errno;
}

int dataplane_notices_drain(struct dataplane *dp,
			    void (*cb)(const struct sp_notice *notice, void *arg), void *arg)
{
	int r = dataplane_notices_fd(dp);

	if (r < 0)
		return r;
	dp->notice_cb = cb;
	dp->notice_arg = arg;
	r = ring_buffer__consume(dp->notices);
	dp->notice_cb = NULL;
	return r;
}
