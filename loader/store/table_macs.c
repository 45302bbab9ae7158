/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims: who has a MAC address, within a segment or everywhere? The table's key (scope, mac_addr)
 * lets one claim of each exist, whichever servers ask at once; what is decided here is only who
 * gives way. A workload's MAC is held everywhere too, by one row that all workloads share: so it is
 * the same key that keeps a session in MAC mode, or a machine, from having it.
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "store_internal.h"

static void bind_holder(struct sql *q, const struct mac_holder *h)
{
	const uint64_t ids[] = {h->user_id, h->session, h->workload, h->machine};

	for (size_t i = 0; i < SP_ARRAY_SIZE(ids); i++) {
		if (ids[i])
			sql_bind_int(q, (int64_t)ids[i]);
		else
			sql_bind_text(q, NULL);
	}
}

static int insert(struct store *s, uint32_t scope, const uint8_t mac[6], const struct mac_holder *h)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "INSERT INTO mac (scope, mac_addr, user_id, session_id, workload_id, "
			    "machine_id, since) VALUES (?, ?, ?, ?, ?, ?, {now})",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, scope);
	sql_bind_blob(q, mac, 6);
	bind_holder(q, h);
	return sql_run(q);
}

static int replace(struct store *s, uint32_t scope, const uint8_t mac[6],
		   const struct mac_holder *h)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "UPDATE mac SET user_id = ?, session_id = ?, workload_id = ?, "
			    "machine_id = ?, since = {now} WHERE scope = ? AND mac_addr = ?",
			    &q);

	if (r < 0)
		return r;
	bind_holder(q, h);
	sql_bind_int(q, scope);
	sql_bind_blob(q, mac, 6);
	return sql_change(q);
}

static int share(struct store *s, const uint8_t mac[6])
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "UPDATE mac SET holders = holders + 1 WHERE scope = 0 AND "
			    "mac_addr = ? AND user_id IS NULL",
			    &q);

	if (r < 0)
		return r;
	sql_bind_blob(q, mac, 6);
	return sql_change(q);
}

/* -ENOENT: nobody has it. */
static int get_holder(struct store *s, uint32_t scope, const uint8_t mac[6], struct mac_holder *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "SELECT user_id, session_id, workload_id, machine_id FROM mac "
			    "WHERE scope = ? AND mac_addr = ?{lock}",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, scope);
	sql_bind_blob(q, mac, 6);
	r = sql_step(q);
	if (r <= 0)
		return r ?: -ENOENT;
	ret->user_id = (uint32_t)sql_id(q, UINT32_MAX);
	ret->session = (uint64_t)sql_id(q, INT64_MAX);
	ret->workload = (uint32_t)sql_id(q, UINT32_MAX);
	ret->machine = (uint32_t)sql_id(q, UINT32_MAX);
	return sql_row(q, "mac");
}

/* Has the session ended, or nobody heard of its server for too long? */
static int is_dead(struct store *s, uint64_t session, bool *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t live = 0;
	int r = sql_prepare(s,
			    "SELECT count(*) FROM session x JOIN server v ON v.id = x.server_id "
			    "WHERE x.id = ? AND x.ended = 0 AND " SERVER_LIVES,
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, (int64_t)session);
	r = sql_number(q, 0, &live);
	if (r == 0)
		*ret = live == 0;
	return r;
}

static int taken(struct store *s, const struct mac_holder *by)
{
	return sql_fail(s, -EEXIST, "%s has the MAC address",
			by->session    ? "another session"
			: by->machine  ? "a machine"
			: by->workload ? "a workload"
				       : "a workload of somebody");
}

/* H wants what HELD has. *ret_from: the session that gives way. */
static int contend(struct store *s, uint32_t scope, const uint8_t mac[6],
		   const struct mac_holder *h, const struct mac_holder *held, uint64_t *ret_from)
{
	bool dead = false;
	int r;

	if (!h->user_id && !held->user_id)
		return share(s, mac);
	if (!held->session)
		return taken(s, held);
	if (held->session == h->session)
		return 0;
	if (!h->session || held->user_id != h->user_id) {
		r = is_dead(s, held->session, &dead);
		if (r < 0 || !dead)
			return r ?: taken(s, held);
	}
	r = replace(s, scope, mac, h);
	if (r == 0)
		*ret_from = held->session;
	return r;
}

