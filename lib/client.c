/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does a program ask the daemon something, and never wait longer than it may? */
#include "lib/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "lib/cleanup.h"
#include "sallyport/limits.h"
#include "sallyport/paths.h"

uint64_t client_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Wait for EVENTS on FD (-1: only for time to pass, at most WAIT_US). */
static int wait_for(int fd, short events, uint64_t deadline_us)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = client_now_us();
		uint64_t left = now < deadline_us ? deadline_us - now : 0;
		struct timespec ts = {.tv_sec = (time_t)(left / 1000000),
				      .tv_nsec = (long)(left % 1000000) * 1000};
		int r = ppoll(&p, 1, &ts, NULL);

		if (r > 0)
			return 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int unix_address(const char *path, struct sockaddr_un *ret)
{
	if (!path)
		path = secure_getenv(SP_ENV_SOCKET);
	if (!path || path[0] == '\0')
		path = SP_CONTROL_SOCKET;
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

/* What is left until the deadline, as a socket option takes it; never 0, which means for ever. */
static struct timeval time_left(uint64_t deadline_us)
{
	uint64_t now = client_now_us();
	uint64_t left = now < deadline_us ? deadline_us - now : 1;

	return (struct timeval){.tv_sec = (time_t)(left / 1000000),
				.tv_usec = (suseconds_t)(left % 1000000)};
}

int client_connect(const char *path, uint64_t deadline_us)
{
	_cleanup_close_
	int fd = -1;
	struct sockaddr_un sun;
	struct timeval tv;
	int r;

	r = unix_address(path, &sun);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A full backlog cannot be polled for: a blocking connect() with a send timeout waits. */
	tv = time_left(deadline_us);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
		if (client_now_us() >= deadline_us)
			return -ETIMEDOUT;
	}
	return TAKE_FD(fd);
}

/*
 * The request as text, at most SP_MSG_MAX. Not json_dumps: its buffer grows by being copied, and
 * what it leaves behind may have held a password.
 */
static int dump(const json_t *request, char **ret, size_t *ret_size)
{
	size_t size = json_dumpb(request, NULL, 0, JSON_COMPACT);
	char *text;

	if (size == 0)
		return -EINVAL;
	if (size > SP_MSG_MAX)
		return -EMSGSIZE;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	json_dumpb(request, text, size, JSON_COMPACT);
	*ret = text;
	*ret_size = size;
	return 0;
}

int client_send(int fd, const json_t *request, uint64_t deadline_us)
{
	_cleanup_free_
	char *text = NULL;
	size_t size;
	int r;

	r = dump(request, &text, &size);
	if (r < 0)
		return r;
	do {
		r = 0;
		if (send(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			r = -errno;
		if (r == -EAGAIN)
			r = wait_for(fd, POLLOUT, deadline_us) ?: -EAGAIN;
	} while (r == -EAGAIN || r == -EINTR);
	explicit_bzero(text, size);
	return r;
}

/* The next message, whole; its size is returned. */
static ssize_t receive_message(int fd, char *buf, size_t size, uint64_t deadline_us)
{
	for (;;) {
		ssize_t n = recv(fd, buf, size, MSG_DONTWAIT | MSG_TRUNC);
		int r;

		if (n > 0)
			return (size_t)n > size ? -EBADMSG : n;
		if (n == 0)
			return -ECONNRESET;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = wait_for(fd, POLLIN, deadline_us);
		if (r < 0)
			return r;
	}
}

int client_receive(int fd, json_t **ret, uint64_t deadline_us)
{
	_cleanup_free_
	char *buf = malloc(SP_MSG_MAX);
	json_t *reply;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = receive_message(fd, buf, SP_MSG_MAX, deadline_us);
	if (n < 0)
		return (int)n;
	reply = json_loadb(buf, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (!reply || !json_is_object(reply) ||
	    json_integer_value(json_object_get(reply, "v")) != 1 ||
	    !json_is_boolean(json_object_get(reply, "ok"))) {
		json_decref(reply);
		return -EBADMSG;
	}
	*ret = reply;
	return 0;
}

int client_reply_error(const json_t *reply, const char **ret_message)
{
	const json_t *error = json_object_get(reply, "error");
	json_int_t number = json_integer_value(json_object_get(error, "errno"));
	const char *message = json_string_value(json_object_get(error, "message"));

	if (json_is_true(json_object_get(reply, "ok")))
		return 0;
	if (ret_message)
		*ret_message = message ? message : "no reason was given";
	return number > 0 && number < 4096 ? -(int)number : -EPROTO;
}
