/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who waits until a machine is as it was told to be? Requests, answered when it is or cannot be. */
#ifndef SALLYPORT_LOADER_MACHINE_WAITER_H
#define SALLYPORT_LOADER_MACHINE_WAITER_H

#include "machine.h"

struct request;

/* Answer REQUEST, which is taken, when M is at LEVEL, or when that has failed. */
void waiter_add(struct machine *m, enum level level, struct request *request);
/* Something has changed: is anybody's wait over? */
void waiters_look(struct machine *m);
/* The machine goes: WHY. */
void waiters_fail(struct machine *m, const char *why);

#endif
