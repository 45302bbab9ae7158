/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which counters has a frame moved? */
#include "tally.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

static char why[256];

#define WRONG(...) (snprintf(why, sizeof(why), __VA_ARGS__), why)

/* The first N entries of a per-CPU array, N_FIELDS 64-bit fields each, summed up; in one system
 * call. */
static int read_sums(int fd, uint32_t n, size_t n_fields, uint64_t *ret)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_
	uint64_t *values = calloc((size_t)n * (size_t)cpus * n_fields, sizeof(*values));
	_cleanup_free_
	uint32_t *keys = calloc(n, sizeof(*keys));
	uint32_t cursor, got = n;

	if (!values || !keys)
		return -ENOMEM;
	if (bpf_map_lookup_batch(fd, NULL, &cursor, keys, values, &got, NULL) < 0 &&
	    errno != ENOENT)
		return -errno;
	memset(ret, 0, n * n_fields * sizeof(*ret));
	for (size_t i = 0; i < (size_t)got * (size_t)cpus * n_fields; i++)
		ret[i / ((size_t)cpus * n_fields) * n_fields + i % n_fields] += values[i];
	return got == n ? 0 : -EBADMSG;
}

int tally_take(struct world *w, struct tally *t)
{
	struct sp_reason_count reasons[_SP_R_MAX];
	int r = read_sums(dataplane_map_fd(w->dp, "reasons"), _SP_R_MAX,
			  sizeof(*reasons) / sizeof(uint64_t), (uint64_t *)reasons);

	for (int i = 0; i < _SP_R_MAX && r == 0; i++)
		t->reason[i] = reasons[i].frames;
	return r
		       ?: read_sums(dataplane_map_fd(w->dp, "counters"), WORLD_PORTS,
				    sizeof(*t->port) / sizeof(uint64_t), (uint64_t *)t->port);
}

static const char *check_port(uint32_t p, const struct sp_counter *x, const struct sp_counter *y,
			      const struct tally_moves *m)
{
	uint64_t drop = m->reason && p && p == m->charged;
	uint64_t rx = m->arrived && p == m->charged, tx = 0;

	for (size_t i = 0; i < m->n_departed; i++)
		tx += m->departed[i] == p;
	if (y->drops - x->drops != drop || y->drop_bytes - x->drop_bytes != drop * m->len)
		return WRONG("port %u: drops moved by %llu", p,
			     (unsigned long long)(y->drops - x->drops));
	if (y->rx_frames - x->rx_frames != rx || y->rx_bytes - x->rx_bytes != rx * m->len)
		return WRONG("port %u: arrivals moved by %llu", p,
			     (unsigned long long)(y->rx_frames - x->rx_frames));
	if (y->tx_frames - x->tx_frames != tx || y->tx_bytes - x->tx_bytes != tx * m->departed_len)
		return WRONG("port %u: departures moved by %llu, %llu bytes", p,
			     (unsigned long long)(y->tx_frames - x->tx_frames),
			     (unsigned long long)(y->tx_bytes - x->tx_bytes));
	return NULL;
}

const char *tally_check(const struct tally *a, const struct tally *b, const struct tally_moves *m)
{
	const char *wrong = NULL;

	for (unsigned int r = 0; r < _SP_R_MAX; r++) {
		uint64_t expected = r == m->reason && r != SP_R_NONE;

		if (b->reason[r] - a->reason[r] != expected)
			return WRONG("reason %s moved by %llu", sp_reason_name(r),
				     (unsigned long long)(b->reason[r] - a->reason[r]));
	}
	for (uint32_t p = 0; p < WORLD_PORTS && !wrong; p++)
		wrong = check_port(p, &a->port[p], &b->port[p], m);
	return wrong;
}
