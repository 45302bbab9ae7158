/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What OpenVPN asks at login, connect and disconnect: may this one in, and with what? */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "budget.h"
#include "daemon.h"
#include "ends.h"
#include "instance.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "machine/presence.h"
#include "monitor.h"
#include "ops_hook.h"
#include "password.h"
#include "session.h"
#include "trace/metrics.h"
#include "trace/trace.h"

#define RETRY_S 5 /* what a client is told while we cannot answer */

struct instance *hook_instance(struct daemon *d, struct request *r, const json_t *args)
{
	const char *name = arg_string(args, "instance", "");
	struct instance *i = instance_find(d, name);

	if (!i) {
		request_fail(r, -ENOENT, "instance", "instance: '%s': not in the configuration",
			     name);
		return NULL;
	}
	if (request_role(r) == ROLE_HOOK && request_uid(r) != i->config->uid) {
		request_fail(r, -EPERM, "instance", "instance: '%s': uid %u is not its OpenVPN's",
			     name, request_uid(r));
		return NULL;
	}
	return i;
}

struct instance *hook_living_instance(struct daemon *d, struct request *r, const json_t *args)
{
	struct instance *i = hook_instance(d, r, args);

	if (!i || instance_saw_pid(i, arg_int(args, "daemon_pid", 0)))
		return i;
	request_fail(r, -ESTALE, "daemon_pid", "daemon_pid: this OpenVPN process is gone");
	return NULL;
}

bool hook_expired(const json_t *args)
{
	return client_now_us() > (uint64_t)arg_int(args, "deadline_us", 0);
}

void hook_key(const struct instance *i, const json_t *args, struct session_key *ret)
{
	session_key_set(ret, i->name, arg_string(args, "common_name", ""),
			arg_string(args, "trusted_ip", ""),
			(uint16_t)arg_int(args, "trusted_port", 0), arg_int(args, "time_unix", 0));
}

/* --- auth: the row from the store's thread, then the check on another --- */

struct auth_job {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	char username[SP_NAME_MAX];
	char password[SP_PASSWORD_MAX];
	struct store_user user;
	bool renewal; /* of a live session: nothing will be stored */
	uint64_t trace;
	char *error;
	int r;
};

static void auth_count(struct daemon *d, const char *result)
{
	metrics_note(d->metrics, strcmp(result, "accept") == 0	 ? METRICS_AUTH_ACCEPT
				 : strcmp(result, "reject") == 0 ? METRICS_AUTH_REJECT
								 : METRICS_AUTH_RETRY);
}

static void auth_finish(struct auth_job *a, const char *result, const char *reason)
{
	json_t *reply = json_pack("{s:s}", "result", result);
	char trace[17];

	if (reason)
		json_object_set_new(reply, "reason", json_string(reason));
	if (strcmp(result, "retry") == 0)
		json_object_set_new(reply, "backoff", json_integer(RETRY_S));
	auth_count(a->daemon, result);
	trace_format_id(a->trace, trace);
	log_event(LOG_INFO, "auth", "USER", a->username, "RESULT", result, "REASON",
		  a->error ? a->error
		  : reason ? reason
			   : "",
		  "TRACE", trace, NULL);
	request_finish(a->request, reply);
	free(a->error);
	explicit_bzero(a, sizeof(*a));
	free(a);
}

static void verify_run(struct job *job, struct store *store)
{
	struct auth_job *a = (struct auth_job *)job;
	int known = a->r;

	/* The same work for a user who is not there, or may not log in. */
	a->r = password_verify(a->password, known == 0 ? a->user.hash : NULL);
}

static void verify_done(struct job *job)
{
	struct auth_job *a = (struct auth_job *)job;

	if (a->r == 0 && a->user.disabled)
		a->r = -EACCES;
	if (a->r == 0)
		trace_mark(a->daemon->traces, a->trace, TRACE_AUTH_DONE, NULL, client_now_us());
	/* The machines need not wait for the tunnel. */
	if (a->r == 0 && !a->renewal) {
		presence_set_limits(a->daemon, &a->user);
		budget_set(a->daemon, &a->user);
		presence_login(a->daemon, a->user.id, a->trace);
	}
	auth_finish(a, a->r == 0 ? "accept" : "reject",
		    a->r == 0 ? NULL : "wrong user name or password");
}

