/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does a client of the control socket do when the daemon is not what it should be? */
#include "selftests/harness/listener.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"

#define PEERS_MAX 128

struct peer {
	int fd;
	json_t *id;	 /* of the request whose answer is delayed, or NULL */
	uint64_t due_us; /* of that answer */
};

struct listener {
	pthread_t thread;
	pthread_mutex_t lock;
	char *path;
	int fd;
	int wake[2];
	int filler[8]; /* connections that fill the backlog */
	/* Under lock. */
	enum behaviour behaviour;
	char *reply;
	unsigned int delay_ms;
	json_t *requests;
	size_t connections;
	/* The thread's own. */
	struct peer peers[PEERS_MAX];
	size_t count;
};

static void die(const char *what)
{
	perror(what);
	abort();
}

static void send_text(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* TEXT, an object, with ID put in; or as it is where it is none. */
static void send_reply(int fd, const char *text, const json_t *id)
{
	json_t *reply = json_loads(text, 0, NULL);
	char *out;

	if (reply && id)
		json_object_set(reply, "id", (json_t *)id);
	out = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	send_text(fd, out ? out : text);
	free(out);
	json_decref(reply);
}

static void peer_drop(struct listener *l, size_t i)
{
	close(l->peers[i].fd);
	json_decref(l->peers[i].id);
	l->peers[i] = l->peers[--l->count];
}

/* True: the connection stays. Called with the lock held. */
static bool behave(struct listener *l, struct peer *p, const json_t *request)
{
	json_t *id = json_object_get(request, "id");
	json_t *other;

	switch (l->behaviour) {
	case LISTEN_ANSWER:
		send_reply(p->fd, l->reply, id);
		return true;
	case LISTEN_STALE:
		other = json_integer(json_integer_value(id) + 1000);
		send_reply(p->fd,
			   "{\"v\":1,\"ok\":true,\"allow\":true,\"result\":\"accept\","
			   "\"pending\":false,\"accept\":true,\"config\":\"vlan-pvid 4000\\n\"}",
			   other);
		json_decref(other);
		send_reply(p->fd, l->reply, id);
		return true;
	case LISTEN_PENDING:
		send_reply(p->fd, "{\"v\":1,\"ok\":true,\"pending\":true}", id);
		/* fall through */
	case LISTEN_LATE:
		json_decref(p->id);
		p->id = json_incref(id);
		p->due_us = client_now_us() + l->delay_ms * 1000ULL;
		return true;
	case LISTEN_RAW:
		send_text(p->fd, l->reply);
		return true;
	case LISTEN_HANG:
	case LISTEN_FULL:
		return true;
	case LISTEN_CLOSE:
		break;
	}
	return false;
}

static void serve(struct listener *l, size_t i)
{
	_cleanup_free_
	char *buf = malloc(SP_MSG_MAX);
	struct peer *p = &l->peers[i];
	ssize_t n = buf ? recv(p->fd, buf, SP_MSG_MAX, MSG_DONTWAIT) : 0;
	json_t *request = n > 0 ? json_loadb(buf, (size_t)n, 0, NULL) : NULL;
	bool stay = false;

	if (request) {
		pthread_mutex_lock(&l->lock);
		stay = behave(l, p, request);
		json_array_append(l->requests, request);
		pthread_mutex_unlock(&l->lock);
	}
	json_decref(request);
	if (!stay)
		peer_drop(l, i);
}

static int send_due(struct listener *l)
{
	uint64_t now = client_now_us();
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < l->count; i++) {
		struct peer *p = &l->peers[i];

		if (p->id && p->due_us <= now) {
			pthread_mutex_lock(&l->lock);
			send_reply(p->fd, l->reply, p->id);
			pthread_mutex_unlock(&l->lock);
			json_decref(p->id);
			p->id = NULL;
		}
		if (p->id && p->due_us < next)
			next = p->due_us;
	}
	return next == UINT64_MAX ? -1 : (int)((next - now) / 1000 + 1);
}

