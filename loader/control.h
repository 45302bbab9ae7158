/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: who is calling, one message at a time, and the way back. docs/control.md.
 *
 * A struct request is one call that is still to be answered. Its handler answers it at once or
 * keeps it for later; either way exactly one of request_finish*, request_fail ends it. A caller
 * that went away meanwhile makes the answers no-ops: ask request_is_gone where that matters.
 */
#ifndef SALLYPORT_LOADER_CONTROL_H
#define SALLYPORT_LOADER_CONTROL_H

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "request.h"

struct control;
struct request;

struct control_config {
	const struct op *ops; /* ended by name NULL */
	void *context;	      /* given to the handlers */
	gid_t admin_gid;      /* (gid_t)-1: root only */
	/* May this uid call hook ops at all (of some instance)? */
	bool (*is_hook_uid)(void *context, uid_t uid);
};

/* Listen on FD (a bound, listening SOCK_SEQPACKET socket), which is taken. */
int control_new(sd_event *event, int fd, const struct control_config *config, struct control **ret);
struct control *control_free(struct control *c);

/* Make the socket at PATH: a stale one is replaced, a live one is -EADDRINUSE. Returns the fd. */
int control_listen(const char *path);

/* Connections that are open. */
size_t control_clients(const struct control *c);

/* After a reload. */
void control_set_admin_gid(struct control *c, gid_t gid);

uid_t request_uid(const struct request *r);
enum role request_role(const struct request *r);
bool request_is_gone(const struct request *r);

/*
 * Called once, on the loop, if the caller goes away before the request is finished; NULL to forget.
 * The request stays to be finished.
 */
void request_on_gone(struct request *r, void (*cb)(struct request *r, void *arg), void *arg);

/* An answer that is not the last. REPLY is taken; "v", "ok" and "id" are added. */
void request_send(struct request *r, json_t *reply);
/* The last answer; NULL: an empty one. REPLY is taken, R is gone afterwards. */
void request_finish(struct request *r, json_t *reply);
/* ERROR: negative errno. FIELD may be NULL. R is gone afterwards. */
void request_fail(struct request *r, int error, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * A list in as many messages as it takes, each made when the caller has read the one before. HEAD's
 * fields (may be NULL) stand in the first. NEXT: the text of the next item, to be freed, or NULL at
 * the end; FREE_SOURCE ends it, also when the caller goes away. HEAD and SOURCE are taken, R is
 * gone afterwards.
 */
void request_finish_items(struct request *r, json_t *head, char *(*next)(void *source),
			  void (*free_source)(void *source), void *source);

/* The same of an array that is there already. Both are taken. */
void request_finish_list(struct request *r, json_t *head, json_t *items);

/* Did the same connection bring both? */
bool request_same_caller(const struct request *a, const struct request *b);

/* For streams: bytes that wait to be read by the caller. */
size_t request_backlog(const struct request *r);

#endif
