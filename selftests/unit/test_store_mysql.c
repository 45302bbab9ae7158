/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the database server dies, hangs, lies or is somebody else's: is nothing that was
 * acknowledged lost (I8), is no call held longer than its deadline, and does the store come back by
 * itself?
 */
#include "store_fixture.h"

#include <mysql.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct store *open_with(unsigned int timeout_ms, const char *socket)
{
	struct store_options o = fixture_options();
	_cleanup_free_
	char *error = NULL;
	struct store *s = NULL;

	o.timeout_ms = timeout_ms;
	o.mysql.socket = socket;
	if (store_open(&o, &s, &error) < 0)
		fail_msg("%s", error);
	return s;
}

static void restart(void)
{
	mariadb_kill(&fixture_server);
	assert_int_equal(mariadb_start(&fixture_server), 0);
}

/* --- a server that dies --- */

static void test_killed_between_calls(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u, got;
	double t;

	add_user(s, "a", &u);
	mariadb_kill(&fixture_server);
	t = now();
	assert_int_equal(store_user_get(s, "a", &got), -ENOTCONN);
	assert_int_equal(store_user_set_disabled(s, "a", true), -ENOTCONN);
	assert_int_equal(store_try(s), -ENOTCONN);
	assert_true(now() - t < 2); /* where nobody listens, nobody is waited for */
	assert_non_null(strstr(store_error(s), fixture_server.socket));
	assert_int_equal(mariadb_start(&fixture_server), 0);
	assert_int_equal(store_user_get(s, "a", &got), 0); /* what was acknowledged is there */
	assert_int_equal(got.id, u.id);
	/* A change is as good as a look: that the connection has gone is known before it is sent.
	 */
	restart();
	assert_int_equal(store_user_set_disabled(s, "a", true), 0);
	restart();
	add_user(s, "b", &u);
	assert_int_equal(foreign_number("SELECT sum(disabled) FROM user"), 1);
}

static void test_connection_killed(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_session x;
	struct store_user u;
	uint64_t from;

	add_user(s, "a", &u);
	kill_connections();
	x = a_session(&u, 2);
	assert_int_equal(store_session_begin(s, &x, 9), 0);
	kill_connections();
	assert_int_equal(store_mac_claim(s, 0, (uint8_t[6]){2}, x.id, &from), 0);
	kill_connections();
	assert_int_equal(store_session_end(s, x.id, 5), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM session WHERE ended = 5"), 1);
}

/* A transaction whose server dies before COMMIT is run again, whole. */
struct doomed {
	int runs;
	void (*doom)(void);
};

static int insert_two(struct store *s, void *arg)
{
	struct doomed *d = arg;
	int r = audit_add(s, "first", "w", "o", NULL);

	if (d->runs++ == 0)
		d->doom();
	return r ?: audit_add(s, "second", "w", "o", NULL);
}

static void test_killed_within(void **state)
{
	void (*const dooms[])(void) = {restart, kill_connections};
	_cleanup_(store_closep) struct store *s = open_or_fail();

	for (size_t i = 0; i < SP_ARRAY_SIZE(dooms); i++) {
		struct doomed d = {.doom = dooms[i]};

		s->deadline_us = store_now_us() + 20000000;
		assert_int_equal(sql_transaction(s, insert_two, &d), 0);
		assert_int_equal(d.runs, 2);
		assert_int_equal(foreign_number("SELECT count(*) FROM audit"), 2 * (i + 1));
	}
}

static void stay_dead(void)
{
	mariadb_kill(&fixture_server);
}

static void test_killed_for_good(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct doomed d = {.doom = stay_dead};

	s->deadline_us = store_now_us() + 5000000;
	assert_int_equal(sql_transaction(s, insert_two, &d), -ENOTCONN);
	assert_int_equal(d.runs, 1);
	assert_int_equal(mariadb_start(&fixture_server), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM audit"), 0);
	assert_int_equal(store_audit_add(s, "third", "w", "o", NULL), 0);
}

/* What a callback asks does not hang on the rows that are still to come. */
static int kill_and_ask(const struct store_user *user, void *arg)
{
	struct store_user u;

	kill_connections();
	return store_user_get(arg, user->name, &u);
}

static void test_killed_in_a_walk(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u;

	add_user(s, "a", &u);
	add_user(s, "b", &u);
	assert_int_equal(store_user_each(s, kill_and_ask, s), 0);
}

/* --- between us and the server: what is sent may arrive, and its answer not --- */

enum proxy_mode {
	PROXY_PASS,
	PROXY_LOSE_ANSWER,  /* to a statement that has NEEDLE in it: it arrives */
	PROXY_LOSE_REQUEST, /* it does not */
	PROXY_TRICKLE,	    /* one byte of the answer each 50 ms */
};

struct proxy {
	char path[96];
	int listener, stop[2];
	pthread_t thread;
	enum proxy_mode mode;
	const char *needle;
	size_t needle_size;
	unsigned int struck;
};

static int connect_server(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", fixture_server.socket);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		closep(&fd), fd = -1;
	return fd;
}

/* What the client sent. False: the connection is to end. */
static bool forward_request(struct proxy *p, int server, const char *buf, size_t n)
{
	enum proxy_mode mode = __atomic_load_n(&p->mode, __ATOMIC_SEQ_CST);
	bool hit = mode != PROXY_PASS && memmem(buf, n, p->needle, p->needle_size);
	struct pollfd answered = {.fd = server, .events = POLLIN};

	if (!hit || mode == PROXY_TRICKLE)
		return write(server, buf, n) == (ssize_t)n;
	p->struck++;
	__atomic_store_n(&p->mode, PROXY_PASS, __ATOMIC_SEQ_CST);
	if (mode == PROXY_LOSE_ANSWER && write(server, buf, n) == (ssize_t)n)
		poll(&answered, 1, 10000); /* it has been done */
	return false;
}

static bool forward_answer(struct proxy *p, int client, const char *buf, size_t n)
{
	if (__atomic_load_n(&p->mode, __ATOMIC_SEQ_CST) != PROXY_TRICKLE)
		return write(client, buf, n) == (ssize_t)n;
	for (size_t i = 0; i < n; i++) {
		struct pollfd f = {.fd = p->stop[0], .events = POLLIN};

		if (send(client, buf + i, 1, MSG_NOSIGNAL) != 1 || poll(&f, 1, 50) > 0)
			return false;
	}
	return true;
}

static void serve(struct proxy *p, int client)
{
	int server = connect_server();
	struct pollfd f[] = {{.fd = client, .events = POLLIN},
			     {.fd = server, .events = POLLIN},
			     {.fd = p->stop[0], .events = POLLIN}};
	char buf[65536];
	bool go_on = server >= 0;

	while (go_on && poll(f, 3, -1) > 0 && !f[2].revents) {
		int from = f[0].revents ? client : server;
		ssize_t n = read(from, buf, sizeof(buf));

		go_on = n > 0 && (from == client ? forward_request(p, server, buf, (size_t)n)
						 : forward_answer(p, client, buf, (size_t)n));
	}
	closep(&server);
	close(client);
}

static void *proxy_run(void *arg)
{
	struct proxy *p = arg;
	struct pollfd f[] = {{.fd = p->listener, .events = POLLIN},
			     {.fd = p->stop[0], .events = POLLIN}};

	while (poll(f, 2, -1) > 0 && !f[1].revents) {
		int client = accept(p->listener, NULL, NULL);

		if (client >= 0)
			serve(p, client);
	}
	return NULL;
}

static void proxy_start(struct proxy *p)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memset(p, 0, sizeof(*p));
	snprintf(p->path, sizeof(p->path), "%s/proxy", fixture_server.dir);
	unlink(p->path);
	strcpy(a.sun_path, p->path);
	signal(SIGPIPE, SIG_IGN);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(p->listener, 5), 0);
	assert_int_equal(pipe(p->stop), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, proxy_run, p), 0);
}

