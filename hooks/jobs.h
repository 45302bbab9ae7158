/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded number of threads, each of which finishes one thing after OpenVPN went on. They block
 * all signals (those are OpenVPN's) and never call into OpenVPN, which knows of no threads.
 */
#ifndef SALLYPORT_HOOKS_JOBS_H
#define SALLYPORT_HOOKS_JOBS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define JOBS_MAX 64

/* JSON nested as deep as jansson lets it be fits, under a sanitizer too. */
#define JOBS_STACK (1024UL * 1024)

struct jobs;

/* NULL: no memory. One reference is the caller's; every thread holds another. */
struct jobs *jobs_new(void);

/*
 * Run RUN(arg, stop) in a thread; *stop becomes true when it should end soon. -EAGAIN: JOBS_MAX are
 * running, or no thread could be made: then RUN is not called and ARG is still the caller's.
 */
int jobs_start(struct jobs *j, void (*run)(void *arg, const atomic_bool *stop), void *arg);

/* Tell them to end, wait for that at most WAIT_MS, give up the reference. */
void jobs_stop(struct jobs *j, unsigned int wait_ms);

#endif
