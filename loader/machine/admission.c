/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is there room for a machine, and whose turn is it when there is? */
#include "admission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "machine.h"

struct admission {
	struct daemon *daemon;
	struct machine *queue; /* by wait_prev, wait_next; in the order of asking */
	size_t n_waiting;
	struct resources held;
	sd_event_source *turn; /* deferred: what becomes free is given away once, from the loop */
};

/* --- arithmetic --- */

static struct resources need(const struct machine *m, enum machine_admission a)
{
	struct resources r = {0};

	if (a == ADMISSION_MEMORY || a == ADMISSION_ALL) {
		r.machines = 1;
		r.memory_mib = m->row.memory_mib;
	}
	if (a == ADMISSION_ALL)
		r.vcpus = m->row.vcpus;
	return r;
}

static void add(struct resources *to, struct resources r)
{
	to->machines += r.machines;
	to->memory_mib += r.memory_mib;
	to->vcpus += r.vcpus;
}

static void subtract(struct resources *from, struct resources r)
{
	from->machines -= r.machines;
	from->memory_mib -= r.memory_mib;
	from->vcpus -= r.vcpus;
}

/* Which limit does HELD + MORE break? NULL: none. */
static const char *over(struct resources held, struct resources more, const struct resources *max,
			uint64_t *ret_would, uint32_t *ret_max)
{
	const struct {
		const char *name;
		uint64_t would;
		uint32_t more, max;
	} checks[] = {
		{"machines", (uint64_t)held.machines + more.machines, more.machines, max->machines},
		{"MiB of memory", (uint64_t)held.memory_mib + more.memory_mib, more.memory_mib,
		 max->memory_mib},
		{"vCPUs", (uint64_t)held.vcpus + more.vcpus, more.vcpus, max->vcpus},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(checks); i++) {
		if (!checks[i].max || !checks[i].more || checks[i].would <= checks[i].max)
			continue;
		*ret_would = checks[i].would;
		*ret_max = checks[i].max;
		return checks[i].name;
	}
	return NULL;
}

static int refuse(int r, const char *whose, const char *what, uint64_t would, uint32_t max,
		  char **ret_why)
{
	if (asprintf(ret_why, "%s limit: it would make %llu %s, allowed are %u", whose,
		     (unsigned long long)would, what, max) < 0)
		*ret_why = NULL;
	return r;
}

void admission_limits(struct daemon *d, struct resources *ret)
{
	const struct config *c = d->config;

	*ret = (struct resources){c->max_machines, c->max_memory_mib, c->max_vcpus};
}

static struct resources user_limits(const struct presence *p)
{
	const struct config *c = p->daemon->config;

	return (struct resources){
		.machines = p->max.machines ? p->max.machines : c->user_max_machines,
		.memory_mib = p->max.memory_mib ? p->max.memory_mib : c->user_max_memory_mib,
		.vcpus = p->max.vcpus ? p->max.vcpus : c->user_max_vcpus,
	};
}

/* --- holding and waiting --- */

static void unwait(struct machine *m)
{
	struct admission *a = m->daemon->admission;

	m->turn = false;
	if (!m->waiting)
		return;
	DL_DELETE2(a->queue, m, wait_prev, wait_next);
	a->n_waiting--;
	m->waiting = false;
}

static void wait_turn(struct machine *m)
{
	struct admission *a = m->daemon->admission;

	if (m->waiting)
		return;
	DL_APPEND2(a->queue, m, wait_prev, wait_next);
	a->n_waiting++;
	m->waiting = true;
	admission_kick(m->daemon);
}

/* Something of M's is free: for those who wait, and for those of its user whom the limit kept down.
 */
static void give_away(struct machine *m)
{
	admission_kick(m->daemon);
	for (struct machine *o = m->owner->machines; o; o = o->owner_next)
		if (o != m && o->refusal)
			machine_poke(o);
}

static void hold(struct machine *m, enum machine_admission level)
{
	struct admission *a = m->daemon->admission;
	struct resources had, has;

	unwait(m);
	had = need(m, m->admission);
	has = need(m, level);
	subtract(&a->held, had);
	subtract(&m->owner->held, had);
	add(&a->held, has);
	add(&m->owner->held, has);
	m->admission = level;
	if (had.machines > has.machines || had.vcpus > has.vcpus)
		give_away(m);
}

