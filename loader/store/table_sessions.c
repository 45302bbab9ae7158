/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions: who is connected, and since when? */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "store_internal.h"

/* The lowest index that no live session of the user holds, below MAX. */
static int free_index(struct store *s, uint32_t user_id, uint32_t max, uint32_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	uint32_t live = 0, lowest = 0;
	int r = sql_prepare(
		s,
		"SELECT x.address_index FROM session x JOIN server v "
		"ON v.id = x.server_id WHERE x.user_id = ? AND x.ended = 0 AND " SERVER_LIVES
		" ORDER BY x.address_index",
		&q);

	if (r < 0)
		return r;
	sql_bind_int(q, user_id);
	while ((r = sql_step(q)) > 0) {
		live++;
		if (sql_int(q, 0, UINT32_MAX) == lowest && !q->bad)
			lowest++;
	}
	if (r < 0)
		return r;
	if (live >= max)
		return sql_fail(s, -EDQUOT, "the user has %u live sessions", live);
	*ret = lowest;
	return 0;
}

int session_count_live(struct store *s, uint32_t user_id, int64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "SELECT count(*) FROM session x JOIN server v ON v.id = x.server_id "
			    "WHERE x.user_id = ? AND x.ended = 0 AND " SERVER_LIVES,
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, user_id);
	return sql_number(q, 0, ret);
}

static int insert(struct store *s, struct store_session *x)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "INSERT INTO session (server_id, user_id, instance, common_name, "
			    "trusted_ip, trusted_port, time_unix, daemon_pid, vid, address_index, "
			    "started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, s->server_id);
	sql_bind_int(q, x->user_id);
	sql_bind_text(q, x->instance);
	sql_bind_text(q, x->common_name);
	sql_bind_text(q, x->trusted_ip);
	sql_bind_int(q, x->trusted_port);
	sql_bind_int(q, x->time_unix);
	sql_bind_int(q, x->daemon_pid);
	sql_bind_int(q, x->vid);
	sql_bind_int(q, x->index);
	sql_bind_int(q, x->started);
	r = sql_run(q);
	if (r == 0)
		x->id = sql_last_id(q);
	return r;
}

struct beginning {
	struct store_session *session;
	uint32_t max;
};

static int begin_body(struct store *s, void *arg)
{
	struct beginning *b = arg;
	struct store_session *x = b->session;
	int r = user_lock(s, x->user_id);

	r = r ?: free_index(s, x->user_id, b->max, &x->index);
	if (r < 0)
		return r;
	x->started = time(NULL);
	x->ended = 0;
	return insert(s, x);
}

int session_begin(struct store *s, struct store_session *x, uint32_t max_sessions)
{
	struct store_session next = *x;
	int r = sql_transaction(s, begin_body, &(struct beginning){&next, max_sessions});

	if (r == 0)
		*x = next;
	return r;
}

/* --- the end --- */

struct ending {
	const uint64_t *ids;
	size_t n;
	int64_t when;
};

static int end_body(struct store *s, void *arg)
{
	const struct ending *e = arg;
	_cleanup_sql_ struct sql *end = NULL;
	_cleanup_sql_ struct sql *claims = NULL;
	int r = sql_prepare(s, "UPDATE session SET ended = ? WHERE id = ? AND ended = 0", &end);

	r = r ?: sql_prepare(s, "DELETE FROM mac WHERE session_id = ?", &claims);
	for (size_t i = 0; r == 0 && i < e->n; i++) {
		sql_again(end);
		sql_bind_int(end, e->when > 0 ? e->when : 1);
		sql_bind_int(end, (int64_t)e->ids[i]);
		sql_again(claims);
		sql_bind_int(claims, (int64_t)e->ids[i]);
		r = sql_run(end);
		r = r ?: sql_run(claims);
	}
	return r;
}

int session_end_many(struct store *s, const uint64_t *ids, size_t n, int64_t when)
{
	return sql_transaction(s, end_body, &(struct ending){ids, n, when});
}

/* --- reading --- */

static void read_session(struct sql *q, struct store_session *x)
{
	memset(x, 0, sizeof(*x));
	x->id = (uint64_t)sql_int(q, 1, INT64_MAX);
	x->user_id = x->segment = (uint32_t)sql_int(q, 1, UINT32_MAX);
	sql_text(q, x->user, sizeof(x->user));
	sql_text(q, x->instance, sizeof(x->instance));
	sql_text(q, x->common_name, sizeof(x->common_name));
	sql_text(q, x->trusted_ip, sizeof(x->trusted_ip));
	x->trusted_port = (uint16_t)sql_int(q, 0, UINT16_MAX);
	x->time_unix = sql_int(q, INT64_MIN, INT64_MAX);
	x->daemon_pid = sql_int(q, INT64_MIN, INT64_MAX);
	x->vid = (uint16_t)sql_int(q, 0, SP_VID_MAX);
	x->index = (uint32_t)sql_int(q, 0, UINT32_MAX);
	x->started = sql_int(q, INT64_MIN, INT64_MAX);
	x->ended = sql_int(q, 0, INT64_MAX);
}

int session_each_since(struct store *s, int64_t ended_since,
		       int (*cb)(const struct store_session *session, void *arg), void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	struct store_session x;
	int r = sql_prepare(s,
			    "SELECT x.id, x.user_id, coalesce(u.username, ''), x.instance, "
			    "x.common_name, x.trusted_ip, x.trusted_port, x.time_unix, "
			    "x.daemon_pid, x.vid, x.address_index, x.started, x.ended "
			    "FROM session x LEFT JOIN user u ON u.user_id = x.user_id "
			    "WHERE x.server_id = {own} AND (x.ended = 0 OR x.ended >= ?) "
			    "ORDER BY x.id",
			    &q);

	if (r == 0)
		sql_bind_int(q, ended_since);
	while (r == 0 && (r = sql_step(q)) > 0) {
		read_session(q, &x);
		r = sql_row(q, "session") ?: cb(&x, arg);
	}
	return r;
}
