/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where do calls that block run? On threads of their own: one that owns the store, some for
 * password checks. A job's `done` runs on the event loop when its `run` has returned, in the order
 * of completion.
 */
#ifndef SALLYPORT_LOADER_WORKER_H
#define SALLYPORT_LOADER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct store;
struct workers;

struct job {
	/* On a worker. STORE is the store on the store's thread, NULL on the others. */
	void (*run)(struct job *job, struct store *store);
	/* On the event loop; frees the job. */
	void (*done)(struct job *job);
	struct job *next;
};

enum worker_kind { WORKER_STORE, WORKER_CPU };

/* Jobs that may wait for each kind: above, a caller is told to come again (-EAGAIN). */
#define WORKER_QUEUE_MAX 1024

/* STORE is owned by the store's thread until workers_free has joined it. N_CPU: 1 to 16. */
int workers_new(sd_event *event, struct store *store, unsigned int n_cpu, struct workers **ret);

/* Lets what is queued finish (their `done` is called), then joins the threads. */
struct workers *workers_free(struct workers *w);

/* Takes JOB, except on -EAGAIN (queue full) and -ESHUTDOWN. */
int workers_submit(struct workers *w, enum worker_kind kind, struct job *job);

#endif
