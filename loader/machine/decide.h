/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How shall a machine be now, and what has to be done next to get there? Two pure functions over
 * what is known of it; everything else of loader/machine/ carries things to them and acts on what
 * they say. All times are CLOCK_MONOTONIC microseconds; 0: never.
 */
#ifndef SALLYPORT_LOADER_MACHINE_DECIDE_H
#define SALLYPORT_LOADER_MACHINE_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "ladder.h"
#include "store/store.h"
#include "virt/virt.h"

#define DECIDE_NEVER UINT64_MAX

struct decide_in {
	uint64_t now_us;

	/* The policy, with the configuration's defaults filled in. */
	enum store_start start;
	const struct ladder *ladder;
	uint64_t grace_us, idle_us, min_up_us; /* idle_us 0: never idle */

	bool held; /* an operator said so: nothing else counts */
	enum level held_level;

	/* The user: logged in, or about to be; since when, or when the last session ended. */
	bool present;
	uint64_t arrived_us, left_us;

	/* The machine. */
	bool running;	/* its guest runs, shrunk or not */
	bool woken;	/* a frame came for it, or somebody started it, since it was put to sleep */
	bool let_be;	/* its guest or another of libvirt's users stopped it */
	uint64_t up_us; /* last started or resumed */
	uint64_t active_us; /* last unicast frame from it or to it */
};

/*
 * The level now; *ret_next_us: when to ask again although nothing happened, or DECIDE_NEVER.
 * LEVEL_KEEP: leave it as it is. A level of the ladder is a lower bound: a machine that sleeps
 * deeper already stays so (decide_verb).
 */
enum level decide_level(const struct decide_in *in, uint64_t *ret_next_us);

/* A shutdown that the guest was asked for. */
struct decide_stop {
	uint64_t now_us;
	uint64_t asked_us;   /* last; 0: it was not */
	uint64_t first_us;   /* first */
	uint64_t again_us;   /* ask again after that long: a guest that boots does not hear */
	uint64_t timeout_us; /* then the plug is pulled */
};

/*
 * What to do to a machine that is as INFO says and shall be WANT; -1: nothing. *ret_next_us: when
 * to ask again although nothing happened (a shutdown that takes its time), or DECIDE_NEVER.
 */
int decide_verb(const struct virt_info *info, enum level want, const struct decide_stop *stop,
		uint64_t *ret_next_us);

/* How deep it sleeps. LEVEL_KEEP: it cannot be said. */
enum level decide_depth(const struct virt_info *info);

#endif
