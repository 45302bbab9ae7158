/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does the store look like on MySQL 8 and MariaDB 10.11, and who makes it? An operator does,
 * by store_init and store_migrate: others may be at work on the database. SQLite's twin is in
 * sqlite_schema.c; what the columns mean is in docs/store.md.
 *
 * Names are bytes (VARBINARY): they are compared as bytes, and hostile ones survive. DDL cannot be
 * rolled back, so each of these can be run again where it was interrupted: the version is written
 * last.
 */
#include <errno.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "mysql_internal.h"

#define MYSQL_CHECK_EXISTS 3822 /* a constraint of the name; not in MariaDB's header */

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define ID "id INT UNSIGNED NOT NULL AUTO_INCREMENT"
#define LIMIT(name) name " INT UNSIGNED NOT NULL DEFAULT 0"

/* An id is unique while its session lives: the column is NULL, and so no key, afterwards. */
#define LIVE_VID                                                                                   \
	("live_vid SMALLINT UNSIGNED GENERATED ALWAYS AS (IF(ended = 0 AND vid > 0, vid, NULL)) "  \
	 "STORED")
#define CASCADE(name, column, table)                                                               \
	"CONSTRAINT " name " FOREIGN KEY (" column ") REFERENCES " table " (id) ON DELETE CASCADE"
#define ONE_HOLDER                                                                                 \
	("CONSTRAINT mac_one_holder CHECK ((user_id IS NOT NULL) = (session_id IS NOT NULL) + "    \
	 "(workload_id IS NOT NULL) + (machine_id IS NOT NULL))")

#define BUDGET                                                                                     \
	"user_id INT UNSIGNED NOT NULL", "rate_bytes BIGINT NOT NULL",                             \
		"rate_frames BIGINT NOT NULL", "max_macs BIGINT NOT NULL",                         \
		"max_flows BIGINT NOT NULL", "new_flows BIGINT NOT NULL", "PRIMARY KEY (user_id)", \
		"CONSTRAINT budget_user FOREIGN KEY (user_id) REFERENCES user (user_id)",          \
		"CONSTRAINT budget_rates CHECK (rate_bytes >= 0 AND rate_frames >= 0)",            \
		"CONSTRAINT budget_macs CHECK (max_macs >= 0)",                                    \
		"CONSTRAINT budget_flows CHECK (max_flows >= 0 AND new_flows >= 0)"
#define LEASE                                                                                      \
	"machine_id INT UNSIGNED NOT NULL", "leases VARBINARY(639) NOT NULL",                      \
		"PRIMARY KEY (machine_id)",                                                        \
		"CONSTRAINT lease_machine FOREIGN KEY (machine_id) REFERENCES machine (id)"

#define ROUTER "router TINYINT UNSIGNED NOT NULL DEFAULT 0"
#define DHCP_SERVER "dhcp_server TINYINT UNSIGNED NOT NULL DEFAULT 0"
#define IS_ROUTER "CONSTRAINT machine_router CHECK (router IN (0, 1))"
#define IS_DHCP_SERVER "CONSTRAINT machine_dhcp_server CHECK (dhcp_server IN (0, 1))"

