/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the SQLite file ours, and of this version? Opens it, makes the schema, migrates an old one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/cleanup.h"
#include "sqlite_internal.h"

static int get_number(struct sqlite_store *s, const char *sql, int64_t *ret)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, sql, &st);

	if (r == 0)
		r = sqlite_step(s, st);
	if (r < 0)
		return r;
	*ret = r > 0 ? sqlite3_column_int64(st, 0) : 0;
	return 0;
}

static int fail(char **ret_error, int r, const char *path, const char *why)
{
	if (ret_error && !*ret_error && asprintf(ret_error, "%s: %s", path, why) < 0)
		*ret_error = NULL;
	return r;
}

/* Which version is it? 0: an empty file. */
static int get_version(struct sqlite_store *s, const char *path, int64_t *ret, char **ret_error)
{
	int64_t app = 0, version = 0, tables = 0;
	int r = get_number(s, "PRAGMA application_id", &app);

	r = r ?: get_number(s, "PRAGMA user_version", &version);
	r = r ?: get_number(s, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return fail(ret_error, r, path, s->error);
	if (app == 0 && version == 0 && tables == 0) {
		*ret = 0;
		return 0;
	}
	if (app != STORE_APPLICATION_ID)
		return fail(ret_error, -EUCLEAN, path,
			    "a database, but not one of ours; set [store] path to another file");
	if (version > STORE_SCHEMA_VERSION)
		return fail(ret_error, -EPROTONOSUPPORT, path,
			    "made by a newer version of sallyportd; upgrade this one");
	if (version < 1)
		return fail(ret_error, -EUCLEAN, path, "ours, but of no version that ever was");
	*ret = version;
	return 0;
}

/*
 * Run the steps that are missing. The version is read again within the transaction: of two that
 * open a new file at once, the second finds it made.
 */
static int migrate(struct sqlite_store *s, const char *path, char **ret_error)
{
	char pragma[96];
	int64_t version = 0;
	int r = sqlite_begin(s);

	if (r < 0)
		return fail(ret_error, r, path, s->error);
	r = get_version(s, path, &version, ret_error);
	for (int64_t v = version; r == 0 && v < STORE_SCHEMA_VERSION; v++)
		r = sqlite_exec(s, store_schema[v]);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d; PRAGMA application_id = %d",
		 STORE_SCHEMA_VERSION, STORE_APPLICATION_ID);
	r = r ?: sqlite_exec(s, pragma);
	r = sqlite_end(s, r);
	return r < 0 ? fail(ret_error, r, path, s->error) : 0;
}

/*
 * Is each table and index of ours there, word for word? A file may carry our number and something
 * else inside. The yardstick is the schema itself, made in memory; what an operator added (an
 * index, say) is left alone.
 */
static int compare_schema(struct sqlite_store *s, sqlite3 *yardstick)
{
	static const char all[] = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
	sqlite3_stmt *want = NULL;
	int r = 0;

	for (size_t v = 0; v < STORE_SCHEMA_VERSION; v++)
		if (sqlite3_exec(yardstick, store_schema[v], NULL, NULL, NULL) != SQLITE_OK)
			return -ENOMEM;
	if (sqlite3_prepare_v2(yardstick, all, -1, &want, NULL) != SQLITE_OK)
		return -ENOMEM;
	while (r == 0 && sqlite3_step(want) == SQLITE_ROW) {
		_cleanup_stmt_ sqlite3_stmt *st = NULL;

		r = sqlite_prepare(
			s, "SELECT 1 FROM sqlite_schema WHERE type = ? AND name = ? AND sql = ?",
			&st);
		for (int i = 0; r == 0 && i < 3; i++)
			sqlite3_bind_value(st, i + 1, sqlite3_column_value(want, i));
		r = r ?: sqlite_step(s, st);
		if (r == 0) {
			snprintf(s->error, sizeof(s->error), "%s '%s' is missing or altered",
				 sqlite3_column_text(want, 0), sqlite3_column_text(want, 1));
			r = -EUCLEAN;
		} else if (r > 0) {
			r = 0;
		}
	}
	sqlite3_finalize(want);
	return r;
}

