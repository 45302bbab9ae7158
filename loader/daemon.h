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
#include "machine/slots.h"
#include "portnum.h"
#include "store/store.h"
#include "trace/loop.h"
#include "worker.h"

struct admission;
struct binding;
struct budget;
struct ends;
struct http;
struct instance;
struct lease;
struct machine;
struct machine_console;
struct metrics;
struct monitor;
struct presence;
struct rules_change;
struct segment;
struct session;
struct traces;
struct virt;
struct workload;

struct daemon {
	sd_event *event;
	struct config *config;
	struct dataplane *dp;
	struct store *store;  /* the workers', once they run */
	struct store *claims; /* likewise, for claims of MACs; NULL: nobody else has the store */
	struct lease *lease;  /* where the store is shared */
	struct workers *workers;
	struct control *control;
	struct link_watch *links;
	struct monitor *monitor;
	struct portnum *portnums, *slotnums;
	struct ends *ends;
	struct traces *traces;
	struct metrics *metrics;
	struct http *http; /* NULL: nobody listens, or http_error says why not */
	char *http_error;
	struct loop_stats loop;
	sd_event_source *netns_source; /* the table of mounts */
	int netns_fd;

	struct instance *instances; /* list, utlist */
	struct session *sessions_by_key;
	struct session *sessions_by_id;
	struct segment *segments;
	struct binding *bindings;   /* by MAC */
	struct budget *budgets;	    /* by user id */
	struct workload *workloads; /* by id */
	unsigned int n_sessions;

	struct virt *virt; /* NULL: there was no need for libvirt yet */
	struct admission *admission;
	struct presence *presences; /* by user id */
	struct machine *machines, *machines_by_uuid, *machines_by_mac, *machines_by_port;
	struct slot *slots;		 /* by segment: where flows are */
	struct slots_sum slots_gone;	 /* of those that are not any more */
	struct machine *machine_devices; /* by the MAC of the tap */
	sd_event_source *notice_source;
	struct machine_console *consoles;   /* list, utlist */
	struct held_request *held;	    /* list, utlist: until libvirt is settled */
	size_t n_orphans;		    /* domains with our mark and no row */
	struct rules_change *rules_changes; /* list, utlist: whose text is not whole yet */
	bool default_busy;		    /* the host's policy is on its way into force */
	bool machines_listed; /* since the connection came up, libvirt has told how they are */

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

/* The event loop, until it is told to end: its exit code, or a negative errno. */
int daemon_run(struct daemon *d);

/* Programs, taps and pins stay. */
struct daemon *daemon_free(struct daemon *d);

/*
 * Read the configuration again, on a worker, and apply what can change in a running daemon; on a
 * mistake the old one stays and each mistake is logged. DONE (may be NULL) is told on the loop.
 */
void daemon_reload(struct daemon *d, void (*done)(int error, void *arg), void *arg);

/*
 * Open the metrics listener, if there shall be one: a door for looking in, not for users. Where it
 * cannot be opened the daemon goes on without, says so in its log and in `status`, and tries again
 * on reload.
 */
void daemon_open_http(struct daemon *d);

/* Note how the store is doing; NULL: well. */
void daemon_store_state(struct daemon *d, const char *error);

/* An audit line, written on the store's thread; failure is logged, nothing waits for it. */
void daemon_audit(struct daemon *d, uid_t uid, const char *what, const char *object,
		  const char *detail);

#endif
