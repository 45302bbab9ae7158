/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does the plugin talk to the daemon without ever letting OpenVPN wait long? */
#include "hooks/channel.h"

#include <errno.h>

#include "hooks/call.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/client.h"

int channel_init(struct channel *c, const char *socket)
{
	*c = (struct channel){.socket = socket, .fd = -1, .backlog = json_array()};
	return c->backlog ? 0 : -ENOMEM;
}

void channel_close(struct channel *c)
{
	closep(&c->fd);
	c->fd = -1;
	json_decref(c->backlog);
	c->backlog = NULL;
}

static void disconnect(struct channel *c)
{
	closep(&c->fd);
	c->fd = -1;
}

static void fail_fast(struct channel *c)
{
	c->broken_until_us = client_now_us() + CHANNEL_BREAK_MS * 1000ULL;
}

void channel_break(struct channel *c)
{
	disconnect(c);
	fail_fast(c);
}

bool channel_ready(const struct channel *c)
{
	return client_now_us() >= c->broken_until_us;
}

static int send_now(struct channel *c, json_t *request, uint64_t *ret_id, uint64_t deadline_us)
{
	int r = request_stamp(request, ++c->next_id, deadline_us);

	if (r == 0)
		r = client_send(c->fd, request, deadline_us);
	*ret_id = c->next_id;
	return r;
}

static bool peer_gone(int r)
{
	return r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN;
}

/* What waited goes first, so that the daemon sees events in their order. */
static int send_backlog(struct channel *c, uint64_t deadline_us)
{
	while (json_array_size(c->backlog) > 0) {
		_cleanup_json_ json_t *reply = NULL;
		uint64_t id;
		int r = send_now(c, json_array_get(c->backlog, 0), &id, deadline_us);

		if (r < 0)
			return r;
		r = call_receive(c->fd, id, NULL, &reply, deadline_us);
		if (peer_gone(r)) /* not known whether it was read: once more, later */
			return r;
		json_array_remove(c->backlog, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The daemon may have been restarted since the last event: its end of a connection that was good
 * then is closed. That is found out here, for nothing was sent on it that could be lost.
 */
static int connect_and_flush(struct channel *c, uint64_t deadline_us)
{
	int r = 0;

	if (c->fd < 0) {
		r = client_connect(c->socket, deadline_us);
		if (r < 0)
			return r;
		c->fd = r;
	}
	return send_backlog(c, deadline_us);
}

/* After a failure: a late reply may still come and keeps its place in the order. */
static int failed(struct channel *c, int r)
{
	if (r == -ETIMEDOUT)
		fail_fast(c);
	else
		channel_break(c);
	return r;
}

int channel_open(struct channel *c, uint64_t deadline_us)
{
	bool was_open = c->fd >= 0;
	int r;

	if (!channel_ready(c))
		return -EAGAIN;
	r = connect_and_flush(c, deadline_us);
	if (was_open && peer_gone(r)) {
		disconnect(c);
		r = connect_and_flush(c, deadline_us);
	}
	return r < 0 ? failed(c, r) : 0;
}

/*
 * *ret_sent: the request is in the daemon's hands, whatever happened then. Once more on a new
 * connection where the old one turns out to be of a daemon that is gone: every hook op may be
 * applied twice.
 */
static int exchange(struct channel *c, json_t *request, uint64_t deadline_us, json_t **ret,
		    bool *ret_sent)
{
	_cleanup_json_ json_t *reply = NULL;
	uint64_t id = 0;
	int r = -EAGAIN;

	*ret_sent = false;
	for (int tries = 0; tries < 2; tries++) {
		r = channel_open(c, deadline_us);
		if (r < 0)
			return r;
		r = send_now(c, request, &id, deadline_us);
		*ret_sent = r == 0;
		if (r == 0)
			r = call_receive(c->fd, id, NULL, &reply, deadline_us);
		if (!peer_gone(r))
			break;
		*ret_sent = false;
		disconnect(c);
	}
	if (r < 0)
		return failed(c, r);
	*ret = TAKE_PTR(reply);
	return 0;
}

int channel_call(struct channel *c, json_t *request, uint64_t deadline_us, json_t **ret)
{
	_cleanup_json_ json_t *reply = NULL;
	bool sent;
	int r = exchange(c, request, deadline_us, &reply, &sent);

	if (r == 0)
		r = client_reply_error(reply, NULL);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(reply);
	return 0;
}

int channel_tell(struct channel *c, json_t *request, uint64_t deadline_us)
{
	_cleanup_json_ json_t *reply = NULL;
	bool sent;
	int r = exchange(c, request, deadline_us, &reply, &sent);

	if (r == 0)
		return client_reply_error(reply, NULL);
	if (sent)
		return r;
	/* Full: the oldest goes; the daemon finds out by itself when it compares with OpenVPN. */
	if (json_array_size(c->backlog) >= CHANNEL_BACKLOG_MAX) {
		json_array_remove(c->backlog, 0);
		c->lost++;
	}
	if (json_array_append(c->backlog, request) < 0)
		c->lost++;
	return r;
}
