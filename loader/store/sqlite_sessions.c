/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions on SQLite: who is connected, and since when. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "sqlite_internal.h"

/* The user's state, within the transaction: -ENOENT gone, -EACCES disabled. */
static int check_user(struct sqlite_store *s, uint32_t id)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s, "SELECT disabled FROM user WHERE id = ?", &st);

	if (r < 0)
		return r;
	sqlite3_bind_int64(st, 1, id);
	r = sqlite_step(s, st);
	if (r <= 0)
		return r ?: -ENOENT;
	return sqlite3_column_int(st, 0) ? -EACCES : 0;
}

/* The lowest index that no live session of the user holds, below MAX. */
static int free_index(struct sqlite_store *s, uint32_t user_id, uint32_t max, uint32_t *ret)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	uint32_t live = 0, lowest = 0;
	int r = sqlite_prepare(s,
			       "SELECT address_index FROM session WHERE user_id = ? AND ended = 0 "
			       "ORDER BY address_index",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_int64(st, 1, user_id);
	while ((r = sqlite_step(s, st)) > 0) {
		live++;
		if (sqlite3_column_int64(st, 0) == lowest)
			lowest++;
	}
	if (r < 0)
		return r;
	if (live >= max)
		return -EDQUOT;
	*ret = lowest;
	return 0;
}

static int insert(struct sqlite_store *s, struct store_session *x)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "INSERT INTO session (user_id, instance, common_name, trusted_ip, "
			       "trusted_port, time_unix, daemon_pid, vid, address_index, started) "
			       "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_int64(st, 1, x->user_id);
	sqlite3_bind_text(st, 2, x->instance, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, x->common_name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, x->trusted_ip, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 5, x->trusted_port);
	sqlite3_bind_int64(st, 6, x->time_unix);
	sqlite3_bind_int64(st, 7, x->daemon_pid);
	sqlite3_bind_int(st, 8, x->vid);
	sqlite3_bind_int64(st, 9, x->index);
	sqlite3_bind_int64(st, 10, x->started);
	r = sqlite_run(s, st);
	if (r == 0)
		x->id = (uint64_t)sqlite3_last_insert_rowid(s->db);
	return r;
}

int sqlite_session_begin(struct store *base, struct store_session *x, uint32_t max_sessions)
{
	struct sqlite_store *s = sqlite_of(base);
	int r = sqlite_begin(s);

	if (r < 0)
		return r;
	r = check_user(s, x->user_id);
	if (r == 0)
		r = free_index(s, x->user_id, max_sessions, &x->index);
	if (r == 0) {
		x->started = time(NULL);
		x->ended = 0;
		r = insert(s, x);
	}
	return sqlite_end(s, r);
}

int sqlite_session_end_many(struct store *base, const uint64_t *ids, size_t n, int64_t when)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_begin(s);

	if (r < 0)
		return r;
	r = sqlite_prepare(s, "UPDATE session SET ended = ? WHERE id = ? AND ended = 0", &st);
	for (size_t i = 0; r == 0 && i < n; i++) {
		sqlite3_bind_int64(st, 1, when > 0 ? when : 1);
		sqlite3_bind_int64(st, 2, (int64_t)ids[i]);
		r = sqlite_run(s, st);
		sqlite3_reset(st);
	}
	return sqlite_end(s, r);
}

static int read_session(sqlite3_stmt *st, struct store_session *x)
{
	int64_t id = 0, user = 0, port = 0, vid = 0, index = 0;
	int r;

	memset(x, 0, sizeof(*x));
	r = sqlite_int(st, 0, 1, INT64_MAX, &id);
	r = r ?: sqlite_int(st, 1, 1, UINT32_MAX, &user);
	r = r ?: sqlite_text(st, 2, x->user, sizeof(x->user));
	r = r ?: sqlite_text(st, 3, x->instance, sizeof(x->instance));
	r = r ?: sqlite_text(st, 4, x->common_name, sizeof(x->common_name));
	r = r ?: sqlite_text(st, 5, x->trusted_ip, sizeof(x->trusted_ip));
	r = r ?: sqlite_int(st, 6, 0, UINT16_MAX, &port);
	r = r ?: sqlite_int(st, 7, INT64_MIN, INT64_MAX, &x->time_unix);
	r = r ?: sqlite_int(st, 8, INT64_MIN, INT64_MAX, &x->daemon_pid);
	r = r ?: sqlite_int(st, 9, 0, SP_VID_MAX, &vid);
	r = r ?: sqlite_int(st, 10, 0, UINT32_MAX, &index);
	r = r ?: sqlite_int(st, 11, INT64_MIN, INT64_MAX, &x->started);
	r = r ?: sqlite_int(st, 12, 0, INT64_MAX, &x->ended);
	x->id = (uint64_t)id;
	x->user_id = x->segment = (uint32_t)user;
	x->trusted_port = (uint16_t)port;
	x->vid = (uint16_t)vid;
	x->index = (uint32_t)index;
	return r;
}

int sqlite_session_each_since(struct store *base, int64_t ended_since,
			      int (*cb)(const struct store_session *session, void *arg), void *arg)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	struct store_session x;
	int r = sqlite_prepare(
		s,
		"SELECT s.id, s.user_id, coalesce(u.name, ''), s.instance, "
		"s.common_name, s.trusted_ip, s.trusted_port, s.time_unix, s.daemon_pid, "
		"s.vid, s.address_index, s.started, s.ended FROM session s "
		"LEFT JOIN user u ON u.id = s.user_id "
		"WHERE s.ended = 0 OR s.ended >= ? ORDER BY s.id",
		&st);

	if (r == 0)
		sqlite3_bind_int64(st, 1, ended_since);
	while (r == 0 && (r = sqlite_step(s, st)) > 0) {
		r = sqlite_row(s, "session", read_session(st, &x));
		if (r == 0)
			r = cb(&x, arg);
	}
	return r;
}
