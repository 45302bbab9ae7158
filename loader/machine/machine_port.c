/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How is a machine reached? By its tap while there is a domain (M1 to M3, tap.h), and by its place
 * on the segment, which it also has while it sleeps and frames may wake it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "budget.h"
#include "daemon.h"
#include "lib/client.h"
#include "log.h"
#include "machine.h"
#include "tap.h"
#include "trace/metrics.h"

#define JOIN_RETRY_US (30ULL * 1000000)

/* --- what is so, and what should be --- */

/* libvirt may have a process behind the tap, or is about to. */
static bool is_up(const struct machine *m)
{
	switch (m->info.state) {
	case VIRT_RUNNING:
	case VIRT_PAUSED:
	case VIRT_STOPPING:
	case VIRT_CRASHED:
		return true;
	case VIRT_UNKNOWN: /* no answer is no reason to cut it off (I5) */
		return m->link.ifindex != 0;
	default:
		return m->busy && m->verb == VIRT_START;
	}
}

static bool guest_runs(const struct machine *m)
{
	if (m->busy && (m->verb == VIRT_SUSPEND || m->verb == VIRT_SAVE))
		return false;
	if (m->info.state == VIRT_UNKNOWN)
		return m->joined && !(m->member.dst.flags & SP_F_ASLEEP);
	return m->info.state == VIRT_RUNNING || m->info.state == VIRT_STOPPING;
}

static struct sp_dst wanted_dst(const struct machine *m)
{
	return (struct sp_dst){
		.ifindex = m->link.ifindex,
		.port = m->member.dst.port,
		.max_len = MACHINE_MTU + 14,
		.kind = SP_PORT_MACHINE,
		.flags = guest_runs(m) && m->tap == TAP_READY ? 0 : SP_F_ASLEEP,
	};
}

/* --- the segment --- */

static void give_number(struct machine *m)
{
	if (!m->number)
		return;
	metrics_port_gone(m->daemon->metrics, SP_PORT_MACHINE, m->member.dst.port);
	rules_leave(m);
	number_give(m);
}

/* What the guards go by: all but SP_M_PROXY. */
#define GUARD_FLAGS (SP_M_PINNED | SP_M_LEASE | SP_M_ROUTER | SP_M_DHCP)

static uint32_t guard_flags(const struct machine *m)
{
	return (m->row.pinned != PINNED_NO ? SP_M_PINNED : 0) |
	       (m->row.pinned == PINNED_DHCP ? SP_M_LEASE : 0) | (m->row.router ? SP_M_ROUTER : 0) |
	       (m->row.dhcp_server ? SP_M_DHCP : 0);
}

void machine_port_set_guards(struct machine *m)
{
	uint32_t flags = guard_flags(m);

	dataplane_machine_flags(m->daemon->dp, m->member.dst.port, flags, GUARD_FLAGS & ~flags);
}

static int set_rates(const struct machine *m)
{
	const struct config *c = m->daemon->config;
	struct dataplane_rate rate = {.bytes_per_s = c->machine_rate_bytes,
				      .bytes_burst = c->machine_burst_bytes,
				      .frames_per_s = c->machine_rate_frames,
				      .frames_burst = c->machine_burst_frames};
	int r = budget_port(m->daemon, m->row.segment, &rate.user);

	r = r ?: dataplane_police_set(m->daemon->dp, m->member.dst.port, &rate);
	return r
		       ?: dataplane_quota_set(m->daemon->dp, m->member.dst.port,
					      c->machine_rate_group_frames,
					      c->machine_burst_group_frames);
}

void machine_port_set_rates(struct machine *m)
{
	int r = m->joined ? set_rates(m) : 0;

	if (r < 0)
		log_event(LOG_ERR, "a machine's rate could not be set", "USER", m->row.user,
			  "MACHINE", m->row.name, "ERROR", strerror(-r), NULL);
}

/* The rates, and what the programs watch and guard; the entry itself is begun (number.h). */
static int begin_port(struct machine *m)
{
	uint32_t port = m->member.dst.port;
	bool there = presence_is_there(m->owner, client_now_us());

	machine_port_set_guards(m);
	dataplane_machine_unpark(m->daemon->dp, port);
	dataplane_machine_watch(m->daemon->dp, port,
				SP_WATCH_ADDRESS | (there ? SP_WATCH_TO | SP_WATCH_ANSWER : 0));
	return set_rates(m);
}

/* Behind its policy (M4), and with its flows where they belong (M6, M7): both at once. */
static int ready(struct machine *m)
{
	int r = number_take(m), rules, flows;

	if (r < 0)
		return r;
	rules = rules_ready(m);
	flows = number_ready(m);
	if (rules < 0 && rules != -EAGAIN)
		return rules;
	return flows < 0 ? flows : rules;
}

