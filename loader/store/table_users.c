/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users: who may come in? */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "store_internal.h"

void user_read(struct sql *q, struct store_user *u)
{
	memset(u, 0, sizeof(*u));
	u->id = (uint32_t)sql_int(q, 1, UINT32_MAX);
	sql_text(q, u->name, sizeof(u->name));
	sql_text(q, u->hash, sizeof(u->hash));
	u->disabled = sql_int(q, 0, 1);
	u->max_sessions = (uint32_t)sql_int(q, 0, UINT32_MAX);
	u->max_macs = (uint32_t)sql_int(q, 0, UINT32_MAX);
	sql_text(q, u->address, sizeof(u->address));
	sql_text(q, u->address6, sizeof(u->address6));
	u->created = sql_int(q, INT64_MIN, INT64_MAX);
	u->max_machines = (uint32_t)sql_int(q, 0, UINT32_MAX);
	u->max_memory_mib = (uint32_t)sql_int(q, 0, UINT32_MAX);
	u->max_vcpus = (uint32_t)sql_int(q, 0, UINT32_MAX);
	u->rate_bytes = (uint64_t)sql_int(q, 0, INT64_MAX);
	u->rate_frames = (uint32_t)sql_int(q, 0, UINT32_MAX);
	u->max_user_macs = (uint32_t)sql_int(q, 0, UINT32_MAX);
	u->max_flows = (uint32_t)sql_int(q, 0, UINT32_MAX);
	u->new_flows = (uint32_t)sql_int(q, 0, UINT32_MAX);
	/* A user's segment is the user's id: unique, never reused, never 0. */
	u->segment = u->id;
}

/* --- the budget: a row for those who have one of their own --- */

static int drop_budget(struct store *s, uint32_t user_id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "DELETE FROM budget WHERE user_id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, user_id);
	return sql_run(q);
}

static bool has_budget(const struct store_user *u)
{
	return u->rate_bytes || u->rate_frames || u->max_user_macs || u->max_flows || u->new_flows;
}

static int write_budget(struct store *s, const struct store_user *u)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = drop_budget(s, u->id);

	if (r < 0 || !has_budget(u))
		return r;
	r = sql_prepare(s,
			"INSERT INTO budget (user_id, rate_bytes, rate_frames, max_macs, "
			"max_flows, new_flows) VALUES (?, ?, ?, ?, ?, ?)",
			&q);
	if (r < 0)
		return r;
	sql_bind_int(q, u->id);
	sql_bind_int(q, (int64_t)u->rate_bytes);
	sql_bind_int(q, u->rate_frames);
	sql_bind_int(q, u->max_user_macs);
	sql_bind_int(q, u->max_flows);
	sql_bind_int(q, u->new_flows);
	return sql_run(q);
}

/* --- */

static int insert(struct store *s, struct store_user *u)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t now = time(NULL);
	int r = sql_prepare(s,
			    "INSERT INTO user (username, password, disabled, max_sessions, "
			    "max_macs, ip_addr, ip6_addr, created, max_machines, max_memory_mib, "
			    "max_vcpus) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			    &q);

	if (r < 0)
		return r;
	sql_bind_text(q, u->name);
	sql_bind_text(q, u->hash);
	sql_bind_int(q, u->disabled);
	sql_bind_int(q, u->max_sessions);
	sql_bind_int(q, u->max_macs);
	sql_bind_text(q, u->address);
	sql_bind_text(q, u->address6);
	sql_bind_int(q, now);
	sql_bind_int(q, u->max_machines);
	sql_bind_int(q, u->max_memory_mib);
	sql_bind_int(q, u->max_vcpus);
	r = sql_run(q);
	if (r < 0)
		return r;
	u->id = (uint32_t)sql_last_id(q);
	u->segment = u->id;
	u->created = now;
	return 0;
}

static int add_body(struct store *s, void *arg)
{
	return insert(s, arg) ?: write_budget(s, arg);
}

int user_add(struct store *s, struct store_user *u)
{
	struct store_user next = *u;
	int r = sql_transaction(s, add_body, &next);

	if (r == 0)
		*u = next;
	explicit_bzero(next.hash, sizeof(next.hash));
	return r;
}

int user_get(struct store *s, const char *name, struct store_user *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "SELECT " USER_COLUMNS " FROM user u WHERE u.username = ?", &q);

	if (r < 0)
		return r;
	sql_bind_text(q, name);
	r = sql_step(q);
	if (r <= 0)
		return r ?: sql_fail(s, -ENOENT, "there is no such user");
	user_read(q, ret);
	return sql_row(q, "user");
}

int user_set_hash(struct store *s, const char *name, const char *hash)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "UPDATE user SET password = ? WHERE username = ?", &q);

	if (r < 0)
		return r;
	sql_bind_text(q, hash);
	sql_bind_text(q, name);
	return sql_change(q);
}

