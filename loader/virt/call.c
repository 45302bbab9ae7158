/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A job that calls libvirt: over the connection that was there when it was asked for, so that what
 * was meant for one life of libvirtd is not done in the next.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "lib/cleanup.h"
#include "virt/virt_internal.h"

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* At most LINE_CALLS_MAX at once; when the connection ends, so do they, one after the other. */
static void gate_enter(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	while (g->inside >= LINE_CALLS_MAX)
		pthread_cond_wait(&g->left, &g->lock);
	g->inside++;
	pthread_mutex_unlock(&g->lock);
}

static void gate_leave(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->inside--;
	pthread_cond_signal(&g->left);
	pthread_mutex_unlock(&g->lock);
}

static void call_run(struct job *job, struct store *store)
{
	struct virt_call *c = (struct virt_call *)job;
	struct line *l = c->line;
	uint64_t began;

	gate_enter(&l->gates[c->kind]);
	began = now_us();
	if (line_is_closed(l))
		call_fail_with(c, -ENOTCONN, "the connection to libvirt was lost");
	else
		c->run(c, l->conns[c->kind]);
	c->libvirt_us = now_us() - began;
	gate_leave(&l->gates[c->kind]);
	/* Also what closes the connection, where this was its last user, is not for the loop. */
	line_unuse(TAKE_PTR(c->line));
}

static void call_done(struct job *job)
{
	struct virt_call *c = (struct virt_call *)job;

	c->finish(c);
}

int call_submit(struct virt *v, enum line_kind kind, struct virt_call *c)
{
	enum worker_kind lane = kind == LINE_SLOW ? WORKER_VIRT : WORKER_SWIFT;
	int r;

	if (!v->up || v->stopping)
		return -ENOTCONN;
	c->job = (struct job){call_run, call_done, NULL};
	c->virt = v;
	c->kind = kind;
	c->life = v->life;
	c->line = line_use(v->line);
	r = workers_submit(v->workers, lane, &c->job);
	if (r < 0)
		line_unuse(TAKE_PTR(c->line));
	return r;
}

int call_fail(struct virt_call *c, virConnectPtr conn)
{
	virErrorPtr e = virSaveLastError(); /* the next call of libvirt's forgets it */

	c->error = e ? virt_errno(e) : -EIO;
	virt_words(e && e->message ? e->message : "libvirt gave no reason", c->message,
		   sizeof(c->message));
	virFreeError(e);
	if (virConnectIsAlive(conn) != 1)
		call_fail_with(c, -ENOTCONN, "the connection to libvirt was lost");
	return c->error;
}

int call_fail_with(struct virt_call *c, int error, const char *format, ...)
{
	char text[sizeof(c->message)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	virt_words(text, c->message, sizeof(c->message));
	c->error = error;
	return error;
}

int call_find(struct virt_call *c, virConnectPtr conn, const uint8_t uuid[SP_UUID_LEN],
	      virDomainPtr *ret)
{
	*ret = virDomainLookupByUUID(conn, uuid);
	return *ret ? 0 : call_fail(c, conn);
}