static const struct mysql_table tables[] = {
	{"sallyport", PARTS("one TINYINT UNSIGNED NOT NULL", "version INT UNSIGNED NOT NULL",
			    "uuid BINARY(16) NOT NULL", "PRIMARY KEY (one)",
			    "CONSTRAINT sallyport_one CHECK (one = 1)")},
	/* `changes` counts what decided by a row: writers on two nodes of a cluster meet there. */
	{"server", PARTS(ID, "name VARBINARY(63) NOT NULL", "seen BIGINT NOT NULL",
			 "changes BIGINT UNSIGNED NOT NULL DEFAULT 0", "PRIMARY KEY (id)",
			 "UNIQUE KEY server_name (name)")},
	{"user",
	 PARTS("user_id INT UNSIGNED NOT NULL AUTO_INCREMENT", "username VARBINARY(63) NOT NULL",
	       "password VARBINARY(383) NOT NULL", "ip_addr VARBINARY(63) NOT NULL DEFAULT ''",
	       "ip6_addr VARBINARY(63) NOT NULL DEFAULT ''",
	       "disabled TINYINT UNSIGNED NOT NULL DEFAULT 0", LIMIT("max_sessions"),
	       LIMIT("max_macs"), LIMIT("max_machines"), LIMIT("max_memory_mib"),
	       LIMIT("max_vcpus"), "created BIGINT NOT NULL",
	       "changes BIGINT UNSIGNED NOT NULL DEFAULT 0", "PRIMARY KEY (user_id)",
	       "UNIQUE KEY user_username (username)",
	       "CONSTRAINT user_named CHECK (length(username) > 0)",
	       "CONSTRAINT user_disabled CHECK (disabled IN (0, 1))")},
	{"workload",
	 PARTS(ID, "server_id INT UNSIGNED NOT NULL", "user_id INT UNSIGNED NOT NULL",
	       "name VARBINARY(63) NOT NULL", "netns VARBINARY(63) NOT NULL",
	       "ifname VARBINARY(15) NOT NULL", "mac_addr BINARY(6) NOT NULL", "PRIMARY KEY (id)",
	       "UNIQUE KEY workload_name (user_id, name)",
	       "UNIQUE KEY workload_mac (user_id, mac_addr)",
	       "UNIQUE KEY workload_device (server_id, netns, ifname)",
	       "CONSTRAINT workload_server FOREIGN KEY (server_id) REFERENCES server (id)",
	       "CONSTRAINT workload_user FOREIGN KEY (user_id) REFERENCES user (user_id)")},
	{"machine",
	 PARTS(ID, "server_id INT UNSIGNED NOT NULL", "user_id INT UNSIGNED NOT NULL",
	       "name VARBINARY(63) NOT NULL", "domain VARBINARY(127) NOT NULL",
	       "uuid BINARY(16) NOT NULL", "mac_addr BINARY(6) NOT NULL",
	       "origin TINYINT UNSIGNED NOT NULL", "memory_mib INT UNSIGNED NOT NULL",
	       "vcpus INT UNSIGNED NOT NULL", "start_when TINYINT UNSIGNED NOT NULL",
	       "ladder VARBINARY(127) NOT NULL", "grace_s INT NOT NULL", "idle_s INT NOT NULL",
	       "min_up_s INT NOT NULL", "addresses VARBINARY(511) NOT NULL",
	       "pinned TINYINT UNSIGNED NOT NULL", "want TINYINT UNSIGNED NOT NULL",
	       "held TINYINT UNSIGNED NOT NULL", ROUTER, DHCP_SERVER, "PRIMARY KEY (id)",
	       "UNIQUE KEY machine_name (user_id, name)",
	       "UNIQUE KEY machine_domain (server_id, domain)", "UNIQUE KEY machine_uuid (uuid)",
	       "UNIQUE KEY machine_mac (mac_addr)",
	       "CONSTRAINT machine_server FOREIGN KEY (server_id) REFERENCES server (id)",
	       "CONSTRAINT machine_user FOREIGN KEY (user_id) REFERENCES user (user_id)",
	       "CONSTRAINT machine_pinned CHECK (pinned IN (0, 1))",
	       "CONSTRAINT machine_held CHECK (held IN (0, 1))", IS_ROUTER, IS_DHCP_SERVER)},
	{"policy",
	 PARTS("machine_id INT UNSIGNED NOT NULL", "generation BIGINT NOT NULL", "text MEDIUMBLOB",
	       "PRIMARY KEY (machine_id)", CASCADE("policy_of_machine", "machine_id", "machine"),
	       "CONSTRAINT policy_generation CHECK (generation > 0)")},
	{"session",
	 PARTS("id BIGINT NOT NULL AUTO_INCREMENT", "server_id INT UNSIGNED NOT NULL",
	       "user_id INT UNSIGNED NOT NULL", "instance VARBINARY(31) NOT NULL",
	       "common_name VARBINARY(127) NOT NULL", "trusted_ip VARBINARY(63) NOT NULL",
	       "trusted_port SMALLINT UNSIGNED NOT NULL", "time_unix BIGINT NOT NULL",
	       "daemon_pid BIGINT NOT NULL", "vid SMALLINT UNSIGNED NOT NULL",
	       "address_index INT UNSIGNED NOT NULL", "started BIGINT NOT NULL",
	       "ended BIGINT NOT NULL DEFAULT 0", LIVE_VID,
	       "changes BIGINT UNSIGNED NOT NULL DEFAULT 0", "PRIMARY KEY (id)",
	       "KEY session_live (user_id, ended)", "KEY session_ended (server_id, ended)",
	       "UNIQUE KEY session_vid (server_id, instance, live_vid)",
	       "CONSTRAINT session_server FOREIGN KEY (server_id) REFERENCES server (id)",
	       "CONSTRAINT session_vid_range CHECK (vid <= 4094)")},
	{"mac", PARTS("scope INT UNSIGNED NOT NULL", "mac_addr BINARY(6) NOT NULL",
		      "user_id INT UNSIGNED", "session_id BIGINT", "workload_id INT UNSIGNED",
		      "machine_id INT UNSIGNED", "holders INT UNSIGNED NOT NULL DEFAULT 1",
		      "since BIGINT NOT NULL", "PRIMARY KEY (scope, mac_addr)",
		      "KEY mac_user (user_id)", "KEY mac_session (session_id)",
		      "KEY mac_workload (workload_id)", "KEY mac_machine (machine_id)",
		      "CONSTRAINT mac_of_user FOREIGN KEY (user_id) REFERENCES user (user_id)",
		      CASCADE("mac_of_session", "session_id", "session"),
		      CASCADE("mac_of_workload", "workload_id", "workload"),
		      CASCADE("mac_of_machine", "machine_id", "machine"),
		      "CONSTRAINT mac_shared CHECK (scope = 0 OR user_id IS NOT NULL)",
		      "CONSTRAINT mac_held CHECK (holders > 0)", ONE_HOLDER)},
	{"budget", PARTS(BUDGET)},
	{"lease", PARTS(LEASE)},
	{"audit", PARTS("id BIGINT NOT NULL AUTO_INCREMENT", "time BIGINT NOT NULL",
			"who VARBINARY(255) NOT NULL", "what VARBINARY(255) NOT NULL",
			"object VARBINARY(255) NOT NULL", "detail BLOB", "PRIMARY KEY (id)")},
	{.name = NULL},
};

