/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the dataplane share among themselves; nobody else includes it. */
#ifndef SALLYPORT_LOADER_DATAPLANE_INTERNAL_H
#define SALLYPORT_LOADER_DATAPLANE_INTERNAL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

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
	DP_QUOTAS,
	_DP_MAPS,
};

enum dataplane_prog {
	DP_GUARD,
	DP_STEER,
	DP_STEER_MACHINE,
	DP_EGRESS,
	DP_REPLAY, /* attached to nothing */
	_DP_PROGS,
};

/* Where on a device: a link, or a clsact filter, each with one program behind it. */
enum dataplane_place {
	DP_AT_XDP,
	DP_AT_INGRESS,
	DP_AT_EGRESS,
	_DP_PLACES,
};

struct guard_bpf;
struct steer_bpf;

struct dataplane {
	char dir[DP_DIR_MAX]; /* <bpffs>/<pin_dir>/v<N>; empty: not pinned */
	struct guard_bpf *guard;
	struct steer_bpf *steer;
	int map_fd[_DP_MAPS];	/* owned by the skeletons */
	int prog_fd[_DP_PROGS]; /* likewise */
	uint32_t max_ports;
	int n_cpus;
	struct dataplane_features features;
	struct sp_machine *machines; /* the map, max_ports entries */
	struct ring_buffer *ring;
	void (*event_cb)(const struct sp_event *event, void *arg); /* during a drain */
	void *event_arg;
	struct ring_buffer *notices;
	void (*notice_cb)(const struct sp_notice *notice, void *arg); /* likewise */
	void *notice_arg;
	/* Not pinned: links die with the process, so they are kept here. */
	int *link_fds;
	size_t n_links;
};

/* The directory of this version's pins. -ENAMETOOLONG. */
int dataplane_dir(const struct dataplane_options *options, char ret[DP_DIR_MAX]);

/* Put the programs now loaded behind every pinned link and clsact filter, in place (I5). */
int dataplane_relink(struct dataplane *dp);

/* Map the machines' entries into memory, and out of it. */
int dataplane_machines_map(struct dataplane *dp);
void dataplane_machines_unmap(struct dataplane *dp);

#endif
