/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does a machine's firewall say, and what has each rule counted? */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "ops.h"
#include "ops_machine.h"
#include "policy/policy.h"
#include "rules_apply.h"

#define PIECE 8192 /* bytes of a text in one item of the answer */

struct show {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	bool counters;
	uint32_t port; /* where it is in force */
	bool has_port; /* 0 is the default's */
	char *text;
	json_t *head, *items;
	int r;
	char error[RULES_ERROR_MAX];
};

static void show_free(struct show *s)
{
	free(s->text);
	json_decref(s->head);
	json_decref(s->items);
	free(s);
}

/* A text in pieces that are text, too: cut between characters. */
static int add_text(struct show *s)
{
	const char *text = s->text;

	for (size_t left = strlen(text), n; left; text += n, left -= n) {
		n = left < PIECE ? left : PIECE;
		while (n < left && n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
		if (json_array_append_new(s->items,
					  json_pack("{s:o}", "text", json_stringn(text, n))) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void set_counts(json_t *item, const struct sp_rule_counter *c)
{
	json_object_set_new(item, "packets", json_integer((json_int_t)c->packets));
	json_object_set_new(item, "bytes", json_integer((json_int_t)c->bytes));
}

static int add_rule(struct show *s, const struct policy *p, size_t i,
		    const struct sp_rule_counter *count)
{
	_cleanup_free_
	char *text = policy_print_rule(p, &p->rules[i]);
	json_t *item = text ? json_pack("{s:I, s:I, s:s}", "rule", (json_int_t)i + 1, "line",
					(json_int_t)p->rules[i].line, "says", text)
			    : NULL;

	if (item && count)
		set_counts(item, count);
	return item && json_array_append_new(s->items, item) == 0 ? 0 : -ENOMEM;
}

static int add_default(struct show *s, const struct policy *p, unsigned int direction,
		       const struct sp_rule_counter *count)
{
	const char *action = p->fallback[direction] == SP_SEGMENT
				     ? "segment"
				     : policy_action_name(p->fallback[direction]);
	char text[64];
	json_t *item;

	snprintf(text, sizeof(text), "default %s %s%s", policy_direction_name(direction), action,
		 p->fallback_log[direction] ? " log" : "");
	item = json_pack("{s:i, s:s}", "rule", 0, "says", text);
	if (item && count)
		set_counts(item, count);
	return item && json_array_append_new(s->items, item) == 0 ? 0 : -ENOMEM;
}

/* Counts of what is in force, if that is this text. */
static bool read_counts(struct show *s, const struct policy *p, struct sp_rule_counter *counts,
			struct sp_rule_counter defaults[_SP_DIRECTIONS])
{
	struct sp_head head;

	return s->has_port && dataplane_policy_head(s->daemon->dp, s->port, &head) == 0 &&
	       head.digest == policy_digest(s->text, strlen(s->text)) &&
	       dataplane_policy_counts(s->daemon->dp, s->port, counts, p->n_rules, defaults) ==
		       (int)p->n_rules;
}

static int add_rules(struct show *s)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	_cleanup_free_
	struct sp_rule_counter *counts = NULL;
	struct sp_rule_counter defaults[_SP_DIRECTIONS];
	int r = rules_parse(s->text, &p, s->error);
	bool counted;

	if (r < 0)
		return r;
	counts = calloc(p->n_rules + 1, sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	counted = read_counts(s, p, counts, defaults);
	for (size_t i = 0; r == 0 && i < p->n_rules; i++)
		r = add_rule(s, p, i, counted ? &counts[i] : NULL);
	for (unsigned int d = 0; r == 0 && d < _SP_DIRECTIONS; d++)
		r = add_default(s, p, d, counted ? &defaults[d] : NULL);
	return r;
}

static void show_run(struct job *job, struct store *store)
{
	struct show *s = (struct show *)job;

	s->r = add_text(s);
	if (s->r == 0 && s->counters)
		s->r = add_rules(s);
	if (s->r < 0 && !s->error[0])
		snprintf(s->error, sizeof(s->error), "%s", strerror(-s->r));
}

static void show_done(struct job *job)
{
	struct show *s = (struct show *)job;

	if (s->r < 0)
		request_fail(s->request, s->r, NULL, "policy-show: %s", s->error);
	else
		request_finish_list(s->request, TAKE_PTR(s->head), TAKE_PTR(s->items));
	show_free(s);
}

static json_t *head_of(const struct machine *m)
{
	const struct machine_rules *x = &m->rules;
	json_t *head =
		json_pack("{s:s, s:s, s:I, s:b, s:b}", "user", m->row.user, "name", m->row.name,
			  "generation", (json_int_t)x->generation, "default", x->text == NULL,
			  "in_force", x->in_force && x->applied == x->generation);

	if (head && x->trouble)
		json_object_set_new(head, "trouble", json_string(x->trouble));
	return head;
}

void op_policy_show(void *context, void *request, const json_t *args)
{
	bool one = arg_string(args, "user", NULL) || arg_string(args, "name", NULL);
	struct machine *m = one ? machine_of(context, request, args) : NULL;
	struct daemon *d = context;
	struct show *s;
	int r = -ENOMEM;

	if (one && !m)
		return;
	s = calloc(1, sizeof(*s));
	if (s) {
		bool own = m && m->rules.text;

		*s = (struct show){.job = {show_run, show_done, NULL},
				   .daemon = d,
				   .request = request,
				   .counters = arg_bool(args, "counters", false),
				   .port = own ? m->member.dst.port : DATAPLANE_DEFAULT_POLICY,
				   .has_port = !own || m->rules.in_force,
				   .text = strdup(own ? m->rules.text : rules_default(d)),
				   .head = m ? head_of(m)
					     : json_pack("{s:b, s:b}", "default", 1, "in_force",
							 !d->default_busy),
				   .items = json_array()};
		if (s->text && s->head && s->items)
			r = workers_submit(d->workers, WORKER_CPU, &s->job);
	}
	if (r == 0)
		return;
	if (s)
		show_free(s);
	request_fail(request, r, NULL, "policy-show: %s", strerror(-r));
}
