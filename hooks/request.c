/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What exactly is the daemon asked? */
#include "hooks/request.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/mac.h"

static const char *const event_names[] = {
	[HOOK_ADD] = "add", [HOOK_UPDATE] = "update", [HOOK_DELETE] = "delete"};

/* What json_pack made of texts that may not be UTF-8. */
static int packed(json_t *request, json_t **ret)
{
	if (!request)
		return -EINVAL;
	*ret = request;
	return 0;
}

int request_auth(const char *instance, const struct hook_login *login, json_t **ret)
{
	json_t *port = login->untrusted_port ? json_integer(login->untrusted_port) : NULL;

	return packed(json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:s*, s:o*}", "v", 1, "op",
				"hook-auth", "instance", instance, "username", login->username,
				"password", login->password, "common_name", login->common_name,
				"daemon_pid", (json_int_t)login->daemon_pid, "untrusted_ip",
				login->untrusted_ip, "untrusted_port", port),
		      ret);
}

static json_t *with_session(const char *op, const char *instance, const struct hook_session *s)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:I, s:I}", "v", 1, "op", op, "instance",
			 instance, "common_name", s->common_name, "trusted_ip", s->trusted_ip,
			 "trusted_port", (int)s->trusted_port, "time_unix",
			 (json_int_t)s->time_unix, "daemon_pid", (json_int_t)s->daemon_pid);
}

int request_connect(const char *instance, const struct hook_session *s, json_t **ret)
{
	_cleanup_json_ json_t *request = with_session("hook-connect", instance, s);

	/* Without user names in use, the certificate's name is the user's. */
	if (!request || json_object_set_new(request, "username",
					    json_string(s->username ?: s->common_name)) < 0)
		return -EINVAL;
	return packed(TAKE_PTR(request), ret);
}

int request_disconnect(const char *instance, const struct hook_session *s, const char *const *envp,
		       json_t **ret)
{
	static const struct {
		const char *variable;
		const char *argument;
	} optional[] = {{"bytes_received", "bytes_received"},
			{"bytes_sent", "bytes_sent"},
			{"time_duration", "duration"}};
	_cleanup_json_ json_t *request = with_session("hook-disconnect", instance, s);

	if (!request)
		return -EINVAL;
	for (size_t i = 0; i < SP_ARRAY_SIZE(optional); i++) {
		int64_t n;

		if (env_number(envp, optional[i].variable, 0, INT64_MAX, &n) == 0 &&
		    json_object_set_new(request, optional[i].argument, json_integer(n)) < 0)
			return -ENOMEM;
	}
	return packed(TAKE_PTR(request), ret);
}

int request_undo(const json_t *connect, json_t **ret)
{
	_cleanup_json_ json_t *request = json_copy((json_t *)connect);

	if (!request || json_object_set_new(request, "op", json_string("hook-disconnect")) < 0)
		return -ENOMEM;
	json_object_del(request, "username");
	return packed(TAKE_PTR(request), ret);
}

int request_learn(const char *instance, const struct hook_session *s, const struct hook_learn *l,
		  json_t **ret)
{
	_cleanup_json_ json_t *request = with_session("hook-learn", instance, s);
	char mac[MAC_STRLEN];

	if (!request ||
	    json_object_set_new(request, "event", json_string(event_names[l->event])) < 0 ||
	    json_object_set_new(request, "mac", json_string(mac_format(l->mac, mac))) < 0 ||
	    json_object_set_new(request, "vid", json_integer(l->vid)) < 0)
		return -EINVAL;
	return packed(TAKE_PTR(request), ret);
}

int request_forget(const char *instance, const struct hook_learn *l, uint64_t time_us, json_t **ret)
{
	char mac[MAC_STRLEN];

	return packed(json_pack("{s:i, s:s, s:s, s:s, s:i, s:I}", "v", 1, "op", "hook-forget",
				"instance", instance, "mac", mac_format(l->mac, mac), "vid",
				(int)l->vid, "time_us", (json_int_t)time_us),
		      ret);
}

int request_stamp(json_t *request, uint64_t id, uint64_t deadline_us)
{
	if (json_object_set_new(request, "id", json_integer((json_int_t)id)) < 0 ||
	    json_object_set_new(request, "deadline_us", json_integer((json_int_t)deadline_us)) < 0)
		return -ENOMEM;
	return 0;
}

void request_free(json_t **request)
{
	const json_t *password = json_object_get(*request, "password");

	/* jansson frees its strings as they are. */
	if (json_is_string(password))
		explicit_bzero((char *)json_string_value(password), json_string_length(password));
	json_decref(*request);
	*request = NULL;
}
