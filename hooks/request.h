/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The JSON of each hook op, as docs/control.md has it. A text that is not UTF-8 has no form in
 * JSON: -EINVAL. *ret is a new reference; "id" and "deadline_us" are put in by request_stamp, for
 * each time that the request is sent.
 */
#ifndef SALLYPORT_HOOKS_REQUEST_H
#define SALLYPORT_HOOKS_REQUEST_H

#include <jansson.h>

#include "hooks/env.h"

int request_auth(const char *instance, const struct hook_login *login, json_t **ret);
int request_connect(const char *instance, const struct hook_session *s, json_t **ret);

/* ENVP: for what was transferred, where it says so. */
int request_disconnect(const char *instance, const struct hook_session *s, const char *const *envp,
		       json_t **ret);

/* The disconnect that takes back the connect request CONNECT. */
int request_undo(const json_t *connect, json_t **ret);

int request_learn(const char *instance, const struct hook_session *s, const struct hook_learn *l,
		  json_t **ret);

/* TIME_US: when the hook began. */
int request_forget(const char *instance, const struct hook_learn *l, uint64_t time_us,
		   json_t **ret);

int request_stamp(json_t *request, uint64_t id, uint64_t deadline_us);

/* Drop the reference in *REQUEST and wipe the password in it, if it holds one. */
void request_free(json_t **request);

#define _cleanup_request_ _cleanup_(request_free)

#define _cleanup_json_ _cleanup_(json_decrefp)

#endif
