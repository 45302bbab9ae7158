/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's serial console: a stream of libvirt's. What comes is taken on the loop, where it never
 * waits. To send and to close are calls to libvirtd that may wait, so they are jobs, one at a time
 * for what is sent: it stays in order.
 *
 *   C1  a console is freed when nobody has it any more: its owner, on_stream while it runs, a job
 *       that sends or closes. All of them count on the loop's thread. libvirt is no such owner: its
 *       callback comes on this thread only and never after it was removed, and the function that
 *       should tell of its end is not called by libvirt's remote driver (9.0).
 */
#include "virt/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "virt/virt_internal.h"

#define SEND_MAX 8192	       /* bytes in one call */
#define OUT_MAX (2 * SEND_MAX) /* that wait: written, and what a call could not send */
#define TURN_READS 16	       /* others have their turn, too */
#define TAKEN "the console was closed: the machine is off, or somebody else took it"

struct virt_console {
	struct virt_console *prev, *next; /* of virt's */
	struct virt *virt;		  /* NULL: not in its list any more */
	uint8_t uuid[SP_UUID_LEN];	  /* of the domain */
	unsigned int refs;		  /* C1 */
	virStreamPtr stream;
	bool watched; /* libvirt calls on_stream */
	struct virt_console_callbacks callbacks;
	void *arg;
	bool full; /* a write was cut short */
	bool sending;
	size_t n_out;
	char out[OUT_MAX];
};

static void on_stream(virStreamPtr stream, int events, void *arg);

/* --- its life --- */

static void unref(struct virt_console *c)
{
	if (--c->refs > 0)
		return;
	virStreamFree(c->stream);
	free(c);
}

static void unwatch(struct virt_console *c)
{
	if (c->watched)
		virStreamEventRemoveCallback(c->stream);
	c->watched = false;
}

static void unlist(struct virt_console *c)
{
	if (c->virt)
		DL_DELETE(c->virt->consoles, c);
	c->virt = NULL;
}

/* --- closing: libvirtd is told, so that the console is free for the next one --- */

struct closing {
	struct virt_call call;
	struct virt_console *console;
};

static void closing_run(struct virt_call *call, virConnectPtr conn)
{
	struct closing *c = (struct closing *)call;

	if (virStreamAbort(c->console->stream) < 0)
		virResetLastError(); /* it was over already */
}

static void closing_finish(struct virt_call *call)
{
	struct closing *c = (struct closing *)call;

	unref(c->console);
	free(c);
}

/* The owner's reference goes with it. */
static void close_console(struct virt_console *c, struct virt *v)
{
	struct closing *job;

	unwatch(c);
	unlist(c);
	job = v ? calloc(1, sizeof(*job)) : NULL;
	if (job) {
		job->call.run = closing_run;
		job->call.finish = closing_finish;
		job->console = c;
		if (call_submit(v, LINE_SWIFT, &job->call) == 0)
			return;
		free(job);
	}
	unref(c); /* no connection: there is nobody to tell */
}

static void end_console(struct virt_console *c, struct virt *v, const char *why)
{
	void (*end)(const char *, void *) = c->callbacks.end;
	void *arg = c->arg;

	close_console(c, v);
	end(why, arg);
}

void virt_console_close(struct virt_console *c)
{
	close_console(c, c->virt);
}

void consoles_lost(struct virt *v)
{
	while (v->consoles)
		end_console(v->consoles, NULL, v->trouble[0] ? v->trouble : "libvirt is gone");
}

void consoles_free(struct virt *v)
{
	while (v->consoles)
		close_console(v->consoles, NULL);
}

/* --- what comes --- */

static void watch(struct virt_console *c, int more)
{
	int events = VIR_STREAM_EVENT_READABLE | VIR_STREAM_EVENT_HANGUP | VIR_STREAM_EVENT_ERROR;

	if (c->watched) {
		virStreamEventUpdateCallback(c->stream, events | more);
		return;
	}
	if (virStreamEventAddCallback(c->stream, events | more, on_stream, c, NULL) < 0) {
		end_console(c, c->virt, "libvirt does not tell of what comes");
		return;
	}
	c->watched = true;
}

