/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server that refuses, a database that is not ours, rows that cannot be: is each told with the
 * right error and words that help, and without a secret?
 */
#include "store_fixture.h"

#include "loader/store/mysql_internal.h"

/* --- a server that refuses --- */

/* What docs/store.md has an operator do; the password is in a file. */
static void make_account(const char *password)
{
	char sql[512], file[128];
	FILE *f;

	snprintf(sql, sizeof(sql),
		 "CREATE OR REPLACE USER sallyport@localhost IDENTIFIED BY '%s'; "
		 "GRANT SELECT, INSERT, UPDATE, DELETE ON %s.* TO sallyport@localhost",
		 password, fixture_database);
	mariadb_sql(&fixture_server, NULL, sql);
	snprintf(file, sizeof(file), "%s/password", fixture_server.dir);
	f = fopen(file, "we");
	assert_non_null(f);
	fprintf(f, "%s\n", password);
	fclose(f);
}

static struct store_options as_account(void)
{
	static char file[128];
	struct store_options o = fixture_options();

	snprintf(file, sizeof(file), "%s/password", fixture_server.dir);
	o.mysql.user = "sallyport";
	o.mysql.password_file = file;
	return o;
}

static int try_open(const struct store_options *o, char **error)
{
	_cleanup_(store_closep) struct store *s = NULL;

	return store_open(o, &s, error);
}

