/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who holds which MAC address, and where do a segment's frames go? The one place that writes
 * bindings, FDB and flood lists, in the order that dataplane.h asks for (D1).
 */
#ifndef SALLYPORT_LOADER_SEGMENT_H
#define SALLYPORT_LOADER_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "sallyport/abi.h"

struct daemon;
struct machine;
struct session;
struct workload;

/* A port of a segment, as long as frames may go to it. */
struct member {
	uint32_t segment;
	/*
	 * How to reach it; dst.mac is not used here. ifindex 0: it has no device at the moment, and
	 * must be asleep.
	 */
	struct sp_dst dst;
	bool unicast_copies;	 /* MAC mode: a group frame is copied to each of its MACs */
	uint64_t generation;	 /* session, workload or machine id */
	struct session *session; /* one of the three */
	struct workload *workload;
	struct machine *machine;
	struct binding *bindings; /* list by owner_next */
	unsigned int n_bindings;
	struct member *prev, *next; /* of the segment */
};

struct binding {
	uint8_t mac[SP_MAC_LEN];
	struct member *owner;
	uint64_t learned_us; /* CLOCK_MONOTONIC of the hook that brought it; 0: after a restart */
	struct binding *owner_next;
	struct binding *same_mac; /* others with this MAC, in other segments */
	UT_hash_handle hh;	  /* the first of each MAC */
};

struct segment {
	uint32_t id;
	struct member *members;
	UT_hash_handle hh;
};

/* Put a member into its segment: from now on group frames go there. -E2BIG: the segment is full. */
int segment_join(struct daemon *d, struct member *m);
/* Take all its MACs and itself out. */
void segment_leave(struct daemon *d, struct member *m);

/* FDB, flood list, binding, in this order. On failure nothing of it stays. */
int segment_bind(struct daemon *d, struct member *m, const uint8_t mac[SP_MAC_LEN],
		 uint64_t learned_us);
void segment_unbind(struct daemon *d, struct binding *b);

/*
 * M is reached in another way now: DST takes the place of its dst; the port number stays. What lets
 * frames in by the old device goes first, what lets them in by the new one comes last (D1). Group
 * frames pass by who is asleep. On failure nothing lets frames of M in any more.
 */
int segment_move(struct daemon *d, struct member *m, const struct sp_dst *dst);

/* W, not a session, is to have MAC: whatever session learned it meanwhile loses it (I6). */
void segment_evict(struct daemon *d, const struct member *w, const uint8_t mac[SP_MAC_LEN]);

/* Write every flood list: once, when all members are known again after a start. */
void segment_write_floods(struct daemon *d);
bool segment_exists(struct daemon *d, uint32_t id);
/* A list by `next`; NULL: it has none. */
struct member *segment_members(struct daemon *d, uint32_t id);

/* This member's binding of MAC, or NULL. */
struct binding *member_find(const struct member *m, const uint8_t mac[SP_MAC_LEN]);

/* Who holds MAC in the segment? NULL: nobody. */
struct binding *segment_find(struct daemon *d, uint32_t segment, const uint8_t mac[SP_MAC_LEN]);

enum learn_verdict {
	LEARN_OK,
	LEARN_KNOWN,	/* it holds it already */
	LEARN_TAKEOVER, /* from another session of the same user: *ret_from loses it */
	LEARN_GROUP,
	LEARN_RESERVED, /* of the configuration, or a tap of ours */
	LEARN_WORKLOAD, /* a workload's or a machine's */
	LEARN_OTHER_USER,
	LEARN_LIMIT,
	LEARN_USER_LIMIT, /* its session could have another, its user not */
};

/* May M, a session, have this MAC? I6; Algorithm 1 of the first paper. Changes nothing. */
enum learn_verdict segment_may_learn(struct daemon *d, const struct member *m,
				     const uint8_t mac[SP_MAC_LEN], unsigned int limit,
				     struct binding **ret_from);
const char *learn_verdict_text(enum learn_verdict v);

/* Is it reserved by the configuration, or the address of a device of ours? */
bool segment_is_reserved(struct daemon *d, const uint8_t mac[SP_MAC_LEN]);

#endif
