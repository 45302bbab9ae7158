/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may all of a user's ports together: the rate of what sessions and machines send, how many
 * MAC addresses the sessions have, and how many flows there are on the segment. Workloads are the
 * operator's and not counted.
 *
 * A user who has a rate has a number among the ports' own, whose entry in `police` is asked beside
 * the port's. Who has none costs nothing. A user's segment has the user's id.
 */
#ifndef SALLYPORT_LOADER_BUDGET_H
#define SALLYPORT_LOADER_BUDGET_H

#include <stdint.h>
#include <uthash.h>

#include "dataplane.h"

struct daemon;
struct store_user;

/* Of the store; 0: as the configuration has it. */
struct budget_limits {
	uint64_t rate_bytes;
	uint32_t rate_frames, max_macs;
	uint32_t max_flows, new_flows;
};

struct budget {
	uint32_t user_id;
	uint32_t port; /* 0: no rate */
	struct budget_limits own;
	UT_hash_handle hh;
};

/* What the store says of the user; on ports that are up, and on tables that are there, at once. */
void budget_set(struct daemon *d, const struct store_user *u);

/*
 * The number under which the user's ports are counted together, for struct dataplane_rate; made
 * where there is none yet. 0: no rate. -ENOSPC: there is no number left. While what is pinned is
 * taken over it is 0: budget_reload follows.
 */
int budget_port(struct daemon *d, uint32_t user_id, uint32_t *ret);

/* How many MAC addresses the user's sessions may have together; UINT_MAX: no limit. */
unsigned int budget_max_macs(struct daemon *d, uint32_t user_id);
/* How many they have. */
unsigned int budget_macs(struct daemon *d, uint32_t user_id);

/*
 * How many flows there may be on the user's segment, whether or not tables can hold as many. A rate
 * of the user's own has as long a burst as the configuration's.
 */
struct dataplane_budget budget_flows(struct daemon *d, uint32_t user_id);

/* The configuration is another, or everything is known after a start. */
void budget_reload(struct daemon *d);
/* The user's last port has gone. */
void budget_idle(struct daemon *d, uint32_t user_id);
void budget_free(struct daemon *d);

#endif
