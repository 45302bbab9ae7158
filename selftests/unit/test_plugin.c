/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the plugin, driven as OpenVPN drives it, decide as the programs do, never hold OpenVPN's
 * thread for long, and survive being closed at any moment? The built .so below $SP_PLUGIN_DIR.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <openvpn/openvpn-plugin.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks/channel.h"
#include "hooks/jobs.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"
#include "selftests/harness/listener.h"

#define SUCCESS OPENVPN_PLUGIN_FUNC_SUCCESS
#define ERROR OPENVPN_PLUGIN_FUNC_ERROR
#define DEFERRED OPENVPN_PLUGIN_FUNC_DEFERRED

/* What a busy machine may add to a bound. */
#define SLACK_US 2000000ULL

#define OK_(fields) "{\"v\":1,\"ok\":true" fields "}"
#define ALLOW OK_(",\"allow\":true")
#define CONFIG "vlan-pvid 101\n"
#define ACCEPT OK_(",\"pending\":false,\"accept\":true,\"config\":\"vlan-pvid 101\\n\"")

static char dir[] = "/tmp/sallyport-test-XXXXXX";
static char socket_path[64];
static char control_file[64];
static char reason_file[64];

static struct {
	int (*open)(int, struct openvpn_plugin_args_open_in const *,
		    struct openvpn_plugin_args_open_return *);
	int (*func)(int, struct openvpn_plugin_args_func_in const *,
		    struct openvpn_plugin_args_func_return *);
	void (*close)(openvpn_plugin_handle_t);
	void *(*constructor)(openvpn_plugin_handle_t);
	void (*destructor)(openvpn_plugin_handle_t, void *);
	int (*min_version)(void);
} api;

static unsigned int log_lines;

static void count_line(openvpn_plugin_log_flags_t flags, const char *name, const char *format, ...)
{
	log_lines++;
}

static int open_with(const char **argv, int type_mask, openvpn_plugin_handle_t *ret)
{
	struct openvpn_plugin_callbacks callbacks = {.plugin_log = count_line};
	struct openvpn_plugin_args_open_in in = {
		.type_mask = type_mask, .argv = argv, .callbacks = &callbacks};
	struct openvpn_plugin_args_open_return out = {0};
	int r = api.open(OPENVPN_PLUGINv3_STRUCTVER, &in, &out);

	*ret = out.handle;
	return r;
}

static openvpn_plugin_handle_t open_plugin(void)
{
	char option[80];
	const char *argv[] = {"plugin.so", "instance=blue", option, NULL};
	openvpn_plugin_handle_t handle = NULL;

	snprintf(option, sizeof(option), "socket=%s", socket_path);
	assert_int_equal(open_with(argv, 0xffff, &handle), SUCCESS);
	assert_non_null(handle);
	log_lines = 0;
	return handle;
}

static int call_list(openvpn_plugin_handle_t h, int type, const char **argv, const char **envp,
		     void *client, struct openvpn_plugin_string_list **list)
{
	struct openvpn_plugin_args_func_in in = {.type = type,
						 .argv = argv,
						 .envp = envp,
						 .handle = h,
						 .per_client_context = client};
	struct openvpn_plugin_args_func_return out = {.return_list = list};

	return api.func(OPENVPN_PLUGINv3_STRUCTVER, &in, &out);
}

static const char *session_env[] = {
	"IV_VER=2.6.14",     "common_name=alice",    "username=alice", "trusted_ip=192.0.2.1",
	"trusted_port=1000", "time_unix=1700000000", "daemon_pid=42",  NULL};
static const char *other_env[] = {"common_name=bob",
				  "username=bob",
				  "trusted_ip=192.0.2.2",
				  "trusted_port=1000",
				  "time_unix=1700000000",
				  "daemon_pid=42",
				  NULL};

