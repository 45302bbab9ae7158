/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When is a machine's policy in force, and what happens where it cannot be? */
#include "rules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "machine.h"
#include "policy/policy.h"
#include "rules_apply.h"

#define RETRY_US (30ULL * 1000000)

static const char closed[] = "default in drop\ndefault out drop\n";

static void tell(const struct machine *m, const char *message, const char *error)
{
	log_event(LOG_ERR, message, "USER", m->row.user, "MACHINE", m->row.name, "ERROR", error,
		  NULL);
}

static void set_trouble(struct machine_rules *x, int r, const char *words)
{
	free(x->trouble);
	x->trouble = NULL;
	x->error = r;
	if (r < 0 && asprintf(&x->trouble, "its policy is not in force: %s", words) < 0)
		x->trouble = NULL;
}

/* Whoever waits is told, once. */
static void conclude(struct machine *m, const struct rules_result *result)
{
	struct machine_rules *x = &m->rules;
	void (*done)(const struct rules_result *, void *) = x->done;

	x->done = NULL;
	if (done)
		done(result, x->done_arg);
}

/* --- on its way --- */

struct apply_job {
	struct job job;
	struct daemon *daemon;
	struct number *number; /* whose port it is */
	uint32_t id;	       /* the machine's */
	uint64_t generation;
	struct rules_order order;
};

static void apply_job_free(struct apply_job *j)
{
	number_unref(j->number);
	rules_order_free(&j->order);
	free(j);
}

static void apply_run(struct job *job, struct store *store)
{
	struct apply_job *j = (struct apply_job *)job;

	rules_apply(j->daemon->dp, &j->order);
}

static int apply(struct machine *m);

static void applied(struct machine *m, const struct apply_job *j)
{
	struct machine_rules *x = &m->rules;
	struct rules_result result = {.r = j->order.r,
				      .error = j->order.error,
				      .in_force = j->order.r == 0,
				      .strict = j->order.strict,
				      .ended = j->order.ended};

	set_trouble(x, j->order.r, j->order.error);
	if (j->order.r < 0) {
		x->retry_us = client_now_us() + RETRY_US;
		tell(m, "a machine's policy could not be put in force", j->order.error);
	} else {
		x->in_force = true;
		x->makeshift = false;
		x->applied = j->generation;
	}
	if (j->generation != x->generation) { /* it was changed meanwhile */
		int r = apply(m);

		if (r == 0)
			return;
		result = (struct rules_result){.r = r, .error = strerror(-r)};
	}
	conclude(m, &result);
}

