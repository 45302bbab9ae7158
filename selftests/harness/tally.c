/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which counters has a frame moved? */
#include "tally.h"

#include <stdio.h>

static char why[256];

#define WRONG(...) (snprintf(why, sizeof(why), __VA_ARGS__), why)

int tally_take(struct world *w, struct tally *t)
{
	int q = 0;

	for (int r = 0; r < _SP_R_MAX && q == 0; r++) {
		struct sp_reason_count c = {.frames = 0};

		q = dataplane_reason_get(w->dp, r, &c);
		t->reason[r] = c.frames;
	}
	for (uint32_t p = 0; p < WORLD_PORTS && q == 0; p++)
		q = dataplane_counter_get(w->dp, p, &t->port[p]);
	return q;
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
