// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How does a daemon get very many users and bindings? Users through the store's own interface;
 * sessions and addresses through the control socket, as hooks would have brought them.
 *   bench_fill users STORE N
 *   bench_fill sessions SOCKET INSTANCE N PID
 */
#include <poll.h>

#include "bench/session.h"
#include "lib/mac.h"
#include "store/store.h"

#define WINDOW 32 /* requests under way, one connection each */

/* As long as a real one; nobody logs in with it. */
#define HASH "$y$j9T$................$..........................................."

static void user_name(char *ret, size_t size, uint32_t i)
{
	snprintf(ret, size, "user%06u", i);
}

static int fill_users(const char *path, uint32_t n)
{
	const struct store_options options = {.path = path, .timeout_ms = 10000};
	_cleanup_(store_closep) struct store *store = NULL;
	_cleanup_free_
	char *error = NULL;

	must(store_open(&options, &store, &error), error ? error : path);
	for (uint32_t i = 0; i < n; i++) {
		struct store_user user = {.hash = HASH};

		user_name(user.name, sizeof(user.name), i);
		must(store_user_add(store, &user), user.name);
	}
	return 0;
}

/* One session on its way: connect, then learn. */
struct job {
	int fd;
	uint32_t i;
	bool connected;
	bool busy;
};

struct load {
	const char *socket, *instance;
	uint32_t n, next, done;
	int64_t pid;
	int64_t time_unix;
	struct job jobs[WINDOW];
};

static void send_job(const struct load *load, struct job *j)
{
	_cleanup_request_ json_t *request = NULL;
	char name[SP_NAME_MAX], ip[32];
	struct hook_learn l = {.event = HOOK_ADD};
	struct hook_session s = {.common_name = name,
				 .username = name,
				 .trusted_ip = ip,
				 .trusted_port = 1194,
				 .time_unix = load->time_unix,
				 .daemon_pid = load->pid};
	uint64_t deadline = client_now_us() + SP_DEFER_MAX_MS * 1000ULL;

	user_name(name, sizeof(name), j->i);
	snprintf(ip, sizeof(ip), "10.%u.%u.%u", j->i >> 16 & 255, j->i >> 8 & 255, j->i & 255);
	bench_mac(l.mac, j->i);
	must(j->connected ? request_learn(load->instance, &s, &l, &request)
			  : request_connect(load->instance, &s, &request),
	     "request");
	must(request_stamp(request, 1, deadline), "request");
	must(client_send(j->fd, request, deadline), "send");
}

static void start_job(struct load *load, struct job *j)
{
	j->busy = load->next < load->n;
	if (!j->busy)
		return;
	j->i = load->next++;
	j->connected = false;
	send_job(load, j);
}

static void receive_job(struct load *load, struct job *j)
{
	_cleanup_json_ json_t *reply = NULL;
	const char *message = "";
	bool yes;

	must(client_receive(j->fd, &reply, client_now_us() + SP_DEFER_MAX_MS * 1000ULL), "receive");
	must(client_reply_error(reply, &message), message);
	if (json_is_true(json_object_get(reply, "pending")))
		return;
	yes = json_is_true(json_object_get(reply, j->connected ? "allow" : "accept"));
	if (!yes) {
		fprintf(stderr, "bench_fill: session %u refused: %s\n", j->i,
			json_string_value(json_object_get(reply, "reason")) ?: "");
		exit(1);
	}
	if (!j->connected) {
		j->connected = true;
		send_job(load, j);
		return;
	}
	load->done++;
	start_job(load, j);
}

static int fill_sessions(struct load *load)
{
	struct pollfd fds[WINDOW];

	load->time_unix = (int64_t)time(NULL);
	for (int k = 0; k < WINDOW; k++) {
		struct job *j = &load->jobs[k];

		j->fd = must(client_connect(load->socket, client_now_us() + 5000000), "connect");
		fds[k] = (struct pollfd){.fd = j->fd, .events = POLLIN};
		start_job(load, j);
	}
	while (load->done < load->n) {
		must(poll(fds, WINDOW, SP_DEFER_MAX_MS) > 0 ? 0 : -ETIMEDOUT, "poll");
		for (int k = 0; k < WINDOW; k++)
			if (fds[k].revents && load->jobs[k].busy)
				receive_job(load, &load->jobs[k]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct load load;

	if (argc == 4 && strcmp(argv[1], "users") == 0)
		return fill_users(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
	if (argc != 6 || strcmp(argv[1], "sessions") != 0)
		return 2;
	load.socket = argv[2];
	load.instance = argv[3];
	load.n = (uint32_t)strtoul(argv[4], NULL, 10);
	load.pid = strtoll(argv[5], NULL, 10);
	return fill_sessions(&load);
}
