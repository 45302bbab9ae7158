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
	sd_event_source *netns_source; /* inotify on /run/netns */
	int netns_fd;

	struct instance *instances; /* list, utlist */
	struct session *sessions_by_key;
	struct session *sessions_by_id;
	struct segment *segments;
	struct binding *bindings;   /* by MAC */
	struct workload *workloads; /* by id */
	unsigned int n_sessions;

	uint64_t started_us;
	char *store_error; /* of the last call that failed; NULL: it works */
};

/*
 * Set everything up: store, dataplane, instances, workloads, reconcile, control socket. LISTEN_FD:
 * an inherited socket, or -1. What fails is logged.
 */
int daemon_new(struct config *config, int listen_fd, struct daemon **ret);

/* Programs, taps and pins stay. */
struct daemon *daemon_free(struct daemon *d);

/* SIGHUP: 0, or a negative errno and the old configuration stays. */
int daemon_reload(struct daemon *d);

/* Note how the store is doing; NULL: well. */
void daemon_store_state(struct daemon *d, const char *error);

/* An audit line, written on the store's thread; failure is logged, nothing waits for it. */
void daemon_audit(struct daemon *d, uid_t uid, const char *what, const char *object,
		  const char *detail);

#endif
