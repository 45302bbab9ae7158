/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Can anything on the control socket harm the daemon or other callers? The real server with the
 * real operations, its loop in a thread; here are its callers, most of them bad.
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/client.h"
#include "loader/ops.h"
#include "sallyport/limits.h"
#include "selftests/harness/host.h"

static pthread_t thread;
static int stop_fd;
static struct host *host;
static bool inverted; /* --prove: expect the opposite, so that the tests are seen to fail */

static bool is_hook_uid(void *context, uid_t uid)
{
	return uid == HOST_HOOK_UID;
}

static int on_stop(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static void *serve(void *arg)
{
	sd_event_loop(arg);
	return NULL;
}

static int setup(void **state)
{
	struct control_config c = {
		.ops = daemon_ops, .admin_gid = HOST_ADMIN_GID, .is_hook_uid = is_hook_uid};
	int fd;

	if (host_setup(state) < 0)
		return -1;
	host = *state;
	c.context = &host->d;
	fd = control_listen(host->socket);
	if (fd < 0 || control_new(host->d.event, fd, &c, &host->d.control) < 0)
		return -1;
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sd_event_add_io(host->d.event, NULL, stop_fd, EPOLLIN, on_stop, NULL) < 0)
		return -1;
	return pthread_create(&thread, NULL, serve, host->d.event);
}

static int teardown(void **state)
{
	eventfd_write(stop_fd, 1);
	pthread_join(thread, NULL);
	close(stop_fd);
	return host_teardown(state);
}

/* --- a caller --- */

