/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Over the network: is a server that cannot be verified refused, does the next host serve where one
 * does not, and what if the server's disk is full? In a network namespace of the test's own.
 */
#include "store_fixture.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

static struct mariadb second; /* on port 3307, without TLS */
static char ca[80], other_ca[80], client_crt[80], client_key[80];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- two servers in a namespace --- */

static int own_network(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	_cleanup_close_
	int fd = -1;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &lo);
}

#define KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "

/* Two authorities; a server of 127.0.0.1 and a client, both of the first. */
static int make_certificates(void)
{
	char command[2048];

	snprintf(command, sizeof(command),
		 "cd %s && { openssl req -x509 " KEY "-keyout ca.key -out ca.crt -subj /CN=ca && "
		 "openssl req -x509 " KEY "-keyout o.key -out other.crt -subj /CN=other && "
		 "openssl req " KEY "-keyout server.key -out server.csr -subj /CN=server && "
		 "openssl req " KEY "-keyout client.key -out client.csr -subj /CN=client && "
		 "echo subjectAltName=IP:127.0.0.1 > san && openssl x509 -req -in server.csr -CA "
		 "ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile san -out server.crt && "
		 "openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -days 30 -out "
		 "client.crt; } > openssl.log 2>&1",
		 fixture_server.dir);
	snprintf(ca, sizeof(ca), "%s/ca.crt", fixture_server.dir);
	snprintf(other_ca, sizeof(other_ca), "%s/other.crt", fixture_server.dir);
	snprintf(client_crt, sizeof(client_crt), "%s/client.crt", fixture_server.dir);
	snprintf(client_key, sizeof(client_key), "%s/client.key", fixture_server.dir);
	return system(command); // NOLINT: its words are ours
}

static int start_both(void **state)
{
	static char args[3][96];

	if (geteuid() != 0)
		return 0; /* each test says so */
	if (own_network() < 0 || mariadb_new(&fixture_server) < 0 || mariadb_new(&second) < 0 ||
	    make_certificates() != 0)
		return -1;
	snprintf(args[0], sizeof(args[0]), "--ssl-ca=%s", ca);
	snprintf(args[1], sizeof(args[1]), "--ssl-cert=%s/server.crt", fixture_server.dir);
	snprintf(args[2], sizeof(args[2]), "--ssl-key=%s/server.key", fixture_server.dir);
	for (int i = 0; i < 3; i++)
		fixture_server.args[i] = args[i];
	fixture_server.args[3] = (char *)"--bind-address=127.0.0.1";
	fixture_server.args[4] = (char *)"--port=3306";
	second.args[0] = (char *)"--bind-address=127.0.0.1";
	second.args[1] = (char *)"--port=3307";
	return mariadb_start(&fixture_server) < 0 || mariadb_start(&second) < 0 ? -1 : 0;
}

static int stop_both(void **state)
{
	mariadb_free(&fixture_server);
	mariadb_free(&second);
	return 0;
}

static int setup_net(void **state)
{
	char sql[256];

	if (geteuid() != 0)
		return 0;
	if (setup_mysql(state) < 0)
		return -1;
	snprintf(sql, sizeof(sql),
		 "CREATE OR REPLACE USER sallyport@'127.0.0.1' IDENTIFIED BY ''; GRANT SELECT, "
		 "INSERT, UPDATE, DELETE ON %s.* TO sallyport@'127.0.0.1'",
		 fixture_database);
	mariadb_sql(&fixture_server, NULL, sql);
	return 0;
}

static int teardown_net(void **state)
{
	return geteuid() != 0 ? 0 : teardown_mysql(state);
}

static struct store_options by_network(const char *hosts, bool tls)
{
	struct store_options o = fixture_options();

	o.mysql.socket = NULL;
	o.mysql.hosts = hosts;
	o.mysql.user = "sallyport";
	o.mysql.tls = tls;
	o.mysql.tls_ca = ca;
	o.timeout_ms = 2000;
	return o;
}

static void expect(const struct store_options *o, int want, const char *words)
{
	_cleanup_(store_closep) struct store *s = NULL;
	_cleanup_free_
	char *error = NULL;
	int r = store_open(o, &s, &error);

	if (r != want || (r < 0 && !strstr(error ? error : "", words)))
		fail_msg("expected %d '%s', got %d '%s'", want, words, r, error ? error : "");
	if (r == 0 && !strstr(store_describe(s), words))
		fail_msg("expected '%s' in '%s'", words, store_describe(s));
}

/* --- TLS --- */

static void test_tls(void **state)
{
	struct store_options o = by_network("127.0.0.1", true);

	if (geteuid() != 0)
		skip();
	expect(&o, 0, "at 127.0.0.1:3306, TLS");
	/* Another authority's, or the system's, which do not know this one. */
	o.mysql.tls_ca = other_ca;
	expect(&o, -EPERM, "certificate");
	o.mysql.tls_ca = NULL;
	expect(&o, -EPERM, "certificate");
}

