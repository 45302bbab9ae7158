/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Do the hook programs take only what is well-formed, and answer OpenVPN rightly whatever the
 * daemon does? The parsers are called directly; the programs are the built ones, below $SP_BUILD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/call.h"
#include "hooks/control_file.h"
#include "hooks/env.h"
#include "hooks/reply.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"
#include "selftests/harness/listener.h"

/* Time for a busy machine to start a process, on top of what the hook may take. */
#define START_US 5000000ULL
#define MAX_ENV 32

static char dir[] = "/tmp/sallyport-test-XXXXXX";

static const char *in_dir(const char *name)
{
	static char names[8][64];
	static size_t next;

	next = (next + 1) % 8;
	snprintf(names[next], sizeof(names[0]), "%s/%s", dir, name);
	return names[next];
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const char *get(const char *name)
{
	static char text[4096];
	FILE *f = fopen(in_dir(name), "re");

	if (!f)
		return NULL;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

/* Wait until NAME holds TEXT (a deferred answer), WAIT_MS at most. */
static void assert_becomes(const char *name, const char *text, unsigned int wait_ms)
{
	for (unsigned int ms = 0; ms < wait_ms; ms += 10) {
		const char *now = get(name);

		if (now && strcmp(now, text) == 0)
			return;
		usleep(10000);
	}
	assert_string_equal(get(name), text);
}

/* --- parsers ------------------------------------------------------------------------------ */

#define LONG_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PASSWORD_512 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64

static const char *const good_env[] = {"common_name=alice",
				       "username=alice",
				       "trusted_ip=192.0.2.1",
				       "trusted_port=1000",
				       "time_unix=1700000000",
				       "daemon_pid=42",
				       NULL};

/* Each row is the good environment with one variable changed, or taken away (no '='). */
static void test_env_session(void **state)
{
	static const struct {
		const char *change;
		int r;
	} rows[] = {
		{"none", 0},
		{"common_name", -ENOENT},
		{"common_name=", -EINVAL},
		{"common_name=a\nb", -EINVAL},
		{"common_name=a\x7f", -EINVAL},
		{"common_name=\xc3\xa9", 0},
		{"common_name=" LONG_64, 0},
		{"common_name=" LONG_64 LONG_64, -ENAMETOOLONG},
		{"username", 0},
		{"username=", -EINVAL},
		{"username=a\x01", -EINVAL},
		{"username=" LONG_64, -ENAMETOOLONG},
		{"trusted_ip", -ENOENT},
		{"trusted_ip=1.2.3", -EINVAL},
		{"trusted_ip=::1", -EINVAL},
		{"trusted_ip=1.2.3.4 ", -EINVAL},
		{"trusted_port", -ENOENT},
		{"trusted_port=", -EINVAL},
		{"trusted_port=-1", -EINVAL},
		{"trusted_port=65535", 0},
		{"trusted_port=65536", -EINVAL},
		{"trusted_port=1 ", -EINVAL},
		{"trusted_port=0x10", -EINVAL},
		{"time_unix", -ENOENT},
		{"time_unix=99999999999999999999", -EINVAL},
		{"time_unix=1e9", -EINVAL},
		{"daemon_pid", -ENOENT},
		{"daemon_pid=0", -EINVAL},
		{"daemon_pid=4294967296", -EINVAL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		size_t len = strcspn(rows[i].change, "=");
		struct hook_session s = {0};
		const char *env[16];
		const char *bad = NULL;
		size_t n = 0;

		for (size_t k = 0; good_env[k]; k++)
			if (strncmp(good_env[k], rows[i].change, len) != 0 ||
			    good_env[k][len] != '=')
				env[n++] = good_env[k];
		if (rows[i].change[len] == '=')
			env[n++] = rows[i].change;
		env[n] = NULL;
		print_message("# %s\n", rows[i].change);
		assert_int_equal(env_session(env, &s, &bad), rows[i].r);
		if (rows[i].r < 0) {
			assert_int_equal(strncmp(bad, rows[i].change, len), 0);
			assert_null(s.common_name);
		}
	}
}

static void test_env_ipv6(void **state)
{
	const char *env[] = {"common_name=alice", "trusted_ip6=2001:db8::1", "trusted_port=1000",
			     "time_unix=17",	  "daemon_pid=42",	     NULL};
	struct hook_session s;
	const char *bad;

	assert_int_equal(env_session(env, &s, &bad), 0);
	assert_string_equal(s.trusted_ip, "2001:db8::1");
	assert_int_equal(s.trusted_port, 1000);
	assert_int_equal(s.time_unix, 17);
	assert_int_equal(s.daemon_pid, 42);
	assert_null(s.username);
}

/* Where a login comes from: told to the daemon if it is known, refused if it is nonsense. */
static void test_env_login(void **state)
{
	static const struct {
		const char *env[4];
		int r;
		const char *ip;
		uint16_t port;
	} rows[] = {
		{{"untrusted_ip=192.0.2.1", "untrusted_port=40112"}, 0, "192.0.2.1", 40112},
		{{"untrusted_ip6=2001:db8::1", "untrusted_port=65535"}, 0, "2001:db8::1", 65535},
		{{"untrusted_ip=192.0.2.1"}, 0, "192.0.2.1", 0},
		{{NULL}, 0, NULL, 0},
		{{"untrusted_ip=192.0.2.1", "untrusted_port=0"}, 0, "192.0.2.1", 0},
		{{"untrusted_ip=alice", "untrusted_port=1"}, -EINVAL, NULL, 0},
		{{"untrusted_port=65536"}, -EINVAL, NULL, 0},
		{{"untrusted_port=-1"}, -EINVAL, NULL, 0},
		{{"untrusted_port="}, -EINVAL, NULL, 0},
		{{"untrusted_port=1194 "}, -EINVAL, NULL, 0},
		{{"untrusted_port=0x1"}, -EINVAL, NULL, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct hook_login l = {.username = "alice", .password = "x"};
		const char *env[] = {"common_name=a", "daemon_pid=7", rows[i].env[0],
				     rows[i].env[1], NULL};
		_cleanup_request_ json_t *request = NULL;
		const char *bad = NULL;

		print_message("# %s %s\n", rows[i].env[0], rows[i].env[1]);
		assert_int_equal(env_login(env, &l, &bad), rows[i].r);
		if (rows[i].r < 0) {
			assert_int_equal(strncmp(bad, "untrusted_", 10), 0);
			continue;
		}
		assert_int_equal(request_auth("blue", &l, &request), 0);
		assert_int_equal(json_object_get(request, "untrusted_port") != NULL,
				 rows[i].port != 0);
		assert_int_equal(json_integer_value(json_object_get(request, "untrusted_port")),
				 rows[i].port);
		assert_int_equal(json_object_get(request, "untrusted_ip") != NULL,
				 rows[i].ip != NULL);
	}
}

static void test_args(void **state)
{
	static const struct {
		const char *argv[8];
		int r;
		int rest;
	} rows[] = {
		{{"x", "--instance", "blue", "file"}, 0, 1},
		{{"x", "--instance", "blue"}, 0, 0},
		{{"x", "--socket", "/s", "--instance", "b", "add", "--help", "c"}, 0, 3},
		{{"x", "--help"}, 0, 0},
		{{"x", "--version"}, 0, 0},
		{{"x"}, -ENOENT, 0},
		{{"x", "file", "--instance", "blue"}, -ENOENT, 0},
		{{"x", "--instance"}, -EINVAL, 0},
		{{"x", "--instance", ""}, -EINVAL, 0},
		{{"x", "--instance", "-a"}, -EINVAL, 0},
		{{"x", "--instance", ".."}, -EINVAL, 0},
		{{"x", "--instance", "a/b"}, -EINVAL, 0},
		{{"x", "--instance", LONG_64}, -ENAMETOOLONG, 0},
		{{"x", "--instance", "blue", "--shell"}, -EINVAL, 0},
		{{"x", "--instance", "blue", "--"}, -EINVAL, 0},
		{{NULL}, -ENOENT, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct hook_args a = {0};
		const char *bad = NULL;
		int argc = 0;

		while (argc < 8 && rows[i].argv[argc])
			argc++;
		assert_int_equal(args_parse(argc, rows[i].argv, &a, &bad), rows[i].r);
		assert_int_equal(a.rest_count, rows[i].rest);
		if (rows[i].rest)
			assert_ptr_equal(a.rest, rows[i].argv + argc - rows[i].rest);
	}
}

static void test_login(void **state)
{
	static const struct {
		const char *text;
		size_t size; /* 0: of the text */
		int r;
		const char *password;
	} rows[] = {
		{"alice\nsecret\n", 0, 0, "secret"},
		{"alice\nsecret", 0, 0, "secret"},
		{"alice\n\n", 0, 0, ""},
		{"alice\n \t\x01\xff\n", 0, 0, " \t\x01\xff"},
		{"", 0, -EINVAL, NULL},
		{"alice", 0, -EINVAL, NULL},
		{"\nsecret\n", 0, -EINVAL, NULL},
		{"alice\nsecret\nmore\n", 0, -EINVAL, NULL},
		{"alice\nsecret\n\n", 0, -EINVAL, NULL},
		{"al\rice\nsecret\n", 0, -EINVAL, NULL},
		{"alice\nsec\0ret\n", 14, -EINVAL, NULL},
		{LONG_64 "\nsecret\n", 0, -ENAMETOOLONG, NULL},
		{"a\n" PASSWORD_512 "\n", 0, -ENAMETOOLONG, NULL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		size_t size = rows[i].size ? rows[i].size : strlen(rows[i].text);
		const char *username = NULL;
		const char *password = NULL;
		char text[2 * HOOK_LOGIN_SIZE];

		memcpy(text, rows[i].text, size);
		assert_int_equal(login_parse(text, size, &username, &password), rows[i].r);
		if (rows[i].r == 0) {
			assert_string_equal(username, "alice");
			assert_string_equal(password, rows[i].password);
		} else {
			assert_null(password);
		}
	}
}

static void test_client_config(void **state)
{
	static const struct {
		const char *config;
		int r;
	} rows[] = {
		{"", 0},
		{"vlan-pvid 2\n", 0},
		{"vlan-pvid 4094", 0},
		{"vlan-pvid 101\nifconfig-push 10.1.0.2 255.255.0.0\n"
		 "ifconfig-ipv6-push fd00::2/64 fd00::1\npush \"route-gateway 10.1.0.1\"\n",
		 0},
		{"ifconfig-ipv6-push fd00::2/64\n", 0},
		{"vlan-pvid 1\n", -EBADMSG},
		{"vlan-pvid 4095\n", -EBADMSG},
		{"vlan-pvid 0101\n", -EBADMSG},
		{"vlan-pvid 101 \n", -EBADMSG},
		{"vlan-pvid  101\n", -EBADMSG},
		{" vlan-pvid 101\n", -EBADMSG},
		{"vlan-pvid\n", -EBADMSG},
		{"vlan-pvid 101 102\n", -EBADMSG},
		{"vlan-pvid 101\nvlan-pvid 102\n", -EBADMSG},
		{"vlan-pvid 101\r\n", -EBADMSG},
		{"vlan-pvid 101\n\n", -EBADMSG},
		{"\n", -EBADMSG},
		{"vlan-pvid 101\n# hello\n", -EBADMSG},
		{"ifconfig-push 10.1.0.2\n", -EBADMSG},
		{"ifconfig-push 10.1.0.2 255.255.0.0 x\n", -EBADMSG},
		{"ifconfig-push fd00::1 255.255.0.0\n", -EBADMSG},
		{"ifconfig-ipv6-push fd00::2\n", -EBADMSG},
		{"ifconfig-ipv6-push fd00::2/129\n", -EBADMSG},
		{"ifconfig-ipv6-push fd00::2/64 10.0.0.1\n", -EBADMSG},
		{"push route-gateway\n", -EBADMSG},
		{"push \"\"\n", -EBADMSG},
		{"push \"a\" \"b\"\n", -EBADMSG},
		{"push \"a\\\"b\"\n", -EBADMSG},
		{"push \"\xc3\xa9\"\n", -EBADMSG},
		{"push \"" LONG_64 LONG_64 LONG_64 LONG_64 "\"\n", -EBADMSG},
		{"iroute 10.0.0.0\n", -EBADMSG},
		{"config /etc/shadow\n", -EBADMSG},
		{"disable\n", -EBADMSG},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		print_message("# %s\n", strtok(strdupa(rows[i].config), "\n") ?: "");
		assert_int_equal(client_config_check(rows[i].config), rows[i].r);
	}
}

static void test_reason(void **state)
{
	static const struct {
		const char *text;
		const char *reason;
	} rows[] = {
		{"no such user", "no such user"},
		{"a\nb\x7f\xc3", "a?b??"},
		{"TEMP[backoff 1]: x", "refused"},
		{"CRV1:R,E", "refused"},
		{"SESSION: expired", "refused"},
		{"", "refused"},
		{NULL, "refused"},
	};
	char reason[REASON_MAX];

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		reason_copy(reason, rows[i].text);
		assert_string_equal(reason, rows[i].reason);
	}
	reason_copy(reason, LONG_64 LONG_64 LONG_64);
	assert_int_equal(strlen(reason), REASON_MAX - 1);
}

/* --- programs ----------------------------------------------------------------------------- */

/* Run hook NAME; its own options, then ARGS. The exit code; what it took goes to *ret_us. */
static int run(const char *name, const char *const *env, const char *const *args, uint64_t *ret_us)
{
	const char *build = getenv("SP_BUILD") ?: "build";
	const char *argv[16] = {name, "--instance", "blue", "--socket", in_dir("socket")};
	posix_spawn_file_actions_t actions;
	uint64_t start = client_now_us();
	char path[256];
	size_t n = 5;
	int status;
	pid_t pid;

	for (; args && *args; args++)
		argv[n++] = *args;
	snprintf(path, sizeof(path), "%s/hooks/%s", build, name);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, in_dir("stderr"),
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(
		posix_spawn(&pid, path, &actions, NULL, (char *const *)argv, (char *const *)env),
		0);
	posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	*ret_us = client_now_us() - start;
	return WEXITSTATUS(status);
}

/*
 * The environment of a session with what EXTRA names: files of the test's directory. A sanitizer's
 * options come along, for the programs of that build.
 */
static const char *const *environment(const char *const *extra)
{
	static char text[8][128];
	static const char *env[MAX_ENV];
	size_t n = 0;
	size_t t = 0;

	for (; good_env[n]; n++)
		env[n] = good_env[n];
	env[n++] = "untrusted_ip=192.0.2.1";
	env[n++] = "untrusted_port=40112";
	for (; extra && *extra; extra += 2, t++) {
		snprintf(text[t], sizeof(text[0]), "%s=%s", extra[0], in_dir(extra[1]));
		env[n++] = text[t];
	}
	env[n] = NULL;
	return env;
}

#define OK_(fields) "{\"v\":1,\"ok\":true" fields "}"
#define ERROR_                                                                                     \
	"{\"v\":1,\"ok\":false,\"error\":{\"code\":\"EPERM\",\"errno\":1,\"message\":\"no\"}}"

static void test_learn(void **state)
{
	static const struct {
		const char *name;
		enum behaviour behaviour;
		const char *reply;
		int code;
	} rows[] = {
		{"allowed", LISTEN_ANSWER, OK_(",\"allow\":true"), 0},
		{"refused", LISTEN_ANSWER, OK_(",\"allow\":false,\"reason\":\"x\",\"retry_ms\":5"),
		 1},
		{"error", LISTEN_ANSWER, ERROR_, 1},
		{"no answer in it", LISTEN_ANSWER, OK_(""), 1},
		{"a string", LISTEN_ANSWER, OK_(",\"allow\":\"true\""), 1},
		{"another's answer", LISTEN_STALE, OK_(",\"allow\":false"), 1},
		{"hang", LISTEN_HANG, NULL, 1},
		{"late", LISTEN_LATE, OK_(",\"allow\":true"), 1},
		{"backlog full", LISTEN_FULL, NULL, 1},
		{"close", LISTEN_CLOSE, NULL, 1},
		{"garbage", LISTEN_RAW, "garbage", 1},
		{"half", LISTEN_RAW, "{\"v\":1,\"ok\":true,\"allow\":tr", 1},
		{"without id", LISTEN_RAW, OK_(",\"allow\":true"), 1},
	};
	static const char *const args[] = {"add", "02:00:00:00:00:01@101", "alice", NULL};
	uint64_t us;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct listener *l =
			listener_start(in_dir("socket"), rows[i].behaviour, rows[i].reply, 60000);

		print_message("# %s\n", rows[i].name);
		assert_int_equal(run("sallyport-learn-address", environment(NULL), args, &us),
				 rows[i].code);
		assert_in_range(us, 0, SP_HOOK_DEADLINE_MS * 1000ULL + START_US);
		listener_stop(l);
	}
	print_message("# nobody\n");
	assert_int_equal(run("sallyport-learn-address", environment(NULL), args, &us), 1);
}

/* What the daemon is asked, field by field. */
static void test_learn_request(void **state)
{
	static const char *const add[] = {"update", "02:00:00:00:00:0A@101", "alice", NULL};
	static const char *const del[] = {"delete", "02:00:00:00:00:01@101", NULL};
	static const char *const only[] = {"script_type=learn-address", NULL};
	struct listener *l =
		listener_start(in_dir("socket"), LISTEN_ANSWER, OK_(",\"allow\":true"), 0);
	uint64_t before = client_now_us();
	json_t *request;
	json_t *expected;
	json_int_t deadline;
	uint64_t us;

	assert_int_equal(run("sallyport-learn-address", environment(NULL), add, &us), 0);
	request = listener_request(l, 0, 0);
	deadline = json_integer_value(json_object_get(request, "deadline_us"));
	assert_in_range(deadline, before + SP_HOOK_DEADLINE_MS * 1000ULL,
			client_now_us() + SP_HOOK_DEADLINE_MS * 1000ULL);
	expected = json_pack("{s:i,s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:s,s:s,s:i,s:O,s:I}", "v", 1, "op",
			     "hook-learn", "instance", "blue", "common_name", "alice", "trusted_ip",
			     "192.0.2.1", "trusted_port", 1000, "time_unix", 1700000000,
			     "daemon_pid", 42, "event", "update", "mac", "02:00:00:00:00:0a", "vid",
			     101, "id", json_object_get(request, "id"), "deadline_us", deadline);
	assert_true(json_equal(request, expected));
	json_decref(request);
	json_decref(expected);

	assert_int_equal(run("sallyport-learn-address", only, del, &us), 0);
	request = listener_request(l, 1, 0);
	assert_string_equal(json_string_value(json_object_get(request, "op")), "hook-forget");
	assert_string_equal(json_string_value(json_object_get(request, "mac")),
			    "02:00:00:00:00:01");
	assert_int_equal(json_integer_value(json_object_get(request, "vid")), 101);
	assert_in_range(json_integer_value(json_object_get(request, "time_us")), before,
			client_now_us());
	json_decref(request);
	listener_stop(l);
}

/* Nothing of this gets as far as the daemon. */
static void test_malformed(void **state)
{
	static const struct {
		const char *hook;
		const char *args[4];
		int code;
	} rows[] = {
		{"sallyport-learn-address", {"add", "02:00:00:00:00:01@5000", "alice"}, 1},
		{"sallyport-learn-address", {"add", "02:00:00:00:00:01", NULL}, 1},
		{"sallyport-learn-address", {"remove", "02:00:00:00:00:01@1", "alice"}, 1},
		{"sallyport-learn-address", {"delete", "02:00:00:00:00:01@1", "alice"}, 1},
		{"sallyport-learn-address", {NULL}, 1},
		{"sallyport-connect", {NULL}, 1},
		{"sallyport-connect", {"config"}, 1}, /* no client_connect_deferred_file */
		{"sallyport-auth", {NULL}, 1},
		{"sallyport-auth", {"file"}, 1}, /* no auth_control_file */
		{"sallyport-disconnect", {"--bad"}, 0},
	};
	struct listener *l =
		listener_start(in_dir("socket"), LISTEN_ANSWER, OK_(",\"allow\":true"), 0);
	static const char *const empty[] = {NULL};
	static const char *const latin[] = {"common_name=\xe9", "trusted_ip=192.0.2.1",
					    "trusted_port=1",	"time_unix=1",
					    "daemon_pid=1",	NULL};
	static const char *const add[] = {"add", "02:00:00:00:00:01@101", "alice", NULL};
	uint64_t us;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		print_message("# %s %s\n", rows[i].hook, rows[i].args[0] ?: "");
		assert_int_equal(run(rows[i].hook, environment(NULL), rows[i].args, &us),
				 rows[i].code);
		assert_int_not_equal(strlen(get("stderr")), 0);
	}
	assert_int_equal(run("sallyport-learn-address", empty, add, &us), 1);
	assert_int_equal(run("sallyport-learn-address", latin, add, &us), 1);
	assert_int_equal(run("sallyport-disconnect", empty, NULL, &us), 0);
	assert_int_equal(listener_requests(l), 0);
	/* The same listener would have said yes. */
	assert_int_equal(run("sallyport-learn-address", environment(NULL), add, &us), 0);
	assert_int_equal(listener_requests(l), 1);
	listener_stop(l);
}

static void test_disconnect(void **state)
{
	static const enum behaviour bad[] = {LISTEN_HANG, LISTEN_FULL, LISTEN_CLOSE, LISTEN_RAW};
	const char *env[MAX_ENV];
	const char *const *base = environment(NULL);
	struct listener *l = listener_start(in_dir("socket"), LISTEN_ANSWER, OK_(""), 0);
	json_t *request;
	size_t n = 0;
	uint64_t us;

	for (; base[n]; n++)
		env[n] = base[n];
	env[n++] = "bytes_received=123456789012";
	env[n++] = "bytes_sent=hello";
	env[n++] = "time_duration=8";
	env[n] = NULL;
	assert_int_equal(run("sallyport-disconnect", env, NULL, &us), 0);
	assert_string_equal(get("stderr"), "");
	request = listener_request(l, 0, 0);
	assert_string_equal(json_string_value(json_object_get(request, "op")), "hook-disconnect");
	assert_true(json_integer_value(json_object_get(request, "bytes_received")) == 123456789012);
	assert_null(json_object_get(request, "bytes_sent")); /* was no number */
	assert_int_equal(json_integer_value(json_object_get(request, "duration")), 8);
	assert_null(json_object_get(request, "username"));
	json_decref(request);
	listener_stop(l);
	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		l = listener_start(in_dir("socket"), bad[i], "garbage", 0);
		assert_int_equal(run("sallyport-disconnect", env, NULL, &us), 0);
		assert_int_not_equal(strlen(get("stderr")), 0);
		assert_in_range(us, 0, SP_HOOK_DEADLINE_MS * 1000ULL + START_US);
		listener_stop(l);
	}
}

static void test_auth(void **state)
{
	static const struct {
		const char *name;
		enum behaviour behaviour;
		const char *reply;
		const char *verdict;
		const char *reason;
	} rows[] = {
		{"accept", LISTEN_ANSWER, OK_(",\"result\":\"accept\""), "1", ""},
		{"reject", LISTEN_ANSWER, OK_(",\"result\":\"reject\",\"reason\":\"wrong\""), "0",
		 "wrong"},
		{"retry", LISTEN_ANSWER,
		 OK_(",\"result\":\"retry\",\"reason\":\"busy\",\"backoff\":7"), "0",
		 "TEMP[backoff 7]: busy"},
		{"slow accept", LISTEN_LATE, OK_(",\"result\":\"accept\""), "1", ""},
		{"error", LISTEN_ANSWER, ERROR_, "0", "TEMP[backoff 5]: service unavailable"},
		{"nonsense", LISTEN_ANSWER, OK_(",\"result\":\"maybe\""), "0",
		 "TEMP[backoff 5]: service unavailable"},
		{"another's answer", LISTEN_STALE, OK_(",\"result\":\"reject\",\"reason\":\"no\""),
		 "0", "no"},
		{"close", LISTEN_CLOSE, NULL, "0", "TEMP[backoff 5]: service unavailable"},
		{"garbage", LISTEN_RAW, "garbage", "0", "TEMP[backoff 5]: service unavailable"},
		{"half", LISTEN_RAW, "{\"v\":1,", "0", "TEMP[backoff 5]: service unavailable"},
		{"hang", LISTEN_HANG, NULL, "0", "TEMP[backoff 5]: service unavailable"},
	};
	static const char *const files[] = {"auth_control_file", "control",
					    "auth_failed_reason_file", "reason", NULL};
	const char *args[] = {strdupa(in_dir("login")), NULL};
	uint64_t us;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct listener *l =
			listener_start(in_dir("socket"), rows[i].behaviour, rows[i].reply, 300);
		json_t *request;

		print_message("# %s\n", rows[i].name);
		put("login", "alice\ns3cret\n");
		put("control", "");
		put("reason", "");
		assert_int_equal(run("sallyport-auth", environment(files), args, &us), 2);
		assert_in_range(us, 0, START_US);
		unlink(args[0]); /* as OpenVPN does */
		assert_becomes("control", rows[i].verdict, AUTH_MAX_MS + 5000);
		assert_string_equal(get("reason"), rows[i].reason);
		request = listener_request(l, 0, 0);
		assert_string_equal(json_string_value(json_object_get(request, "username")),
				    "alice");
		assert_string_equal(json_string_value(json_object_get(request, "password")),
				    "s3cret");
		assert_string_equal(json_string_value(json_object_get(request, "untrusted_ip")),
				    "192.0.2.1");
		assert_int_equal(json_integer_value(json_object_get(request, "untrusted_port")),
				 40112);
		json_decref(request);
		listener_stop(l);
	}
	print_message("# nobody\n");
	put("login", "alice\ns3cret\n");
	put("control", "");
	assert_int_equal(run("sallyport-auth", environment(files), args, &us), 2);
	assert_becomes("control", "0", 5000);
	assert_string_equal(get("reason"), "TEMP[backoff 5]: service unavailable");
	print_message("# malformed\n");
	put("login", "alice\ns3cret\nmore\n");
	assert_int_equal(run("sallyport-auth", environment(files), args, &us), 1);
	assert_null(strstr(get("stderr"), "s3cret"));
	unlink(args[0]);
	put("reason", "alice\ns3cret\n");
	assert_int_equal(symlink(in_dir("reason"), args[0]), 0);
	assert_int_equal(run("sallyport-auth", environment(files), args, &us), 1);
	unlink(args[0]);
}

/* Only a file that OpenVPN made is written: no other by way of a link, and none is created. */
static void test_control_file(void **state)
{
	put("config", "untouched");
	unlink(in_dir("control"));
	assert_int_equal(symlink(in_dir("config"), in_dir("control")), 0);
	assert_int_equal(control_file_text(in_dir("control"), "x"), -ELOOP);
	assert_int_equal(control_file_verdict(in_dir("control"), '1'), -ELOOP);
	assert_string_equal(get("config"), "untouched");
	unlink(in_dir("control"));
	assert_int_equal(control_file_verdict(in_dir("control"), '1'), -ENOENT);
	assert_null(get("control"));
	assert_int_equal(mkfifo(in_dir("control"), 0600), 0); /* does not block either */
	assert_int_equal(control_file_text(in_dir("control"), "x"), -ENXIO);
	unlink(in_dir("control"));
	/* The text could not be written: an acceptance without it becomes a refusal. */
	put("deferred", "2");
	assert_int_equal(control_file_answer(in_dir("control"), "x", in_dir("deferred"), '1'),
			 -ENOENT);
	assert_string_equal(get("deferred"), "0");
	assert_int_equal(control_file_answer(in_dir("config"), "x", in_dir("deferred"), '1'), 0);
	assert_string_equal(get("deferred"), "1");
	assert_string_equal(get("config"), "x");
}

static const char *const connect_files[] = {"client_connect_deferred_file", "deferred", NULL};

#define CONFIG "vlan-pvid 101\nifconfig-push 10.1.0.2 255.255.0.0\n"
#define CONFIG_JSON "\"vlan-pvid 101\\nifconfig-push 10.1.0.2 255.255.0.0\\n\""

static int run_connect(uint64_t *ret_us)
{
	const char *args[] = {in_dir("config"), NULL};

	put("config", "");
	put("deferred", "");
	return run("sallyport-connect", environment(connect_files), args, ret_us);
}

static void test_connect_at_once(void **state)
{
	static const struct {
		const char *name;
		enum behaviour behaviour;
		const char *reply;
		int code;
		const char *config;
	} rows[] = {
		{"accept", LISTEN_ANSWER,
		 OK_(",\"pending\":false,\"accept\":true,\"session\":1,\"config\":" CONFIG_JSON), 0,
		 CONFIG},
		{"accept, no lines", LISTEN_ANSWER,
		 OK_(",\"pending\":false,\"accept\":true,\"session\":1,\"config\":\"\""), 0, ""},
		{"refuse", LISTEN_ANSWER,
		 OK_(",\"pending\":false,\"accept\":false,\"reason\":\"full\""), 1, ""},
		{"no config", LISTEN_ANSWER, OK_(",\"pending\":false,\"accept\":true"), 1, ""},
		{"hostile config", LISTEN_ANSWER,
		 OK_(",\"pending\":false,\"accept\":true,\"config\":\"up /bin/sh\\n\""), 1, ""},
		{"a NUL in it", LISTEN_ANSWER,
		 OK_(",\"pending\":false,\"accept\":true,\"config\":\"vlan-pvid 2\\u0000\""), 1,
		 ""},
		{"error", LISTEN_ANSWER, ERROR_, 1, ""},
		{"another's answer", LISTEN_STALE, OK_(",\"pending\":false,\"accept\":false"), 1,
		 ""},
		{"nothing said", LISTEN_ANSWER, OK_(""), 1, ""},
		{"garbage", LISTEN_RAW, "garbage", 1, ""},
		{"half", LISTEN_RAW, "{\"v\":1,\"ok\":true,\"acc", 1, ""},
	};
	uint64_t us;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct listener *l =
			listener_start(in_dir("socket"), rows[i].behaviour, rows[i].reply, 0);

		print_message("# %s\n", rows[i].name);
		assert_int_equal(run_connect(&us), rows[i].code);
		assert_string_equal(get("config"), rows[i].config);
		assert_string_equal(get("deferred"), "");
		listener_stop(l);
	}
}