/* 1: there may be more; 0: not now; negative: the end. C may be closed afterwards. */
static int receive(struct virt_console *c)
{
	char data[4096];
	int n = virStreamRecv(c->stream, data, sizeof(data));

	if (n == -2)
		return 0;
	if (n < 0)
		virResetLastError();
	if (n <= 0)
		return -EPIPE;
	c->callbacks.data(data, (size_t)n, c->arg);
	return 1;
}

static void send_more(struct virt_console *c);

static void on_stream(virStreamPtr stream, int events, void *arg)
{
	struct virt_console *c = arg;
	int r = 1;

	c->refs++; /* whatever the callbacks do */
	for (int i = 0; c->virt && r > 0 && i < TURN_READS; i++)
		r = receive(c);
	/* libvirt says the end of the file in both cases, or nothing at all. */
	if (c->virt && r < 0)
		end_console(c, c->virt, TAKEN);
	if (c->virt && (events & VIR_STREAM_EVENT_WRITABLE)) {
		watch(c, 0);
		if (c->virt)
			send_more(c);
	}
	unref(c);
}

/* --- what goes --- */

struct sending {
	struct virt_call call;
	struct virt_console *console;
	size_t n, sent;
	char data[SEND_MAX];
};

static void sending_run(struct virt_call *call, virConnectPtr conn)
{
	struct sending *s = (struct sending *)call;

	while (s->sent < s->n) {
		int n = virStreamSend(s->console->stream, s->data + s->sent, s->n - s->sent);

		if (n == -2)
			return;
		if (n < 0) {
			call_fail(call, conn);
			return;
		}
		s->sent += (size_t)n;
	}
}

/* What could not be sent goes before what was written meanwhile, which leaves room for it. */
static void put_back(struct virt_console *c, const struct sending *s)
{
	size_t left = s->n - s->sent;

	memmove(c->out + left, c->out, c->n_out);
	memcpy(c->out, s->data + s->sent, left);
	c->n_out += left;
}

static void sending_finish(struct virt_call *call)
{
	struct sending *s = (struct sending *)call;
	struct virt_console *c = s->console;

	c->sending = false;
	if (c->virt && call->error < 0) {
		end_console(c, c->virt, call->message);
	} else if (c->virt && s->sent < s->n) {
		put_back(c, s);
		watch(c, VIR_STREAM_EVENT_WRITABLE);
	} else if (c->virt) {
		if (c->n_out)
			send_more(c);
		if (c->virt && c->full && c->callbacks.room) {
			c->full = false;
			c->callbacks.room(c->arg);
		}
	}
	unref(c);
	free(s);
}

static void send_more(struct virt_console *c)
{
	struct sending *s;

	if (c->sending || c->n_out == 0)
		return;
	s = calloc(1, sizeof(*s));
	if (!s) {
		end_console(c, c->virt, "out of memory");
		return;
	}
	s->call.run = sending_run;
	s->call.finish = sending_finish;
	s->console = c;
	s->n = c->n_out < SEND_MAX ? c->n_out : SEND_MAX;
	memcpy(s->data, c->out, s->n);
	if (call_submit(c->virt, LINE_SWIFT, &s->call) < 0) {
		free(s);
		end_console(c, c->virt, "libvirt has too much to do");
		return;
	}
	c->refs++;
	c->sending = true;
	c->n_out -= s->n;
	memmove(c->out, c->out + s->n, c->n_out);
}

ssize_t virt_console_write(struct virt_console *c, const void *data, size_t size)
{
	size_t room = c->n_out < SEND_MAX ? SEND_MAX - c->n_out : 0;
	size_t n = size < room ? size : room;

	memcpy(c->out + c->n_out, data, n);
	c->n_out += n;
	c->full = n < size;
	if (n > 0 && !c->sending)
		sd_event_source_set_enabled(c->virt->send, SD_EVENT_ONESHOT);
	return (ssize_t)n;
}

