/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store on SQLite: opening, the schema, statements, errors. The tables are in sqlite_*.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "sqlite_internal.h"
#include "store_internal.h"

int sqlite_errno(const struct store *s, int r)
{
	if (sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_FOREIGNKEY)
		return -ENOENT;
	switch (r & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_SCHEMA:
		return -EUCLEAN;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_IOERR:
		/* A full disk shows as a failed write too. */
		return sqlite3_system_errno(s->db) == ENOSPC ? -ENOSPC : -EIO;
	default:
		return -EIO;
	}
}

const char *store_error(const struct store *s)
{
	return s && s->db ? sqlite3_errmsg(s->db) : "out of memory";
}

int sqlite_exec(struct store *s, const char *sql)
{
	return sqlite_errno(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

int sqlite_prepare(struct store *s, const char *sql, sqlite3_stmt **ret)
{
	return sqlite_errno(s, sqlite3_prepare_v2(s->db, sql, -1, ret, NULL));
}

int sqlite_step(struct store *s, sqlite3_stmt *st)
{
	int r = sqlite3_step(st);

	return r == SQLITE_ROW ? 1 : sqlite_errno(s, r);
}

int sqlite_run(struct store *s, sqlite3_stmt *st)
{
	int r = sqlite_step(s, st);

	return r > 0 ? -EIO : r;
}

void sqlite_finalizep(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
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

int sqlite_begin(struct store *s)
{
	return sqlite_exec(s, "BEGIN IMMEDIATE");
}

int sqlite_end(struct store *s, int r)
{
	/* COMMIT may fail for want of space: then nothing has changed. */
	if (r == 0)
		r = sqlite_exec(s, "COMMIT");
	if (r < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static int get_pragma(struct store *s, const char *sql, int64_t *ret)
{
	_cleanup_(sqlite_finalizep) sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, sql, &st);

	if (r == 0)
		r = sqlite_step(s, st);
	if (r < 0)
		return r;
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

/* One transaction: an old file becomes the newest version or stays as it was. */
static int migrate(struct store *s, int64_t from)
{
	char pragma[64];
	int r = sqlite_begin(s);

	for (int64_t v = from; r == 0 && v < STORE_SCHEMA_VERSION; v++)
		r = sqlite_exec(s, store_schema[v]);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
	if (r == 0)
		r = sqlite_exec(s, pragma);
	snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d", STORE_APPLICATION_ID);
	if (r == 0)
		r = sqlite_exec(s, pragma);
	return sqlite_end(s, r);
}

static int fail(char **ret_error, int r, const char *path, const char *why)
{
	if (ret_error && asprintf(ret_error, "%s: %s", path, why) < 0)
		*ret_error = NULL;
	return r;
}

static int check_schema(struct store *s, const char *path, char **ret_error)
{
	int64_t app = 0, version = 0, tables = 0;
	int r = get_pragma(s, "PRAGMA application_id", &app);

	if (r == 0)
		r = get_pragma(s, "PRAGMA user_version", &version);
	if (r == 0)
		r = get_pragma(s, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return fail(ret_error, r, path, store_error(s));
	if (app != STORE_APPLICATION_ID && (app != 0 || version != 0 || tables != 0))
		return fail(ret_error, -EUCLEAN, path,
			    "a database, but not one of ours; set [store] path to another file");
	if (version > STORE_SCHEMA_VERSION)
		return fail(ret_error, -EPROTONOSUPPORT, path,
			    "made by a newer version of sallyportd; upgrade this one");
	if (version < 0)
		return fail(ret_error, -EUCLEAN, path, "its version is negative");
	if (version < STORE_SCHEMA_VERSION) {
		r = migrate(s, version);
		if (r < 0)
			return fail(ret_error, r, path, store_error(s));
	}
	return 0;
}

/* SQLite makes files as the umask says; ours holds password hashes. */
static int make_private(const char *path)
{
	_cleanup_close_
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : 0;
}

int store_open(const struct store_options *o, struct store **ret, char **ret_error)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	if (ret_error)
		*ret_error = NULL;
	r = make_private(o->path);
	if (r < 0)
		return fail(ret_error, r, o->path, strerror(-r));
	r = sqlite3_open_v2(o->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (r != SQLITE_OK)
		return fail(ret_error, sqlite_errno(s, r), o->path, store_error(s));
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, (int)o->timeout_ms);
	r = sqlite_exec(s, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
			   "PRAGMA trusted_schema = OFF");
	if (r == 0)
		r = check_schema(s, o->path, ret_error);
	else
		fail(ret_error, r, o->path, store_error(s));
	if (r < 0)
		return r;
	/* Readers never wait for the writer; a crash leaves a log that the next open replays. */
	r = sqlite_exec(s, "PRAGMA journal_mode = WAL");
	if (r < 0)
		return fail(ret_error, r, o->path, store_error(s));
	*ret = TAKE_PTR(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	sqlite3_close(s->db);
	free(s);
}

void store_closep(struct store **s)
{
	store_close(*s);
}

int store_check(struct store *s)
{
	int64_t version;
	int r = get_pragma(s, "PRAGMA user_version", &version);

	if (r == 0)
		r = get_pragma(s, "SELECT count(*) FROM user WHERE id = 0", &version);
	return r;
}