/* Between two looks at it somebody let it go: the transaction begins anew. */
static int let_go(struct store *s)
{
	s->again = true;
	return sql_fail(s, -EBUSY, "the claim of the MAC address changes all the time");
}

int mac_hold(struct store *s, uint32_t scope, const uint8_t mac[6], const struct mac_holder *h)
{
	struct mac_holder held;
	uint64_t from = 0;
	int r = insert(s, scope, mac, h);

	if (r != -EEXIST)
		return r;
	r = get_holder(s, scope, mac, &held);
	return r == -ENOENT ? let_go(s) : r ?: contend(s, scope, mac, h, &held, &from);
}

int mac_unshare(struct store *s, const uint8_t mac[6])
{
	_cleanup_sql_ struct sql *less = NULL;
	_cleanup_sql_ struct sql *last = NULL;
	int r = sql_prepare(s,
			    "UPDATE mac SET holders = holders - 1 WHERE scope = 0 AND "
			    "mac_addr = ? AND user_id IS NULL AND holders > 1",
			    &less);

	r = r
		    ?: sql_prepare(s,
				   "DELETE FROM mac WHERE scope = 0 AND mac_addr = ? AND "
				   "user_id IS NULL",
				   &last);
	if (r < 0)
		return r;
	sql_bind_blob(less, mac, 6);
	sql_bind_blob(last, mac, 6);
	r = sql_run(less);
	if (r < 0 || sql_changed(less) > 0)
		return r;
	return sql_run(last);
}

/* --- sessions --- */

struct claim {
	uint32_t scope;
	const uint8_t *mac;
	uint64_t session, from;
};

/*
 * The usual case in one statement: the session lives and nobody has the MAC. The session's row is
 * locked meanwhile: its end comes before or after.
 */
static int claim_free(struct store *s, const struct claim *c)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "INSERT INTO mac (scope, mac_addr, user_id, session_id, since) "
			    "SELECT ?, ?, user_id, id, {now} FROM session "
			    "WHERE id = ? AND ended = 0{lock}",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, c->scope);
	sql_bind_blob(q, c->mac, 6);
	sql_bind_int(q, (int64_t)c->session);
	r = sql_change(q);
	return r == -ENOENT ? sql_fail(s, r, "the session is not live") : r;
}

/*
 * On a cluster the session's row is written, as table_users.c has it of users: neither a lock nor
 * a reference holds off what another node commits.
 */
static int take_session(struct store *s, uint64_t session)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r;

	if (!s->cluster)
		return 0;
	r = sql_prepare(s, "UPDATE session SET changes = changes + 1 WHERE id = ? AND ended = 0",
			&q);
	if (r < 0)
		return r;
	sql_bind_int(q, (int64_t)session);
	r = sql_change(q);
	return r == -ENOENT ? sql_fail(s, r, "the session is not live") : r;
}

static int owner_of(struct store *s, uint64_t session, uint32_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t user = 0;
	int r = sql_prepare(s, "SELECT user_id FROM session WHERE id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, (int64_t)session);
	r = sql_number(q, 0, &user);
	if (r == 0)
		*ret = (uint32_t)user;
	return r;
}

static int claim_body(struct store *s, void *arg)
{
	struct claim *c = arg;
	struct mac_holder h = {.session = c->session}, held;
	int r = take_session(s, c->session);

	c->from = 0;
	r = r ?: claim_free(s, c);
	if (r != -EEXIST)
		return r;
	r = owner_of(s, c->session, &h.user_id);
	r = r ?: get_holder(s, c->scope, c->mac, &held);
	return r == -ENOENT ? let_go(s) : r ?: contend(s, c->scope, c->mac, &h, &held, &c->from);
}

int mac_claim(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session,
	      uint64_t *ret_from)
{
	struct claim c = {.scope = scope, .mac = mac, .session = session};
	/* One statement is enough of a transaction, where it is the only one. */
	int r = s->cluster ? -EEXIST : claim_free(s, &c);

	if (r == -EEXIST)
		r = sql_transaction(s, claim_body, &c);
	if (r == 0)
		*ret_from = c.from;
	return r;
}

int mac_release(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(
		s, "DELETE FROM mac WHERE scope = ? AND mac_addr = ? AND session_id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, scope);
	sql_bind_blob(q, mac, 6);
	sql_bind_int(q, (int64_t)session);
	return sql_run(q);
}