static void lookup_run(struct job *job, struct store *store)
{
	struct auth_job *a = (struct auth_job *)job;

	/*
	 * Only here can a client be told to try again later: a refused connect makes it give up.
	 * So a login asks first whether its session could be recorded (I4).
	 */
	a->r = a->renewal ? 0 : store_try(store);
	a->r = a->r ?: store_user_get(store, a->username, &a->user);
	if (a->r < 0 && a->r != -ENOENT)
		a->error = strdup(store_error(store));
}

static void lookup_done(struct job *job)
{
	struct auth_job *a = (struct auth_job *)job;
	int r = a->r;

	if (r < 0 && r != -ENOENT) {
		daemon_store_state(a->daemon, a->error);
		auth_finish(a, "retry", "the user database does not answer");
		return;
	}
	daemon_store_state(a->daemon, NULL);
	trace_mark(a->daemon->traces, a->trace, TRACE_AUTH_STORE, NULL, client_now_us());
	a->job.run = verify_run;
	a->job.done = verify_done;
	if (workers_submit(a->daemon->workers, WORKER_CPU, &a->job) < 0)
		auth_finish(a, "retry", "too many logins at once");
}

/*
 * OpenVPN asks again when it renews keys; which session that is for, it does not tell. Somebody who
 * comes back before the old session has ended looks the same, but for the port. *RET_SAME_PORT:
 * there is one that came from PORT, or that is not known.
 */
static bool has_session(struct daemon *d, const char *user, const json_t *args, bool *ret_same_port)
{
	const char *name = arg_string(args, "common_name", "");
	const char *ip = arg_string(args, "untrusted_ip", "");
	int64_t port = arg_int(args, "untrusted_port", 0);
	bool found = false;

	*ret_same_port = false;
	for (struct session *s = d->sessions_by_id; s && !*ret_same_port; s = s->hh_id.next) {
		if (strcmp(s->user, user) != 0 || strcmp(s->key.common_name, name) != 0)
			continue;
		found = true;
		*ret_same_port = !port || (s->key.port == port && strcmp(s->key.ip, ip) == 0);
	}
	return found;
}

/* A login, and not the renewal of a session's keys, gets a trace. */
static uint64_t begin_trace(const struct instance *i, const char *user, const json_t *args)
{
	uint64_t now = client_now_us();
	struct traces *t = i->daemon->traces;
	uint64_t id = trace_begin(t, user, i->name, arg_string(args, "common_name", ""),
				  arg_string(args, "untrusted_ip", ""),
				  (uint16_t)arg_int(args, "untrusted_port", 0), now);

	trace_mark(t, id, TRACE_AUTH, NULL, now);
	return id;
}

void op_hook_auth(void *context, void *request, const json_t *args)
{
	struct daemon *d = context;
	struct instance *i = hook_living_instance(d, request, args);
	struct auth_job *a;
	bool same_port;

	if (!i)
		return;
	a = calloc(1, sizeof(*a));
	if (!a) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	a->job.run = lookup_run;
	a->job.done = lookup_done;
	a->daemon = d;
	a->request = request;
	snprintf(a->username, sizeof(a->username), "%s", arg_string(args, "username", ""));
	a->renewal = has_session(d, a->username, args, &same_port);
	if (!a->renewal || !same_port)
		a->trace = begin_trace(i, a->username, args);
	if (i->state == INSTANCE_REFUSED) {
		auth_finish(a, "retry", "this server is not in service");
		return;
	}
	snprintf(a->password, sizeof(a->password), "%s", arg_string(args, "password", ""));
	if (workers_submit(d->workers, WORKER_STORE, &a->job) < 0)
		auth_finish(a, "retry", "too many logins at once");
}

/* --- connect --- */

