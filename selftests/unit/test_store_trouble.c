/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the store keep what it has acknowledged (I8) when the file, the disk or a neighbour fail? */
#include "store_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- neighbours --- */

static void test_locked(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u = {.name = "a", .hash = "x"};
	struct store_session x;
	sqlite3 *other;
	double t;

	add_user(s, "owner", &u);
	x = a_session(&u, 2);
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	t = now();
	strcpy(u.name, "a");
	assert_int_equal(store_user_add(s, &u), -EBUSY);
	t = now() - t;
	assert_true(t >= 0.9 * FIXTURE_TIMEOUT_MS / 1e3 && t < 10.0 * FIXTURE_TIMEOUT_MS / 1e3);
	assert_string_equal(store_error(s), "database is locked");
	assert_int_equal(store_session_begin(s, &x, 9), -EBUSY);
	assert_string_equal(store_error(s), "database is locked");
	assert_int_equal(store_try(s), -EBUSY);
	/* In WAL mode a reader does not wait for a writer. */
	assert_int_equal(store_user_get(s, "owner", &u), 0);
	assert_int_equal(store_check(s), 0);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(store_try(s), 0);
	assert_int_equal(store_session_begin(s, &x, 9), 0);
}

/* Run WORK in N processes at once; the sum of what they return (each below 100). */
static int at_once(int n, int (*work)(int i))
{
	int gate[2], sum = 0;

	assert_int_equal(pipe(gate), 0);
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		char c;

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		close(gate[1]);
		if (read(gate[0], &c, 1) != 0) /* the end of file starts them together */
			_exit(100);
		_exit(work(i));
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < n; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 100);
		sum += WEXITSTATUS(status);
	}
	return sum;
}

static struct store *open_patient(void)
{
	const struct store_options o = {.path = path, .timeout_ms = 20000};
	struct store *s = NULL;

	_cleanup_free_
	char *error = NULL;
	int r = store_open(&o, &s, &error);

	if (r < 0)
		print_error("%d %s\n", r, error);
	return r < 0 ? NULL : s;
}

static int make_and_add(int i)
{
	_cleanup_(store_closep) struct store *s = open_patient();
	struct store_user u = {.hash = "x"};

	if (!s)
		return 100;
	snprintf(u.name, sizeof(u.name), "user%d", i);
	return store_user_add(s, &u) == 0 ? 1 : 100;
}

/* A new file that several open at once is made by one of them. */
static void test_made_at_once(void **state)
{
	assert_int_equal(at_once(4, make_and_add), 4);
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), 4);
}

static int begin_many(int i)
{
	_cleanup_(store_closep) struct store *s = open_patient();
	int began = 0;

	for (int n = 0; s && n < 10; n++) {
		struct store_user u = {.id = 1};
		struct store_session x = a_session(&u, (uint16_t)(2 + i * 10 + n));
		int r = store_session_begin(s, &x, 5);

		if (r != 0 && r != -EDQUOT)
			return 100;
		began += r == 0;
	}
	return s ? began : 100;
}

static void test_limit_at_once(void **state)
{
	struct store *s = open_or_fail();
	struct store_user u;

	add_user(s, "a", &u);
	assert_int_equal(u.id, 1);
	store_close(s);
	assert_int_equal(at_once(4, begin_many), 5);
	assert_int_equal(foreign_number("SELECT count(DISTINCT address_index) FROM session"), 5);
	assert_int_equal(foreign_number("SELECT max(address_index) FROM session"), 4);
}

/* --- crashes --- */

/* Adds users and sessions for ever; each that was acknowledged is told, by its number. */
static void write_for_ever(int fd, uint32_t first)
{
	struct store *s = open_patient();

	for (uint32_t i = first; s; i++) {
		struct store_user u = {.hash = "x"};
		struct store_session x;

		snprintf(u.name, sizeof(u.name), "user%u", i);
		if (store_user_add(s, &u) < 0)
			break;
		x = a_session(&u, 0);
		if (store_session_begin(s, &x, 1) < 0 || write(fd, &i, sizeof(i)) != sizeof(i))
			break;
	}
	_exit(1);
}

static uint32_t run_and_kill(uint32_t first, uint32_t n)
{
	uint32_t last = first, got;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		write_for_ever(fds[1], first);
	close(fds[1]);
	while (last < first + n && read(fds[0], &got, sizeof(got)) == sizeof(got))
		last = got;
	usleep(n * 137 % 2000); /* anywhere within the next transaction */
	kill(pid, SIGKILL);
	while (read(fds[0], &got, sizeof(got)) == sizeof(got))
		last = got;
	waitpid(pid, NULL, 0);
	close(fds[0]);
	assert_true(last >= first + n);
	return last;
}

