/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the SQLite driver share. */
#ifndef SALLYPORT_LOADER_SQLITE_INTERNAL_H
#define SALLYPORT_LOADER_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "store_internal.h"

struct sqlite_store {
	struct store base;
	sqlite3 *db;
};

static inline struct sqlite_store *sqlite_of(struct store *s)
{
	return (struct sqlite_store *)s;
}

/* sqlite_stmt.c */
extern const struct sql_driver sqlite_driver;
/* A result code of the last call as negative errno; 0 for success, a row or the end. */
int sqlite_errno(struct sqlite_store *s, int r);
int sqlite_exec(struct sqlite_store *s, const char *sql);
int sqlite_begin(struct sqlite_store *s);
/* Commit where R is 0, else roll back and return R. */
int sqlite_end(struct sqlite_store *s, int r);

#endif
