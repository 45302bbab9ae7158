/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the control socket's client end by its deadline and believe only whole, valid replies? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"
#include "sallyport/paths.h"
#include "selftests/harness/listener.h"

/* Long enough not to matter on a busy machine; what ends by a deadline uses SHORT_US. */
#define LONG_US 20000000ULL
#define SHORT_US 50000ULL

static char dir[] = "/tmp/sallyport-test-XXXXXX";
static char path[64];

#define OK "{\"v\":1,\"ok\":true}"

static const struct {
	const char *name;
	enum behaviour behaviour;
	const char *reply;
	int connect;
	int receive;
} rows[] = {
	{"answer", LISTEN_ANSWER, OK, 0, 0},
	{"error", LISTEN_ANSWER, "{\"v\":1,\"ok\":false,\"error\":{\"errno\":1}}", 0, 0},
	{"hang", LISTEN_HANG, NULL, 0, -ETIMEDOUT},
	{"late", LISTEN_LATE, OK, 0, -ETIMEDOUT},
	{"backlog full", LISTEN_FULL, NULL, -ETIMEDOUT, 0},
	{"close", LISTEN_CLOSE, NULL, 0, -ECONNRESET},
	{"garbage", LISTEN_RAW, "garbage", 0, -EBADMSG},
	{"half", LISTEN_RAW, "{\"v\":1,\"ok\":tr", 0, -EBADMSG},
	{"two", LISTEN_RAW, OK OK, 0, -EBADMSG},
	{"no version", LISTEN_RAW, "{\"ok\":true}", 0, -EBADMSG},
	{"other version", LISTEN_RAW, "{\"v\":2,\"ok\":true}", 0, -EBADMSG},
	{"version a string", LISTEN_RAW, "{\"v\":\"1\",\"ok\":true}", 0, -EBADMSG},
	{"no ok", LISTEN_RAW, "{\"v\":1}", 0, -EBADMSG},
	{"ok a number", LISTEN_RAW, "{\"v\":1,\"ok\":1}", 0, -EBADMSG},
	{"a list", LISTEN_RAW, "[1]", 0, -EBADMSG},
	{"twice the same key", LISTEN_RAW, "{\"v\":1,\"ok\":false,\"ok\":true}", 0, -EBADMSG},
	{"not UTF-8", LISTEN_RAW, "{\"v\":1,\"ok\":true,\"a\":\"\xff\"}", 0, -EBADMSG},
};

static void test_behaviours(void **state)
{
	json_t *request = json_pack("{s:i, s:s, s:i}", "v", 1, "op", "version", "id", 5);

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		bool ends = rows[i].connect == -ETIMEDOUT || rows[i].receive == -ETIMEDOUT;
		uint64_t deadline = client_now_us() + (ends ? SHORT_US : LONG_US);
		struct listener *l =
			listener_start(path, rows[i].behaviour, rows[i].reply, 1000000);
		json_t *reply = NULL;
		int fd = client_connect(path, deadline);

		print_message("# %s\n", rows[i].name);
		assert_int_equal(fd < 0 ? fd : 0, rows[i].connect);
		if (fd >= 0) {
			assert_int_equal(client_send(fd, request, deadline), 0);
			assert_int_equal(client_receive(fd, &reply, deadline), rows[i].receive);
			assert_int_equal(reply != NULL, rows[i].receive == 0);
			close(fd);
		}
		if (ends) /* it waited for the deadline, and gave up at all */
			assert_true(client_now_us() >= deadline);
		json_decref(reply);
		listener_stop(l);
	}
	json_decref(request);
}

static void test_connect_errors(void **state)
{
	struct listener *l;
	char name[200];

	assert_int_equal(client_connect("/nonexistent/socket", client_now_us() + LONG_US), -ENOENT);
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(client_connect(name, client_now_us() + LONG_US), -ENAMETOOLONG);
	/* A socket file without anybody behind it. */
	l = listener_start(path, LISTEN_HANG, NULL, 0);
	assert_int_equal(link(path, strcat(strcpy(name, path), "2")), 0);
	listener_stop(l);
	assert_int_equal(client_connect(name, client_now_us() + LONG_US), -ECONNREFUSED);
	unlink(name);
}

static void test_default_path(void **state)
{
	struct listener *l = listener_start(path, LISTEN_HANG, NULL, 0);
	int fd;

	setenv(SP_ENV_SOCKET, path, 1);
	fd = client_connect(NULL, client_now_us() + LONG_US);
	unsetenv(SP_ENV_SOCKET);
	assert_true(fd >= 0);
	close(fd);
	listener_stop(l);
}

static void test_too_long(void **state)
{
	char *text = malloc(SP_MSG_MAX + 1);
	json_t *request;

	memset(text, 'x', SP_MSG_MAX);
	text[SP_MSG_MAX] = '\0';
	request = json_pack("{s:s}", "a", text);
	assert_int_equal(client_send(-1, request, 0), -EMSGSIZE);
	json_decref(request);
	text[SP_MSG_MAX - strlen("{\"a\":\"\"}")] = '\0';
	request = json_pack("{s:s}", "a", text);
	assert_int_equal(client_send(-1, request, 0), -EBADF); /* it would have been sent */
	json_decref(request);
	free(text);
}

static void test_reply_error(void **state)
{
	static const struct {
		const char *reply;
		int error;
		const char *message;
	} errors[] = {
		{OK, 0, NULL},
		{"{\"ok\":false,\"error\":{\"errno\":13,\"message\":\"no\"}}", -13, "no"},
		{"{\"ok\":false,\"error\":{\"errno\":-13,\"message\":\"no\"}}", -EPROTO, "no"},
		{"{\"ok\":false,\"error\":{\"errno\":0}}", -EPROTO, "no reason was given"},
		{"{\"ok\":false,\"error\":{\"errno\":\"x\"}}", -EPROTO, "no reason was given"},
		{"{\"ok\":false,\"error\":7}", -EPROTO, "no reason was given"},
		{"{\"ok\":false}", -EPROTO, "no reason was given"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(errors); i++) {
		json_t *reply = json_loads(errors[i].reply, 0, NULL);
		const char *message = NULL;

		assert_int_equal(client_reply_error(reply, &message), errors[i].error);
		if (errors[i].message)
			assert_string_equal(message, errors[i].message);
		json_decref(reply);
	}
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	strcat(strcpy(path, dir), "/socket");
	return 0;
}

static int teardown(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behaviours),   cmocka_unit_test(test_connect_errors),
		cmocka_unit_test(test_default_path), cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_reply_error),
	};

	return cmocka_run_group_tests_name("client", tests, setup, teardown);
}