static int dial(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, host->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* NULL at the end of the connection. */
static json_t *receive(int fd)
{
	static char buffer[SP_MSG_MAX + 1];
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

	return n > 0 ? json_loadb(buffer, (size_t)n, 0, NULL) : NULL;
}

/* Who is turned away may find the door shut already; the answer is there all the same. */
static json_t *exchange(int fd, const char *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

	return n == (ssize_t)size || errno == EPIPE ? receive(fd) : NULL;
}

/* The errno of the answer, 0: it was "ok"; -1: there was none. */
static int verdict(json_t *reply, const char *field)
{
	int e = -1;
	const json_t *error = json_object_get(reply, "error"), *f = json_object_get(error, "field");

	if (json_is_true(json_object_get(reply, "ok")))
		e = 0;
	else if (json_string_length(json_object_get(error, "message")) > 0 &&
		 json_string_length(json_object_get(error, "code")) > 0)
		e = (int)json_integer_value(json_object_get(error, "errno"));
	if (field && (!f || strcmp(json_string_value(f), field) != 0))
		e = -1;
	json_decref(reply);
	return e;
}

static int ask(int fd, const char *text)
{
	return verdict(exchange(fd, text, strlen(text)), NULL);
}

#define VERSION "{\"v\":1,\"op\":\"version\"}"

static const struct {
	const char *text;
	int error;
	const char *field;
} verdicts[] = {
	{VERSION, 0, NULL},
	{" ", EBADMSG, NULL},
	{"[]", EBADMSG, NULL},
	{"1", EBADMSG, NULL},
	{"null", EBADMSG, NULL},
	{"{}", EPROTONOSUPPORT, "v"},
	{"{\"v\":2,\"op\":\"version\"}", EPROTONOSUPPORT, "v"},
	{"{\"v\":\"1\",\"op\":\"version\"}", EPROTONOSUPPORT, "v"},
	{"{\"v\":1.0,\"op\":\"version\"}", EPROTONOSUPPORT, "v"},
	{"{\"v\":1}", EINVAL, "op"},
	{"{\"v\":1,\"op\":7}", EINVAL, "op"},
	{"{\"v\":1,\"op\":\"\"}", EOPNOTSUPP, "op"},
	{"{\"v\":1,\"op\":\"Version\"}", EOPNOTSUPP, "op"},
	{"{\"v\":1,\"op\":\"version\",\"x\":1}", EINVAL, NULL},
	{"{\"v\":1,\"v\":1,\"op\":\"version\"}", EBADMSG, NULL},
	{"{\"v\":1,\"op\":\"version\"}{}", EBADMSG, NULL},
	{"{\"v\":1,\"op\":\"version\",}", EBADMSG, NULL},
	{"{\"v\":1,\"op\":\"version\",\"id\":\"\xff\"}", EBADMSG, NULL},
	{"{\"v\":1,\"op\":\"user-add\"}", EINVAL, "name"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":1}", EINVAL, "name"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"\"}", EINVAL, "name"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"../x\"}", EINVAL, "name"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"-x\"}", EINVAL, "name"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\\u0000b\"}", EBADMSG, NULL},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a b\"}", EINVAL, "name"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"password\":\"\"}", EINVAL, "password"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"max_macs\":33}", ERANGE, "max_macs"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"max_macs\":-1}", ERANGE, "max_macs"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"max_macs\":1.5}", EINVAL, "max_macs"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"max_macs\":99999999999999999999}", EBADMSG,
	 NULL},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"max_flows\":1048577}", ERANGE, "max_flows"},
	{"{\"v\":1,\"op\":\"user-set\",\"name\":\"a\",\"new_flows\":10000001}", ERANGE,
	 "new_flows"},
	{"{\"v\":1,\"op\":\"user-set\",\"name\":\"a\",\"new_flows\":-1}", ERANGE, "new_flows"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"address\":\"10.0.0.1\"}", EINVAL,
	 "address"},
	{"{\"v\":1,\"op\":\"user-add\",\"name\":\"a\",\"address6\":\"10.0.0.1/8\"}", EINVAL,
	 "address6"},
	{"{\"v\":1,\"op\":\"workload-add\",\"user\":\"a\",\"name\":\"b\",\"netns\":\"c\","
	 "\"mac\":\"02:00:00:00:00:0\"}",
	 EINVAL, "mac"},
	{"{\"v\":1,\"op\":\"workload-add\",\"user\":\"a\",\"name\":\"b\",\"netns\":\"c\","
	 "\"mac\":\"01:00:00:00:00:00\"}",
	 EINVAL, "mac"},
	{"{\"v\":1,\"op\":\"workload-add\",\"user\":\"a\",\"name\":\"b\",\"netns\":\"../"
	 "c\"}",
	 EINVAL, "netns"},
	{"{\"v\":1,\"op\":\"machine-policy\",\"user\":\"a\",\"name\":\"b\","
	 "\"router\":\"yes\"}",
	 EINVAL, "router"},
	{"{\"v\":1,\"op\":\"machine-policy\",\"user\":\"a\",\"name\":\"b\","
	 "\"dhcp_server\":1}",
	 EINVAL, "dhcp_server"},
	{"{\"v\":1,\"op\":\"machine-policy\",\"user\":\"a\",\"name\":\"b\","
	 "\"router\":true,\"dhcp_server\":false}",
	 ENOENT, "name"},
	{"{\"v\":1,\"op\":\"session-kill\",\"session\":12345}", ENOENT, "session"},
	{"{\"v\":1,\"op\":\"monitor\",\"drops\":1}", EINVAL, "drops"},
	{"{\"v\":1,\"op\":\"trace\"}", EINVAL, "session"},
	{"{\"v\":1,\"op\":\"trace\",\"session\":0}", ERANGE, "session"},
	{"{\"v\":1,\"op\":\"trace\",\"session\":12345}", ENOENT, "session"},
	{"{\"v\":1,\"op\":\"trace\",\"trace\":\"12345\"}", EINVAL, "trace"},
	{"{\"v\":1,\"op\":\"trace\",\"trace\":\"0123456789abcdef\"}", ENOENT, "trace"},
	{"{\"v\":1,\"op\":\"trace\",\"trace\":\"not-hexadecimal!\"}", ENOENT, "trace"},
	{"{\"v\":1,\"op\":\"trace\",\"session\":1,\"trace\":\"0123456789abcdef\"}", EINVAL,
	 "session"},
	{"{\"v\":1,\"op\":\"metrics\",\"reset\":true}", EINVAL, NULL},
	{"{\"v\":1,\"op\":\"user-passwd\",\"name\":\"nobody\",\"password\":\"x\"}", ENOENT, NULL},
	{"{\"v\":1,\"op\":\"hook-forget\",\"instance\":\"none\",\"deadline_us\":0,\"mac\":"
	 "\"02:00:00:00:00:01\",\"vid\":2,\"time_us\":0}",
	 ENOENT, "instance"},
	{"{\"v\":1,\"op\":\"hook-forget\",\"instance\":\"vlan\",\"deadline_us\":0,\"mac\":"
	 "\"02:00:00:00:00:01\",\"vid\":4096,\"time_us\":0}",
	 ERANGE, "vid"},
};

