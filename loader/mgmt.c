// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is OpenVPN there, and who is connected to it? A client of its management socket.
 *
 * One command is in flight at a time. A command that is not answered in time is answered for to
 * its caller, but keeps its place until the answer comes: OpenVPN that is slow is not OpenVPN
 * that is gone, and to close the socket would say that it is.
 *
 *   M1  m->epoch changes with every connection made or lost: bytes of an old one are not read on.
 *   M2  a callback may call anything here, mgmt_free included: whoever calls one holds m->busy.
 */
#include "mgmt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <utlist.h>

#include "lib/cleanup.h"
#include "mgmt_parse.h"

#define RETRY_MIN_US (100 * 1000ULL)
#define RETRY_MAX_US (5 * 1000 * 1000ULL)
#define ANSWER_US (5 * 1000 * 1000ULL)
/* Above what one process can serve: 4093 VLAN ids, and its memory in MAC mode. */
#define CLIENTS_MAX 16384
/* A whole status' worth of clients may be ended at once. */
#define COMMANDS_MAX (CLIENTS_MAX + 64)
#define BANNER ">INFO:OpenVPN Management Interface"

typedef void (*status_fn)(int error, const struct mgmt_client *clients, size_t n, void *arg);
typedef void (*kill_fn)(int error, void *arg);

enum command_kind { COMMAND_PID, COMMAND_STATUS, COMMAND_KILL };

struct command {
	struct command *prev, *next;
	enum command_kind kind;
	uint64_t cid;
	uint64_t deadline_us; /* 0: none */
	bool sent, answered;
	status_fn status_done;
	kill_fn kill_done;
	void *arg;
};

struct mgmt {
	sd_event *event;
	struct sockaddr_un address;
	struct mgmt_callbacks callbacks;
	void *arg;

	int fd;
	sd_event_source *io, *retry, *deadline;
	uint64_t retry_us, tried_us;
	unsigned int epoch; /* M1 */
	unsigned int busy;  /* M2 */
	bool dead;	    /* freed when busy falls to 0 */
	bool up;
	int64_t pid;

	struct command *commands; /* the first one is in flight where it is sent */
	unsigned int n_commands;
	struct mgmt_lines lines;

	/* The answer to "status 3" so far. */
	struct mgmt_columns columns;
	struct mgmt_client *clients;
	size_t n_clients, room;
	int status_error;
};

static void disconnect(struct mgmt *m);

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void release(struct mgmt *m)
{
	if (--m->busy == 0 && m->dead) {
		free(m->clients);
		free(m);
	}
}

