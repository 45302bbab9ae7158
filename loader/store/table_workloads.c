/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workloads: what belongs to whom? */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "store_internal.h"

static int insert(struct store *s, struct store_workload *w)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "INSERT INTO workload (server_id, user_id, name, netns, ifname, "
			    "mac_addr) VALUES (?, ?, ?, ?, ?, ?)",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, s->server_id);
	sql_bind_int(q, w->user_id);
	sql_bind_text(q, w->name);
	sql_bind_text(q, w->netns);
	sql_bind_text(q, w->ifname);
	sql_bind_blob(q, w->mac, sizeof(w->mac));
	r = sql_run(q);
	if (r == 0)
		w->id = (uint32_t)sql_last_id(q);
	return r;
}

/* In its segment alone; everywhere together with other workloads, but with nobody else. */
static int add_body(struct store *s, void *arg)
{
	struct store_workload *w = arg;
	struct mac_holder own = {.user_id = w->user_id}, shared = {0};
	int r = insert(s, w);

	own.workload = w->id;
	r = r ?: mac_hold(s, w->segment, w->mac, &own);
	return r ?: mac_hold(s, STORE_EVERYWHERE, w->mac, &shared);
}

int workload_add(struct store *s, struct store_workload *w)
{
	struct store_workload next = *w;
	struct store_user owner;
	int r = user_find(s, w->user, &owner);

	explicit_bzero(owner.hash, sizeof(owner.hash));
	if (r < 0)
		return r;
	next.user_id = owner.id;
	next.segment = owner.segment;
	r = sql_transaction(s, add_body, &next);
	if (r == 0)
		*w = next;
	return r;
}

/* --- the end of one --- */

static int drop(struct store *s, uint32_t id, const uint8_t mac[6])
{
	_cleanup_sql_ struct sql *claim = NULL;
	_cleanup_sql_ struct sql *row = NULL;
	int r = sql_prepare(s, "DELETE FROM mac WHERE workload_id = ?", &claim);

	r = r ?: sql_prepare(s, "DELETE FROM workload WHERE id = ?", &row);
	if (r < 0)
		return r;
	sql_bind_int(claim, id);
	sql_bind_int(row, id);
	r = sql_run(claim);
	r = r ?: mac_unshare(s, mac);
	return r ?: sql_change(row);
}

struct named {
	const char *user, *name;
};

static int delete_body(struct store *s, void *arg)
{
	const struct named *which = arg;
	_cleanup_sql_ struct sql *q = NULL;
	uint8_t mac[6];
	int64_t server;
	uint32_t id;
	int r = sql_prepare(s,
			    "SELECT id, server_id, mac_addr FROM workload WHERE name = ? AND "
			    "user_id = (SELECT user_id FROM user WHERE username = ?){lock}",
			    &q);

	if (r < 0)
		return r;
	sql_bind_text(q, which->name);
	sql_bind_text(q, which->user);
	r = sql_step(q);
	if (r <= 0)
		return r ?: sql_fail(s, -ENOENT, "there is no such workload");
	id = (uint32_t)sql_int(q, 1, UINT32_MAX);
	server = sql_int(q, 1, INT64_MAX);
	sql_blob(q, mac, sizeof(mac));
	r = sql_row(q, "workload");
	r = r ?: server_check_own(s, server, "workload");
	return r ?: drop(s, id, mac);
}

int workload_delete(struct store *s, const char *user, const char *name)
{
	return sql_transaction(s, delete_body, &(struct named){user, name});
}

/* One after the other: the next one is looked for when the last is gone. */
int workload_delete_all(struct store *s, uint32_t user_id)
{
	for (;;) {
		_cleanup_sql_ struct sql *q = NULL;
		uint8_t mac[6];
		uint32_t id;
		int r = sql_prepare(
			s, "SELECT id, mac_addr FROM workload WHERE user_id = ? LIMIT 1{lock}", &q);

		if (r < 0)
			return r;
		sql_bind_int(q, user_id);
		r = sql_step(q);
		if (r <= 0)
			return r;
		id = (uint32_t)sql_int(q, 1, UINT32_MAX);
		sql_blob(q, mac, sizeof(mac));
		r = sql_row(q, "workload");
		r = r ?: drop(s, id, mac);
		if (r < 0)
			return r;
	}
}

/* --- reading --- */

static void read_workload(struct sql *q, struct store_workload *w)
{
	memset(w, 0, sizeof(*w));
	w->id = (uint32_t)sql_int(q, 1, UINT32_MAX);
	w->user_id = w->segment = (uint32_t)sql_int(q, 1, UINT32_MAX);
	sql_text(q, w->user, sizeof(w->user));
	sql_text(q, w->name, sizeof(w->name));
	sql_text(q, w->netns, sizeof(w->netns));
	sql_text(q, w->ifname, sizeof(w->ifname));
	sql_blob(q, w->mac, sizeof(w->mac));
}

int workload_each(struct store *s, int (*cb)(const struct store_workload *w, void *arg), void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	struct store_workload w;
	int r = sql_prepare(
		s,
		"SELECT w.id, w.user_id, u.username, w.name, w.netns, w.ifname, w.mac_addr "
		"FROM workload w JOIN user u ON u.user_id = w.user_id WHERE w.server_id = {own} "
		"ORDER BY u.username, w.name",
		&q);

	while (r == 0 && (r = sql_step(q)) > 0) {
		read_workload(q, &w);
		r = sql_row(q, "workload") ?: cb(&w, arg);
	}
	return r;
}