struct connect_job {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	struct session *session;
	sd_event_source *timer; /* until "pending" was said */
	struct store_session row;
	bool begun;
	uint64_t deadline_us;
	uint32_t max_sessions, max_macs; /* the configuration's; then the user's */
	struct store_user limits;	 /* for its budget */
	char address[SP_ADDR_STRLEN], address6[SP_ADDR_STRLEN];
	char *error;
	int r;
};

/* The user may not, which is not the store's trouble. */
static bool is_refusal(int r)
{
	return r == -ENOENT || r == -EACCES || r == -EDQUOT || r == -ERANGE;
}

static void connect_run(struct job *job, struct store *store)
{
	struct connect_job *c = (struct connect_job *)job;
	struct store_user u;

	c->r = store_user_get(store, c->row.user, &u);
	if (c->r == 0) {
		c->row.user_id = u.id;
		c->row.segment = u.segment;
		c->max_macs = u.max_macs ? u.max_macs : c->max_macs;
		c->r = store_session_begin(store, &c->row,
					   u.max_sessions ? u.max_sessions : c->max_sessions);
		c->begun = c->r == 0;
		explicit_bzero(u.hash, sizeof(u.hash));
		c->limits = u;
	}
	if (c->r < 0 && !is_refusal(c->r))
		c->error = strdup(store_error(store));
	if (c->r == 0)
		c->r = session_address(u.address, c->row.index, c->address)
			       ?: session_address(u.address6, c->row.index, c->address6);
}

static const char *connect_reason(int r)
{
	switch (r) {
	case -ENOENT:
		return "there is no such user";
	case -EACCES:
		return "the user is disabled";
	case -EDQUOT:
		return "the user has as many sessions as allowed";
	case -ERANGE:
		return "the user's addresses are used up";
	case -EAGAIN:
		return "no VLAN id is free";
	case -ENOSPC:
	case -E2BIG:
		return "no room for another session";
	case -ETIMEDOUT:
		return "the session could not be stored in time";
	case -ECANCELED:
		return "the client is gone";
	default:
		return "the session could not be stored";
	}
}

/* Lines for OpenVPN, each with its newline. */
struct lines {
	char text[512];
	size_t len;
};