static int try_join(struct machine *m)
{
	struct daemon *d = m->daemon;
	struct member *p = &m->member;
	int r = ready(m);

	if (r == -EAGAIN)
		return r;
	r = r ?: begin_port(m);
	if (r < 0) {
		give_number(m);
		return r;
	}
	p->segment = m->row.segment;
	p->generation = m->id;
	p->machine = m;
	p->dst = wanted_dst(m);
	r = segment_join(d, p);
	if (r == 0) {
		segment_evict(d, p, m->row.mac);
		r = segment_bind(d, p, m->row.mac, 0);
		r = r ?: machine_write_addresses(m);
		if (r < 0)
			segment_leave(d, p);
	}
	if (r < 0)
		give_number(m);
	m->joined = r == 0;
	return r;
}

/* What cannot be is not asked of the kernel again and again. -EAGAIN: it is on its way. */
static int join(struct machine *m)
{
	int r;

	if (m->join_error && client_now_us() < m->join_retry_us)
		return m->join_error;
	r = try_join(m);
	m->join_error = r == -EAGAIN ? 0 : r;
	if (!m->join_error)
		return r;
	m->join_retry_us = client_now_us() + JOIN_RETRY_US;
	log_event(LOG_ERR, "a machine cannot join its segment", "USER", m->row.user, "MACHINE",
		  m->row.name, "ERROR", m->rules.trouble ? m->rules.trouble : strerror(-r), NULL);
	return r;
}

static void leave(struct machine *m)
{
	m->join_error = 0;
	if (m->joined) {
		machine_drop_parked(m);
		machine_clear_addresses(m);
		segment_leave(m->daemon, &m->member);
	}
	m->joined = false;
}

/* M8: its guest will go on where it was. */
static bool keeps_number(const struct machine *m)
{
	return m->info.state == VIRT_SAVED || m->info.state == VIRT_UNKNOWN;
}

/* --- M1 --- */

/* Joined, and so behind its firewall: its programs, then up. */
static int attach(struct machine *m)
{
	struct sp_dst dst;
	int r;

	m->tap = TAP_RAISING;
	dst = wanted_dst(m);
	r = segment_move(m->daemon, &m->member, &dst);
	return r ?: tap_raise(m);
}

/* M4: what was in force for the guest of before is not for the next one. */
static void end_makeshift(struct machine *m)
{
	leave(m);
	rules_leave(m);
	tap_remove(m);
}

int machine_port_raise(struct machine *m)
{
	int r, joined;

	if (m->rules.makeshift)
		end_makeshift(m);
	if (m->tap == TAP_READY || m->tap == TAP_RAISING || m->tap == TAP_WAITING)
		return 0;
	if (m->tap != TAP_NONE)
		return -EAGAIN; /* the one of before goes first */
	joined = m->joined ? 0 : join(m);
	if (joined < 0 && joined != -EAGAIN)
		return joined;
	r = tap_make(m);
	if (r < 0)
		return r;
	m->cut_off = m->unreachable = false;
	m->tap = TAP_WAITING;
	r = joined < 0 ? 0 : attach(m);
	if (r < 0)
		m->tap = TAP_FAILED;
	return r;
}

int machine_port_go_on(struct machine *m)
{
	int r;

	if (m->tap != TAP_WAITING)
		return 0;
	r = m->joined ? 0 : join(m);
	if (r == -EAGAIN)
		return 0;
	r = r ?: attach(m);
	if (r < 0)
		m->tap = TAP_FAILED;
	return r;
}

/* --- in line with what it is --- */

/* What the programs do for it while it sleeps, or is not seen to be awake yet. */
static void set_sleep(struct machine *m)
{
	bool answers = m->joined && (guest_runs(m) ? !m->spoke : machine_is_wakeable(m));
	struct daemon *d = m->daemon;
	uint32_t port = m->member.dst.port;

	dataplane_machine_flags(d->dp, port, answers ? SP_M_PROXY : 0, answers ? 0 : SP_M_PROXY);
	dataplane_machine_park(d->dp, port, machine_is_wakeable(m) ? SP_PARKED_N : 0);
}

/*
 * Its guest runs, and its tap is not behind the programs: we died while it was being raised, and
 * libvirt did not. Or the tap is gone for good: a guest keeps what it was given.
 */
static int regain(struct machine *m)
{
	struct link_info link;
	char name[16];

	tap_name(m, name);
	m->cut_off = link_get(name, &link) < 0;
	if (m->cut_off)
		return 0;
	m->spoke = true; /* for all we know */
	return machine_port_raise(m);
}

