/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `top` shows: two samples of the daemon's counters, and what happened between them by the
 * second. A sample is {"status", "sessions", "ports", "reasons"}, each as the daemon gave it; a
 * picture is the same with "rates" in every session, port and reason, the busiest first.
 */
#ifndef SALLYPORT_CTL_PICTURE_H
#define SALLYPORT_CTL_PICTURE_H

#include <jansson.h>
#include <stdio.h>

/*
 * The picture of CURRENT, SECONDS after PREVIOUS (NULL: all rates are 0). What was not there
 * before, and counters that went backwards (a port number with a new owner), count from zero.
 * Ports that belong to a session are left out: the session has them. Never NULL.
 */
json_t *picture_new(const json_t *previous, const json_t *current, double seconds);

/* Print it in COLUMNS and LINES (0: no limit), each line ended by EOL. */
void picture_print(const json_t *picture, FILE *f, size_t columns, size_t lines, const char *eol);

#endif
