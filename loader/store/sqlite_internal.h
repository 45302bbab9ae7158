/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the SQLite store share. */
#ifndef SALLYPORT_LOADER_SQLITE_INTERNAL_H
#define SALLYPORT_LOADER_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "store.h"

struct store {
	sqlite3 *db;
};

/* A result code of the last call as negative errno; 0 for success, a row or the end. */
int sqlite_errno(const struct store *s, int r);
int sqlite_exec(struct store *s, const char *sql);
int sqlite_prepare(struct store *s, const char *sql, sqlite3_stmt **ret);
/* 1: a row; 0: the end; negative errno. */
int sqlite_step(struct store *s, sqlite3_stmt *st);
/* A statement that gives no rows. */
int sqlite_run(struct store *s, sqlite3_stmt *st);
void sqlite_finalizep(sqlite3_stmt **st);

/* Columns, checked: -EUCLEAN where the value is not what the schema promises. */
int sqlite_text(sqlite3_stmt *st, int column, char *ret, size_t size);
int sqlite_int(sqlite3_stmt *st, int column, int64_t min, int64_t max, int64_t *ret);

/* A write transaction; sqlite_end commits where R is 0, else rolls back and returns R. */
int sqlite_begin(struct store *s);
int sqlite_end(struct store *s, int r);

#define _cleanup_stmt_ _cleanup_(sqlite_finalizep)

#endif