int machine_port_sync(struct machine *m)
{
	struct sp_dst dst;
	bool up = is_up(m), member = up || machine_is_wakeable(m);
	int r = 0;

	if (!up && m->rules.makeshift)
		end_makeshift(m);
	if (member && !m->joined)
		join(m); /* it says why not; or it is on its way, and machine_advance comes back */
	else if (!member)
		leave(m);
	/* One that is to start, and is not ready to, keeps its number too. */
	if (!member && m->want != LEVEL_RUN && !keeps_number(m))
		give_number(m);
	number_set_clock(m);
	if (m->joined)
		number_ready(m); /* after a restart that brought its flows; likewise */
	if (!up && m->tap != TAP_NONE) {
		dst = wanted_dst(m);
		dst.ifindex = 0;
		if (m->joined)
			r = r ?: segment_move(m->daemon, &m->member, &dst);
		tap_remove(m);
	}
	if (r == 0 && up && m->tap == TAP_NONE && !m->busy && !m->join_error)
		r = regain(m);
	if (r < 0 || !m->joined)
		return r;
	dst = wanted_dst(m);
	if (m->tap == TAP_DROPPING || m->tap == TAP_FAILED)
		dst.ifindex = 0;
	if (memcmp(&dst, &m->member.dst, sizeof(dst)) != 0)
		r = segment_move(m->daemon, &m->member, &dst);
	set_sleep(m);
	return r;
}

uint64_t machine_port_next(const struct machine *m)
{
	const struct number *n = m->number;

	if (m->join_error)
		return m->join_retry_us;
	return m->joined && n && n->error && !n->busy ? n->retry_us : DECIDE_NEVER;
}

void machine_port_drop(struct machine *m)
{
	leave(m);
	give_number(m);
	tap_remove(m);
}

/* --- after a restart --- */

/* Its entry was not there; its flows come when workers run. */
static int begin_anew(struct machine *m)
{
	const struct sp_machine value = {.generation = m->id};
	int r = dataplane_machine_begin(m->daemon->dp, m->member.dst.port, &value);

	m->number->begun = r == 0;
	return r ?: begin_port(m);
}

int machine_port_adopt(struct machine *m)
{
	struct daemon *d = m->daemon;
	struct sp_machine entry;
	struct link_info link;
	struct sp_port port;
	struct sp_dst dst;
	char name[16];
	bool known;
	int r;

	tap_name(m, name);
	if (link_get(name, &link) < 0 || dataplane_port_get(d->dp, link.ifindex, &port) < 0)
		return 0; /* nothing of it is there, or nothing that could be believed */
	if (port.kind != SP_PORT_MACHINE || port.segment != m->row.segment)
		return -EUCLEAN;
	known = dataplane_machine_get(d->dp, port.port, &entry) == 0 && entry.generation == m->id;
	m->member = (struct member){.segment = m->row.segment, .generation = m->id, .machine = m};
	tap_set_link(m, &link); /* before: it tells that there are connections from before */
	r = number_adopt(m, port.port, known);
	if (r < 0) {
		tap_forget_link(m);
		return r == -EEXIST ? -EUCLEAN : r;
	}
	/* Asleep or awake is what the entries say, until libvirt is asked. */
	if (dataplane_fdb_get(d->dp, m->row.segment, m->row.mac, &dst) < 0)
		dst.flags = SP_F_ASLEEP;
	m->member.dst = wanted_dst(m);
	m->member.dst.flags = dst.flags & SP_F_ASLEEP;
	if (known)
		machine_port_set_guards(m); /* we may have died between the store and the entry */
	else
		r = begin_anew(m);
	m->spoke = true;
	m->tap = TAP_READY; /* `ports` is written last, and the links were renewed */
	r = r ?: rules_adopt(m);
	r = r ?: segment_join(d, &m->member);
	m->joined = r == 0;
	r = r ?: segment_bind(d, &m->member, m->row.mac, 0);
	return r ?: machine_write_addresses(m);
}

void machine_port_link_gone(struct daemon *d, uint32_t ifindex)
{
	for (struct machine *m = d->machines; m; m = m->hh_id.next) {
		if (m->link.ifindex != ifindex)
			continue;
		if (m->tap == TAP_DROPPING)
			return; /* by us */
		log_event(LOG_WARNING, "a machine's tap is gone", "USER", m->row.user, "MACHINE",
			  m->row.name, NULL);
		dataplane_detach(d->dp, ifindex);
		leave(m);
		give_number(m);
		tap_forget_link(m);
		m->tap = TAP_NONE;
		machine_advance(m);
		return;
	}
}
