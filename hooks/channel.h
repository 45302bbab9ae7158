/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's one connection to the daemon, for what OpenVPN's thread waits for. Events reach the
 * daemon in the order in which they happened, and a daemon that hangs costs OpenVPN one deadline
 * in CHANNEL_BREAK_MS, not one for each frame.
 *
 * It is opened at the first event, when OpenVPN has dropped its privileges: the daemon judges by
 * the credentials of whoever connected (SO_PEERCRED).
 */
#ifndef SALLYPORT_HOOKS_CHANNEL_H
#define SALLYPORT_HOOKS_CHANNEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* After a failure everything fails at once for this long. */
#define CHANNEL_BREAK_MS 1000

/* Ends of sessions and forgotten MACs that wait for the daemon to come back. */
#define CHANNEL_BACKLOG_MAX 1024

struct channel {
	const char *socket; /* NULL: the default */
	int fd;
	uint64_t next_id;
	uint64_t broken_until_us;
	json_t *backlog; /* requests that were never sent, oldest first */
	uint64_t lost;	 /* of them, how many did not fit */
};

/* -ENOMEM */
int channel_init(struct channel *c, const char *socket);
void channel_close(struct channel *c);

/*
 * Send REQUEST, receive its reply. -EAGAIN: not tried, the last failure is too near. "ok" false is
 * an error. A reply that comes too late is discarded when the next one is received.
 */
int channel_call(struct channel *c, json_t *request, uint64_t deadline_us, json_t **ret);

/*
 * The same for an event that must not be lost and has no answer to wait for but the
 * acknowledgement: what could not be sent is kept and goes before the next request.
 */
int channel_tell(struct channel *c, json_t *request, uint64_t deadline_us);

/* Is this the moment to try? */
bool channel_ready(const struct channel *c);

/* Make sure that it is open and that the backlog is sent; the errors of channel_call. */
int channel_open(struct channel *c, uint64_t deadline_us);

/* Something failed that concerns all requests: close, and fail fast for a while. */
void channel_break(struct channel *c);

#endif
