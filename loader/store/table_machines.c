/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machines: whose are they, what are they made of, and when shall they run? */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "store_internal.h"

static void bind_policy(struct sql *q, const struct store_policy *p)
{
	sql_bind_int(q, p->start);
	sql_bind_text(q, p->ladder);
	sql_bind_int(q, p->grace_s);
	sql_bind_int(q, p->idle_s);
	sql_bind_int(q, p->min_up_s);
}

static void bind_roles(struct sql *q, const struct store_machine *m)
{
	sql_bind_int(q, m->router);
	sql_bind_int(q, m->dhcp_server);
}

/* --- leases: a row for those whose addresses are learned --- */

static int drop_leases(struct store *s, uint32_t id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "DELETE FROM lease WHERE machine_id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, id);
	return sql_run(q);
}

static int write_leases(struct store *s, const struct store_machine *m)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = drop_leases(s, m->id);

	if (r < 0 || m->pinned != PINNED_DHCP)
		return r;
	r = sql_prepare(s, "INSERT INTO lease (machine_id, leases) VALUES (?, ?)", &q);
	if (r < 0)
		return r;
	sql_bind_int(q, m->id);
	sql_bind_text(q, m->leases);
	return sql_run(q);
}

/* One text of one row. */
static int set_text(struct store *s, const char *statement, const char *text, uint32_t id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, statement, &q);

	if (r < 0)
		return r;
	sql_bind_text(q, text);
	sql_bind_int(q, id);
	return sql_change(q);
}

int machine_set_leases(struct store *s, uint32_t id, const char *leases)
{
	return set_text(s, "UPDATE lease SET leases = ? WHERE machine_id = ?", leases, id);
}

/* --- */

static int insert(struct store *s, struct store_machine *m)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "INSERT INTO machine (server_id, user_id, name, domain, uuid, "
			    "mac_addr, origin, memory_mib, vcpus, start_when, ladder, grace_s, "
			    "idle_s, min_up_s, addresses, pinned, want, held, router, "
			    "dhcp_server) VALUES "
			    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, s->server_id);
	sql_bind_int(q, m->user_id);
	sql_bind_text(q, m->name);
	sql_bind_text(q, m->domain);
	sql_bind_blob(q, m->uuid, sizeof(m->uuid));
	sql_bind_blob(q, m->mac, sizeof(m->mac));
	sql_bind_int(q, m->origin);
	sql_bind_int(q, m->memory_mib);
	sql_bind_int(q, m->vcpus);
	bind_policy(q, &m->policy);
	sql_bind_text(q, m->addresses);
	sql_bind_int(q, m->pinned != PINNED_NO);
	sql_bind_int(q, m->want);
	sql_bind_int(q, m->held);
	bind_roles(q, m);
	r = sql_run(q);
	if (r == 0)
		m->id = (uint32_t)sql_last_id(q);
	return r;
}

static int add_body(struct store *s, void *arg)
{
	struct store_machine *m = arg;
	struct mac_holder h = {.user_id = m->user_id};
	int r = insert(s, m);

	h.machine = m->id;
	r = r ?: mac_hold(s, m->segment, m->mac, &h);
	r = r ?: mac_hold(s, STORE_EVERYWHERE, m->mac, &h);
	return r ?: write_leases(s, m);
}

int machine_add(struct store *s, struct store_machine *m)
{
	struct store_machine next = *m;
	struct store_user owner;
	int r = user_find(s, m->user, &owner);

	explicit_bzero(owner.hash, sizeof(owner.hash));
	if (r < 0)
		return r;
	next.user_id = owner.id;
	next.segment = owner.segment;
	memcpy(next.server, s->server, sizeof(next.server));
	r = sql_transaction(s, add_body, &next);
	if (r == 0)
		*m = next;
	return r;
}

/* --- reading --- */

#define MACHINE_COLUMNS                                                                            \
	"m.id, m.user_id, u.username, m.name, v.name, m.domain, m.uuid, m.mac_addr, m.origin, "    \
	"m.memory_mib, m.vcpus, m.start_when, m.ladder, m.grace_s, m.idle_s, m.min_up_s, "         \
	"m.addresses, m.pinned, m.want, m.held, m.router, m.dhcp_server, "                         \
	"(SELECT count(*) FROM lease l WHERE l.machine_id = m.id), "                               \
	"coalesce((SELECT l.leases FROM lease l WHERE l.machine_id = m.id), '') "                  \
	"FROM machine m JOIN user u "                                                              \
	"ON u.user_id = m.user_id JOIN server v ON v.id = m.server_id "

