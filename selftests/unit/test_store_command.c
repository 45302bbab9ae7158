/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport store: does each command do what it says, say what it did, and end with the right code?
 */
#include "store_fixture.h"

#include <fcntl.h>
#include <jansson.h>

#include "ctl/ctl.h"
#include "loader/config.h"

static char configs[2][128]; /* a file, and MariaDB */
static char out[16384], err[4096];

/* --- running it --- */

static void slurp(int fd, char *buf, size_t size)
{
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	n = read(fd, buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* "store init -c FILE" and so on, in this process. What it printed is in OUT and ERR. */
static int run(const char *const *words)
{
	int saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)}, fds[2], argc = 1, r;
	char *argv[12] = {(char *)"sallyport"};

	while (*words)
		argv[argc++] = (char *)*words++;
	for (int i = 0; i < 2; i++) {
		fds[i] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		assert_true(fds[i] >= 0);
	}
	fflush(stdout);
	dup2(fds[0], STDOUT_FILENO);
	dup2(fds[1], STDERR_FILENO);
	r = ctl_main(argc, argv);
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], i ? STDERR_FILENO : STDOUT_FILENO);
		close(saved[i]);
		slurp(fds[i], i ? err : out, i ? sizeof(err) : sizeof(out));
	}
	return r;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void expect(int got, int want, const char *text, const char *words)
{
	if (got != want || !strstr(text, words))
		fail_msg("expected %d '%s', got %d; out: %s err: %s", want, words, got, out, err);
}

static json_t *json_out(void)
{
	json_t *j = json_loads(out, 0, NULL);

	if (!j)
		fail_msg("no JSON: %s", out);
	return j;
}

/* --- what it works on --- */

static void write_config(const char *name, const char *section)
{
	FILE *f = fopen(name, "we");

	assert_non_null(f);
	fprintf(f, "[store]\n%s\n[instance a]\nconfig = /etc/x\n", section);
	fclose(f);
}

static int setup_both(void **state)
{
	char section[512];

	if (setup_mysql(state) < 0 || setup(state) < 0)
		return -1;
	snprintf(configs[0], sizeof(configs[0]), "%s/file.conf", dir);
	snprintf(configs[1], sizeof(configs[1]), "%s/server.conf", dir);
	snprintf(section, sizeof(section), "path = %s\nserver = here\ntimeout = 1000", path);
	write_config(configs[0], section);
	snprintf(section, sizeof(section),
		 "type = mysql\nsocket = %s\nuser = root\ndatabase = %s\nserver = here\ntimeout = "
		 "5000",
		 fixture_server.socket, fixture_database);
	write_config(configs[1], section);
	return 0;
}

static int teardown_both(void **state)
{
	for (int i = 0; i < 2; i++)
		unlink(configs[i]);
	fixture_is_mysql = true;
	return teardown_mysql(state) < 0 || teardown(state) < 0 ? -1 : 0;
}

static void drop_tables(void)
{
	fixture_is_mysql = true;
	foreign("DROP VIEW users; SET foreign_key_checks = 0; DROP TABLE mac, machine, workload, "
		"session, audit, user, server, sallyport");
	fixture_is_mysql = false;
}

/* --- the commands --- */

static void test_init(void **state)
{
	json_t *j;

	drop_tables();
	expect(RUN("store", "check", "-c", configs[0]), CTL_FAILED, err, "No such file");
	expect(RUN("store", "check", "-c", configs[1]), CTL_FAILED, err, "sallyport store init");
	expect(RUN("store", "migrate", "-c", configs[1]), CTL_FAILED, err, "sallyport store init");
	for (int i = 0; i < 2; i++) {
		expect(RUN("store", "init", "-c", configs[i]), CTL_OK, out,
		       i ? "made: MariaDB 1" : "made: SQLite 3");
		expect(RUN("store", "init", "-c", configs[i]), CTL_FAILED, err,
		       "there is a store in");
		expect(RUN("store", "check", "-c", configs[i]), CTL_OK, out, "in order: ");
		expect(RUN("store", "migrate", "-c", configs[i]), CTL_OK, out,
		       "up to date already");
	}
	assert_int_equal(RUN("store", "check", "-q", "-c", configs[0]), CTL_OK);
	assert_string_equal(out, "");
	assert_int_equal(RUN("--json", "store", "migrate", "-c", configs[0]), CTL_OK);
	j = json_out();
	assert_int_equal(json_integer_value(json_object_get(j, "version")), STORE_VERSION);
	assert_string_equal(json_string_value(json_object_get(j, "result")), "up to date already");
	json_decref(j);
}