static void test_killed_writer(void **state)
{
	uint32_t next = 1;

	for (uint32_t round = 1; round <= 8; round++) {
		uint32_t last = run_and_kill(next, 5 * round);
		_cleanup_(store_closep) struct store *s = open_or_fail();

		for (uint32_t i = next; i <= last; i++) {
			struct store_user u;
			char name[32];

			snprintf(name, sizeof(name), "user%u", i);
			assert_int_equal(store_user_get(s, name, &u), 0);
		}
		/* What was not acknowledged may be there, but whole: one at most of each. */
		assert_true(foreign_number("SELECT max(user_id) FROM user") <= last + round);
		next = last + 2;
	}
	assert_int_equal(foreign_number("SELECT count(*) FROM session WHERE user_id NOT IN "
					"(SELECT user_id FROM user)"),
			 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM pragma_integrity_check "
					"WHERE integrity_check = 'ok'"),
			 1);
}

/* --- the disk --- */

/* In a mount namespace of its own: nothing is left of it when the child is gone. */
static int fill_disk(void)
{
	struct store_user u, got;
	unsigned int n = 0, later = 0;
	struct store *s;
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=512k") < 0)
		return 2;
	s = open_or_fail();
	for (;; n++) {
		u = (struct store_user){0};
		memset(u.hash, 'x', sizeof(u.hash) - 1);
		snprintf(u.name, sizeof(u.name), "user%u", n);
		r = store_user_add(s, &u);
		if (r < 0)
			break;
		assert_true(n < 10000);
	}
	assert_int_equal(r, -ENOSPC);
	assert_string_equal(store_error(s), "database or disk is full");
	assert_int_equal(store_user_get(s, u.name, &got), -ENOENT);
	assert_int_equal(store_user_get(s, "user0", &got), 0); /* reading goes on */
	store_close(s);
	/* Room again: all that was acknowledged is there, and nothing else. */
	assert_int_equal(mount("tmpfs", dir, "tmpfs", MS_REMOUNT, "size=4m"), 0);
	s = open_or_fail();
	for (; later < n; later++) {
		snprintf(u.name, sizeof(u.name), "user%u", later);
		assert_int_equal(store_user_get(s, u.name, &got), 0);
	}
	snprintf(u.name, sizeof(u.name), "user%u", n);
	assert_int_equal(store_user_add(s, &u), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), n + 1);
	store_close(s);
	return n > 10 ? 0 : 3;
}

static void test_disk_full(void **state)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fill_disk());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- the file --- */

static void put(const char *text, size_t size)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fwrite(text, 1, size, f);
	fclose(f);
}

static void test_not_ours(void **state)
{
	static const char *const altered[] = {
		"DROP TABLE audit",
		"DROP INDEX session_vid",
		"ALTER TABLE user ADD COLUMN shell TEXT",
		"DROP INDEX session_live; CREATE INDEX session_live ON session (id)",
		"PRAGMA application_id = 1",
		"PRAGMA user_version = 0",
		"PRAGMA user_version = -1",
	};

	put("this is not a database, and long enough to be sure of that", 58);
	assert_int_equal(open_error(), -EUCLEAN);
	unlink(path);
	foreign("CREATE TABLE cats (name TEXT)");
	assert_int_equal(open_error(), -EUCLEAN);
	unlink(path);
	for (size_t i = 0; i < SP_ARRAY_SIZE(altered); i++) {
		int r;

		store_close(open_or_fail());
		foreign(altered[i]);
		r = open_error();
		if (r != -EUCLEAN)
			fail_msg("%s: %d", altered[i], r);
		unlink(path);
	}
	store_close(open_or_fail());
	foreign("PRAGMA user_version = 99");
	assert_int_equal(open_error(), -EPROTONOSUPPORT);
	foreign("PRAGMA user_version = 4; CREATE INDEX operators_own ON audit (who)");
	assert_int_equal(open_error(), 0);
}

