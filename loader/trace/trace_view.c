/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does a trace look from outside, and what do all of them say together? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace_internal.h"
#include "views.h"

static const struct {
	const char *name, *text;
} stage_names[] =
	{
#define STAGE(id, name, text, from) [TRACE_##id] = {name, text},
		TRACE_STAGES(STAGE)
#undef STAGE
},
  span_names[] = {
#define SPAN(id, name, text, from, to) [TRACE_SPAN_##id] = {name, text},
	  TRACE_SPANS(SPAN)
#undef SPAN
};

const char *trace_stage_name(enum trace_stage stage)
{
	return stage_names[stage].name;
}

const char *trace_span_name(enum trace_span span)
{
	return span_names[span].name;
}

bool trace_stage_is_measured(enum trace_stage stage)
{
	return trace_from(stage) != TRACE_NONE;
}

const struct histogram *trace_stage_histogram(const struct traces *t, enum trace_stage stage)
{
	return &t->stages[stage];
}

const struct histogram *trace_span_histogram(const struct traces *t, enum trace_span span)
{
	return &t->spans[span];
}

void trace_format_id(uint64_t id, char ret[17])
{
	ret[0] = '\0';
	if (id)
		snprintf(ret, 17, "%016llx", (unsigned long long)id);
}

/* --- one trace --- */

static bool parse_id(const char *text, uint64_t *ret)
{
	if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
		return false;
	*ret = strtoull(text, NULL, 16);
	return true;
}

static json_t *view_event(const struct trace *r, size_t i)
{
	const struct trace_event *e = trace_event_at(r, i);
	const char *object = trace_object_name(r, e->object);
	enum trace_stage from = trace_from(e->stage);
	json_t *j = json_pack("{s:s, s:s, s:I}", "stage", stage_names[e->stage].name, "text",
			      stage_names[e->stage].text, "us", (json_int_t)e->us);
	uint64_t took;

	if (object)
		json_object_set_new(j, "object", view_text(object));
	if (from != TRACE_NONE && trace_measure(r, i, from, e->stage, e->object, e->us, &took)) {
		json_object_set_new(j, "from", json_string(stage_names[from].name));
		json_object_set_new(j, "took_us", json_integer((json_int_t)took));
	}
	return j;
}

json_t *trace_view(struct traces *t, uint64_t session, const char *id)
{
	char name[17], remote[SP_ADDR_STRLEN + 8];
	json_t *events, *j;
	uint64_t number = 0;
	const struct trace *r;

	if (id)
		r = parse_id(id, &number) ? trace_find(t, number) : NULL;
	else
		r = trace_find_session(t, session);
	if (!r)
		return NULL;
	events = json_array();
	for (size_t i = 0; i < trace_events(r); i++)
		json_array_append_new(events, view_event(r, i));
	trace_format_id(r->id, name);
	snprintf(remote, sizeof(remote), strchr(r->login.ip, ':') ? "[%s]:%u" : "%s:%u",
		 r->login.ip, r->login.port);
	j = json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:I}", "id", name, "user",
		      view_text(r->user), "instance", view_text(r->login.instance), "common_name",
		      view_text(r->common_name), "remote", view_text(remote), "started",
		      (json_int_t)r->begun, "events", events, "lost",
		      (json_int_t)trace_events_lost(r));
	if (r->session)
		json_object_set_new(j, "session", json_integer((json_int_t)r->session));
	return j;
}

/* --- all of them --- */

static void summarize(json_t *list, const char *name, const char *text, const struct histogram *h)
{
	if (h->count == 0)
		return;
	json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f}", "name", name,
					      "text", text, "count", (json_int_t)h->count, "sum_ms",
					      (double)h->sum_us / 1000, "p50_ms",
					      histogram_quantile_us(h, 0.5) / 1000, "p90_ms",
					      histogram_quantile_us(h, 0.9) / 1000, "p99_ms",
					      histogram_quantile_us(h, 0.99) / 1000));
}

json_t *trace_summary(struct traces *t)
{
	json_t *list = json_array();

	for (int i = 0; i < _TRACE_SPANS_MAX; i++)
		summarize(list, span_names[i].name, span_names[i].text, &t->spans[i]);
	for (int i = 0; i < _TRACE_STAGES_MAX; i++)
		summarize(list, stage_names[i].name, stage_names[i].text, &t->stages[i]);
	return list;
}