static void test_old_file(void **state)
{
	make_version_1();
	expect(RUN("store", "check", "-c", configs[0]), CTL_FAILED, err, "sallyport store migrate");
	assert_int_equal(RUN("--json", "store", "migrate", "-c", configs[0]), CTL_OK);
	assert_non_null(strstr(out, "\"from\": 1"));
	expect(RUN("store", "check", "-c", configs[0]), CTL_OK, out, "in order");
}

static void test_check(void **state)
{
	struct store_options o = {.path = path, .timeout_ms = 1000, .server = "here"};
	struct store *s = NULL;
	struct store_user u;
	json_t *j;

	assert_int_equal(store_open(&o, &s, NULL), 0);
	add_user(s, "a", &u);
	/* While the daemon has it open. */
	expect(RUN("store", "check", "-c", configs[0]), CTL_OK, out, "in order");
	expect(RUN("store", "migrate", "-c", configs[0]), CTL_FAILED, err, "stop sallyportd first");
	store_close(s);
	foreign("INSERT INTO mac (scope, mac_addr, holders, since) VALUES (0, x'02000000000a', 3, "
		"0)");
	expect(RUN("store", "check", "-c", configs[0]), CTL_FAILED, out,
	       "table mac, row 0 02:00:00:00:00:0a: it is not as many workloads");
	assert_non_null(strstr(out, "1 problems"));
	assert_int_equal(RUN("--json", "store", "check", "-c", configs[0]), CTL_FAILED);
	j = json_out();
	assert_int_equal(json_array_size(json_object_get(j, "problems")), 1);
	json_decref(j);
	foreign("DROP INDEX session_vid");
	expect(RUN("store", "check", "-c", configs[0]), CTL_FAILED, err,
	       "'session_vid' is missing");
}

static void test_copy(void **state)
{
	struct store_options o = {.path = path, .timeout_ms = 1000, .server = "here"};
	struct store *s = NULL;
	struct store_user u;
	json_t *j;

	expect(RUN("store", "copy", "--to", configs[1], "--from", configs[0]), CTL_FAILED, err,
	       "No such file");
	assert_int_equal(store_open(&o, &s, NULL), 0);
	add_user(s, "a", &u);
	add_user(s, "b\xff", &u);
	expect(RUN("store", "copy", "--to", configs[1], "--from", configs[0]), CTL_FAILED, err,
	       "stop sallyportd first");
	store_close(s);
	expect(RUN("store", "copy", "--to", configs[1], "--from", configs[0]), CTL_OK, out,
	       "user       2\n");
	assert_non_null(strstr(out, "copied, and the same: MariaDB"));
	expect(RUN("store", "copy", "--to", configs[1], "--from", configs[0]), CTL_FAILED, err,
	       "has rows in this table");
	/* Back: its server lived when it was copied, a moment ago. */
	unlink(path);
	expect(RUN("store", "init", "-c", configs[0]), CTL_OK, out, "made");
	expect(RUN("store", "copy", "--from", configs[1], "--to", configs[0]), CTL_FAILED, err,
	       "servers use it: here (");
	assert_int_equal(
		RUN("--json", "store", "copy", "--from", configs[1], "--to", configs[0], "--force"),
		CTL_OK);
	j = json_out();
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "rows"), "user")),
			 2);
	json_decref(j);
	expect(RUN("store", "check", "-c", configs[0]), CTL_OK, out, "in order");
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), 2);
}

static void test_not_there(void **state)
{
	json_t *j;

	write_config(configs[1],
		     "type = mysql\nsocket = /nonexistent\ndatabase = d\ntimeout = 1000");
	expect(RUN("store", "check", "-c", configs[1]), CTL_UNREACHABLE, err, "/nonexistent");
	assert_int_equal(RUN("--json", "store", "check", "-c", configs[1]), CTL_UNREACHABLE);
	j = json_out();
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "error"), "errno")),
			 ENOTCONN);
	json_decref(j);
	write_config(configs[1], "type = mysql\nsocket = /x");
	expect(RUN("store", "check", "-c", configs[1]), CTL_FAILED, err,
	       "type: mysql needs a database");
	expect(RUN("store", "check", "-c", configs[1]), CTL_FAILED, err, "it has mistakes");
}

/* --- what the document has an operator do --- */

