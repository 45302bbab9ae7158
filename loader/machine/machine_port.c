/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How is a machine reached? Its tap, made when its domain starts and removed when it is off (M1,
 * M3); its place on the segment, which it also has while it sleeps and frames may wake it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "lib/client.h"
#include "log.h"
#include "machine.h"
#include "trace/metrics.h"

static void tap_name(const struct machine *m, char ret[16])
{
	snprintf(ret, 16, MACHINE_TAP_PREFIX "%u", m->id);
}

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
		.flags = guest_runs(m) && m->link.ifindex ? 0 : SP_F_ASLEEP,
	};
}

/* --- the tap --- */

static void set_link(struct machine *m, const struct link_info *link)
{
	if (m->link.ifindex)
		HASH_DELETE(hh_device, m->daemon->machine_devices, m);
	m->link = *link;
	if (m->link.ifindex)
		HASH_ADD(hh_device, m->daemon->machine_devices, link.mac, SP_MAC_LEN, m);
}

static void forget_link(struct machine *m)
{
	const struct link_info none = {0};

	set_link(m, &none);
}

static int attach(struct machine *m)
{
	const struct sp_port port = {
		.port = m->member.dst.port,
		.segment = m->row.segment,
		.kind = SP_PORT_MACHINE,
		.max_len = MACHINE_MTU + 14,
	};

	return dataplane_attach(m->daemon->dp, m->link.ifindex, &port);
}

/* M3. The entries have let go of it (D1). */
static void remove_tap(struct machine *m)
{
	uint32_t ifindex = m->link.ifindex;
	int r;

	if (!ifindex)
		return;
	link_set_up(ifindex, false);
	dataplane_detach(m->daemon->dp, ifindex);
	r = link_remove(ifindex);
	if (r < 0)
		log_event(LOG_WARNING, "a machine's tap could not be removed", "DEVICE",
			  m->link.name, "ERROR", strerror(-r), NULL);
	forget_link(m);
}

/* --- the segment --- */

static int take_number(struct machine *m)
{
	struct daemon *d = m->daemon;
	uint32_t n = m->member.dst.port;

	if (n)
		return 0;
	n = portnum_get(d->portnums);
	if (!n)
		return -ENOSPC;
	m->member.dst.port = n;
	HASH_ADD(hh_port, d->machines_by_port, member.dst.port, sizeof(n), m);
	return dataplane_counter_clear(d->dp, n); /* D3 */
}

static void give_number(struct machine *m)
{
	struct daemon *d = m->daemon;

	if (!m->member.dst.port)
		return;
	HASH_DELETE(hh_port, d->machines_by_port, m);
	metrics_port_gone(d->metrics, SP_PORT_MACHINE, m->member.dst.port);
	portnum_put(d->portnums, m->member.dst.port);
	m->member.dst.port = 0;
}

static uint32_t port_flags(const struct machine *m)
{
	return m->row.pinned ? SP_M_PINNED : 0;
}

static int set_rates(const struct machine *m)
{
	const struct config *c = m->daemon->config;
	const struct dataplane_rate rate = {c->machine_rate_bytes, c->machine_burst_bytes,
					    c->machine_rate_frames, c->machine_burst_frames};

	return dataplane_police_set(m->daemon->dp, m->member.dst.port, &rate);
}

void machine_port_set_rates(struct machine *m)
{
	int r = m->joined ? set_rates(m) : 0;

	if (r < 0)
		log_event(LOG_ERR, "a machine's rate could not be set", "USER", m->row.user,
			  "MACHINE", m->row.name, "ERROR", strerror(-r), NULL);
}

/* The rates, and what the programs keep for each machine. */
static int begin_port(struct machine *m)
{
	struct daemon *d = m->daemon;
	const struct sp_machine value = {
		.generation = m->id, .watch = SP_WATCH_ADDRESS, .flags = port_flags(m)};
	int r = dataplane_machine_begin(d->dp, m->member.dst.port, &value);

	return r ?: set_rates(m);
}

