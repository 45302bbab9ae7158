/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store on SQLite or on a MariaDB of the test's own, a new one for each test, and other hands on
 * the same data.
 */
#ifndef SALLYPORT_SELFTESTS_STORE_FIXTURE_H
#define SALLYPORT_SELFTESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "loader/store/store_internal.h"
#include "selftests/harness/mariadb.h"

#define FIXTURE_TIMEOUT_MS 300
#define FIXTURE_SERVER_TIMEOUT_MS 5000

static char dir[64], path[96];

/* Of the whole program; and a database for each test. */
static struct mariadb fixture_server;
static char fixture_database[32];
static bool fixture_is_mysql;

static inline int setup(void **state)
{
	fixture_is_mysql = false;
	strcpy(dir, "/dev/shm/sp-store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/db", dir);
	return 0;
}

static inline int teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char file[128];

	for (size_t i = 0; i < SP_ARRAY_SIZE(suffixes); i++) {
		snprintf(file, sizeof(file), "%s%s", path, suffixes[i]);
		unlink(file);
	}
	return rmdir(dir);
}

static inline int start_mysql(void **state)
{
	return mariadb_new(&fixture_server) < 0 || mariadb_start(&fixture_server) < 0 ? -1 : 0;
}

static inline int stop_mysql(void **state)
{
	mariadb_free(&fixture_server);
	return 0;
}

static inline struct store_options fixture_options(void)
{
	struct store_options o = {.path = path, .timeout_ms = FIXTURE_TIMEOUT_MS, .server = "here"};

	if (fixture_is_mysql)
		o = (struct store_options){.timeout_ms = FIXTURE_SERVER_TIMEOUT_MS,
					   .server = "here",
					   .mysql = {.socket = fixture_server.socket,
						     .user = "root",
						     .database = fixture_database}};
	return o;
}

static inline int setup_mysql(void **state)
{
	static unsigned int n;
	_cleanup_free_
	char *error = NULL;
	struct store_options o;
	char sql[64];

	fixture_is_mysql = true;
	snprintf(fixture_database, sizeof(fixture_database), "store%u", n++);
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", fixture_database);
	mariadb_sql(&fixture_server, NULL, sql);
	o = fixture_options();
	if (store_init(&o, &error) == 0)
		return 0;
	print_error("%s\n", error);
	return -1;
}

static inline void kill_connections(void)
{
	mariadb_kill_connections(&fixture_server, fixture_database);
}

static inline int teardown_mysql(void **state)
{
	char sql[64];

	kill_connections(); /* a test that failed has left some */
	snprintf(sql, sizeof(sql), "DROP DATABASE %s", fixture_database);
	mariadb_sql(&fixture_server, NULL, sql);
	return 0;
}

/* With patience for others: what is tested is not who waits how long. */
static inline struct store *open_as(const char *server)
{
	struct store_options o = fixture_options();
	_cleanup_free_
	char *error = NULL;
	struct store *s = NULL;

	o.server = server;
	o.timeout_ms = 20000;
	if (store_open(&o, &s, &error) < 0)
		fail_msg("%s", error);
	return s;
}

static inline struct store *open_or_fail(void)
{
	const struct store_options o = fixture_options();
	_cleanup_free_
	char *error = NULL;
	struct store *s = NULL;

	if (store_open(&o, &s, &error) < 0)
		fail_msg("%s", error);
	return s;
}

/* What opening fails with, and that there are words for it. */
static inline int open_error(void)
{
	const struct store_options o = fixture_options();
	_cleanup_(store_closep) struct store *s = NULL;
	_cleanup_free_
	char *error = NULL;
	int r = store_open(&o, &s, &error);

	if (r < 0)
		assert_non_null(error);
	return r;
}

static inline void add_user(struct store *s, const char *name, struct store_user *ret)
{
	*ret = (struct store_user){.hash = "$y$x", .address = "10.0.0.1/24"};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	assert_int_equal(store_user_add(s, ret), 0);
}

static inline struct store_session a_session(const struct store_user *u, uint16_t vid)
{
	struct store_session x = {.user_id = u->id,
				  .instance = "a",
				  .common_name = "cn",
				  .trusted_ip = "192.0.2.1",
				  .trusted_port = 1,
				  .vid = vid};

	return x;
}

/* SQL by another connection, past every check of ours. */
static inline void foreign(const char *sql)
{
	sqlite3 *db;

	if (fixture_is_mysql) {
		mariadb_sql(&fixture_server, fixture_database, sql);
		return;
	}
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static inline int64_t foreign_number(const char *sql)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	int64_t v;

	if (fixture_is_mysql)
		return mariadb_number(&fixture_server, fixture_database, sql);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return v;
}

/* The file as version 1 would have left it. */
static inline void make_version_1(void)
{
	char pragma[96];

	foreign(store_schema[0]);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = 1; PRAGMA application_id = %d",
		 STORE_APPLICATION_ID);
	foreign(pragma);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_MYSQL(f)                                                                              \
	{                                                                                          \
#f " on MariaDB", f, setup_mysql, teardown_mysql, NULL                             \
	}
/* The same of both. */
#define TESTS(f) TEST(f), TEST_MYSQL(f)

#endif