static void test_connect_deferred(void **state)
{
	static const struct {
		const char *name;
		enum behaviour behaviour;
		const char *reply;
		const char *verdict;
		const char *config;
	} rows[] = {
		{"pending", LISTEN_PENDING,
		 OK_(",\"pending\":false,\"accept\":true,\"config\":" CONFIG_JSON), "1", CONFIG},
		{"pending, then refused", LISTEN_PENDING,
		 OK_(",\"pending\":false,\"accept\":false,\"reason\":\"x\""), "0", ""},
		{"pending, then nonsense", LISTEN_PENDING, OK_(",\"pending\":false"), "0", ""},
		{"late", LISTEN_LATE,
		 OK_(",\"pending\":false,\"accept\":true,\"config\":" CONFIG_JSON), "1", CONFIG},
	};
	struct listener *l;
	json_t *request;
	uint64_t us;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		l = listener_start(in_dir("socket"), rows[i].behaviour, rows[i].reply, 700);
		print_message("# %s\n", rows[i].name);
		assert_int_equal(run_connect(&us), 0);
		assert_string_equal(get("deferred"), "2");
		assert_becomes("deferred", rows[i].verdict, 10000);
		assert_string_equal(get("config"), rows[i].config);
		assert_int_equal(listener_requests(l), 1);
		request = listener_request(l, 0, 0);
		assert_string_equal(json_string_value(json_object_get(request, "username")),
				    "alice");
		json_decref(request);
		listener_stop(l);
	}
	print_message("# the daemon is not there, comes, goes, is busy, has time\n");
	assert_int_equal(run_connect(&us), 0);
	assert_string_equal(get("deferred"), "2");
	l = listener_start(in_dir("socket"), LISTEN_CLOSE, NULL, 0);
	request = listener_request(l, 0, 10000);
	assert_non_null(request);
	json_decref(request);
	listener_set(l, LISTEN_ANSWER, "{\"v\":1,\"ok\":false,\"error\":{\"errno\":17}}", 0);
	request = listener_request(l, listener_requests(l), 10000); /* told: not yet; asks on */
	assert_non_null(request);
	json_decref(request);
	listener_set(l, LISTEN_ANSWER,
		     OK_(",\"pending\":false,\"accept\":true,\"config\":" CONFIG_JSON), 0);
	assert_becomes("deferred", "1", 10000);
	assert_string_equal(get("config"), CONFIG);
	listener_stop(l);
}

