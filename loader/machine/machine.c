/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which machines are there, and whose? */
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "addresses.h"
#include "admission.h"
#include "daemon.h"
#include "log.h"
#include "number.h"
#include "waiter.h"

#define US 1000000ULL

/* --- policy --- */

static uint64_t seconds_us(int32_t own, uint32_t configured)
{
	return (own == STORE_DEFAULT ? configured : (uint32_t)own) * US;
}

uint64_t machine_grace_us(const struct machine *m)
{
	return seconds_us(m->row.policy.grace_s, m->daemon->config->grace_s);
}

uint64_t machine_idle_us(const struct machine *m)
{
	return seconds_us(m->row.policy.idle_s, m->daemon->config->idle_s);
}

uint64_t machine_min_up_us(const struct machine *m)
{
	return seconds_us(m->row.policy.min_up_s, m->daemon->config->min_up_s);
}

/* A row is what somebody wrote there: one that cannot be read stops nothing (I4). */
static void set_ladder(struct machine *m)
{
	const char *own = m->row.policy.ladder, *text = own[0] ? own : m->daemon->config->ladder;
	char error[128];
	size_t at;

	if (ladder_parse(text, &m->ladder, &at, error) == 0)
		return;
	log_event(LOG_ERR, "a machine's stop policy cannot be read: it is kept running", "USER",
		  m->row.user, "MACHINE", m->row.name, "POLICY", text, "ERROR", error, NULL);
	m->ladder = (struct ladder){.n = 1, .steps = {{LEVEL_KEEP, LADDER_FOR_EVER}}};
}

static void check_addresses(struct machine *m)
{
	struct addresses a;

	if (addresses_parse(m->row.addresses, &a, NULL) == 0)
		return;
	log_event(LOG_ERR, "a machine's addresses cannot be read: it has none", "USER", m->row.user,
		  "MACHINE", m->row.name, "ADDRESSES", m->row.addresses, NULL);
	m->row.addresses[0] = '\0';
}

/* --- the tables --- */

struct machine *machine_find_id(struct daemon *d, uint32_t id)
{
	struct machine *m;

	HASH_FIND(hh_id, d->machines, &id, sizeof(id), m);
	return m;
}

struct machine *machine_find_uuid(struct daemon *d, const uint8_t uuid[SP_UUID_LEN])
{
	struct machine *m;

	HASH_FIND(hh_uuid, d->machines_by_uuid, uuid, SP_UUID_LEN, m);
	return m;
}

struct machine *machine_find_mac(struct daemon *d, const uint8_t mac[SP_MAC_LEN])
{
	struct machine *m;

	HASH_FIND(hh_mac, d->machines_by_mac, mac, SP_MAC_LEN, m);
	return m;
}

struct machine *machine_find_port(struct daemon *d, uint32_t port)
{
	struct machine *m;

	HASH_FIND(hh_port, d->machines_by_port, &port, sizeof(port), m);
	return m;
}

struct machine *machine_find(struct daemon *d, const char *user, const char *name)
{
	for (struct machine *m = d->machines; m; m = m->hh_id.next)
		if (!m->gone && strcmp(m->row.user, user) == 0 && strcmp(m->row.name, name) == 0)
			return m;
	return NULL;
}

const char *machine_label(const struct machine *m, char ret[2 * SP_NAME_MAX])
{
	snprintf(ret, 2 * SP_NAME_MAX, "%s/%s", m->row.user, m->row.name);
	return ret;
}

static void add_to_tables(struct machine *m)
{
	struct daemon *d = m->daemon;

	HASH_ADD(hh_id, d->machines, id, sizeof(m->id), m);
	HASH_ADD(hh_uuid, d->machines_by_uuid, row.uuid, SP_UUID_LEN, m);
	HASH_ADD(hh_mac, d->machines_by_mac, row.mac, SP_MAC_LEN, m);
	LL_APPEND2(m->owner->machines, m, owner_next);
}

static void remove_from_tables(struct machine *m)
{
	struct daemon *d = m->daemon;

	HASH_DELETE(hh_id, d->machines, m);
	HASH_DELETE(hh_uuid, d->machines_by_uuid, m);
	HASH_DELETE(hh_mac, d->machines_by_mac, m);
	if (m->member.dst.port)
		HASH_DELETE(hh_port, d->machines_by_port, m);
	if (m->link.ifindex)
		HASH_DELETE(hh_device, d->machine_devices, m);
	LL_DELETE2(m->owner->machines, m, owner_next);
}

