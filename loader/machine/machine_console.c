/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's serial console, to and fro over the control socket: what it prints comes as answers
 * to `machine-console`, what is typed goes by `machine-input` on the same connection.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "ops.h"
#include "ops_machine.h"

/* A reader that has this much unread loses what comes, and is told. */
#define BACKLOG_LIMIT (256UL * 1024)
#define PIECE 4096

struct machine_console {
	struct daemon *daemon;
	struct request *request; /* NULL: its caller is gone */
	struct virt_console *virt;
	uint64_t lost;
	struct machine_console *prev, *next;
};

static void console_free(struct machine_console *c)
{
	DL_DELETE(c->daemon->consoles, c);
	free(c);
}

static json_t *hex(const uint8_t *data, size_t n)
{
	char text[2 * PIECE + 1];

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", data[i]);
	text[2 * n] = '\0';
	return json_string(text);
}

static void on_data(const void *data, size_t size, void *arg)
{
	struct machine_console *c = arg;
	const uint8_t *p = data;

	for (size_t n; c->request && size; p += n, size -= n) {
		n = size < PIECE ? size : PIECE;
		if (request_backlog(c->request) > BACKLOG_LIMIT) {
			c->lost += n;
			continue;
		}
		if (c->lost)
			request_send(c->request, json_pack("{s:I}", "lost", (json_int_t)c->lost));
		c->lost = 0;
		request_send(c->request, json_pack("{s:o}", "data", hex(p, n)));
	}
}

static void on_room(void *arg)
{
	struct machine_console *c = arg;

	if (c->request)
		request_send(c->request, json_pack("{s:b}", "room", 1));
}

static void on_end(const char *why, void *arg)
{
	struct machine_console *c = arg;

	if (c->request) {
		request_on_gone(c->request, NULL, NULL);
		request_finish(c->request, json_pack("{s:s}", "end", why));
	}
	console_free(c);
}

static void on_caller_gone(struct request *r, void *arg)
{
	struct machine_console *c = arg;

	request_finish(r, NULL);
	c->request = NULL;
	if (!c->virt)
		return; /* being opened: closed when it is */
	virt_console_close(c->virt);
	console_free(c);
}

static void on_opened(int error, const char *message, struct virt_console *v, void *arg)
{
	struct machine_console *c = arg;

	if (error == 0 && c->request) {
		c->virt = v;
		request_send(c->request, json_pack("{s:b}", "open", 1));
		return;
	}
	if (error == 0) {
		virt_console_close(v);
	} else if (c->request) {
		request_on_gone(c->request, NULL, NULL);
		request_fail(c->request, error, NULL, "machine-console: %s", message);
	}
	console_free(c);
}

void op_machine_console(void *context, void *request, const json_t *args)
{
	static const struct virt_console_callbacks callbacks = {
		.data = on_data, .room = on_room, .end = on_end};
	struct machine *m = machine_of(context, request, args);
	struct daemon *d = context;
	struct machine_console *c;
	char label[2 * SP_NAME_MAX];
	int r;

	if (!m)
		return;
	c = d->virt ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		request_fail(request, d->virt ? -ENOMEM : -ENOTCONN, NULL,
			     "machine-console: no connection to libvirt");
		return;
	}
	c->daemon = d;
	c->request = request;
	DL_APPEND(d->consoles, c);
	daemon_audit(d, request_uid(request), "machine-console", machine_label(m, label), NULL);
	request_on_gone(request, on_caller_gone, c);
	r = virt_console_open(d->virt, m->row.uuid, arg_bool(args, "force", false), &callbacks, c,
			      on_opened);
	if (r < 0) {
		request_on_gone(request, NULL, NULL);
		request_fail(request, r, NULL, "machine-console: %s", strerror(-r));
		console_free(c);
	}
}

static int unhex(const char *text, uint8_t *ret)
{
	size_t n = strlen(text);

	if (n % 2 || n / 2 > PIECE || strspn(text, "0123456789abcdefABCDEF") != n)
		return -EINVAL;
	for (size_t i = 0; i < n / 2; i++) {
		const char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

		ret[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return (int)(n / 2);
}

/* The one that is open on the connection of REQUEST, or NULL. */
static struct machine_console *find_console(struct daemon *d, const struct request *request)
{
	struct machine_console *c;

	DL_FOREACH(d->consoles, c)
	if (c->request && c->virt && request_same_caller(c->request, request))
		return c;
	return NULL;
}

void op_machine_input(void *context, void *request, const json_t *args)
{
	struct daemon *d = context;
	struct machine_console *c;
	uint8_t data[PIECE];
	int n = unhex(arg_string(args, "data", ""), data);
	ssize_t taken;

	if (n < 0) {
		request_fail(request, n, "data", "data: expected at most %d bytes in hexadecimal",
			     PIECE);
		return;
	}
	c = find_console(d, request);
	if (!c) {
		request_fail(request, -ENOTCONN, NULL,
			     "machine-input: no console is open on this connection");
		return;
	}
	taken = virt_console_write(c->virt, data, (size_t)n);
	if (taken < 0)
		request_fail(request, (int)taken, NULL, "machine-input: %s", strerror((int)-taken));
	else
		request_finish(request, json_pack("{s:I}", "taken", (json_int_t)taken));
}