static int learn_as(openvpn_plugin_handle_t h, const char **env, const char *mac)
{
	const char *argv[] = {"plugin.so", "add", mac, "alice", NULL};

	return call_list(h, OPENVPN_PLUGIN_LEARN_ADDRESS, argv, env, NULL, NULL);
}

static int learn(openvpn_plugin_handle_t h, const char *mac)
{
	return learn_as(h, session_env, mac);
}

static int disconnect(openvpn_plugin_handle_t h)
{
	const char *argv[] = {"plugin.so", NULL};

	return call_list(h, OPENVPN_PLUGIN_CLIENT_DISCONNECT, argv, session_env, NULL, NULL);
}

static int auth(openvpn_plugin_handle_t h)
{
	const char *argv[] = {"plugin.so", NULL};
	char control[100];
	char reason[100];
	const char *env[] = {"common_name=alice",
			     "username=alice",
			     "password=s3cret",
			     "daemon_pid=42",
			     control,
			     reason,
			     NULL};
	FILE *f;

	snprintf(control, sizeof(control), "auth_control_file=%s", control_file);
	snprintf(reason, sizeof(reason), "auth_failed_reason_file=%s", reason_file);
	f = fopen(control_file, "we");
	fclose(f);
	f = fopen(reason_file, "we");
	fclose(f);
	return call_list(h, OPENVPN_PLUGIN_AUTH_USER_PASS_VERIFY, argv, env, NULL, NULL);
}

