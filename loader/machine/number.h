/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's port number: what the dataplane keeps by it, and when it is free again.
 *
 * Rules that are kept here and in slots.h, beside those of machine.h and rules.h:
 *   M6  nothing names a port number whose flows are another's: they end before it is handed on;
 *   M7  a port names the slot of its segment when that has its tables, and not any more before they
 *       are taken away;
 *   M8  a machine that is paused or saved keeps its number, and its clock stands: its flows are
 *       there, as old as they were, when it goes on.
 *
 * All of it but looks is a worker's: it waits for the kernel, or goes through all flows.
 */
#ifndef SALLYPORT_LOADER_MACHINE_NUMBER_H
#define SALLYPORT_LOADER_MACHINE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct machine;
struct slot;

/* Held by its machine, and by each job that needs it; who lets go last gives it back. */
struct number {
	struct daemon *daemon;
	uint32_t port;
	struct slot *slot;
	unsigned int refs;
	bool begun;    /* the entry in `machines` is this machine's */
	bool attached; /* and names the slot (M7) */
	bool busy;     /* that is being done */
	int error;     /* why it could not be */
	uint64_t retry_us;
};

/*
 * Give the machine a number, if it has none. -EAGAIN: its segment's flows of before are still being
 * taken away; machine_advance is called then. -ENOSPC.
 */
int number_take(struct machine *m);
/*
 * At start: PORT is what it had. BEGUN: its entry is there and is its own. -EEXIST: PORT is
 * another's.
 */
int number_adopt(struct machine *m, uint32_t port, bool begun);
/* At start: machines that sleep without a device have theirs by their entries alone (M8). */
int numbers_adopt_sleeping(struct daemon *d);
/* At start: entries that are no machine's end. Returns how many, or a negative errno. */
int numbers_drop_strays(struct daemon *d);
/* At start, before anything is handed out: numbers with such an entry are not. */
int numbers_reserve(struct daemon *d);

/* M6, M7. 0: it is ready. -EAGAIN: soon; machine_advance is called then. Or why it cannot be. */
int number_ready(struct machine *m);
/* The machine does not have it any more. */
void number_give(struct machine *m);
/*
 * Its flows end: its guest is not there any more, and nothing of what it had in memory; or they are
 * not found any more.
 */
void number_end_flows(struct machine *m);
/* M8: as its state says. */
void number_set_clock(struct machine *m);

struct number *number_ref(struct number *n);
/* Returns NULL. N may be NULL. */
struct number *number_unref(struct number *n);
/* The daemon ends: what is programmed stays. Returns NULL. */
struct number *number_forget(struct number *n);

#endif
