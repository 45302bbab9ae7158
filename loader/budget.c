/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may all of a user's ports together? */
#include "budget.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "daemon.h"
#include "log.h"
#include "machine/machine.h"
#include "machine/slots.h"
#include "segment.h"
#include "session.h"

static struct budget *find(struct daemon *d, uint32_t user_id)
{
	struct budget *b;

	HASH_FIND(hh, d->budgets, &user_id, sizeof(user_id), b);
	return b;
}

static struct budget *get(struct daemon *d, uint32_t user_id)
{
	struct budget *b = find(d, user_id);

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->user_id = user_id;
	HASH_ADD(hh, d->budgets, user_id, sizeof(b->user_id), b);
	return b;
}

/* Without a burst of its own: what a tenth of a second brings. */
static uint64_t burst_of(uint64_t rate, uint64_t burst)
{
	return burst ? burst : rate / 10;
}

static struct dataplane_rate rate_of(const struct daemon *d, const struct budget *b)
{
	const struct config *c = d->config;
	struct dataplane_rate r = {
		.bytes_per_s = c->user_rate_bytes,
		.frames_per_s = c->user_rate_frames,
	};

	if (b && b->own.rate_bytes)
		r.bytes_per_s = b->own.rate_bytes;
	if (b && b->own.rate_frames)
		r.frames_per_s = b->own.rate_frames;
	r.bytes_burst = burst_of(r.bytes_per_s, c->user_burst_bytes);
	r.frames_burst = burst_of(r.frames_per_s, c->user_burst_frames);
	return r;
}

static bool has_rate(const struct daemon *d, const struct budget *b)
{
	const struct dataplane_rate r = rate_of(d, b);

	return r.bytes_per_s || r.frames_per_s;
}

static int write_rate(struct daemon *d, const struct budget *b)
{
	const struct dataplane_rate r = rate_of(d, b);

	return dataplane_police_set(d->dp, b->port, &r);
}

int budget_port(struct daemon *d, uint32_t user_id, uint32_t *ret)
{
	struct budget *b = find(d, user_id);
	int r;

	*ret = 0;
	if (d->restoring || !has_rate(d, b))
		return 0;
	b = b ?: get(d, user_id);
	if (!b)
		return -ENOMEM;
	if (!b->port) {
		b->port = portnum_get(d->portnums);
		if (!b->port)
			return -ENOSPC;
		r = write_rate(d, b);
		if (r < 0) {
			portnum_put(d->portnums, b->port);
			b->port = 0;
			return r;
		}
	}
	*ret = b->port;
	return 0;
}

/* Their entries name the number, or name it no more. */
static void write_members(struct daemon *d, uint32_t user_id)
{
	for (struct member *m = segment_members(d, user_id); m; m = m->next) {
		if (m->session)
			session_set_rate(m->session);
		if (m->machine)
			machine_port_set_rates(m->machine);
	}
}

static void apply(struct daemon *d, uint32_t user_id)
{
	struct budget *b = find(d, user_id);
	uint32_t port = b ? b->port : 0;
	int r = 0;

	if (d->restoring)
		return;
	if (has_rate(d, b)) {
		if (port)
			r = write_rate(d, b);
		else if (segment_exists(d, user_id))
			write_members(d, user_id);
	} else if (port) {
		b->port = 0;
		write_members(d, user_id);
		portnum_put(d->portnums, port);
	}
	if (r < 0)
		log_event(LOG_ERR, "a user's rate could not be set", "ERROR", strerror(-r), NULL);
}

/* How many tables there are was decided when the maps were pinned: they may be too few. */
static void apply_flows(struct daemon *d, const struct store_user *u)
{
	uint32_t most = dataplane_flows_max(d->dp);
	char flows[16], limit[16];

	if (u->max_flows > most) {
		snprintf(flows, sizeof(flows), "%u", u->max_flows);
		snprintf(limit, sizeof(limit), "%u", most);
		log_event(LOG_WARNING,
			  "a user's own max-flows is above what tables are made for, which holds",
			  "USER", u->name, "FLOWS", flows, "TABLES", limit, NULL);
	}
	slot_set_budget(d, u->id);
}

void budget_set(struct daemon *d, const struct store_user *u)
{
	const struct budget_limits own = {.rate_bytes = u->rate_bytes,
					  .rate_frames = u->rate_frames,
					  .max_macs = u->max_user_macs,
					  .max_flows = u->max_flows,
					  .new_flows = u->new_flows};
	const struct budget_limits none = {0};
	struct budget *b = find(d, u->id);

	if (!b && memcmp(&own, &none, sizeof(own)) == 0)
		return;
	b = b ?: get(d, u->id);
	if (!b || memcmp(&own, &b->own, sizeof(own)) == 0)
		return;
	b->own = own;
	apply(d, u->id);
	apply_flows(d, u);
}

unsigned int budget_max_macs(struct daemon *d, uint32_t user_id)
{
	const struct budget *b = find(d, user_id);
	unsigned int n = b && b->own.max_macs ? b->own.max_macs : d->config->user_max_macs;

	return n ? n : UINT_MAX;
}

unsigned int budget_macs(struct daemon *d, uint32_t user_id)
{
	unsigned int n = 0;

	for (const struct member *m = segment_members(d, user_id); m; m = m->next)
		if (m->session)
			n += m->n_bindings;
	return n;
}

/* As many seconds' worth as the configuration has; as its default where that limits no rate. */
static uint64_t new_burst_of(const struct config *c, uint32_t rate)
{
	return c->new_flows ? (uint64_t)rate * c->new_flows_burst / c->new_flows
			    : (uint64_t)rate * SP_DEF_NEW_BURST / SP_DEF_NEW_FLOWS;
}

struct dataplane_budget budget_flows(struct daemon *d, uint32_t user_id)
{
	const struct config *c = d->config;
	const struct budget *b = find(d, user_id);
	struct dataplane_budget r = {
		.flows = c->flows,
		.new_per_s = c->new_flows,
		.new_burst = c->new_flows_burst,
	};

	if (b && b->own.max_flows)
		r.flows = b->own.max_flows;
	if (b && b->own.new_flows) {
		r.new_per_s = b->own.new_flows;
		r.new_burst = new_burst_of(c, b->own.new_flows);
	}
	return r;
}

void budget_reload(struct daemon *d)
{
	struct segment *s, *next;

	HASH_ITER(hh, d->segments, s, next)
	apply(d, s->id);
}

void budget_idle(struct daemon *d, uint32_t user_id)
{
	const struct budget_limits none = {0};
	struct budget *b = find(d, user_id);

	if (!b)
		return;
	if (b->port)
		portnum_put(d->portnums, b->port);
	b->port = 0;
	/* What is the user's own is needed by a machine that comes up while nobody is there. */
	if (memcmp(&b->own, &none, sizeof(none)) == 0) {
		HASH_DEL(d->budgets, b);
		free(b);
	}
}

void budget_free(struct daemon *d)
{
	struct budget *b, *next;

	HASH_ITER(hh, d->budgets, b, next)
	{
		HASH_DEL(d->budgets, b);
		free(b);
	}
}
