/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sallyport trace, sallyport metrics: where did the time go, in one session and in all?
 *
 * A trace has branches that run beside each other: the tunnel, and each machine. Each has a lane of
 * its own, from its first event to its last.
 */
#include "ctl/trace.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

#define LANES_MAX 12 /* machines beyond share the last one */

struct lanes {
	size_t n;
	const char *names[LANES_MAX]; /* the first is the tunnel's, without a name */
	size_t first[LANES_MAX], last[LANES_MAX];
};

/* A machine is "user/name"; whatever else an event is about (a MAC) belongs to the tunnel. */
static size_t lane_of(struct lanes *l, const json_t *event)
{
	const char *object = json_string_value(json_object_get(event, "object"));

	if (!object || !strchr(object, '/'))
		return 0;
	for (size_t i = 1; i < l->n; i++)
		if (strcmp(l->names[i], object) == 0)
			return i;
	if (l->n == LANES_MAX)
		return LANES_MAX - 1;
	l->names[l->n] = object;
	return l->n++;
}

static void find_lanes(struct lanes *l, const json_t *events)
{
	bool seen[LANES_MAX] = {false};
	const json_t *e;
	size_t i;

	*l = (struct lanes){.n = 1, .names = {""}};
	json_array_foreach (events, i, e) {
		size_t lane = lane_of(l, e);

		if (!seen[lane])
			l->first[lane] = i;
		seen[lane] = true;
		l->last[lane] = i;
	}
	if (!seen[0])
		l->first[0] = 1; /* no tunnel: nothing is drawn for it */
}

/* "* |": the event is the tunnel's, and a machine's start is under way. */
static void draw(const struct lanes *l, size_t row, size_t lane, char ret[2 * LANES_MAX])
{
	for (size_t k = 0; k < l->n; k++) {
		ret[2 * k] = k == lane ? '*' : l->first[k] < row && row < l->last[k] ? '|' : ' ';
		ret[2 * k + 1] = k + 1 < l->n ? ' ' : '\0';
	}
}

static void add_ms(struct table *t, const json_t *us)
{
	if (json_is_integer(us))
		table_cellf(t, "%.1f", (double)json_integer_value(us) / 1000);
	else
		table_cell(t, "-");
}

static void print_head(FILE *f, const json_t *trace)
{
	char when[TEXT_NUMBER_MAX];

	if (json_object_get(trace, "session"))
		text_line(f, "trace %s of session %" PRId64, field_text(trace, "id"),
			  field_int(trace, "session"));
	else
		text_line(f, "trace %s of a login without a session", field_text(trace, "id"));
	text_line(f, "%s (%s) on %s from %s, %s", field_text(trace, "user"),
		  field_text(trace, "common_name"), field_text(trace, "instance"),
		  field_text(trace, "remote"), text_time(field_int(trace, "started"), when));
	fputc('\n', f);
}

void trace_print(FILE *f, const json_t *trace)
{
	_cleanup_table_ struct table *t = table_new(">MS >TOOK LANE STAGE OBJECT WHAT");
	const json_t *events = json_object_get(trace, "events"), *e;
	char lane[2 * LANES_MAX];
	struct lanes l;
	size_t i;

	print_head(f, trace);
	find_lanes(&l, events);
	json_array_foreach (events, i, e) {
		draw(&l, i, lane_of(&l, e), lane);
		add_ms(t, json_object_get(e, "us"));
		add_ms(t, json_object_get(e, "took_us"));
		table_cell(t, lane);
		table_cell(t, field_text(e, "stage"));
		table_cell(t, field_text(e, "object"));
		table_cell(t, field_text(e, "text"));
	}
	table_print(t, f, 0, 0, "\n");
	if (field_int(trace, "lost") > 0)
		text_line(f,
			  "%" PRId64 " events more, between the first and the last, are not kept",
			  field_int(trace, "lost"));
}

json_t *trace_request(const char *text)
{
	json_t *request;
	uint64_t session;

	if (strlen(text) == 16 && strspn(text, "0123456789abcdefABCDEF") == 16) {
		request = call_new("trace");
		call_set(request, "trace", text);
		return request;
	}
	if (parse_number(text, 1, INT64_MAX, &session) < 0)
		return NULL;
	request = call_new("trace");
	call_set_int(request, "session", (int64_t)session);
	return request;
}

int cmd_trace(const struct ctl *ctl, const struct ctl_args *args)
{
	json_t *request = trace_request(args->positional[0]);
	_cleanup_json_ json_t *reply = NULL;
	const json_t *trace;
	int r;

	if (!request)
		return call_usage(args,
				  "'%.32s': expected a session's id, as session list shows it, or "
				  "a trace's of 16 hexadecimal digits, as the log has it",
				  args->positional[0]);
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	trace = json_object_get(reply, "trace");
	if (ctl->json)
		call_print_json(trace);
	else
		trace_print(stdout, trace);
	return CTL_OK;
}

int cmd_metrics(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *reply = NULL;
	int r = call_run(ctl, call_new("metrics"), &reply);
	const json_t *lines, *line;
	size_t i;

	if (r != CTL_OK)
		return r;
	lines = json_object_get(reply, "items");
	if (ctl->json) {
		call_print_json(lines);
		return CTL_OK;
	}
	/* As it is, for programs: nothing in it was chosen by a user. */
	json_array_foreach (lines, i, line) {
		fputs(json_string_value(line) ?: "", stdout);
		putchar('\n');
	}
	return CTL_OK;
}
