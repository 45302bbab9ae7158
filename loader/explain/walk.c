// SPDX-License-Identifier: GPL-2.0-or-later
/* How is a frame's way told? */
#include "explain/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane.h"
#include "explain/place.h"
#include "lib/cleanup.h"
#include "machine/rules_apply.h"
#include "policy/policy.h"

#define SENTENCE_MAX 512
#define RULE_MAX 200

/* Indexed by enum sp_step_kind. */
static const char *const names[] = {
	[SP_STEP_GUARD] = "guard",   [SP_STEP_BOUND] = "binding", [SP_STEP_TO] = "destination",
	[SP_STEP_GROUP] = "group",   [SP_STEP_FLOW] = "flow",	  [SP_STEP_FRESH] = "flow",
	[SP_STEP_POLICY] = "policy", [SP_STEP_RELATED] = "flow",  [SP_STEP_FRAGMENT] = "fragment",
	[SP_STEP_COPY] = "copy",     [SP_STEP_ANSWER] = "answer", [SP_STEP_PARK] = "wait",
	[SP_STEP_REJECT] = "reject", [SP_STEP_SEND] = "send",	  [SP_STEP_DROP] = "drop",
};

static const struct sp_step *find(const struct sp_walk *w, enum sp_step_kind kind)
{
	for (uint32_t i = 0; i < w->n && i < SP_STEPS; i++)
		if (w->step[i].kind == kind)
			return &w->step[i];
	return NULL;
}

static const char *verdict_of(const struct sp_walk *w)
{
	if (find(w, SP_STEP_DROP))
		return "dropped";
	if (find(w, SP_STEP_ANSWER))
		return "answered";
	if (find(w, SP_STEP_PARK))
		return "waits";
	return find(w, SP_STEP_COPY) ? "copied" : "passes";
}

static const char *flow_state(uint8_t state)
{
	static const char *const states[_SP_FLOW_STATES] = {
		[SP_FLOW_NONE] = "over",	   [SP_FLOW_SYN_SENT] = "SYN_SENT",
		[SP_FLOW_SYN_RECV] = "SYN_RECV",   [SP_FLOW_ESTABLISHED] = "ESTABLISHED",
		[SP_FLOW_FIN_WAIT] = "FIN_WAIT",   [SP_FLOW_CLOSE_WAIT] = "CLOSE_WAIT",
		[SP_FLOW_LAST_ACK] = "LAST_ACK",   [SP_FLOW_TIME_WAIT] = "TIME_WAIT",
		[SP_FLOW_CLOSE] = "CLOSE",	   [SP_FLOW_SYN_SENT2] = "SYN_SENT2",
		[SP_FLOW_UNREPLIED] = "UNREPLIED", [SP_FLOW_REPLIED] = "REPLIED",
		[SP_FLOW_STREAM] = "STREAM",
	};

	return state < _SP_FLOW_STATES ? states[state] : "?";
}

static void tell_policy(const struct sp_step *s, const char *who, const char *rule,
			char ret[SENTENCE_MAX])
{
	static const char *const actions[] = {
		[SP_ACCEPT] = "accepts", [SP_DROP] = "drops", [SP_REJECT] = "rejects"};
	const char *action =
		s->action < SP_ARRAY_SIZE(actions) && actions[s->action] ? actions[s->action] : "?";
	char by[32] = "its default";

	if (s->value == SP_R_POLICY_BROKEN) {
		snprintf(ret, SENTENCE_MAX, "the policy of %s cannot be read in the map", who);
		return;
	}
	if (s->rule)
		snprintf(by, sizeof(by), "rule %u", s->rule);
	snprintf(ret, SENTENCE_MAX, "the policy of %s %s it, %s%s, by %s%s%.*s", who, action,
		 s->direction == SP_OUT ? "out" : "in", s->log ? ", and logs it" : "", by,
		 rule ? ": " : "", RULE_MAX, rule ?: "");
}

static void tell_to(const struct sp_step *s, const char *who, char ret[SENTENCE_MAX])
{
	const char *how = s->value & SP_F_CLOSED   ? ", which is closed"
			  : s->value & SP_F_ASLEEP ? ", which is asleep"
						   : "";

	snprintf(ret, SENTENCE_MAX, "it is for %s%s", who, how);
}

static void tell_flow(const struct sp_step *s, char ret[SENTENCE_MAX])
{
	if ((int32_t)s->value > 0)
		snprintf(ret, SENTENCE_MAX, "it belongs to a flow in state %s, %" PRIu32 " s left",
			 flow_state(s->detail), s->value);
	else
		snprintf(ret, SENTENCE_MAX, "it belongs to a flow in state %s, whose time is over",
			 flow_state(s->detail));
}

