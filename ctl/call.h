/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the daemon, and what is printed when it refuses or does not answer. docs/control.md. */
#ifndef SALLYPORT_CTL_CALL_H
#define SALLYPORT_CTL_CALL_H

#include <jansson.h>

#include "ctl/ctl.h"

#define _cleanup_json_ __attribute__((__cleanup__(json_decrefp)))

/* {"v": 1, "op": OP}, to be filled with arguments. Never NULL. */
json_t *call_new(const char *op);
/* Set an argument; where TEXT is NULL nothing is set. Text that is not UTF-8: -EINVAL. */
int call_set(json_t *request, const char *name, const char *text);
void call_set_int(json_t *request, const char *name, int64_t n);

/* Connect. Returns the descriptor or a negative errno; nothing is printed. */
int call_connect(const struct ctl *ctl);

/*
 * One request on FD, its reply in *RET, "ok" or not; the pages of a list are joined to one "items".
 * Negative errno where there was no reply; nothing is printed.
 */
int call_exchange(const struct ctl *ctl, int fd, const json_t *request, json_t **ret);

/* Take out of a good reply what belongs to the envelope: "v", "ok", "id", "more". */
void call_strip(json_t *reply);

/*
 * Connect, ask, and print what went wrong, if anything did. REQUEST is taken and wiped: it may
 * hold a password. Returns CTL_OK and *RET, CTL_FAILED or CTL_UNREACHABLE.
 */
int call_run(const struct ctl *ctl, json_t *request, json_t **ret);

/* The same, then: with --json the reply is printed; else a line, unless --quiet, that tells. */
int call_do(const struct ctl *ctl, json_t *request, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Print why there was no reply (ERROR: negative errno), and what to do. CTL_UNREACHABLE. */
int call_unreachable(const struct ctl *ctl, int error);
/* Print why the daemon refused. CTL_FAILED. */
int call_refused(const struct ctl *ctl, const json_t *reply);

/* The path that is asked. */
const char *call_socket_path(const struct ctl *ctl);

/* Print a document to standard output. */
void call_print_json(const json_t *document);
/* The same on one line. */
void call_print_json_line(const json_t *document);

/* A usage error of a command: prints it and where to read on. CTL_USAGE. */
int call_usage(const struct ctl_args *args, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Fields of a reply, with nothing assumed about it: "-" and 0 where they are missing. */
const char *field_text(const json_t *object, const char *name);
int64_t field_int(const json_t *object, const char *name);

#endif
