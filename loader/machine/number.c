/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which port number has a machine, and what has to be done before it, or another, may use it? */
#include "number.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "lib/client.h"
#include "log.h"
#include "machine.h"
#include "slots.h"

#define RETRY_US (30ULL * 1000000)

/* --- who holds it --- */

static struct number *number_new(struct machine *m, uint32_t port, struct slot *s)
{
	struct number *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	*n = (struct number){.daemon = m->daemon, .port = port, .slot = s, .refs = 1};
	m->number = n;
	m->member.dst.port = port;
	HASH_ADD(hh_port, m->daemon->machines_by_port, member.dst.port, sizeof(port), m);
	return n;
}

struct number *number_ref(struct number *n)
{
	n->refs++;
	return n;
}

struct number *number_forget(struct number *n)
{
	if (n && --n->refs == 0)
		free(n);
	return NULL;
}

int number_take(struct machine *m)
{
	struct daemon *d = m->daemon;
	struct slot *s;
	uint32_t port;
	int r;

	if (m->number)
		return 0;
	r = slot_hold(m, &s);
	if (r < 0)
		return r;
	port = portnum_get(d->portnums);
	r = port ? -ENOMEM : -ENOSPC;
	if (!port || !number_new(m, port, s)) {
		if (port)
			portnum_put(d->portnums, port);
		slot_release(d, s);
		return r;
	}
	return dataplane_counter_clear(d->dp, port); /* D3 */
}

/* --- giving it back (M6) --- */

struct end_job {
	struct job job;
	struct number *number;
	int r;
};

static void end_run(struct job *job, struct store *store)
{
	struct end_job *j = (struct end_job *)job;
	struct dataplane *dp = j->number->daemon->dp;

	j->r = dataplane_machine_end(dp, j->number->port);
	j->r = j->r ?: dataplane_policy_clear(dp, j->number->port);
}

static void end_failed(int r)
{
	log_event(LOG_ERR,
		  "what a port number leaves could not be taken away: it rests until a restart",
		  "ERROR", strerror(-r), NULL);
}

static void end_done(struct job *job)
{
	struct end_job *j = (struct end_job *)job;
	struct number *n = j->number;

	if (j->r < 0)
		end_failed(j->r);
	else
		portnum_put(n->daemon->portnums, n->port);
	slot_release(n->daemon, n->slot);
	free(n);
	free(j);
}

/* -ESHUTDOWN: the daemon ends; the next one takes care of it. */
static int submit_end(struct number *n)
{
	struct end_job *j = n->daemon->workers ? calloc(1, sizeof(*j)) : NULL;
	int r = n->daemon->workers ? -ENOMEM : -ESHUTDOWN;

	if (j) {
		*j = (struct end_job){.job = {end_run, end_done, NULL}, .number = n};
		r = workers_submit(n->daemon->workers, WORKER_SWIFT, &j->job);
	}
	if (r < 0)
		free(j);
	return r;
}

struct number *number_unref(struct number *n)
{
	int r;

	if (!n || --n->refs > 0)
		return NULL;
	r = submit_end(n);
	if (r == 0)
		return NULL;
	if (r != -ESHUTDOWN)
		end_failed(r); /* and its slot stays held, and so where it is */
	free(n);
	return NULL;
}

void number_give(struct machine *m)
{
	struct daemon *d = m->daemon;

	if (!m->number)
		return;
	HASH_DELETE(hh_port, d->machines_by_port, m);
	m->member.dst.port = 0;
	m->number = number_unref(m->number);
}

/* --- making it ready --- */

struct ready_job {
	struct job job;
	struct number *number;
	uint32_t id; /* the machine's */
	bool make, begin;
	struct sp_machine value;
	int r;
};

static void ready_run(struct job *job, struct store *store)
{
	struct ready_job *j = (struct ready_job *)job;
	struct number *n = j->number;
	struct dataplane *dp = n->daemon->dp;

	j->r = j->make ? dataplane_slot_make(dp, n->slot->index) : 0;
	if (j->r < 0)
		return;
	if (j->begin)
		j->r = dataplane_machine_begin(dp, n->port, &j->value);
	else
		dataplane_machine_set_slot(dp, n->port, n->slot->index);
}

static void failed(struct number *n, const struct machine *m, int r)
{
	n->error = r;
	n->retry_us = client_now_us() + RETRY_US;
	log_event(LOG_ERR, "a machine's flows cannot be kept: nothing passes its port", "USER",
		  m ? m->row.user : "", "MACHINE", m ? m->row.name : "", "ERROR", strerror(-r),
		  NULL);
}

static void ready_done(struct job *job)
{
	struct ready_job *j = (struct ready_job *)job;
	struct number *n = j->number;
	struct daemon *d = n->daemon;
	struct machine *m = machine_find_id(d, j->id);
	uint32_t segment = n->slot->segment;

	n->busy = false;
	n->error = 0;
	if (j->make)
		n->slot->state = j->r < 0 ? SLOT_UNSURE : SLOT_READY;
	if (j->r < 0)
		failed(n, m, j->r);
	else
		n->begun = n->attached = true;
	number_unref(n);
	if (j->make)
		slots_advance(d, segment); /* others wait for the same */
	else if (m)
		machine_advance(m);
	free(j);
}

