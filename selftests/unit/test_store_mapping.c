/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users of somebody else's table: does it decide who comes in, and does ours only add? */
#include "store_fixture.h"

/* As a portal might have it. On MariaDB in a database of its own, case-insensitive, in Latin-1. */
static void make_table(void)
{
	if (fixture_is_mysql)
		mariadb_sql(
			&fixture_server, NULL,
			"DROP DATABASE IF EXISTS portal; CREATE DATABASE portal; USE portal; "
			"CREATE TABLE people (login VARCHAR(200) CHARACTER SET latin1 COLLATE "
			"latin1_swedish_ci, pw VARCHAR(500), locked VARCHAR(10), ip VARCHAR(80), "
			"ip6 VARCHAR(80), KEY (login))");
	else
		foreign("CREATE TABLE people (login VARCHAR(200) COLLATE NOCASE, pw VARCHAR(500), "
			"locked VARCHAR(10), ip VARCHAR(80), ip6 VARCHAR(80))");
}

static void table(const char *sql)
{
	if (fixture_is_mysql)
		mariadb_sql(&fixture_server, "portal", sql);
	else
		foreign(sql);
}

static struct store_options mapped(void)
{
	struct store_options o = fixture_options();

	o.mapping = (struct store_mapping){.table = fixture_is_mysql ? "portal.people" : "people",
					   .name = "login",
					   .password = "pw",
					   .disabled = "locked",
					   .address = "ip"};
	return o;
}

static struct store *open_mapped(void)
{
	struct store_options o = mapped();
	_cleanup_free_
	char *error = NULL;
	struct store *s = NULL;

	if (store_open(&o, &s, &error) < 0)
		fail_msg("%s", error);
	return s;
}

/* A file is ours before it has another table in it. */
static struct store *set_up(void)
{
	store_close(open_or_fail());
	make_table();
	table("INSERT INTO people (login, pw, locked, ip) VALUES "
	      "('alice', '$y$a', '0', '10.1.0.1/24'), ('bob', '$y$b', NULL, NULL), "
	      "('x''; DROP TABLE people; --', '$y$x', '', '')");
	return open_mapped();
}

static void test_get(void **state)
{
	_cleanup_(store_closep) struct store *s = set_up();
	struct store_user a, b, u;

	assert_int_equal(foreign_number("SELECT count(*) FROM user"), 0);
	assert_int_equal(store_user_get(s, "alice", &a), 0);
	assert_true(a.id > 0 && a.segment == a.id);
	assert_string_equal(a.hash, "$y$a");
	assert_string_equal(a.address, "10.1.0.1/24");
	assert_false(a.disabled);
	assert_int_equal(store_user_get(s, "bob", &b), 0);
	assert_true(b.segment != a.segment);
	assert_string_equal(b.address, "");
	assert_int_equal(store_user_get(s, "x'; DROP TABLE people; --", &u), 0);
	/* The same row each time, and what the table says now. */
	table("UPDATE people SET pw = '$y$new' WHERE login = 'alice'");
	assert_int_equal(store_user_get(s, "alice", &u), 0);
	assert_int_equal(u.id, a.id);
	assert_string_equal(u.hash, "$y$new");
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), 3);
	/* Bytes, whatever the collation finds. */
	assert_int_equal(store_user_get(s, "ALICE", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "alice ", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "nobody", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "\xff\xfe", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "\xc0\x80", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "\xed\xa0\x80", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "\xf0\x9f\x98\x80", &u), -ENOENT);
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), 3);
	/* Gone there is gone, whatever we have. */
	table("DELETE FROM people WHERE login = 'bob'");
	assert_int_equal(store_user_get(s, "bob", &u), -ENOENT);
	table("INSERT INTO people (login, pw) VALUES ('bob', '$y$b')");
	assert_int_equal(store_user_get(s, "bob", &u), 0);
	assert_int_equal(u.id, b.id);
	table("INSERT INTO people (login, pw) VALUES ('bob', '$y$other')");
	assert_int_equal(store_user_get(s, "bob", &u), -EUCLEAN);
	assert_non_null(strstr(store_error(s), "more than one 'bob'"));
}

