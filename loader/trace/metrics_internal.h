/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the metrics share; nobody else includes it. */
#ifndef SALLYPORT_LOADER_METRICS_INTERNAL_H
#define SALLYPORT_LOADER_METRICS_INTERNAL_H

#include <stdio.h>
#include <systemd/sd-event.h>

#include "metrics.h"
#include "sallyport/abi.h"

#define METRICS_KINDS (SP_PORT_TUNNEL + 1) /* by enum sp_port_kind; 0 is unused */

struct metrics_port {
	uint32_t port;
	unsigned int kind;
};

struct metrics_waiter {
	struct metrics_waiter *next;
	metrics_done done;
	void *arg;
};

struct metrics {
	struct daemon *daemon;
	uint64_t events[_METRICS_EVENTS];
	double started; /* seconds since the epoch */
	const struct metrics_machines *machines;

	/* What went through ports that are gone; what was told last: a sum never goes back. */
	struct sp_counter gone[METRICS_KINDS], told[METRICS_KINDS];

	/* While somebody waits: the ports that were there when it began. */
	struct metrics_waiter *waiters;
	sd_event_source *source;
	struct metrics_port *ports;
	size_t n_ports, next_port;
	struct sp_counter sums[METRICS_KINDS];
};

/* Everything, in the order of docs/metrics.md. */
void metrics_write(struct metrics *m, FILE *f);

#endif
