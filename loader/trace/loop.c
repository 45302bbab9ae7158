/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the event loop ever held up? */
#include "loop.h"

#include <time.h>

uint64_t loop_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void turn_window(struct loop_stats *s, uint64_t now_ns)
{
	if (now_ns < s->window_end_ns)
		return;
	s->longest_ns[1] = now_ns < s->window_end_ns + LOOP_WINDOW_NS ? s->longest_ns[0] : 0;
	s->longest_ns[0] = 0;
	s->window_end_ns = now_ns + LOOP_WINDOW_NS;
}

void loop_note(struct loop_stats *s, uint64_t busy_ns, uint64_t now_ns)
{
	turn_window(s, now_ns);
	s->turns++;
	s->busy_ns += busy_ns;
	if (busy_ns > s->longest_ns[0])
		s->longest_ns[0] = busy_ns;
}

uint64_t loop_longest_ns(const struct loop_stats *stats, uint64_t now_ns)
{
	struct loop_stats s = *stats;

	turn_window(&s, now_ns);
	return s.longest_ns[s.longest_ns[1] > s.longest_ns[0]];
}

/* What sd_event_run does, taken apart: waiting is not being busy. */
static int turn(sd_event *event, struct loop_stats *stats)
{
	int r = sd_event_prepare(event);
	uint64_t start, now;

	if (r == 0)
		r = sd_event_wait(event, UINT64_MAX);
	if (r <= 0)
		return r;
	start = loop_now_ns();
	r = sd_event_dispatch(event);
	now = loop_now_ns();
	loop_note(stats, now - start, now);
	return r;
}

int loop_run(sd_event *event, struct loop_stats *stats)
{
	int code = 0, r;

	while (sd_event_get_state(event) != SD_EVENT_FINISHED) {
		r = turn(event, stats);
		if (r < 0)
			return r;
	}
	r = sd_event_get_exit_code(event, &code);
	return r < 0 ? r : code;
}