static void test_names(void **state)
{
	_cleanup_(store_closep) struct store *s = set_up();
	struct store_user u;

	table("INSERT INTO people (login, pw) VALUES ('m\xc3\xbcller', 'h'), ('4711', 'h')");
	assert_int_equal(store_user_get(s, "m\xc3\xbcller", &u), 0);
	assert_string_equal(u.name, "m\xc3\xbcller");
	assert_int_equal(store_user_get(s, "muller", &u), -ENOENT);
	assert_int_equal(store_user_get(s, "4711", &u), 0);
	assert_int_equal(store_user_get(s, "04711", &u), -ENOENT);
}

/* What cannot be a hash lets nobody in, and what is not clearly "no" is "disabled". */
static void test_values(void **state)
{
	static const struct {
		const char *locked;
		bool disabled;
	} flags[] = {{"NULL", false}, {"''", false},  {"'0'", false}, {"'00'", false},
		     {"0", false},    {"'1'", true},  {"1", true},    {"-1", true},
		     {"'N'", true},   {"'no'", true}, {"' '", true}};
	static const char *const passwords[] = {"NULL", "''", NULL /* too long */};
	_cleanup_(store_closep) struct store *s = set_up();
	struct store_user u;
	char sql[1024], longest[401];

	for (size_t i = 0; i < SP_ARRAY_SIZE(flags); i++) {
		snprintf(sql, sizeof(sql), "UPDATE people SET locked = %s WHERE login = 'alice'",
			 flags[i].locked);
		table(sql);
		assert_int_equal(store_user_get(s, "alice", &u), 0);
		if (u.disabled != flags[i].disabled)
			fail_msg("%s: %d", flags[i].locked, u.disabled);
	}
	memset(longest, 'x', 400);
	longest[400] = '\0';
	for (size_t i = 0; i < SP_ARRAY_SIZE(passwords); i++) {
		const char *quote = passwords[i] ? "" : "'";

		snprintf(sql, sizeof(sql), "UPDATE people SET pw = %s%s%s WHERE login = 'bob'",
			 quote, passwords[i] ? passwords[i] : longest, quote);
		table(sql);
		assert_int_equal(store_user_get(s, "bob", &u), 0);
		assert_string_equal(u.hash, "");
	}
	table("UPDATE people SET ip = '10.0.0.1/24 and much more than an address would ever need "
	      "to "
	      "have' WHERE login = 'bob'");
	assert_int_equal(store_user_get(s, "bob", &u), 0);
	assert_string_equal(u.address, "");
	if (!fixture_is_mysql)
		return;
	table("UPDATE people SET locked = NULL; ALTER TABLE people MODIFY locked BIT(1); "
	      "UPDATE people SET locked = b'1' WHERE login = 'alice'");
	assert_int_equal(store_user_get(s, "alice", &u), 0);
	assert_true(u.disabled);
	table("UPDATE people SET locked = b'0' WHERE login = 'alice'");
	assert_int_equal(store_user_get(s, "alice", &u), 0);
	assert_false(u.disabled);
}

static void test_changes(void **state)
{
	_cleanup_(store_closep) struct store *s = set_up();
	struct store_user u = {.name = "new", .hash = "x"}, got;

	assert_int_equal(store_user_add(s, &u), -EOPNOTSUPP);
	assert_non_null(strstr(store_error(s), "user-table"));
	assert_int_equal(store_user_set_hash(s, "alice", "x"), -EOPNOTSUPP);
	assert_int_equal(store_user_delete(s, "alice"), -EOPNOTSUPP);
	assert_int_equal(store_user_get(s, "alice", &u), 0);
	u.max_sessions = 3;
	u.max_machines = 2;
	strcpy(u.address6, "fd00::1/64"); /* not a column of the table: ours */
	assert_int_equal(store_user_update(s, &u), 0);
	assert_int_equal(store_user_get(s, "alice", &got), 0);
	assert_true(got.max_sessions == 3 && got.max_machines == 2);
	assert_string_equal(got.address6, "fd00::1/64");
	assert_string_equal(got.hash, "$y$a");
	strcpy(u.address, "10.9.9.9/24");
	assert_int_equal(store_user_update(s, &u), -EOPNOTSUPP);
	assert_int_equal(store_user_update(s, &(struct store_user){.name = "nobody"}), -ENOENT);
	/* Of one who is gone there, what is left here can be taken away. */
	table("DELETE FROM people WHERE login = 'alice'");
	assert_int_equal(store_user_delete(s, "alice"), 0);
	assert_int_equal(store_user_delete(s, "alice"), -ENOENT);
}

