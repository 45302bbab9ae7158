/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What operators ask of flows: list, count, end. The tables of the segments are gone through one
 * after the other on a worker, a table or a few for each turn; a list is answered a few tables at a
 * time, and the caller asks for what is next: the daemon holds no more than one table of it.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "flow_filter.h"
#include "lib/cleanup.h"
#include "machine.h"
#include "ops.h"
#include "ops_machine.h"
#include "slots.h"

#define TABLES_A_TURN 64
#define KILL_TRIES 16

enum walk_kind { WALK_LIST, WALK_COUNT, WALK_KILL };

struct walk {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	enum walk_kind kind;
	struct flow_filter filter;
	bool filtered;
	uint32_t only; /* this slot; 0: all */
	char object[2 * SP_NAME_MAX];
	uint32_t slot, table; /* what is next */
	bool over;
	int r;
	/* What was found. */
	struct flow_found *found;
	size_t n, room, next;
	uint64_t total, ended, busy;
	uint64_t by_state[_SP_FLOW_STATES], by_proto[UINT8_MAX + 1];
};

static void walk_free(void *source)
{
	struct walk *w = source;

	free(w->found);
	free(w);
}

/* --- on the worker --- */

static int keep(struct walk *w, const struct flow_found *f)
{
	if (w->n == w->room) {
		size_t room = w->room ? 2 * w->room : 256;
		struct flow_found *grown = reallocarray(w->found, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		w->found = grown;
		w->room = room;
	}
	w->found[w->n++] = *f;
	return 0;
}

static int on_flow(const struct dataplane_flow *f, void *arg)
{
	struct walk *w = arg;
	struct flow_found found;

	if (!flow_matches(&w->filter, f) || !flow_look(w->daemon->dp, f, &found))
		return 0;
	w->total++;
	w->by_proto[f->proto]++;
	if ((f->flow.word & SP_FLOW_STATE) < _SP_FLOW_STATES)
		w->by_state[f->flow.word & SP_FLOW_STATE]++;
	return w->kind == WALK_COUNT ? 0 : keep(w, &found);
}

/* A packet of it is judged at the moment: that is over soon. */
static void end_found(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++) {
		int r = -EBUSY;

		for (int n = 0; r == -EBUSY && n < KILL_TRIES; n++) {
			if (n)
				sched_yield();
			r = dataplane_flow_end(w->daemon->dp, &w->found[i].f);
		}
		w->ended += r == 0;
		w->busy += r == -EBUSY;
		if (r < 0 && r != -EBUSY && r != -ENOENT)
			w->r = r;
	}
	w->n = 0;
}

/* To the first table of the next slot that there is. */
static void next_slot(struct walk *w)
{
	struct sp_slot row;

	w->table = 0;
	do {
		if (w->only && w->slot >= w->only) {
			w->over = true;
			return;
		}
		w->slot++;
		if (dataplane_slot_get(w->daemon->dp, w->slot, &row) < 0) {
			w->over = true;
			return;
		}
	} while (!row.used);
}

static void walk_run(struct job *job, struct store *store)
{
	struct walk *w = (struct walk *)job;

	if (w->slot == 0) {
		w->slot = w->only ? w->only - 1 : 0;
		next_slot(w);
	}
	for (int i = 0; i < TABLES_A_TURN && !w->over && w->r == 0; i++) {
		int r = dataplane_each_flow(w->daemon->dp, w->slot, w->table, on_flow, w);

		if (r == 0)
			w->table++;
		else if (r == -ENOENT)
			next_slot(w);
		else
			w->r = r;
		if (w->kind == WALK_KILL)
			end_found(w);
		if (w->kind == WALK_LIST && w->n > 0)
			return;
	}
}

/* --- answers --- */

static json_t *label_at(struct daemon *d, const struct dataplane_flow *f, unsigned int end)
{
	const struct machine *m = machine_find_port(d, flow_port_at(f, end));

	return m ? json_string(m->row.name) : json_null();
}

static char *next_text(void *source)
{
	struct walk *w = source;
	const struct flow_found *found;
	const struct machine *m;
	unsigned int from;
	json_t *item;
	char *text;

	if (w->next >= w->n)
		return NULL;
	found = &w->found[w->next++];
	from = flow_originator(&found->f);
	item = flow_view(found);
	m = machine_find_port(w->daemon, flow_port_at(&found->f, 0));
	m = m ? m : machine_find_port(w->daemon, flow_port_at(&found->f, 1));
	json_object_set_new(item, "user", m ? json_string(m->row.user) : json_null());
	json_object_set_new(item, "from_machine", label_at(w->daemon, &found->f, from));
	json_object_set_new(item, "to_machine", label_at(w->daemon, &found->f, !from));
	text = json_dumps(item, JSON_COMPACT);
	json_decref(item);
	return text;
}

static void answer_list(struct walk *w)
{
	json_t *head = w->over ? NULL
			       : json_pack("{s:{s:I, s:I}}", "next", "slot", (json_int_t)w->slot,
					   "table", (json_int_t)w->table);

	request_finish_items(w->request, head, next_text, walk_free, w);
}

static json_t *counts(const struct walk *w)
{
	json_t *states = json_object(), *protos = json_object();
	char buf[4];

	for (unsigned int i = 0; i < _SP_FLOW_STATES; i++)
		if (w->by_state[i])
			json_object_set_new(states, flow_state_name(i),
					    json_integer((json_int_t)w->by_state[i]));
	for (unsigned int i = 0; i <= UINT8_MAX; i++)
		if (w->by_proto[i])
			json_object_set_new(protos, flow_proto_name((uint8_t)i, buf),
					    json_integer((json_int_t)w->by_proto[i]));
	return json_pack("{s:I, s:o, s:o}", "flows", (json_int_t)w->total, "states", states,
			 "protocols", protos);
}

