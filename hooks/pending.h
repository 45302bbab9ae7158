/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin's threads finish: logins, and connects that take long. */
#ifndef SALLYPORT_HOOKS_PENDING_H
#define SALLYPORT_HOOKS_PENDING_H

#include <jansson.h>
#include <stdbool.h>

#include "hooks/call.h"
#include "hooks/jobs.h"

/*
 * Ask for a login and write the answer where OpenVPN looks for it. *REQUEST is taken on success;
 * REASON may be NULL. -EAGAIN: too many; -ENOMEM.
 */
int pending_auth_start(struct jobs *j, const char *socket, json_t **request, const char *reason,
		       const char *control);

struct pending_connect;

/*
 * Finish C in a thread. On success its connection is taken (C->fd becomes -1) and its request
 * copied. -EAGAIN: too many; -ENOMEM.
 */
int pending_connect_start(struct jobs *j, struct connect_call *c, struct pending_connect **ret);

bool pending_connect_done(struct pending_connect *p);

/* The result of a connect that is done, as connect_finish returned it. Frees P. */
int pending_connect_take(struct pending_connect *p, struct connect_answer *ret);

/*
 * Nobody waits for P any more; frees it, now or when its thread ends, which then takes back what
 * the daemon may have accepted. True: that is left to the caller, by sending *ret_undo.
 */
bool pending_connect_abandon(struct pending_connect *p, json_t **ret_undo);

#endif