static void test_tls_names(void **state)
{
	struct store_options o = by_network("localhost", true);

	if (geteuid() != 0)
		skip();
	/* The right authority, and the name of another host. */
	expect(&o, -EPERM,
	       "localhost:3306: TLS/SSL error: Validation of SSL server certificate "
	       "failed");
	/* Without TLS nobody asks. */
	o = by_network("127.0.0.1", false);
	expect(&o, 0, "at 127.0.0.1:3306");
	/* A server that has none is not taken in the clear. */
	o = by_network("127.0.0.1:3307", true);
	expect(&o, -EPERM, "127.0.0.1:3307");
	o.mysql.tls_ca = "/nonexistent";
	expect(&o, -EPERM, "");
}

static void test_tls_client(void **state)
{
	struct store_options o = by_network("127.0.0.1", true);

	if (geteuid() != 0)
		skip();
	mariadb_sql(&fixture_server, NULL, "ALTER USER sallyport@'127.0.0.1' REQUIRE X509");
	expect(&o, -EPERM, "Access denied");
	o.mysql.tls_cert = client_crt;
	o.mysql.tls_key = client_key;
	expect(&o, 0, "TLS");
}

/* --- hosts --- */

static void test_host_list(void **state)
{
	static const struct {
		const char *text, *hosts;
	} rows[] = {
		{"a", "a:3306 "},
		{"a:1, b", "a:1 b:3306 "},
		{" a.b-c_d:65535,,10.0.0.1 ,", "a.b-c_d:65535 10.0.0.1:3306 "},
		{"[fd00::1]:7 [::1]", "fd00::1:7 ::1:3306 "},
		{"[fe80::1%eth0]", "fe80::1%eth0:3306 "},
		{"", ""},
		{" , ", ""},
		{"fd00::1", NULL},
		{"a:", NULL},
		{"a:0", NULL},
		{"a:65536", NULL},
		{"a:99999999999", NULL},
		{"a:1x", NULL},
		{":1", NULL},
		{"-a", NULL},
		{"a/b", NULL},
		{"[a", NULL},
		{"[]", NULL},
		{"[::1]x", NULL},
		{"a;b", NULL},
		{"\xc3\xa4", NULL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		char host[STORE_HOST_MAX], got[2048] = "";
		const char *cursor = rows[i].text;
		unsigned int port;
		int r;

		while ((r = store_host_next(&cursor, host, &port)) > 0)
			sprintf(got + strlen(got), "%.64s:%u ", host, port);
		if ((r < 0) != !rows[i].hosts || (r == 0 && strcmp(got, rows[i].hosts) != 0))
			fail_msg("'%s': %d '%s'", rows[i].text, r, got);
	}
}

static void test_next_host(void **state)
{
	struct store_options o = by_network("127.0.0.1:1, 127.0.0.1:2, 127.0.0.1", false);

	if (geteuid() != 0)
		skip();
	expect(&o, 0, "127.0.0.1:3306");
	o.mysql.hosts = "127.0.0.1:1, 127.0.0.1:2";
	expect(&o, -ENOTCONN, "127.0.0.1:2");
	o.mysql.hosts = "127.0.0.1:x";
	expect(&o, -EINVAL, "127.0.0.1:x");
	o.mysql.hosts = "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a";
	expect(&o, -E2BIG, "at most 16");
	/* Another server with a store of its own is no host of this one. */
	o.mysql.hosts = "127.0.0.1, 127.0.0.1:3307";
	{
		_cleanup_(store_closep) struct store *s = NULL;
		struct store_user u;
		char sql[128];

		assert_int_equal(store_open(&o, &s, NULL), 0);
		add_user(s, "a", &u);
		snprintf(sql, sizeof(sql), "CREATE OR REPLACE DATABASE %s", fixture_database);
		mariadb_sql(&second, NULL, sql);
		mariadb_sql(
			&second, NULL,
			"CREATE OR REPLACE USER sallyport@'127.0.0.1' IDENTIFIED BY ''; GRANT ALL "
			"ON *.* TO sallyport@'127.0.0.1'");
		{
			struct store_options there = by_network("127.0.0.1:3307", false);

			assert_int_equal(store_init(&there, NULL), 0);
		}
		mariadb_kill(&fixture_server);
		assert_int_equal(store_user_get(s, "a", &u), -EUCLEAN);
		assert_non_null(strstr(store_error(s), "it holds another store"));
		assert_int_equal(mariadb_start(&fixture_server), 0);
		assert_int_equal(store_user_get(s, "a", &u), 0);
	}
}

/* The second server with the same store in it, as a cluster's nodes have it; user "a" in both. */
static void make_twin(void)
{
	struct store_options there = by_network("127.0.0.1:3307", false);
	struct store *from = NULL, *to = NULL;
	char sql[256];

	snprintf(sql, sizeof(sql), "CREATE OR REPLACE DATABASE %s", fixture_database);
	mariadb_sql(&second, NULL, sql);
	snprintf(sql, sizeof(sql),
		 "CREATE OR REPLACE USER sallyport@'127.0.0.1' IDENTIFIED BY ''; GRANT ALL ON %s.* "
		 "TO sallyport@'127.0.0.1'",
		 fixture_database);
	mariadb_sql(&second, NULL, sql);
	assert_int_equal(store_init(&there, NULL), 0);
	from = open_or_fail();
	{
		struct store_user u;

		add_user(from, "a", &u);
	}
	there.tool = true;
	assert_int_equal(store_open(&there, &to, NULL), 0);
	assert_int_equal(store_copy(from, to, NULL, NULL, NULL), 0);
	store_close(from);
	store_close(to);
	snprintf(sql, sizeof(sql), "UPDATE sallyport SET uuid = x'%032x'", 7);
	mariadb_sql(&fixture_server, fixture_database, sql);
	mariadb_sql(&second, fixture_database, sql);
}

static void test_failover(void **state)
{
	struct store_options o = by_network("127.0.0.1:3306, 127.0.0.1:3307", false);
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_user u;
	double t;

	if (geteuid() != 0)
		skip();
	make_twin();
	/* Who takes no changes is passed over while somebody else does. */
	mariadb_sql(&fixture_server, NULL, "SET GLOBAL read_only = 1");
	assert_int_equal(store_open(&o, &s, NULL), 0);
	assert_non_null(strstr(store_describe(s), ":3307"));
	/* Where all are so, reading goes on. */
	mariadb_sql(&second, NULL, "SET GLOBAL read_only = 1");
	assert_int_equal(store_user_set_disabled(s, "a", true), -EROFS);
	assert_int_equal(store_user_get(s, "a", &u), 0);
	assert_int_equal(store_user_set_disabled(s, "a", true), -EROFS);
	/* And where that changes, the next call finds it. */
	mariadb_sql(&fixture_server, NULL, "SET GLOBAL read_only = 0");
	assert_int_equal(store_user_set_disabled(s, "a", true), 0);
	assert_non_null(strstr(store_describe(s), ":3306"));
	mariadb_sql(&second, NULL, "SET GLOBAL read_only = 0");
	/* One that dies: the call itself is served by the other. */
	mariadb_kill(&fixture_server);
	assert_int_equal(store_user_set_disabled(s, "a", true), 0);
	assert_non_null(strstr(store_describe(s), ":3307"));
	assert_int_equal(mariadb_start(&fixture_server), 0);
	/* One that hangs: one call is late, the next is not. */
	mariadb_pause(&second);
	t = now();
	assert_int_equal(store_user_get(s, "a", &u), -ETIMEDOUT);
	assert_true(now() - t < 2.3);
	t = now();
	assert_int_equal(store_user_get(s, "a", &u), 0);
	assert_true(now() - t < 0.5);
	/* While connecting, each host has its share of the time. */
	store_close(TAKE_PTR(s));
	o.mysql.hosts = "127.0.0.1:3307, 127.0.0.1:3306";
	o.timeout_ms = 3000;
	t = now();
	assert_int_equal(store_open(&o, &s, NULL), 0);
	assert_true(now() - t < 2);
	mariadb_resume(&second);
}

/* --- the disk --- */

/* In a mount namespace of its own: a server on a file system of a few MB. */
static int fill_disk(void)
{
	unsigned int n = 0, later = 0;
	struct store_user u, got;
	struct store *s;
	int r;

	memset(&fixture_server, 0, sizeof(fixture_server)); /* the parent's */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=56m") < 0 || start_mysql(NULL) < 0 ||
	    setup_mysql(NULL) < 0)
		return 2;
	s = open_or_fail();
	for (;; n++) {
		u = (struct store_user){0};
		memset(u.hash, 'x', sizeof(u.hash) - 1);
		snprintf(u.name, sizeof(u.name), "user%u", n);
		r = store_user_add(s, &u);
		if (r < 0)
			break;
		if (n == 100) /* what is left is little, so that it does not take long */
			assert_int_equal(
				system("head -c 64M /dev/zero > /dev/shm/filler 2>/dev/null; "
				       "truncate -s -1M /dev/shm/filler"),
				0);
		assert_true(n < 50000);
	}
	if (r != -ENOSPC)
		fail_msg("%d %s", r, store_error(s));
	assert_int_equal(store_user_get(s, "user0", &got), 0); /* reading goes on */
	assert_int_equal(store_user_get(s, u.name, &got), -ENOENT);
	/* Room again: all that was acknowledged is there, and the store goes on by itself. */
	assert_int_equal(unlink("/dev/shm/filler"), 0);
	assert_int_equal(store_user_add(s, &u), 0);
	for (; later <= n; later++) {
		snprintf(u.name, sizeof(u.name), "user%u", later);
		assert_int_equal(store_user_get(s, u.name, &got), 0);
	}
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), n + 1);
	store_close(s);
	stop_mysql(NULL);
	return n > 100 ? 0 : 3;
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

#define TEST_NET(f) cmocka_unit_test_setup_teardown(f, setup_net, teardown_net)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_NET(test_tls),
		TEST_NET(test_tls_names),
		TEST_NET(test_tls_client),
		cmocka_unit_test(test_host_list),
		TEST_NET(test_next_host),
		TEST_NET(test_failover),
		cmocka_unit_test(test_disk_full),
	};

	return cmocka_run_group_tests_name("store mysql net", tests, start_both, stop_both);
}
