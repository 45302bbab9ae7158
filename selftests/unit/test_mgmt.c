// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is a management socket asked and answered on the loop, and is its end noticed? A peer that says
 * what the test wants; then a real OpenVPN server in a network namespace of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "mgmt.h"

#define HEADER                                                                                     \
	"HEADER\tCLIENT_LIST\tCommon Name\tReal Address\tVirtual Address\tVirtual IPv6 Address\t"  \
	"Bytes Received\tBytes Sent\tConnected Since\tConnected Since (time_t)\tUsername\t"        \
	"Client ID\tPeer ID\tData Channel Cipher"
#define CLIENT                                                                                     \
	"CLIENT_LIST\tuser1\t10.9.0.11:51093\t10.50.0.100\t\t2837\t3122\t2026-11-22 16:30:22\t"    \
	"1795362622\tlogin1\t0\t0\tAES-256-GCM"

/* --- the client on an event loop --- */

struct seen {
	unsigned int ups, downs, dones;
	int64_t pid;
	int error;
	size_t n;
	struct mgmt_client first;
	struct mgmt **free_in_done;
};

static void on_up(struct mgmt *m, int64_t pid, void *arg)
{
	struct seen *s = arg;

	assert_true(mgmt_is_up(m));
	s->ups++;
	s->pid = pid;
}

static void on_down(struct mgmt *m, void *arg)
{
	struct seen *s = arg;

	assert_false(mgmt_is_up(m));
	s->downs++;
}

static void on_status(int error, const struct mgmt_client *clients, size_t n, void *arg)
{
	struct seen *s = arg;

	s->dones++;
	s->error = error;
	s->n = n;
	if (n)
		s->first = clients[0];
	if (s->free_in_done)
		*s->free_in_done = mgmt_free(*s->free_in_done);
}

static void on_kill(int error, void *arg)
{
	struct seen *s = arg;

	s->dones++;
	s->error = error;
}

static const struct mgmt_callbacks callbacks = {.up = on_up, .down = on_down};

/* Run the loop until *COUNTER reaches N; false after MS. */
static bool run_until(sd_event *e, const unsigned int *counter, unsigned int n, unsigned int ms)
{
	uint64_t now, end;

	assert_true(sd_event_now(e, CLOCK_MONOTONIC, &now) >= 0);
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	end = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000 + ms * 1000ULL;
	while (*counter < n) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
		if (now >= end)
			return false;
		assert_true(sd_event_run(e, end - now) >= 0);
	}
	return true;
}

/* A management socket that says what we tell it to: for what OpenVPN does seldom. */
struct fake {
	char dir[64], path[96];
	int listen_fd, fd;
};

static void fake_open(struct fake *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	strcpy(f->dir, "/tmp/sp-test-mgmt.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/mgmt.sock", f->dir);
	strcpy(sa.sun_path, f->path);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(f->listen_fd, 1), 0);
	f->fd = -1;
}

static void fake_close(struct fake *f)
{
	if (f->fd >= 0)
		close(f->fd);
	close(f->listen_fd);
	unlink(f->path);
	rmdir(f->dir);
}