static const char *get(const char *path)
{
	static char text[256];
	FILE *f = fopen(path, "re");

	if (!f)
		return "(gone)";
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void assert_becomes(const char *path, const char *expected, unsigned int wait_ms)
{
	for (unsigned int ms = 0; ms < wait_ms && strcmp(get(path), expected) != 0; ms += 10)
		usleep(10000);
	assert_string_equal(get(path), expected);
}

static void assert_op(struct listener *l, size_t i, const char *op)
{
	json_t *request = listener_request(l, i, 10000);

	assert_non_null(request);
	assert_string_equal(json_string_value(json_object_get(request, "op")), op);
	assert_string_equal(json_string_value(json_object_get(request, "instance")), "blue");
	json_decref(request);
}

static void list_free(struct openvpn_plugin_string_list *list)
{
	while (list) {
		struct openvpn_plugin_string_list *next = list->next;

		free(list->name);
		free(list->value);
		free(list);
		list = next;
	}
}

static void test_open(void **state)
{
	static const struct {
		const char *argv[5];
		int type_mask;
		int r;
	} rows[] = {
		{{"x.so", "instance=blue"}, 0xffff, SUCCESS},
		{{"x.so", "socket=/s", "instance=blue"}, 0xffff, SUCCESS},
		{{"x.so", "instance=blue"}, 0x03ff, ERROR}, /* cannot defer client-connect */
		{{"x.so"}, 0xffff, ERROR},
		{{NULL}, 0xffff, ERROR},
		{{"x.so", "instance="}, 0xffff, ERROR},
		{{"x.so", "instance=a/b"}, 0xffff, ERROR},
		{{"x.so", "instance=a", "instance=b"}, 0xffff, ERROR},
		{{"x.so", "instance"}, 0xffff, ERROR},
		{{"x.so", "=blue"}, 0xffff, ERROR},
		{{"x.so", "instance=blue", "verbose=1"}, 0xffff, ERROR},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		openvpn_plugin_handle_t handle;

		assert_int_equal(open_with((const char **)rows[i].argv, rows[i].type_mask, &handle),
				 rows[i].r);
		assert_int_equal(handle != NULL, rows[i].r == SUCCESS);
		if (handle)
			api.close(handle);
	}
	assert_int_equal(api.open(5, NULL, NULL), ERROR);
	assert_int_equal(api.func(5, NULL, NULL), ERROR);
	assert_int_equal(api.min_version(), 3);
	api.close(NULL);
	api.destructor(NULL, NULL);
}

/* Nothing that OpenVPN could hand over, or forget to, may crash. */
static void test_malformed(void **state)
{
	struct listener *l = listener_start(socket_path, LISTEN_ANSWER, ALLOW, 0);
	openvpn_plugin_handle_t h = open_plugin();
	const char *none[] = {NULL};
	const char *bad[] = {"plugin.so", "add", "02:00:00:00:00:01@9999", "alice", NULL};
	const char *many[] = {"plugin.so", "add", "02:00:00:00:00:01@1", "a", "b", "c", "d", "e",
			      "f",	   NULL};

	for (int type = -1; type <= OPENVPN_PLUGIN_N + 1; type++) {
		if (type == OPENVPN_PLUGIN_CLIENT_DISCONNECT)
			continue;
		assert_int_equal(call_list(h, type, NULL, NULL, NULL, NULL), ERROR);
		assert_int_equal(call_list(h, type, none, none, NULL, NULL), ERROR);
	}
	assert_int_equal(call_list(h, OPENVPN_PLUGIN_LEARN_ADDRESS, bad, session_env, NULL, NULL),
			 ERROR);
	assert_int_equal(call_list(h, OPENVPN_PLUGIN_LEARN_ADDRESS, many, session_env, NULL, NULL),
			 ERROR);
	assert_int_equal(call_list(h, OPENVPN_PLUGIN_CLIENT_DISCONNECT, NULL, NULL, NULL, NULL),
			 SUCCESS);
	assert_int_equal(
		call_list(h, OPENVPN_PLUGIN_CLIENT_CONNECT_V2, none, session_env, NULL, NULL),
		ERROR); /* no client */
	assert_int_equal(listener_requests(l), 0);
	assert_int_equal(learn(h, "02:00:00:00:00:01@101"), SUCCESS);
	api.close(h);
	listener_stop(l);
}

/* Over one connection, in order; a refusal is remembered until the session ends. */
static void test_learn(void **state)
{
	struct listener *l = listener_start(socket_path, LISTEN_ANSWER, ALLOW, 0);
	const char *del[] = {"plugin.so", "delete", "02:00:00:00:00:01@101", NULL};
	const char *del_env[] = {"script_type=learn-address", NULL};
	openvpn_plugin_handle_t h = open_plugin();

	assert_int_equal(learn(h, "02:00:00:00:00:01@101"), SUCCESS);
	listener_set(l, LISTEN_ANSWER,
		     OK_(",\"allow\":false,\"reason\":\"x\",\"scope\":\"mac\",\"retry_ms\":60000"),
		     0);
	assert_int_equal(learn(h, "02:00:00:00:00:02@101"), ERROR);
	assert_int_equal(listener_requests(l), 2);
	listener_set(l, LISTEN_ANSWER, ALLOW, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(learn(h, "02:00:00:00:00:02@101"), ERROR);
	assert_int_equal(listener_requests(l), 2); /* the daemon was not asked again */
	assert_int_equal(learn(h, "02:00:00:00:00:03@101"), SUCCESS);
	assert_int_equal(learn_as(h, other_env, "02:00:00:00:00:02@101"), SUCCESS);
	assert_int_equal(disconnect(h), SUCCESS);
	assert_int_equal(learn(h, "02:00:00:00:00:02@101"), SUCCESS);
	assert_int_equal(call_list(h, OPENVPN_PLUGIN_LEARN_ADDRESS, del, del_env, NULL, NULL),
			 SUCCESS);
	assert_op(l, 4, "hook-disconnect");
	assert_op(l, 5, "hook-learn");
	assert_op(l, 6, "hook-forget");
	assert_int_equal(listener_connections(l), 1);
	assert_in_range(log_lines, 1, 5);
	api.close(h);
	listener_stop(l);
}

static void test_learn_session_scope(void **state)
{
	struct listener *l = listener_start(
		socket_path, LISTEN_ANSWER,
		OK_(",\"allow\":false,\"reason\":\"x\",\"scope\":\"session\",\"retry_ms\":500"), 0);
	openvpn_plugin_handle_t h = open_plugin();
	char mac[32];

	for (int i = 0; i < 256; i++) {
		snprintf(mac, sizeof(mac), "02:00:00:00:00:%02x@101", i);
		assert_int_equal(learn(h, mac), ERROR);
	}
	assert_in_range(listener_requests(l), 1, 4); /* a slow machine outlives the 500 ms */
	listener_set(l, LISTEN_ANSWER, ALLOW, 0);
	usleep(600000);
	assert_int_equal(learn(h, "02:00:00:00:00:01@101"), SUCCESS);
	api.close(h);
	listener_stop(l);
}

/* Bad daemons: a refusal each, and one deadline for a whole storm, not one for each frame. */
static void test_learn_bad_daemon(void **state)
{
	static const struct {
		const char *name;
		enum behaviour behaviour;
		const char *reply;
	} rows[] = {
		{"hang", LISTEN_HANG, NULL},
		{"full", LISTEN_FULL, NULL},
		{"close", LISTEN_CLOSE, NULL},
		{"garbage", LISTEN_RAW, "garbage"},
		{"half", LISTEN_RAW, "{\"v\":1,\"ok\":true,\"allow\""},
		{"without id", LISTEN_RAW, ALLOW},
		{"wrong type", LISTEN_ANSWER, OK_(",\"allow\":1")},
		{"another's", LISTEN_STALE, OK_(",\"allow\":false,\"retry_ms\":0")},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct listener *l =
			listener_start(socket_path, rows[i].behaviour, rows[i].reply, 0);
		openvpn_plugin_handle_t h = open_plugin();
		uint64_t start = client_now_us();

		print_message("# %s\n", rows[i].name);
		for (int k = 0; k < 100; k++)
			assert_int_equal(learn(h, "02:00:00:00:00:01@101"), ERROR);
		/* 100 deadlines would be 20 s. */
		assert_in_range(client_now_us() - start, 0,
				2 * SP_HOOK_DEADLINE_MS * 1000ULL + SLACK_US);
		api.close(h);
		listener_stop(l);
	}
}

/* The daemon restarts: the connection is made anew, and ends of sessions are told afterwards. */
static void test_daemon_restart(void **state)
{
	struct listener *l = listener_start(socket_path, LISTEN_ANSWER, ALLOW, 0);
	openvpn_plugin_handle_t h = open_plugin();

	assert_int_equal(learn(h, "02:00:00:00:00:01@101"), SUCCESS);
	listener_stop(l);
	l = listener_start(socket_path, LISTEN_ANSWER, ALLOW, 0);
	assert_int_equal(learn(h, "02:00:00:00:00:01@101"), SUCCESS);
	listener_stop(l);
	assert_int_equal(disconnect(h), SUCCESS);
	assert_int_equal(learn(h, "02:00:00:00:00:01@101"), ERROR);
	l = listener_start(socket_path, LISTEN_ANSWER, ALLOW, 0);
	usleep((CHANNEL_BREAK_MS + 100) * 1000);
	assert_int_equal(learn_as(h, other_env, "02:00:00:00:00:02@101"), SUCCESS);
	assert_op(l, 0, "hook-disconnect");
	assert_op(l, 1, "hook-learn");
	assert_int_equal(listener_requests(l), 2);
	api.close(h);
	listener_stop(l);
}

/* A daemon that hung comes back: its late reply is not taken for the answer to something else. */
static void test_late_reply(void **state)
{
	struct listener *l = listener_start(socket_path, LISTEN_LATE, ALLOW, 500);
	openvpn_plugin_handle_t h = open_plugin();

	assert_int_equal(learn(h, "02:00:00:00:00:01@101"), ERROR);
	usleep((CHANNEL_BREAK_MS + 100) * 1000);
	listener_set(l, LISTEN_ANSWER, OK_(",\"allow\":false,\"retry_ms\":0"), 0);
	assert_int_equal(learn(h, "02:00:00:00:00:02@101"), ERROR);
	listener_set(l, LISTEN_ANSWER, ALLOW, 0);
	assert_int_equal(learn(h, "02:00:00:00:00:03@101"), SUCCESS);
	assert_int_equal(listener_connections(l), 1);
	api.close(h);
	listener_stop(l);
}

static void test_auth(void **state)
{
	static const struct {
		enum behaviour behaviour;
		const char *reply;
		const char *verdict;
		const char *reason;
	} rows[] = {
		{LISTEN_LATE, OK_(",\"result\":\"accept\""), "1", ""},
		{LISTEN_ANSWER, OK_(",\"result\":\"reject\",\"reason\":\"wrong\""), "0", "wrong"},
		{LISTEN_ANSWER, OK_(",\"result\":\"retry\",\"reason\":\"busy\",\"backoff\":7"), "0",
		 "TEMP[backoff 7]: busy"},
		{LISTEN_CLOSE, NULL, "0", "TEMP[backoff 5]: service unavailable"},
		{LISTEN_RAW, "garbage", "0", "TEMP[backoff 5]: service unavailable"},
	};
	openvpn_plugin_handle_t h = open_plugin();

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct listener *l =
			listener_start(socket_path, rows[i].behaviour, rows[i].reply, 300);

		assert_int_equal(auth(h), DEFERRED);
		assert_becomes(control_file, rows[i].verdict, 5000);
		assert_string_equal(get(reason_file), rows[i].reason);
		assert_op(l, 0, "hook-auth");
		listener_stop(l);
	}
	assert_int_equal(auth(h), DEFERRED); /* nobody there */
	assert_becomes(control_file, "0", 5000);
	assert_string_equal(get(reason_file), "TEMP[backoff 5]: service unavailable");
	api.close(h);
}

/* jansson takes 2048 levels. */
#define DEPTH 2040

/* JSON as deep as its parser goes, on a thread's small stack. */
static void test_auth_deep_json(void **state)
{
	char *deep = malloc(SP_MSG_MAX);
	openvpn_plugin_handle_t h = open_plugin();
	struct listener *l;
	size_t n;

	memset(deep, '[', SP_MSG_MAX - 1);
	deep[SP_MSG_MAX - 1] = '\0';
	l = listener_start(socket_path, LISTEN_RAW, deep, 0);
	assert_int_equal(auth(h), DEFERRED);
	assert_becomes(control_file, "0", 5000);
	listener_stop(l);
	n = (size_t)sprintf(deep, "{\"v\":1,\"ok\":true,\"id\":1,\"result\":\"accept\",\"x\":");
	memset(deep + n, '[', DEPTH);
	memset(deep + n + DEPTH, ']', DEPTH);
	strcpy(deep + n + 2 * DEPTH, "}");
	l = listener_start(socket_path, LISTEN_RAW, deep, 0);
	assert_int_equal(auth(h), DEFERRED);
	assert_becomes(control_file, "1", 15000); /* it was parsed, to its depth */
	listener_stop(l);
	api.close(h);
	free(deep);
}

/* More logins than threads: the rest is told to come again, at once. Closing ends all of them. */
static void test_auth_bounded(void **state)
{
	struct listener *l = listener_start(socket_path, LISTEN_HANG, NULL, 0);
	openvpn_plugin_handle_t h = open_plugin();
	uint64_t start;

	for (int i = 0; i < JOBS_MAX; i++) {
		assert_int_equal(auth(h), DEFERRED);
		assert_string_equal(get(control_file), "");
	}
	assert_int_equal(auth(h), DEFERRED);
	assert_string_equal(get(control_file), "0");
	assert_string_equal(get(reason_file), "TEMP[backoff 5]: too many logins");
	start = client_now_us();
	api.close(h);
	assert_in_range(client_now_us() - start, 0, 1000000 + SLACK_US);
	listener_stop(l);
}

static int begin_connect(openvpn_plugin_handle_t h, void *client,
			 struct openvpn_plugin_string_list **list)
{
	const char *argv[] = {"plugin.so", NULL};

	return call_list(h, OPENVPN_PLUGIN_CLIENT_CONNECT_V2, argv, session_env, client, list);
}

static int poll_connect(openvpn_plugin_handle_t h, void *client,
			struct openvpn_plugin_string_list **list, unsigned int wait_ms)
{
	const char *argv[] = {"plugin.so", NULL};
	int r = DEFERRED;

	for (unsigned int ms = 0; ms < wait_ms && r == DEFERRED; ms += 20) {
		r = call_list(h, OPENVPN_PLUGIN_CLIENT_CONNECT_DEFER_V2, argv, session_env, client,
			      list);
		if (r == DEFERRED)
			usleep(20000);
	}
	return r;
}

static void test_connect(void **state)
{
	static const struct {
		const char *name;
		enum behaviour behaviour;
		const char *reply;
		int first;
		int then;
	} rows[] = {
		{"accept", LISTEN_ANSWER, ACCEPT, SUCCESS, ERROR},
		{"refuse", LISTEN_ANSWER, OK_(",\"pending\":false,\"accept\":false"), ERROR, ERROR},
		{"hostile", LISTEN_ANSWER,
		 OK_(",\"pending\":false,\"accept\":true,\"config\":\"disable\\n\""), ERROR, ERROR},
		{"garbage", LISTEN_RAW, "garbage", ERROR, ERROR},
		{"pending", LISTEN_PENDING, ACCEPT, DEFERRED, SUCCESS},
		{"pending, refused", LISTEN_PENDING, OK_(",\"pending\":false,\"accept\":false"),
		 DEFERRED, ERROR},
		{"late", LISTEN_LATE, ACCEPT, DEFERRED, SUCCESS},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct listener *l =
			listener_start(socket_path, rows[i].behaviour, rows[i].reply, 500);
		openvpn_plugin_handle_t h = open_plugin();
		struct openvpn_plugin_string_list *list = NULL;
		void *client = api.constructor(h);
		bool good = rows[i].first == SUCCESS || rows[i].then == SUCCESS;

		print_message("# %s\n", rows[i].name);
		assert_int_equal(begin_connect(h, client, &list), rows[i].first);
		assert_int_equal(poll_connect(h, client, &list, 10000), rows[i].then);
		assert_int_equal(list != NULL, good);
		if (good) {
			assert_string_equal(list->name, "config");
			assert_string_equal(list->value, CONFIG);
			assert_null(list->next);
		}
		assert_int_equal(listener_requests(l), 1);
		list_free(list);
		api.destructor(h, client);
		api.close(h);
		listener_stop(l);
	}
}

/* What is pending does not keep other events waiting. */
static void test_connect_beside_learn(void **state)
{
	struct listener *l = listener_start(socket_path, LISTEN_PENDING, ACCEPT, 1000);
	openvpn_plugin_handle_t h = open_plugin();
	struct openvpn_plugin_string_list *list = NULL;
	void *client = api.constructor(h);

	assert_int_equal(begin_connect(h, client, &list), DEFERRED);
	listener_set(l, LISTEN_ANSWER, ALLOW, 0);
	assert_int_equal(learn_as(h, other_env, "02:00:00:00:00:01@101"), SUCCESS);
	listener_set(l, LISTEN_ANSWER, ACCEPT, 0);
	assert_int_equal(poll_connect(h, client, &list, 10000), SUCCESS);
	list_free(list);
	api.destructor(h, client);
	api.close(h);
	listener_stop(l);
}

/* The daemon is down when a client connects, and comes within the time that it has. */
static void test_connect_daemon_down(void **state)
{
	openvpn_plugin_handle_t h = open_plugin();
	struct openvpn_plugin_string_list *list = NULL;
	void *client = api.constructor(h);
	struct listener *l;

	assert_int_equal(begin_connect(h, client, &list), DEFERRED);
	assert_int_equal(poll_connect(h, client, &list, 100), DEFERRED);
	l = listener_start(socket_path, LISTEN_ANSWER, ACCEPT, 0);
	assert_int_equal(poll_connect(h, client, &list, 10000), SUCCESS);
	list_free(list);
	api.destructor(h, client);
	api.close(h);
	listener_stop(l);
}

/* The client goes while its connect is pending, or accepted and not fetched: it is taken back. */
static void test_connect_abandoned(void **state)
{
	for (int fetched_late = 0; fetched_late < 2; fetched_late++) {
		struct listener *l = listener_start(socket_path, LISTEN_PENDING, ACCEPT, 300);
		openvpn_plugin_handle_t h = open_plugin();
		struct openvpn_plugin_string_list *list = NULL;
		void *client = api.constructor(h);

		assert_int_equal(begin_connect(h, client, &list), DEFERRED);
		if (fetched_late)
			usleep(1000000);
		listener_set(l, LISTEN_ANSWER, OK_(""), 0);
		api.destructor(h, client);
		assert_op(l, 1, "hook-disconnect");
		assert_null(list);
		api.close(h);
		listener_stop(l);
	}
}

/* A refusal from memory, in the terms of its budget: no system call, next to nothing. */
static void test_refusal_is_cheap(void **state)
{
	struct listener *l = listener_start(socket_path, LISTEN_ANSWER,
					    OK_(",\"allow\":false,\"retry_ms\":60000"), 0);
	openvpn_plugin_handle_t h = open_plugin();
	uint64_t best = UINT64_MAX;

	assert_int_equal(learn(h, "02:00:00:00:00:02@101"), ERROR);
	for (int round = 0; round < 20; round++) {
		uint64_t start = client_now_us();

		for (int i = 0; i < 1000; i++)
			(void)learn(h, "02:00:00:00:00:02@101");
		if (client_now_us() - start < best)
			best = client_now_us() - start;
	}
	print_message("# %llu ns each\n", (unsigned long long)best);
	assert_in_range(best, 0, 5000); /* us for 1,000: 5 us each */
	api.close(h);
	listener_stop(l);
}

static int setup(void **state)
{
	const char *build = getenv("SP_BUILD") ?: "build";
	const char *where = getenv("SP_PLUGIN_DIR");
	char path[256];
	void *so;

	if (!mkdtemp(dir))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
	snprintf(control_file, sizeof(control_file), "%s/control", dir);
	snprintf(reason_file, sizeof(reason_file), "%s/reason", dir);
	snprintf(path, sizeof(path), "%s%s/openvpn-plugin-sallyport.so", where ? where : build,
		 where ? "" : "/hooks");
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		print_error("%s\n", dlerror());
		return -1;
	}
	*(void **)&api.open = dlsym(so, "openvpn_plugin_open_v3");
	*(void **)&api.func = dlsym(so, "openvpn_plugin_func_v3");
	*(void **)&api.close = dlsym(so, "openvpn_plugin_close_v1");
	*(void **)&api.constructor = dlsym(so, "openvpn_plugin_client_constructor_v1");
	*(void **)&api.destructor = dlsym(so, "openvpn_plugin_client_destructor_v1");
	*(void **)&api.min_version = dlsym(so, "openvpn_plugin_min_version_required_v1");
	return 0;
}

static int teardown(void **state)
{
	unlink(control_file);
	unlink(reason_file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_learn_session_scope),
		cmocka_unit_test(test_learn_bad_daemon),
		cmocka_unit_test(test_daemon_restart),
		cmocka_unit_test(test_late_reply),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_auth_deep_json),
		cmocka_unit_test(test_auth_bounded),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_beside_learn),
		cmocka_unit_test(test_connect_daemon_down),
		cmocka_unit_test(test_connect_abandoned),
		cmocka_unit_test(test_refusal_is_cheap),
	};

	return cmocka_run_group_tests_name("plugin", tests, setup, teardown);
}
