/* SPDX-License-Identifier: GPL-2.0-or-later */
/* learn-address: may this session send with this MAC? Anything but the daemon's yes is a no (I4).
 */
#include <stdlib.h>

#include "hooks/call.h"
#include "hooks/env.h"
#include "hooks/program.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"

extern char **environ;

static int build_request(const struct hook_args *args, const struct hook_learn *learn,
			 uint64_t start_us, json_t **ret)
{
	struct hook_session session;
	const char *bad = "session";
	int r;

	if (learn->event == HOOK_DELETE) /* comes without any session in the environment */
		return request_forget(args->instance, learn, start_us, ret);
	r = env_session((const char *const *)environ, &session, &bad);
	if (r == 0)
		r = request_learn(args->instance, &session, learn, ret);
	if (r < 0)
		program_error("refused: invalid or missing", bad, r);
	return r;
}

int main(int argc, char **argv)
{
	uint64_t start_us = client_now_us();
	_cleanup_request_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;
	struct learn_answer answer = {0};
	struct hook_learn learn;
	struct hook_args args;
	const char *bad = "";
	int code;
	int r;

	if (!program_start(argc, argv, "add|update|delete MAC@VID [NAME]", EXIT_FAILURE, &args,
			   &code))
		return code;
	r = args_learn(args.rest_count, args.rest, &learn, &bad);
	if (r < 0) {
		program_error("refused: invalid or missing", bad, r);
		return EXIT_FAILURE;
	}
	if (build_request(&args, &learn, start_us, &request) < 0)
		return EXIT_FAILURE;
	r = call_once(args.socket, request, NULL, &reply, start_us + SP_HOOK_DEADLINE_MS * 1000ULL);
	if (r == 0 && learn.event == HOOK_DELETE)
		return EXIT_SUCCESS;
	if (r == 0)
		r = reply_learn(reply, &answer);
	if (r < 0 || !answer.allow) {
		program_error("refused", args.rest[1], r);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
