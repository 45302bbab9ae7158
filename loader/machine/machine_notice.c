/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What do the programs tell of machines: frames that wait for one that sleeps, first frames,
 * addresses that it has? And the way back: the frames that waited, when there is somebody to take
 * them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "addresses.h"
#include "daemon.h"
#include "lib/client.h"
#include "log.h"
#include "machine.h"
#include "neighbor.h"
#include "trace/trace.h"

/* A frame that waited longer is of no use: its sender has given up, or sent it again. */
#define PARKED_FOR_US (120 * 1000000ULL)

/* --- frames that wait --- */

void machine_drop_parked(struct machine *m)
{
	m->n_expired += m->n_parked;
	while (m->parked) {
		struct parked_frame *f = m->parked;

		m->parked = f->next;
		free(f);
	}
	m->parked_tail = &m->parked;
	m->n_parked = 0;
	if (m->joined)
		dataplane_machine_unpark(m->daemon->dp, m->member.dst.port);
}

/* LAST, of *LEN bytes: what was asked before; it need not be asked again. */
static void introduce(const struct machine *m, const struct parked_frame *f,
		      uint8_t last[NEIGHBOR_LEN], size_t *len)
{
	uint8_t question[NEIGHBOR_LEN];
	size_t n = neighbor_question(f->data, f->len, question);

	if (n == 0 || (n == *len && memcmp(question, last, n) == 0))
		return;
	memcpy(last, question, n);
	*len = n;
	dataplane_replay(m->daemon->dp, m->row.segment, question, n);
}

void machine_replay(struct machine *m)
{
	uint8_t question[NEIGHBOR_LEN];
	struct daemon *d = m->daemon;
	uint64_t now = client_now_us();
	size_t asked = 0;

	while (m->parked) {
		struct parked_frame *f = m->parked;

		introduce(m, f, question, &asked);
		if (now - f->when_us < PARKED_FOR_US &&
		    dataplane_replay(d->dp, m->row.segment, f->data, f->len) == 0)
			m->n_replayed++;
		else
			m->n_expired++;
		m->parked = f->next;
		m->n_parked--;
		free(f);
	}
	m->parked_tail = &m->parked;
	if (m->joined)
		dataplane_machine_unpark(d->dp, m->member.dst.port);
}

static void park(struct machine *m, const struct sp_parked *p)
{
	struct parked_frame *f;

	if (m->n_parked >= SP_PARKED_N) {
		m->n_expired++;
		return;
	}
	f = malloc(sizeof(*f) + p->head.len);
	if (!f) {
		m->n_expired++;
		return;
	}
	f->next = NULL;
	f->when_us = p->head.time_ns / 1000;
	f->len = p->head.len;
	memcpy(f->data, p->data, f->len);
	*m->parked_tail = f;
	m->parked_tail = &f->next;
	m->n_parked++;
}

bool machine_is_awake(const struct machine *m)
{
	return m->joined && !(m->member.dst.flags & SP_F_ASLEEP) && m->spoke;
}

static void on_parked(struct machine *m, const struct sp_parked *p)
{
	park(m, p);
	/* It came while the guest was waking: nobody would send it on later. */
	if (machine_is_awake(m))
		machine_replay(m);
	else
		machine_wake(m);
}

/* --- addresses --- */

int machine_write_addresses(struct machine *m)
{
	struct sp_address value = {.port = m->member.dst.port};
	struct addresses a;
	int r = 0;

	memcpy(value.mac, m->row.mac, SP_MAC_LEN);
	if (addresses_parse(m->row.addresses, &a, NULL) < 0)
		return 0; /* said when the row was read */
	for (size_t i = 0; r == 0 && i < a.n; i++)
		r = dataplane_address_set(m->daemon->dp, m->row.segment, a.v[i], &value);
	return r ?: machine_write_leases(m);
}

/* Two machines of a user may claim one address: only what is this one's is taken away. */
void machine_clear_addresses(struct machine *m)
{
	struct addresses a;

	machine_clear_leases(m);
	if (addresses_parse(m->row.addresses, &a, NULL) < 0)
		return;
	for (size_t i = 0; i < a.n; i++) {
		struct sp_address value;

		if (dataplane_address_get(m->daemon->dp, m->row.segment, a.v[i], &value) == 0 &&
		    value.port == m->member.dst.port)
			dataplane_address_del(m->daemon->dp, m->row.segment, a.v[i]);
	}
}