static void proxy_set(struct proxy *p, enum proxy_mode mode, const char *needle, size_t size)
{
	p->needle = needle;
	p->needle_size = size;
	__atomic_store_n(&p->mode, mode, __ATOMIC_SEQ_CST);
}

static void proxy_stop(struct proxy *p)
{
	close(p->stop[1]); /* what is readable now says: end */
	pthread_join(p->thread, NULL);
	close(p->stop[0]);
	close(p->listener);
}

/* A COMMIT that nobody acknowledged: an error that says what is not known, and no second try. */
static void test_lost_commit(void **state)
{
	static const char commit[] = "\x07\0\0\0\x03"
				     "COMMIT"; /* not that of "READ COMMITTED" */
	struct store_user u;
	struct proxy p;
	struct store *s;

	proxy_start(&p);
	s = open_with(5000, p.path);
	add_user(s, "a", &u);
	for (int arrives = 0; arrives < 2; arrives++) {
		struct store_session x = a_session(&u, (uint16_t)(2 + arrives));

		proxy_set(&p, arrives ? PROXY_LOSE_ANSWER : PROXY_LOSE_REQUEST, commit,
			  sizeof(commit) - 1);
		assert_int_equal(store_session_begin(s, &x, 9), -ENOTCONN);
		assert_non_null(strstr(store_error(s), "it may have been done"));
		assert_int_equal(x.id, 0);
		assert_int_equal(p.struck, arrives + 1);
		assert_int_equal(foreign_number("SELECT count(*) FROM session"), arrives);
	}
	/* And the next call is served. */
	assert_int_equal(store_user_get(s, "a", &u), 0);
	store_close(s);
	proxy_stop(&p);
}

