/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When servers share the store: does each keep to its own, and has each MAC one owner (I6)? */
#include "store_fixture.h"

#include <pthread.h>

/* Two servers, "one" and "two", that live. */
static void open_two(struct store **one, struct store **two)
{
	*one = open_as("one");
	/* A file that knows one server only would take "two" for it. */
	if (!fixture_is_mysql)
		foreign("INSERT INTO server (name, seen) VALUES ('two', 0)");
	*two = open_as("two");
	assert_int_equal(store_alive(*two), 0);
}

static struct store_session begin(struct store *s, const struct store_user *u, uint16_t vid)
{
	struct store_session x = a_session(u, vid);

	assert_int_equal(store_session_begin(s, &x, 9), 0);
	return x;
}

/* The server has not been heard of for longer than its lease, by the database's clock. */
static void silence(const char *server)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "UPDATE server SET seen = seen - %d WHERE name = '%s'",
		 SP_SERVER_LEASE_S + 5, server);
	foreign(sql);
}

static int count_session(const struct store_session *x, void *arg)
{
	(*(int *)arg)++;
	return 0;
}

static int count_workload(const struct store_workload *w, void *arg)
{
	(*(int *)arg)++;
	return 0;
}

static int count_machine(const struct store_machine *m, void *arg)
{
	(*(int *)arg)++;
	return 0;
}

static struct store_workload a_workload(const char *user, const char *name, uint8_t mac)
{
	struct store_workload w = {.ifname = "eth0", .mac = {2, 0, 0, 0, 0, mac}};

	snprintf(w.user, sizeof(w.user), "%s", user);
	snprintf(w.name, sizeof(w.name), "%s", name);
	snprintf(w.netns, sizeof(w.netns), "%s-%s", user, name);
	return w;
}

static struct store_machine a_machine(const char *user, uint8_t n)
{
	struct store_machine m = {.origin = ORIGIN_KERNEL,
				  .policy = {.start = START_MANUAL},
				  .uuid = {n},
				  .mac = {2, 0, 0, 0, 0, n}};

	snprintf(m.user, sizeof(m.user), "%s", user);
	snprintf(m.name, sizeof(m.name), "m%u", n);
	snprintf(m.domain, sizeof(m.domain), "d%u", n);
	return m;
}

/* --- each its own --- */

static void test_own_rows(void **state)
{
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	struct store_workload w = a_workload("a", "w", 1);
	struct store_machine m = a_machine("a", 2);
	struct store_user u;
	int n[6] = {0};

	open_two(&one, &two);
	add_user(one, "a", &u);
	assert_int_equal(store_workload_add(one, &w), 0);
	assert_int_equal(store_machine_add(one, &m), 0);
	assert_string_equal(m.server, "one");
	begin(one, &u, 2);
	begin(two, &u, 2); /* the same VLAN id of an instance of the same name */
	begin(two, &u, 3);
	store_workload_each(one, count_workload, &n[0]);
	store_workload_each(two, count_workload, &n[1]);
	store_machine_each(one, count_machine, &n[2]);
	store_machine_each(two, count_machine, &n[3]);
	store_session_each_live(one, count_session, &n[4]);
	store_session_each_live(two, count_session, &n[5]);
	assert_true(n[0] == 1 && n[1] == 0 && n[2] == 1 && n[3] == 0 && n[4] == 1 && n[5] == 2);
	/* What is on another server is its daemon's to take away. */
	assert_int_equal(store_workload_delete(two, "a", "w"), -EXDEV);
	assert_non_null(strstr(store_error(two), "on server one"));
	assert_int_equal(store_machine_delete(two, "a", "m2"), -EXDEV);
	assert_int_equal(store_machine_get(two, "a", "m2", &m), 0);
	assert_string_equal(m.server, "one");
	assert_int_equal(store_workload_delete(one, "a", "w"), 0);
	/* A device of the same name in a namespace of the same name is another on another host. */
	w.id = 0;
	assert_int_equal(store_workload_add(one, &w), 0);
	strcpy(w.name, "other");
	w.mac[5] = 9;
	assert_int_equal(store_workload_add(one, &w), -EEXIST);
	assert_int_equal(store_workload_add(two, &w), 0);
}