static void test_password(void **state)
{
	struct store_options o = as_account();
	char file[160], *error = NULL;

	make_account("geheim n\" so");
	assert_int_equal(try_open(&o, &error), 0);
	make_account("another");
	assert_int_equal(try_open(&o, NULL), 0);
	mariadb_sql(&fixture_server, NULL,
		    "ALTER USER sallyport@localhost IDENTIFIED BY 'and-another'");
	assert_int_equal(try_open(&o, &error), -EPERM);
	assert_non_null(strstr(error, "Access denied for user 'sallyport'"));
	assert_null(strstr(error, "another"));
	free(error);
	o.mysql.password_file = "/nonexistent";
	assert_int_equal(try_open(&o, &error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent: No such file"));
	free(error);
	o.mysql.password_file = "/etc/passwd"; /* many lines */
	assert_int_equal(try_open(&o, &error), -EINVAL);
	assert_non_null(strstr(error, "in one line"));
	assert_null(strstr(error, "root:"));
	free(error);
	/* The manager's directory of credentials, where it is one. */
	o.mysql.password_file = NULL;
	o.mysql.password_credential = "db-password";
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(try_open(&o, &error), -ENOENT);
	assert_non_null(strstr(error, "LoadCredential="));
	free(error);
	snprintf(file, sizeof(file), "%s/db-password", fixture_server.dir);
	{
		FILE *f = fopen(file, "we");

		fputs("and-another", f); /* without an end of line */
		fclose(f);
	}
	setenv("CREDENTIALS_DIRECTORY", fixture_server.dir, 1);
	assert_int_equal(try_open(&o, NULL), 0);
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* A password that is changed is read at the next connect. */
static void test_password_changed(void **state)
{
	struct store_options o = as_account();
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_user u;

	make_account("one");
	assert_int_equal(store_open(&o, &s, NULL), 0);
	add_user(s, "a", &u);
	make_account("two");
	kill_connections();
	assert_int_equal(store_user_get(s, "a", &u), 0);
	/* Who may not any more is told so, and it is not said of the user. */
	mariadb_sql(&fixture_server, NULL, "DROP USER sallyport@localhost");
	kill_connections();
	{
		struct store_session x = a_session(&u, 2);

		assert_int_equal(store_session_begin(s, &x, 9), -EPERM);
	}
}

static void test_read_only(void **state)
{
	struct store_options o = as_account();
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_user u;
	struct store_session x;

	make_account("pw");
	assert_int_equal(store_open(&o, &s, NULL), 0);
	add_user(s, "a", &u);
	x = a_session(&u, 2);
	mariadb_sql(&fixture_server, NULL, "SET GLOBAL read_only = 1");
	assert_int_equal(store_try(s), -EROFS);
	assert_int_equal(store_session_begin(s, &x, 9), -EROFS);
	assert_non_null(strstr(store_error(s), "read-only"));
	assert_int_equal(store_user_get(s, "a", &u), 0);
	assert_int_equal(store_check(s), 0);
	/* It can be opened, by a server that it knows. */
	assert_int_equal(try_open(&o, NULL), 0);
	o.server = "a new one";
	assert_int_equal(try_open(&o, NULL), -EROFS);
	mariadb_sql(&fixture_server, NULL, "SET GLOBAL read_only = 0");
	assert_int_equal(store_session_begin(s, &x, 9), 0);
}

static void test_rights(void **state)
{
	struct store_options o = as_account();
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_user u;
	char sql[128];

	make_account("pw");
	assert_int_equal(store_open(&o, &s, NULL), 0);
	add_user(s, "a", &u);
	snprintf(sql, sizeof(sql), "REVOKE DELETE ON %s.* FROM sallyport@localhost",
		 fixture_database);
	mariadb_sql(&fixture_server, NULL, sql);
	kill_connections();
	assert_int_equal(store_user_delete(s, "a"), -EPERM);
	assert_non_null(strstr(store_error(s), "DELETE command denied"));
	assert_int_equal(store_user_get(s, "a", &u), 0);
}

/* --- a database that is not ours --- */

static void expect_error(int want, const char *words)
{
	struct store_options o = fixture_options();
	char *error = NULL;
	int r = try_open(&o, &error);

	if (r != want || (words && !strstr(error ? error : "", words)))
		fail_msg("expected %d '%s', got %d '%s'", want, words ? words : "", r,
			 error ? error : "");
	free(error);
}

static void test_no_schema(void **state)
{
	struct store_options o = fixture_options();
	char *error = NULL;
	int from = 7;

	foreign("DROP VIEW users; SET foreign_key_checks = 0; DROP TABLE policy, mac, lease, "
		"budget, machine, workload, session, audit, user, server, sallyport");
	expect_error(-ENODATA, "make one: sallyport store init");
	assert_int_equal(store_migrate(&o, &from, NULL), -ENODATA);
	/* Somebody else's table of a name of ours. */
	foreign("CREATE TABLE user (name TEXT)");
	assert_int_equal(store_init(&o, &error), -EEXIST);
	assert_non_null(strstr(error, "has a table 'user'"));
	free(error);
	foreign("DROP TABLE user; CREATE TABLE users (name TEXT)");
	assert_int_equal(store_init(&o, NULL), -EEXIST);
	foreign("DROP TABLE users");
	assert_int_equal(store_init(&o, NULL), 0);
	assert_int_equal(store_init(&o, NULL), -EEXIST);
	assert_int_equal(store_migrate(&o, &from, NULL), 0);
	assert_int_equal(from, STORE_SCHEMA_VERSION);
	expect_error(0, NULL);
	/* One that was interrupted is finished by the next. */
	foreign("UPDATE sallyport SET version = 0; SET foreign_key_checks = 0; DROP TABLE mac, "
		"audit; "
		"DROP VIEW users");
	expect_error(-ENODATA, "was begun");
	assert_int_equal(store_init(&o, NULL), 0);
	expect_error(0, NULL);
	o.mysql.database = "nonexistent";
	assert_int_equal(try_open(&o, &error), -ENODATA);
	assert_non_null(strstr(error, "nonexistent"));
	free(error);
}

static void test_versions(void **state)
{
	struct store_options o = fixture_options();
	int from = 7;

	foreign("UPDATE sallyport SET version = 99");
	expect_error(-EPROTONOSUPPORT, "newer version");
	assert_int_equal(store_migrate(&o, &from, NULL), -EPROTONOSUPPORT);
	foreign("UPDATE sallyport SET version = 2"); /* there never was one here */
	expect_error(-EUCLEAN, "of no version that ever was");
	foreign("DELETE FROM sallyport");
	expect_error(-ENODATA, NULL);
}

/* The next version's step, if there were one: run once, and again where it was interrupted. */
static void test_step(void **state)
{
	static const char *const add[] = {"ALTER TABLE audit ADD COLUMN host VARBINARY(63)",
					  "CREATE INDEX audit_host ON audit (host)", NULL};
	static const char *const *const steps[] = {add};
	static const char *const parts[] = {"id BIGINT NOT NULL AUTO_INCREMENT",
					    "time BIGINT NOT NULL",
					    "who VARBINARY(255) NOT NULL",
					    "what VARBINARY(255) NOT NULL",
					    "object VARBINARY(255) NOT NULL",
					    "detail BLOB",
					    "host VARBINARY(63)",
					    "PRIMARY KEY (id)",
					    "KEY audit_host (host)",
					    NULL};
	struct mysql_table tables[16] = {0};
	struct mysql_schema next = mysql_schema;
	struct store *base = open_or_fail();
	struct mysql_store *s = mysql_of(base);
	int from = 7;

	for (size_t i = 0; mysql_schema.tables[i].name; i++) {
		tables[i] = mysql_schema.tables[i];
		if (strcmp(tables[i].name, "audit") == 0)
			tables[i].parts = parts;
	}
	next.first = mysql_schema.last;
	next.last = mysql_schema.last + 1;
	next.steps = steps;
	next.tables = tables;
	store_enter(base);
	assert_int_equal(mysql_schema_check(s, &next), -ENOTUNIQ);
	assert_non_null(strstr(store_error(base), "sallyport store migrate"));
	foreign(add[0]); /* as an interrupted run would have left it */
	assert_int_equal(mysql_schema_migrate(s, &next, &from), 0);
	assert_int_equal(from, mysql_schema.last);
	assert_int_equal(mysql_schema_check(s, &next), 0);
	assert_int_equal(mysql_schema_migrate(s, &next, &from), 0);
	assert_int_equal(from, next.last);
	/* And to this program it is a newer one's. */
	store_close(base);
	expect_error(-EPROTONOSUPPORT, NULL);
}

/* A database as version 3 left it, with rows; and what an interrupted run leaves. */
static void test_version_3(void **state)
{
	struct store_machine m = {.origin = ORIGIN_DOMAIN,
				  .policy = {.start = START_MANUAL},
				  .user = "old",
				  .name = "m",
				  .router = true,
				  .domain = "m",
				  .mac = {0x52, 0x54, 0, 0, 0, 1}};
	struct store_options o = fixture_options();
	struct store_user u;
	struct store *s = open_or_fail();
	uint64_t n = 1;
	int from = 0;

	add_user(s, "old", &u);
	assert_int_equal(store_machine_add(s, &m), 0);
	store_close(s);
	foreign("DROP TABLE policy, budget, lease; UPDATE sallyport SET version = 3; "
		"ALTER TABLE machine DROP CONSTRAINT machine_router, "
		"DROP CONSTRAINT machine_dhcp_server, DROP COLUMN router, DROP COLUMN dhcp_server");
	expect_error(-ENOTUNIQ, "sallyport store migrate");
	assert_int_equal(store_migrate(&o, &from, NULL), 0);
	assert_int_equal(from, 3);
	foreign("DROP TABLE lease; UPDATE sallyport SET version = 3");
	assert_int_equal(store_migrate(&o, &from, NULL), 0);
	/* Somebody else's table of that name is not taken for ours. */
	foreign("DROP TABLE policy; CREATE TABLE policy (id INT); UPDATE sallyport SET version = "
		"3");
	assert_int_equal(store_migrate(&o, &from, NULL), -EUCLEAN);
	foreign("DROP TABLE policy");
	assert_int_equal(store_migrate(&o, &from, NULL), 0);
	s = open_or_fail();
	assert_int_equal(store_user_get(s, "old", &u), 0);
	assert_int_equal(store_machine_get(s, "old", "m", &m), 0);
	assert_false(m.router || m.dhcp_server);
	assert_int_equal(store_verify(s, NULL, NULL, &n), 0);
	assert_int_equal(n, 0);
	store_close(s);
}

static void test_altered(void **state)
{
	static const struct {
		const char *sql, *words;
	} altered[] = {
		{"DROP TABLE audit", "'audit' is missing"},
		{"DROP VIEW users", "table users"},
		{"ALTER TABLE user ADD COLUMN shell TEXT", "table user: a column more"},
		{"ALTER TABLE user DROP COLUMN max_vcpus", "max_vcpus INT UNSIGNED"},
		{"ALTER TABLE user MODIFY username VARCHAR(63) NOT NULL", "username VARBINARY(63)"},
		{"ALTER TABLE user MODIFY password VARBINARY(100) NOT NULL",
		 "password VARBINARY(383)"},
		{"ALTER TABLE user MODIFY created BIGINT", "created BIGINT NOT NULL"},
		{"ALTER TABLE user MODIFY created BIGINT UNSIGNED NOT NULL",
		 "created BIGINT NOT NULL"},
		{"ALTER TABLE user DROP KEY user_username", "UNIQUE KEY user_username"},
		{"ALTER TABLE user DROP KEY user_username, ADD KEY user_username (username)",
		 "UNIQUE KEY user_username"},
		{"ALTER TABLE session DROP KEY session_vid, ADD UNIQUE KEY session_vid (instance, "
		 "live_vid)",
		 "UNIQUE KEY session_vid"},
		{"ALTER TABLE session DROP KEY session_vid, DROP COLUMN live_vid, ADD COLUMN "
		 "live_vid "
		 "SMALLINT UNSIGNED AFTER ended",
		 "live_vid"},
		{"ALTER TABLE session MODIFY live_vid SMALLINT UNSIGNED GENERATED ALWAYS AS "
		 "(IF(ended = "
		 "0, vid, NULL)) STORED",
		 "ifended=0andvid>0,vid,null"},
		{"ALTER TABLE mac DROP FOREIGN KEY mac_of_session", "CONSTRAINT mac_of_session"},
		{"ALTER TABLE mac DROP FOREIGN KEY mac_of_session; ALTER TABLE mac ADD CONSTRAINT "
		 "mac_of_session FOREIGN KEY (session_id) REFERENCES session (id)",
		 "CONSTRAINT mac_of_session"},
		{"ALTER TABLE mac DROP CONSTRAINT mac_one_holder", "CONSTRAINT mac_one_holder"},
		{"ALTER TABLE mac DROP PRIMARY KEY, ADD PRIMARY KEY (mac_addr, scope)",
		 "PRIMARY KEY (scope, mac_addr)"},
		{"SET foreign_key_checks = 0; ALTER TABLE audit ENGINE = Aria", "ENGINE = InnoDB"},
		{"CREATE OR REPLACE VIEW users AS SELECT user_id FROM user", "users"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(altered); i++) {
		foreign(altered[i].sql);
		expect_error(-EUCLEAN, altered[i].words);
		teardown_mysql(NULL);
		assert_int_equal(setup_mysql(NULL), 0);
	}
	/* What an operator adds beside it is the operator's. */
	foreign("CREATE INDEX operators_own ON audit (who); CREATE TABLE operators_own (i INT)");
	expect_error(0, NULL);
}

static void test_altered_meanwhile(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u;

	assert_int_equal(store_audit_add(s, "a", "b", "c", NULL), 0);
	foreign("ALTER TABLE audit DROP COLUMN detail");
	assert_int_equal(store_audit_add(s, "a", "b", "c", NULL), -EUCLEAN);
	assert_non_null(strstr(store_error(s), "detail"));
	foreign("DROP TABLE audit");
	assert_int_equal(store_audit_add(s, "a", "b", "c", NULL), -EUCLEAN);
	add_user(s, "a", &u);
	foreign("ALTER TABLE user ADD COLUMN more INT"); /* we ask for columns by name */
	assert_int_equal(store_user_get(s, "a", &u), 0);
}

static int any_workload(const struct store_workload *w, void *arg)
{
	return 0;
}

static int any_user(const struct store_user *u, void *arg)
{
	return 0;
}

static int any_session(const struct store_session *x, void *arg)
{
	return 0;
}

static int any_audit(int64_t when, const char *who, const char *what, const char *object,
		     const char *detail, void *arg)
{
	return 0;
}

/* What is read back is not believed, whoever made the column wider. */
static void test_rows_distrusted(void **state)
{
	static const struct {
		const char *sql;
	} rows[] = {
		{"UPDATE user SET username = x'610062'"},
		{"ALTER TABLE user MODIFY username VARBINARY(900) NOT NULL; UPDATE user SET "
		 "username = "
		 "repeat('x', 64)"},
		{"ALTER TABLE user MODIFY password LONGBLOB NOT NULL; UPDATE user SET password = "
		 "repeat('x', 384)"},
		{"ALTER TABLE user MODIFY password LONGBLOB NOT NULL; UPDATE user SET password = "
		 "repeat('x', 3000000)"},
		{"ALTER TABLE user MODIFY password BLOB; UPDATE user SET password = NULL"},
		{"SET check_constraint_checks = 0; UPDATE user SET disabled = 2"},
		{"ALTER TABLE user MODIFY max_macs BIGINT UNSIGNED NOT NULL; UPDATE user SET "
		 "max_macs = "
		 "18446744073709551615"},
		{"ALTER TABLE user MODIFY max_macs VARCHAR(20)"},
		{"ALTER TABLE workload MODIFY mac_addr VARBINARY(8) NOT NULL; UPDATE workload SET "
		 "mac_addr = x'0200000000'"},
		{"ALTER TABLE workload MODIFY ifname VARBINARY(99) NOT NULL; UPDATE workload SET "
		 "ifname = "
		 "'sixteen-bytes-xx'"},
		{"SET check_constraint_checks = 0; UPDATE session SET vid = 4095"},
		{"ALTER TABLE session MODIFY trusted_port INT NOT NULL; UPDATE session SET "
		 "trusted_port = "
		 "-1"},
		{"UPDATE session SET common_name = x'00'"},
		{"UPDATE audit SET who = x'610062'"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct store *s = open_or_fail();
		struct store_workload w = {
			.user = "a", .name = "w", .netns = "n", .ifname = "eth0", .mac = {2}};
		struct store_session x;
		struct store_user u;
		int bad = 0;

		add_user(s, "a", &u);
		x = a_session(&u, 2);
		assert_int_equal(store_workload_add(s, &w), 0);
		assert_int_equal(store_session_begin(s, &x, 9), 0);
		assert_int_equal(store_audit_add(s, "a", "b", "c", NULL), 0);
		foreign(rows[i].sql);
		bad += store_user_each(s, any_user, NULL) == -EUCLEAN;
		bad += store_workload_each(s, any_workload, NULL) == -EUCLEAN;
		bad += store_session_each_live(s, any_session, NULL) == -EUCLEAN;
		bad += store_audit_each(s, 9, any_audit, NULL) == -EUCLEAN;
		if (!bad || !strstr(store_error(s), "is not what the schema promises"))
			fail_msg("%s: taken; %s", rows[i].sql, store_error(s));
		store_close(s);
		teardown_mysql(NULL);
		assert_int_equal(setup_mysql(NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_MYSQL(test_password),	  TEST_MYSQL(test_password_changed),
		TEST_MYSQL(test_read_only),	  TEST_MYSQL(test_rights),
		TEST_MYSQL(test_no_schema),	  TEST_MYSQL(test_version_3),
		TEST_MYSQL(test_versions),	  TEST_MYSQL(test_step),
		TEST_MYSQL(test_altered),	  TEST_MYSQL(test_altered_meanwhile),
		TEST_MYSQL(test_rows_distrusted),
	};

	return cmocka_run_group_tests_name("store mysql refusals", tests, start_mysql, stop_mysql);
}