/* The same of what is one statement: COM_STMT_EXECUTE. A look is asked again, a change is not. */
static void test_lost_statement(void **state)
{
	static const char execute[] = {0, 0x17};
	struct store_user u;
	struct proxy p;
	struct store *s;

	proxy_start(&p);
	s = open_with(5000, p.path);
	add_user(s, "a", &u);
	assert_int_equal(store_user_get(s, "a", &u), 0);
	proxy_set(&p, PROXY_LOSE_ANSWER, execute, 2);
	assert_int_equal(store_user_get(s, "a", &u), 0);
	assert_int_equal(p.struck, 1);
	assert_int_equal(store_audit_add(s, "w", "w", "o", NULL), 0);
	proxy_set(&p, PROXY_LOSE_ANSWER, execute, 2);
	assert_int_equal(store_audit_add(s, "w", "w", "o", NULL), -ENOTCONN);
	assert_int_equal(p.struck, 2);
	assert_non_null(strstr(store_error(s), "it may have been done"));
	assert_int_equal(foreign_number("SELECT count(*) FROM audit"), 2);
	/* Within a transaction, before its COMMIT, all is run again. */
	{
		struct store_session x = a_session(&u, 2);

		proxy_set(&p, PROXY_LOSE_ANSWER, execute, 2);
		assert_int_equal(store_session_begin(s, &x, 9), 0);
		assert_int_equal(p.struck, 3);
		assert_int_equal(foreign_number("SELECT count(*) FROM session"), 1);
	}
	store_close(s);
	proxy_stop(&p);
}

/* --- a server that does not answer --- */

static void test_hung(void **state)
{
	_cleanup_(store_closep) struct store *s = open_with(700, fixture_server.socket);
	struct store_session x;
	struct store_user u;
	double t;

	add_user(s, "a", &u);
	x = a_session(&u, 2);
	mariadb_pause(&fixture_server);
	t = now();
	assert_int_equal(store_session_begin(s, &x, 9), -ETIMEDOUT);
	t = now() - t;
	assert_true(t > 0.6 && t < 1.0);
	assert_non_null(strstr(store_error(s), "no answer within the deadline"));
	/* Connecting to it counts in whole seconds. */
	t = now();
	assert_int_equal(store_user_get(s, "a", &u), -ETIMEDOUT);
	t = now() - t;
	assert_true(t < 1.6);
	mariadb_resume(&fixture_server);
	assert_int_equal(store_user_get(s, "a", &u), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM session"), 0);
	assert_int_equal(store_session_begin(s, &x, 9), 0);
}

/* One that is never silent for long is late all the same. */
static void test_trickle(void **state)
{
	struct store_user u;
	struct proxy p;
	struct store *s;
	double t;

	proxy_start(&p);
	s = open_with(700, p.path);
	add_user(s, "a", &u);
	assert_int_equal(store_user_get(s, "a", &u), 0);
	proxy_set(&p, PROXY_TRICKLE, "", 0);
	t = now();
	assert_int_equal(store_user_get(s, "a", &u), -ETIMEDOUT);
	t = now() - t;
	assert_true(t > 0.6 && t < 1.0);
	proxy_set(&p, PROXY_PASS, "", 0);
	assert_int_equal(store_user_get(s, "a", &u), 0);
	store_close(s);
	proxy_stop(&p);
}

/* A lock that somebody holds is waited for until shortly before the deadline, not for ever. */
static void test_locked(void **state)
{
	_cleanup_(store_closep) struct store *s = open_with(2500, fixture_server.socket);
	MYSQL *other = mysql_init(NULL);
	struct store_user u;
	double t;

	add_user(s, "a", &u);
	assert_non_null(mysql_real_connect(other, NULL, "root", "", fixture_database, 0,
					   fixture_server.socket, 0));
	assert_int_equal(mysql_query(other, "BEGIN"), 0);
	assert_int_equal(mysql_query(other, "UPDATE user SET disabled = 1"), 0);
	t = now();
	assert_int_equal(store_user_set_disabled(s, "a", true), -EBUSY);
	assert_true(now() - t < 2.5);
	assert_non_null(strstr(store_error(s), "Lock wait timeout"));
	assert_int_equal(store_user_get(s, "a", &u), 0); /* who only looks does not wait */
	assert_false(u.disabled);
	mysql_close(other);
	assert_int_equal(store_user_set_disabled(s, "a", true), 0);
}

/* --- threads --- */

static void *use_it(void *arg)
{
	struct store_user u;

	return store_user_get(arg, "a", &u) == 0 ? arg : NULL;
}

/* One at a time, but whichever. */
static void test_threads(void **state)
{
	_cleanup_(store_closep) struct store *s = open_or_fail();
	struct store_user u;

	add_user(s, "a", &u);
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		void *r;

		assert_int_equal(pthread_create(&thread, NULL, use_it, s), 0);
		pthread_join(thread, &r);
		assert_ptr_equal(r, s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_MYSQL(test_killed_between_calls),
		TEST_MYSQL(test_connection_killed),
		TEST_MYSQL(test_killed_within),
		TEST_MYSQL(test_killed_for_good),
		TEST_MYSQL(test_killed_in_a_walk),
		TEST_MYSQL(test_lost_commit),
		TEST_MYSQL(test_lost_statement),
		TEST_MYSQL(test_hung),
		TEST_MYSQL(test_trickle),
		TEST_MYSQL(test_locked),
		TEST_MYSQL(test_threads),
	};

	return cmocka_run_group_tests_name("store mysql", tests, start_mysql, stop_mysql);
}
