/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where do a segment's flows live? In maps of its own, made when it gets its first machine and
 * removed with its last; pinned beside the others, so that they outlive the daemon (I5).
 */
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "dataplane_internal.h"
#include "lib/cleanup.h"
#include "steer.skel.h"

/* One map of a slot. */
struct slot_table {
	uint32_t slot, table;
	int fd;
};

/* The tables of a slot: flows of IPv4, of IPv6, and last its fragments. */
static uint32_t tables_of(const struct dataplane *dp)
{
	return 2 * dp->shards + 1;
}

static struct sp_slot *slot_at(const struct dataplane *dp, uint32_t slot)
{
	return slot > 0 && slot < dp->max_ports ? &dp->slots[slot] : NULL;
}

/* --- rows --- */

#define NS_PER_S 1000000000ULL

void dataplane_slot_set_budget(struct dataplane *dp, uint32_t slot,
			       const struct dataplane_budget *budget)
{
	struct sp_slot *s = slot_at(dp, slot);
	uint64_t cost = budget->new_per_s ? NS_PER_S / budget->new_per_s : 0;

	if (!s)
		return;
	__atomic_store_n(&s->flows_max, budget->flows, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->new_burst_ns, cost * budget->new_burst, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->new_cost_ns, cost, __ATOMIC_SEQ_CST);
}

int dataplane_slot_begin(struct dataplane *dp, uint32_t slot, uint32_t segment,
			 const struct dataplane_budget *budget, uint64_t pick_up_until_ns)
{
	struct sp_slot *s = slot_at(dp, slot);

	if (!s)
		return -ENOENT;
	*s = (struct sp_slot){.segment = segment, .epoch = 1, .pick_up_until_ns = pick_up_until_ns};
	dataplane_slot_set_budget(dp, slot, budget);
	__atomic_store_n(&s->used, 1, __ATOMIC_SEQ_CST);
	if (slot >= dp->slots_end)
		dp->slots_end = slot + 1;
	return 0;
}

void dataplane_slot_end(struct dataplane *dp, uint32_t slot)
{
	struct sp_slot *s = slot_at(dp, slot);

	if (s)
		*s = (struct sp_slot){.used = 0};
}

int dataplane_slot_get(struct dataplane *dp, uint32_t slot, struct sp_slot *ret)
{
	const struct sp_slot *s = slot_at(dp, slot);

	if (!s)
		return -ENOENT;
	*ret = *(const volatile struct sp_slot *)s;
	return 0;
}

uint32_t dataplane_flows_max(const struct dataplane *dp)
{
	return dp->shards * SP_SHARD_FLOWS;
}

int dataplane_timeouts_set(struct dataplane *dp, const struct sp_timeouts *timeouts)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(dp->map_fd[DP_TIMEOUTS], &zero, timeouts, BPF_ANY) < 0 ? -errno
											  : 0;
}

/* --- what was proved --- */

static void sweep_proofs(struct dataplane *dp, uint32_t slot)
{
	for (uint32_t table = 0; table < 2 * dp->shards; table++) {
		const uint32_t cb[5] = {slot, table, SP_SWEEP_PROOFS};

		dataplane_run(dp, DP_SWEEP, cb, NULL, 0);
	}
}

/*
 * After the change, so that what was proved before it counts no more. Flows remember the low bits
 * only: at zero, which proves nothing, they are made to forget those of the round before.
 */
void dataplane_unprove_slot(struct dataplane *dp, uint32_t slot)
{
	struct sp_slot *s = slot_at(dp, slot);

	if (!s || !s->used)
		return;
	if ((__atomic_add_fetch(&s->epoch, 1, __ATOMIC_SEQ_CST) & SP_END_EPOCH) != 0)
		return;
	sweep_proofs(dp, slot);
	__atomic_add_fetch(&s->epoch, 1, __ATOMIC_SEQ_CST);
}

void dataplane_unprove_segment(struct dataplane *dp, uint32_t segment)
{
	for (uint32_t slot = 1; slot < dp->slots_end; slot++)
		if (dp->slots[slot].used && dp->slots[slot].segment == segment)
			dataplane_unprove_slot(dp, slot);
}

/* --- maps --- */

