/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is there room for a machine? Machines, memory and vCPUs, for each user and for the host. A
 * machine that is in memory holds its memory, one that runs its vCPUs as well. Those for which the
 * host has no room wait: whose user holds the fewest machines comes first, then who has waited
 * longest.
 */
#ifndef SALLYPORT_LOADER_MACHINE_ADMISSION_H
#define SALLYPORT_LOADER_MACHINE_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>

#include "presence.h"

struct admission;

int admission_new(struct daemon *d, struct admission **ret);
struct admission *admission_free(struct admission *a);

/*
 * Let M run. 0: it holds what it needs. -EAGAIN: it waits for the host, and machine_advance is
 * called when it is its turn. -EDQUOT: its user's limits do not allow it beside what else of the
 * user's is up. -E2BIG: more than the limits allow at all. *ret_why: a sentence for the last two,
 * to be freed.
 */
int admission_run(struct machine *m, char **ret_why);

/* It is in memory, and RUNNING or not: that is so, whatever the limits are. */
void admission_adopt(struct machine *m, bool running);
/* It does not want to run any more: if it waits, it waits no longer. */
void admission_withdraw(struct machine *m);
/* It holds nothing, and waits for nothing, any more. */
void admission_release(struct machine *m);

/* Limits may be others now: whose turn is it? */
void admission_kick(struct daemon *d);

/* What all of them hold. */
void admission_held(struct daemon *d, struct resources *ret);
/* The host's limits; a field that is 0: no limit. */
void admission_limits(struct daemon *d, struct resources *ret);
size_t admission_waiting(struct daemon *d);
/* M's place among those who wait, from 1; 0: it does not wait. */
size_t admission_place(const struct machine *m);

#endif
