/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the store give back what it was given, and refuse what it must? */
#include "store_fixture.h"

static void test_users(void **state)
{
	/* Names are data: whatever they hold, they come back as they were. */
	static const char *const names[] = {
		"alice",
		"Alice", /* somebody else */
		"alice ",
		"x'; DROP TABLE user; --",
		"100%_\"`\\",
		"\\' OR 1=1 -- ",
		"\xc3\xa4\xe2\x82\xac",
		"a\xcc\x88", /* the same to some collations */
		"\xff\xfe\x80 no UTF-8 at all",
		"\xf0\x9f\x98\x80\n\t\x01\x7f",
		"sixty-three-bytes-0123456789-0123456789-0123456789-0123456789-x",
	};
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
	assert_int_equal(store_user_get(s, "ALICE", &got), -ENOENT);
	assert_int_equal(store_user_get(s, "", &got), -ENOENT);
	got = (struct store_user){.hash = "x"};
	assert_int_equal(store_user_add(s, &got), -EINVAL); /* without a name */
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

static void test_private(void **state)
{
	struct stat st;

	store_close(open_or_fail());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

struct walk {
	struct store *s;
	unsigned int depth, seen;
};

static int walk(const struct store_user *user, void *arg)
{
	struct walk *w = arg;
	struct store_user u;

	w->seen++;
	assert_int_equal(store_user_get(w->s, user->name, &u), 0);
	assert_string_equal(u.name, user->name);
	if (w->depth == 2)
		return 0;
	w->depth++;
	assert_int_equal(store_user_each(w->s, walk, w), 0);
	w->depth--;
	return 0;
}

static int stop(const struct store_user *user, void *arg)
{
	return -ECANCELED;
}

/* Callbacks may ask the store again, even the same; what they return ends the walk. */
static void test_nested(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct walk w = {.s = s};
	struct store_user u;

	add_user(s, "a", &u);
	add_user(s, "b", &u);
	assert_int_equal(store_user_each(s, walk, &w), 0);
	assert_int_equal(w.seen, 2 + 4 + 8);
	assert_int_equal(store_user_each(s, stop, NULL), -ECANCELED);
	add_user(s, "c", &u); /* no walk is left open */
}

static void test_update(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u, got;

	add_user(s, "a", &u);
	u.max_sessions = 3;
	u.max_macs = UINT32_MAX;
	u.max_machines = 7;
	u.max_memory_mib = 8192;
	u.max_vcpus = 9;
	u.rate_bytes = 10000000000;
	u.rate_frames = 77;
	u.max_user_macs = 5;
	u.max_flows = 1048576;
	u.new_flows = 10000000;
	u.disabled = true;
	strcpy(u.address6, "fd00::1/64");
	strcpy(u.hash, "must not be written");
	assert_int_equal(store_user_update(s, &u), 0);
	assert_int_equal(store_user_get(s, "a", &got), 0);
	assert_int_equal(got.max_sessions, 3);
	assert_int_equal(got.max_macs, UINT32_MAX);
	assert_int_equal(got.max_machines, 7);
	assert_int_equal(got.max_memory_mib, 8192);
	assert_int_equal(got.max_vcpus, 9);
	assert_int_equal(got.rate_bytes, 10000000000);
	assert_int_equal(got.rate_frames, 77);
	assert_int_equal(got.max_user_macs, 5);
	assert_int_equal(got.max_flows, 1048576);
	assert_int_equal(got.new_flows, 10000000);
	assert_true(got.disabled);
	assert_string_equal(got.address6, "fd00::1/64");
	assert_string_equal(got.hash, "$y$x");
	u.rate_bytes = u.rate_frames = u.max_user_macs = u.new_flows = 0;
	assert_int_equal(store_user_update(s, &u), 0);
	assert_int_equal(store_user_get(s, "a", &got), 0);
	assert_int_equal(got.rate_bytes + got.rate_frames + got.max_user_macs + got.new_flows, 0);
	assert_int_equal(got.max_flows, 1048576); /* one of them is enough for a row */
	u.max_flows = 0;
	assert_int_equal(store_user_update(s, &u), 0);
	assert_int_equal(store_user_get(s, "a", &got), 0);
	assert_int_equal(got.max_flows, 0);
	strcpy(u.name, "b");
	assert_int_equal(store_user_update(s, &u), -ENOENT);
}

static int sum_sessions(const struct store_session *x, void *arg)
{
	assert_string_equal(x->common_name, "cn");
	*(uint64_t *)arg += x->id;
	return 0;
}

/* Which sessions a restarted daemon is told of: the live, and those whose ids still rest. */
static void test_session_walk(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_session x[4];
	struct store_user u;
	uint64_t sum = 0;

	add_user(s, "a", &u);
	for (uint16_t i = 0; i < 4; i++) {
		x[i] = a_session(&u, (uint16_t)(2 + i));
		assert_int_equal(store_session_begin(s, &x[i], 9), 0);
	}
	assert_int_equal(store_session_end(s, x[0].id, 1000), 0);
	assert_int_equal(
		store_session_end_many(s, (const uint64_t[]){x[1].id, 4711, x[2].id}, 3, 2000), 0);
	assert_int_equal(store_session_each_live(s, sum_sessions, &sum), 0);
	assert_int_equal(sum, x[3].id);
	sum = 0;
	assert_int_equal(store_session_each_since(s, 2000, sum_sessions, &sum), 0);
	assert_int_equal(sum, x[1].id + x[2].id + x[3].id);
	/* The history outlives the user. */
	assert_int_equal(store_session_end(s, x[3].id, 3000), 0);
	assert_int_equal(store_user_delete(s, "a"), 0);
	sum = 0;
	assert_int_equal(store_session_each_since(s, 1, sum_sessions, &sum), 0);
	assert_int_equal(sum, x[0].id + x[1].id + x[2].id + x[3].id);
}

static struct store_machine a_machine(const char *user, const char *name, uint8_t n)
{
	struct store_machine m = {.origin = ORIGIN_IMAGE,
				  .memory_mib = 512,
				  .vcpus = 2,
				  .policy = {.start = START_TRAFFIC,
					     .ladder = "pause 10m then stop",
					     .grace_s = STORE_DEFAULT,
					     .idle_s = 0,
					     .min_up_s = 60},
				  .addresses = "10.8.0.7 fd00::7",
				  .pinned = PINNED_LIST,
				  .router = true,
				  .want = 3,
				  .held = true};

	snprintf(m.user, sizeof(m.user), "%s", user);
	snprintf(m.name, sizeof(m.name), "%s", name);
	snprintf(m.domain, sizeof(m.domain), "sp-%s-%s \xff'", user, name);
	m.uuid[15] = m.mac[5] = n;
	m.mac[0] = 0x52;
	return m;
}

static int count_machines(const struct store_machine *m, void *arg)
{
	assert_string_equal(m->server, "here");
	(*(int *)arg)++;
	return 0;
}

static void test_machines(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_machine m = a_machine("a", "web", 1), other, got;
	struct store_user u, v;
	int n = 0;

	assert_int_equal(store_machine_add(s, &m), -ENOENT);
	add_user(s, "a", &u);
	add_user(s, "b", &v);
	assert_int_equal(store_machine_add(s, &m), 0);
	assert_true(m.id > 0 && m.user_id == u.id && m.segment == u.segment);
	assert_int_equal(store_machine_get(s, "a", "web", &got), 0);
	assert_memory_equal(&got, &m, sizeof(m));
	assert_int_equal(store_machine_get(s, "b", "web", &got), -ENOENT);
	/* Name, domain, UUID and MAC: one that is taken is enough. */
	other = a_machine("a", "web", 2);
	assert_int_equal(store_machine_add(s, &other), -EEXIST);
	other = a_machine("a", "db", 2);
	strcpy(other.domain, m.domain);
	assert_int_equal(store_machine_add(s, &other), -EEXIST);
	other = a_machine("b", "web", 2);
	memcpy(other.uuid, m.uuid, sizeof(m.uuid));
	assert_int_equal(store_machine_add(s, &other), -EEXIST);
	other = a_machine("b", "web", 2);
	memcpy(other.mac, m.mac, sizeof(m.mac));
	assert_int_equal(store_machine_add(s, &other), -EEXIST);
	assert_int_equal(other.id, 0);
	other = a_machine("b", "web", 2);
	assert_int_equal(store_machine_add(s, &other), 0);
	assert_int_equal(store_machine_each(s, count_machines, &n), 0);
	assert_int_equal(n, 2);
	/* A user's machines are somebody's disks: they do not go by the way. */
	assert_int_equal(store_user_delete(s, "a"), -EBUSY);
	assert_int_equal(store_machine_delete(s, "a", "web"), 0);
	assert_int_equal(store_machine_delete(s, "a", "web"), -ENOENT);
	assert_int_equal(store_user_delete(s, "a"), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM mac"), 2);
}

static void test_machine_changes(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_machine m = a_machine("a", "web", 1), want, got;
	struct store_user u;

	add_user(s, "a", &u);
	assert_int_equal(store_machine_add(s, &m), 0);
	want = m;
	want.policy = (struct store_policy){.start = START_MANUAL,
					    .ladder = "",
					    .grace_s = 1,
					    .idle_s = STORE_DEFAULT,
					    .min_up_s = INT32_MAX};
	memset(want.addresses, 0, sizeof(want.addresses));
	want.pinned = PINNED_DHCP;
	strcpy(want.leases, "10.8.0.9@1764171646");
	want.router = false;
	want.dhcp_server = true;
	want.memory_mib = 4096;
	want.vcpus = 1;
	m = want;
	strcpy(m.name, "must not be written");
	m.mac[5] = 9;
	assert_int_equal(store_machine_update(s, &m), 0);
	assert_int_equal(store_machine_update(s, &m),
			 0); /* what is the same is there all the same */
	assert_int_equal(store_machine_get(s, "a", "web", &got), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	assert_int_equal(store_machine_set_leases(s, m.id, "fd00::9@0"), 0);
	assert_int_equal(store_machine_set_leases(s, m.id, "fd00::9@0"), 0);
	assert_int_equal(store_machine_get(s, "a", "web", &got), 0);
	assert_string_equal(got.leases, "fd00::9@0");
	m = got;
	m.pinned = PINNED_LIST;
	assert_int_equal(store_machine_update(s, &m), 0);
	assert_int_equal(store_machine_set_leases(s, m.id, "fd00::9@0"), -ENOENT);
	assert_int_equal(store_machine_get(s, "a", "web", &got), 0);
	assert_int_equal(got.pinned, PINNED_LIST);
	assert_string_equal(got.leases, "");
	assert_int_equal(store_machine_set_addresses(s, m.id, "10.8.0.9"), -ENOENT);
	m.pinned = PINNED_NO;
	m.memory_mib++;
	assert_int_equal(store_machine_update(s, &m), 0);
	assert_int_equal(store_machine_set_addresses(s, m.id, "10.8.0.9"), 0);
	memset(m.addresses, 0, sizeof(m.addresses));
	snprintf(m.addresses, sizeof(m.addresses), "10.8.0.9");
	memset(m.leases, 0, sizeof(m.leases));
	assert_int_equal(store_machine_get(s, "a", "web", &got), 0);
	assert_memory_equal(&got, &m, sizeof(got));
	assert_int_equal(store_machine_set_want(s, m.id, 5, false), 0);
	assert_int_equal(store_machine_get(s, "a", "web", &got), 0);
	assert_int_equal(got.want, 5);
	assert_false(got.held);
	assert_int_equal(store_machine_set_want(s, 4711, 5, false), -ENOENT);
	m.id = 4711;
	assert_int_equal(store_machine_update(s, &m), -ENOENT);
}

static int note_rules(const struct store_rules *rules, void *arg)
{
	struct store_rules *last = arg;

	assert_true(rules->machine_id > last->machine_id);
	last->machine_id = rules->machine_id;
	last->generation += rules->generation;
	return 0;
}

/* Whatever was there is replaced as a whole, and by whoever knows what that is. */
static void test_rules(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	_cleanup_free_
	char *big = calloc(1, SP_POLICY_MAX + 2);
	struct store_machine m = a_machine("a", "web", 1), n = a_machine("a", "db", 2);
	struct store_rules all = {0};
	uint64_t generation = 7;
	struct store_user u;
	char *text = big;

	assert_non_null(big);
	add_user(s, "a", &u);
	assert_int_equal(store_machine_add(s, &m), 0);
	assert_int_equal(store_machine_add(s, &n), 0);
	assert_int_equal(store_rules_get(s, m.id, &generation, &text), 0);
	assert_int_equal(generation, 0);
	assert_null(text);
	assert_int_equal(store_rules_set(s, 4711, "x", STORE_ANY_GENERATION, &generation), -ENOENT);
	assert_int_equal(store_rules_set(s, m.id, "x", 1, &generation), -ESTALE);
	assert_int_equal(generation, 0);
	assert_int_equal(store_rules_set(s, m.id, "a 'b' \"c\" \\ \xc3\xa9\n", 0, &generation), 0);
	assert_int_equal(generation, 1);
	assert_int_equal(store_rules_get(s, m.id, &generation, &text), 0);
	assert_string_equal(text, "a 'b' \"c\" \\ \xc3\xa9\n");
	free(text);
	assert_int_equal(store_rules_set(s, m.id, "y", 0, &generation), -ESTALE);
	assert_non_null(strstr(store_error(s), "its generation is 1"));
	/* As long as it may be, and one byte more. */
	memset(big, 'x', SP_POLICY_MAX + 1);
	assert_int_equal(store_rules_set(s, m.id, big, 1, &generation), -EINVAL);
	big[SP_POLICY_MAX] = '\0';
	assert_int_equal(store_rules_set(s, m.id, big, 1, &generation), 0);
	assert_int_equal(store_rules_get(s, m.id, &generation, &text), 0);
	assert_string_equal(text, big);
	free(text);
	/* Taken away: the count goes on. An empty one is one all the same. */
	assert_int_equal(store_rules_set(s, m.id, NULL, STORE_ANY_GENERATION, &generation), 0);
	assert_int_equal(generation, 3);
	assert_int_equal(store_rules_get(s, m.id, &generation, &text), 0);
	assert_int_equal(generation, 3);
	assert_null(text);
	assert_int_equal(store_rules_set(s, n.id, "", 0, &generation), 0);
	assert_int_equal(store_rules_get(s, n.id, &generation, &text), 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(store_rules_each(s, note_rules, &all), 0);
	assert_int_equal(all.generation, 4);
	/* They go with their machine. */
	assert_int_equal(store_machine_delete(s, "a", "web"), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM policy"), 1);
}

static void test_itself(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();

	assert_int_equal(store_check(s), 0);
	assert_int_equal(store_try(s), 0);
	assert_int_equal(store_alive(s), 0);
	assert_int_equal(store_is_shared(s), fixture_is_mysql);
	assert_non_null(strstr(store_describe(s), fixture_is_mysql ? "MariaDB 1" : "SQLite 3"));
	assert_string_equal(store_error(s), "no error");
	assert_string_equal(store_error(NULL), "not open");
}

/* The paper's Table I: a user's addresses are those that the sessions have. */
static void test_table_one(void **state)
{
	static const uint8_t macs[2][6] = {{2, 0, 0, 0, 0, 0xab}, {2, 0, 0, 0, 0, 1}};
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_session x;
	struct store_user u;
	uint64_t from;

	add_user(s, "user1", &u);
	assert_int_equal(foreign_number("SELECT count(*) FROM users WHERE mac_addr IS NULL AND "
					"user_id = 1 AND username = 'user1' AND password = '$y$x' "
					"AND ip_addr = '10.0.0.1/24'"),
			 1);
	x = a_session(&u, 2);
	assert_int_equal(store_session_begin(s, &x, 9), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(store_mac_claim(s, u.segment, macs[i], x.id, &from), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM users WHERE "
					"mac_addr = '02:00:00:00:00:01 02:00:00:00:00:ab'"),
			 1);
	assert_int_equal(store_session_end(s, x.id, 5), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM users WHERE mac_addr IS NULL"), 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(test_users),	  TESTS(test_update),
		TESTS(test_nested),	  TESTS(test_workloads),
		TESTS(test_machines),	  TESTS(test_machine_changes),
		TESTS(test_sessions),	  TESTS(test_segments_are_not_reused),
		TESTS(test_session_walk), TESTS(test_table_one),
		TESTS(test_itself),	  TESTS(test_audit),
		TESTS(test_rules),	  TEST(test_private),
	};

	return cmocka_run_group_tests_name("store", tests, start_mysql, stop_mysql);
}