/* The paper's Table I; a user's addresses are those that the sessions have claimed. */
#define HEX(n) "hex(substr(m.mac_addr, " #n ", 1))"
static const char view[] =
	"CREATE OR REPLACE SQL SECURITY INVOKER VIEW users "
	"(user_id, username, password, mac_addr, ip_addr) AS "
	"SELECT u.user_id, u.username, u.password, (SELECT group_concat(DISTINCT lower(concat_ws("
	"':', " HEX(1) ", " HEX(2) ", " HEX(3) ", " HEX(4) ", " HEX(5) ", " HEX(
		6) ")) "
		   "ORDER BY m.mac_addr SEPARATOR ' ') FROM mac m WHERE m.user_id = u.user_id AND "
		   "m.session_id IS NOT NULL), u.ip_addr FROM user u";

/* 4 has more tables, and of machines what they are. One statement: it is done, or it is not. */
static const char *const to_4[] = {"ALTER TABLE machine ADD COLUMN " ROUTER
				   ", ADD COLUMN " DHCP_SERVER ", ADD " IS_ROUTER
				   ", ADD " IS_DHCP_SERVER,
				   NULL};
static const char *const *const steps[STORE_SCHEMA_VERSION - 3] = {to_4};

const struct mysql_schema mysql_schema = {
	.first = 3, .last = STORE_SCHEMA_VERSION, .steps = steps, .tables = tables, .view = view};

/* --- which version is it? --- */

int mysql_schema_version(struct mysql_store *s, int *ret_version, uint8_t ret_uuid[16])
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(&s->base, "SELECT version, uuid FROM sallyport WHERE one = 1", &q);

	if (r < 0)
		return r;
	r = sql_step(q);
	if (r == -EUCLEAN) /* no such table, most likely */
		r = 0;
	if (r == 0)
		return sql_fail(
			&s->base, -ENODATA,
			"there is no store in the database '%s'; make one: sallyport store init",
			s->database ? s->database : "");
	if (r < 0)
		return r;
	*ret_version = (int)sql_int(q, 0, INT32_MAX);
	sql_blob(q, ret_uuid, 16);
	return sql_row(q, "sallyport");
}

