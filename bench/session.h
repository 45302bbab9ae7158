/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which session does a bench speak for, and to whom? The key of a real one, on the command line:
 * SOCKET INSTANCE COMMON-NAME IP PORT TIME PID VID.
 */
#ifndef SALLYPORT_BENCH_SESSION_H
#define SALLYPORT_BENCH_SESSION_H

#include "bench/bench.h"
#include "hooks/call.h"
#include "hooks/env.h"
#include "hooks/request.h"
#include "lib/client.h"

#define SESSION_ARGS 8

struct bench_session {
	const char *socket, *instance;
	struct hook_session key;
	uint16_t vid;
};

static inline void parse_session(struct bench_session *s, char **args)
{
	*s = (struct bench_session){
		.socket = args[0],
		.instance = args[1],
		.key = {.common_name = args[2],
			.trusted_ip = args[3],
			.trusted_port = (uint16_t)strtoul(args[4], NULL, 10),
			.time_unix = strtoll(args[5], NULL, 10),
			.daemon_pid = strtoll(args[6], NULL, 10)},
		.vid = (uint16_t)strtoul(args[7], NULL, 10),
	};
}

/* Ask as a hook program does, on a connection of its own: 1 allowed, 0 refused. */
static inline int ask_learn(const struct bench_session *s, const struct hook_learn *l)
{
	_cleanup_request_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;
	struct learn_answer answer;

	must(request_learn(s->instance, &s->key, l, &request), "request");
	must(call_once(s->socket, request, NULL, &reply,
		       client_now_us() + SP_HOOK_DEADLINE_MS * 1000ULL),
	     "hook-learn");
	must(reply_learn(reply, &answer), "reply to hook-learn");
	return answer.allow;
}

static inline void tell_forget(const struct bench_session *s, const struct hook_learn *l)
{
	_cleanup_request_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;

	must(request_forget(s->instance, l, client_now_us(), &request), "request");
	must(call_once(s->socket, request, NULL, &reply,
		       client_now_us() + SP_HOOK_DEADLINE_MS * 1000ULL),
	     "hook-forget");
}

#endif