static void read_machine(struct sql *q, struct store_machine *m)
{
	memset(m, 0, sizeof(*m));
	m->id = (uint32_t)sql_int(q, 1, UINT32_MAX);
	m->user_id = m->segment = (uint32_t)sql_int(q, 1, UINT32_MAX);
	sql_text(q, m->user, sizeof(m->user));
	sql_text(q, m->name, sizeof(m->name));
	sql_text(q, m->server, sizeof(m->server));
	sql_text(q, m->domain, sizeof(m->domain));
	sql_blob(q, m->uuid, sizeof(m->uuid));
	sql_blob(q, m->mac, sizeof(m->mac));
	m->origin = (enum store_origin)sql_int(q, ORIGIN_DOMAIN, ORIGIN_KERNEL);
	m->memory_mib = (uint32_t)sql_int(q, 0, UINT32_MAX);
	m->vcpus = (uint32_t)sql_int(q, 0, UINT32_MAX);
	m->policy.start = (enum store_start)sql_int(q, START_CONNECT, START_MANUAL);
	sql_text(q, m->policy.ladder, sizeof(m->policy.ladder));
	m->policy.grace_s = (int32_t)sql_int(q, STORE_DEFAULT, INT32_MAX);
	m->policy.idle_s = (int32_t)sql_int(q, STORE_DEFAULT, INT32_MAX);
	m->policy.min_up_s = (int32_t)sql_int(q, STORE_DEFAULT, INT32_MAX);
	sql_text(q, m->addresses, sizeof(m->addresses));
	m->pinned = sql_int(q, 0, 1) ? PINNED_LIST : PINNED_NO;
	m->want = (uint8_t)sql_int(q, 0, UINT8_MAX);
	m->held = sql_int(q, 0, 1);
	m->router = sql_int(q, 0, 1);
	m->dhcp_server = sql_int(q, 0, 1);
	if (sql_int(q, 0, 1))
		m->pinned = PINNED_DHCP;
	sql_text(q, m->leases, sizeof(m->leases));
}

int machine_get(struct store *s, const char *user, const char *name, struct store_machine *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "SELECT " MACHINE_COLUMNS "WHERE u.username = ? AND m.name = ?", &q);

	if (r < 0)
		return r;
	sql_bind_text(q, user);
	sql_bind_text(q, name);
	r = sql_step(q);
	if (r <= 0)
		return r ?: sql_fail(s, -ENOENT, "there is no such machine");
	read_machine(q, ret);
	return sql_row(q, "machine");
}

int machine_each(struct store *s, int (*cb)(const struct store_machine *m, void *arg), void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	struct store_machine m;
	int r = sql_prepare(s,
			    "SELECT " MACHINE_COLUMNS "WHERE m.server_id = {own} "
			    "ORDER BY u.username, m.name",
			    &q);

	while (r == 0 && (r = sql_step(q)) > 0) {
		read_machine(q, &m);
		r = sql_row(q, "machine") ?: cb(&m, arg);
	}
	return r;
}

/* --- changing --- */

static int change(struct store *s, const struct store_machine *m)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "UPDATE machine SET start_when = ?, ladder = ?, grace_s = ?, "
			    "idle_s = ?, min_up_s = ?, addresses = ?, pinned = ?, "
			    "router = ?, dhcp_server = ?, memory_mib = ?, vcpus = ? "
			    "WHERE id = ?",
			    &q);

	if (r < 0)
		return r;
	bind_policy(q, &m->policy);
	sql_bind_text(q, m->addresses);
	sql_bind_int(q, m->pinned != PINNED_NO);
	bind_roles(q, m);
	sql_bind_int(q, m->memory_mib);
	sql_bind_int(q, m->vcpus);
	sql_bind_int(q, m->id);
	return sql_change(q);
}

static int update_body(struct store *s, void *arg)
{
	return change(s, arg) ?: write_leases(s, arg);
}

int machine_update(struct store *s, const struct store_machine *m)
{
	return sql_transaction(s, update_body, (void *)m);
}

int machine_set_addresses(struct store *s, uint32_t id, const char *addresses)
{
	return set_text(s, "UPDATE machine SET addresses = ? WHERE id = ? AND pinned = 0",
			addresses, id);
}

int machine_set_want(struct store *s, uint32_t id, uint8_t want, bool held)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "UPDATE machine SET want = ?, held = ? WHERE id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, want);
	sql_bind_int(q, held);
	sql_bind_int(q, id);
	return sql_change(q);
}

static int drop(struct store *s, uint32_t id)
{
	_cleanup_sql_ struct sql *claims = NULL;
	_cleanup_sql_ struct sql *row = NULL;
	int r = sql_prepare(s, "DELETE FROM mac WHERE machine_id = ?", &claims);

	r = r ?: sql_prepare(s, "DELETE FROM machine WHERE id = ?", &row);
	if (r < 0)
		return r;
	sql_bind_int(claims, id);
	sql_bind_int(row, id);
	r = drop_leases(s, id);
	r = r ?: sql_run(claims);
	return r ?: sql_change(row);
}

struct named {
	const char *user, *name;
};

static int delete_body(struct store *s, void *arg)
{
	const struct named *which = arg;
	_cleanup_sql_ struct sql *q = NULL;
	int64_t server;
	uint32_t id;
	int r = sql_prepare(s,
			    "SELECT id, server_id FROM machine WHERE name = ? AND "
			    "user_id = (SELECT user_id FROM user WHERE username = ?){lock}",
			    &q);

	if (r < 0)
		return r;
	sql_bind_text(q, which->name);
	sql_bind_text(q, which->user);
	r = sql_step(q);
	if (r <= 0)
		return r ?: sql_fail(s, -ENOENT, "there is no such machine");
	id = (uint32_t)sql_int(q, 1, UINT32_MAX);
	server = sql_int(q, 1, INT64_MAX);
	r = sql_row(q, "machine");
	r = r ?: server_check_own(s, server, "machine");
	return r ?: drop(s, id);
}

int machine_delete(struct store *s, const char *user, const char *name)
{
	return sql_transaction(s, delete_body, &(struct named){user, name});
}