static void test_errors(void **state)
{
	int fd = dial();

	for (size_t i = 0; i < SP_ARRAY_SIZE(verdicts); i++) {
		const char *text = verdicts[i].text;
		int r, expected = verdicts[i].error;

		r = verdict(exchange(fd, text, strlen(text)), verdicts[i].field);
		if (r != expected)
			fail_msg("%s: expected %d with field %s, got %d", text, expected,
				 verdicts[i].field ? verdicts[i].field : "-", r);
	}
	close(fd);
}

/* What was asked comes back in the "id", whatever it is; with errors too. */
static void test_id(void **state)
{
	static const char text[] = "{\"v\":1,\"op\":\"no\",\"id\":{\"a\":[1,\"x\"]}}";
	int fd = dial();
	json_t *reply = exchange(fd, text, strlen(text)), *id = json_object_get(reply, "id");

	assert_int_equal(json_integer_value(json_array_get(json_object_get(id, "a"), 0)), 1);
	json_decref(reply);
	close(fd);
}

/* --- ten thousand bad ones --- */

static uint32_t seed = 1;

static uint32_t number(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Messages that are right as they stand, each of which can be spoilt in many ways. */
static const char *const right[] = {
	"{\"v\":1,\"op\":\"hook-learn\",\"instance\":\"vlan\",\"deadline_us\":1,\"daemon_pid\":5,"
	"\"common_name\":\"a\",\"trusted_ip\":\"192.0.2.1\",\"trusted_port\":1,\"time_unix\":1,"
	"\"event\":\"add\",\"mac\":\"02:00:00:00:00:01\",\"vid\":2}",
	"{\"v\":1,\"op\":\"user-set\",\"name\":\"nobody\",\"address\":\"10.0.0.1/24\","
	"\"max_sessions\":3}",
	"{\"v\":1,\"op\":\"workload-remove\",\"user\":\"nobody\",\"name\":\"nothing\"}",
};

static size_t fill(char *buffer, char c, size_t n)
{
	memset(buffer, c, n);
	return n;
}

/* One bad message of at most 2 * SP_MSG_MAX bytes. */
static size_t bad(char *b)
{
	static const char *const wrong[] = {"null", "[]",   "{}",    "true",	    "-7",
					    "1.5",  "\"\"", "1e999", "\"\\ud800\"", "'x'"};
	const char *text = right[number(SP_ARRAY_SIZE(right))];
	size_t n = strlen(text);
	char *colon;

	strcpy(b, text);
	switch (number(9)) {
	case 0: /* noise */
		n = 1 + number(300);
		for (size_t i = 0; i < n; i++)
			b[i] = (char)number(256);
		b[0] = (char)(b[0] == '{' ? 0 : b[0]);
		return n;
	case 1: /* cut off */
		return 1 + number((uint32_t)n - 1);
	case 2: /* a value of the wrong kind, behind any of its colons that is no MAC's */
		colon = strstr(b, "\":");
		for (uint32_t i = number(8); i > 0 && strstr(colon + 1, "\":"); i--)
			colon = strstr(colon + 1, "\":");
		return (size_t)(colon - b) +
		       (size_t)sprintf(colon, "\":%s,\"nonsense\":1}", wrong[number(10)]);
	case 3: /* an argument that does not exist, or twice */
		return (size_t)sprintf(b + n - 1, ",\"%s\":1}", number(2) ? "extra" : "op") + n - 1;
	case 4: /* too long, by one or by much */
		memset(b + n, ' ', 2 * SP_MSG_MAX - n);
		return SP_MSG_MAX + 1 + (number(2) ? 0 : number(SP_MSG_MAX - 1));
	case 5: /* deep */
		n = 3000 + number(SP_MSG_MAX - 3000);
		return fill(b, number(2) ? '[' : '{', n);
	case 6: /* deep and whole, where an id may be anything */
		n = (size_t)sprintf(b, "{\"v\":1,\"op\":\"version\",\"id\":");
		n += fill(b + n, '[', 3000);
		n += fill(b + n, ']', 3000);
		b[n++] = '}';
		return n;
	case 7: /* a flipped quote or brace */
		do
			colon = b + number((uint32_t)n);
		while (!strchr("\"{}:,", *colon));
		*colon = '#';
		return n;
	default: /* not UTF-8 */
		memcpy(b + n - 1, ",\"\xc3\x28\":1}", 9);
		return n + 8;
	}
}

static void test_bad_messages(void **state)
{
	static char buffer[2 * SP_MSG_MAX + 64];
	int fd = dial(), size = 4 * SP_MSG_MAX;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (int i = 0; i < 10000; i++) {
		size_t n = bad(buffer);
		int r = verdict(exchange(fd, buffer, n), NULL);

		if (inverted ? r != 0 : r <= 0)
			fail_msg("message %d, %zu bytes, '%.200s': expected an error, got %d", i, n,
				 buffer, r);
		if (i % 1000 == 0) {
			int other = dial();

			assert_int_equal(ask(other, VERSION), 0);
			close(other);
		}
	}
	assert_int_equal(ask(fd, VERSION), 0);
	close(fd);
}

/* --- who is it? --- */

/* TEXT as another user, in a process of its own. 256 - 1: no answer. */
static int ask_as(uid_t uid, gid_t gid, const char *text)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd, r;

		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		    setresuid(uid, uid, uid) < 0)
			_exit(254);
		fd = dial();
		r = fd < 0 ? 253 : ask(fd, text);
		_exit(r);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