static int check_version(struct mysql_store *s, const struct mysql_schema *schema, int version)
{
	if (version == 0)
		return sql_fail(&s->base, -ENODATA,
				"a store was begun in the database '%s' and not finished; again: "
				"sallyport store init",
				s->database ? s->database : "");
	if (version > schema->last)
		return sql_fail(&s->base, -EPROTONOSUPPORT,
				"made by a newer version of sallyportd; upgrade this one");
	if (version < schema->first)
		return sql_fail(&s->base, -EUCLEAN, "ours, but of no version that ever was");
	if (version < schema->last)
		return sql_fail(&s->base, -ENOTUNIQ,
				"of an older version (%d); when no server uses it: sallyport store "
				"migrate",
				version);
	return 0;
}

int mysql_schema_check(struct mysql_store *s, const struct mysql_schema *schema)
{
	int version = 0;
	int r = mysql_schema_version(s, &version, s->uuid);

	r = r ?: check_version(s, schema, version);
	r = r ?: mysql_compare(s, schema);
	s->knows_uuid = r == 0;
	return r;
}

/* --- making it --- */

/* Each statement has the whole time of a call: that others use the tables may hold it up. */
static int run(struct mysql_store *s, const char *sql)
{
	int r;

	store_enter(&s->base);
	r = mysql_ready(s);
	return r ?: mysql_plain(s, sql);
}

static int make_table(struct mysql_store *s, const struct mysql_table *t)
{
	_cleanup_free_
	char *sql = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&sql, &size);

	if (!f)
		return -ENOMEM;
	fprintf(f, "CREATE TABLE IF NOT EXISTS %s (", t->name);
	for (const char *const *part = t->parts; *part; part++)
		fprintf(f, "%s%s", part == t->parts ? "" : ", ", *part);
	fputs(") ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", f);
	return fclose(f) == 0 ? run(s, sql) : -ENOMEM;
}

static int is_there(struct mysql_store *s, const char *name, bool *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t n = 0;
	int r = sql_prepare(&s->base,
			    "SELECT count(*) FROM information_schema.tables "
			    "WHERE table_schema = database() AND table_name = ?",
			    &q);

	if (r < 0)
		return r;
	sql_bind_chars(q, name);
	r = sql_number(q, 0, &n);
	if (r == 0)
		*ret = n > 0;
	return r;
}

/* Somebody else's table of that name would be used as if it were ours. */
static int check_free(struct mysql_store *s, const struct mysql_schema *schema)
{
	bool there = false;
	int r = 0;

	for (const struct mysql_table *t = schema->tables; r == 0 && !there && t->name; t++) {
		r = is_there(s, t->name, &there);
		if (r == 0 && there)
			r = sql_fail(
				&s->base, -EEXIST,
				"the database '%s' has a table '%s': a store needs a database of "
				"its own",
				s->database ? s->database : "", t->name);
	}
	r = r ?: is_there(s, "users", &there);
	return r == 0 && there ? sql_fail(&s->base, -EEXIST,
					  "the database '%s' has a table 'users': a store needs a "
					  "database of "
					  "its own",
					  s->database ? s->database : "")
			       : r;
}

static int set_version(struct mysql_store *s, int version)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(&s->base, "UPDATE sallyport SET version = ? WHERE one = 1", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, version);
	return sql_change(q);
}