static int join(struct machine *m)
{
	struct daemon *d = m->daemon;
	struct member *p = &m->member;
	int r = take_number(m);

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

static void leave(struct machine *m)
{
	if (!m->joined)
		return;
	machine_drop_parked(m);
	machine_clear_addresses(m);
	segment_leave(m->daemon, &m->member);
	m->joined = false;
	give_number(m);
}

/* --- M1 --- */

static int make_tap(struct machine *m)
{
	struct link_info link;
	char name[16];
	int r;

	tap_name(m, name);
	r = link_machine_tap_make(name, m->queues ? m->queues : 1, MACHINE_MTU, &link);
	if (r < 0)
		return r;
	set_link(m, &link);
	r = attach(m);
	if (r < 0)
		remove_tap(m);
	return r;
}

/* Where nothing of it was there before this call, nothing of it is there after a failure. */
int machine_port_raise(struct machine *m)
{
	bool had_tap = m->link.ifindex != 0;
	struct sp_dst dst;
	int r;

	r = m->joined ? 0 : join(m);
	if (r == 0 && !had_tap)
		r = make_tap(m);
	if (r == 0) {
		dst = wanted_dst(m);
		r = segment_move(m->daemon, &m->member, &dst);
	}
	r = r ?: link_set_up(m->link.ifindex, true);
	if (r < 0 && !had_tap) {
		leave(m);
		remove_tap(m);
	}
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

int machine_port_sync(struct machine *m)
{
	struct sp_dst dst;
	bool up = is_up(m);
	int r = 0;

	if (up && !m->joined)
		r = join(m);
	else if (!up && !m->joined && machine_is_wakeable(m))
		r = join(m);
	else if (!up && m->joined && !machine_is_wakeable(m))
		leave(m);
	if (!up && m->link.ifindex) {
		dst = wanted_dst(m);
		dst.ifindex = 0;
		if (m->joined)
			r = r ?: segment_move(m->daemon, &m->member, &dst);
		remove_tap(m);
	}
	if (r < 0 || !m->joined)
		return r;
	dst = wanted_dst(m);
	if (memcmp(&dst, &m->member.dst, sizeof(dst)) != 0)
		r = segment_move(m->daemon, &m->member, &dst);
	set_sleep(m);
	return r;
}

void machine_port_drop(struct machine *m)
{
	leave(m);
	remove_tap(m);
}

/* --- after a restart --- */

int machine_port_adopt(struct machine *m)
{
	struct daemon *d = m->daemon;
	struct sp_machine known;
	struct link_info link;
	struct sp_port port;
	struct sp_dst dst;
	char name[16];
	int r;

	tap_name(m, name);
	if (link_get(name, &link) < 0 || dataplane_port_get(d->dp, link.ifindex, &port) < 0)
		return 0; /* nothing of it is there, or nothing that could be believed */
	if (port.kind != SP_PORT_MACHINE || port.segment != m->row.segment ||
	    portnum_take(d->portnums, port.port) < 0)
		return -EUCLEAN;
	set_link(m, &link);
	m->member = (struct member){.segment = m->row.segment,
				    .generation = m->id,
				    .machine = m,
				    .dst = {.port = port.port}};
	HASH_ADD(hh_port, d->machines_by_port, member.dst.port, sizeof(port.port), m);
	/* Asleep or awake is what the entries say, until libvirt is asked. */
	if (dataplane_fdb_get(d->dp, m->row.segment, m->row.mac, &dst) < 0)
		dst.flags = SP_F_ASLEEP;
	m->member.dst = wanted_dst(m);
	m->member.dst.flags = dst.flags & SP_F_ASLEEP;
	if (dataplane_machine_get(d->dp, port.port, &known) < 0 || known.generation != m->id)
		r = begin_port(m);
	else
		r = 0;
	m->spoke = true;
	r = r ?: attach(m);
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
		log_event(LOG_WARNING, "a machine's tap is gone", "USER", m->row.user, "MACHINE",
			  m->row.name, NULL);
		dataplane_detach(d->dp, ifindex);
		leave(m);
		forget_link(m);
		machine_advance(m);
		return;
	}
}
