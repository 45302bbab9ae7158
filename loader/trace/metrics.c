/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How are the numbers put together without holding up the loop? */
#include "metrics_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "daemon.h"
#include "instance.h"
#include "session.h"
#include "workload.h"

/* Each is one system call that copies a counter from every CPU: about 1 us. */
#define PORTS_PER_TURN 128

void metrics_note(struct metrics *m, enum metrics_event event)
{
	if (m)
		m->events[event]++;
}

/* --- traffic by kind of port: ports come and go, their sum only grows --- */

static void add(struct sp_counter *to, const struct sp_counter *c)
{
	to->rx_frames += c->rx_frames;
	to->rx_bytes += c->rx_bytes;
	to->tx_frames += c->tx_frames;
	to->tx_bytes += c->tx_bytes;
	to->drops += c->drops;
	to->drop_bytes += c->drop_bytes;
}

static void add_port(struct metrics *m, struct sp_counter sums[METRICS_KINDS], unsigned int kind,
		     uint32_t port)
{
	struct sp_counter c = {0};

	if (port && kind < METRICS_KINDS && dataplane_counter_get(m->daemon->dp, port, &c) == 0)
		add(&sums[kind], &c);
}

void metrics_port_gone(struct metrics *m, unsigned int kind, uint32_t port)
{
	if (m)
		add_port(m, m->gone, kind, port);
}

static void keep_highest(__u64 *told, __u64 now)
{
	if (now > *told)
		*told = now;
}

/*
 * A port that was given back and taken again between two turns of one collection is missing from
 * it: a sum that went back would be read as a restart of the daemon.
 */
static void tell(struct sp_counter *told, const struct sp_counter *c)
{
	keep_highest(&told->rx_frames, c->rx_frames);
	keep_highest(&told->rx_bytes, c->rx_bytes);
	keep_highest(&told->tx_frames, c->tx_frames);
	keep_highest(&told->tx_bytes, c->tx_bytes);
	keep_highest(&told->drops, c->drops);
	keep_highest(&told->drop_bytes, c->drop_bytes);
}

static size_t count_ports(const struct metrics *m, size_t *ret_machines)
{
	const struct daemon *d = m->daemon;
	const struct instance *i;
	size_t n;

	DL_COUNT(d->instances, i, n);
	*ret_machines = m->machines ? m->machines->ports(m->daemon, NULL, 0) : 0;
	return n + d->n_sessions + HASH_CNT(hh, d->workloads) + *ret_machines;
}

static void list_port(struct metrics *m, unsigned int kind, uint32_t port)
{
	m->ports[m->n_ports++] = (struct metrics_port){port, kind};
}

static int list_machines(struct metrics *m, size_t n)
{
	uint32_t *ports = n ? calloc(n, sizeof(*ports)) : NULL;

	if (n && !ports)
		return -ENOMEM;
	if (n)
		m->machines->ports(m->daemon, ports, n);
	for (size_t i = 0; i < n; i++)
		list_port(m, SP_PORT_MACHINE, ports[i]);
	free(ports);
	return 0;
}

/* Which ports are there, and what went through those that were: as of this moment, together. */
static int list_ports(struct metrics *m)
{
	const struct daemon *d = m->daemon;
	const struct instance *i;
	size_t machines, n = count_ports(m, &machines);

	m->n_ports = m->next_port = 0;
	memcpy(m->sums, m->gone, sizeof(m->sums));
	m->ports = n ? calloc(n, sizeof(*m->ports)) : NULL;
	if (n && !m->ports)
		return -ENOMEM;
	DL_FOREACH(d->instances, i)
	list_port(m, SP_PORT_VPN, i->port);
	for (const struct session *s = d->sessions_by_id; s; s = s->hh_id.next)
		list_port(m, SP_PORT_VPN, s->member.dst.port);
	for (const struct workload *w = d->workloads; w; w = w->hh.next)
		list_port(m, SP_PORT_NETNS, w->up ? w->member.dst.port : 0);
	return list_machines(m, machines);
}

/* --- those who ask --- */

static void answer(struct metrics *m, const char *text, size_t size)
{
	struct metrics_waiter *w = m->waiters, *next;

	m->waiters = NULL; /* who asks from here on waits for the next */
	for (; w; w = next) {
		next = w->next;
		w->done(text, size, w->arg);
		free(w);
	}
}

static void end_collection(struct metrics *m)
{
	free(m->ports);
	m->ports = NULL;
	m->n_ports = m->next_port = 0;
	if (m->source)
		sd_event_source_set_enabled(m->source, SD_EVENT_OFF);
}

static void finish(struct metrics *m)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	for (unsigned int kind = 0; kind < METRICS_KINDS; kind++)
		tell(&m->told[kind], &m->sums[kind]);
	end_collection(m);
	if (f) {
		metrics_write(m, f);
		if (fclose(f) != 0) {
			free(text);
			text = NULL;
		}
	}
	answer(m, text, text ? size : 0);
	free(text);
}

static int on_turn(sd_event_source *source, void *arg)
{
	struct metrics *m = arg;

	for (int n = 0; n < PORTS_PER_TURN && m->next_port < m->n_ports; n++) {
		const struct metrics_port *p = &m->ports[m->next_port++];

		add_port(m, m->sums, p->kind, p->port);
	}
	if (m->next_port == m->n_ports)
		finish(m);
	return 0;
}

static int start_collection(struct metrics *m)
{
	int r = list_ports(m);

	if (r == 0 && !m->source)
		r = sd_event_add_defer(m->daemon->event, &m->source, on_turn, m);
	if (r >= 0)
		r = sd_event_source_set_enabled(m->source, SD_EVENT_ON);
	if (r < 0)
		end_collection(m);
	return r < 0 ? r : 0;
}

int metrics_collect(struct metrics *m, metrics_done done, void *arg)
{
	struct metrics_waiter *w = malloc(sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	*w = (struct metrics_waiter){.done = done, .arg = arg};
	r = m->waiters ? 0 : start_collection(m);
	if (r < 0) {
		free(w);
		return r;
	}
	LL_PREPEND(m->waiters, w);
	return 0;
}

/* --- --- */

void metrics_set_machines(struct metrics *m, const struct metrics_machines *machines)
{
	m->machines = machines;
}

int metrics_new(struct daemon *d, struct metrics **ret)
{
	struct metrics *m = calloc(1, sizeof(*m));
	struct timespec now;

	if (!m)
		return -ENOMEM;
	m->daemon = d;
	clock_gettime(CLOCK_REALTIME, &now);
	m->started = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	*ret = m;
	return 0;
}

struct metrics *metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	end_collection(m);
	answer(m, NULL, 0);
	sd_event_source_disable_unref(m->source);
	free(m);
	return NULL;
}