static void test_quota(void **state)
{
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	struct store_session x;
	struct store_user u;

	open_two(&one, &two);
	add_user(one, "a", &u);
	assert_int_equal(begin(one, &u, 2).index, 0);
	assert_int_equal(begin(two, &u, 3).index, 1);
	x = a_session(&u, 4);
	assert_int_equal(store_session_begin(one, &x, 2), -EDQUOT);
	assert_int_equal(store_user_delete(one, "a"), -EBUSY);
	/* A server that is silent has no sessions that count, to others. */
	silence("two");
	assert_int_equal(store_session_begin(one, &x, 2), 0);
	assert_int_equal(x.index, 1);
	x = a_session(&u, 5);
	assert_int_equal(store_session_begin(two, &x, 3), -EDQUOT);
	assert_int_equal(store_alive(two), 0);
	assert_int_equal(store_session_begin(one, &x, 3), -EDQUOT);
}

static int note_server(const struct store_server *server, void *arg)
{
	*(int *)arg += strcmp(server->name, "one") == 0 ? server->alive : 10 * server->alive;
	return 0;
}

static void test_leases(void **state)
{
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	int alive = 0;

	open_two(&one, &two);
	assert_int_equal(store_server_each(one, note_server, &alive), 0);
	assert_int_equal(alive, 11);
	silence("one");
	/* Coming back does not make a server live: only that it says so. */
	store_close(one);
	one = open_as("one");
	alive = 0;
	assert_int_equal(store_server_each(two, note_server, &alive), 0);
	assert_int_equal(alive, 10);
	assert_int_equal(store_alive(one), 0);
	alive = 0;
	assert_int_equal(store_server_each(two, note_server, &alive), 0);
	assert_int_equal(alive, 11);
	/* A clock that was put back does not make a lease last. */
	foreign("UPDATE server SET seen = seen + 100000 WHERE name = 'one'");
	alive = 0;
	assert_int_equal(store_server_each(two, note_server, &alive), 0);
	assert_int_equal(alive, 10);
}

