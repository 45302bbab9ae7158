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

/* What an open may do to the file. */
enum intent {
	LOOK,	 /* nothing */
	MAKE,	 /* the schema in an empty one */
	MIGRATE, /* an old one */
	SERVE,	 /* either */
};

static int get_number(struct sqlite_store *s, const char *text, int64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(&s->base, text, &q);

	return r < 0 ? r : sql_number(q, 0, ret);
}

/* Which version is it? 0: an empty file. */
static int get_version(struct sqlite_store *s, const char *path, int64_t *ret, char **ret_error)
{
	int64_t app = 0, version = 0, tables = 0;
	int r = get_number(s, "PRAGMA application_id", &app);

	r = r ?: get_number(s, "PRAGMA user_version", &version);
	r = r ?: get_number(s, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return store_open_failed(ret_error, r, path, s->base.error);
	if (app == 0 && version == 0 && tables == 0) {
		*ret = 0;
		return 0;
	}
	if (app != STORE_APPLICATION_ID)
		return store_open_failed(
			ret_error, -EUCLEAN, path,
			"a database, but not one of ours; set [store] path to another file");
	if (version > STORE_SCHEMA_VERSION)
		return store_open_failed(ret_error, -EPROTONOSUPPORT, path,
					 "made by a newer version of sallyportd; upgrade this one");
	if (version < 1)
		return store_open_failed(ret_error, -EUCLEAN, path,
					 "ours, but of no version that ever was");
	*ret = version;
	return 0;
}

/* May a file of VERSION become one of ours? */
static int check_intent(enum intent intent, int64_t version, const char *path, char **ret_error)
{
	if (version == 0 && (intent == LOOK || intent == MIGRATE))
		return store_open_failed(ret_error, -ENODATA, path,
					 "there is no store in it; make one: sallyport store init");
	if (version > 0 && intent == MAKE)
		return store_open_failed(ret_error, -EEXIST, path, "there is a store in it");
	if (version > 0 && version < STORE_SCHEMA_VERSION && intent == LOOK)
		return store_open_failed(ret_error, -ENOTUNIQ, path,
					 "of an older version; run: sallyport store migrate");
	return 0;
}

/*
 * Run the steps that are missing. The version is read again within the transaction: of two that
 * open a new file at once, the second finds it made.
 */
static int migrate(struct sqlite_store *s, const char *path, enum intent intent, char **ret_error)
{
	char pragma[96];
	int64_t version = 0;
	int r = sqlite_begin(s);

	if (r < 0)
		return store_open_failed(ret_error, r, path, s->base.error);
	r = get_version(s, path, &version, ret_error);
	r = r ?: check_intent(intent, version, path, ret_error);
	for (int64_t v = version; r == 0 && v < STORE_SCHEMA_VERSION; v++)
		r = sqlite_exec(s, store_schema[v]);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d; PRAGMA application_id = %d",
		 STORE_SCHEMA_VERSION, STORE_APPLICATION_ID);
	r = r ?: sqlite_exec(s, pragma);
	r = sqlite_end(s, r);
	return r < 0 ? store_open_failed(ret_error, r, path, s->base.error) : 0;
}

/* Is it in the file as the yardstick has it? */
static int find_same(struct sqlite_store *s, sqlite3_stmt *want)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(&s->base,
			    "SELECT 1 FROM sqlite_schema WHERE type = ? AND name = ? AND sql = ?",
			    &q);

	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		sql_bind_text(q, (const char *)sqlite3_column_text(want, i));
	r = sql_step(q);
	if (r == 0)
		return sql_fail(&s->base, -EUCLEAN, "%s '%s' is missing or altered",
				sqlite3_column_text(want, 0), sqlite3_column_text(want, 1));
	return r < 0 ? r : 0;
}

