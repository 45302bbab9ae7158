/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users, workloads and the audit trail on SQLite. */
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

int store_user_add(struct store *s, struct store_user *u)
{
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

int store_user_get(struct store *s, const char *name, struct store_user *ret)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, "SELECT " USER_COLUMNS " FROM user WHERE name = ?", &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	r = sqlite_step(s, st);
	if (r <= 0)
		return r ?: -ENOENT;
	return read_user(st, ret);
}

/* A change of the one row that is called NAME, whose name is the statement's last parameter. */
static int change_user(struct store *s, sqlite3_stmt *st, int parameter, const char *name)
{
	int r;

	sqlite3_bind_text(st, parameter, name, -1, SQLITE_STATIC);
	r = sqlite_run(s, st);
	if (r < 0)
		return r;
	return sqlite3_changes(s->db) == 1 ? 0 : -ENOENT;
}

int store_user_set_hash(struct store *s, const char *name, const char *hash)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, "UPDATE user SET hash = ? WHERE name = ?", &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, hash, -1, SQLITE_STATIC);
	return change_user(s, st, 2, name);
}

int store_user_set_disabled(struct store *s, const char *name, bool disabled)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, "UPDATE user SET disabled = ? WHERE name = ?", &st);

	if (r < 0)
		return r;
	sqlite3_bind_int(st, 1, disabled);
	return change_user(s, st, 2, name);
}

int store_user_update(struct store *s, const struct store_user *u)
{
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
	return change_user(s, st, 6, u->name);
}

static int count_live(struct store *s, const char *user, int64_t *ret)
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

int store_user_delete(struct store *s, const char *name)
{
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
		r = change_user(s, st, 1, name);
	return sqlite_end(s, r);
}

int store_user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg), void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	struct store_user user;
	int r = sqlite_prepare(s, "SELECT " USER_COLUMNS " FROM user ORDER BY name", &st);

	while (r == 0 && (r = sqlite_step(s, st)) > 0) {
		r = read_user(st, &user);
		if (r == 0)
			r = cb(&user, arg);
	}
	return r;
}

/* --- workloads --- */

int store_workload_add(struct store *s, struct store_workload *w)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	struct store_user owner;
	int r = store_user_get(s, w->user, &owner);

	explicit_bzero(owner.hash, sizeof(owner.hash));
	if (r == 0)
		r = sqlite_prepare(s,
				   "INSERT INTO workload (user_id, name, netns, ifname, mac) "
				   "VALUES (?, ?, ?, ?, ?)",
				   &st);
	if (r < 0)
		return r;
	sqlite3_bind_int64(st, 1, owner.id);
	sqlite3_bind_text(st, 2, w->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, w->netns, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, w->ifname, -1, SQLITE_STATIC);
	sqlite3_bind_blob(st, 5, w->mac, sizeof(w->mac), SQLITE_STATIC);
	r = sqlite_run(s, st);
	if (r < 0)
		return r;
	w->id = (uint32_t)sqlite3_last_insert_rowid(s->db);
	w->user_id = owner.id;
	w->segment = owner.segment;
	return 0;
}

int store_workload_delete(struct store *s, const char *user, const char *name)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "DELETE FROM workload WHERE "
			       "user_id = (SELECT id FROM user WHERE name = ?) AND name = ?",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, user, -1, SQLITE_STATIC);
	return change_user(s, st, 2, name);
}

static int read_workload(sqlite3_stmt *st, struct store_workload *w)
{
	int64_t id = 0, user_id = 0;
	int r;

	memset(w, 0, sizeof(*w));
	r = sqlite_int(st, 0, 1, UINT32_MAX, &id);
	r = r ?: sqlite_int(st, 1, 1, UINT32_MAX, &user_id);
	r = r ?: sqlite_text(st, 2, w->user, sizeof(w->user));
	r = r ?: sqlite_text(st, 3, w->name, sizeof(w->name));
	r = r ?: sqlite_text(st, 4, w->netns, sizeof(w->netns));
	r = r ?: sqlite_text(st, 5, w->ifname, sizeof(w->ifname));
	if (r == 0 && sqlite3_column_bytes(st, 6) != sizeof(w->mac))
		r = -EUCLEAN;
	if (r < 0)
		return r;
	memcpy(w->mac, sqlite3_column_blob(st, 6), sizeof(w->mac));
	w->id = (uint32_t)id;
	w->user_id = w->segment = (uint32_t)user_id;
	return 0;
}

int store_workload_each(struct store *s, int (*cb)(const struct store_workload *w, void *arg),
			void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	struct store_workload w;
	int r = sqlite_prepare(
		s,
		"SELECT w.id, w.user_id, u.name, w.name, w.netns, w.ifname, w.mac "
		"FROM workload w JOIN user u ON u.id = w.user_id ORDER BY u.name, w.name",
		&st);

	while (r == 0 && (r = sqlite_step(s, st)) > 0) {
		r = read_workload(st, &w);
		if (r == 0)
			r = cb(&w, arg);
	}
	return r;
}

/* --- audit --- */

int store_audit_add(struct store *s, const char *who, const char *what, const char *object,
		    const char *detail)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "INSERT INTO audit (time, who, what, object, detail) "
			       "VALUES (?, ?, ?, ?, ?)",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_int64(st, 1, time(NULL));
	sqlite3_bind_text(st, 2, who, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, what, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, object, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, detail, -1, SQLITE_STATIC); /* NULL: SQL's NULL */
	return sqlite_run(s, st);
}

int store_audit_each(struct store *s, size_t limit,
		     int (*cb)(int64_t when, const char *who, const char *what, const char *object,
			       const char *detail, void *arg),
		     void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "SELECT time, who, what, object, detail FROM audit "
			       "ORDER BY id DESC LIMIT ?",
			       &st);

	if (r == 0)
		sqlite3_bind_int64(st, 1, (int64_t)limit);
	while (r == 0 && (r = sqlite_step(s, st)) > 0) {
		const char *who = (const char *)sqlite3_column_text(st, 1);
		const char *what = (const char *)sqlite3_column_text(st, 2);
		const char *object = (const char *)sqlite3_column_text(st, 3);

		if (!who || !what || !object)
			return -EUCLEAN;
		r = cb(sqlite3_column_int64(st, 0), who, what, object,
		       (const char *)sqlite3_column_text(st, 4), arg);
	}
	return r;
}
