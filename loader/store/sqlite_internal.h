/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the SQLite store share. */
#ifndef SALLYPORT_LOADER_SQLITE_INTERNAL_H
#define SALLYPORT_LOADER_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "store_internal.h"

#define SQLITE_STATEMENTS 48 /* more than there are in sqlite_*.c */

struct sqlite_store {
	struct store base;
	sqlite3 *db;
	sqlite3_stmt *statements[SQLITE_STATEMENTS]; /* prepared once, by their text */
	char error[256]; /* of the last failure: ROLLBACK clears SQLite's */
};

static inline struct sqlite_store *sqlite_of(struct store *s)
{
	return (struct sqlite_store *)s;
}

/* --- statements: sqlite_stmt.c --- */

/* A result code of the last call as negative errno; 0 for success, a row or the end. */
int sqlite_errno(struct sqlite_store *s, int r);
int sqlite_exec(struct sqlite_store *s, const char *sql);
/* SQL is a constant. *ret is the store's: release it, or let _cleanup_stmt_ do it. */
int sqlite_prepare(struct sqlite_store *s, const char *sql, sqlite3_stmt **ret);
void sqlite_releasep(sqlite3_stmt **st);
#define _cleanup_stmt_ _cleanup_(sqlite_releasep)
void sqlite_forget_statements(struct sqlite_store *s);
/* 1: a row; 0: the end; negative errno. */
int sqlite_step(struct sqlite_store *s, sqlite3_stmt *st);
/* A statement that gives no rows. */
int sqlite_run(struct sqlite_store *s, sqlite3_stmt *st);
/*
 * A change of the one row that is called NAME, whose name is the statement's last parameter.
 * -ENOENT: there is none.
 */
int sqlite_change(struct sqlite_store *s, sqlite3_stmt *st, int parameter, const char *name);

/* Columns, checked: -EUCLEAN where the value is not what the schema promises. */
int sqlite_text(sqlite3_stmt *st, int column, char *ret, size_t size);
int sqlite_int(sqlite3_stmt *st, int column, int64_t min, int64_t max, int64_t *ret);
int sqlite_blob(sqlite3_stmt *st, int column, void *ret, size_t size);
/* R, the result of reading a row of TABLE; if it is -EUCLEAN, the words for it are kept. */
int sqlite_row(struct sqlite_store *s, const char *table, int r);

/* A write transaction; sqlite_end commits where R is 0, else rolls back and returns R. */
int sqlite_begin(struct sqlite_store *s);
int sqlite_end(struct sqlite_store *s, int r);

/* --- tables: sqlite_users.c, sqlite_workloads.c, sqlite_sessions.c, sqlite_audit.c --- */

int sqlite_user_add(struct store *base, struct store_user *user);
int sqlite_user_get(struct store *base, const char *name, struct store_user *ret);
int sqlite_user_set_hash(struct store *base, const char *name, const char *hash);
int sqlite_user_set_disabled(struct store *base, const char *name, bool disabled);
int sqlite_user_update(struct store *base, const struct store_user *user);
int sqlite_user_delete(struct store *base, const char *name);
int sqlite_user_each(struct store *base, int (*cb)(const struct store_user *user, void *arg),
		     void *arg);
int sqlite_workload_add(struct store *base, struct store_workload *w);
int sqlite_workload_delete(struct store *base, const char *user, const char *name);
int sqlite_workload_each(struct store *base, int (*cb)(const struct store_workload *w, void *arg),
			 void *arg);
int sqlite_session_begin(struct store *base, struct store_session *session, uint32_t max_sessions);
int sqlite_session_end_many(struct store *base, const uint64_t *ids, size_t n, int64_t when);
int sqlite_session_each_since(struct store *base, int64_t ended_since,
			      int (*cb)(const struct store_session *session, void *arg), void *arg);
int sqlite_audit_add(struct store *base, const char *who, const char *what, const char *object,
		     const char *detail);
int sqlite_audit_each(struct store *base, size_t limit,
		      int (*cb)(int64_t when, const char *who, const char *what, const char *object,
				const char *detail, void *arg),
		      void *arg);

#endif
