/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does anything that OpenVPN or the daemon could hand to a hook break it? The input is a list of
 * texts ended by NUL: the environment up to the first empty one, then the arguments. The whole of
 * it is also read as a file with a login, and as the daemon's reply.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/env.h"
#include "hooks/reply.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/mac.h"

#define LIST_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What got past the checks holds no control character and is bounded. */
static void check(const char *s, size_t max)
{
	if (!s)
		return;
	if (strlen(s) == 0 || strlen(s) >= max)
		abort();
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ')
			abort();
}

/* The request holds exactly what was read: no key comes from a client. */
static void try_requests(const struct hook_session *s, const struct hook_learn *l,
			 const char *const *envp)
{
	_cleanup_request_ json_t *connect = NULL;
	_cleanup_request_ json_t *undo = NULL;
	_cleanup_request_ json_t *disconnect = NULL;
	_cleanup_request_ json_t *learn = NULL;

	if (request_connect("blue", s, &connect) == 0) {
		if (strcmp(json_string_value(json_object_get(connect, "common_name")),
			   s->common_name) != 0 ||
		    json_object_size(connect) != 9)
			abort();
		if (request_undo(connect, &undo) < 0 || json_object_size(undo) != 8)
			abort();
	}
	(void)request_disconnect("blue", s, envp, &disconnect);
	if (l && l->event != HOOK_DELETE)
		(void)request_learn("blue", s, l, &learn);
}

static void try_environment(const char *const *envp, const struct hook_learn *l)
{
	_cleanup_request_ json_t *request = NULL;
	struct hook_login login = {.username = "alice", .password = "secret"};
	struct hook_session s = {0};
	const char *bad = NULL;

	if (env_session(envp, &s, &bad) == 0) {
		check(s.common_name, SP_CN_MAX);
		check(s.username, SP_NAME_MAX);
		check(s.trusted_ip, SP_ADDR_STRLEN);
		if (s.daemon_pid < 1 || s.time_unix < 0)
			abort();
		try_requests(&s, l, envp);
	} else if (!bad) {
		abort();
	}
	if (env_login(envp, &login, &bad) == 0) {
		check(login.common_name, SP_CN_MAX);
		(void)request_auth("blue", &login, &request);
	}
}

static void try_login(const uint8_t *data, size_t size)
{
	_cleanup_free_
	char *text = malloc(size + 1);
	const char *username;
	const char *password;

	if (!text)
		return;
	memcpy(text, data, size);
	if (login_parse(text, size, &username, &password) < 0)
		return;
	check(username, SP_NAME_MAX);
	if (strlen(password) >= SP_PASSWORD_MAX || strchr(password, '\n'))
		abort();
}

static void try_reply(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *reply =
		json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct connect_answer connect = {0};
	struct learn_answer learn;
	struct auth_answer auth;

	if (!reply)
		return;
	if (reply_auth(reply, &auth) == 0)
		check(auth.reason, REASON_MAX);
	(void)reply_learn(reply, &learn);
	if (reply_connect(reply, &connect) == 0 && connect.accept) {
		if (client_config_check(connect.config) < 0 || strstr(connect.config, "\n\n"))
			abort();
	}
	free(connect.config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_
	char *text = malloc(size + 1);
	const char *env[LIST_MAX + 1] = {NULL};
	const char *args[LIST_MAX + 1] = {NULL};
	struct hook_args parsed = {0};
	struct hook_learn learn;
	const char *bad = NULL;
	size_t at = 0;
	int count = 0;
	bool learned;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t n = 0; at < size && text[at] != '\0' && n < LIST_MAX; n++) {
		env[n] = text + at;
		at += strlen(text + at) + 1;
	}
	for (at++; at < size && count < LIST_MAX; at += strlen(text + at) + 1)
		args[count++] = text + at;
	if (args_parse(count, args, &parsed, &bad) == 0 && parsed.instance && !parsed.help &&
	    !parsed.version)
		check(parsed.instance, SP_INSTANCE_MAX);
	learned = args_learn(parsed.rest_count, parsed.rest, &learn, &bad) == 0;
	try_environment(env, learned ? &learn : NULL);
	try_login(data, size);
	try_reply(data, size);
	return 0;
}
