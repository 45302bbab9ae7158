/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structured logging for the daemon: to the journal where stderr is connected
 * to it, else to stderr as "<level> message KEY=value ...". One line for each decision.
 *
 * log_event(LOG_INFO, "session started", "USER", name, "VID", vid_str, NULL): pairs of strings;
 * keys become journal fields with the prefix SALLYPORT_. Values are escaped; secrets are never
 * passed in.
 */
#ifndef SALLYPORT_LOADER_LOG_H
#define SALLYPORT_LOADER_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

void log_open(const char *identifier, int max_level);
void log_set_level(int max_level);
int log_level_from_string(const char *s); /* "debug".."err"; -EINVAL */

/* message: a constant; then key, value pairs (const char *), ended by NULL. */
void log_event(int level, const char *message, ...) __attribute__((sentinel));

/*
 * For lines that a stranger can cause at will: at most one each second for each struct log_limit,
 * zero at first. True: log it; *ret_missed is how many were not since the last one.
 */
struct log_limit {
	uint64_t next_us;
	unsigned int missed;
};
bool log_allows(struct log_limit *l, uint64_t now_us, unsigned int *ret_missed);

/* Free text, for what has no fields. */
void log_printf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
