/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session's trace as a picture: what came when, and what ran beside what. */
#ifndef SALLYPORT_CTL_TRACE_H
#define SALLYPORT_CTL_TRACE_H

#include <jansson.h>
#include <stdio.h>

/* TRACE: the trace of docs/control.md; nothing is assumed about it. */
void trace_print(FILE *f, const json_t *trace);

/* The request for what a person typed: a session's id, or a trace's. NULL: it is neither. */
json_t *trace_request(const char *text);

#endif
