/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon: what it owns. One thread, one event loop; nothing here is locked. */
#ifndef SALLYPORT_LOADER_DAEMON_H
#define SALLYPORT_LOADER_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "config.h"
#include "control.h"
#include "dataplane.h"
#include "link.h"
#include "portnum.h"
#include "store/store.h"
#include "worker.h"

struct binding;
struct ends;
struct instance;
struct monitor;
struct segment;
struct session;
struct workload;

struct daemon {
	sd_event *event;
	struct config *config;
	struct dataplane *dp;
	struct store *store; /* the worker's, once it runs */
	struct workers *workers;
	struct control *control;
	struct link_watch *links;
	struct monitor *monitor;
	struct portnum *portnums;
	struct ends *ends;
	sd_event_source *netns_source; /* the table of mounts */
	int netns_fd;

	struct instance *instances; /* list, utlist */
	struct session *sessions_by_key;
	struct session *sessions_by_id;
	struct segment *segments;
	struct binding *bindings;   /* by MAC */
	struct workload *workloads; /* by id */
	unsigned int n_sessions;

	/*
	 * At start, while what is pinned is taken over: a flood list is written when all of its
	 * members are known again, not before (I5).
	 */
	bool restoring;
	uint64_t started_us;
	char *store_error; /* of the last call that failed; NULL: it works */
	char *store_name;  /* as it was opened: store_describe() */
};

/*
 * Set everything up: control socket, store, dataplane, instances, workloads, reconcile. LISTEN_FD:
 * an inherited socket, taken, or -1. CONFIG is taken on success. What fails is logged.
 */
int daemon_new(struct config *config, int listen_fd, struct daemon **ret);

/* Programs, taps and pins stay. */
struct daemon *daemon_free(struct daemon *d);

/*
 * Read the configuration again, on a worker, and apply what can change in a running daemon; on a
 * mistake the old one stays and each mistake is logged. DONE (may be NULL) is told on the loop.
 */
void daemon_reload(struct daemon *d, void (*done)(int error, void *arg), void *arg);

/* Note how the store is doing; NULL: well. */
void daemon_store_state(struct daemon *d, const char *error);

/* An audit line, written on the store's thread; failure is logged, nothing waits for it. */
void daemon_audit(struct daemon *d, uid_t uid, const char *what, const char *object,
		  const char *detail);

#endif
