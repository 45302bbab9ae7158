/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's policy: of every machine that has none of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "log.h"
#include "machine.h"
#include "policy/policy.h"
#include "rules_apply.h"

const char *rules_default(const struct daemon *d)
{
	return d->config->default_rules ? d->config->default_rules : policy_builtin;
}

static bool is_in_force(struct daemon *d, const char *text)
{
	struct sp_head head;

	return dataplane_policy_head(d->dp, DATAPLANE_DEFAULT_POLICY, &head) == 0 &&
	       head.digest == policy_digest(text, strlen(text));
}

static void tell(const struct rules_order *o)
{
	if (o->r < 0)
		log_event(LOG_ERR, "the default policy could not be put in force", "ERROR",
			  o->error, NULL);
	else
		log_event(LOG_INFO, "the default policy is in force", NULL);
}

int rules_default_adopt(struct daemon *d)
{
	struct rules_order o = {.port = DATAPLANE_DEFAULT_POLICY, .text = (char *)rules_default(d)};

	if (is_in_force(d, o.text))
		return 0;
	rules_apply(d->dp, &o);
	tell(&o);
	return o.r;
}

/* --- after a reload --- */

struct default_job {
	struct job job;
	struct daemon *daemon;
	struct rules_order order;
	uint32_t *ports; /* of machines that it counts for */
	size_t n_ports;
};

static void default_job_free(struct default_job *j)
{
	rules_order_free(&j->order);
	free(j->ports);
	free(j);
}

/* What a machine of its own would have lost by it is lost here too. */
static void end_flows(struct default_job *j)
{
	_cleanup_(policy_freep) struct policy *now = NULL;
	_cleanup_(policy_freep) struct policy *next = NULL;
	char error[RULES_ERROR_MAX];

	if (rules_parse(j->order.text, &next, error) < 0 ||
	    (rules_parse(j->order.before, &now, error) == 0 && !policy_takes_away(now, next)))
		return;
	for (size_t i = 0; i < j->n_ports; i++)
		j->order.ended += rules_end_flows(j->daemon->dp, j->ports[i], next);
}

static void default_run(struct job *job, struct store *store)
{
	struct default_job *j = (struct default_job *)job;

	rules_apply(j->daemon->dp, &j->order);
	if (j->order.r == 0)
		end_flows(j);
}

static void default_done(struct job *job)
{
	struct default_job *j = (struct default_job *)job;
	struct daemon *d = j->daemon;

	d->default_busy = false;
	tell(&j->order);
	if (j->order.r == 0)
		rules_default_changed(d, j->order.text); /* read again meanwhile */
	default_job_free(j);
}

static int take_ports(struct default_job *j)
{
	struct daemon *d = j->daemon;

	j->ports = calloc(HASH_CNT(hh_id, d->machines) + 1, sizeof(*j->ports));
	if (!j->ports)
		return -ENOMEM;
	for (struct machine *m = d->machines; m; m = m->hh_id.next)
		if (m->joined && !m->rules.text)
			j->ports[j->n_ports++] = m->member.dst.port;
	return 0;
}

void rules_default_changed(struct daemon *d, const char *before)
{
	const char *text = rules_default(d);
	struct default_job *j;
	int r = -ENOMEM;

	if (d->default_busy || strcmp(before, text) == 0)
		return;
	j = calloc(1, sizeof(*j));
	if (j) {
		*j = (struct default_job){.job = {default_run, default_done, NULL},
					  .daemon = d,
					  .order = {.port = DATAPLANE_DEFAULT_POLICY,
						    .text = strdup(text),
						    .before = strdup(before)}};
		if (j->order.text && j->order.before)
			r = take_ports(j);
		if (r == 0)
			r = workers_submit(d->workers, WORKER_SWIFT, &j->job);
	}
	if (r == 0) {
		d->default_busy = true;
		return;
	}
	log_event(LOG_ERR, "the default policy could not be put in force", "ERROR", strerror(-r),
		  NULL);
	if (j)
		default_job_free(j);
}
