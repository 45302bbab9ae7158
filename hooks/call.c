/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is the daemon asked when it may be slow, hung, restarting or gone? */
#include "hooks/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hooks/control_file.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"

/* How often a wait looks whether anybody still wants the answer. */
#define SLICE_US 100000
/* Between two tries to reach a daemon that is not there. */
#define RETRY_US 250000L
/* Strangers' replies on one connection before it counts as garbage. */
#define STALE_MAX 64

static bool stopped(const atomic_bool *stop)
{
	return stop && atomic_load(stop);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int call_receive(int fd, uint64_t id, const atomic_bool *stop, json_t **ret, uint64_t deadline_us)
{
	int stale = 0;

	while (stale < STALE_MAX) {
		_cleanup_json_ json_t *reply = NULL;
		uint64_t until = deadline_us;
		int r;

		if (stop)
			until = earlier(deadline_us, client_now_us() + SLICE_US);
		r = client_receive(fd, &reply, until);
		if (r == -ETIMEDOUT && until < deadline_us) {
			if (stopped(stop))
				return -ECANCELED;
			continue;
		}
		if (r < 0)
			return r;
		if (json_integer_value(json_object_get(reply, "id")) == (json_int_t)id) {
			*ret = TAKE_PTR(reply);
			return 0;
		}
		stale++;
	}
	return -EBADMSG;
}

int call_once(const char *socket, json_t *request, const atomic_bool *stop, json_t **ret,
	      uint64_t deadline_us)
{
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_close_
	int fd = -1;
	int r;

	r = request_stamp(request, 1, deadline_us);
	if (r < 0)
		return r;
	fd = client_connect(socket, deadline_us);
	if (fd < 0)
		return fd;
	r = client_send(fd, request, deadline_us);
	if (r < 0)
		return r;
	r = call_receive(fd, 1, stop, &reply, deadline_us);
	if (r < 0)
		return r;
	r = client_reply_error(reply, NULL);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(reply);
	return 0;
}

void call_auth(const char *socket, json_t *request, const atomic_bool *stop,
	       struct auth_answer *ret)
{
	uint64_t deadline_us = client_now_us() + AUTH_MAX_MS * 1000ULL;
	_cleanup_json_ json_t *reply = NULL;
	int r;

	r = call_once(socket, request, stop, &reply, deadline_us);
	if (r == 0)
		r = reply_auth(reply, ret);
	if (r == 0)
		return;
	/*
	 * Not the user's fault: the client keeps trying, where a plain refusal would end it. The
	 * exception is a request that no daemon would take.
	 */
	*ret = (struct auth_answer){.result = AUTH_RETRY, .backoff = AUTH_BACKOFF_S};
	if (r == -EINVAL || r == -EMSGSIZE)
		ret->result = AUTH_REJECT;
	reason_copy(ret->reason,
		    ret->result == AUTH_REJECT ? "malformed login" : "service unavailable");
}

int auth_publish(const struct auth_answer *a, const char *reason_file, const char *control_file)
{
	char text[REASON_MAX + 32];

	if (a->result == AUTH_ACCEPT)
		return control_file_verdict(control_file, '1');
	if (a->result == AUTH_RETRY)
		snprintf(text, sizeof(text), "TEMP[backoff %d]: %s", a->backoff, a->reason);
	else
		snprintf(text, sizeof(text), "%s", a->reason);
	/* Without a file for the reason (an older OpenVPN) the verdict still counts. */
	return control_file_answer(reason_file, reason_file ? text : NULL, control_file, '0');
}

/* Make sure that the request is on its way. */
static int connect_send(struct connect_call *c, uint64_t until_us)
{
	int r;

	if (c->sent)
		return 0;
	/* The daemon may work on it for as long as somebody waits, not only for this try. */
	r = request_stamp(c->request, ++c->id, c->give_up_us);
	if (r < 0)
		return r;
	if (c->fd < 0) {
		r = client_connect(c->socket, until_us);
		if (r < 0)
			return r;
		c->fd = r;
	}
	r = client_send(c->fd, c->request, until_us);
	c->sent = r == 0;
	return r;
}

static void connect_close(struct connect_call *c)
{
	closep(&c->fd);
	c->fd = -1;
	c->sent = false;
}

/* One answer, or why there is none; "pending" is -EINPROGRESS. */
static int connect_receive(struct connect_call *c, struct connect_answer *ret, uint64_t until_us)
{
	_cleanup_json_ json_t *reply = NULL;
	struct connect_answer a = {0};
	int r;

	r = call_receive(c->fd, c->id, c->stop, &reply, until_us);
	if (r < 0)
		return r;
	r = client_reply_error(reply, NULL);
	/* An earlier try of ours is not yet cleared away, or there is no room this moment. */
	if (r == -EEXIST || r == -EBUSY || r == -EAGAIN)
		return -EAGAIN;
	if (r == 0)
		r = reply_connect(reply, &a);
	if (r < 0) /* it has answered, and asking again would not make it better */
		return -EBADMSG;
	if (a.pending)
		return -EINPROGRESS;
	*ret = a;
	return 0;
}

int connect_begin(struct connect_call *c, struct connect_answer *ret, uint64_t until_us)
{
	int r = connect_send(c, until_us);

	if (r == -EINVAL || r == -EMSGSIZE || r == -ENOMEM)
		return r;
	if (r == 0)
		r = connect_receive(c, ret, until_us);
	if (r == 0 || r == -EBADMSG)
		return r;
	/* Only a connection that still owes the answer is worth keeping. */
	if (r != -EINPROGRESS && (r != -ETIMEDOUT || !c->sent))
		connect_close(c);
	return -EINPROGRESS;
}

static bool connect_abandoned(const struct connect_call *c)
{
	return stopped(c->stop) || (c->wanted_file && !control_file_wanted(c->wanted_file));
}

int connect_finish(struct connect_call *c, struct connect_answer *ret)
{
	const struct timespec pause = {.tv_nsec = RETRY_US * 1000};

	while (client_now_us() < c->give_up_us) {
		uint64_t until = earlier(c->give_up_us, client_now_us() + 4UL * RETRY_US);
		int r;

		if (connect_abandoned(c))
			return -ECANCELED;
		r = connect_send(c, until);
		if (r == 0)
			r = connect_receive(c, ret, until);
		if (r == 0 || r == -EBADMSG || r == -ECANCELED)
			return r;
		if (r == -EINPROGRESS || (r == -ETIMEDOUT && c->sent))
			continue;
		connect_close(c);
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

void connect_undo(const struct connect_call *c)
{
	_cleanup_json_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;

	if (request_undo(c->request, &request) == 0)
		(void)call_once(c->socket, request, NULL, &reply,
				client_now_us() + AUTH_MAX_MS * 1000ULL);
}
