/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client-disconnect: tells the daemon that a session is over. OpenVPN ignores the exit code. */
#include <stdlib.h>

#include "hooks/call.h"
#include "hooks/env.h"
#include "hooks/program.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"

extern char **environ;

int main(int argc, char **argv)
{
	uint64_t deadline_us = client_now_us() + SP_HOOK_DEADLINE_MS * 1000ULL;
	const char *const *envp = (const char *const *)environ;
	_cleanup_request_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;
	struct hook_session session;
	const char *bad = "session";
	struct hook_args args;
	int code;
	int r;

	if (!program_start(argc, argv, "", EXIT_SUCCESS, &args, &code))
		return code;
	r = env_session(envp, &session, &bad);
	if (r == 0)
		r = request_disconnect(args.instance, &session, envp, &request);
	if (r < 0) {
		program_error("invalid or missing", bad, r);
		return EXIT_SUCCESS;
	}
	/* It waits for the answer so that what follows reaches the daemon after it. */
	r = call_once(args.socket, request, NULL, &reply, deadline_us);
	if (r < 0)
		program_error("the daemon was not told of the end of", session.common_name, r);
	return EXIT_SUCCESS;
}
