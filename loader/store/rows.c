/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in each table, and is a value one that its column may hold? */
#include "rows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/mac.h"
#include "store_internal.h"

#define INT(name, min, max)                                                                        \
	{                                                                                          \
		name, COLUMN_INT, min, max, false                                                  \
	}
#define TEXT(name, size)                                                                           \
	{                                                                                          \
		name, COLUMN_TEXT, 0, (size)-1, false                                              \
	}
#define BLOB(name, size)                                                                           \
	{                                                                                          \
		name, COLUMN_BLOB, size, size, false                                               \
	}
#define COLUMNS(...) ((const struct column_info[]){__VA_ARGS__, {.name = NULL}})
#define NUMBER(name) INT(name, INT64_MIN, INT64_MAX)
#define LONG_TEXT_MAX 65536

#define PAGE(key) " WHERE " key " > ? ORDER BY " key " LIMIT 500"

const struct table_info store_tables[] = {
	{"server", true, true, "SELECT id, name, seen FROM server" PAGE("id"),
	 "INSERT INTO server (id, name, seen) VALUES (?, ?, ?)", "SELECT count(*) FROM server",
	 COLUMNS(INT("id", 1, UINT32_MAX), TEXT("name", SP_SERVER_MAX), NUMBER("seen"))},
	{"user", true, true,
	 "SELECT user_id, username, password, ip_addr, ip6_addr, disabled, max_sessions, max_macs, "
	 "max_machines, max_memory_mib, max_vcpus, created FROM user" PAGE("user_id"),
	 "INSERT INTO user (user_id, username, password, ip_addr, ip6_addr, disabled, "
	 "max_sessions, max_macs, max_machines, max_memory_mib, max_vcpus, created) VALUES "
	 "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	 "SELECT count(*) FROM user",
	 COLUMNS(INT("user_id", 1, UINT32_MAX), TEXT("username", SP_NAME_MAX),
		 TEXT("password", STORE_HASH_MAX), TEXT("ip_addr", SP_ADDR_STRLEN),
		 TEXT("ip6_addr", SP_ADDR_STRLEN), INT("disabled", 0, 1),
		 INT("max_sessions", 0, UINT32_MAX), INT("max_macs", 0, UINT32_MAX),
		 INT("max_machines", 0, UINT32_MAX), INT("max_memory_mib", 0, UINT32_MAX),
		 INT("max_vcpus", 0, UINT32_MAX), NUMBER("created"))},
	{"workload", true, true,
	 "SELECT id, server_id, user_id, name, netns, ifname, mac_addr FROM workload" PAGE("id"),
	 "INSERT INTO workload (id, server_id, user_id, name, netns, ifname, mac_addr) VALUES "
	 "(?, ?, ?, ?, ?, ?, ?)",
	 "SELECT count(*) FROM workload",
	 COLUMNS(INT("id", 1, UINT32_MAX), INT("server_id", 1, UINT32_MAX),
		 INT("user_id", 1, UINT32_MAX), TEXT("name", SP_NAME_MAX),
		 TEXT("netns", SP_NAME_MAX), TEXT("ifname", 16), BLOB("mac_addr", 6))},
	{"machine", true, true,
	 "SELECT id, server_id, user_id, name, domain, uuid, mac_addr, origin, memory_mib, vcpus, "
	 "start_when, ladder, grace_s, idle_s, min_up_s, addresses, pinned, want, held, router, "
	 "dhcp_server FROM machine" PAGE("id"),
	 "INSERT INTO machine (id, server_id, user_id, name, domain, uuid, mac_addr, origin, "
	 "memory_mib, vcpus, start_when, ladder, grace_s, idle_s, min_up_s, addresses, pinned, "
	 "want, held, router, dhcp_server) VALUES "
	 "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	 "SELECT count(*) FROM machine",
	 COLUMNS(INT("id", 1, UINT32_MAX), INT("server_id", 1, UINT32_MAX),
		 INT("user_id", 1, UINT32_MAX), TEXT("name", SP_NAME_MAX),
		 TEXT("domain", SP_DOMAIN_MAX), BLOB("uuid", SP_UUID_LEN), BLOB("mac_addr", 6),
		 INT("origin", ORIGIN_DOMAIN, ORIGIN_KERNEL), INT("memory_mib", 0, UINT32_MAX),
		 INT("vcpus", 0, UINT32_MAX), INT("start_when", START_CONNECT, START_MANUAL),
		 TEXT("ladder", SP_LADDER_MAX), INT("grace_s", STORE_DEFAULT, INT32_MAX),
		 INT("idle_s", STORE_DEFAULT, INT32_MAX), INT("min_up_s", STORE_DEFAULT, INT32_MAX),
		 TEXT("addresses", SP_ADDRESSES_MAX), INT("pinned", 0, 1),
		 INT("want", 0, UINT8_MAX), INT("held", 0, 1), INT("router", 0, 1),
		 INT("dhcp_server", 0, 1))},
	{"policy", true, false,
	 "SELECT machine_id, generation, text FROM policy" PAGE("machine_id"),
	 "INSERT INTO policy (machine_id, generation, text) VALUES (?, ?, ?)",
	 "SELECT count(*) FROM policy",
	 COLUMNS(INT("machine_id", 1, UINT32_MAX), INT("generation", 1, INT64_MAX),
		 {"text", COLUMN_TEXT, 0, SP_POLICY_MAX, true})},
	{"budget", true, false,
	 "SELECT user_id, rate_bytes, rate_frames, max_macs, max_flows, new_flows FROM "
	 "budget" PAGE("user_id"),
	 "INSERT INTO budget (user_id, rate_bytes, rate_frames, max_macs, max_flows, new_flows) "
	 "VALUES (?, ?, ?, ?, ?, ?)",
	 "SELECT count(*) FROM budget",
	 COLUMNS(INT("user_id", 1, UINT32_MAX), INT("rate_bytes", 0, INT64_MAX),
		 INT("rate_frames", 0, UINT32_MAX), INT("max_macs", 0, UINT32_MAX),
		 INT("max_flows", 0, UINT32_MAX), INT("new_flows", 0, UINT32_MAX))},
	{"lease", true, false, "SELECT machine_id, leases FROM lease" PAGE("machine_id"),
	 "INSERT INTO lease (machine_id, leases) VALUES (?, ?)", "SELECT count(*) FROM lease",
	 COLUMNS(INT("machine_id", 1, UINT32_MAX), TEXT("leases", SP_LEASES_MAX))},
	{"session", true, true,
	 "SELECT id, server_id, user_id, instance, common_name, trusted_ip, trusted_port, "
	 "time_unix, daemon_pid, vid, address_index, started, ended FROM session" PAGE("id"),
	 "INSERT INTO session (id, server_id, user_id, instance, common_name, trusted_ip, "
	 "trusted_port, time_unix, daemon_pid, vid, address_index, started, ended) VALUES "
	 "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	 "SELECT count(*) FROM session",
	 COLUMNS(INT("id", 1, INT64_MAX), INT("server_id", 1, UINT32_MAX),
		 INT("user_id", 1, UINT32_MAX), TEXT("instance", SP_INSTANCE_MAX),
		 TEXT("common_name", SP_CN_MAX), TEXT("trusted_ip", SP_ADDR_STRLEN),
		 INT("trusted_port", 0, UINT16_MAX), NUMBER("time_unix"), NUMBER("daemon_pid"),
		 INT("vid", 0, SP_VID_MAX), INT("address_index", 0, UINT32_MAX), NUMBER("started"),
		 INT("ended", 0, INT64_MAX))},
	{"mac", false, false,
	 "SELECT scope, mac_addr, user_id, session_id, workload_id, machine_id, holders, since "
	 "FROM mac ORDER BY scope, mac_addr",
	 "INSERT INTO mac (scope, mac_addr, user_id, session_id, workload_id, machine_id, holders, "
	 "since) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	 "SELECT count(*) FROM mac",
	 COLUMNS(INT("scope", 0, UINT32_MAX), BLOB("mac_addr", 6),
		 {"user_id", COLUMN_INT, 1, UINT32_MAX, true},
		 {"session_id", COLUMN_INT, 1, INT64_MAX, true},
		 {"workload_id", COLUMN_INT, 1, UINT32_MAX, true},
		 {"machine_id", COLUMN_INT, 1, UINT32_MAX, true}, INT("holders", 1, UINT32_MAX),
		 NUMBER("since"))},
	{"audit", true, true, "SELECT id, time, who, what, object, detail FROM audit" PAGE("id"),
	 "INSERT INTO audit (id, time, who, what, object, detail) VALUES (?, ?, ?, ?, ?, ?)",
	 "SELECT count(*) FROM audit",
	 COLUMNS(INT("id", 1, INT64_MAX), NUMBER("time"), TEXT("who", 256), TEXT("what", 256),
		 TEXT("object", 256), {"detail", COLUMN_TEXT, 0, LONG_TEXT_MAX - 1, true})},
	{.name = NULL},
};

