/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text for people: escaping of what others chose, numbers with units, times. Names and reasons
 * come from certificates and clients: whatever goes to a terminal passes text_escape here or in
 * the table.
 */
#ifndef SALLYPORT_CTL_TEXT_H
#define SALLYPORT_CTL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define TEXT_NUMBER_MAX 32

/*
 * S with everything escaped that a terminal might act upon or hide: control characters (C1 too),
 * what is not UTF-8, marks that change the direction of writing or have no width, and the
 * backslash. NULL gives "-". To be freed; never NULL.
 */
char *text_escape(const char *s);

/* How many columns the UTF-8 text S takes, one for each code point. */
size_t text_width(const char *s);
/* The bytes of the first COLUMNS columns of S. */
size_t text_prefix(const char *s, size_t columns);

/* Print one line: the formatted text, escaped, and a newline. */
void text_line(FILE *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "0 B", "999 B", "1.5 KiB". Returns BUF. */
const char *text_bytes(double n, char buf[TEXT_NUMBER_MAX]);
/* "0", "99999", "123 k", "1.2 M" where the column is narrow. Returns BUF. */
const char *text_count(double n, char buf[TEXT_NUMBER_MAX]);
/* "12 s", "5 min 2 s", "3 h 4 min", "2 d 3 h". Returns BUF. */
const char *text_duration(int64_t seconds, char buf[TEXT_NUMBER_MAX]);
/* Seconds since the epoch as local time, "2026-11-24 06:15:18"; 0 and less: "-". Returns BUF. */
const char *text_time(int64_t seconds, char buf[TEXT_NUMBER_MAX]);
/* The time of day with microseconds: "06:15:18.123456". Returns BUF. */
const char *text_clock(const struct timespec *t, char buf[TEXT_NUMBER_MAX]);

/* Memory is gone: say so and exit. A command that prints has nothing to save. */
void text_oom(void) __attribute__((noreturn));

#endif