/*
 * Is each table, index and view of ours there, word for word? A file may carry our number and
 * something else inside. The yardstick is the schema itself, made in memory; what an operator added
 * (an index, say) is left alone.
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
	while (r == 0 && sqlite3_step(want) == SQLITE_ROW)
		r = find_same(s, want);
	sqlite3_finalize(want);
	return r;
}

static int check_schema(struct sqlite_store *s, const char *path, enum intent intent, int *ret_from,
			char **ret_error)
{
	sqlite3 *yardstick = NULL;
	int64_t version = 0;
	int r = sqlite_exec(s, "BEGIN"); /* the numbers are of one moment */

	if (r < 0)
		return store_open_failed(ret_error, r, path, s->base.error);
	r = sqlite_end(s, get_version(s, path, &version, ret_error));
	r = r ?: check_intent(intent, version, path, ret_error);
	if (r == 0 && version < STORE_SCHEMA_VERSION)
		r = migrate(s, path, intent, ret_error);
	if (r < 0)
		return r;
	*ret_from = (int)version;
	r = sqlite3_open(":memory:", &yardstick) == SQLITE_OK ? compare_schema(s, yardstick)
							      : -ENOMEM;
	sqlite3_close(yardstick);
	return r < 0 ? store_open_failed(ret_error, r, path, s->base.error) : 0;
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
static int make_private(const char *path, enum intent intent)
{
	bool make = intent == MAKE || intent == SERVE;
	struct stat st;
	int fd = make ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (make && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISLNK(st.st_mode) ? -ELOOP : -EUCLEAN;
	return (st.st_mode & 077) && chmod(path, 0600) < 0 ? -errno : 0;
}

/* The locks of EXCLUSIVE are taken at the first look, and show whether anybody else has it open. */
static int set_up(struct sqlite_store *s, const struct store_options *o, char **ret_error)
{
	int r = sqlite_exec(s, o->exclusive ? "PRAGMA locking_mode = EXCLUSIVE" : "");

	/* FULL: a commit is on the disk before it returns, in WAL mode too (I8). */
	r = r
		    ?: sqlite_exec(s, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
				      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
	r = r ?: sqlite_exec(s, o->exclusive ? "BEGIN EXCLUSIVE; COMMIT" : "");
	if (r == -EBUSY && o->exclusive)
		return store_open_failed(ret_error, r, o->path,
					 "it is open elsewhere; stop sallyportd first");
	return r < 0 ? store_open_failed(ret_error, r, o->path, s->base.error) : 0;
}

static int open_as(const struct store_options *o, enum intent intent, int *ret_from,
		   struct store **ret, char **ret_error)
{
	_cleanup_(store_closep) struct store *base = NULL;
	struct sqlite_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	base = &s->base;
	base->driver = &sqlite_driver;
	base->timeout_ms = o->timeout_ms;
	snprintf(base->description, sizeof(base->description), "SQLite %s, %s",
		 sqlite3_libversion(), o->path);
	r = make_private(o->path, intent);
	if (r < 0)
		return store_open_failed(ret_error, r, o->path, strerror(-r));
	r = sqlite3_open_v2(o->path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
			    NULL);
	if (r != SQLITE_OK)
		return store_open_failed(ret_error, s->db ? sqlite_errno(s, r) : -ENOMEM, o->path,
					 base->error);
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, (int)o->timeout_ms);
	r = set_up(s, o, ret_error);
	r = r ?: check_schema(s, o->path, intent, ret_from, ret_error);
	if (r < 0)
		return r;
	r = use_wal(s, o->timeout_ms);
	if (r < 0)
		return store_open_failed(ret_error, r, o->path, base->error);
	*ret = TAKE_PTR(base);
	return 0;
}

int sqlite_open(const struct store_options *o, struct store **ret, char **ret_error)
{
	int from;

	return open_as(o, o->tool ? LOOK : SERVE, &from, ret, ret_error);
}

int sqlite_init(const struct store_options *o, char **ret_error)
{
	_cleanup_(store_closep) struct store *s = NULL;
	int from;

	return open_as(o, MAKE, &from, &s, ret_error);
}

int sqlite_migrate(const struct store_options *o, const char *server, int *ret_from,
		   char **ret_error)
{
	_cleanup_(store_closep) struct store *s = NULL;
	int r = open_as(o, MIGRATE, ret_from, &s, ret_error);

	if (r < 0)
		return r;
	r = server_adopt(s, server);
	return r < 0 ? store_open_failed(ret_error, r, o->path, s->error) : 0;
}
