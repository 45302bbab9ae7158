/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The door of the store: which database, since when does this call run, and in it goes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store_internal.h"

uint64_t store_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void store_enter(struct store *s)
{
	s->deadline_us = store_now_us() + (uint64_t)s->timeout_ms * 1000;
}

int store_open_failed(char **ret_error, int r, const char *where, const char *why)
{
	if (ret_error && !*ret_error && asprintf(ret_error, "%s: %s", where, why) < 0)
		*ret_error = NULL;
	return r;
}

/* --- opening --- */

static void server_of(const struct store_options *o, char ret[SP_SERVER_MAX])
{
	char host[SP_SERVER_MAX] = "localhost";

	if (!o->server && gethostname(host, sizeof(host)) < 0)
		strcpy(host, "localhost");
	host[sizeof(host) - 1] = '\0';
	snprintf(ret, SP_SERVER_MAX, "%s", o->server ? o->server : host);
}

/* What a server needs beyond the schema: its own name in it, and the users of another table. */
static int move_in(struct store *s, const struct store_options *o, char **ret_error)
{
	int r = 0;

	server_of(o, s->server);
	store_enter(s);
	if (!o->tool)
		r = server_enter(s, s->server, o->path != NULL);
	if (r < 0)
		return store_open_failed(ret_error, r, s->description, s->error);
	return o->mapping.table ? mapping_new(s, &o->mapping, ret_error) : 0;
}

int store_open(const struct store_options *options, struct store **ret, char **ret_error)
{
	_cleanup_(store_closep) struct store *s = NULL;
	int r;

	if (ret_error)
		*ret_error = NULL;
	r = options->path ? sqlite_open(options, &s, ret_error)
			  : mysql_open(options, &s, ret_error);
	r = r ?: move_in(s, options, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

int store_init(const struct store_options *options, char **ret_error)
{
	if (ret_error)
		*ret_error = NULL;
	return options->path ? sqlite_init(options, ret_error)
			     : mysql_init_schema(options, ret_error);
}

int store_migrate(const struct store_options *options, int *ret_from, char **ret_error)
{
	char server[SP_SERVER_MAX];

	if (ret_error)
		*ret_error = NULL;
	server_of(options, server);
	return options->path ? sqlite_migrate(options, server, ret_from, ret_error)
			     : mysql_migrate(options, ret_from, ret_error);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	s->driver->close(s);
	mapping_free(s->mapping);
	free(s);
}

void store_closep(struct store **s)
{
	store_close(*s);
}

const char *store_error(const struct store *s)
{
	if (!s)
		return "not open";
	return s->error[0] ? s->error : "no error";
}

const char *store_server(const struct store *s)
{
	return s->server;
}

bool store_is_shared(const struct store *s)
{
	return s->driver->shared;
}

const char *store_describe(struct store *s)
{
	return s->description;
}

/* --- is it there? --- */

int store_check(struct store *s)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t n;
	int r;

	store_enter(s);
	r = sql_prepare(s, "SELECT count(*) FROM user WHERE user_id = 0", &q);
	return r < 0 ? r : sql_number(q, 0, &n);
}

int store_try(struct store *s)
{
	store_enter(s);
	return s->driver->attempt(s);
}

int store_alive(struct store *s)
{
	store_enter(s);
	return server_alive(s);
}

int store_server_each(struct store *s, int (*cb)(const struct store_server *server, void *arg),
		      void *arg)
{
	store_enter(s);
	return server_each(s, cb, arg);
}

/* --- users --- */

static int not_ours(struct store *s, const char *what)
{
	return sql_fail(s, -EOPNOTSUPP, "users are those of another table ([store] user-table): %s",
			what);
}

int store_user_add(struct store *s, struct store_user *user)
{
	store_enter(s);
	return s->mapping ? not_ours(s, "add the user there") : user_add(s, user);
}

int user_find(struct store *s, const char *name, struct store_user *ret)
{
	return s->mapping ? mapping_user_get(s, name, ret) : user_get(s, name, ret);
}

int store_user_get(struct store *s, const char *name, struct store_user *ret)
{
	store_enter(s);
	return user_find(s, name, ret);
}

int store_user_set_hash(struct store *s, const char *name, const char *hash)
{
	store_enter(s);
	return s->mapping ? not_ours(s, "set the password there") : user_set_hash(s, name, hash);
}

int store_user_set_disabled(struct store *s, const char *name, bool disabled)
{
	struct store_user u;
	int r = 0;

	store_enter(s);
	if (s->mapping) /* which makes our row */
		r = mapping_user_get(s, name, &u);
	explicit_bzero(u.hash, sizeof(u.hash));
	return r ?: user_set_disabled(s, name, disabled);
}

int store_user_update(struct store *s, const struct store_user *user)
{
	store_enter(s);
	return s->mapping ? mapping_user_update(s, user) : user_update(s, user);
}

int store_user_delete(struct store *s, const char *name)
{
	store_enter(s);
	return s->mapping ? mapping_user_delete(s, name) : user_delete(s, name);
}

int store_user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg), void *arg)
{
	store_enter(s);
	return s->mapping ? mapping_user_each(s, cb, arg) : user_each(s, cb, arg);
}

