/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a user there? */
#include "presence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "lib/client.h"
#include "machine.h"
#include "session.h"

struct presence *presence_find(struct daemon *d, uint32_t user_id)
{
	struct presence *p;

	HASH_FIND(hh, d->presences, &user_id, sizeof(user_id), p);
	return p;
}

/* The sessions that were live before the user had any machine. */
static unsigned int count_sessions(struct daemon *d, uint32_t user_id)
{
	unsigned int n = 0;

	for (struct session *s = d->sessions_by_id; s; s = s->hh_id.next)
		n += s->user_id == user_id;
	return n;
}

struct presence *presence_get(struct daemon *d, uint32_t user_id, const char *user)
{
	struct presence *p = presence_find(d, user_id);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->daemon = d;
	p->user_id = user_id;
	snprintf(p->user, sizeof(p->user), "%s", user);
	p->sessions = count_sessions(d, user_id);
	p->arrived_us = p->left_us = client_now_us();
	HASH_ADD(hh, d->presences, user_id, sizeof(p->user_id), p);
	return p;
}

void presence_set_limits(struct daemon *d, const struct store_user *u)
{
	const struct resources max = {u->max_machines, u->max_memory_mib, u->max_vcpus};
	struct presence *p = presence_find(d, u->id);

	if (!p || memcmp(&p->max, &max, sizeof(max)) == 0)
		return;
	p->max = max;
	for (struct machine *m = p->machines; m; m = m->owner_next)
		machine_poke(m);
}

void presence_free(struct presence *p)
{
	HASH_DEL(p->daemon->presences, p);
	sd_event_source_disable_unref(p->timer);
	free(p);
}

bool presence_is_there(const struct presence *p, uint64_t now_us)
{
	return p->sessions > 0 || now_us < p->expected_until_us;
}

static void tell_machines(struct presence *p, bool arrived)
{
	struct machine *m, *next;

	for (m = p->machines; m; m = next) {
		next = m->owner_next;
		if (arrived)
			machine_user_arrived(m);
		machine_advance(m);
	}
}

static int on_expired(sd_event_source *source, uint64_t usec, void *arg)
{
	struct presence *p = arg;

	p->timer = sd_event_source_disable_unref(p->timer);
	p->expected_until_us = 0;
	if (p->sessions == 0) {
		p->left_us = client_now_us();
		tell_machines(p, false);
	}
	return 0;
}

static void expect(struct presence *p, uint64_t now_us)
{
	p->expected_until_us = now_us + SP_TRACE_PENDING_S * 1000000ULL;
	p->timer = sd_event_source_disable_unref(p->timer);
	sd_event_add_time(p->daemon->event, &p->timer, CLOCK_MONOTONIC, p->expected_until_us,
			  1000000, on_expired, p);
}

void presence_login(struct daemon *d, uint32_t user_id, uint64_t trace)
{
	struct presence *p = presence_find(d, user_id);
	uint64_t now = client_now_us();
	bool arrived;

	if (!p)
		return;
	arrived = !presence_is_there(p, now);
	if (arrived)
		p->arrived_us = now;
	p->trace = trace;
	expect(p, now);
	tell_machines(p, arrived);
}

void presence_session(struct daemon *d, uint32_t user_id, uint64_t trace, bool began)
{
	struct presence *p = presence_find(d, user_id);
	uint64_t now = client_now_us();
	bool arrived;

	if (!p)
		return;
	arrived = began && !presence_is_there(p, now);
	if (began) {
		p->sessions++;
		if (trace)
			p->trace = trace;
		/* It has come: what is expected now is nothing more. */
		p->expected_until_us = 0;
		p->timer = sd_event_source_disable_unref(p->timer);
	} else if (p->sessions > 0) {
		p->sessions--;
	}
	if (arrived)
		p->arrived_us = now;
	if (!presence_is_there(p, now))
		p->left_us = now;
	/* Taken over after a restart of ours: nobody has come, and machines are looked at later. */
	if (!d->restoring)
		tell_machines(p, arrived);
}