static int insert_version(struct mysql_store *s)
{
	_cleanup_sql_ struct sql *q = NULL;
	uint8_t uuid[16];
	int r = sql_prepare(&s->base, "INSERT INTO sallyport (one, version, uuid) VALUES (1, 0, ?)",
			    &q);

	if (r == 0 && getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
		r = -EIO;
	if (r < 0)
		return r;
	sql_bind_blob(q, uuid, sizeof(uuid));
	r = sql_run(q);
	return r == -EEXIST ? 0 : r;
}

/* Nothing of ours, or what an interrupted run left: version 0. */
static int check_makeable(struct mysql_store *s, const struct mysql_schema *schema)
{
	int version = 0;
	uint8_t uuid[16];
	bool begun = false;
	int r = is_there(s, "sallyport", &begun);

	if (r < 0)
		return r;
	if (!begun)
		return check_free(s, schema);
	r = mysql_schema_version(s, &version, uuid);
	if (r == -ENODATA || (r == 0 && version == 0))
		return 0;
	return r
		       ?: sql_fail(&s->base, -EEXIST, "there is a store in the database '%s'",
				   s->database ? s->database : "");
}

int mysql_schema_make(struct mysql_store *s, const struct mysql_schema *schema)
{
	int r = check_makeable(s, schema);

	for (const struct mysql_table *t = schema->tables; r == 0 && t->name; t++) {
		r = make_table(s, t);
		if (r == 0 && t == schema->tables) /* the first: the version */
			r = insert_version(s);
	}
	r = r ?: run(s, schema->view);
	store_enter(&s->base);
	r = r ?: mysql_compare(s, schema);
	return r ?: set_version(s, schema->last);
}

/* --- migrating --- */

/* What a run that was interrupted has done already is no error. */
static int run_again(struct mysql_store *s, const char *sql)
{
	int r = run(s, sql);

	if (r < 0 && s->my)
		switch (mysql_errno(s->my)) {
		case ER_DUP_FIELDNAME:
		case ER_DUP_KEYNAME:
		case ER_TABLE_EXISTS_ERROR:
		case ER_CANT_DROP_FIELD_OR_KEY:
		case ER_DUP_CONSTRAINT_NAME:
		case MYSQL_CHECK_EXISTS:
			return 0;
		}
	return r;
}

int mysql_schema_migrate(struct mysql_store *s, const struct mysql_schema *schema, int *ret_from)
{
	uint8_t uuid[16];
	int version = 0;
	int r = mysql_schema_version(s, &version, uuid);

	if (r == 0)
		r = check_version(s, schema, version);
	if (r == 0)
		*ret_from = version;
	if (r != -ENOTUNIQ)
		return r;
	r = 0;
	/* Tables that are new in between are made as in a new store. */
	for (const struct mysql_table *t = schema->tables; r == 0 && t->name; t++)
		r = make_table(s, t);
	for (int v = version; r == 0 && v < schema->last; v++) {
		const char *const *sql = schema->steps[v - schema->first];

		for (; r == 0 && *sql; sql++)
			r = run_again(s, *sql);
		if (v + 1 < schema->last)
			r = r ?: set_version(s, v + 1);
	}
	store_enter(&s->base);
	r = r ?: mysql_compare(s, schema); /* a table that was there may not be ours */
	r = r ?: set_version(s, schema->last);
	if (r == 0)
		*ret_from = version;
	return r;
}

/* --- as store.h has it --- */

static int open_first(const struct store_options *o, struct mysql_store **ret, char **ret_error)
{
	struct mysql_store *s;
	int r = mysql_store_new(o, &s, ret_error);

	if (r < 0)
		return r;
	store_enter(&s->base);
	r = mysql_ready(s);
	if (r < 0) {
		store_open_failed(ret_error, r, "[store]", s->base.error);
		store_close(&s->base);
		return r;
	}
	*ret = s;
	return 0;
}

static int finish(struct mysql_store *s, int r, char **ret_error)
{
	const char *where = mysql_where(s);
	bool said = strncmp(s->base.error, where, strlen(where)) == 0;

	if (r < 0)
		store_open_failed(ret_error, r, said ? "[store]" : where, s->base.error);
	store_close(&s->base);
	return r;
}

int mysql_open(const struct store_options *o, struct store **ret, char **ret_error)
{
	struct mysql_store *s;
	int r = open_first(o, &s, ret_error);

	if (r < 0)
		return r;
	r = mysql_schema_check(s, &mysql_schema);
	if (r < 0)
		return finish(s, r, ret_error);
	*ret = &s->base;
	return 0;
}

int mysql_init_schema(const struct store_options *o, char **ret_error)
{
	struct mysql_store *s;
	int r = open_first(o, &s, ret_error);

	return r < 0 ? r : finish(s, mysql_schema_make(s, &mysql_schema), ret_error);
}

int mysql_migrate(const struct store_options *o, int *ret_from, char **ret_error)
{
	struct mysql_store *s;
	int r = open_first(o, &s, ret_error);

	return r < 0 ? r : finish(s, mysql_schema_migrate(s, &mysql_schema, ret_from), ret_error);
}