static void apply_done(struct job *job)
{
	struct apply_job *j = (struct apply_job *)job;
	struct machine *m = machine_find_id(j->daemon, j->id);

	if (m) {
		m->rules.busy = false;
		if (m->number == j->number)
			applied(m, j);
		else /* it was given back meanwhile: the next one has it */
			conclude(m, &(struct rules_result){.in_force = false});
		machine_advance(m);
	}
	apply_job_free(j);
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

/* What the machine's text says now, at the port number that it has. */
static int apply(struct machine *m)
{
	struct machine_rules *x = &m->rules;
	struct daemon *d = m->daemon;
	struct apply_job *j = calloc(1, sizeof(*j));
	int r = -ENOMEM;

	if (!j)
		return r;
	*j = (struct apply_job){.job = {apply_run, apply_done, NULL},
				.daemon = d,
				.number = number_ref(m->number),
				.id = m->id,
				.generation = x->generation,
				.order = {.port = m->member.dst.port,
					  .generation = x->generation,
					  .text = copy(x->text),
					  .fallback = strdup(rules_default(d)),
					  .before = x->before,
					  .look = x->in_force ? x->strict : RULES_STRICT_NO}};
	x->before = NULL;
	if (j->order.fallback && !j->order.text == !x->text)
		r = workers_submit(d->workers, WORKER_SWIFT, &j->job);
	if (r < 0)
		apply_job_free(j);
	else
		x->busy = true;
	return r;
}

int rules_ready(struct machine *m)
{
	struct machine_rules *x = &m->rules;
	struct sp_head head;
	int r;

	if (x->in_force)
		return 0;
	if (x->busy)
		return -EAGAIN;
	if (x->error && client_now_us() < x->retry_us)
		return x->error;
	/* What is not there need not be taken away. */
	if (!x->text &&
	    dataplane_policy_head(m->daemon->dp, m->member.dst.port, &head) == -ENOENT) {
		x->in_force = true;
		x->applied = x->generation;
		return 0;
	}
	x->strict = RULES_STRICT_NO;
	r = apply(m);
	return r ?: -EAGAIN;
}

void rules_replace(struct machine *m, char *text, uint64_t generation, enum rules_strict strict,
		   void (*done)(const struct rules_result *result, void *arg), void *arg)
{
	const struct rules_result later = {.in_force = false};
	struct machine_rules *x = &m->rules;
	int r;

	free(x->before);
	x->before = x->text;
	x->text = text;
	x->generation = generation;
	x->strict = strict;
	x->done = done;
	x->done_arg = arg;
	x->retry_us = m->join_retry_us = 0;
	if (x->busy)
		return; /* this one is next */
	if (!x->in_force) {
		free(TAKE_PTR(x->before));
		set_trouble(x, 0, NULL);
		conclude(m, &later);
		machine_advance(m);
		return;
	}
	r = apply(m);
	if (r < 0)
		conclude(m, &(struct rules_result){.r = r, .error = strerror(-r)});
}

void rules_leave(struct machine *m)
{
	m->rules.in_force = m->rules.makeshift = false;
}

/* --- at start --- */

int rules_note(struct machine *m, const struct store_rules *rules)
{
	struct machine_rules *x = &m->rules;
	char *text = copy(rules->text);

	if (!text != !rules->text)
		return -ENOMEM;
	free(x->text);
	x->text = text;
	x->generation = rules->generation;
	return 0;
}

static uint64_t digest_of(const char *text)
{
	return policy_digest(text, strlen(text));
}

/* M5; where there is nothing that could stay, nothing passes. */
static int fall_back(struct machine *m, bool there, const struct rules_order *o)
{
	struct rules_order shut = {.port = o->port, .text = (char *)closed};

	set_trouble(&m->rules, o->r, o->error);
	tell(m,
	     there ? "a machine's policy could not be put in force: the one before stays"
		   : "a machine's policy could not be put in force: nothing passes its port",
	     o->error);
	if (!there)
		rules_apply(m->daemon->dp, &shut);
	return shut.r;
}

int rules_adopt(struct machine *m)
{
	struct machine_rules *x = &m->rules;
	struct rules_order o = {
		.port = m->member.dst.port, .generation = x->generation, .text = x->text};
	struct sp_head head;
	int there = dataplane_policy_head(m->daemon->dp, o.port, &head), r = 0;

	if (x->text ? there < 0 || head.digest != digest_of(x->text) : there != -ENOENT) {
		rules_apply(m->daemon->dp, &o);
		if (o.r < 0)
			r = fall_back(m, there == 0, &o);
	}
	x->in_force = r == 0;
	x->makeshift = o.r < 0;
	x->applied = o.r < 0 ? 0 : x->generation;
	return r;
}

struct strays {
	struct daemon *daemon;
	int n;
};

static int drop_stray(uint32_t port, void *arg)
{
	struct strays *s = arg;
	int r;

	if (port == DATAPLANE_DEFAULT_POLICY || machine_find_port(s->daemon, port))
		return 0;
	r = dataplane_policy_clear(s->daemon->dp, port);
	if (r == 0)
		s->n++;
	return r;
}

int rules_drop_strays(struct daemon *d)
{
	struct strays s = {.daemon = d};
	int r = dataplane_each_policy(d->dp, drop_stray, &s);

	return r < 0 ? r : s.n;
}

void rules_free(struct machine *m)
{
	conclude(m, &(struct rules_result){.r = -ENOENT, .error = "the machine was removed"});
	free(TAKE_PTR(m->rules.text));
	free(TAKE_PTR(m->rules.before));
	free(TAKE_PTR(m->rules.trouble));
}
