/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An event of the monitor as one line. */
#ifndef SALLYPORT_CTL_EVENT_H
#define SALLYPORT_CTL_EVENT_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

/* What a frame is, from its first bytes: "02:..:01 > ff:ff:.. ARP". To be freed; never NULL. */
char *event_frame_text(const unsigned char *data, size_t size);

/* EVENT without its time, not yet escaped. To be freed; never NULL. */
char *event_text(const json_t *event);

/* Is it about one frame: dropped, or logged by a rule? */
bool event_is_frame(const json_t *event);

/* When it happened: its own time with OFFSET_NS added, or NOW where it has none. */
struct timespec event_time(const json_t *event, int64_t offset_ns, const struct timespec *now);

#endif