static void accept_one(struct listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (l->count == PEERS_MAX) {
		close(fd);
		return;
	}
	l->peers[l->count++] = (struct peer){.fd = fd};
	pthread_mutex_lock(&l->lock);
	l->connections++;
	pthread_mutex_unlock(&l->lock);
}

static void *thread_main(void *arg)
{
	struct listener *l = arg;

	for (;;) {
		struct pollfd fds[PEERS_MAX + 2] = {{.fd = l->wake[0], .events = POLLIN},
						    {.fd = l->fd, .events = POLLIN}};
		size_t count = l->count;

		if (l->filler[0] >= 0)
			fds[1].fd = -1;
		for (size_t i = 0; i < count; i++)
			fds[i + 2] = (struct pollfd){.fd = l->peers[i].fd, .events = POLLIN};
		(void)poll(fds, count + 2, send_due(l));
		if (fds[0].revents)
			break;
		for (size_t i = count; i-- > 0;) /* from the end: dropping moves the last one */
			if (fds[i + 2].revents)
				serve(l, i);
		if (fds[1].revents)
			accept_one(l);
	}
	while (l->count > 0)
		peer_drop(l, 0);
	return NULL;
}

static void fill_backlog(struct listener *l, const struct sockaddr_un *sun)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(l->filler); i++) {
		l->filler[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(l->filler[i], (const struct sockaddr *)sun, sizeof(*sun));
	}
}

struct listener *listener_start(const char *path, enum behaviour behaviour, const char *reply,
				unsigned int delay_ms)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct listener *l = calloc(1, sizeof(*l));

	if (!l || strlen(path) >= sizeof(sun.sun_path))
		die("listener");
	strcpy(sun.sun_path, path);
	pthread_mutex_init(&l->lock, NULL);
	l->path = strdup(path);
	l->requests = json_array();
	memset(l->filler, 0xff, sizeof(l->filler));
	listener_set(l, behaviour, reply, delay_ms);
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	unlink(path);
	if (l->fd < 0 || bind(l->fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    listen(l->fd, behaviour == LISTEN_FULL ? 1 : 64) < 0 || pipe(l->wake) < 0)
		die(path);
	if (behaviour == LISTEN_FULL)
		fill_backlog(l, &sun);
	if (pthread_create(&l->thread, NULL, thread_main, l) != 0)
		die("pthread_create");
	return l;
}

void listener_set(struct listener *l, enum behaviour behaviour, const char *reply,
		  unsigned int delay_ms)
{
	pthread_mutex_lock(&l->lock);
	free(l->reply);
	l->reply = strdup(reply ? reply : "");
	l->behaviour = behaviour;
	l->delay_ms = delay_ms;
	pthread_mutex_unlock(&l->lock);
}

size_t listener_requests(struct listener *l)
{
	size_t n;

	pthread_mutex_lock(&l->lock);
	n = json_array_size(l->requests);
	pthread_mutex_unlock(&l->lock);
	return n;
}

size_t listener_connections(struct listener *l)
{
	size_t n;

	pthread_mutex_lock(&l->lock);
	n = l->connections;
	pthread_mutex_unlock(&l->lock);
	return n;
}

json_t *listener_request(struct listener *l, size_t i, unsigned int wait_ms)
{
	for (unsigned int waited = 0;; waited += 5) {
		json_t *request;

		pthread_mutex_lock(&l->lock);
		request = json_deep_copy(json_array_get(l->requests, i));
		pthread_mutex_unlock(&l->lock);
		if (request || waited >= wait_ms)
			return request;
		usleep(5000);
	}
}

void listener_stop(struct listener *l)
{
	if (!l)
		return;
	if (write(l->wake[1], "", 1) != 1)
		die("listener_stop");
	pthread_join(l->thread, NULL);
	close(l->wake[0]);
	close(l->wake[1]);
	close(l->fd);
	for (size_t i = 0; i < SP_ARRAY_SIZE(l->filler); i++)
		closep(&l->filler[i]);
	unlink(l->path);
	json_decref(l->requests);
	free(l->path);
	free(l->reply);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
