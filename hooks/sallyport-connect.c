/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client-connect: which VLAN id and addresses does the session get? Deferred when that takes long.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "hooks/call.h"
#include "hooks/control_file.h"
#include "hooks/env.h"
#include "hooks/program.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"

extern char **environ;

static int build_request(const struct hook_args *args, json_t **ret)
{
	struct hook_session session;
	const char *bad = "session";
	int r;

	r = env_session((const char *const *)environ, &session, &bad);
	if (r == 0)
		r = request_connect(args->instance, &session, ret);
	if (r < 0)
		program_error("refused: invalid or missing", bad, r);
	return r;
}

/* The final answer came in time. */
static int answer_now(struct connect_call *c, const struct connect_answer *answer,
		      const char *config_file)
{
	int r;

	if (!answer->accept) {
		program_error("refused:", answer->reason, 0);
		return EXIT_FAILURE;
	}
	r = control_file_text(config_file, answer->config);
	if (r == 0)
		return EXIT_SUCCESS;
	program_error("cannot write", config_file, r);
	connect_undo(c);
	return EXIT_FAILURE;
}

/* OpenVPN goes on with its other clients; the child answers in the files. */
static int answer_later(struct connect_call *c, const char *config_file, const char *deferred_file)
{
	struct connect_answer answer = {0};
	bool cancelled;
	bool accept;
	int r;

	r = control_file_verdict(deferred_file, '2');
	if (r == 0)
		r = program_background(c->fd);
	if (r < 0) {
		program_error("cannot defer the answer", NULL, r);
		return EXIT_FAILURE;
	}
	if (r > 0)
		return EXIT_SUCCESS;
	c->wanted_file = deferred_file;
	r = connect_finish(c, &answer);
	accept = r == 0 && answer.accept;
	cancelled = r == -ECANCELED;
	r = control_file_answer(config_file, accept ? answer.config : NULL, deferred_file,
				accept ? '1' : '0');
	/* Nobody is there: neither for what was accepted, nor for what may be at this moment. */
	if (cancelled || (accept && r < 0))
		connect_undo(c);
	free(answer.config);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	uint64_t start = client_now_us();
	struct connect_call c = {.fd = -1, .give_up_us = start + SP_DEFER_MAX_MS * 1000ULL};
	_cleanup_request_ json_t *request = NULL;
	struct connect_answer answer = {0};
	const char *deferred_file;
	struct hook_args args;
	int code;
	int r;

	if (!program_start(argc, argv, "FILE", EXIT_FAILURE, &args, &code))
		return code;
	deferred_file = env_get((const char *const *)environ, "client_connect_deferred_file");
	if (args.rest_count != 1 || !deferred_file) {
		program_error("needs one file, and client_connect_deferred_file in its environment",
			      NULL, 0);
		return EXIT_FAILURE;
	}
	if (build_request(&args, &request) < 0)
		return EXIT_FAILURE;
	c.socket = args.socket;
	c.request = request;
	r = connect_begin(&c, &answer, start + CONNECT_WAIT_MS * 1000ULL);
	if (r == -EINPROGRESS)
		code = answer_later(&c, args.rest[0], deferred_file);
	else if (r == 0)
		code = answer_now(&c, &answer, args.rest[0]);
	else
		program_error("refused: the daemon's answer", NULL, r);
	free(answer.config);
	closep(&c.fd);
	return r < 0 && r != -EINPROGRESS ? EXIT_FAILURE : code;
}