static int prepare(struct machine *m)
{
	struct number *n = m->number;
	struct ready_job *j = calloc(1, sizeof(*j));
	int r = -ENOMEM;

	if (j) {
		*j = (struct ready_job){.job = {ready_run, ready_done, NULL},
					.number = number_ref(n),
					.id = m->id,
					.make = n->slot->state == SLOT_UNSURE,
					.begin = !n->begun,
					.value = {.generation = m->id, .slot = n->slot->index}};
		r = workers_submit(m->daemon->workers, WORKER_SWIFT, &j->job);
		if (r < 0)
			number_unref(n);
	}
	if (r < 0) {
		free(j);
		failed(n, m, r);
		return r;
	}
	n->busy = true;
	if (j->make)
		n->slot->state = SLOT_MAKING;
	return -EAGAIN;
}

int number_ready(struct machine *m)
{
	struct number *n = m->number;

	if (n->begun && n->attached)
		return 0;
	if (n->busy || n->slot->state == SLOT_MAKING)
		return -EAGAIN;
	if (n->error && client_now_us() < n->retry_us)
		return n->error;
	return prepare(m);
}

/* --- flows that end --- */

static void flows_run(struct job *job, struct store *store)
{
	struct end_job *j = (struct end_job *)job;
	struct number *n = j->number;

	j->r = dataplane_flows_end_port(n->daemon->dp, n->slot->index, n->port);
}

static void flows_done(struct job *job)
{
	struct end_job *j = (struct end_job *)job;

	if (j->r < 0)
		log_event(LOG_WARNING, "flows of a machine could not be ended", "ERROR",
			  strerror(-j->r), NULL);
	number_unref(j->number);
	free(j);
}

void number_end_flows(struct machine *m)
{
	struct end_job *j;

	/* At start there are no workers yet; what is there then was ended when it went off, or is
	 * ended when it is given back. */
	if (!m->number || !m->number->attached || !m->daemon->workers)
		return;
	j = calloc(1, sizeof(*j));
	if (!j)
		return;
	*j = (struct end_job){.job = {flows_run, flows_done, NULL},
			      .number = number_ref(m->number)};
	if (workers_submit(m->daemon->workers, WORKER_SWIFT, &j->job) < 0) {
		number_unref(m->number);
		free(j);
	}
}

/* --- its clock (M8) --- */

/*
 * What it has in memory is kept, and nothing of it runs, or what was sent to it waits until it
 * does: that has to find its flow then, however long a guest takes to boot. -1: who knows.
 */
static int stands_still(const struct machine *m)
{
	if (m->busy && (m->verb == VIRT_SUSPEND || m->verb == VIRT_SAVE))
		return 1;
	if (m->info.state == VIRT_UNKNOWN)
		return -1;
	return m->info.state == VIRT_PAUSED || m->info.state == VIRT_SAVED ||
	       (m->n_parked > 0 && !machine_is_awake(m));
}

void number_set_clock(struct machine *m)
{
	int still = stands_still(m);

	if (!m->number || !m->number->begun || still < 0)
		return;
	if (still)
		dataplane_machine_freeze(m->daemon->dp, m->number->port);
	else
		dataplane_machine_thaw(m->daemon->dp, m->number->port);
}

/* --- at start --- */

int number_adopt(struct machine *m, uint32_t port, bool begun)
{
	struct daemon *d = m->daemon;
	struct sp_machine known;
	struct slot *s;
	int r;

	if (portnum_take(d->portnums, port) < 0)
		return -EEXIST;
	r = slot_hold(m, &s);
	if (r == 0 && !number_new(m, port, s))
		r = -ENOMEM;
	if (r < 0)
		return r;
	m->number->begun = begun;
	/* It names it since its tables are there (M7). */
	m->number->attached =
		begun && dataplane_machine_get(d->dp, port, &known) == 0 && known.slot == s->index;
	if (m->number->attached)
		s->state = SLOT_READY;
	return 0;
}

static int adopt_sleeping(uint32_t port, const struct sp_machine *entry, void *arg)
{
	struct daemon *d = arg;
	struct machine *m = machine_find_id(d, (uint32_t)entry->generation);
	struct slot *s = m ? slot_find(d, m->row.segment) : NULL;
	int r;

	if (!m || m->number || !entry->frozen_ns || !s || s->index != entry->slot)
		return 0;
	r = number_adopt(m, port, true);
	return r == -ENOMEM ? r : 0;
}

int numbers_adopt_sleeping(struct daemon *d)
{
	return dataplane_each_machine(d->dp, adopt_sleeping, d);
}

struct strays {
	struct daemon *daemon;
	int n;
};

static int drop_stray(uint32_t port, const struct sp_machine *entry, void *arg)
{
	struct strays *s = arg;
	int r;

	if (machine_find_port(s->daemon, port))
		return 0;
	r = dataplane_machine_end(s->daemon->dp, port);
	if (r == 0)
		s->n++;
	return r;
}

int numbers_drop_strays(struct daemon *d)
{
	struct strays s = {.daemon = d};
	int r = dataplane_each_machine(d->dp, drop_stray, &s);

	return r < 0 ? r : s.n;
}

static int reserve(uint32_t port, const struct sp_machine *entry, void *arg)
{
	portnum_reserve(arg, port);
	return 0;
}

int numbers_reserve(struct daemon *d)
{
	return dataplane_each_machine(d->dp, reserve, d->portnums);
}
