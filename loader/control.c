/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is calling, what do they want, and how do the answers get back without ever blocking? */
#include "control_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "sallyport/limits.h"

/* What may wait for a reader that is slow, before it is sent away. */
#define BACKLOG_MAX (1024UL * 1024)
/* Connections that hooks cannot take: an operator gets in even when an OpenVPN user floods us. */
#define ADMIN_RESERVE 32
/* Requests of one caller that are still to be answered. */
#define PENDING_MAX 64

/* --- requests --- */

static void request_unlink(struct request *r)
{
	struct client *c = r->client;

	if (!c)
		return;
	if (r->prev)
		r->prev->next = r->next;
	else
		c->requests = r->next;
	if (r->next)
		r->next->prev = r->prev;
	c->n_requests--;
	r->client = NULL;
}

static struct request *request_new(struct client *c, json_t *id)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->client = c;
	r->id = json_incref(id);
	r->uid = c->uid;
	r->role = c->role;
	r->next = c->requests;
	if (r->next)
		r->next->prev = r;
	c->requests = r;
	c->n_requests++;
	return r;
}

void control_request_free(struct request *r)
{
	request_unlink(r);
	json_decref(r->id);
	free(r);
}

uid_t request_uid(const struct request *r)
{
	return r->uid;
}

enum role request_role(const struct request *r)
{
	return r->role;
}

bool request_is_gone(const struct request *r)
{
	return !r->client || r->client->closing;
}

bool request_same_caller(const struct request *a, const struct request *b)
{
	return a->client && a->client == b->client;
}

void request_on_gone(struct request *r, void (*cb)(struct request *r, void *arg), void *arg)
{
	r->on_gone = cb;
	r->on_gone_arg = arg;
}

size_t request_backlog(const struct request *r)
{
	return r->client ? r->client->backlog : 0;
}

/* --- clients --- */

static void client_drop_output(struct client *c)
{
	while (c->out) {
		struct out *o = c->out;

		c->out = o->next;
		free(o);
	}
	c->out_tail = &c->out;
	c->backlog = 0;
}

static void client_free(struct client *c)
{
	struct control *control = c->control;

	/* First all requests are cut off, then each owner is told: a callback may finish others. */
	while (c->requests) {
		struct request *r = c->requests;
		void (*cb)(struct request *, void *) = r->on_gone;

		request_unlink(r);
		r->on_gone = NULL;
		if (cb)
			cb(r, r->on_gone_arg);
	}
	if (c->prev)
		c->prev->next = c->next;
	else
		control->clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	control->n_clients--;
	control_listings_free(c);
	client_drop_output(c);
	sd_event_source_disable_unref(c->source);
	close(c->fd);
	free(c);
}

