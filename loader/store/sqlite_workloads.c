/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workloads on SQLite: what belongs to whom? */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "sqlite_internal.h"

int sqlite_workload_add(struct store *base, struct store_workload *w)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	struct store_user owner;
	int r = sqlite_user_get(base, w->user, &owner);

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

int sqlite_workload_delete(struct store *base, const char *user, const char *name)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "DELETE FROM workload WHERE "
			       "user_id = (SELECT id FROM user WHERE name = ?) AND name = ?",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_text(st, 1, user, -1, SQLITE_STATIC);
	return sqlite_change(s, st, 2, name);
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
	r = r ?: sqlite_blob(st, 6, w->mac, sizeof(w->mac));
	w->id = (uint32_t)id;
	w->user_id = w->segment = (uint32_t)user_id;
	return r;
}

int sqlite_workload_each(struct store *base, int (*cb)(const struct store_workload *w, void *arg),
			 void *arg)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	struct store_workload w;
	int r = sqlite_prepare(
		s,
		"SELECT w.id, w.user_id, u.name, w.name, w.netns, w.ifname, w.mac "
		"FROM workload w JOIN user u ON u.id = w.user_id ORDER BY u.name, w.name",
		&st);

	while (r == 0 && (r = sqlite_step(s, st)) > 0) {
		r = sqlite_row(s, "workload", read_workload(st, &w));
		if (r == 0)
			r = cb(&w, arg);
	}
	return r;
}