static void table_pin(const struct dataplane *dp, uint32_t slot, uint32_t table,
		      char ret[DP_PATH_MAX])
{
	snprintf(ret, DP_PATH_MAX, "%s/flows/%u-%u", dp->dir, slot, table);
}

/* Types for those who read it, as bpftool does; without them it works as well. */
static void set_types(const struct dataplane *dp, struct bpf_map_create_opts *opts, const char *key,
		      const char *value)
{
	const struct btf *btf = bpf_object__btf(dp->steer->obj);
	int k = btf__find_by_name(btf, key), v = btf__find_by_name(btf, value);

	if (!dp->typed_tables || k <= 0 || v <= 0)
		return;
	opts->btf_fd = (uint32_t)bpf_object__btf_fd(dp->steer->obj);
	opts->btf_key_type_id = (uint32_t)k;
	opts->btf_value_type_id = (uint32_t)v;
}

/* A new map, as large as the slot's budget asks. */
static int create_table(const struct dataplane *dp, uint32_t slot, uint32_t table)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	uint32_t flows = (dp->slots[slot].flows_max + dp->shards - 1) / dp->shards;
	int fd;

	if (table == 2 * dp->shards) {
		set_types(dp, &opts, "__u32", "sp_fragment");
		fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "fragment_table", sizeof(uint32_t),
				    sizeof(struct sp_fragment), SP_FRAGMENTS, &opts);
		return fd;
	}
	opts.map_flags = BPF_F_NO_PREALLOC;
	if (table < dp->shards) {
		set_types(dp, &opts, "sp_flow4_key", "sp_flow");
		return bpf_map_create(BPF_MAP_TYPE_HASH, "flow4_table", sizeof(struct sp_flow4_key),
				      sizeof(struct sp_flow), flows ?: 1, &opts);
	}
	set_types(dp, &opts, "sp_flow6_key", "sp_flow");
	return bpf_map_create(BPF_MAP_TYPE_HASH, "flow6_table", sizeof(struct sp_flow6_key),
			      sizeof(struct sp_flow), flows ?: 1, &opts);
}

/* Slot 0 is nobody's: what stands there for a moment is never looked into. */
void dataplane_probe_types(struct dataplane *dp)
{
	_cleanup_close_
	int fd = -1;
	uint32_t index = 0;

	dp->typed_tables = true;
	fd = create_table(dp, 0, 0);
	if (fd >= 0 && bpf_map_update_elem(dp->map_fd[DP_FLOWS4], &index, &fd, BPF_ANY) == 0)
		bpf_map_delete_elem(dp->map_fd[DP_FLOWS4], &index);
	else
		dp->typed_tables = false;
}

/* Takes FD. */
static int keep_table(struct dataplane *dp, uint32_t slot, uint32_t table, int fd)
{
	struct slot_table *grown = realloc(dp->tables, (dp->n_tables + 1) * sizeof(*dp->tables));

	if (!grown) {
		close(fd);
		return -ENOMEM;
	}
	dp->tables = grown;
	grown[dp->n_tables++] = (struct slot_table){slot, table, fd};
	return 0;
}

/* Of a dataplane without pins; the descriptor is a copy. */
static int kept_table(const struct dataplane *dp, uint32_t slot, uint32_t table)
{
	for (size_t i = 0; i < dp->n_tables; i++)
		if (dp->tables[i].slot == slot && dp->tables[i].table == table) {
			int fd = fcntl(dp->tables[i].fd, F_DUPFD_CLOEXEC, 0);

			return fd < 0 ? -errno : fd;
		}
	return -ENOENT;
}

void dataplane_forget_tables(struct dataplane *dp)
{
	for (size_t i = 0; i < dp->n_tables; i++)
		close(dp->tables[i].fd);
	free(dp->tables);
	dp->tables = NULL;
	dp->n_tables = 0;
}