int user_set_disabled(struct store *s, const char *name, bool disabled)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "UPDATE user SET disabled = ? WHERE username = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, disabled);
	sql_bind_text(q, name);
	return sql_change(q);
}

static int change(struct store *s, const struct store_user *u)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "UPDATE user SET disabled = ?, max_sessions = ?, max_macs = ?, "
			    "ip_addr = ?, ip6_addr = ?, max_machines = ?, max_memory_mib = ?, "
			    "max_vcpus = ? WHERE username = ?",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, u->disabled);
	sql_bind_int(q, u->max_sessions);
	sql_bind_int(q, u->max_macs);
	sql_bind_text(q, u->address);
	sql_bind_text(q, u->address6);
	sql_bind_int(q, u->max_machines);
	sql_bind_int(q, u->max_memory_mib);
	sql_bind_int(q, u->max_vcpus);
	sql_bind_text(q, u->name);
	return sql_change(q);
}

static int update_body(struct store *s, void *arg)
{
	struct store_user next = *(const struct store_user *)arg, now;
	int r = user_get(s, next.name, &now);

	explicit_bzero(now.hash, sizeof(now.hash));
	explicit_bzero(next.hash, sizeof(next.hash));
	next.id = now.id;
	return r ?: change(s, &next) ?: write_budget(s, &next);
}

int user_update(struct store *s, const struct store_user *u)
{
	return sql_transaction(s, update_body, (void *)u);
}

/*
 * On a cluster the row is changed, not only locked: what was written is certified, and of two
 * transactions on two nodes one is let through.
 */
static int take_row(struct store *s, uint32_t id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r;

	if (!s->cluster)
		return 0;
	r = sql_prepare(s, "UPDATE user SET changes = changes + 1 WHERE user_id = ?", &q);
	if (r < 0)
		return r;
	sql_bind_int(q, id);
	return sql_change(q);
}

int user_lock(struct store *s, uint32_t id)
{
	_cleanup_sql_ struct sql *q = NULL;
	char name[SP_NAME_MAX];
	bool disabled;
	int r = take_row(s, id);

	r = r ?: sql_prepare(s, "SELECT username, disabled FROM user WHERE user_id = ?{lock}", &q);
	if (r < 0)
		return r;
	sql_bind_int(q, id);
	r = sql_step(q);
	if (r <= 0)
		return r ?: sql_fail(s, -ENOENT, "there is no such user");
	sql_text(q, name, sizeof(name));
	disabled = sql_int(q, 0, 1);
	r = sql_row(q, "user");
	if (r == 0 && disabled)
		r = sql_fail(s, -EACCES, "the user is disabled");
	return r == 0 && s->mapping ? mapping_check(s, name) : r;
}

/* --- the end of a user --- */

static int count_machines(struct store *s, uint32_t user_id, int64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "SELECT count(*) FROM machine WHERE user_id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, user_id);
	return sql_number(q, 0, ret);
}

/* Of sessions that no longer count. */
static int drop_claims(struct store *s, uint32_t user_id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "DELETE FROM mac WHERE user_id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, user_id);
	return sql_run(q);
}

/* No session begins meanwhile. */
static int hold_row(struct store *s, uint32_t user_id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t id = 0;
	int r = take_row(s, user_id);

	r = r ?: sql_prepare(s, "SELECT user_id FROM user WHERE user_id = ?{lock}", &q);
	if (r < 0)
		return r;
	sql_bind_int(q, user_id);
	return sql_number(q, 0, &id);
}

static int drop_row(struct store *s, uint32_t user_id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "DELETE FROM user WHERE user_id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, user_id);
	return sql_change(q);
}

static int delete_body(struct store *s, void *arg)
{
	struct store_user u;
	int64_t live = 0, machines = 0;
	int r = user_get(s, arg, &u);

	explicit_bzero(u.hash, sizeof(u.hash));
	r = r ?: hold_row(s, u.id);
	r = r ?: session_count_live(s, u.id, &live);
	r = r ?: count_machines(s, u.id, &machines);
	if (r < 0)
		return r;
	if (live > 0 || machines > 0)
		return sql_fail(s, -EBUSY, "the user has %s",
				live > 0 ? "a live session" : "machines: remove them first");
	r = workload_delete_all(s, u.id);
	r = r ?: drop_claims(s, u.id);
	r = r ?: drop_budget(s, u.id);
	return r ?: drop_row(s, u.id);
}

int user_delete(struct store *s, const char *name)
{
	return sql_transaction(s, delete_body, (void *)name);
}

int user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg), void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	struct store_user u;
	int r = sql_prepare(s, "SELECT " USER_COLUMNS " FROM user u ORDER BY u.username", &q);

	while (r == 0 && (r = sql_step(q)) > 0) {
		user_read(q, &u);
		r = sql_row(q, "user") ?: cb(&u, arg);
	}
	return r;
}