struct address_job {
	struct job job;
	struct store_machine row;
	int r;
	char *error;
};

static void address_run(struct job *job, struct store *store)
{
	struct address_job *a = (struct address_job *)job;

	a->r = store_machine_set_addresses(store, a->row.id, a->row.addresses);
	if (a->r < 0)
		a->error = strdup(store_error(store));
}

static void address_done(struct job *job)
{
	struct address_job *a = (struct address_job *)job;

	if (a->r < 0 && a->r != -ENOENT)
		log_event(LOG_WARNING, "an address of a machine is not stored", "USER", a->row.user,
			  "MACHINE", a->row.name, "ERROR", a->error ? a->error : "", NULL);
	free(a->error);
	free(a);
}

/*
 * The addresses and no more: a policy may be on its way to the store. Nothing waits for it: after a
 * restart it is learned again.
 */
static void store_addresses(struct machine *m)
{
	struct address_job *a = calloc(1, sizeof(*a));

	if (!a)
		return;
	a->job.run = address_run;
	a->job.done = address_done;
	a->row = m->row;
	if (workers_submit(m->daemon->workers, WORKER_STORE, &a->job) < 0)
		free(a);
}

/* It has an address that nobody told us of. Pinned, it could not have said so. */
static void on_address(struct machine *m, const uint8_t addr[16])
{
	struct sp_address value = {.port = m->member.dst.port};
	char text[INET6_ADDRSTRLEN];
	struct addresses a;

	if (m->row.pinned || addresses_parse(m->row.addresses, &a, NULL) < 0 ||
	    !address_is_unicast(addr) || addresses_add(&a, addr) < 0)
		return; /* full, or not an address: not asked for again */
	memcpy(value.mac, m->row.mac, SP_MAC_LEN);
	if (dataplane_address_set(m->daemon->dp, m->row.segment, addr, &value) < 0)
		return;
	addresses_format(&a, m->row.addresses);
	log_event(LOG_INFO, "machine has an address", "USER", m->row.user, "MACHINE", m->row.name,
		  "ADDRESS", address_format(addr, text), NULL);
	store_addresses(m);
	dataplane_machine_watch(m->daemon->dp, m->member.dst.port, SP_WATCH_ADDRESS);
}

/* --- what the programs tell --- */

static void mark(struct machine *m, enum trace_stage stage, uint64_t time_ns)
{
	char label[2 * SP_NAME_MAX];

	trace_mark(m->daemon->traces, m->owner->trace, stage, machine_label(m, label),
		   time_ns / 1000);
}

static void on_spoke(struct machine *m, uint64_t time_ns)
{
	if (m->spoke)
		return;
	m->spoke = true;
	mark(m, TRACE_MACHINE_SPOKE, time_ns);
	machine_port_sync(m);
	machine_replay(m);
}

static void on_notice(const struct sp_notice *n, void *arg)
{
	struct daemon *d = arg;
	struct machine *m = machine_find_port(d, n->port);

	if (!m || n->segment != m->row.segment)
		return; /* of a machine that left since */
	switch (n->kind) {
	case SP_NOTICE_PARKED:
		on_parked(m, (const struct sp_parked *)n);
		break;
	case SP_NOTICE_FROM:
		on_spoke(m, n->time_ns);
		break;
	case SP_NOTICE_TO:
		mark(m, TRACE_FIRST_FRAME, n->time_ns);
		break;
	case SP_NOTICE_ANSWER:
		mark(m, TRACE_FIRST_ANSWER, n->time_ns);
		break;
	case SP_NOTICE_ADDRESS:
		on_address(m, n->addr);
		break;
	case SP_NOTICE_DHCP_SENT:
	case SP_NOTICE_DHCP_GOT:
		machine_on_dhcp(m, (const struct sp_parked *)n);
		break;
	}
}

static int on_notices(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *d = arg;

	dataplane_notices_drain(d->dp, on_notice, d);
	return 0;
}

int machine_notice_watch(struct daemon *d)
{
	int fd = dataplane_notices_fd(d->dp);

	return fd < 0 ? fd
		      : sd_event_add_io(d->event, &d->notice_source, fd, EPOLLIN, on_notices, d);
}

void machine_notice_unwatch(struct daemon *d)
{
	d->notice_source = sd_event_source_disable_unref(d->notice_source);
}