int dataplane_open_table(const struct dataplane *dp, uint32_t slot, uint32_t table)
{
	char path[DP_PATH_MAX];
	int fd;

	if (!dp->dir[0])
		return kept_table(dp, slot, table);
	table_pin(dp, slot, table, path);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

/* Where it stands in which map of maps. */
static int outer_of(const struct dataplane *dp, uint32_t slot, uint32_t table, uint32_t *ret_index)
{
	if (table == 2 * dp->shards) {
		*ret_index = slot;
		return dp->map_fd[DP_FRAGMENTS];
	}
	*ret_index = slot * dp->shards + table % dp->shards;
	return dp->map_fd[table < dp->shards ? DP_FLOWS4 : DP_FLOWS6];
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? 0 : info.id;
}

/* The programs find it? A pin that nothing leads to is of a start that was cut short. */
static bool is_in_place(const struct dataplane *dp, uint32_t slot, uint32_t table, int fd)
{
	uint32_t index, id = 0;
	int outer = outer_of(dp, slot, table, &index);

	return bpf_map_lookup_elem(outer, &index, &id) == 0 && id && id == map_id(fd);
}

/* What the programs use must be found again. */
static int publish_table(struct dataplane *dp, uint32_t slot, uint32_t table, int fd)
{
	char path[DP_PATH_MAX];

	if (!dp->dir[0]) {
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

		return copy < 0 ? -errno : keep_table(dp, slot, table, copy);
	}
	table_pin(dp, slot, table, path);
	unlink(path); /* of a start that was cut short */
	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

/* New maps for one of the maps of maps, all of them at once: each change waits for RCU. */
struct batch {
	int outer, r;
	uint32_t n;
	uint32_t index[SP_SHARDS_MAX];
	int fd[SP_SHARDS_MAX];
};

/* One for flows of IPv4, of IPv6, and for fragments. */
#define BATCHES 3

static int add_table(struct dataplane *dp, struct batch *b, uint32_t slot, uint32_t table)
{
	uint32_t index;
	_cleanup_close_
	int fd = dataplane_open_table(dp, slot, table);
	int r;

	b->outer = outer_of(dp, slot, table, &index);
	if (fd >= 0 && is_in_place(dp, slot, table, fd))
		return 0;
	closep(&fd);
	fd = create_table(dp, slot, table);
	if (fd < 0)
		return fd;
	r = publish_table(dp, slot, table, fd);
	if (r < 0)
		return r;
	b->index[b->n] = index;
	b->fd[b->n++] = TAKE_FD(fd);
	return 0;
}

static void *put_in_place(void *arg)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	struct batch *b = arg;
	uint32_t done = b->n;

	if (b->n > 0)
		b->r = bpf_map_update_batch(b->outer, b->index, b->fd, &done, &opts);
	return NULL;
}

/* At the same time: they wait for the same. */
static int put_all_in_place(struct batch b[BATCHES])
{
	pthread_t thread[BATCHES];
	bool runs[BATCHES];
	int r = 0;

	for (int i = 0; i < BATCHES; i++) {
		runs[i] = pthread_create(&thread[i], NULL, put_in_place, &b[i]) == 0;
		if (!runs[i])
			put_in_place(&b[i]);
	}
	for (int i = 0; i < BATCHES; i++) {
		if (runs[i])
			pthread_join(thread[i], NULL);
		r = r ?: b[i].r;
	}
	return r;
}

int dataplane_slot_make(struct dataplane *dp, uint32_t slot)
{
	struct batch b[BATCHES] = {{.n = 0}};
	int r = slot_at(dp, slot) ? 0 : -ENOENT;

	for (uint32_t t = 0; r == 0 && t < tables_of(dp); t++)
		r = add_table(dp, &b[t / dp->shards], slot, t);
	r = r ?: put_all_in_place(b);
	for (int i = 0; i < BATCHES; i++)
		for (uint32_t k = 0; k < b[i].n; k++)
			close(b[i].fd[k]);
	return r;
}

int dataplane_slot_unmake(struct dataplane *dp, uint32_t slot)
{
	int r = 0;

	if (!slot_at(dp, slot))
		return -ENOENT;
	for (uint32_t t = 0; t < tables_of(dp); t++) {
		char path[DP_PATH_MAX];
		uint32_t index;
		int outer = outer_of(dp, slot, t, &index);

		if (bpf_map_delete_elem(outer, &index) < 0 && errno != ENOENT)
			r = r ?: -errno;
		table_pin(dp, slot, t, path);
		if (dp->dir[0] && unlink(path) < 0 && errno != ENOENT)
			r = r ?: -errno;
	}
	for (size_t i = 0; i < dp->n_tables;) {
		if (dp->tables[i].slot != slot) {
			i++;
			continue;
		}
		close(dp->tables[i].fd);
		dp->tables[i] = dp->tables[--dp->n_tables];
	}
	return r;
}