/* The client went away while the daemon was busy: what it then accepts is taken back. */
static void test_connect_abandoned(void **state)
{
	struct listener *l = listener_start(
		in_dir("socket"), LISTEN_PENDING,
		OK_(",\"pending\":false,\"accept\":true,\"config\":" CONFIG_JSON), 500);
	json_t *request;
	uint64_t us;

	assert_int_equal(run_connect(&us), 0);
	assert_string_equal(get("deferred"), "2");
	unlink(in_dir("deferred"));
	unlink(in_dir("config"));
	request = listener_request(l, 1, 10000);
	assert_non_null(request);
	assert_string_equal(json_string_value(json_object_get(request, "op")), "hook-disconnect");
	assert_string_equal(json_string_value(json_object_get(request, "common_name")), "alice");
	json_decref(request);
	assert_null(get("deferred")); /* nothing was made anew */
	assert_null(get("config"));
	listener_stop(l);
}

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {"config", "deferred", "control",
					    "reason", "stderr",	  "login"};

	for (size_t i = 0; i < SP_ARRAY_SIZE(names); i++)
		unlink(in_dir(names[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_env_session),
		cmocka_unit_test(test_env_ipv6),
		cmocka_unit_test(test_env_login),
		cmocka_unit_test(test_args),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_client_config),
		cmocka_unit_test(test_reason),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_learn_request),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_disconnect),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_control_file),
		cmocka_unit_test(test_connect_at_once),
		cmocka_unit_test(test_connect_deferred),
		cmocka_unit_test(test_connect_abandoned),
	};

	return cmocka_run_group_tests_name("hooks", tests, setup, teardown);
}
