/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What operators ask of the running state: sessions, ports, counters, events. From memory and maps.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "instance.h"
#include "monitor.h"
#include "ops.h"
#include "session.h"
#include "views.h"
#include "workload.h"

static bool matches(const char *wanted, const char *value)
{
	return !wanted || strcmp(wanted, value) == 0;
}

void op_session_list(void *context, void *request, const json_t *args)
{
	const char *user = arg_string(args, "user", NULL),
		   *instance = arg_string(args, "instance", NULL);
	struct daemon *d = context;
	json_t *items = json_array();

	for (struct session *s = d->sessions_by_id; s; s = s->hh_id.next)
		if (matches(user, s->user) && matches(instance, s->instance->name))
			json_array_append_new(items, view_session(d, s));
	request_finish_list(request, NULL, items);
}

void op_session_kill(void *context, void *request, const json_t *args)
{
	uint64_t id = (uint64_t)arg_int(args, "session", 0);
	struct daemon *d = context;
	struct session *s = session_find_id(d, id);
	char object[24];

	if (!s) {
		request_fail(request, -ENOENT, "session", "session: %llu: not live",
			     (unsigned long long)id);
		return;
	}
	snprintf(object, sizeof(object), "%llu", (unsigned long long)id);
	daemon_audit(d, request_uid(request), "session-kill", object, s->user);
	if (s->instance->mgmt)
		mgmt_kill(s->instance->mgmt, s->key.ip, s->key.port, s->key.time_unix, NULL, NULL);
	session_end(s, "killed by an operator");
	request_finish(request, NULL);
}

void op_workload_list(void *context, void *request, const json_t *args)
{
	const char *user = arg_string(args, "user", NULL);
	struct daemon *d = context;
	json_t *items = json_array();

	for (struct workload *w = d->workloads; w; w = w->hh.next)
		if (matches(user, w->row.user))
			json_array_append_new(items, view_workload(d, w));
	request_finish_list(request, NULL, items);
}

void op_status(void *context, void *request, const json_t *args)
{
	request_finish(request, view_status(context));
}

void op_counters(void *context, void *request, const json_t *args)
{
	request_finish_list(request, json_pack("{s:o}", "reasons", view_reasons(context)),
			    view_ports(context));
}

void op_monitor(void *context, void *request, const json_t *args)
{
	int r = monitor_subscribe(context, request, arg_bool(args, "drops", true),
				  arg_bool(args, "changes", true));

	if (r < 0)
		request_fail(request, r, NULL, "%s", strerror(-r));
}

static void on_reloaded(int error, void *request)
{
	if (error < 0)
		request_fail(request, error, NULL,
			     "the configuration is not fit, and the old one stays: the "
			     "daemon's log has each mistake");
	else
		request_finish(request, NULL);
}

void op_reload(void *context, void *request, const json_t *args)
{
	daemon_audit(context, request_uid(request), "reload", "", NULL);
	daemon_reload(context, on_reloaded, request);
}

void op_version(void *context, void *request, const json_t *args)
{
	request_finish(request,
		       json_pack("{s:s, s:i}", "version", SP_VERSION, "abi", SP_ABI_VERSION));
}
