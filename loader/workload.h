/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces on veths: made, attached, put into their owner's segment. */
#ifndef SALLYPORT_LOADER_WORKLOAD_H
#define SALLYPORT_LOADER_WORKLOAD_H

#include <stdbool.h>
#include <uthash.h>

#include "link.h"
#include "segment.h"
#include "store/store.h"

#define WORKLOAD_MTU 1500

struct workload {
	struct daemon *daemon;
	struct store_workload row;
	uint32_t id; /* of the row */
	bool up;     /* programmed; otherwise waiting for its namespace */
	char *reason;
	struct link_info link;
	struct member member;
	UT_hash_handle hh;
};

/* Make it known and try to bring it up. */
int workload_new(struct daemon *d, const struct store_workload *row, struct workload **ret);
/* Take it out of its segment and remove its veth. */
void workload_remove(struct workload *w);
/* Forget it; everything stays programmed. */
void workload_free(struct workload *w);

/* Bring it up if it waits. 0 also where it must go on waiting. */
int workload_try(struct workload *w);

struct workload *workload_find_id(struct daemon *d, uint32_t id);
struct workload *workload_find(struct daemon *d, const char *user, const char *name);

/* Watch the table of mounts: a waiting workload comes up when its namespace appears. */
int workload_watch(struct daemon *d);

/* A link that was deleted may have been one of ours. */
void workload_link_gone(struct daemon *d, uint32_t ifindex);
/* Changes of links were lost: whose device is gone? */
void workload_look_again(struct daemon *d);

#endif