/* What its segment's row, or all rows, say beside. */
static void add_slots(const struct walk *w, json_t *reply)
{
	struct slots_sum s;
	struct sp_slot row;

	slots_sum(w->daemon, &s);
	if (w->only && dataplane_slot_get(w->daemon->dp, w->only, &row) == 0)
		s = (struct slots_sum){.flows_max = row.flows_max,
				       .flows = row.flows,
				       .opened = row.opened,
				       .expired = row.expired,
				       .full = row.full,
				       .over_rate = row.over_rate};
	json_object_update_new(
		reply, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "in_use", (json_int_t)s.flows,
				 "max", (json_int_t)s.flows_max, "opened", (json_int_t)s.opened,
				 "expired", (json_int_t)s.expired, "refused_full",
				 (json_int_t)s.full, "refused_rate", (json_int_t)s.over_rate));
}

static void answer_count(struct walk *w)
{
	json_t *reply = counts(w);

	if (!w->filtered && !w->filter.machine)
		add_slots(w, reply);
	request_finish(w->request, reply);
	walk_free(w);
}

static void answer_kill(struct walk *w)
{
	char detail[64];

	snprintf(detail, sizeof(detail), "%llu flows ended", (unsigned long long)w->ended);
	daemon_audit(w->daemon, request_uid(w->request), "flow-kill", w->object, detail);
	request_finish(w->request, json_pack("{s:I, s:I}", "ended", (json_int_t)w->ended, "busy",
					     (json_int_t)w->busy));
	walk_free(w);
}

static void go_on(struct walk *w);

static void walk_done(struct job *job)
{
	struct walk *w = (struct walk *)job;
	bool more = !w->over && !request_is_gone(w->request);

	if (w->r < 0) {
		request_fail(w->request, w->r, NULL, "flows cannot be read: %s", strerror(-w->r));
		walk_free(w);
	} else if (w->kind == WALK_LIST ? w->n == 0 && more : more) {
		go_on(w);
	} else if (w->kind == WALK_LIST) {
		answer_list(w);
	} else if (w->kind == WALK_COUNT) {
		answer_count(w);
	} else {
		answer_kill(w);
	}
}

static void go_on(struct walk *w)
{
	int r;

	w->job = (struct job){.run = walk_run, .done = walk_done};
	r = workers_submit(w->daemon->workers, WORKER_CPU, &w->job);
	if (r == 0)
		return;
	request_fail(w->request, r, NULL, "too much to do; try again");
	walk_free(w);
}

/* --- requests --- */

/* A user who has no machine with a port here has no flows here. */
static bool take_user(struct walk *w, const json_t *args)
{
	const char *user = arg_string(args, "user", NULL),
		   *name = arg_string(args, "machine", NULL);
	const struct machine *any = NULL;
	struct slot *s;

	if (!user) {
		if (name)
			request_fail(w->request, -EINVAL, "machine",
				     "machine: expected with user, whose it is");
		return !name;
	}
	snprintf(w->object, sizeof(w->object), "%s%s%s", user, name ? "/" : "", name ? name : "");
	for (struct machine *m = w->daemon->machines; m && !any; m = m->hh_id.next)
		if (!m->gone && strcmp(m->row.user, user) == 0 &&
		    (!name || strcmp(m->row.name, name) == 0))
			any = m;
	if (!any) {
		request_fail(w->request, -ENOENT, name ? "machine" : "user",
			     "%s: there is no such machine on this host", w->object);
		return false;
	}
	s = slot_find(w->daemon, any->row.segment);
	w->only = s ? s->index : 0;
	w->filter.machine = name ? any->member.dst.port : 0;
	w->over = !s || (name && !any->number);
	return true;
}

static bool take(struct walk *w, const json_t *args)
{
	const char *field = NULL, *expected = NULL;
	bool given;

	if (!take_user(w, args))
		return false;
	if (flow_filter_take(args, &w->filter, &given, &field, &expected) < 0) {
		request_fail(w->request, -EINVAL, field, "%s: '%.64s': %s", field,
			     arg_string(args, field, "not a number that it can be"), expected);
		return false;
	}
	w->filtered = given;
	/* Where the page of before ended; a user's are all in one slot. */
	w->slot = (uint32_t)arg_int(args, "slot", 0);
	if (w->only && w->slot)
		w->slot = w->only;
	w->table = (uint32_t)arg_int(args, "table", 0);
	return true;
}

static void begin(struct daemon *d, struct request *request, const json_t *args,
		  enum walk_kind kind)
{
	struct walk *w = calloc(1, sizeof(*w));

	if (!w) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	w->daemon = d;
	w->request = request;
	w->kind = kind;
	snprintf(w->object, sizeof(w->object), "all");
	if (!take(w, args)) {
		walk_free(w);
		return;
	}
	if (kind == WALK_KILL && !w->filtered && !arg_string(args, "user", NULL) &&
	    !arg_bool(args, "all", false)) {
		request_fail(request, -EINVAL, "all",
			     "flow-kill: expected which flows: a user, a filter, or all");
		walk_free(w);
		return;
	}
	go_on(w);
}

void op_flow_list(void *context, void *request, const json_t *args)
{
	begin(context, request, args, WALK_LIST);
}

void op_flow_count(void *context, void *request, const json_t *args)
{
	begin(context, request, args, WALK_COUNT);
}

void op_flow_kill(void *context, void *request, const json_t *args)
{
	begin(context, request, args, WALK_KILL);
}
