/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the event loop ever held up? It runs here, with a look at the clock before and after. */
#ifndef SALLYPORT_LOADER_LOOP_H
#define SALLYPORT_LOADER_LOOP_H

#include <stdint.h>
#include <systemd/sd-event.h>

/* The longest turn is remembered for one to two of these: longer than scrapes are apart. */
#define LOOP_WINDOW_NS (60 * 1000000000ULL)

struct loop_stats {
	uint64_t turns;
	uint64_t busy_ns;	/* in all turns together */
	uint64_t longest_ns[2]; /* in this window, and in the one before */
	uint64_t window_end_ns;
};

/* As sd_event_loop: until sd_event_exit, whose code it returns, or a negative errno. */
int loop_run(sd_event *event, struct loop_stats *stats);

/* A turn took BUSY_NS and ended at NOW_NS (CLOCK_MONOTONIC). */
void loop_note(struct loop_stats *stats, uint64_t busy_ns, uint64_t now_ns);

/* The longest turn of the last one to two windows: whoever else asks, the answer is the same. */
uint64_t loop_longest_ns(const struct loop_stats *stats, uint64_t now_ns);

uint64_t loop_now_ns(void);

#endif