static void fake_say(struct fake *f, const char *text)
{
	assert_int_equal(write(f->fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Turn the loop until the client has sent a line; into BUF without its end. */
static void fake_hear(struct fake *f, sd_event *e, char *buf, size_t size)
{
	size_t n = 0;

	for (int i = 0; i < 500; i++) {
		ssize_t k;

		assert_true(sd_event_run(e, i < 5 ? 0 : 10000) >= 0);
		k = recv(f->fd, buf + n, size - 1 - n, MSG_DONTWAIT);
		if (k > 0)
			n += (size_t)k;
		if (n && buf[n - 1] == '\n') {
			buf[n - 1] = '\0';
			return;
		}
	}
	fail_msg("the client sent nothing");
}

static void fake_accept(struct fake *f, sd_event *e)
{
	char buf[64];

	for (int i = 0; i < 500; i++) {
		assert_true(sd_event_run(e, 1000) >= 0);
		f->fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (f->fd >= 0)
			break;
	}
	assert_true(f->fd >= 0);
	fake_say(f,
		 ">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info\r\n");
	fake_hear(f, e, buf, sizeof(buf));
	assert_string_equal(buf, "pid");
}

static void test_fake_status(void **state)
{
	struct fake f;
	struct seen s = {};
	sd_event *e = NULL;
	struct mgmt *m = NULL;
	char buf[64];

	fake_open(&f);
	assert_true(sd_event_new(&e) >= 0);
	assert_int_equal(mgmt_new(e, f.path, &callbacks, &s, &m), 0);
	fake_accept(&f, e);
	assert_int_equal(s.ups, 0);
	fake_say(&f, "SUCCESS: pid=77\r\n");
	assert_true(run_until(e, &s.ups, 1, 1000));
	assert_int_equal(s.pid, 77);
	assert_int_equal(mgmt_pid(m), 77);

	/* A notification in the middle, a line of nonsense, one client. */
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	assert_string_equal(buf, "status 3");
	fake_say(&f, "TITLE\tOpenVPN\r\n" HEADER "\r\n>LOG:1,,CLIENT_LIST\r\n" CLIENT
		     "\r\nCLIENT_LIST\tshort\r\nEND\r\n");
	assert_true(run_until(e, &s.dones, 1, 1000));
	assert_int_equal(s.error, 0);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.first.common_name, "user1");
	assert_int_equal(mgmt_skipped(m), 1);

	/* An answer without a header is none. */
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	fake_say(&f, CLIENT "\r\nEND\r\n");
	assert_true(run_until(e, &s.dones, 2, 1000));
	assert_int_equal(s.error, -EBADMSG);
	assert_int_equal(s.n, 0);

	/* kill: looked up, then ended by its client id. */
	assert_int_equal(mgmt_kill(m, "10.9.0.11", 51093, 1795362622, on_kill, &s), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	fake_say(&f, HEADER "\r\n" CLIENT "\r\nEND\r\n");
	fake_hear(&f, e, buf, sizeof(buf));
	assert_string_equal(buf, "client-kill 0");
	fake_say(&f, "SUCCESS: client-kill command succeeded\r\n");
	assert_true(run_until(e, &s.dones, 3, 1000));
	assert_int_equal(s.error, 0);

	/* The same place and time, another port: not this one. */
	assert_int_equal(mgmt_kill(m, "10.9.0.11", 51094, 1795362622, on_kill, &s), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	fake_say(&f, HEADER "\r\n" CLIENT "\r\nEND\r\n");
	assert_true(run_until(e, &s.dones, 4, 1000));
	assert_int_equal(s.error, -ENOENT);
	assert_int_equal(mgmt_kill(m, "localhost", 1, 1, on_kill, &s), -EINVAL);

	/* Many at once, each by its id, in order; one that nobody waits for among them. */
	assert_int_equal(mgmt_kill_cid(m, 0, NULL, NULL), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	fake_say(&f, "SUCCESS: client-kill command succeeded\r\n");
	for (uint64_t cid = 1; cid <= 500; cid++)
		assert_int_equal(mgmt_kill_cid(m, cid, on_kill, &s), 0);
	for (unsigned int cid = 1; cid <= 500; cid++) {
		char want[64];

		fake_hear(&f, e, buf, sizeof(buf));
		snprintf(want, sizeof(want), "client-kill %u", cid);
		assert_string_equal(buf, want);
		fake_say(&f, cid % 2 ? "SUCCESS: client-kill command succeeded\r\n"
				     : "ERROR: client-kill command failed\r\n");
		assert_true(run_until(e, &s.dones, 4 + cid, 1000));
		assert_int_equal(s.error, cid % 2 ? 0 : -ENOENT);
	}

	m = mgmt_free(m);
	assert_int_equal(s.downs, 0);
	sd_event_unref(e);
	fake_close(&f);
}

static void test_fake_lost(void **state)
{
	struct fake f;
	struct seen s = {};
	sd_event *e = NULL;
	struct mgmt *m = NULL;
	char buf[64];

	fake_open(&f);
	assert_true(sd_event_new(&e) >= 0);
	assert_int_equal(mgmt_new(e, f.path, &callbacks, &s, &m), 0);

	/* Not up yet: the question is answered, not forgotten, and not inside the call. */
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	assert_int_equal(s.dones, 0);
	assert_true(run_until(e, &s.dones, 1, 1000));
	assert_int_equal(s.error, -ENOTCONN);

	fake_accept(&f, e);
	fake_say(&f, "SUCCESS: pid=77\r\n");
	assert_true(run_until(e, &s.ups, 1, 1000));
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	assert_int_equal(mgmt_kill(m, "192.0.2.1", 1, 1, on_kill, &s), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	fake_say(&f, HEADER "\r\n" CLIENT "\r\n");
	close(TAKE_FD(f.fd));
	assert_true(run_until(e, &s.downs, 1, 1000));
	assert_int_equal(mgmt_kill_cid(m, 0, NULL, NULL), -ENOTCONN);
	assert_int_equal(s.dones, 3);
	assert_int_equal(s.error, -ENOTCONN);
	assert_int_equal(s.n, 0);

	/* It comes back by itself, with nothing left of the old connection. */
	fake_accept(&f, e);
	fake_say(&f, "SUCCESS: pid=78\r\n");
	assert_true(run_until(e, &s.ups, 2, 1000));
	assert_int_equal(s.pid, 78);

	/* To free it inside a callback is allowed; the rest of what came is not read. */
	s.free_in_done = &m;
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	assert_int_equal(mgmt_status(m, on_status, &(struct seen){}), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	fake_say(&f, HEADER "\r\n" CLIENT "\r\nEND\r\n" CLIENT "\r\nEND\r\n");
	assert_true(run_until(e, &s.dones, 4, 1000));
	assert_null(m);
	sd_event_unref(e);
	fake_close(&f);
}

/* An OpenVPN that does not answer is slow, not gone. */
static void test_fake_slow(void **state)
{
	struct fake f;
	struct seen s = {};
	sd_event *e = NULL;
	struct mgmt *m = NULL;
	char buf[64];

	fake_open(&f);
	assert_true(sd_event_new(&e) >= 0);
	assert_int_equal(mgmt_new(e, f.path, &callbacks, &s, &m), 0);
	fake_accept(&f, e);
	fake_say(&f, "SUCCESS: pid=77\r\n");
	assert_true(run_until(e, &s.ups, 1, 1000));
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	assert_true(run_until(e, &s.dones, 1, 7000));
	assert_int_equal(s.error, -ETIMEDOUT);
	assert_int_equal(s.downs, 0);
	/* The late answer belongs to the question that was given up. */
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	fake_say(&f, HEADER "\r\n" CLIENT "\r\nEND\r\n");
	fake_hear(&f, e, buf, sizeof(buf));
	assert_int_equal(s.dones, 1);
	fake_say(&f, HEADER "\r\nEND\r\n");
	assert_true(run_until(e, &s.dones, 2, 1000));
	assert_int_equal(s.error, 0);
	assert_int_equal(s.n, 0);
	/* To free it in the callback of one that is given up. */
	s.free_in_done = &m;
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	fake_hear(&f, e, buf, sizeof(buf));
	assert_true(run_until(e, &s.dones, 3, 7000));
	assert_int_equal(s.error, -ETIMEDOUT);
	assert_null(m);
	sd_event_unref(e);
	fake_close(&f);
}

/* --- a real OpenVPN --- */

static int run(const char *command)
{
	int r = system(command); // NOLINT(cert-env33-c): constants of this test

	return WIFEXITED(r) ? WEXITSTATUS(r) : -1;
}

/* A tls-server with a certificate of its own that no client ever meets. */
static pid_t openvpn_start(const char *dir)
{
	char conf[128];
	FILE *f;
	pid_t pid;

	snprintf(conf, sizeof(conf), "%s/server.conf", dir);
	f = fopen(conf, "we");
	assert_non_null(f);
	fprintf(f,
		"mode server\ntls-server\ndev sp-mgmt\ndev-type tap\nproto udp4\nport 1194\n"
		"local 127.0.0.1\nserver-bridge 10.50.0.1 255.255.255.0 10.50.0.100 10.50.0.150\n"
		"ca %s/crt\ncert %s/crt\nkey %s/key\ndh none\nkeepalive 2 8\n"
		"management %s/mgmt.sock unix\nverb 1\n",
		dir, dir, dir, dir);
	fclose(f);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char log[128];
		int fd;

		snprintf(log, sizeof(log), "%s/log", dir);
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		execlp("openvpn", "openvpn", "--config", conf, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_openvpn(void **state)
{
	char dir[] = "/tmp/sp-test-mgmt.XXXXXX", path[96], command[512];
	struct seen s = {};
	sd_event *e = NULL;
	struct mgmt *m = NULL;
	pid_t pid;

	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0)
		skip();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(run("ip link set lo up"), 0);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/mgmt.sock", dir);
	snprintf(command, sizeof(command),
		 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
		 "-subj /CN=sp-test -keyout %s/key -out %s/crt 2>/dev/null",
		 dir, dir);
	assert_int_equal(run(command), 0);

	assert_true(sd_event_new(&e) >= 0);
	assert_int_equal(mgmt_new(e, path, &callbacks, &s, &m), 0);
	assert_false(run_until(e, &s.ups, 1, 200)); /* nobody is there yet */

	pid = openvpn_start(dir);
	assert_true(run_until(e, &s.ups, 1, 10000));
	assert_int_equal(s.pid, pid);
	assert_int_equal(mgmt_status(m, on_status, &s), 0);
	assert_true(run_until(e, &s.dones, 1, 3000));
	assert_int_equal(s.error, 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(mgmt_kill(m, "192.0.2.1", 7, 7, on_kill, &s), 0);
	assert_true(run_until(e, &s.dones, 2, 3000));
	assert_int_equal(s.error, -ENOENT);

	/* kill -9 fires no hook: the socket's end is all there is. */
	end(pid);
	assert_true(run_until(e, &s.downs, 1, 1000));
	assert_int_equal(mgmt_pid(m), 0);

	pid = openvpn_start(dir);
	while (s.ups < 2 && access(path, F_OK) == 0 && !run_until(e, &s.ups, 2, 50))
		mgmt_poke(m);
	assert_true(run_until(e, &s.ups, 2, 10000));
	assert_int_equal(s.pid, pid);
	assert_int_equal(mgmt_skipped(m), 0);
	mgmt_free(m);
	end(pid);
	sd_event_unref(e);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(run(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fake_status),
		cmocka_unit_test(test_fake_lost),
		cmocka_unit_test(test_fake_slow),
		cmocka_unit_test(test_openvpn),
	};

	return cmocka_run_group_tests_name("mgmt", tests, NULL, NULL);
}