static void test_not_a_file(void **state)
{
	char link[128], where[96];

	strcpy(where, path);
	snprintf(link, sizeof(link), "%s/link", dir);
	store_close(open_or_fail());
	assert_int_equal(symlink(path, link), 0);
	strcpy(path, dir);
	strcat(path, "/link");
	assert_int_equal(open_error(), -ELOOP);
	unlink(link);
	strcpy(path, dir);
	assert_int_equal(open_error(), -EUCLEAN);
	strcat(path, "/none/db");
	assert_int_equal(open_error(), -ENOENT);
	strcpy(path, where);
	/* One that others could read is closed to them. */
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(open_error(), 0);
	{
		struct stat st;

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

static int nothing(const struct store_user *user, void *arg)
{
	return 0;
}

static void test_damaged(void **state)
{
	struct store *s = open_or_fail();
	struct store_user u;
	struct stat st;
	char name[32];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		add_user(s, name, &u);
	}
	store_close(s);
	assert_int_equal(stat(path, &st), 0);
	/* Cut at the end, within the tables, and within the first page. */
	for (off_t cut = st.st_size - 4096; cut > 0; cut = cut > 4096 ? cut - 4096 : cut - 1500) {
		_cleanup_(store_closep) struct store *again = NULL;
		const struct store_options o = {.path = path, .timeout_ms = 100};
		int r;

		assert_int_equal(truncate(path, cut), 0);
		r = store_open(&o, &again, NULL);
		if (r == 0)
			r = store_user_each(again, nothing, NULL);
		if (r != -EUCLEAN)
			fail_msg("cut at %ld: %d", (long)cut, r);
	}
}

static int any_workload(const struct store_workload *w, void *arg)
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

/* What is read back is not believed (the schema's checks can be switched off). */
static void test_rows_distrusted(void **state)
{
	static const struct {
		const char *sql;
		const char *table;
	} rows[] = {
		{"UPDATE user SET username = printf('%.*c', 64, 'x')", "user"},
		{"UPDATE user SET password = printf('%.*c', 384, 'x')", "user"},
		{"UPDATE user SET username = CAST(x'610062' AS TEXT)", "user"},
		{"UPDATE user SET max_macs = 4294967296", "user"},
		{"UPDATE user SET disabled = 2", "user"},
		{"UPDATE workload SET mac_addr = x'0200000000'", "workload"},
		{"UPDATE workload SET mac_addr = x''", "workload"},
		{"UPDATE workload SET ifname = 'sixteen-bytes-xx'", "workload"},
		{"UPDATE session SET vid = 4095", "session"},
		{"UPDATE session SET trusted_port = 65536", "session"},
		{"UPDATE session SET address_index = -1", "session"},
		{"UPDATE session SET common_name = CAST(x'00' AS TEXT)", "session"},
		{"UPDATE audit SET who = CAST(x'610062' AS TEXT)", "audit"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct store *s = open_or_fail();
		struct store_workload w = {
			.user = "a", .name = "w", .netns = "n", .ifname = "eth0", .mac = {2}};
		struct store_session x;
		struct store_user u;
		char sql[192];
		int bad = 0;

		add_user(s, "a", &u);
		x = a_session(&u, 2);
		assert_int_equal(store_workload_add(s, &w), 0);
		assert_int_equal(store_session_begin(s, &x, 9), 0);
		assert_int_equal(store_audit_add(s, "a", "b", "c", NULL), 0);
		snprintf(sql, sizeof(sql), "PRAGMA ignore_check_constraints = ON; %s", rows[i].sql);
		foreign(sql);
		bad += store_user_each(s, nothing, NULL) == -EUCLEAN;
		bad += store_workload_each(s, any_workload, NULL) == -EUCLEAN;
		bad += store_session_each_live(s, any_session, NULL) == -EUCLEAN;
		bad += store_audit_each(s, 9, any_audit, NULL) == -EUCLEAN;
		if (!bad || !strstr(store_error(s), "is not what the schema promises"))
			fail_msg("%s: taken; %s", rows[i].sql, store_error(s));
		store_close(s);
		unlink(path);
	}
}

/* --- versions --- */

#define OLD_SESSION(vid)                                                                           \
	"INSERT INTO session (user_id, instance, common_name, trusted_ip, trusted_port, "          \
	"time_unix, daemon_pid, vid, address_index, started) VALUES "                              \
	"(1, 'a', 'cn', '192.0.2.1', 1, 1, 1, " #vid ", 0, 1);"

static void test_migrate(void **state)
{
	struct store_session x = {0};
	struct store_user got;

	make_version_1();
	foreign("INSERT INTO user (name, hash, created) VALUES ('old', 'h', 1);" OLD_SESSION(5));
	{
		_cleanup_(store_closep) struct store *s = open_or_fail();

		assert_int_equal(store_user_get(s, "old", &got), 0);
		assert_string_equal(got.hash, "h");
		x = a_session(&got, 5);
		/* Version 2's own: no two live sessions of an instance with one id. */
		assert_int_equal(store_session_begin(s, &x, 9), -EEXIST);
		x.vid = 6;
		assert_int_equal(store_session_begin(s, &x, 9), 0);
		assert_int_equal(x.index, 1);
	}
	assert_int_equal(foreign_number("PRAGMA user_version"), STORE_SCHEMA_VERSION);
	assert_int_equal(open_error(), 0);
}

/* A step that fails leaves the old file as it was. */
static void test_migrate_fails(void **state)
{
	make_version_1();
	foreign("INSERT INTO user (name, hash, created) VALUES ('old', 'h', 1);" OLD_SESSION(5)
			OLD_SESSION(5));
	assert_int_equal(open_error(), -EEXIST);
	assert_int_equal(foreign_number("PRAGMA user_version"), 1);
	assert_int_equal(foreign_number("SELECT count(*) FROM session"), 2);
	assert_int_equal(foreign_number("SELECT count(*) FROM sqlite_schema WHERE "
					"name = 'session_live'"),
			 0);
	foreign("UPDATE session SET vid = 6 WHERE id = 2");
	assert_int_equal(open_error(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_locked),	  TEST(test_made_at_once),  TEST(test_limit_at_once),
		TEST(test_killed_writer), TEST(test_disk_full),	    TEST(test_not_ours),
		TEST(test_not_a_file),	  TEST(test_damaged),	    TEST(test_rows_distrusted),
		TEST(test_migrate),	  TEST(test_migrate_fails),
	};

	return cmocka_run_group_tests_name("store trouble", tests, NULL, NULL);
}
