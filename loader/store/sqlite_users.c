/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users on SQLite: who may come in? */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "sqlite_internal.h"

#define USER_COLUMNS "id, name, hash, disabled, max_sessions, max_macs, address, address6, created"

static int read_user(sqlite3_stmt *st, struct store_user *u)
{
	int64_t id = 0, disabled = 0, sessions = 0, macs = 0;
	int r;

	memset(u, 0, sizeof(*u));
	r = sqlite_int(st, 0, 1, UINT32_MAX, &id);
	r = r ?: sqlite_text(st, 1, u->name, sizeof(u->name));
	r = r ?: sqlite_text(st, 2, u->hash, sizeof(u->hash));
	r = r ?: sqlite_int(st, 3, 0, 1, &disabled);
	r = r ?: sqlite_int(st, 4, 0, UINT32_MAX, &sessions);
	r = r ?: sqlite_int(st, 5, 0, UINT32_MAX, &macs);
	r = r ?: sqlite_text(st, 6, u->address, sizeof(u->address));
	r = r ?: sqlite_text(st, 7, u->address6, sizeof(u->address6));
	r = r ?: sqlite_int(st, 8, INT64_MIN, INT64_MAX, &u->created);
	u->id = (uint32_t)id;
	/* A user's segment is the user's id: unique, never reused (AUTOINCREMENT), never 0. */
	u->segment = u->id;
	u->disabled = disabled;
	u->max_sessions = (uint32_t)sessions;
	u->max_macs = (uint32_t)macs;
	return r;
}

int sqlite_user_add(struct store *base, struct store_user *u)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int64_t now = time(NULL);
	int r = sqlite_prepare(s,
			       "INSERT INTO user (name, hash, disabled, max_sessions, max_macs, "
			       "address, address6, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, u->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, u->hash, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 3, u->disabled);
	sqlite3_bind_int64(st, 4, u->max_sessions);
	sqlite3_bind_int64(st, 5, u->max_macs);
	sqlite3_bind_text(st, 6, u->address, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 7, u->address6, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 8, now);
	r = sqlite_run(s, st);
	if (r < 0)
		return r;
	u->id = (uint32_t)sqlite3_last_insert_rowid(s->db);
	u->segment = u->id;
	u->created = now;
	return 0;
}

int sqlite_user_get(struct store *base, const char *name, struct store_user *ret)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, "SELECT " USER_COLUMNS " FROM user WHERE name = ?", &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	r = sqlite_step(s, st);
	if (r <= 0)
		return r ?: -ENOENT;
	return sqlite_row(s, "user", read_user(st, ret));
}

int sqlite_user_set_hash(struct store *base, const char *name, const char *hash)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, "UPDATE user SET hash = ? WHERE name = ?", &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, hash, -1, SQLITE_STATIC);
	return sqlite_change(s, st, 2, name);
}

int sqlite_user_set_disabled(struct store *base, const char *name, bool disabled)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, "UPDATE user SET disabled = ? WHERE name = ?", &st);

	if (r < 0)
		return r;
	sqlite3_bind_int(st, 1, disabled);
	return sqlite_change(s, st, 2, name);
}

int sqlite_user_update(struct store *base, const struct store_user *u)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "UPDATE user SET disabled = ?, max_sessions = ?, max_macs = ?, "
			       "address = ?, address6 = ? WHERE name = ?",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_int(st, 1, u->disabled);
	sqlite3_bind_int64(st, 2, u->max_sessions);
	sqlite3_bind_int64(st, 3, u->max_macs);
	sqlite3_bind_text(st, 4, u->address, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, u->address6, -1, SQLITE_STATIC);
	return sqlite_change(s, st, 6, u->name);
}

static int count_live(struct sqlite_store *s, const char *user, int64_t *ret)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "SELECT count(*) FROM session WHERE ended = 0 AND "
			       "user_id = (SELECT id FROM user WHERE name = ?)",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, user, -1, SQLITE_STATIC);
	r = sqlite_step(s, st);
	*ret = sqlite3_column_int64(st, 0);
	return r < 0 ? r : 0;
}

int sqlite_user_delete(struct store *base, const char *name)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int64_t live = 0;
	int r = sqlite_begin(s);

	if (r < 0)
		return r;
	r = count_live(s, name, &live);
	if (r == 0 && live > 0)
		r = -EBUSY;
	if (r == 0)
		r = sqlite_prepare(s, "DELETE FROM user WHERE name = ?", &st);
	if (r == 0)
		r = sqlite_change(s, st, 1, name);
	return sqlite_end(s, r);
}

int sqlite_user_each(struct store *base, int (*cb)(const struct store_user *user, void *arg),
		     void *arg)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	struct store_user user;
	int r = sqlite_prepare(s, "SELECT " USER_COLUMNS " FROM user ORDER BY name", &st);

	while (r == 0 && (r = sqlite_step(s, st)) > 0) {
		r = sqlite_row(s, "user", read_user(st, &user));
		if (r == 0)
			r = cb(&user, arg);
	}
	return r;
}
