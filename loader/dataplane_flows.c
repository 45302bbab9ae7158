/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which flows are there, and how are they ended from here? They are read from their tables, in
 * batches; ended by programs, which take their locks and keep count.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane_internal.h"
#include "lib/cleanup.h"

#define ETH_HLEN 14
#define DATA_AT 16    /* behind the Ethernet header, and aligned */
#define FRAME_LEN 128 /* longer than any kernel asks of a test run's frame */

int dataplane_run(const struct dataplane *dp, enum dataplane_prog prog, const uint32_t cb[5],
		  const void *data, size_t n)
{
	struct __sk_buff ctx = {0};
	uint8_t frame[FRAME_LEN] = {[12] = 0x88, [13] = 0xb5}; /* IEEE 802: an experiment's */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);

	if (n > sizeof(frame) - DATA_AT)
		return -E2BIG;
	memcpy(ctx.cb, cb, sizeof(ctx.cb));
	if (n > 0)
		memcpy(frame + DATA_AT, data, n);
	if (bpf_prog_test_run_opts(dp->prog_fd[prog], &opts) < 0)
		return -errno;
	return -(int)opts.retval;
}

int dataplane_start_collector(struct dataplane *dp)
{
	static const uint32_t cb[5];

	return dataplane_run(dp, DP_COLLECT, cb, NULL, 0);
}

int dataplane_collector_get(struct dataplane *dp, struct sp_collector *ret)
{
	uint32_t zero = 0;

	return bpf_map_lookup_elem(dp->map_fd[DP_COLLECTOR], &zero, ret) < 0 ? -errno : 0;
}

/* --- reading --- */

#define BATCH 1024

static void map_ip4(uint8_t to[16], uint32_t from)
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, &from, sizeof(from));
}

static void read_key4(const void *key, struct dataplane_flow *f)
{
	memcpy(&f->key.k4, key, sizeof(f->key.k4));
	f->proto = f->key.k4.proto;
	for (int end = 0; end < 2; end++) {
		map_ip4(f->addr[end], f->key.k4.addr[end]);
		f->port[end] = ntohs(f->key.k4.port[end]);
	}
}

static void read_key6(const void *key, struct dataplane_flow *f)
{
	memcpy(&f->key.k6, key, sizeof(f->key.k6));
	f->proto = f->key.k6.proto;
	for (int end = 0; end < 2; end++) {
		memcpy(f->addr[end], f->key.k6.addr[end], sizeof(f->addr[end]));
		f->port[end] = ntohs(f->key.k6.port[end]);
	}
}

struct flow_call {
	struct dataplane_flow flow;
	size_t key_size;
	int (*cb)(const struct dataplane_flow *flow, void *arg);
	void *arg;
};

static int call_each(struct flow_call *c, const char *keys, const struct sp_flow *values,
		     uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int r;

		if (c->flow.six)
			read_key6(keys + i * c->key_size, &c->flow);
		else
			read_key4(keys + i * c->key_size, &c->flow);
		c->flow.flow = values[i];
		r = c->cb(&c->flow, c->arg);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A bucket that has more than a batch has room for says so: with a larger one, from there on. */
static int each_batch(int fd, struct flow_call *c)
{
	uint32_t room = BATCH, cursor = 0;
	_cleanup_free_
	char *keys = malloc(room * c->key_size);
	_cleanup_free_
	struct sp_flow *values = malloc(room * sizeof(*values));
	bool first = true;

	for (;;) {
		uint32_t n = room;
		int error, r;

		if (!keys || !values)
			return -ENOMEM;
		error = bpf_map_lookup_batch(fd, first ? NULL : &cursor, &cursor, keys, values, &n,
					     NULL) < 0
				? errno
				: 0;
		if (error == ENOSPC) {
			room *= 2;
			free(keys);
			free(values);
			keys = malloc(room * c->key_size);
			values = malloc(room * sizeof(*values));
			continue;
		}
		if (error && error != ENOENT)
			return -error;
		r = call_each(c, keys, values, n);
		if (r < 0 || error)
			return r;
		first = false;
	}
}

int dataplane_each_flow(struct dataplane *dp, uint32_t slot, uint32_t table,
			int (*cb)(const struct dataplane_flow *flow, void *arg), void *arg)
{
	bool six = table >= dp->shards;
	struct flow_call c = {.flow = {.slot = slot, .table = table, .six = six},
			      .key_size = six ? sizeof(struct sp_flow6_key)
					      : sizeof(struct sp_flow4_key),
			      .cb = cb,
			      .arg = arg};
	_cleanup_close_
	int fd = -1;

	if (table >= 2 * dp->shards)
		return -ENOENT;
	fd = dataplane_open_table(dp, slot, table);
	return fd < 0 ? fd : each_batch(fd, &c);
}

/* --- ending --- */

int dataplane_flow_end(struct dataplane *dp, const struct dataplane_flow *f)
{
	const uint32_t cb[5] = {f->slot, f->table};

	return dataplane_run(dp, DP_END_FLOW, cb, &f->key,
			     f->six ? sizeof(f->key.k6) : sizeof(f->key.k4));
}

int dataplane_flows_end_port(struct dataplane *dp, uint32_t slot, uint32_t port)
{
	int r = 0;

	for (uint32_t table = 0; r == 0 && table < 2 * dp->shards; table++) {
		const uint32_t cb[5] = {slot, table, SP_SWEEP_PORT, port};

		r = dataplane_run(dp, DP_SWEEP, cb, NULL, 0);
	}
	return r;
}
