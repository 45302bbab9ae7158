/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver of SQLite: how is a statement run there, and what do its errors mean? */
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
	sql_fail(&s->base, 0, "%s", sqlite3_errmsg(s->db));
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
		return -EPERM;
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

/* --- statements --- */

static int prepare(struct sql *q)
{
	struct sqlite_store *s = sqlite_of(q->store);
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v3(s->db, q->sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);

	q->impl = st;
	return sqlite_errno(s, r);
}

static int bind_one(sqlite3_stmt *st, int i, const struct sql_value *v)
{
	switch (v->type) {
	case SQL_INT:
		return sqlite3_bind_int64(st, i, v->number);
	case SQL_BLOB:
		return sqlite3_bind_blob64(st, i, v->data, v->size, SQLITE_STATIC);
	case SQL_TEXT:
	case SQL_CHARS:
	case SQL_BYTES:
		return sqlite3_bind_text64(st, i, v->data, v->size, SQLITE_STATIC, SQLITE_UTF8);
	default:
		return sqlite3_bind_null(st, i);
	}
}

static int next(struct sql *q)
{
	int r = sqlite3_step(q->impl);

	return r == SQLITE_ROW ? 1 : sqlite_errno(sqlite_of(q->store), r);
}

static int run(struct sql *q)
{
	int r = SQLITE_OK;

	for (unsigned int i = 0; r == SQLITE_OK && i < q->n_params; i++)
		r = bind_one(q->impl, (int)i + 1, &q->params[i]);
	return r == SQLITE_OK ? next(q) : sqlite_errno(sqlite_of(q->store), r);
}

static void column(struct sql *q, unsigned int column, struct sql_value *ret)
{
	sqlite3_stmt *st = q->impl;
	int i = (int)column;

	*ret = (struct sql_value){.type = SQL_OTHER};
	switch (sqlite3_column_type(st, i)) {
	case SQLITE_NULL:
		ret->type = SQL_NULL;
		break;
	case SQLITE_INTEGER:
		ret->type = SQL_INT;
		ret->number = sqlite3_column_int64(st, i);
		break;
	case SQLITE_TEXT:
		ret->type = SQL_TEXT;
		ret->data = sqlite3_column_text(st, i);
		ret->size = (size_t)sqlite3_column_bytes(st, i);
		break;
	case SQLITE_BLOB:
		ret->type = SQL_BLOB;
		ret->data = sqlite3_column_blob(st, i); /* NULL where it is empty */
		ret->size = (size_t)sqlite3_column_bytes(st, i);
		break;
	}
	if (!ret->data && (ret->type == SQL_TEXT || ret->type == SQL_BLOB)) {
		ret->data = "";
		ret->size = 0;
	}
}

static void reset(struct sql *q)
{
	sqlite3_reset(q->impl);
	sqlite3_clear_bindings(q->impl);
}

static void release(struct sql *q)
{
	sqlite3_finalize(q->impl);
}

static uint64_t changed(struct sql *q)
{
	return (uint64_t)sqlite3_changes64(sqlite_of(q->store)->db);
}

static uint64_t last_id(struct sql *q)
{
	return (uint64_t)sqlite3_last_insert_rowid(sqlite_of(q->store)->db);
}

/* --- transactions --- */

int sqlite_begin(struct sqlite_store *s)
{
	return sqlite_exec(s, "BEGIN IMMEDIATE");
}

static void roll_back(struct sqlite_store *s)
{
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int sqlite_end(struct sqlite_store *s, int r)
{
	/* COMMIT may fail for want of space: then nothing has changed. */
	if (r == 0)
		r = sqlite_exec(s, "COMMIT");
	if (r < 0)
		roll_back(s);
	return r;
}

static int begin(struct store *s, bool snapshot)
{
	return snapshot ? sqlite_exec(sqlite_of(s), "BEGIN") : sqlite_begin(sqlite_of(s));
}

static int commit(struct store *s)
{
	return sqlite_exec(sqlite_of(s), "COMMIT");
}

static void rollback(struct store *s)
{
	roll_back(sqlite_of(s));
}

/* The version it has already: the first page is written, nothing is another. */
static int attempt(struct store *s)
{
	char pragma[64];
	int r = sqlite_begin(sqlite_of(s));

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
	return r < 0 ? r : sqlite_end(sqlite_of(s), sqlite_exec(sqlite_of(s), pragma));
}

/* --- ids --- */

static int get_last(struct store *s, const char *table, uint64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t last = 0;
	int r = sql_prepare(s, "SELECT seq FROM sqlite_sequence WHERE name = ?", &q);

	if (r < 0)
		return r;
	sql_bind_text(q, table);
	r = sql_number(q, 0, &last);
	if (r == 0)
		*ret = (uint64_t)last;
	return r;
}

static int set_last(struct store *s, const char *table, uint64_t last)
{
	_cleanup_sql_ struct sql *forget = NULL;
	_cleanup_sql_ struct sql *set = NULL;
	int r = sql_prepare(s, "DELETE FROM sqlite_sequence WHERE name = ?", &forget);

	r = r ?: sql_prepare(s, "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", &set);
	if (r < 0)
		return r;
	sql_bind_text(forget, table);
	sql_bind_text(set, table);
	sql_bind_int(set, (int64_t)last);
	r = sql_run(forget);
	return r ?: sql_run(set);
}

static void close_store(struct store *s)
{
	sql_forget(s);
	sqlite3_close(sqlite_of(s)->db);
}

const struct sql_driver sqlite_driver = {
	.now = "(strftime('%s', 'now') + 0)",
	.lock = "", /* a write transaction is alone */
	.quote = '"',
	.self_check = "PRAGMA integrity_check",
	.as_text = {"CAST(", " AS TEXT)"},
	.prepare = prepare,
	.run = run,
	.next = next,
	.column = column,
	.reset = reset,
	.free = release,
	.changed = changed,
	.last_id = last_id,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.attempt = attempt,
	.get_last = get_last,
	.set_last = set_last,
	.close = close_store,
};