/* Why V is not what C may hold; NULL: it is. */
static const char *check(const struct column_info *c, struct sql_value *v)
{
	bool text = c->kind == COLUMN_TEXT;

	if (v->type == SQL_NULL)
		return c->null ? NULL : "is NULL";
	if (c->kind == COLUMN_INT) {
		if (v->type != SQL_INT)
			return "is no number";
		return v->number < c->min || v->number > c->max ? "is out of its range" : NULL;
	}
	if (v->type != SQL_BYTES && v->type != (text ? SQL_TEXT : SQL_BLOB))
		return text ? "is no text" : "is not bytes";
	v->type = text ? SQL_TEXT : SQL_BLOB;
	if ((int64_t)v->size < c->min || (int64_t)v->size > c->max)
		return "is not as long as it must be";
	return text && memchr(v->data, '\0', v->size) ? "has a NUL in it" : NULL;
}

void row_read(struct sql *q, const struct table_info *t, struct row *ret)
{
	*ret = (struct row){.table = t};
	for (const struct column_info *c = t->columns; c->name; c++) {
		struct sql_value *v = &ret->values[ret->n++];
		const char *why;

		sql_value(q, v);
		why = check(c, v);
		if (why && !ret->bad) {
			ret->bad = why;
			ret->bad_column = c->name;
		}
	}
}

void row_name(const struct row *row, char ret[128])
{
	const struct sql_value *v = row->values;
	char mac[MAC_STRLEN] = "";

	if (!row->table->paged && v[1].size == 6)
		mac_format(v[1].data, mac);
	snprintf(ret, 128, "table %s, row %lld%s%s", row->table->name, (long long)v[0].number,
		 *mac ? " " : "", mac);
}

int rows_select(struct store *s, const struct table_info *t, int64_t last, struct sql **ret)
{
	int r = sql_prepare(s, t->select, ret);

	if (r == 0 && t->paged)
		sql_bind_int(*ret, last);
	return r;
}