/* --- workloads and machines --- */

int store_workload_add(struct store *s, struct store_workload *w)
{
	store_enter(s);
	return workload_add(s, w);
}

int store_workload_delete(struct store *s, const char *user, const char *name)
{
	store_enter(s);
	return workload_delete(s, user, name);
}

int store_workload_each(struct store *s, int (*cb)(const struct store_workload *w, void *arg),
			void *arg)
{
	store_enter(s);
	return workload_each(s, cb, arg);
}

int store_machine_add(struct store *s, struct store_machine *m)
{
	store_enter(s);
	return machine_add(s, m);
}

int store_machine_get(struct store *s, const char *user, const char *name,
		      struct store_machine *ret)
{
	store_enter(s);
	return machine_get(s, user, name, ret);
}

int store_machine_update(struct store *s, const struct store_machine *m)
{
	store_enter(s);
	return machine_update(s, m);
}

int store_machine_set_addresses(struct store *s, uint32_t id, const char *addresses)
{
	store_enter(s);
	return machine_set_addresses(s, id, addresses);
}

int store_machine_set_leases(struct store *s, uint32_t id, const char *leases)
{
	store_enter(s);
	return machine_set_leases(s, id, leases);
}

int store_machine_set_want(struct store *s, uint32_t id, uint8_t want, bool held)
{
	store_enter(s);
	return machine_set_want(s, id, want, held);
}

int store_machine_delete(struct store *s, const char *user, const char *name)
{
	store_enter(s);
	return machine_delete(s, user, name);
}

int store_machine_each(struct store *s, int (*cb)(const struct store_machine *m, void *arg),
		       void *arg)
{
	store_enter(s);
	return machine_each(s, cb, arg);
}

int store_rules_get(struct store *s, uint32_t machine_id, uint64_t *ret_generation, char **ret_text)
{
	store_enter(s);
	return rules_get(s, machine_id, ret_generation, ret_text);
}

int store_rules_set(struct store *s, uint32_t machine_id, const char *text, uint64_t expected,
		    uint64_t *ret_generation)
{
	store_enter(s);
	return rules_set(s, machine_id, text, expected, ret_generation);
}

int store_rules_each(struct store *s, int (*cb)(const struct store_rules *rules, void *arg),
		     void *arg)
{
	store_enter(s);
	return rules_each(s, cb, arg);
}

/* --- sessions and MACs --- */

int store_session_begin(struct store *s, struct store_session *session, uint32_t max_sessions)
{
	store_enter(s);
	return session_begin(s, session, max_sessions);
}

int store_session_end(struct store *s, uint64_t id, int64_t when)
{
	store_enter(s);
	return session_end_many(s, &id, 1, when);
}

int store_session_end_many(struct store *s, const uint64_t *ids, size_t n, int64_t when)
{
	store_enter(s);
	return session_end_many(s, ids, n, when);
}

int store_session_each_since(struct store *s, int64_t ended_since,
			     int (*cb)(const struct store_session *session, void *arg), void *arg)
{
	store_enter(s);
	return session_each_since(s, ended_since, cb, arg);
}

int store_session_each_live(struct store *s,
			    int (*cb)(const struct store_session *session, void *arg), void *arg)
{
	store_enter(s);
	return session_each_since(s, INT64_MAX, cb, arg);
}

int store_mac_claim(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session,
		    uint64_t *ret_from)
{
	store_enter(s);
	return mac_claim(s, scope, mac, session, ret_from);
}

int store_mac_release(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session)
{
	store_enter(s);
	return mac_release(s, scope, mac, session);
}

/* --- audit --- */

int store_audit_add(struct store *s, const char *who, const char *what, const char *object,
		    const char *detail)
{
	store_enter(s);
	return audit_add(s, who, what, object, detail);
}

int store_audit_each(struct store *s, size_t limit,
		     int (*cb)(int64_t when, const char *who, const char *what, const char *object,
			       const char *detail, void *arg),
		     void *arg)
{
	store_enter(s);
	return audit_each(s, limit, cb, arg);
}
