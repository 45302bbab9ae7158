/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the daemon itself cost? */
#ifndef SALLYPORT_LOADER_PROCESS_H
#define SALLYPORT_LOADER_PROCESS_H

#include <stdint.h>

struct process_stats {
	uint64_t resident_bytes, open_fds, max_fds;
	uint64_t cpu_us; /* user and system */
};

/* What cannot be found out is 0. */
void process_look(struct process_stats *ret);

#endif