#define HOOK(instance)                                                                             \
	"{\"v\":1,\"op\":\"hook-forget\",\"instance\":\"" instance                                 \
	"\",\"deadline_us\":0,\"mac\":\"02:00:00:00:00:01\",\"vid\":2,\"time_us\":0}"

static void test_who(void **state)
{
	uid_t old = host->configs[HOST_MAC].uid;

	assert_int_equal(ask_as(12345, 12345, VERSION), EPERM); /* nobody that we know */
	assert_int_equal(ask_as(12345, 12345, HOOK("vlan")), EPERM);
	assert_int_equal(ask_as(12345, HOST_ADMIN_GID, VERSION), 0);
	assert_int_equal(ask_as(HOST_HOOK_UID, 12345, VERSION), EPERM); /* hooks only */
	assert_int_equal(ask_as(HOST_HOOK_UID, 12345, "{\"v\":1,\"op\":\"status\"}"), EPERM);
	assert_int_equal(ask_as(HOST_HOOK_UID, 12345, HOOK("vlan")), 0);
	host->configs[HOST_MAC].uid = 777; /* read when a hook calls: the loop waits for us now */
	assert_int_equal(ask_as(HOST_HOOK_UID, 12345, HOOK("mac")), EPERM); /* not its instance */
	host->configs[HOST_MAC].uid = old;
}

/* --- many, and slow ones --- */

static void test_many(void **state)
{
	const struct rlimit files = {4096, 4096};
	int fds[SP_CLIENTS_MAX], extra, n = 0;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	while (n < SP_CLIENTS_MAX) {
		fds[n] = dial();
		assert_true(fds[n] >= 0);
		assert_int_equal(ask(fds[n], VERSION), 0);
		n++;
	}
	extra = dial();
	assert_int_equal(verdict(receive(extra), NULL), EBUSY);
	assert_null(receive(extra)); /* and closed */
	close(extra);
	assert_int_equal(ask(fds[0], VERSION), 0);
	while (n > 0)
		close(fds[--n]);
	for (int i = 0; i < 100 && (extra = dial()) >= 0 && ask(extra, VERSION) != 0; i++)
		close(extra);
	assert_int_equal(ask(extra, VERSION), 0);
	close(extra);
}

