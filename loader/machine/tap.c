/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How does a machine's tap come and go?
 *
 * Programs come and go with RCU grace periods under the RTNL lock, some ten milliseconds each: that
 * is a worker's, while libvirt starts the domain. A device that is down passes nothing either way.
 */
#include "tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "log.h"
#include "machine.h"

void tap_name(const struct machine *m, char ret[16])
{
	snprintf(ret, 16, MACHINE_TAP_PREFIX "%u", m->id);
}

void tap_set_link(struct machine *m, const struct link_info *link)
{
	if (m->link.ifindex)
		HASH_DELETE(hh_device, m->daemon->machine_devices, m);
	m->link = *link;
	if (m->link.ifindex)
		HASH_ADD(hh_device, m->daemon->machine_devices, link.mac, SP_MAC_LEN, m);
}

void tap_forget_link(struct machine *m)
{
	const struct link_info none = {0};

	tap_set_link(m, &none);
}

int tap_make(struct machine *m)
{
	struct link_info link;
	char name[16];
	int r;

	tap_name(m, name);
	r = link_machine_tap_make(name, m->queues ? m->queues : 1, MACHINE_MTU, &link);
	if (r == 0)
		tap_set_link(m, &link);
	return r;
}

/* --- what takes its time --- */

static struct sp_port port_of(const struct machine *m)
{
	return (struct sp_port){
		.port = m->member.dst.port,
		.segment = m->row.segment,
		.kind = SP_PORT_MACHINE,
		.max_len = MACHINE_MTU + 14,
	};
}

/* With all that a worker needs. */
struct tap_job {
	struct job job;
	struct daemon *daemon;
	uint32_t id; /* the machine's */
	uint32_t ifindex;
	struct sp_port port;
	int r;
};

static int submit(struct machine *m, void (*run)(struct job *, struct store *),
		  void (*done)(struct job *))
{
	struct tap_job *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (t) {
		*t = (struct tap_job){.job = {run, done, NULL},
				      .daemon = m->daemon,
				      .id = m->id,
				      .ifindex = m->link.ifindex,
				      .port = port_of(m)};
		r = workers_submit(m->daemon->workers, WORKER_SWIFT, &t->job);
	}
	if (r < 0)
		free(t);
	return r;
}

/* M1: behind its programs, then up. */
static void raise_run(struct job *job, struct store *store)
{
	struct tap_job *t = (struct tap_job *)job;

	t->r = dataplane_attach(t->daemon->dp, t->ifindex, &t->port);
	if (t->r == 0)
		t->r = link_set_up(t->ifindex, true);
}

static void raise_done(struct job *job)
{
	struct tap_job *t = (struct tap_job *)job;
	struct machine *m = machine_find_id(t->daemon, t->id);

	if (m && m->link.ifindex == t->ifindex && m->tap == TAP_RAISING) {
		m->tap = t->r < 0 ? TAP_FAILED : TAP_READY;
		machine_on_tap(m, t->r);
	}
	free(t);
}

int tap_raise(struct machine *m)
{
	return submit(m, raise_run, raise_done);
}

static void drop_run(struct job *job, struct store *store)
{
	struct tap_job *t = (struct tap_job *)job;

	link_set_up(t->ifindex, false);
	dataplane_detach(t->daemon->dp, t->ifindex);
	t->r = link_remove(t->ifindex);
}

static void drop_done(struct job *job)
{
	struct tap_job *t = (struct tap_job *)job;
	struct machine *m = machine_find_id(t->daemon, t->id);

	if (t->r < 0)
		log_event(LOG_WARNING, "a machine's tap could not be removed", "ERROR",
			  strerror(-t->r), NULL);
	if (m) {
		tap_forget_link(m);
		m->tap = TAP_NONE;
		machine_on_tap(m, 0);
	}
	free(t);
}

void tap_remove(struct machine *m)
{
	if (m->tap == TAP_NONE || m->tap == TAP_RAISING || m->tap == TAP_DROPPING)
		return; /* there is none, or it is looked at again when the worker is done */
	m->tap = TAP_DROPPING;
	if (submit(m, drop_run, drop_done) < 0)
		m->tap = TAP_FAILED; /* tried again at the next look */
}
