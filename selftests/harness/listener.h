/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon that behaves as badly as a test wants, on a control socket of its own. */
#ifndef SALLYPORT_SELFTESTS_LISTENER_H
#define SALLYPORT_SELFTESTS_LISTENER_H

#include <jansson.h>
#include <stddef.h>

enum behaviour {
	LISTEN_ANSWER,	/* REPLY, with the request's id */
	LISTEN_PENDING, /* "pending":true, and after DELAY_MS REPLY */
	LISTEN_LATE,	/* REPLY after DELAY_MS */
	LISTEN_HANG,	/* takes the request, says nothing */
	LISTEN_FULL,	/* never accepts, and its backlog is full */
	LISTEN_CLOSE,	/* closes once it has the request */
	LISTEN_RAW,	/* REPLY as it is */
	LISTEN_STALE,	/* first a reply with another id that says the opposite, then REPLY */
};

struct listener;

/* DELAY_MS where the behaviour has one. Aborts the test on failure. */
struct listener *listener_start(const char *path, enum behaviour behaviour, const char *reply,
				unsigned int delay_ms);

/* Behave like this from the next request on. */
void listener_set(struct listener *l, enum behaviour behaviour, const char *reply,
		  unsigned int delay_ms);

/* How many requests have come so far, and how many connections. */
size_t listener_requests(struct listener *l);
size_t listener_connections(struct listener *l);

/* Request number I (from 0), waited for at most WAIT_MS; a new reference, or NULL. */
json_t *listener_request(struct listener *l, size_t i, unsigned int wait_ms);

/* Stop and remove the socket. NULL is allowed. */
void listener_stop(struct listener *l);

#endif
