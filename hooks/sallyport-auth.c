/* SPDX-License-Identifier: GPL-2.0-or-later */
/* auth-user-pass-verify via-file: may this user in? Answers at once "later", and later for good. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks/call.h"
#include "hooks/env.h"
#include "hooks/program.h"
#include "hooks/request.h"
#include "lib/cleanup.h"

#define EXIT_REJECT 1
#define EXIT_DEFERRED 2

extern char **environ;

/* The request of this login. The file is gone once OpenVPN's call returns: it is read before. */
static int build_request(const struct hook_args *args, json_t **ret)
{
	const char *const *envp = (const char *const *)environ;
	struct hook_login login = {0};
	char text[HOOK_LOGIN_SIZE + 1];
	const char *bad = "the file with user name and password";
	int r;

	r = login_read(args->rest[0], text, &login.username, &login.password);
	if (r == 0)
		r = env_login(envp, &login, &bad);
	if (r == 0)
		r = request_auth(args->instance, &login, ret);
	explicit_bzero(text, sizeof(text));
	if (r < 0)
		program_error("refused: invalid or missing", bad, r);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_request_ json_t *request = NULL;
	struct auth_answer answer;
	struct hook_args args;
	const char *control;
	const char *reason;
	int code;
	int r;

	if (!program_start(argc, argv, "FILE", EXIT_REJECT, &args, &code))
		return code;
	control = env_get((const char *const *)environ, "auth_control_file");
	reason = env_get((const char *const *)environ, "auth_failed_reason_file");
	if (args.rest_count != 1 || !control) {
		program_error("needs one file, and auth_control_file in its environment", NULL, 0);
		return EXIT_REJECT;
	}
	if (build_request(&args, &request) < 0)
		return EXIT_REJECT;
	r = program_background(-1);
	if (r < 0) {
		program_error("cannot go on in the background", NULL, r);
		return EXIT_REJECT;
	}
	if (r > 0)
		return EXIT_DEFERRED;
	call_auth(args.socket, request, NULL, &answer);
	return auth_publish(&answer, reason, control) < 0;
}
