/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that end by a deadline, and the two that go on after OpenVPN was answered: the login
 * and the connect that takes long. The programs run those in a child, the plugin in a thread.
 */
#ifndef SALLYPORT_HOOKS_CALL_H
#define SALLYPORT_HOOKS_CALL_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "hooks/reply.h"

/* The daemon's time to check a password; OpenVPN itself waits for its hand-window, 60 s. */
#define AUTH_MAX_MS 10000
/* What the client is told to wait before it tries again when the daemon is not there. */
#define AUTH_BACKOFF_S 5
/* How much of SP_HOOK_DEADLINE_MS a connect waits in OpenVPN's thread before it is deferred. */
#define CONNECT_WAIT_MS 120

/*
 * Receive the reply with ID; others are late answers to requests that were given up. STOP: return
 * -ECANCELED soon after it became true (NULL: never). Errors of client_receive.
 */
int call_receive(int fd, uint64_t id, const atomic_bool *stop, json_t **ret, uint64_t deadline_us);

/*
 * One request on a connection of its own. "ok" false is an error too, with *ret_message what the
 * daemon said (NULL: not asked for), which lives as long as *ret.
 */
int call_once(const char *socket, json_t *request, const atomic_bool *stop, json_t **ret,
	      uint64_t deadline_us);

/* Ask for a login. Always gives an answer: whatever goes wrong is AUTH_RETRY or AUTH_REJECT. */
void call_auth(const char *socket, json_t *request, const atomic_bool *stop,
	       struct auth_answer *ret);

/* Write a login's answer where OpenVPN looks for it. */
int auth_publish(const struct auth_answer *a, const char *reason_file, const char *control_file);

/*
 * A connect on its way. Zero but for FD, REQUEST, GIVE_UP_US and the optional ones. FD: -1, or a
 * connection to use for the first try, with ID the last one that was used on it.
 */
struct connect_call {
	const char *socket;
	json_t *request; /* not owned */
	int fd;
	uint64_t id;
	bool sent; /* the answer comes on FD */
	uint64_t give_up_us;
	const char *wanted_file; /* gone: nobody waits (NULL: not asked) */
	const atomic_bool *stop; /* NULL: none */
};

/*
 * The first try, until UNTIL_US at the latest: 0 with the final answer, -EINPROGRESS when the
 * rest is to be done by connect_finish, other errors: refuse.
 */
int connect_begin(struct connect_call *c, struct connect_answer *ret, uint64_t until_us);

/*
 * Wait for the answer, connecting again when the daemon went away, until it is there, or
 * GIVE_UP_US (-ETIMEDOUT), or nobody waits any more (-ECANCELED), or it makes no sense.
 */
int connect_finish(struct connect_call *c, struct connect_answer *ret);

/* Nobody took the acceptance: tell the daemon that this session is over. */
void connect_undo(const struct connect_call *c);

#endif