static void timer_in(sd_event_source *timer, uint64_t us)
{
	sd_event_source_set_time_relative(timer, us);
	sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* --- commands --- */

/* Tell the caller, once. The caller of this holds m->busy. */
static void command_answer(struct command *c, int error, const struct mgmt_client *clients,
			   size_t n)
{
	status_fn status_done;
	kill_fn kill_done;

	if (c->answered)
		return;
	c->answered = true;
	/* The callback may free C, where it is still in the list. */
	status_done = c->status_done;
	kill_done = c->kill_done;
	if (status_done)
		status_done(error, clients, n, c->arg);
	else if (kill_done)
		kill_done(error, c->arg);
}

static void command_unlink(struct mgmt *m, struct command *c)
{
	DL_DELETE(m->commands, c);
	m->n_commands--;
}

/* Those that are there now; what a callback adds is for the next turn of the loop. */
static void commands_fail(struct mgmt *m, int error)
{
	struct command *list = TAKE_PTR(m->commands), *c, *next;

	m->n_commands = 0;
	DL_FOREACH_SAFE(list, c, next)
	{
		command_answer(c, error, NULL, 0);
		free(c);
	}
}

/* All wait equally long, so the first that waits at all ends first. */
static void arm_deadline(struct mgmt *m)
{
	const struct command *c = m->commands;

	while (c && (c->answered || !c->deadline_us))
		c = c->next;
	if (!c) {
		sd_event_source_set_enabled(m->deadline, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(m->deadline, m->up ? c->deadline_us : 0);
	sd_event_source_set_enabled(m->deadline, SD_EVENT_ONESHOT);
}

static void send_next(struct mgmt *m)
{
	struct command *c = m->commands;
	char text[64];
	int n = 0;

	if (!c || c->sent || m->fd < 0 || (!m->up && c->kind != COMMAND_PID))
		return;
	switch (c->kind) {
	case COMMAND_PID:
		n = snprintf(text, sizeof(text), "pid\n");
		break;
	case COMMAND_STATUS:
		n = snprintf(text, sizeof(text), "status 3\n");
		m->n_clients = 0;
		m->status_error = 0;
		m->columns = (struct mgmt_columns){};
		break;
	case COMMAND_KILL:
		n = snprintf(text, sizeof(text), "client-kill %" PRIu64 "\n", c->cid);
		break;
	}
	c->sent = true;
	/* With one command in flight the socket's buffer is empty: short means broken. */
	if (send(m->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		disconnect(m);
}

/* -ENOBUFS: too many wait already. The answer never comes before this returns. */
static int command_add(struct mgmt *m, const struct command *model)
{
	bool asked = model->status_done || model->kill_done;
	struct command *c;

	/* Nobody waits: it is done however late, but never to the next process' clients. */
	if (m->dead || (!asked && !m->up))
		return -ENOTCONN;
	if (m->n_commands >= COMMANDS_MAX)
		return -ENOBUFS;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = *model;
	c->deadline_us = asked ? now_us() + ANSWER_US : 0;
	DL_APPEND(m->commands, c);
	m->n_commands++;
	/* The timer also sends, so that no callback runs inside the caller. */
	sd_event_source_set_time(m->deadline, 0);
	sd_event_source_set_enabled(m->deadline, SD_EVENT_ONESHOT);
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *arg)
{
	struct mgmt *m = arg;
	uint64_t now = now_us();
	struct command *c, *next;

	m->busy++;
	send_next(m);
	for (c = m->commands; c && !m->dead; c = next) {
		/* Not up: all but what a callback has just added, which waits for the next turn. */
		uint64_t due = m->up ? c->deadline_us : c->deadline_us - ANSWER_US;
		unsigned int epoch = m->epoch;

		next = c->next;
		if (c->answered || !c->deadline_us || now < due)
			continue;
		if (c->sent) { /* its place is kept for its answer */
			command_answer(c, -ETIMEDOUT, NULL, 0);
		} else {
			command_unlink(m, c);
			command_answer(c, m->up ? -ETIMEDOUT : -ENOTCONN, NULL, 0);
			free(c);
		}
		if (m->epoch != epoch)
			break;
	}
	if (!m->dead)
		arm_deadline(m);
	release(m);
	return 0;
}

/* The first command has its answer: tell, and go on with the next. */
static void command_finish(struct mgmt *m, int error)
{
	struct command *c = m->commands;
	unsigned int epoch = m->epoch;
	bool status = c->kind == COMMAND_STATUS && error == 0;

	command_unlink(m, c);
	command_answer(c, error, status ? m->clients : NULL, status ? m->n_clients : 0);
	free(c);
	if (m->epoch != epoch || m->dead)
		return;
	send_next(m);
	if (m->epoch == epoch && !m->dead)
		arm_deadline(m);
}

/* --- lines --- */

static void client_add(struct mgmt *m, char *line)
{
	if (m->n_clients == m->room) {
		size_t room = m->room ? m->room * 2 : 16;
		struct mgmt_client *more = NULL;

		if (room <= CLIENTS_MAX)
			more = reallocarray(m->clients, room, sizeof(*more));
		if (!more) {
			/* Part of a list would look like clients that left. */
			m->status_error = room > CLIENTS_MAX ? -EBADMSG : -ENOMEM;
			return;
		}
		m->clients = more;
		m->room = room;
	}
	if (mgmt_parse_client(line, &m->columns, &m->clients[m->n_clients]) < 0)
		m->lines.skipped++;
	else
		m->n_clients++;
}

static void on_pid(struct mgmt *m, const char *line)
{
	struct command *c = m->commands;

	if (mgmt_parse_pid(line, &m->pid) < 0) {
		disconnect(m); /* not OpenVPN, or nothing that we can rely on */
		return;
	}
	command_unlink(m, c);
	free(c);
	m->up = true;
	m->retry_us = RETRY_MIN_US;
	m->callbacks.up(m, m->pid, m->arg);
	if (m->up && !m->dead) {
		send_next(m);
		arm_deadline(m);
	}
}

static void on_banner(struct mgmt *m)
{
	struct command *c;

	if (m->up || (m->commands && m->commands->kind == COMMAND_PID))
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		disconnect(m);
		return;
	}
	c->kind = COMMAND_PID;
	DL_PREPEND(m->commands, c);
	m->n_commands++;
	send_next(m);
}

static void on_status_line(struct mgmt *m, enum mgmt_line_kind kind, char *line)
{
	switch (kind) {
	case MGMT_LINE_HEADER:
		if (mgmt_parse_header(line, &m->columns) < 0)
			m->status_error = -EBADMSG;
		break;
	case MGMT_LINE_CLIENT:
		client_add(m, line);
		break;
	case MGMT_LINE_END:
		if (!m->columns.count && !m->status_error)
			m->status_error = -EBADMSG;
		command_finish(m, m->status_error);
		break;
	case MGMT_LINE_ERROR:
		command_finish(m, -EBADMSG);
		break;
	default: /* TITLE, TIME, the routing table, GLOBAL_STATS */
		break;
	}
}

static void on_line(struct mgmt *m, char *line)
{
	enum mgmt_line_kind kind = mgmt_line_classify(line);
	const struct command *c = m->commands;

	if (kind == MGMT_LINE_NOTIFY) {
		if (strncmp(line, BANNER, strlen(BANNER)) == 0)
			on_banner(m);
		return;
	}
	if (!c || !c->sent)
		return; /* nothing was asked */
	if (c->kind == COMMAND_STATUS)
		on_status_line(m, kind, line);
	else if (kind != MGMT_LINE_SUCCESS && kind != MGMT_LINE_ERROR)
		m->lines.skipped++;
	else if (c->kind == COMMAND_PID)
		on_pid(m, line);
	else
		command_finish(m, kind == MGMT_LINE_SUCCESS ? 0 : -ENOENT);
}

/* --- the connection --- */

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct mgmt *m = arg;
	unsigned int epoch = m->epoch;
	char buf[8192];
	const char *data = buf;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	size_t size = n > 0 ? (size_t)n : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	m->busy++;
	if (n <= 0)
		disconnect(m);
	while (m->epoch == epoch && !m->dead) { /* M1 */
		char *line = mgmt_lines_next(&m->lines, &data, &size);

		if (!line)
			break;
		on_line(m, line);
	}
	release(m);
	return 0;
}

static void retry_later(struct mgmt *m)
{
	timer_in(m->retry, m->retry_us);
	m->retry_us = m->retry_us * 2 < RETRY_MAX_US ? m->retry_us * 2 : RETRY_MAX_US;
}

static void disconnect(struct mgmt *m)
{
	bool was_up = m->up;

	m->busy++;
	m->epoch++;
	m->io = sd_event_source_disable_unref(m->io);
	if (m->fd >= 0)
		close(TAKE_FD(m->fd));
	m->up = false;
	m->pid = 0;
	if (!m->dead)
		retry_later(m);
	commands_fail(m, -ENOTCONN);
	if (was_up && !m->dead)
		m->callbacks.down(m, m->arg);
	release(m);
}

/* OpenVPN serves one at a time: where somebody else is being served we wait in its backlog. */
static void try_connect(struct mgmt *m)
{
	_cleanup_close_
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	m->tried_us = now_us();
	if (fd < 0 || connect(fd, (struct sockaddr *)&m->address, sizeof(m->address)) < 0 ||
	    sd_event_add_io(m->event, &m->io, fd, EPOLLIN, on_io, m) < 0) {
		retry_later(m);
		return;
	}
	sd_event_source_set_enabled(m->retry, SD_EVENT_OFF);
	m->fd = TAKE_FD(fd);
	m->epoch++;
	m->lines.used = 0;
	m->lines.skipping = false;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *arg)
{
	struct mgmt *m = arg;

	if (m->fd < 0)
		try_connect(m);
	return 0;
}

void mgmt_poke(struct mgmt *m)
{
	/* One that calls for every frame does not make us try for every frame. */
	if (m->fd >= 0 || m->dead)
		return;
	m->retry_us = RETRY_MIN_US;
	if (now_us() - m->tried_us >= RETRY_MIN_US)
		try_connect(m);
	else
		timer_in(m->retry, RETRY_MIN_US);
}

bool mgmt_is_up(const struct mgmt *m)
{
	return m->up;
}

int64_t mgmt_pid(const struct mgmt *m)
{
	return m->pid;
}

uint64_t mgmt_skipped(const struct mgmt *m)
{
	return m->lines.skipped;
}

struct mgmt *mgmt_free(struct mgmt *m)
{
	if (!m)
		return NULL;
	m->busy++;
	m->dead = true;
	disconnect(m); /* calls what waits, not down() */
	sd_event_source_disable_unref(m->retry);
	sd_event_source_disable_unref(m->deadline);
	sd_event_unref(m->event);
	release(m);
	return NULL;
}

static void mgmt_freep(struct mgmt **m)
{
	mgmt_free(*m);
}

int mgmt_new(sd_event *event, const char *path, const struct mgmt_callbacks *callbacks, void *arg,
	     struct mgmt **ret)
{
	_cleanup_(mgmt_freep) struct mgmt *m = NULL;
	size_t n = strlen(path);
	int r;

	if (n == 0 || n >= sizeof(m->address.sun_path))
		return -ENAMETOOLONG;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->fd = -1;
	m->event = sd_event_ref(event);
	m->callbacks = *callbacks;
	m->arg = arg;
	m->retry_us = RETRY_MIN_US;
	m->address.sun_family = AF_UNIX;
	memcpy(m->address.sun_path, path, n + 1);
	r = sd_event_add_time(event, &m->retry, CLOCK_MONOTONIC, 0, 0, on_retry, m);
	if (r >= 0)
		r = sd_event_add_time(event, &m->deadline, CLOCK_MONOTONIC, 0, 0, on_deadline, m);
	if (r >= 0)
		r = sd_event_source_set_enabled(m->deadline, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

/* --- questions --- */

int mgmt_status(struct mgmt *m, status_fn done, void *arg)
{
	return command_add(
		m, &(struct command){.kind = COMMAND_STATUS, .status_done = done, .arg = arg});
}

struct kill {
	struct mgmt *m;
	char ip[SP_ADDR_STRLEN];
	uint16_t port;
	int64_t time_unix;
	kill_fn done;
	void *arg;
};

/* The one client that matches; -ENOTUNIQ rather than to end the wrong one. */
static int kill_find(const struct kill *k, const struct mgmt_client *clients, size_t n,
		     uint64_t *ret_cid)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		const struct mgmt_client *c = &clients[i];

		if (c->time_unix != k->time_unix || strcmp(c->ip, k->ip) != 0 ||
		    (c->port != k->port && c->port != 0))
			continue;
		*ret_cid = c->cid;
		found++;
	}
	return found == 1 ? 0 : found ? -ENOTUNIQ : -ENOENT;
}

static void on_kill_status(int error, const struct mgmt_client *clients, size_t n, void *arg)
{
	_cleanup_free_
	struct kill *k = arg;
	uint64_t cid = 0;

	if (error == 0)
		error = kill_find(k, clients, n, &cid);
	if (error == 0)
		error = command_add(k->m, &(struct command){.kind = COMMAND_KILL,
							    .cid = cid,
							    .kill_done = k->done,
							    .arg = k->arg});
	if (error < 0 && k->done)
		k->done(error, k->arg);
}

int mgmt_kill(struct mgmt *m, const char *ip, uint16_t port, int64_t time_unix, kill_fn done,
	      void *arg)
{
	_cleanup_free_
	struct kill *k = calloc(1, sizeof(*k));
	uint16_t none;
	int r;

	if (!k)
		return -ENOMEM;
	if (mgmt_parse_address(ip, k->ip, &none) < 0 || none != 0)
		return -EINVAL;
	k->m = m;
	k->port = port;
	k->time_unix = time_unix;
	k->done = done;
	k->arg = arg;
	r = mgmt_status(m, on_kill_status, k);
	if (r < 0)
		return r;
	TAKE_PTR(k);
	return 0;
}

int mgmt_kill_cid(struct mgmt *m, uint64_t cid, kill_fn done, void *arg)
{
	return command_add(
		m,
		&(struct command){.kind = COMMAND_KILL, .cid = cid, .kill_done = done, .arg = arg});
}
