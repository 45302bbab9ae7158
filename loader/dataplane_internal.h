/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the dataplane share among themselves; nobody else includes it. */
#ifndef SALLYPORT_LOADER_DATAPLANE_INTERNAL_H
#define SALLYPORT_LOADER_DATAPLANE_INTERNAL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>

#include "dataplane.h"

#define DP_DIR_MAX 256	/* the directory of the pins */
#define DP_PATH_MAX 640 /* that, a folder and a name (NAME_MAX) */

enum dataplane_map {
	DP_PORTS,
	DP_VIDS,
	DP_BINDINGS,
	DP_FDB,
	DP_FLOOD,
	DP_POLICE,
	DP_COUNTERS,
	DP_REASONS,
	DP_CONFIG,
	DP_EVENTS,
	/* Added to version 1 later: a directory of pins may be without them. */
	DP_MACHINES,
	DP_ADDRESSES,
	DP_NOTICES,
	DP_SLOTS,
	DP_FLOWS4,
	DP_FLOWS6,
	DP_FRAGMENTS,
	DP_TIMEOUTS,
	DP_COLLECTOR,
	DP_POLICIES,
	DP_RULE_COUNTERS,
	DP_LIMITS,
	DP_QUOTAS,
	_DP_MAPS,
};

enum dataplane_prog {
	DP_GUARD,
	DP_STEER,
	DP_STEER_MACHINE,
	DP_EGRESS,
	DP_REPLAY, /* this and those below are attached to nothing */
	DP_COLLECT,
	DP_SWEEP,
	DP_END_FLOW,
	_DP_PROGS,
};

/* Where on a device: a link, or a clsact filter, each with one program behind it. */
enum dataplane_place {
	DP_AT_XDP,
	DP_AT_INGRESS,
	DP_AT_EGRESS,
	_DP_PLACES,
};

struct bpf_object;
struct collect_bpf;
struct guard_bpf;
struct steer_bpf;
struct slot_table;

struct dataplane {
	char dir[DP_DIR_MAX]; /* <bpffs>/<pin_dir>/v<N>; empty: not pinned */
	struct guard_bpf *guard;
	struct steer_bpf *steer;
	struct collect_bpf *collect;
	int map_fd[_DP_MAPS];	/* owned by the skeletons */
	int prog_fd[_DP_PROGS]; /* likewise */
	uint32_t max_ports;
	int n_cpus;
	struct dataplane_features features;
	struct sp_machine *machines; /* the map, max_ports entries */
	struct sp_slot *slots;	     /* likewise */
	uint32_t slots_end;	     /* no slot from here on is in use */
	uint32_t shards;	     /* tables of flows for each slot and family */
	bool typed_tables;	     /* this kernel takes them with types: Linux 6.2 */
	struct ring_buffer *ring;
	void (*event_cb)(const struct sp_event *event, void *arg); /* during a drain */
	void *event_arg;
	struct ring_buffer *notices;
	void (*notice_cb)(const struct sp_notice *notice, void *arg); /* likewise */
	void *notice_arg;
	/* Not pinned: links die with the process, so they are kept here. */
	int *link_fds;
	size_t n_links;
	struct slot_table *tables; /* the slots' own maps, likewise */
	size_t n_tables;
	/* Policies: any thread may set one. */
	pthread_mutex_t policy_lock;
	uint16_t *rule_refs; /* by counter: rules that count there; max_rules of them */
	uint32_t max_rules, rules_used, rules_next;
	bool *has_policy; /* by port number: what the outer map knows, which is slow to tell */
	int *policy_fds;  /* not pinned: likewise, -1: none */
};

/* The directory of this version's pins. -ENAMETOOLONG. */
int dataplane_dir(const struct dataplane_options *options, char ret[DP_DIR_MAX]);

/* Put the programs now loaded behind every pinned link and clsact filter, in place (I5). */
int dataplane_relink(struct dataplane *dp);

/* Let all maps of OBJ, which is open and not loaded, be those of DP. */
int dataplane_share_maps(const struct dataplane *dp, struct bpf_object *obj);

/* Map what is shared with the programs into memory, and out of it. */
int dataplane_share(struct dataplane *dp);
void dataplane_unshare(struct dataplane *dp);

/* Start the timer that ends flows, or put the program now loaded behind it. */
int dataplane_start_collector(struct dataplane *dp);

/* The descriptor of a slot's own map; table as in dataplane_flow, the one behind: fragments.
 * -ENOENT. */
int dataplane_open_table(const struct dataplane *dp, uint32_t slot, uint32_t table);

/*
 * Does this kernel take tables with types into maps whose prototypes have none? Before Linux 6.2 it
 * compared where timers and locks are in them, and "nowhere" with "not known" (bpf_map_meta_equal).
 */
void dataplane_probe_types(struct dataplane *dp);

/* Close what keeps the slots' maps alive that are not pinned. */
void dataplane_forget_tables(struct dataplane *dp);

/* What was proved of the machines of SEGMENT, or of SLOT, does not count any more. */
void dataplane_unprove_segment(struct dataplane *dp, uint32_t segment);
void dataplane_unprove_slot(struct dataplane *dp, uint32_t slot);

/*
 * Run a program that is attached to nothing, with CB (5 words) and N bytes behind an Ethernet
 * header and two bytes: what it answers, as a negative errno.
 */
int dataplane_run(const struct dataplane *dp, enum dataplane_prog prog, const uint32_t cb[5],
		  const void *data, size_t n);

/* A rule and where it counts. */
struct place {
	uint64_t identity;
	uint32_t counter;
};

/* What one policy counts with. */
struct places {
	struct place *v; /* by identity */
	size_t n;
	uint32_t defaults[_SP_DIRECTIONS];
};

/* One row of a policy's map, which is of KIND. -EUCLEAN: it is not. */
int dataplane_read_row(int fd, uint32_t index, enum sp_row_kind kind, struct sp_row *ret);

/* What the policy behind FD counts with; places_free() frees what is in RET. -EUCLEAN. */
int places_read(int fd, struct places *ret);
void places_free(struct places *p);

/* Those below under policy_lock. */

/* Counters for all rules of ROWS: the one that OLD has for the same rule, or one at 0. -ENOSPC;
 * what was taken until then is held. */
int rules_take(struct dataplane *dp, const struct places *old, struct sp_row *rows);
void rules_release(struct dataplane *dp, const struct sp_row *rows);
void places_hold(struct dataplane *dp, const struct places *p);
void places_release(struct dataplane *dp, const struct places *p);

/*
 * Take over the policies that are pinned, or put the built-in default in force where there is none:
 * before any program is (I4).
 */
int dataplane_policies_open(struct dataplane *dp);
void dataplane_policies_close(struct dataplane *dp);

#endif