/* Hosts are given other names; what is in their file stays theirs. */
static void test_renamed_host(void **state)
{
	struct store *s = open_as("old-name");
	struct store_workload w = a_workload("a", "w", 1);
	struct store_user u;
	int n = 0;

	add_user(s, "a", &u);
	assert_int_equal(store_workload_add(s, &w), 0);
	store_close(s);
	s = open_as("new-name");
	assert_int_equal(store_workload_each(s, count_workload, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(foreign_number("SELECT count(*) FROM server"), 1);
	store_close(s);
}

/* --- claims --- */

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0x11};

/* What a claim answers; *FROM is 77 where it was left alone. */
static int claim(struct store *s, uint32_t scope, uint64_t session, uint64_t *from)
{
	*from = 77;
	return store_mac_claim(s, scope, mac, session, from);
}

static void test_claims(void **state)
{
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	struct store_session a1, a2, b;
	struct store_user u, v;
	uint64_t from;

	open_two(&one, &two);
	add_user(one, "a", &u);
	add_user(one, "b", &v);
	a1 = begin(one, &u, 2);
	a2 = begin(two, &u, 2);
	b = begin(two, &v, 3);
	assert_int_equal(claim(one, STORE_EVERYWHERE, a1.id, &from), 0);
	assert_int_equal(from, 0);
	assert_int_equal(claim(one, STORE_EVERYWHERE, a1.id, &from), 0); /* has it already */
	assert_int_equal(from, 0);
	assert_int_equal(claim(two, STORE_EVERYWHERE, b.id, &from), -EEXIST);
	assert_int_equal(from, 77);
	assert_non_null(strstr(store_error(two), "has the MAC address"));
	/* The same user may take it along. */
	assert_int_equal(claim(two, STORE_EVERYWHERE, a2.id, &from), 0);
	assert_int_equal(from, a1.id);
	/* Who has lost it cannot release it. */
	assert_int_equal(store_mac_release(one, STORE_EVERYWHERE, mac, a1.id), 0);
	assert_int_equal(claim(two, STORE_EVERYWHERE, b.id, &from), -EEXIST);
	assert_int_equal(store_mac_release(two, STORE_EVERYWHERE, mac, a2.id), 0);
	assert_int_equal(claim(two, STORE_EVERYWHERE, b.id, &from), 0);
	assert_int_equal(from, 0);
	/* In segments it is another address, to anybody. */
	assert_int_equal(claim(one, u.segment, a1.id, &from), 0);
	assert_int_equal(claim(one, v.segment, b.id, &from), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM mac"), 3);
}

static void test_claim_ends(void **state)
{
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	struct store_session a, b;
	struct store_user u, v;
	uint64_t from;

	open_two(&one, &two);
	add_user(one, "a", &u);
	add_user(one, "b", &v);
	a = begin(one, &u, 2);
	b = begin(two, &v, 2);
	assert_int_equal(claim(one, 0, a.id, &from), 0);
	assert_int_equal(store_session_end(one, a.id, 5), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM mac"), 0);
	assert_int_equal(claim(one, 0, a.id, &from), -ENOENT);
	assert_int_equal(claim(one, 0, 4711, &from), -ENOENT);
	/* Also where somebody has it. */
	assert_int_equal(claim(two, 0, b.id, &from), 0);
	assert_int_equal(claim(one, 0, a.id, &from), -ENOENT);
	/* One whose server is silent can be taken from, by anybody; while it lives, it cannot. */
	a = begin(one, &u, 3);
	assert_int_equal(claim(one, 0, a.id, &from), -EEXIST);
	silence("two");
	assert_int_equal(claim(one, 0, a.id, &from), 0);
	assert_int_equal(from, b.id);
	/* And one that a crash left behind. */
	assert_int_equal(store_alive(two), 0);
	assert_int_equal(claim(two, 0, b.id, &from), -EEXIST);
	foreign("UPDATE session SET ended = 5 WHERE vid = 3");
	assert_int_equal(claim(two, 0, b.id, &from), 0);
	assert_int_equal(from, a.id);
}

/* What a workload or a machine has, no session gets, and the other way round (I6). */
static void test_claims_of_machines(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_workload wa = a_workload("a", "w", 0x11), wb = a_workload("b", "w", 0x11);
	struct store_machine m = a_machine("a", 0x11), other = a_machine("b", 0x22);
	struct store_session a, b, free_one;
	struct store_user u, v;
	uint64_t from;

	add_user(s, "a", &u);
	add_user(s, "b", &v);
	a = begin(s, &u, 2);
	b = begin(s, &v, 3);
	free_one = begin(s, &v, 0);
	/* Any number of users may have a workload with it. */
	assert_int_equal(store_workload_add(s, &wa), 0);
	assert_int_equal(store_workload_add(s, &wb), 0);
	assert_int_equal(claim(s, u.segment, a.id, &from), -EEXIST);
	assert_int_equal(claim(s, 0, free_one.id, &from), -EEXIST);
	assert_int_equal(store_machine_add(s, &m), -EEXIST);
	assert_int_equal(store_workload_delete(s, "a", "w"), 0);
	assert_int_equal(claim(s, u.segment, a.id, &from), 0);
	assert_int_equal(claim(s, 0, free_one.id, &from), -EEXIST); /* b's is still there */
	assert_int_equal(store_workload_delete(s, "b", "w"), 0);
	assert_int_equal(claim(s, 0, free_one.id, &from), 0);
	/* Now the session has it everywhere: nobody's workload, nobody's machine. */
	assert_int_equal(store_workload_add(s, &wb), -EEXIST);
	assert_int_equal(store_machine_add(s, &m), -EEXIST);
	assert_int_equal(store_session_end(s, free_one.id, 5), 0);
	assert_int_equal(store_session_end(s, a.id, 5), 0);
	/* A machine's is unique among machines, workloads and MAC mode; in its own segment too. */
	assert_int_equal(store_machine_add(s, &m), 0);
	assert_int_equal(store_workload_add(s, &wb), -EEXIST);
	a = begin(s, &u, 2);
	assert_int_equal(claim(s, u.segment, a.id, &from), -EEXIST);
	assert_int_equal(claim(s, 0, b.id, &from), -EEXIST);
	assert_int_equal(claim(s, v.segment, b.id, &from), 0); /* another wire */
	assert_int_equal(store_machine_add(s, &other), 0);
	assert_int_equal(store_machine_delete(s, "a", "m17"), 0);
	assert_int_equal(claim(s, 0, a.id, &from), 0);
}

/* Nothing half done: what was refused has left no row. */
static void test_refused_whole(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_workload w = a_workload("a", "w", 0x11);
	struct store_machine m = a_machine("a", 0x11);
	struct store_session x;
	struct store_user u;
	uint64_t from;

	add_user(s, "a", &u);
	x = begin(s, &u, 0);
	assert_int_equal(claim(s, 0, x.id, &from), 0);
	assert_int_equal(store_workload_add(s, &w), -EEXIST);
	assert_int_equal(store_machine_add(s, &m), -EEXIST);
	assert_int_equal(w.id, 0);
	assert_int_equal(m.id, 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM workload"), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM machine"), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM mac"), 1);
}

/* --- at the same instant --- */

#define ROUNDS 1000

struct racer {
	pthread_barrier_t *gate;
	const char *server;
	uint64_t session;
	unsigned int rounds;
	int results[ROUNDS];
};

static void *race(void *arg)
{
	struct racer *x = arg;
	struct store *s = open_as(x->server);

	for (unsigned int i = 0; i < x->rounds; i++) {
		uint8_t m[6] = {2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};
		uint64_t from;

		pthread_barrier_wait(x->gate);
		x->results[i] = store_mac_claim(s, 0, m, x->session, &from);
	}
	store_close(s);
	return NULL;
}

static void race_for(unsigned int rounds)
{
	static struct racer racers[2];
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	unsigned int wins[2] = {0};
	pthread_barrier_t gate;
	pthread_t threads[2];
	struct store_user u[2];

	open_two(&one, &two);
	pthread_barrier_init(&gate, NULL, 2);
	for (int i = 0; i < 2; i++) {
		add_user(one, i ? "b" : "a", &u[i]);
		racers[i] = (struct racer){.gate = &gate,
					   .server = i ? "two" : "one",
					   .session = begin(i ? two : one, &u[i], 0).id,
					   .rounds = rounds};
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&gate);
	for (unsigned int i = 0; i < rounds; i++) {
		int a = racers[0].results[i], b = racers[1].results[i];

		if (!((a == 0 && b == -EEXIST) || (a == -EEXIST && b == 0)))
			fail_msg("round %u: %d and %d", i, a, b);
		wins[a != 0]++;
	}
	/* Had one always been first, they would not have met; in a file whoever waits may always
	 * lose. */
	assert_true(!fixture_is_mysql || (wins[0] > 0 && wins[1] > 0));
	assert_int_equal(foreign_number("SELECT count(*) FROM mac"), rounds);
}

static void test_same_instant(void **state)
{
	race_for(ROUNDS);
}

static void test_same_instant_in_a_file(void **state)
{
	race_for(100);
}

/* Two that end the same sessions in opposite order lock each other out; both succeed. */
struct ender {
	pthread_barrier_t *gate;
	const char *server;
	uint64_t ids[200];
	size_t n;
	int r;
};

static void *end_all(void *arg)
{
	struct ender *x = arg;
	struct store *s = open_as(x->server);

	pthread_barrier_wait(x->gate);
	x->r = store_session_end_many(s, x->ids, x->n, 5);
	store_close(s);
	return NULL;
}

static void test_deadlock(void **state)
{
	static const char deadlocks[] =
		"SELECT variable_value FROM information_schema.global_status "
		"WHERE variable_name = 'innodb_deadlocks'";
	int64_t before = foreign_number(deadlocks);
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	static struct ender enders[2];
	pthread_barrier_t gate;
	struct store_user u;

	open_two(&one, &two);
	add_user(one, "a", &u);
	pthread_barrier_init(&gate, NULL, 2);
	for (int round = 0; round < 30 && foreign_number(deadlocks) < before + 3; round++) {
		pthread_t threads[2];

		for (size_t i = 0; i < 200; i++) {
			struct store_session x = a_session(&u, 0);

			assert_int_equal(store_session_begin(one, &x, 1000), 0);
			enders[0].ids[i] = enders[1].ids[199 - i] = x.id;
		}
		for (int i = 0; i < 2; i++) {
			enders[i].gate = &gate;
			enders[i].server = i ? "two" : "one";
			enders[i].n = 200;
			pthread_create(&threads[i], NULL, end_all, &enders[i]);
		}
		for (int i = 0; i < 2; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(enders[i].r, 0);
		}
		assert_int_equal(foreign_number("SELECT count(*) FROM session WHERE ended = 0"), 0);
	}
	pthread_barrier_destroy(&gate);
	assert_true(foreign_number(deadlocks) > before); /* it did come to that */
}

/* A session that ends while its MACs are claimed keeps none. */
static void *claim_on(void *arg)
{
	struct ender *x = arg;
	struct store *s = open_as(x->server);

	pthread_barrier_wait(x->gate);
	for (uint32_t i = 0; x->r == 0; i++) {
		uint8_t m[6] = {2, 1, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
		uint64_t from;

		x->r = store_mac_claim(s, 0, m, x->ids[0], &from);
		x->n += x->r == 0;
	}
	store_close(s);
	return NULL;
}

static void test_claim_while_ending(void **state)
{
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	size_t claimed = 0;
	struct store_user u;

	open_two(&one, &two);
	add_user(one, "a", &u);
	for (int round = 0; round < 20; round++) {
		pthread_barrier_t gate;
		struct ender x = {.gate = &gate, .server = "one"};
		pthread_t thread;

		pthread_barrier_init(&gate, NULL, 2);
		x.ids[0] = begin(one, &u, 0).id;
		pthread_create(&thread, NULL, claim_on, &x);
		pthread_barrier_wait(&gate);
		usleep((useconds_t)(round * 300)); /* anywhere among its claims */
		assert_int_equal(store_session_end(two, x.ids[0], 5), 0);
		pthread_join(thread, NULL);
		pthread_barrier_destroy(&gate);
		assert_int_equal(x.r, -ENOENT);
		claimed += x.n;
		assert_int_equal(foreign_number("SELECT count(*) FROM mac"), 0);
	}
	assert_true(claimed > 0);
}

struct beginner {
	pthread_barrier_t *gate;
	const char *server;
	uint32_t user;
	int begun, refused;
};

static void *begin_many(void *arg)
{
	struct beginner *x = arg;
	struct store *s = open_as(x->server);

	pthread_barrier_wait(x->gate);
	for (int i = 0; i < 10; i++) {
		struct store_user u = {.id = x->user};
		struct store_session y = a_session(&u, 0);
		int r = store_session_begin(s, &y, 5);

		x->begun += r == 0;
		x->refused += r == -EDQUOT;
	}
	store_close(s);
	return NULL;
}

static void test_quota_at_once(void **state)
{
	static const char *const servers[] = {"one", "two", "one", "two"};
	_cleanup_(store_closep) struct store *one = NULL;
	_cleanup_(store_closep) struct store *two = NULL;
	struct beginner b[4] = {0};
	pthread_barrier_t gate;
	pthread_t threads[4];
	struct store_user u;
	int begun = 0, refused = 0;

	open_two(&one, &two);
	add_user(one, "a", &u);
	pthread_barrier_init(&gate, NULL, 4);
	for (int i = 0; i < 4; i++) {
		b[i] = (struct beginner){.gate = &gate, .server = servers[i], .user = u.id};
		pthread_create(&threads[i], NULL, begin_many, &b[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		begun += b[i].begun;
		refused += b[i].refused;
	}
	pthread_barrier_destroy(&gate);
	assert_int_equal(begun, 5);
	assert_int_equal(refused, 35);
	assert_int_equal(foreign_number("SELECT count(DISTINCT address_index) FROM session"), 5);
	assert_int_equal(foreign_number("SELECT max(address_index) FROM session"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(test_own_rows),
		TESTS(test_quota),
		TESTS(test_leases),
		TEST(test_renamed_host),
		TESTS(test_claims),
		TESTS(test_claim_ends),
		TESTS(test_claims_of_machines),
		TESTS(test_refused_whole),
		TEST(test_same_instant_in_a_file),
		TEST_MYSQL(test_same_instant),
		TEST_MYSQL(test_deadlock),
		TEST_MYSQL(test_claim_while_ending),
		TEST_MYSQL(test_quota_at_once),
	};

	return cmocka_run_group_tests_name("store servers", tests, start_mysql, stop_mysql);
}