/* At the loop's leisure: a console may end here, which is not for a caller of write. */
static int on_send(sd_event_source *source, void *arg)
{
	struct virt *v = arg;
	struct virt_console *c;

	do { /* one that cannot be sent ends, and whoever is told may end others */
		DL_FOREACH(v->consoles, c)
		{
			if (c->n_out && !c->sending)
				break;
		}
		if (c)
			send_more(c);
	} while (c);
	return 0;
}

int consoles_new(struct virt *v)
{
	int r = sd_event_add_defer(v->event, &v->send, on_send, v);

	return r < 0 ? r : sd_event_source_set_enabled(v->send, SD_EVENT_OFF);
}

/* --- opening --- */

struct opening {
	struct virt_call call;
	uint8_t uuid[SP_UUID_LEN];
	bool force;
	virStreamPtr stream;
	struct virt_console_callbacks callbacks;
	void *arg;
	void (*done)(int error, const char *message, struct virt_console *console, void *arg);
};

static void opening_run(struct virt_call *call, virConnectPtr conn)
{
	struct opening *o = (struct opening *)call;
	unsigned int flags = o->force ? VIR_DOMAIN_CONSOLE_FORCE : 0;
	_cleanup_domain_ virDomainPtr dom = NULL;

	if (call_find(call, conn, o->uuid, &dom) < 0)
		return;
	o->stream = virStreamNew(conn, VIR_STREAM_NONBLOCK);
	if (!o->stream || virDomainOpenConsole(dom, NULL, o->stream, flags) < 0)
		call_fail(call, conn);
}

/* A domain's console has one user. libvirt (9.0) does not always tell from whom it is taken. */
static void end_others(struct virt *v, const uint8_t uuid[SP_UUID_LEN])
{
	struct virt_console *c;

	do { /* whoever is told may end others */
		DL_FOREACH(v->consoles, c)
		{
			if (memcmp(c->uuid, uuid, SP_UUID_LEN) == 0)
				break;
		}
		if (c)
			end_console(c, v, TAKEN);
	} while (c);
}

static void opening_finish(struct virt_call *call)
{
	struct opening *o = (struct opening *)call;
	struct virt *v = call->virt;
	struct virt_console *c = NULL;

	if (call->error == 0 && (!v->up || v->stopping || call->life != v->life))
		call_fail_with(call, -ENOTCONN, "the connection to libvirt was lost");
	if (call->error == 0)
		c = calloc(1, sizeof(*c));
	if (call->error == 0 && !c)
		call_fail_with(call, -ENOMEM, "out of memory");
	if (call->error < 0) {
		if (o->stream)
			virStreamFree(o->stream);
		o->done(call->error, call->message, NULL, o->arg);
		free(o);
		return;
	}
	c->refs = 2; /* the owner's, and ours until the end of this */
	c->virt = v;
	memcpy(c->uuid, o->uuid, SP_UUID_LEN);
	c->stream = o->stream;
	c->callbacks = o->callbacks;
	c->arg = o->arg;
	end_others(v, o->uuid);
	DL_APPEND(v->consoles, c);
	o->done(0, "", c, o->arg);
	if (c->virt)
		watch(c, 0);
	unref(c);
	free(o);
}

int virt_console_open(struct virt *v, const uint8_t uuid[SP_UUID_LEN], bool force,
		      const struct virt_console_callbacks *callbacks, void *arg,
		      void (*done)(int error, const char *message, struct virt_console *console,
				   void *arg))
{
	struct opening *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->call.run = opening_run;
	o->call.finish = opening_finish;
	memcpy(o->uuid, uuid, SP_UUID_LEN);
	o->force = force;
	o->callbacks = *callbacks;
	o->arg = arg;
	o->done = done;
	r = call_submit(v, LINE_SWIFT, &o->call);
	if (r < 0)
		free(o);
	return r;
}
