/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's side of the control socket: connect, send one request, receive replies, never
 * later than a deadline. Used by the hooks, the plugin and the command.
 */
#ifndef SALLYPORT_LIB_CLIENT_H
#define SALLYPORT_LIB_CLIENT_H

#include <jansson.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds. */
uint64_t client_now_us(void);

/*
 * Connect to PATH (NULL: $SALLYPORT_SOCKET, else SP_CONTROL_SOCKET). Non-blocking inside: a full
 * backlog ends at DEADLINE_US (absolute, client_now_us) with -ETIMEDOUT. Returns a descriptor
 * (CLOEXEC) or -ENOENT, -ECONNREFUSED, -EACCES, ...
 */
int client_connect(const char *path, uint64_t deadline_us);

/* Send one object. -EMSGSIZE above SP_MSG_MAX, -ETIMEDOUT, -EPIPE, ... Does not take REQUEST. */
int client_send(int fd, const json_t *request, uint64_t deadline_us);

/*
 * Receive one reply, checked: an object with "v" 1 and a boolean "ok". -EBADMSG otherwise,
 * -ECONNRESET at end of file, -ETIMEDOUT. *ret: a new reference.
 */
int client_receive(int fd, json_t **ret, uint64_t deadline_us);

/* "ok" false: the error's "errno" as a negative number (-EPROTO where it has none), else 0. */
int client_reply_error(const json_t *reply, const char **ret_message);

#endif