static int check_schema(struct sqlite_store *s, const char *path, char **ret_error)
{
	sqlite3 *yardstick = NULL;
	int64_t version = 0;
	int r = sqlite_exec(s, "BEGIN"); /* the numbers are of one moment */

	if (r < 0)
		return fail(ret_error, r, path, s->error);
	r = sqlite_end(s, get_version(s, path, &version, ret_error));
	if (r == 0 && version < STORE_SCHEMA_VERSION)
		r = migrate(s, path, ret_error);
	if (r < 0)
		return r;
	r = sqlite3_open(":memory:", &yardstick) == SQLITE_OK ? compare_schema(s, yardstick)
							      : -ENOMEM;
	sqlite3_close(yardstick);
	return r < 0 ? fail(ret_error, r, path, s->error) : 0;
}

/*
 * Readers never wait for the writer; a crash leaves a log that the next open replays. Only the
 * first open of a new file changes anything, and SQLite does not wait for another's lock here.
 */
static int use_wal(struct sqlite_store *s, unsigned int timeout_ms)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int r = sqlite_exec(s, "PRAGMA journal_mode = WAL");

	for (unsigned int waited = 0; r == -EBUSY && waited < timeout_ms; waited += 10) {
		nanosleep(&pause, NULL);
		r = sqlite_exec(s, "PRAGMA journal_mode = WAL");
	}
	return r;
}

/*
 * SQLite makes files as the umask says; ours holds password hashes. One that is there is never
 * opened here: closing it again would drop the locks that this process holds on it.
 */
static int make_private(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISLNK(st.st_mode) ? -ELOOP : -EUCLEAN;
	return (st.st_mode & 077) && chmod(path, 0600) < 0 ? -errno : 0;
}

static void sqlite_close(struct store *base)
{
	struct sqlite_store *s = sqlite_of(base);

	sqlite_forget_statements(s);
	sqlite3_close(s->db);
	free(s);
}

static const char *sqlite_error(const struct store *base)
{
	const struct sqlite_store *s = (const struct sqlite_store *)base;

	return s->error[0] ? s->error : "no error";
}

static int sqlite_check(struct store *base)
{
	int64_t n;

	return get_number(sqlite_of(base), "SELECT count(*) FROM user WHERE id = 0", &n);
}

/* The version it has already: the first page is written, nothing is another. */
static int sqlite_try(struct store *base)
{
	struct sqlite_store *s = sqlite_of(base);
	char pragma[64];
	int r = sqlite_begin(s);

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
	return r < 0 ? r : sqlite_end(s, sqlite_exec(s, pragma));
}

static const struct store_ops sqlite_ops = {
	.close = sqlite_close,
	.error = sqlite_error,
	.check = sqlite_check,
	.try = sqlite_try,
	.user_add = sqlite_user_add,
	.user_get = sqlite_user_get,
	.user_set_hash = sqlite_user_set_hash,
	.user_set_disabled = sqlite_user_set_disabled,
	.user_update = sqlite_user_update,
	.user_delete = sqlite_user_delete,
	.user_each = sqlite_user_each,
	.workload_add = sqlite_workload_add,
	.workload_delete = sqlite_workload_delete,
	.workload_each = sqlite_workload_each,
	.session_begin = sqlite_session_begin,
	.session_end_many = sqlite_session_end_many,
	.session_each_since = sqlite_session_each_since,
	.audit_add = sqlite_audit_add,
	.audit_each = sqlite_audit_each,
};

int sqlite_open(const struct store_options *o, struct store **ret, char **ret_error)
{
	_cleanup_(store_closep) struct store *base = NULL;
	struct sqlite_store *s = calloc(1, sizeof(*s));
	int r;

	if (ret_error)
		*ret_error = NULL;
	if (!s)
		return -ENOMEM;
	base = &s->base;
	base->ops = &sqlite_ops;
	r = make_private(o->path);
	if (r < 0)
		return fail(ret_error, r, o->path, strerror(-r));
	r = sqlite3_open_v2(o->path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
			    NULL);
	if (r != SQLITE_OK)
		return fail(ret_error, s->db ? sqlite_errno(s, r) : -ENOMEM, o->path, s->error);
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, (int)o->timeout_ms);
	/* FULL: a commit is on the disk before it returns, in WAL mode too (I8). */
	r = sqlite_exec(s, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
			   "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
	if (r < 0)
		return fail(ret_error, r, o->path, s->error);
	r = check_schema(s, o->path, ret_error);
	if (r < 0)
		return r;
	r = use_wal(s, o->timeout_ms);
	if (r < 0)
		return fail(ret_error, r, o->path, s->error);
	*ret = TAKE_PTR(base);
	return 0;
}
