/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a statement of SQLite run, what did it say, and can what it read be believed? */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sqlite_internal.h"

static int constraint_errno(int r)
{
	switch (r) {
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return -ENOENT;
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return -EEXIST;
	default: /* CHECK, NOT NULL, a type: the caller gave what the schema refuses */
		return -EINVAL;
	}
}

int sqlite_errno(struct sqlite_store *s, int r)
{
	int system_error;

	if (r == SQLITE_OK || r == SQLITE_ROW || r == SQLITE_DONE)
		return 0;
	system_error = sqlite3_system_errno(s->db);
	snprintf(s->error, sizeof(s->error), "%s", sqlite3_errmsg(s->db));
	switch (r & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CONSTRAINT:
		return constraint_errno(r);
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* our statements are constants: a table or column is not there */
		return -EUCLEAN;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return system_error > 0 ? -system_error : -ENOENT;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_IOERR:
		/* A full disk may show as a failed write too; so may a full quota. */
		return system_error == ENOSPC || system_error == EDQUOT ? -ENOSPC : -EIO;
	default:
		return -EIO;
	}
}

int sqlite_exec(struct sqlite_store *s, const char *sql)
{
	return sqlite_errno(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

int sqlite_prepare(struct sqlite_store *s, const char *sql, sqlite3_stmt **ret)
{
	sqlite3_stmt **free_slot = NULL;
	int r;

	for (size_t i = 0; i < SQLITE_STATEMENTS; i++) {
		sqlite3_stmt *st = s->statements[i];

		if (!st) {
			free_slot = &s->statements[i];
			break;
		}
		/* In use: a caller's callback asks the same again. */
		if (sqlite3_stmt_busy(st) || strcmp(sqlite3_sql(st), sql) != 0)
			continue;
		*ret = st;
		return 0;
	}
	if (!free_slot)
		return -ENOBUFS;
	r = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, free_slot, NULL);
	if (r != SQLITE_OK)
		return sqlite_errno(s, r);
	*ret = *free_slot;
	return 0;
}

void sqlite_releasep(sqlite3_stmt **st)
{
	if (!*st)
		return;
	sqlite3_reset(*st);
	sqlite3_clear_bindings(*st);
}

void sqlite_forget_statements(struct sqlite_store *s)
{
	for (size_t i = 0; i < SQLITE_STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	memset(s->statements, 0, sizeof(s->statements));
}

int sqlite_step(struct sqlite_store *s, sqlite3_stmt *st)
{
	int r = sqlite3_step(st);

	return r == SQLITE_ROW ? 1 : sqlite_errno(s, r);
}

int sqlite_run(struct sqlite_store *s, sqlite3_stmt *st)
{
	int r = sqlite_step(s, st);

	return r > 0 ? -EIO : r;
}

int sqlite_change(struct sqlite_store *s, sqlite3_stmt *st, int parameter, const char *name)
{
	int r;

	sqlite3_bind_text(st, parameter, name, -1, SQLITE_STATIC);
	r = sqlite_run(s, st);
	if (r < 0)
		return r;
	return sqlite3_changes(s->db) == 1 ? 0 : -ENOENT;
}

int sqlite_text(sqlite3_stmt *st, int column, char *ret, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(st, column);
	size_t n = (size_t)sqlite3_column_bytes(st, column);

	if (!text || n >= size || strlen(text) != n)
		return -EUCLEAN;
	memcpy(ret, text, n + 1);
	return 0;
}

int sqlite_int(sqlite3_stmt *st, int column, int64_t min, int64_t max, int64_t *ret)
{
	int64_t v = sqlite3_column_int64(st, column);

	if (sqlite3_column_type(st, column) != SQLITE_INTEGER || v < min || v > max)
		return -EUCLEAN;
	*ret = v;
	return 0;
}

int sqlite_blob(sqlite3_stmt *st, int column, void *ret, size_t size)
{
	const void *blob = sqlite3_column_blob(st, column);

	if (!blob || sqlite3_column_type(st, column) != SQLITE_BLOB ||
	    (size_t)sqlite3_column_bytes(st, column) != size)
		return -EUCLEAN;
	memcpy(ret, blob, size);
	return 0;
}

int sqlite_row(struct sqlite_store *s, const char *table, int r)
{
	if (r == -EUCLEAN)
		snprintf(s->error, sizeof(s->error),
			 "table %s: a row is not what the schema promises", table);
	return r;
}

int sqlite_begin(struct sqlite_store *s)
{
	return sqlite_exec(s, "BEGIN IMMEDIATE");
}

int sqlite_end(struct sqlite_store *s, int r)
{
	/* COMMIT may fail for want of space: then nothing has changed. */
	if (r == 0)
		r = sqlite_exec(s, "COMMIT");
	if (r < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}
