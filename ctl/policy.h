/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of `sallyport policy` share: texts, from files and from the daemon. */
#ifndef SALLYPORT_CTL_POLICY_H
#define SALLYPORT_CTL_POLICY_H

#include <jansson.h>

#include "ctl/ctl.h"
#include "loader/policy/policy.h"

struct policy_text {
	char *name; /* as messages call it: a file, or USER/MACHINE */
	char *text; /* may have NUL in it, where it is a file's */
	size_t size;
	int64_t generation; /* the daemon's; 0: there never was one */
	bool is_default;    /* likewise: the machine has none of its own */
};

#define _cleanup_policy_text_ __attribute__((__cleanup__(policy_text_free)))
void policy_text_free(struct policy_text *t);

/* Read PATH ("-": standard input), at most POLICY_TEXT_MAX bytes. CTL_OK, CTL_FAILED with words. */
int policy_text_read(const struct ctl *ctl, const char *path, struct policy_text *ret);
/* What the daemon has; USER NULL: its default. *RET_REPLY (may be NULL): all of the answer. */
int policy_text_fetch(const struct ctl *ctl, const char *user, const char *name,
		      struct policy_text *ret, json_t **ret_reply);

/*
 * Read it as a policy that can be compiled. CTL_FAILED: each mistake was printed, as
 * "NAME:LINE:COLUMN: ...", and with --json as a document.
 */
int policy_text_parse(const struct ctl *ctl, const struct policy_text *t, struct policy **ret);
/* Are its expectations met? CTL_FAILED: each that is not was printed likewise. */
int policy_text_test(const struct ctl *ctl, const struct policy_text *t, const struct policy *p);

/*
 * Send REQUEST, a policy-set, which is taken, with the text, in as many messages as it takes.
 * *RET_ERRNO (may be NULL): what the daemon refused with.
 */
int policy_text_send(const struct ctl *ctl, json_t *request, const struct policy_text *t,
		     json_t **ret, int *ret_errno);
/* What the daemon says of a policy that it took. */
void policy_tell_set(const struct ctl *ctl, const char *user, const char *name,
		     const json_t *reply);

/* A user's and a machine's name, as the arguments from the first on. CTL_OK, CTL_USAGE. */
int policy_check_names(const struct ctl_args *args);
/* {"op": "policy-set"} for the machine of ARGS, with --strict and --no-strict. */
int policy_new_set(const struct ctl_args *args, json_t **ret);

#endif
