/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the store keep what it has acknowledged (I8), and refuse what it must? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "loader/store/store_internal.h"

static char dir[64], path[96];

static int setup(void **state)
{
	strcpy(dir, "/tmp/sp-store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/db", dir);
	return 0;
}

static int teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char file[128];

	for (size_t i = 0; i < SP_ARRAY_SIZE(suffixes); i++) {
		snprintf(file, sizeof(file), "%s%s", path, suffixes[i]);
		unlink(file);
	}
	return rmdir(dir);
}

static struct store *open_or_fail(void)
{
	const struct store_options o = {.path = path, .timeout_ms = 200};
	_cleanup_free_
	char *error = NULL;
	struct store *s = NULL;

	if (store_open(&o, &s, &error) < 0)
		fail_msg("%s", error);
	return s;
}

static int open_error(void)
{
	const struct store_options o = {.path = path, .timeout_ms = 200};
	_cleanup_(store_closep) struct store *s = NULL;
	_cleanup_free_
	char *error = NULL;
	int r = store_open(&o, &s, &error);

	if (r < 0)
		assert_non_null(error);
	return r;
}

static void add_user(struct store *s, const char *name, struct store_user *ret)
{
	*ret = (struct store_user){.hash = "$y$x", .address = "10.0.0.1/24"};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	assert_int_equal(store_user_add(s, ret), 0);
}

static struct store_session a_session(const struct store_user *u, uint16_t vid)
{
	struct store_session x = {.user_id = u->id,
				  .instance = "a",
				  .common_name = "cn",
				  .trusted_ip = "192.0.2.1",
				  .trusted_port = 1,
				  .vid = vid};

	return x;
}

static void test_users(void **state)
{
	/* Names are data: whatever they hold, they come back as they were. */
	static const char *const names[] = {"alice", "x'; DROP TABLE user; --", "100%_\"",
					    "\xc3\xa4\xe2\x82\xac"};
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u, got;

	for (size_t i = 0; i < SP_ARRAY_SIZE(names); i++) {
		add_user(s, names[i], &u);
		assert_true(u.id > 0 && u.segment > 0);
		assert_int_equal(store_user_get(s, names[i], &got), 0);
		assert_string_equal(got.name, names[i]);
		assert_int_equal(got.segment, u.segment);
		assert_int_equal(store_user_add(s, &u), -EEXIST);
	}
	assert_int_equal(store_user_get(s, "nobody", &got), -ENOENT);
	assert_int_equal(store_user_set_disabled(s, "nobody", true), -ENOENT);
	assert_int_equal(store_user_set_hash(s, "alice", "$y$new"), 0);
	assert_int_equal(store_user_set_disabled(s, "alice", true), 0);
	assert_int_equal(store_user_get(s, "alice", &got), 0);
	assert_string_equal(got.hash, "$y$new");
	assert_true(got.disabled);
}

/* I2: a segment that was somebody's is never somebody else's. */
static void test_segments_are_not_reused(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user a, b;

	add_user(s, "a", &a);
	assert_int_equal(store_user_delete(s, "a"), 0);
	add_user(s, "b", &b);
	assert_true(b.segment > a.segment);
}

static int count_workloads(const struct store_workload *w, void *arg)
{
	(*(int *)arg)++;
	return 0;
}

static void test_workloads(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_workload w = {
		.user = "a", .name = "w", .netns = "n", .ifname = "eth0", .mac = {2}};
	struct store_user u;
	int n = 0;

	assert_int_equal(store_workload_add(s, &w), -ENOENT);
	add_user(s, "a", &u);
	assert_int_equal(store_workload_add(s, &w), 0);
	assert_int_equal(w.segment, u.segment);
	strcpy(w.name, "w2");
	strcpy(w.netns, "n2");
	assert_int_equal(store_workload_add(s, &w), -EEXIST); /* the MAC */
	w.mac[5] = 1;
	assert_int_equal(store_workload_add(s, &w), 0);
	assert_int_equal(store_workload_delete(s, "a", "w"), 0);
	assert_int_equal(store_workload_delete(s, "a", "w"), -ENOENT);
	assert_int_equal(store_user_delete(s, "a"), 0);
	assert_int_equal(store_workload_each(s, count_workloads, &n), 0);
	assert_int_equal(n, 0); /* they went with their owner */
}

