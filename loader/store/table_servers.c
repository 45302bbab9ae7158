/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Servers that share the store: which is this one, and which of them live? */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "store_internal.h"

static int find(struct store *s, const char *name, int64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t id = 0;
	int r = sql_prepare(s, "SELECT id FROM server WHERE name = ?", &q);

	if (r < 0)
		return r;
	sql_bind_text(q, name);
	r = sql_number(q, 0, &id);
	if (r == 0 && id == 0)
		return -ENOENT;
	if (r == 0)
		*ret = id;
	return r;
}

int server_adopt(struct store *s, const char *name)
{
	_cleanup_sql_ struct sql *q = NULL;
	/* The only one there is, whatever it was called. */
	int r = sql_prepare(s,
			    "UPDATE server SET name = ? WHERE name <> ? AND "
			    "(SELECT count(*) FROM server) = 1",
			    &q);

	if (r < 0)
		return r;
	sql_bind_text(q, name);
	sql_bind_text(q, name);
	return sql_run(q);
}

static int add(struct store *s, const char *name)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "INSERT INTO server (name, seen) VALUES (?, {now})", &q);

	if (r < 0)
		return r;
	sql_bind_text(q, name);
	r = sql_run(q);
	return r == -EEXIST ? 0 : r; /* two that open at once */
}

int server_enter(struct store *s, const char *name, bool adopt)
{
	int r = find(s, name, &s->server_id);

	if (r != -ENOENT)
		return r;
	r = adopt ? server_adopt(s, name) : 0;
	if (r == 0)
		r = find(s, name, &s->server_id);
	if (r != -ENOENT)
		return r;
	r = add(s, name);
	return r ?: find(s, name, &s->server_id);
}

int server_alive(struct store *s)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "UPDATE server SET seen = {now} WHERE id = {own}", &q);

	if (r < 0)
		return r;
	r = sql_change(q);
	return r == -ENOENT
		       ? sql_fail(s, -EUCLEAN, "table server has lost this server, '%s'", s->server)
		       : r;
}

int server_each(struct store *s, int (*cb)(const struct store_server *server, void *arg), void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "SELECT v.name, {now} - v.seen, abs({now} - v.seen) < {lease} "
			    "FROM server v ORDER BY v.name",
			    &q);

	while (r == 0 && (r = sql_step(q)) > 0) {
		struct store_server server = {0};

		sql_text(q, server.name, sizeof(server.name));
		server.seen_s = sql_int(q, INT64_MIN, INT64_MAX);
		server.alive = sql_int(q, 0, 1);
		r = sql_row(q, "server") ?: cb(&server, arg);
	}
	return r;
}

int server_check_own(struct store *s, int64_t id, const char *what)
{
	_cleanup_sql_ struct sql *q = NULL;
	char name[SP_SERVER_MAX];
	int r;

	if (id == s->server_id)
		return 0;
	r = sql_prepare(s, "SELECT name FROM server WHERE id = ?", &q);
	if (r < 0)
		return r;
	sql_bind_int(q, id);
	r = sql_step(q);
	if (r <= 0)
		return r ?: sql_fail(s, -EUCLEAN, "table server: %s is on none of them", what);
	sql_text(q, name, sizeof(name));
	r = sql_row(q, "server");
	return r ?: sql_fail(s, -EXDEV, "the %s is on server %s: tell its daemon", what, name);
}