/* Write what waits. -EAGAIN: the rest later; another error: the caller is gone. */
static int client_flush(struct client *c)
{
	while (c->out) {
		struct out *o = c->out;
		ssize_t n = send(c->fd, o->data, o->size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		c->out = o->next;
		if (!c->out)
			c->out_tail = &c->out;
		c->backlog -= o->size;
		free(o);
	}
	return 0;
}

void control_client_wake(struct client *c)
{
	uint32_t events = c->closing ? 0 : EPOLLIN;

	if (c->out || (c->listings && !c->closing))
		events |= EPOLLOUT;
	else if (c->closing)
		events = EPOLLOUT; /* writable at once: then it is closed, from the loop */
	sd_event_source_set_io_events(c->source, events);
}

void control_client_queue(struct client *c, const char *data, size_t size)
{
	struct out *o;
	int r;

	if (c->closing)
		return;
	o = c->backlog + size <= BACKLOG_MAX ? malloc(sizeof(*o) + size) : NULL;
	if (!o) {
		/* Too slow, or no memory: an answer is lost, so the connection must not go on. */
		client_drop_output(c);
		c->closing = true;
		shutdown(c->fd, SHUT_RDWR); /* wakes the loop, which frees it */
		return;
	}
	o->next = NULL;
	o->size = size;
	memcpy(o->data, data, size);
	*c->out_tail = o;
	c->out_tail = &o->next;
	c->backlog += size;
	r = client_flush(c);
	if (r < 0 && r != -EAGAIN) {
		client_drop_output(c);
		c->closing = true;
	}
	control_client_wake(c);
}

/* --- answers --- */

static void request_put(struct request *r, json_t *reply, bool ok)
{
	_cleanup_free_
	char *text = NULL;

	if (!reply)
		reply = json_object();
	json_object_set_new(reply, "v", json_integer(1));
	json_object_set_new(reply, "ok", json_boolean(ok));
	if (r->id)
		json_object_set(reply, "id", r->id);
	text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	if (!text || !r->client)
		return;
	if (strlen(text) <= SP_MSG_MAX)
		control_client_queue(r->client, text, strlen(text));
	else
		log_event(LOG_ERR, "an answer above the size of a message was not sent", NULL);
}

void request_send(struct request *r, json_t *reply)
{
	request_put(r, reply, true);
}

void request_finish(struct request *r, json_t *reply)
{
	request_put(r, reply, true);
	control_request_free(r);
}

static json_t *error_reply(int error, const char *field, const char *message)
{
	json_t *e = json_pack("{s:s, s:i, s:s}", "code", request_errno_name(error), "errno", -error,
			      "message", message);

	/* What was quoted may have been cut within a character. */
	if (!e)
		e = json_pack("{s:s, s:i, s:s}", "code", request_errno_name(error), "errno", -error,
			      "message", "the request was refused");
	if (field)
		json_object_set_new(e, "field", json_string(field));
	return json_pack("{s:o}", "error", e);
}

void request_fail(struct request *r, int error, const char *field, const char *format, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	request_put(r, error_reply(error, field, message), false);
	control_request_free(r);
}

/* --- messages --- */

static void client_refuse(struct client *c, json_t *id, const struct request_error *e)
{
	struct request r = {.client = c, .id = id};

	request_put(&r, error_reply(e->error, e->field, e->message), false);
}

static void client_handle(struct client *c, const char *data, size_t size)
{
	struct request_error e = {0};
	const struct op *op = NULL;
	json_t *object = NULL;
	struct request *r;

	e.error = request_parse(data, size, c->control->config.ops, &op, &object, &e);
	if (!e.error && c->role < op->role) {
		e.error = -EPERM;
		snprintf(e.message, sizeof(e.message), "%s: uid %u may not call it", op->name,
			 c->uid);
	}
	if (!e.error && c->n_requests >= PENDING_MAX) {
		e.error = -EBUSY;
		snprintf(e.message, sizeof(e.message), "%d requests wait for an answer already",
			 PENDING_MAX);
	}
	r = e.error ? NULL : request_new(c, json_object_get(object, "id"));
	if (r) {
		op->handle(c->control->config.context, r, object);
	} else {
		if (!e.error)
			e.error = -ENOMEM;
		client_refuse(c, json_object_get(object, "id"), &e);
	}
	json_decref(object);
}

/* One message for each turn of the loop, so that nobody keeps the others waiting. */
static int client_read(struct client *c)
{
	char *buffer = c->control->buffer;
	ssize_t n = recv(c->fd, buffer, SP_MSG_MAX, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	if (n > SP_MSG_MAX) {
		struct request_error e = {.error = -EMSGSIZE};

		snprintf(e.message, sizeof(e.message), "%zd bytes: expected at most %d", n,
			 SP_MSG_MAX);
		client_refuse(c, NULL, &e);
		return 0;
	}
	client_handle(c, buffer, (size_t)n);
	/* A password may have been in it. */
	explicit_bzero(buffer, (size_t)n);
	return 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct client *c = arg;
	int r = 0;

	if (revents & EPOLLOUT) {
		r = client_flush(c);
		if (r == -EAGAIN)
			r = 0;
		if (r == 0 && !c->out && c->listings && !c->closing)
			control_client_page(c);
		if (c->closing && !c->out)
			r = -ECONNRESET;
	}
	if (r == 0 && !c->closing && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		r = client_read(c);
	else if (r == 0 && (revents & (EPOLLHUP | EPOLLERR)))
		r = -ECONNRESET;
	if (r < 0)
		client_free(c);
	else
		control_client_wake(c);
	return 0;
}

/* --- who is it? --- */

static bool in_group(int fd, gid_t primary, gid_t gid)
{
	gid_t groups[256];
	socklen_t len = sizeof(groups);

	if (gid == (gid_t)-1)
		return false;
	if (primary == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static enum role role_of(struct control *c, int fd, const struct ucred *cred)
{
	if (cred->uid == 0 || in_group(fd, cred->gid, c->config.admin_gid))
		return ROLE_ADMIN;
	if (c->config.is_hook_uid(c->config.context, cred->uid))
		return ROLE_HOOK;
	return ROLE_NONE;
}

/* An answer to somebody who will not become a client. Takes FD. */
static void turn_away(int fd, int error, const char *message)
{
	json_t *reply = error_reply(error, NULL, message);
	_cleanup_free_
	char *text = NULL;
	char drain[16];

	json_object_set_new(reply, "v", json_integer(1));
	json_object_set_new(reply, "ok", json_false());
	text = json_dumps(reply, JSON_COMPACT);
	/* What it has sent already is read away: closing over it would take the answer with it. */
	shutdown(fd, SHUT_RD);
	while (recv(fd, drain, sizeof(drain), MSG_DONTWAIT) > 0)
		;
	if (text && send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_printf(LOG_DEBUG, "turned away: %m");
	json_decref(reply);
	close(fd);
}

static int client_new(struct control *control, int fd, const struct ucred *cred, enum role role)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->control = control;
	c->fd = fd;
	c->uid = cred->uid;
	c->pid = cred->pid;
	c->role = role;
	c->out_tail = &c->out;
	r = sd_event_add_io(control->event, &c->source, fd, EPOLLIN, on_client, c);
	if (r < 0) {
		free(c);
		return r;
	}
	c->next = control->clients;
	if (c->next)
		c->next->prev = c;
	control->clients = c;
	control->n_clients++;
	return 0;
}

static void log_stranger(struct control *c, uid_t uid)
{
	unsigned int missed = 0;
	char text[16], more[16];

	if (!log_allows(&c->strangers, client_now_us(), &missed))
		return;
	snprintf(text, sizeof(text), "%u", uid);
	snprintf(more, sizeof(more), "%u", missed);
	log_event(LOG_WARNING, "refused on the control socket", "UID", text, "NOT_LOGGED_BEFORE",
		  more, NULL);
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *arg)
{
	struct control *c = arg;
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	enum role role;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_event(LOG_WARNING, "a caller could not be accepted", "ERROR",
				  strerror(errno), NULL);
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		cred.uid = (uid_t)-1;
	role = role_of(c, fd, &cred);
	if (role == ROLE_NONE) {
		log_stranger(c, cred.uid);
		turn_away(fd, -EPERM,
			  "expected root, a member of the admin group, or the user of an instance");
	} else if (c->n_clients >= SP_CLIENTS_MAX - (role == ROLE_ADMIN ? 0 : ADMIN_RESERVE)) {
		turn_away(fd, -EBUSY, "too many connections; try again");
	} else if (client_new(c, fd, &cred, role) < 0) {
		turn_away(fd, -ENOMEM, "out of memory");
	}
	return 0;
}

/* --- the socket --- */

/*
 * Does a daemon that lives listen there? One that was killed a moment ago may still take a
 * connection while the kernel cleans up after it: the listener's pid tells the two apart.
 */
static bool is_served(const struct sockaddr_un *sun)
{
	_cleanup_close_
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0)
		return errno == EAGAIN; /* a full backlog */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid <= 0)
		return true;
	return kill(cred.pid, 0) == 0 || errno != ESRCH;
}

int control_listen(const char *path)
{
	_cleanup_close_
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const struct sockaddr *sa = (const struct sockaddr *)&sun;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	if (is_served(&sun))
		return -EADDRINUSE;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, sa, sizeof(sun)) < 0)
		return -errno;
	/* Everybody may connect: credentials decide. */
	if (chmod(path, 0666) < 0 || listen(fd, SP_CLIENTS_MAX) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int control_new(sd_event *event, int fd, const struct control_config *config, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->config = *config;
	c->event = event;
	c->fd = fd;
	c->buffer = malloc(SP_MSG_MAX);
	r = c->buffer ? sd_event_add_io(event, &c->source, fd, EPOLLIN, on_accept, c) : -ENOMEM;
	if (r < 0) {
		control_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	while (c->clients)
		client_free(c->clients);
	sd_event_source_disable_unref(c->source);
	close(c->fd);
	free(c->buffer);
	free(c);
	return NULL;
}

size_t control_clients(const struct control *c)
{
	return c->n_clients;
}

void control_set_admin_gid(struct control *c, gid_t gid)
{
	c->config.admin_gid = gid;
}