static void tell(const struct sp_step *s, const char *who, const char *rule, char ret[SENTENCE_MAX])
{
	/* What stands before who it is about, and behind. */
	static const struct {
		const char *before, *behind;
	} sentences[] = {
		[SP_STEP_GUARD] = {"XDP knows its sender, ", ", and lets it in"},
		[SP_STEP_BOUND] = {"its source address belongs to ", ""},
		[SP_STEP_FRESH] = {"it belongs to no flow, and may begin one to ", ""},
		[SP_STEP_RELATED] = {"it is an error about a flow of ", ""},
		[SP_STEP_FRAGMENT] = {"it is a later fragment, to ", ": the first one decides"},
		[SP_STEP_COPY] = {"a copy goes to ", ""},
		[SP_STEP_ANSWER] = {"it is answered in the name of ", ""},
		[SP_STEP_PARK] = {"it wakes ", ", and waits until that runs"},
		[SP_STEP_REJECT] = {"", " is told that it was refused"},
		[SP_STEP_SEND] = {"it leaves for ", ""},
	};

	switch (s->kind) {
	case SP_STEP_TO:
		tell_to(s, who, ret);
		break;
	case SP_STEP_FLOW:
		tell_flow(s, ret);
		break;
	case SP_STEP_POLICY:
		tell_policy(s, who, rule, ret);
		break;
	case SP_STEP_GROUP:
		snprintf(ret, SENTENCE_MAX,
			 "it is for the segment: %" PRIu32 " ports have a copy "
			 "of what is for all",
			 s->value);
		break;
	case SP_STEP_DROP:
		snprintf(ret, SENTENCE_MAX, "%s: %s", sp_reason_name(s->value),
			 sp_reason_text(s->value));
		break;
	default:
		snprintf(ret, SENTENCE_MAX, "%s%s%s", sentences[s->kind].before, who,
			 sentences[s->kind].behind);
	}
}

static json_t *view_step(struct daemon *d, uint32_t segment, const struct sp_step *s,
			 const char *rule)
{
	char who[PLACE_NAME_MAX], text[SENTENCE_MAX];
	json_t *j;

	place_name_of(d, segment, s->port, who);
	tell(s, who, rule, text);
	j = json_pack("{s:s, s:s}", "step", names[s->kind], "text", text);
	if (s->port)
		json_object_update_new(
			j, json_pack("{s:I, s:s}", "port", (json_int_t)s->port, "who", who));
	if (s->kind == SP_STEP_POLICY)
		json_object_update_new(j, json_pack("{s:s, s:I, s:b}", "direction",
						    s->direction == SP_OUT ? "out" : "in", "rule",
						    (json_int_t)s->rule, "accepted",
						    s->value == SP_R_NONE));
	if (s->kind == SP_STEP_POLICY && rule)
		json_object_set_new(j, "says", json_string(rule));
	if (s->kind == SP_STEP_FLOW)
		json_object_set_new(j, "state", json_string(flow_state(s->detail)));
	if (s->kind == SP_STEP_DROP)
		json_object_set_new(j, "reason", json_string(sp_reason_name(s->value)));
	return j;
}

/* --- what rules say --- */

static char *say_default(const struct policy *p, unsigned int direction)
{
	uint8_t action = p->fallback[direction];
	char *text;

	if (asprintf(&text, "default %s %s", policy_direction_name(direction),
		     action == SP_SEGMENT ? "segment" : policy_action_name(action)) < 0)
		return NULL;
	return text;
}

static void read_rules(struct walk *w, const struct place *place)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	char error[RULES_ERROR_MAX];

	if (!place->policy || rules_parse(place->policy, &p, error) < 0)
		return;
	for (uint32_t i = 0; i < w->steps.n && i < SP_STEPS; i++) {
		const struct sp_step *s = &w->steps.step[i];

		if (s->kind != SP_STEP_POLICY || s->port != place->port || w->rules[i])
			continue;
		if (s->rule == 0)
			w->rules[i] = say_default(p, s->direction & 1);
		else if (s->rule <= p->n_rules)
			w->rules[i] = policy_print_rule(p, &p->rules[s->rule - 1]);
	}
}

void walk_read_rules(struct walk *w)
{
	read_rules(w, w->from);
	read_rules(w, w->to);
}

void walk_clear(struct walk *w)
{
	for (uint32_t i = 0; i < SP_STEPS; i++) {
		free(w->rules[i]);
		w->rules[i] = NULL;
	}
}

json_t *walk_view(struct daemon *d, const struct walk *walk)
{
	const struct sp_walk *w = &walk->steps;
	const struct sp_step *drop = find(w, SP_STEP_DROP);
	json_t *steps = json_array(), *j;

	for (uint32_t i = 0; i < w->n && i < SP_STEPS; i++)
		if (w->step[i].kind < SP_ARRAY_SIZE(names) && names[w->step[i].kind])
			json_array_append_new(steps, view_step(d, walk->from->segment, &w->step[i],
							       walk->rules[i]));
	j = json_pack("{s:o, s:s}", "steps", steps, "verdict", verdict_of(w));
	if (j && drop)
		json_object_update_new(j, json_pack("{s:s, s:s}", "reason",
						    sp_reason_name(drop->value), "why",
						    sp_reason_text(drop->value)));
	return j;
}
