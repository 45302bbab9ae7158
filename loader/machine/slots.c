/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which segments have tables for their flows, and what may be in them? */
#include "slots.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "budget.h"
#include "daemon.h"
#include "log.h"
#include "machine.h"

#define NS_PER_S 1000000000ULL

struct slot *slot_find(struct daemon *d, uint32_t segment)
{
	struct slot *s;

	HASH_FIND(hh, d->slots, &segment, sizeof(segment), s);
	return s;
}

static struct slot *slot_new(struct daemon *d, uint32_t segment, uint32_t index)
{
	struct slot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->segment = segment;
	s->index = index;
	HASH_ADD(hh, d->slots, segment, sizeof(s->segment), s);
	return s;
}

static void slot_free(struct daemon *d, struct slot *s)
{
	HASH_DEL(d->slots, s);
	free(s);
}

/* --- budgets --- */

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/*
 * A segment has its user's id. The tables may be of a time when max-flows was less, or the user's
 * own may be above it: there is no room for more then.
 */
static struct dataplane_budget budget_of(struct daemon *d, uint32_t segment)
{
	struct dataplane_budget budget = budget_flows(d, segment);

	budget.flows = least(budget.flows, dataplane_flows_max(d->dp));
	return budget;
}

/* Is it more than its tables were made for? */
static bool set_budget(struct daemon *d, struct slot *s)
{
	struct dataplane_budget budget = budget_of(d, s->segment);

	dataplane_slot_set_budget(d->dp, s->index, &budget);
	if (!s->made_for)
		s->made_for = budget.flows;
	return budget.flows > s->made_for;
}

static void say_small(unsigned int users)
{
	if (users)
		log_printf(
			LOG_NOTICE,
			"flows: more are allowed than the tables of %u user%s were made for: each "
			"user's are made anew when none of the user's machines is up, paused or "
			"saved",
			users, users == 1 ? "" : "s");
}

void slot_set_budget(struct daemon *d, uint32_t segment)
{
	struct slot *s = slot_find(d, segment);

	say_small(s && set_budget(d, s));
}

void slots_set_budgets(struct daemon *d)
{
	unsigned int small = 0;

	for (struct slot *s = d->slots; s; s = s->hh.next)
		small += set_budget(d, s);
	say_small(small);
}

int slots_set_timeouts(struct daemon *d)
{
	struct sp_timeouts t = {0};

	config_timeouts(d->config, &t);
	return dataplane_timeouts_set(d->dp, &t);
}

/* --- coming --- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* It has connections that nobody has seen begin: it ran, or slept, before the tables were made. */
static bool remembers(const struct machine *m)
{
	switch (m->info.state) {
	case VIRT_OFF:
	case VIRT_ABSENT:
		return false;
	case VIRT_UNKNOWN:
		return m->link.ifindex != 0;
	default:
		return true;
	}
}

static uint64_t pick_up_until(const struct machine *m)
{
	bool any = false;

	for (struct machine *o = m->owner->machines; o; o = o->owner_next)
		any |= o->row.segment == m->row.segment && remembers(o);
	return any && m->daemon->config->pick_up_s
		       ? now_ns() + m->daemon->config->pick_up_s * NS_PER_S
		       : 0;
}

static int begin(struct machine *m, struct slot **ret)
{
	struct daemon *d = m->daemon;
	struct dataplane_budget budget = budget_of(d, m->row.segment);
	uint32_t index = portnum_get(d->slotnums);
	struct slot *s;
	int r;

	if (!index)
		return -ENOSPC;
	r = dataplane_slot_begin(d->dp, index, m->row.segment, &budget, pick_up_until(m));
	s = r < 0 ? NULL : slot_new(d, m->row.segment, index);
	if (!s) {
		dataplane_slot_end(d->dp, index);
		portnum_put(d->slotnums, index);
		return r < 0 ? r : -ENOMEM;
	}
	s->made_for = budget.flows;
	*ret = s;
	return 0;
}