static void test_disabled(void **state)
{
	_cleanup_(store_closep) struct store *s = set_up();
	struct store_session x;
	struct store_user u;

	/* Ours. */
	assert_int_equal(store_user_set_disabled(s, "alice", true), 0);
	assert_int_equal(store_user_get(s, "alice", &u), 0);
	assert_true(u.disabled);
	x = a_session(&u, 2);
	assert_int_equal(store_session_begin(s, &x, 9), -EACCES);
	assert_int_equal(store_user_set_disabled(s, "alice", false), 0);
	assert_int_equal(store_session_begin(s, &x, 9), 0);
	/* The table's: seen at the login, and again when the session begins. */
	table("UPDATE people SET locked = '1' WHERE login = 'alice'");
	x.vid = 3;
	assert_int_equal(store_session_begin(s, &x, 9), -EACCES);
	/* A change of something else does not make it ours. */
	assert_int_equal(store_user_get(s, "alice", &u), 0);
	assert_true(u.disabled);
	u.max_sessions = 5;
	assert_int_equal(store_user_update(s, &u), 0);
	table("UPDATE people SET locked = '0' WHERE login = 'alice'");
	assert_int_equal(store_session_begin(s, &x, 9), 0);
	table("DELETE FROM people WHERE login = 'alice'");
	x.vid = 4;
	assert_int_equal(store_session_begin(s, &x, 9), -ENOENT);
	assert_int_equal(store_user_set_disabled(s, "nobody", true), -ENOENT);
}

struct list {
	char text[512];
};

static int list_user(const struct store_user *u, void *arg)
{
	struct list *l = arg;
	size_t n = strlen(l->text);

	snprintf(l->text + n, sizeof(l->text) - n, "%s:%s:%d ", u->name, u->id ? "seen" : "new",
		 u->max_sessions);
	return 0;
}

static void test_each(void **state)
{
	_cleanup_(store_closep) struct store *s = set_up();
	struct store_workload w = {.user = "bob", .name = "w", .netns = "n", .ifname = "e"};
	struct list l = {""};
	struct store_user u;

	assert_int_equal(store_user_get(s, "alice", &u), 0);
	u.max_sessions = 7;
	assert_int_equal(store_user_update(s, &u), 0);
	assert_int_equal(store_workload_add(s, &w), 0); /* the first that is seen of bob */
	assert_true(w.segment > 0 && w.segment != u.segment);
	table("INSERT INTO people (login) VALUES (NULL), (''), ('a name that is longer than any "
	      "user "
	      "of ours could ever have, and so is not one')");
	assert_int_equal(store_user_each(s, list_user, &l), 0);
	assert_string_equal(l.text, "alice:seen:7 bob:seen:0 x'; DROP TABLE people; --:new:0 ");
}

static int try_open(struct store_options *o, char **error)
{
	_cleanup_(store_closep) struct store *s = NULL;

	return store_open(o, &s, error);
}

static void test_wrong_names(void **state)
{
	static const char *const bad[] = {"",	   "a b", "x;y", "`",	"\"",
					  "a.b.c", ".a",  "a.",	 "a-b", "\xc3\xa4"};
	struct store_options o;
	char *error = NULL;

	store_close(set_up());
	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		assert_false(store_mapping_is_name(bad[i], true));
		o = mapped();
		o.mapping.table = bad[i];
		assert_int_equal(try_open(&o, NULL), -EINVAL);
		o = mapped();
		o.mapping.address6 = bad[i];
		assert_int_equal(try_open(&o, NULL), -EINVAL);
	}
	assert_true(store_mapping_is_name("a_1.B2", true));
	assert_false(store_mapping_is_name("a_1.B2", false));
	o = mapped();
	o.mapping.password = NULL;
	assert_int_equal(try_open(&o, NULL), -EINVAL);
	/* Of the right form, and not there: found when it is opened, not at the first login. */
	o = mapped();
	o.mapping.table = "peopel";
	assert_int_equal(try_open(&o, &error), -EUCLEAN);
	assert_non_null(strstr(error, "peopel"));
	free(error);
	o = mapped();
	o.mapping.disabled = "loked";
	assert_int_equal(try_open(&o, &error), -EUCLEAN);
	assert_non_null(strstr(error, "loked"));
	free(error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(test_get),	 TESTS(test_names),    TESTS(test_values),
		TESTS(test_changes),	 TESTS(test_disabled), TESTS(test_each),
		TESTS(test_wrong_names),
	};

	return cmocka_run_group_tests_name("store mapping", tests, start_mysql, stop_mysql);
}