/* --- coming and going --- */

int machine_new(struct daemon *d, const struct store_machine *row, struct machine **ret)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->daemon = d;
	m->row = *row;
	m->id = row->id;
	m->owner = presence_get(d, row->user_id, row->user);
	if (!m->owner) {
		free(m);
		return -ENOMEM;
	}
	m->parked_tail = &m->parked;
	m->revive = !row->held && (row->want == LEVEL_RUN || row->want == LEVEL_SHRINK);
	set_ladder(m);
	check_addresses(m);
	machine_read_leases(m);
	add_to_tables(m);
	if (ret)
		*ret = m;
	return 0;
}

void machine_free(struct machine *m)
{
	struct presence *p = m->owner;

	machine_drop_parked(m);
	rules_free(m);
	m->number = number_forget(m->number);
	sd_event_source_disable_unref(m->timer);
	sd_event_source_disable_unref(m->lease_timer);
	while (m->member.bindings) {
		struct binding *b = m->member.bindings;

		m->member.bindings = b->owner_next;
		free(b);
	}
	remove_from_tables(m);
	if (!p->machines)
		presence_free(p);
	free(m->trouble);
	free(m->refusal);
	free(m);
}

void machine_remove(struct machine *m)
{
	log_event(LOG_INFO, "machine removed", "USER", m->row.user, "MACHINE", m->row.name, NULL);
	waiters_fail(m, "the machine was removed");
	machine_port_drop(m);
	admission_release(m);
	m->timer = sd_event_source_disable_unref(m->timer);
	m->lease_timer = sd_event_source_disable_unref(m->lease_timer);
	m->gone = true;
	if (!m->busy && m->tap == TAP_NONE)
		machine_free(m);
}

int machine_set_row(struct machine *m, const struct store_machine *row)
{
	bool was_router = m->row.router;
	struct addresses a;
	int r = 0;

	if (addresses_parse(row->addresses, &a, NULL) < 0)
		return -EINVAL;
	if (m->joined)
		machine_clear_addresses(m);
	m->row.policy = row->policy;
	if (m->row.pinned != row->pinned) {
		m->row.pinned = row->pinned;
		machine_read_leases(m);
	}
	memcpy(m->row.addresses, row->addresses, sizeof(m->row.addresses));
	m->row.router = row->router;
	m->row.dhcp_server = row->dhcp_server;
	set_ladder(m);
	if (m->joined) {
		r = machine_write_addresses(m);
		machine_port_set_guards(m);
		dataplane_machine_watch(m->daemon->dp, m->member.dst.port, SP_WATCH_ADDRESS);
	}
	/* The keys of a router's flows say which way they take: others are not found any more. */
	if (was_router != m->row.router)
		number_end_flows(m);
	machine_advance(m);
	return r;
}

void machine_reload_all(struct daemon *d)
{
	struct machine *m, *next;

	HASH_ITER(hh_id, d->machines, m, next)
	{
		set_ladder(m);
		machine_port_set_rates(m);
		machine_poke(m);
	}
	admission_kick(d);
}

/* --- what a restart begins with --- */

struct want_job {
	struct job job;
	uint32_t id;
	uint8_t want;
	bool held;
	int r;
	char *error;
};

static void want_run(struct job *job, struct store *store)
{
	struct want_job *w = (struct want_job *)job;

	w->r = store_machine_set_want(store, w->id, w->want, w->held);
	if (w->r < 0)
		w->error = strdup(store_error(store));
}

static void want_done(struct job *job)
{
	struct want_job *w = (struct want_job *)job;

	if (w->r < 0 && w->r != -ENOENT)
		log_event(LOG_WARNING, "what a machine is to be is not stored", "ERROR",
			  w->error ? w->error : strerror(-w->r), NULL);
	free(w->error);
	free(w);
}

void machine_store_want(const struct machine *m)
{
	struct want_job *w = calloc(1, sizeof(*w));

	if (!w)
		return;
	*w = (struct want_job){.job = {want_run, want_done, NULL},
			       .id = m->id,
			       .want = m->row.want,
			       .held = m->row.held};
	if (workers_submit(m->daemon->workers, WORKER_STORE, &w->job) < 0)
		free(w);
}