static void add_line(struct lines *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void add_line(struct lines *l, const char *format, ...)
{
	size_t room = sizeof(l->text) - l->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(l->text + l->len, room, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < room)
		l->len += (size_t)n;
	else
		l->text[l->len] = '\0';
}

/* Cut ADDRESS ("ADDRESS/BITS") in two; false where it is not one. */
static bool split_prefix(const char *address, int family, char host[SP_ADDR_STRLEN], void *raw,
			 unsigned int *bits)
{
	const char *slash = strchr(address, '/');

	if (!slash || slash - address >= SP_ADDR_STRLEN)
		return false;
	memcpy(host, address, (size_t)(slash - address));
	host[slash - address] = '\0';
	*bits = (unsigned int)strtoul(slash + 1, NULL, 10);
	return inet_pton(family, host, raw) == 1;
}

static void push_address(struct lines *l, const char *address)
{
	char host[SP_ADDR_STRLEN], mask[INET_ADDRSTRLEN];
	unsigned int bits;
	struct in_addr a;

	if (!split_prefix(address, AF_INET, host, &a, &bits) || bits > 32)
		return;
	a.s_addr = htonl(bits ? ~0U << (32 - bits) : 0);
	inet_ntop(AF_INET, &a, mask, sizeof(mask));
	add_line(l, "ifconfig-push %s %s\n", host, mask);
}

/*
 * OpenVPN wants the other end's address too. A segment has no gateway: the subnet's router anycast
 * address stands for it.
 */
static void push_address6(struct lines *l, const char *address)
{
	char host[SP_ADDR_STRLEN], net[INET6_ADDRSTRLEN];
	unsigned int bits;
	struct in6_addr a;

	if (!split_prefix(address, AF_INET6, host, &a, &bits) || bits > 128)
		return;
	for (unsigned int bit = bits; bit < 128; bit++)
		a.s6_addr[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
	inet_ntop(AF_INET6, &a, net, sizeof(net));
	add_line(l, "ifconfig-ipv6-push %s %s\n", address, net);
}

static json_t *connect_config(const struct session *s)
{
	struct lines l = {.len = 0};

	if (s->member.dst.vid)
		add_line(&l, "vlan-pvid %u\n", s->member.dst.vid);
	push_address(&l, s->address);
	push_address6(&l, s->address6);
	return json_string(l.text);
}

static json_t *accept_reply(const struct session *s)
{
	return json_pack("{s:b, s:b, s:I, s:o}", "pending", 0, "accept", 1, "session",
			 (json_int_t)s->id, "config", connect_config(s));
}

static void connect_free(struct connect_job *c)
{
	sd_event_source_disable_unref(c->timer);
	free(c->error);
	free(c);
}

static void connect_refuse(struct connect_job *c, int r)
{
	const char *reason = connect_reason(r);
	char trace[17];

	if (c->row.vid)
		vids_put(c->session->instance->vids, c->row.vid, client_now_us());
	/* A row that was rolled back had an id, too, and the next session may get the same. */
	if (c->begun)
		ends_add(c->daemon->ends, c->row.id);
	metrics_note(c->daemon->metrics, METRICS_CONNECT_REFUSE);
	trace_format_id(c->session->trace, trace);
	log_event(LOG_WARNING, "session refused", "USER", c->row.user, "INSTANCE", c->row.instance,
		  "REASON", reason, "ERROR", c->error ? c->error : "", "TRACE", trace, NULL);
	session_drop(c->session);
	request_on_gone(c->request, NULL, NULL);
	request_finish(c->request,
		       json_pack("{s:b, s:b, s:s}", "pending", 0, "accept", 0, "reason", reason));
	connect_free(c);
}

static void log_start(const struct session *s)
{
	char id[24], vid[8], trace[17];

	trace_format_id(s->trace, trace);
	snprintf(id, sizeof(id), "%llu", (unsigned long long)s->id);
	snprintf(vid, sizeof(vid), "%u", s->member.dst.vid);
	log_event(LOG_INFO, "session started", "USER", s->user, "SESSION", id, "INSTANCE",
		  s->instance->name, "COMMON_NAME", s->key.common_name, "REMOTE", s->key.ip, "VID",
		  vid, "TRACE", trace, NULL);
}

static void connect_done(struct job *job)
{
	struct connect_job *c = (struct connect_job *)job;
	struct session *s = c->session;
	int r = c->r;

	daemon_store_state(c->daemon, r == 0 || is_refusal(r) ? NULL : c->error);
	if (r == 0)
		trace_mark(c->daemon->traces, s->trace, TRACE_CONNECT_STORE, NULL, client_now_us());
	if (r == 0 && (s->cancelled || request_is_gone(c->request)))
		r = -ECANCELED;
	if (r == 0 && client_now_us() > c->deadline_us)
		r = -ETIMEDOUT;
	if (r == 0) {
		budget_set(c->daemon, &c->limits);
		r = session_activate(s, &c->row, 0, c->max_macs);
	}
	if (r < 0) {
		connect_refuse(c, r);
		return;
	}
	trace_session(c->daemon->traces, s->trace, s->id);
	trace_mark(c->daemon->traces, s->trace, TRACE_CONNECTED, NULL, client_now_us());
	metrics_note(c->daemon->metrics, METRICS_CONNECT_ACCEPT);
	memcpy(s->address, c->address, sizeof(s->address));
	memcpy(s->address6, c->address6, sizeof(s->address6));
	log_start(s);
	monitor_session(c->daemon, s, true);
	request_on_gone(c->request, NULL, NULL);
	request_finish(c->request, accept_reply(s));
	connect_free(c);
}

static int on_slow(sd_event_source *source, uint64_t usec, void *arg)
{
	struct connect_job *c = arg;

	request_send(c->request, json_pack("{s:b}", "pending", 1));
	return 0;
}

static void on_connect_gone(struct request *r, void *arg)
{
	struct connect_job *c = arg;

	c->session->cancelled = true;
}

static struct connect_job *connect_new(struct daemon *d, struct request *r, struct session *s,
				       const json_t *args)
{
	struct connect_job *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->job.run = connect_run;
	c->job.done = connect_done;
	c->daemon = d;
	c->request = r;
	c->session = s;
	c->deadline_us = (uint64_t)arg_int(args, "deadline_us", 0);
	c->max_sessions = d->config->max_sessions;
	c->max_macs = d->config->max_macs;
	c->row.trusted_port = s->key.port;
	c->row.time_unix = s->key.time_unix;
	c->row.daemon_pid = arg_int(args, "daemon_pid", 0);
	memcpy(c->row.instance, s->key.instance, sizeof(c->row.instance));
	memcpy(c->row.common_name, s->key.common_name, sizeof(c->row.common_name));
	memcpy(c->row.trusted_ip, s->key.ip, sizeof(c->row.trusted_ip));
	snprintf(c->row.user, sizeof(c->row.user), "%s", arg_string(args, "username", ""));
	return c;
}

/* Its login's, or, where that is not known any more, one that begins here. */
static void find_trace(struct session *s, const char *user)
{
	const struct session_key *k = &s->key;
	struct traces *t = s->daemon->traces;
	uint64_t now = client_now_us();

	s->trace = trace_of_login(t, k->instance, k->common_name, k->ip, k->port, now);
	if (!s->trace)
		s->trace = trace_begin(t, user, k->instance, k->common_name, k->ip, k->port, now);
	trace_mark(t, s->trace, TRACE_CONNECT, NULL, now);
}

void op_hook_connect(void *context, void *request, const json_t *args)
{
	struct daemon *d = context;
	struct instance *i = hook_living_instance(d, request, args);
	struct connect_job *c = NULL;
	struct session_key key;
	struct session *s;
	int r;

	if (!i)
		return;
	hook_key(i, args, &key);
	s = session_find(d, &key);
	if (s && s->state == SESSION_LIVE) {
		request_finish(request, accept_reply(s)); /* asked again: the same answer */
		return;
	}
	if (hook_expired(args) || i->state == INSTANCE_REFUSED) {
		request_fail(request, i->state == INSTANCE_REFUSED ? -EPERM : -ETIMEDOUT, NULL,
			     "nothing was done: %s",
			     i->state == INSTANCE_REFUSED ? "the instance is refused"
							  : "the deadline has passed");
		return;
	}
	r = session_new(d, i, &key, &s);
	if (r == 0 && !(c = connect_new(d, request, s, args))) {
		session_drop(s);
		r = -ENOMEM;
	}
	if (r < 0) {
		request_fail(request, r, NULL, "this session is being connected already");
		return;
	}
	find_trace(s, c->row.user);
	request_on_gone(request, on_connect_gone, c);
	if (i->config->vlan_mode) {
		c->row.vid = vids_get(i->vids, client_now_us());
		if (!c->row.vid) {
			connect_refuse(c, -EAGAIN);
			return;
		}
	}
	sd_event_add_time_relative(d->event, &c->timer, CLOCK_MONOTONIC,
				   SP_PENDING_AFTER_MS * 1000ULL, 1000, on_slow, c);
	ends_flush(d->ends); /* the user's last session may end by what waits there */
	if (workers_submit(d->workers, WORKER_STORE, &c->job) < 0)
		connect_refuse(c, -EBUSY);
}

void op_hook_disconnect(void *context, void *request, const json_t *args)
{
	struct daemon *d = context;
	struct instance *i = hook_instance(d, request, args);
	struct session_key key;
	struct session *s;

	if (!i)
		return;
	hook_key(i, args, &key);
	s = session_find(d, &key);
	if (s && s->state == SESSION_PENDING)
		s->cancelled = true;
	else if (s)
		session_end(s, "disconnected");
	request_finish(request, NULL);
}
