/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every database's implementation of the store provides; store.c dispatches to it. */
#ifndef SALLYPORT_LOADER_STORE_INTERNAL_H
#define SALLYPORT_LOADER_STORE_INTERNAL_H

#include "store.h"

#define STORE_SCHEMA_VERSION 2
#define STORE_APPLICATION_ID 0x53616c6c /* "Sall" */

/*
 * The steps from each version to the next, in SQL: schema[0] makes version 1 out of nothing. Run in
 * one transaction, so that an old file is either whole or untouched.
 */
extern const char *const store_schema[STORE_SCHEMA_VERSION];

/* Each is described in store.h, under the same name. */
struct store_ops {
	void (*close)(struct store *s);
	const char *(*error)(const struct store *s);
	int (*check)(struct store *s);
	int (*try)(struct store *s);

	int (*user_add)(struct store *s, struct store_user *user);
	int (*user_get)(struct store *s, const char *name, struct store_user *ret);
	int (*user_set_hash)(struct store *s, const char *name, const char *hash);
	int (*user_set_disabled)(struct store *s, const char *name, bool disabled);
	int (*user_update)(struct store *s, const struct store_user *user);
	int (*user_delete)(struct store *s, const char *name);
	int (*user_each)(struct store *s, int (*cb)(const struct store_user *user, void *arg),
			 void *arg);

	int (*workload_add)(struct store *s, struct store_workload *w);
	int (*workload_delete)(struct store *s, const char *user, const char *name);
	int (*workload_each)(struct store *s, int (*cb)(const struct store_workload *w, void *arg),
			     void *arg);

	int (*session_begin)(struct store *s, struct store_session *session, uint32_t max_sessions);
	int (*session_end_many)(struct store *s, const uint64_t *ids, size_t n, int64_t when);
	int (*session_each_since)(struct store *s, int64_t ended_since,
				  int (*cb)(const struct store_session *session, void *arg),
				  void *arg);

	int (*audit_add)(struct store *s, const char *who, const char *what, const char *object,
			 const char *detail);
	int (*audit_each)(struct store *s, size_t limit,
			  int (*cb)(int64_t when, const char *who, const char *what,
				    const char *object, const char *detail, void *arg),
			  void *arg);
};

/* The first member of an implementation's own struct. */
struct store {
	const struct store_ops *ops;
};

int sqlite_open(const struct store_options *options, struct store **ret, char **ret_error);

#endif
