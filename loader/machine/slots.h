/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where do a segment's flows live (sp_slot), and how many may there be? A slot is there as long as
 * a machine of the segment has a port number; M7 of number.h.
 */
#ifndef SALLYPORT_LOADER_MACHINE_SLOTS_H
#define SALLYPORT_LOADER_MACHINE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

struct daemon;
struct machine;

enum slot_state {
	SLOT_UNSURE, /* its tables are not there, or nobody has looked since we are here */
	SLOT_MAKING,
	SLOT_READY,
	SLOT_ENDING, /* they are being taken away */
};

struct slot {
	uint32_t segment;
	uint32_t index; /* in `slots` */
	enum slot_state state;
	bool stays;	      /* could not be taken away: until a restart */
	unsigned int numbers; /* of machines that have it */
	uint32_t made_for;    /* flows: tables do not grow; 0: not known, since before */
	UT_hash_handle hh;
};

/* What stands in the rows of all slots together, and of those that have gone. */
struct slots_sum {
	uint64_t slots, flows, flows_max;
	uint64_t opened, full, over_rate, expired; /* ever */
};

/* At start: what is pinned, before any machine is looked at. */
int slots_adopt(struct daemon *d);
/* When workers run: end those that no machine has. */
void slots_drop_strays(struct daemon *d);
/* The daemon ends: they stay as they are. */
void slots_forget(struct daemon *d);

/* The slot of M's segment, made where there is none. -EAGAIN: the one of before is going. -ENOSPC.
 */
int slot_hold(struct machine *m, struct slot **ret);
/* One that had it has gone: the last one ends it. */
void slot_release(struct daemon *d, struct slot *s);
struct slot *slot_find(struct daemon *d, uint32_t segment);

/* How many flows there may be in SEGMENT's, if it has one; in each. What loader/budget.h says. */
void slot_set_budget(struct daemon *d, uint32_t segment);
void slots_set_budgets(struct daemon *d);
/* How long flows live: the configuration's. Returns a negative errno. */
int slots_set_timeouts(struct daemon *d);

void slots_sum(const struct daemon *d, struct slots_sum *ret);

/* Look again at the machines of SEGMENT. */
void slots_advance(struct daemon *d, uint32_t segment);

#endif