static void test_sessions(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_session x[3];
	struct store_user u;

	add_user(s, "a", &u);
	for (uint16_t i = 0; i < 3; i++)
		x[i] = a_session(&u, (uint16_t)(2 + i));
	assert_int_equal(store_session_begin(s, &x[0], 2), 0);
	assert_int_equal(store_session_begin(s, &x[1], 2), 0);
	assert_int_equal(x[0].index, 0);
	assert_int_equal(x[1].index, 1);
	assert_int_equal(store_session_begin(s, &x[2], 2), -EDQUOT);
	assert_int_equal(store_user_delete(s, "a"), -EBUSY);
	assert_int_equal(store_session_end(s, x[0].id, 1000), 0);
	assert_int_equal(store_session_end(s, x[0].id, 1000), 0);
	assert_int_equal(store_session_end(s, 4711, 1000), 0);
	x[2].vid = x[1].vid;
	assert_int_equal(store_session_begin(s, &x[2], 2), -EEXIST); /* a live session has the id */
	x[2].vid = 9;
	assert_int_equal(store_session_begin(s, &x[2], 2), 0);
	assert_int_equal(x[2].index, 0); /* the lowest that is free */
	assert_true(x[2].id > x[1].id);	 /* a generation is never reused */
	store_user_set_disabled(s, "a", true);
	x[0].vid = 10;
	assert_int_equal(store_session_begin(s, &x[0], 9), -EACCES);
	x[0].user_id = 4711;
	assert_int_equal(store_session_begin(s, &x[0], 9), -ENOENT);
}

static void test_locked(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u = {.name = "a", .hash = "x"};
	sqlite3 *other;

	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_user_add(s, &u), -EBUSY);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(store_user_add(s, &u), 0);
}

static void put(const char *text, size_t size)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fwrite(text, 1, size, f);
	fclose(f);
}

static void foreign(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_not_ours(void **state)
{
	put("this is not a database, and long enough to be sure of that", 58);
	assert_int_equal(open_error(), -EUCLEAN);
	unlink(path);
	foreign("CREATE TABLE cats (name TEXT)");
	assert_int_equal(open_error(), -EUCLEAN);
	unlink(path);
	store_close(open_or_fail());
	foreign("PRAGMA user_version = 99");
	assert_int_equal(open_error(), -EPROTONOSUPPORT);
}

static void test_private(void **state)
{
	struct stat st;

	store_close(open_or_fail());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* A file of version 1 becomes the newest, and what was in it stays. */
static void test_migrate(void **state)
{
	struct store_user got;
	char pragma[64];

	foreign(store_schema[0]);
	foreign("INSERT INTO user (name, hash, created) VALUES ('old', 'h', 1); PRAGMA "
		"user_version = 1");
	snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d", STORE_APPLICATION_ID);
	foreign(pragma);
	{
		_cleanup_(store_closep) struct store *s = open_or_fail();

		assert_int_equal(store_user_get(s, "old", &got), 0);
		assert_string_equal(got.hash, "h");
	}
	foreign("INSERT INTO session (user_id, instance, common_name, trusted_ip, trusted_port, "
		"time_unix, "
		"daemon_pid, vid, address_index, started) VALUES (1, 'a', '', '', 1, 1, 1, 5, 0, "
		"1)");
}

/* I8: a writer that is killed at any moment has lost nothing that it was told was done. */
static void test_killed_writer(void **state)
{
	uint32_t acknowledged = 0, got;
	int pipe_fd[2];
	pid_t pid;

	store_close(open_or_fail());
	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s = open_or_fail();

		for (uint32_t i = 1;; i++) {
			struct store_user u = {.hash = "x"};

			snprintf(u.name, sizeof(u.name), "user%u", i);
			if (store_user_add(s, &u) < 0 ||
			    write(pipe_fd[1], &i, sizeof(i)) != sizeof(i))
				_exit(1);
		}
	}
	close(pipe_fd[1]);
	while (acknowledged < 50 && read(pipe_fd[0], &got, sizeof(got)) == sizeof(got))
		acknowledged = got;
	kill(pid, SIGKILL);
	while (read(pipe_fd[0], &got, sizeof(got)) == sizeof(got))
		acknowledged = got;
	waitpid(pid, NULL, 0);
	close(pipe_fd[0]);
	assert_true(acknowledged >= 50);
	{
		_cleanup_(store_closep) struct store *s = open_or_fail();

		for (uint32_t i = 1; i <= acknowledged; i++) {
			struct store_user u;
			char name[32];

			snprintf(name, sizeof(name), "user%u", i);
			assert_int_equal(store_user_get(s, name, &u), 0);
		}
	}
}

static int count_audit(int64_t when, const char *who, const char *what, const char *object,
		       const char *detail, void *arg)
{
	(*(int *)arg)++;
	assert_string_equal(what, "test");
	return 0;
}

static void test_audit(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	int n = 0;

	for (int i = 0; i < 5; i++)
		assert_int_equal(store_audit_add(s, "uid:0", "test", "x", i % 2 ? "detail" : NULL),
				 0);
	assert_int_equal(store_audit_each(s, 3, count_audit, &n), 0);
	assert_int_equal(n, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_users),	  TEST(test_segments_are_not_reused),
		TEST(test_workloads),	  TEST(test_sessions),
		TEST(test_locked),	  TEST(test_not_ours),
		TEST(test_private),	  TEST(test_migrate),
		TEST(test_killed_writer), TEST(test_audit),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
