/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may a message on the control socket say? Parsing and checking against each op's list of
 * arguments, before anything is done: docs/control.md in code. Knows no sockets.
 */
#ifndef SALLYPORT_LOADER_REQUEST_H
#define SALLYPORT_LOADER_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arg_type {
	ARG_STRING, /* min, max: bytes */
	ARG_NAME,   /* a user's, workload's, namespace's or instance's name: [A-Za-z0-9_.@-], no
		       leading '.' or '-' */
	ARG_INT,    /* min, max: the value */
	ARG_BOOL,
	ARG_MAC,
};

#define ARG_REQUIRED 0x1
#define ARG_SECRET 0x2 /* never quoted in an error */

struct arg {
	const char *name;
	enum arg_type type;
	unsigned int flags;
	int64_t min, max;
};

enum role { ROLE_NONE, ROLE_HOOK, ROLE_ADMIN };

struct op {
	const char *name;
	enum role role;		/* the least that may call it; ROLE_ADMIN may call all */
	const struct arg *args; /* ended by name NULL */
	/* For the table's owner. */
	void (*handle)(void *context, void *request, const json_t *args);
};

struct request_error {
	int error;	   /* negative errno */
	const char *field; /* of the op's table, or NULL */
	char message[256];
};

/*
 * Parse DATA and check it against the ops, ended by name NULL. On success *ret_op and *ret_object
 * (a new reference) are set. On failure a negative errno, E says why; *ret_object is set where the
 * object itself could be read, so that its "id" can be answered.
 */
int request_parse(const char *data, size_t size, const struct op *ops, const struct op **ret_op,
		  json_t **ret_object, struct request_error *e);

/* Is S a name in the sense of ARG_NAME, shorter than MAX? */
bool request_is_name(const char *s, size_t max);

/* "EINVAL" for 22; "EUNKNOWN" for others. */
const char *request_errno_name(int error);

/* Values of checked arguments; the default where the argument is absent. */
const char *arg_string(const json_t *args, const char *name, const char *fallback);
int64_t arg_int(const json_t *args, const char *name, int64_t fallback);
bool arg_bool(const json_t *args, const char *name, bool fallback);

#endif
