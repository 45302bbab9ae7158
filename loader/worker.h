/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where do calls that block run? On threads of their own, in lanes: what is slow in one does not
 * hold up another. A job's `done` runs on the event loop when its `run` has returned, in the order
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
	/* On a worker. STORE is the lane's store, NULL in lanes that have none. */
	void (*run)(struct job *job, struct store *store);
	/* On the event loop; frees the job. */
	void (*done)(struct job *job);
	struct job *next;
};

enum worker_kind {
	WORKER_STORE, /* one thread, owns the store */
	WORKER_CLAIM, /* one thread with a store of its own: claims of MACs, which OpenVPN waits for
		       */
	WORKER_CPU,   /* password checks; walks through flows */
	WORKER_VIRT,  /* libvirt: what takes seconds (start, save, define) */
	WORKER_SWIFT, /* libvirt: what a user waits for and takes milliseconds (resume, suspend) */
	_WORKER_KINDS,
};

struct workers_config {
	struct store *store;  /* the store lane's, until workers_free has joined its thread */
	struct store *claims; /* likewise; NULL: there is no such lane */
	unsigned int n_cpu, n_virt,
		n_swift; /* threads, at most 16 each; 0: there is no such lane */
};

/* Jobs that may wait in each lane: above, a caller is told to come again (-EAGAIN). */
#define WORKER_QUEUE_MAX 1024

int workers_new(sd_event *event, const struct workers_config *config, struct workers **ret);

/* Lets what is queued finish (their `done` is called), then joins the threads. */
struct workers *workers_free(struct workers *w);

/* Takes JOB, except on -EAGAIN (queue full), -ESHUTDOWN and -EOPNOTSUPP (no such lane). */
int workers_submit(struct workers *w, enum worker_kind kind, struct job *job);

#endif