int slot_hold(struct machine *m, struct slot **ret)
{
	struct slot *s = slot_find(m->daemon, m->row.segment);
	int r = 0;

	if (s && (s->state == SLOT_ENDING && !s->stays))
		return -EAGAIN;
	if (!s)
		r = begin(m, &s);
	if (r < 0)
		return r;
	s->stays = false;
	if (s->state == SLOT_ENDING)
		s->state = SLOT_UNSURE;
	s->numbers++;
	*ret = s;
	return 0;
}

/* --- going --- */

struct end_job {
	struct job job;
	struct daemon *daemon;
	uint32_t segment, index;
	int r;
};

static void end_run(struct job *job, struct store *store)
{
	struct end_job *j = (struct end_job *)job;

	j->r = dataplane_slot_unmake(j->daemon->dp, j->index);
}

/* What it has counted stays in the sums. */
static void add_row(const struct sp_slot *row, struct slots_sum *sum)
{
	sum->opened += row->opened;
	sum->full += row->full;
	sum->over_rate += row->over_rate;
	sum->expired += row->expired;
}

static void end_done(struct job *job)
{
	struct end_job *j = (struct end_job *)job;
	struct daemon *d = j->daemon;
	struct slot *s = slot_find(d, j->segment);
	struct sp_slot row;

	if (s && s->index == j->index && j->r < 0) {
		log_event(LOG_ERR, "a segment's flows could not be taken away", "ERROR",
			  strerror(-j->r), NULL);
		s->stays = true; /* whoever comes next goes on with it */
	} else if (s && s->index == j->index) {
		if (dataplane_slot_get(d->dp, j->index, &row) == 0)
			add_row(&row, &d->slots_gone);
		dataplane_slot_end(d->dp, j->index);
		portnum_put(d->slotnums, j->index);
		slot_free(d, s);
	}
	slots_advance(d, j->segment);
	free(j);
}

static void end(struct daemon *d, struct slot *s)
{
	struct end_job *j = calloc(1, sizeof(*j));
	int r = -ENOMEM;

	s->state = SLOT_ENDING;
	if (j) {
		*j = (struct end_job){.job = {end_run, end_done, NULL},
				      .daemon = d,
				      .segment = s->segment,
				      .index = s->index};
		r = workers_submit(d->workers, WORKER_SWIFT, &j->job);
	}
	if (r < 0) {
		s->stays = true;
		free(j);
	}
}

void slot_release(struct daemon *d, struct slot *s)
{
	if (--s->numbers == 0 && s->state != SLOT_MAKING)
		end(d, s);
}

void slots_advance(struct daemon *d, uint32_t segment)
{
	struct machine *m, *next;

	HASH_ITER(hh_id, d->machines, m, next)
	if (m->row.segment == segment)
		machine_advance(m);
}

/* --- at start --- */

int slots_adopt(struct daemon *d)
{
	struct sp_slot row;

	d->slotnums = portnum_new(d->config->max_ports);
	if (!d->slotnums)
		return -ENOMEM;
	for (uint32_t i = 1; dataplane_slot_get(d->dp, i, &row) == 0; i++) {
		if (!row.used)
			continue;
		if (slot_find(d, row.segment)) {
			/* Nobody makes two. The second is left to rest, and its row as it is. */
			log_event(LOG_WARNING, "a segment has flows in two places", NULL);
			portnum_take(d->slotnums, i);
			continue;
		}
		portnum_take(d->slotnums, i);
		if (!slot_new(d, row.segment, i))
			return -ENOMEM;
	}
	return 0;
}

void slots_drop_strays(struct daemon *d)
{
	struct slot *s, *next;

	HASH_ITER(hh, d->slots, s, next)
	if (s->numbers == 0)
		end(d, s);
}

void slots_forget(struct daemon *d)
{
	struct slot *s, *next;

	HASH_ITER(hh, d->slots, s, next)
	slot_free(d, s);
	portnum_free(d->slotnums);
	d->slotnums = NULL;
}

/* --- in numbers --- */

void slots_sum(const struct daemon *d, struct slots_sum *ret)
{
	struct sp_slot row;

	*ret = d->slots_gone;
	for (const struct slot *s = d->slots; s; s = s->hh.next) {
		if (dataplane_slot_get(d->dp, s->index, &row) < 0)
			continue;
		add_row(&row, ret);
		ret->slots++;
		ret->flows += row.flows;
		ret->flows_max += row.flows_max;
	}
}