/* The fenced blocks of KIND, one after the other. */
static char *blocks_of(const char *kind)
{
	_cleanup_free_
	char *text = calloc(1, 65536);
	_cleanup_fclose_ FILE *f = fopen("docs/store.md", "re");
	char *blocks = calloc(1, 65536), fence[16];

	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 1000);
	snprintf(fence, sizeof(fence), "\n```%s\n", kind);
	for (char *s = text, *end; (s = strstr(s, fence)); s = end) {
		s += strlen(fence);
		end = strstr(s, "\n```");
		assert_non_null(end);
		strncat(blocks, s, (size_t)(end - s));
		strcat(blocks, "\n");
	}
	assert_true(strlen(blocks) > 100);
	return blocks;
}

/* The document's account, on our socket, where there is no TLS that REQUIRE SSL could ask for. */
static void write_account(const char *user, const char *password)
{
	char section[600], file[160];
	FILE *f;

	snprintf(file, sizeof(file), "%s/%s", fixture_server.dir, user);
	f = fopen(file, "we");
	fprintf(f, "%s\n", password);
	fclose(f);
	snprintf(section, sizeof(section),
		 "type = mysql\nsocket = %s\nuser = %s\ndatabase = sallyport\npassword-file = "
		 "%s\nuser-table = portal.people\nuser-name-column = login\nuser-password-column = "
		 "pw\nuser-disabled-column = locked",
		 fixture_server.socket, user, file);
	write_config(configs[1], section);
}

static void test_document(void **state)
{
	_cleanup_free_
	char *sql = blocks_of("sql");
	char *required;

	mariadb_sql(
		&fixture_server, NULL,
		"CREATE OR REPLACE DATABASE portal; CREATE TABLE portal.people (login VARCHAR(63), "
		"pw VARCHAR(200), locked INT, email TEXT); INSERT INTO portal.people (login, pw) "
		"VALUES ('alice', 'h')");
	while ((required = strstr(sql, " REQUIRE SSL")))
		memset(required, ' ', strlen(" REQUIRE SSL"));
	mariadb_sql(&fixture_server, NULL, sql);
	write_account("sallyport_admin", "second secret");
	expect(RUN("store", "init", "-c", configs[1]), CTL_OK, out, "made: MariaDB");
	write_account("sallyport", "first secret");
	expect(RUN("store", "check", "-c", configs[1]), CTL_OK, out, "in order");
	expect(RUN("store", "init", "-c", configs[1]), CTL_FAILED, err, "there is a store");
	/* What the daemon does with its rights: all of it, but no tables. */
	{
		char file[160];
		struct store_options o = {.timeout_ms = 5000,
					  .server = "vpn1",
					  .mysql = {.socket = fixture_server.socket,
						    .user = "sallyport",
						    .database = "sallyport"},
					  .mapping = {.table = "portal.people",
						      .name = "login",
						      .password = "pw",
						      .disabled = "locked"}};
		struct store *s = NULL;
		struct store_session x;
		struct store_user u;
		uint64_t from;

		snprintf(file, sizeof(file), "%s/sallyport", fixture_server.dir);
		o.mysql.password_file = file;
		assert_int_equal(store_open(&o, &s, NULL), 0);
		assert_int_equal(store_user_get(s, "alice", &u), 0);
		x = a_session(&u, 2);
		assert_int_equal(store_session_begin(s, &x, 9), 0);
		assert_int_equal(store_mac_claim(s, 0, (uint8_t[6]){2}, x.id, &from), 0);
		assert_int_equal(store_try(s), 0);
		assert_int_equal(store_session_end(s, x.id, 5), 0);
		store_close(s);
	}
	mariadb_sql(&fixture_server, NULL, "DROP DATABASE sallyport; DROP DATABASE portal");
}

/* Its configurations are ones that the daemon takes. */
static void test_document_config(void **state)
{
	_cleanup_free_
	char *ini = blocks_of("ini");
	char *again = strstr(ini, "[store]");
	struct config *c = NULL;

	assert_non_null(again);
	again = strstr(again + 1, "[store]");
	assert_non_null(again); /* two blocks: together they are one section */
	memset(again, ' ', strlen("[store]"));
	strcat(ini, "[instance a]\nconfig = /x\n");
	if (config_parse("docs/store.md", ini, strlen(ini), &c, stderr) < 0)
		fail_msg("%s", ini);
	assert_true(c->store_mysql && c->store_tls);
	config_free(c);
}

#define TEST_BOTH(f) cmocka_unit_test_setup_teardown(f, setup_both, teardown_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_BOTH(test_init),
		TEST_BOTH(test_old_file),
		TEST_BOTH(test_check),
		TEST_BOTH(test_copy),
		TEST_BOTH(test_not_there),
		TEST_BOTH(test_document),
		cmocka_unit_test(test_document_config),
	};

	return cmocka_run_group_tests_name("store command", tests, start_mysql, stop_mysql);
}