/* One who asks and never reads is sent away; meanwhile nobody waits for the daemon. */
static void test_slow_reader(void **state)
{
	static const char status[] = "{\"v\":1,\"op\":\"status\"}";
	int slow = dial(), fd = dial(), sent = 0;
	const struct timeval limit = {.tv_sec = 10};

	setsockopt(slow, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (send(slow, status, strlen(status), MSG_NOSIGNAL) > 0 && sent < 100000) {
		uint64_t began = client_now_us();

		if (++sent % 100 == 0) {
			assert_int_equal(ask(fd, VERSION), 0);
			assert_true(client_now_us() - began < 2000000);
		}
	}
	assert_in_range(sent, 100, 99999);
	assert_int_equal(ask(fd, VERSION), 0);
	close(slow);
	close(fd);
}

/* A list longer than a message, longer than a connection may have unread. */
static void test_long_list(void **state)
{
	int fd = dial(), pages = 0;
	size_t items = 0;
	char text[128];
	bool more = true;

	for (int i = 0; i < 700; i++) {
		snprintf(text, sizeof(text), "{\"v\":1,\"op\":\"user-add\",\"name\":\"list%d\"}",
			 i);
		assert_int_equal(ask(fd, text), 0);
	}
	strcpy(text, "{\"v\":1,\"op\":\"user-list\",\"id\":\"mine\"}");
	assert_true(send(fd, text, strlen(text), 0) > 0);
	while (more) {
		json_t *page = receive(fd);

		assert_non_null(page);
		assert_string_equal(json_string_value(json_object_get(page, "id")), "mine");
		items += json_array_size(json_object_get(page, "items"));
		more = json_is_true(json_object_get(page, "more"));
		json_decref(page);
		pages++;
	}
	assert_int_equal(items, 700);
	assert_true(pages > 5);
	/* A reader that leaves in the middle costs nothing. */
	assert_true(send(fd, text, strlen(text), 0) > 0);
	json_decref(receive(fd));
	close(fd);
	fd = dial();
	assert_int_equal(ask(fd, VERSION), 0);
	close(fd);
}

/* A stream: changes come as they happen, and its end leaves the daemon well. */
static void test_monitor(void **state)
{
	static const char text[] = "{\"v\":1,\"op\":\"monitor\",\"id\":5}";
	int watcher = dial(), fd = dial();
	json_t *event;

	assert_int_equal(verdict(exchange(watcher, text, strlen(text)), NULL), 0);
	assert_int_equal(
		ask(fd, "{\"v\":1,\"op\":\"hook-learn\",\"instance\":\"vlan\",\"deadline_us\":"
			"9000000000000000000,\"daemon_pid\":5,\"common_name\":\"a\",\"trusted_ip\":"
			"\"192.0.2.1\",\"trusted_port\":1,\"time_unix\":1,\"event\":\"add\","
			"\"mac\":\"02:00:00:00:00:01\",\"vid\":2}"),
		0);
	event = receive(watcher);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(event, "event"), "type")),
		"refuse");
	assert_int_equal(json_integer_value(json_object_get(event, "id")), 5);
	json_decref(event);
	close(watcher);
	assert_int_equal(ask(fd, VERSION), 0);
	close(fd);
}

/* A socket that somebody answers on is not taken over; one that is left over is. */
static void test_listen(void **state)
{
	char path[128];
	int fd;

	assert_int_equal(control_listen(host->socket), -EADDRINUSE);
	snprintf(path, sizeof(path), "%s/other", host->dir);
	fd = control_listen(path);
	assert_true(fd >= 0);
	close(fd);
	fd = control_listen(path);
	assert_true(fd >= 0);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),	     cmocka_unit_test(test_id),
		cmocka_unit_test(test_bad_messages), cmocka_unit_test(test_who),
		cmocka_unit_test(test_many),	     cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_long_list),    cmocka_unit_test(test_monitor),
		cmocka_unit_test(test_listen),
	};

	inverted = argc > 1 && strcmp(argv[1], "--prove") == 0;
	return cmocka_run_group_tests_name("control", tests, setup, teardown);
}