/* May it run? As admission_run, without a change. -EAGAIN: the host has no room at the moment. */
static int judge(const struct machine *m, char **ret_why)
{
	const struct admission *a = m->daemon->admission;
	struct resources whole = need(m, ADMISSION_ALL), more = whole, host,
			 user = user_limits(m->owner), none = {0};
	uint64_t would;
	uint32_t max;
	const char *what;

	subtract(&more, need(m, m->admission));
	admission_limits(m->daemon, &host);
	what = over(none, whole, &host, &would, &max);
	if (what)
		return refuse(-E2BIG, "the host's", what, would, max, ret_why);
	what = over(none, whole, &user, &would, &max);
	if (what)
		return refuse(-E2BIG, "the user's", what, would, max, ret_why);
	what = over(m->owner->held, more, &user, &would, &max);
	if (what)
		return refuse(-EDQUOT, "the user's", what, would, max, ret_why);
	return over(a->held, more, &host, &would, &max) ? -EAGAIN : 0;
}

int admission_run(struct machine *m, char **ret_why)
{
	const struct admission *a = m->daemon->admission;
	int r;

	if (m->admission == ADMISSION_ALL)
		return 0;
	r = judge(m, ret_why);
	/* Who is new does not pass by those who wait, or what is large would never have its turn.
	 */
	if (r == 0 && a->queue && !m->turn && m->admission == ADMISSION_NONE)
		r = -EAGAIN;
	m->turn = false;
	if (r == 0)
		hold(m, ADMISSION_ALL);
	else if (r == -EAGAIN)
		wait_turn(m);
	else
		unwait(m);
	return r;
}

void admission_adopt(struct machine *m, bool running)
{
	hold(m, running ? ADMISSION_ALL : ADMISSION_MEMORY);
}

void admission_withdraw(struct machine *m)
{
	unwait(m);
}

void admission_release(struct machine *m)
{
	hold(m, ADMISSION_NONE);
}

/* --- whose turn is it? --- */

/* Of those who wait: whose user holds the fewest, then the one that came first. */
static struct machine *next_in_turn(const struct admission *a)
{
	struct machine *m, *best = NULL;

	DL_FOREACH2(a->queue, m, wait_next)
	if (!best || m->owner->held.machines < best->owner->held.machines)
		best = m;
	return best;
}

/*
 * The one whose turn it is takes what is free, or all others wait for it. Who does not want any
 * more, or may not, is no longer in the way.
 */
static int on_turn(sd_event_source *source, void *arg)
{
	struct admission *a = arg;
	struct machine *m;

	while ((m = next_in_turn(a))) {
		char *why = NULL;
		int r = judge(m, &why);

		free(why);
		if (r == -EAGAIN)
			break;
		m->turn = true;
		machine_advance(m);
		unwait(m);
	}
	return 0;
}

void admission_kick(struct daemon *d)
{
	if (d->admission && d->admission->queue)
		sd_event_source_set_enabled(d->admission->turn, SD_EVENT_ONESHOT);
}

int admission_new(struct daemon *d, struct admission **ret)
{
	struct admission *a = calloc(1, sizeof(*a));
	int r = a ? sd_event_add_defer(d->event, &a->turn, on_turn, a) : -ENOMEM;

	if (r >= 0)
		r = sd_event_source_set_enabled(a->turn, SD_EVENT_OFF);
	if (r < 0) {
		free(a);
		return r;
	}
	a->daemon = d;
	*ret = a;
	return 0;
}

struct admission *admission_free(struct admission *a)
{
	if (!a)
		return NULL;
	sd_event_source_disable_unref(a->turn);
	free(a);
	return NULL;
}

void admission_held(struct daemon *d, struct resources *ret)
{
	*ret = d->admission->held;
}

size_t admission_waiting(struct daemon *d)
{
	return d->admission->n_waiting;
}

size_t admission_place(const struct machine *m)
{
	size_t n = 0;
	struct machine *o;

	if (!m->waiting)
		return 0;
	DL_FOREACH2(m->daemon->admission->queue, o, wait_next)
	{
		n++;
		if (o == m)
			return n;
	}
	return 0;
}
