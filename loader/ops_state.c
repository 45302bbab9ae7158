/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What operators ask of the running state: sessions, ports, counters, events. From memory and maps.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon.h"
#include "instance.h"
#include "machine/ops_machine.h"
#include "monitor.h"
#include "ops.h"
#include "session.h"
#include "views.h"
#include "workload.h"

static bool matches(const char *wanted, const char *value)
{
	return !wanted || strcmp(wanted, value) == 0;
}

/*
 * A list of what is live: which ones is noted at once, how each looks when its page is made. What
 * ended meanwhile is left out.
 */
struct snapshot {
	struct daemon *daemon;
	json_t *(*view)(struct daemon *d, uint64_t id); /* NULL: not there any more */
	size_t n, next;
	uint64_t ids[];
};

static char *snapshot_next(void *source)
{
	struct snapshot *s = source;
	char *text = NULL;

	while (!text && s->next < s->n) {
		json_t *item = s->view(s->daemon, s->ids[s->next++]);

		text = item ? json_dumps(item, JSON_COMPACT) : NULL;
		json_decref(item);
	}
	return text;
}

static struct snapshot *snapshot_new(struct daemon *d, size_t room,
				     json_t *(*view)(struct daemon *d, uint64_t id))
{
	struct snapshot *s = malloc(sizeof(*s) + room * sizeof(s->ids[0]));

	if (s)
		*s = (struct snapshot){.daemon = d, .view = view};
	return s;
}

static void finish(void *request, json_t *head, struct snapshot *s)
{
	if (s) {
		request_finish_items(request, head, snapshot_next, free, s);
		return;
	}
	json_decref(head);
	request_fail(request, -ENOMEM, NULL, "out of memory");
}

static json_t *session_item(struct daemon *d, uint64_t id)
{
	const struct session *s = session_find_id(d, id);

	return s ? view_session(d, s) : NULL;
}

void op_session_list(void *context, void *request, const json_t *args)
{
	const char *user = arg_string(args, "user", NULL),
		   *instance = arg_string(args, "instance", NULL);
	struct daemon *d = context;
	struct snapshot *list = snapshot_new(d, d->n_sessions, session_item);

	for (struct session *s = d->sessions_by_id; list && s; s = s->hh_id.next)
		if (matches(user, s->user) && matches(instance, s->instance->name))
			list->ids[list->n++] = s->id;
	finish(request, NULL, list);
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

static json_t *workload_item(struct daemon *d, uint64_t id)
{
	const struct workload *w = workload_find_id(d, (uint32_t)id);

	return w ? view_workload(d, w) : NULL;
}

void op_workload_list(void *context, void *request, const json_t *args)
{
	const char *user = arg_string(args, "user", NULL);
	struct daemon *d = context;
	struct snapshot *list = snapshot_new(d, HASH_CNT(hh, d->workloads), workload_item);

	for (struct workload *w = d->workloads; list && w; w = w->hh.next)
		if (matches(user, w->row.user))
			list->ids[list->n++] = w->id;
	finish(request, NULL, list);
}

static json_t *machine_item(struct daemon *d, uint64_t id)
{
	const struct machine *m = machine_find_id(d, (uint32_t)id);

	return m && !m->gone ? view_machine(m) : NULL;
}

void op_machine_list(void *context, void *request, const json_t *args)
{
	const char *user = arg_string(args, "user", NULL);
	struct daemon *d = context;
	struct snapshot *list = snapshot_new(d, HASH_CNT(hh_id, d->machines), machine_item);

	for (struct machine *m = d->machines; list && m; m = m->hh_id.next)
		if (matches(user, m->row.user))
			list->ids[list->n++] = m->id;
	finish(request, NULL, list);
}

void op_status(void *context, void *request, const json_t *args)
{
	request_finish(request, view_status(context));
}

/* Instances by their place in the list, the others by id: two bits say which. */
enum { PORT_INSTANCE = 0, PORT_WORKLOAD = 1, PORT_SESSION = 2, PORT_MACHINE = 3 };

static json_t *port_item(struct daemon *d, uint64_t tagged)
{
	uint64_t id = tagged >> 2;
	struct instance *i = d->instances;
	const struct workload *w;
	const struct machine *m;
	const struct session *s;

	switch (tagged & 3) {
	case PORT_INSTANCE:
		while (i && id--)
			i = i->next;
		return i && i->port ? view_instance_port(d, i) : NULL;
	case PORT_WORKLOAD:
		w = workload_find_id(d, (uint32_t)id);
		return w && w->up ? view_workload_port(d, w) : NULL;
	case PORT_MACHINE:
		m = machine_find_id(d, (uint32_t)id);
		return m && m->joined ? view_machine_port(d, m) : NULL;
	default:
		s = session_find_id(d, id);
		return s ? view_session_port(d, s) : NULL;
	}
}

void op_counters(void *context, void *request, const json_t *args)
{
	struct daemon *d = context;
	uint64_t place = 0;
	struct instance *i;
	struct snapshot *list;

	DL_COUNT(d->instances, i, place);
	list = snapshot_new(d,
			    place + HASH_CNT(hh, d->workloads) + HASH_CNT(hh_id, d->machines) +
				    d->n_sessions,
			    port_item);
	for (uint64_t n = 0; list && n < place; n++)
		list->ids[list->n++] = n << 2 | PORT_INSTANCE;
	for (struct workload *w = d->workloads; list && w; w = w->hh.next)
		list->ids[list->n++] = (uint64_t)w->id << 2 | PORT_WORKLOAD;
	for (struct machine *m = d->machines; list && m; m = m->hh_id.next)
		list->ids[list->n++] = (uint64_t)m->id << 2 | PORT_MACHINE;
	for (struct session *s = d->sessions_by_id; list && s; s = s->hh_id.next)
		list->ids[list->n++] = s->id << 2 | PORT_SESSION;
	finish(request, json_pack("{s:o}", "reasons", view_reasons(d)), list);
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
