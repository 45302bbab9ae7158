/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast is it all going, and who is the fastest? */
#include "ctl/picture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/call.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

static const char *const traffic_fields[] = {"rx_frames", "rx_bytes", "tx_frames",
					     "tx_bytes",  "drops",    "drop_bytes"};
static const char *const reason_fields[] = {"frames", "bytes"};

/* --- rates --- */

/* The object of an array whose KEY is the same, for many look-ups: key as text -> object. */
static json_t *index_by(const json_t *array, const char *key)
{
	json_t *ret = json_object();
	const json_t *item;
	size_t i;

	if (!ret)
		text_oom();
	json_array_foreach ((json_t *)array, i, item) {
		const json_t *value = json_object_get(item, key);
		char number[32];
		const char *name = number;

		if (json_is_string(value))
			name = json_string_value(value);
		else
			snprintf(number, sizeof(number), "%" PRId64,
				 (int64_t)json_integer_value(value));
		json_object_set(ret, name, (json_t *)item);
	}
	return ret;
}

static json_t *find(const json_t *index, const json_t *item, const char *key)
{
	const json_t *value = json_object_get(item, key);
	char number[32];

	if (json_is_string(value))
		return json_object_get(index, json_string_value(value));
	snprintf(number, sizeof(number), "%" PRId64, (int64_t)json_integer_value(value));
	return json_object_get(index, number);
}

/* NOW - BEFORE of each field, by the second. */
static json_t *rates(const json_t *before, const json_t *now, const char *const *fields, size_t n,
		     double seconds)
{
	json_t *ret = json_object();

	for (size_t i = 0; i < n; i++) {
		int64_t was = field_int(before, fields[i]), is = field_int(now, fields[i]);

		json_object_set_new(
			ret, fields[i],
			json_real(seconds > 0 ? (double)(is < was ? is : is - was) / seconds : 0));
	}
	return ret;
}

static double rate(const json_t *item, const char *field)
{
	return json_real_value(json_object_get(json_object_get(item, "rates"), field));
}

/* What makes a row interesting: bytes first, then drops. */
static double weight(const json_t *item)
{
	return rate(item, "rx_bytes") + rate(item, "tx_bytes") + rate(item, "drop_bytes") +
	       rate(item, "bytes");
}

static int by_weight(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	double wx = weight(x), wy = weight(y);

	if (wx != wy)
		return wx < wy ? 1 : -1;
	/* stable where all is quiet: the rows must not dance */
	if (field_int(x, "id") != field_int(y, "id"))
		return field_int(x, "id") < field_int(y, "id") ? -1 : 1;
	return field_int(x, "port") < field_int(y, "port")   ? -1
	       : field_int(x, "port") > field_int(y, "port") ? 1
							     : 0;
}

static json_t *sort(json_t *array)
{
	size_t n = json_array_size(array);
	_cleanup_free_
	json_t **items = calloc(n + 1, sizeof(json_t *));
	json_t *ret = json_array();

	if (!items || !ret)
		text_oom();
	for (size_t i = 0; i < n; i++)
		items[i] = json_array_get(array, i);
	qsort(items, n, sizeof(items[0]), by_weight);
	for (size_t i = 0; i < n; i++)
		json_array_append(ret, items[i]);
	json_decref(array);
	return ret;
}

/* ARRAY with "rates" in each, of what is below COUNTERS (NULL: of the item itself). */
static json_t *with_rates(const json_t *before, const json_t *now, const char *key,
			  const char *counters, double seconds)
{
	_cleanup_json_ json_t *index = index_by(before, key);
	json_t *ret = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)now, i, item) {
		const json_t *old = find(index, item, key), *new = item;
		json_t *copy = json_copy((json_t *)item);

		if (!copy)
			text_oom();
		if (counters) {
			old = json_object_get(old, counters);
			new = json_object_get(item, counters);
		}
		json_object_set_new(copy, "rates",
				    counters ? rates(old, new, traffic_fields,
						     SP_ARRAY_SIZE(traffic_fields), seconds)
					     : rates(old, new, reason_fields,
						     SP_ARRAY_SIZE(reason_fields), seconds));
		json_array_append_new(ret, copy);
	}
	return sort(ret);
}

/* The ports that are not a session's. */
static json_t *other_ports(const json_t *ports, const json_t *sessions)
{
	_cleanup_json_ json_t *index = index_by(sessions, "port");
	json_t *ret = json_array();
	json_t *port;
	size_t i;

	json_array_foreach ((json_t *)ports, i, port) {
		if (!find(index, port, "port"))
			json_array_append(ret, port);
	}
	return ret;
}

json_t *picture_new(const json_t *previous, const json_t *current, double seconds)
{
	const json_t *sessions = json_object_get(current, "sessions");
	_cleanup_json_ json_t *ports = other_ports(json_object_get(current, "ports"), sessions);
	json_t *ret;

	if (!previous)
		seconds = 0;
	ret = json_pack(
		"{s:I, s:f, s:O?, s:o, s:o, s:o}", "time", (json_int_t)time(NULL), "interval_s",
		seconds, "status", json_object_get(current, "status"), "sessions",
		with_rates(json_object_get(previous, "sessions"), sessions, "id", "counters",
			   seconds),
		"ports",
		with_rates(json_object_get(previous, "ports"), ports, "port", "counters", seconds),
		"reasons",
		with_rates(json_object_get(previous, "reasons"),
			   json_object_get(current, "reasons"), "name", NULL, seconds));
	if (!ret)
		text_oom();
	return ret;
}

/* --- on the screen --- */

static void add_rates(struct table *t, const json_t *item)
{
	char n[TEXT_NUMBER_MAX];

	table_cellf(t, "%s/s", text_bytes(rate(item, "rx_bytes"), n));
	table_cell(t, text_count(rate(item, "rx_frames"), n));
	table_cellf(t, "%s/s", text_bytes(rate(item, "tx_bytes"), n));
	table_cell(t, text_count(rate(item, "tx_frames"), n));
	table_cell(t, text_count(rate(item, "drops"), n));
}

static struct table *session_table(const json_t *sessions)
{
	struct table *t = table_new(">SESSION USER INSTANCE REMOTE ADDRESS >MACS >RX >RX-FRAMES/s "
				    ">TX >TX-FRAMES/s >DROPS/s");
	const json_t *s;
	size_t i;

	json_array_foreach ((json_t *)sessions, i, s) {
		table_cellf(t, "%" PRId64, field_int(s, "id"));
		table_cell(t, field_text(s, "user"));
		table_cell(t, field_text(s, "instance"));
		table_cell(t, field_text(s, "remote"));
		table_cell(t, field_text(s, "address"));
		table_cellf(t, "%zu", json_array_size(json_object_get(s, "macs")));
		add_rates(t, s);
	}
	return t;
}

static struct table *port_table(const json_t *ports)
{
	struct table *t =
		table_new(">PORT KIND NAME DEVICE >RX >RX-FRAMES/s >TX >TX-FRAMES/s >DROPS/s");
	const json_t *p;
	size_t i;

	json_array_foreach ((json_t *)ports, i, p) {
		table_cellf(t, "%" PRId64, field_int(p, "port"));
		table_cell(t, field_text(p, "kind"));
		table_cell(t, field_text(p, "name"));
		table_cell(t, field_text(p, "device"));
		add_rates(t, p);
	}
	return t;
}

static struct table *reason_table(const json_t *reasons)
{
	struct table *t = table_new("REASON >DROPS/s >BYTES/s >TOTAL MEANING");
	char n[TEXT_NUMBER_MAX];
	const json_t *r;
	size_t i;

	json_array_foreach ((json_t *)reasons, i, r) {
		if (field_int(r, "frames") == 0)
			continue;
		table_cell(t, field_text(r, "name"));
		table_cell(t, text_count(rate(r, "frames"), n));
		table_cell(t, text_bytes(rate(r, "bytes"), n));
		table_cell(t, text_count((double)field_int(r, "frames"), n));
		table_cell(t, field_text(r, "text"));
	}
	return t;
}

static size_t print_title(const json_t *picture, FILE *f, size_t columns, const char *eol)
{
	const json_t *s = json_object_get(picture, "status");
	char when[TEXT_NUMBER_MAX], up[TEXT_NUMBER_MAX];
	_cleanup_free_
	char *raw = NULL;
	_cleanup_free_
	char *line = NULL;

	if (asprintf(&raw,
		     "sallyport %s  %s  up %s  sessions %" PRId64 "  workloads %" PRId64
		     "  bindings %" PRId64,
		     field_text(s, "version"), text_time(field_int(picture, "time"), when),
		     text_duration(field_int(s, "uptime_s"), up), field_int(s, "sessions"),
		     field_int(s, "workloads"), field_int(s, "bindings")) < 0) {
		raw = NULL;
		text_oom();
	}
	line = text_escape(raw);
	fprintf(f, "%.*s%s%s", (int)text_prefix(line, columns ? columns : SIZE_MAX), line, eol,
		eol);
	return 2;
}

/* What of a part of LINES, blank line and header taken off, is left for rows. */
static size_t print_part(const struct table *t, FILE *f, size_t columns, size_t lines,
			 const char *empty, const char *eol)
{
	size_t n;

	if (table_rows(t) == 0) {
		fprintf(f, "%s%s%s", empty, eol, eol);
		return 2;
	}
	if (lines && lines < 3)
		return 0;
	n = table_print(t, f, columns, lines ? lines - 2 : 0, eol);
	fputs(eol, f);
	return n + 1;
}

/* The lines that a table would take in full. */
static size_t lines_of(const struct table *t)
{
	return table_rows(t) ? table_rows(t) + 2 : 2;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

void picture_print(const json_t *picture, FILE *f, size_t columns, size_t lines, const char *eol)
{
	_cleanup_table_ struct table *sessions =
		session_table(json_object_get(picture, "sessions"));
	_cleanup_table_ struct table *ports = port_table(json_object_get(picture, "ports"));
	_cleanup_table_ struct table *reasons = reason_table(json_object_get(picture, "reasons"));
	size_t left = lines, for_reasons = 0, for_sessions = 0;

	left -= least(left, print_title(picture, f, columns, eol));
	if (lines) {
		/* a third for the reasons, half of the rest for the sessions, unless they need less
		 */
		for_reasons = least(lines_of(reasons), left / 3);
		for_sessions = (left - for_reasons) / 2;
		if (lines_of(ports) < left - for_reasons - for_sessions)
			for_sessions = left - for_reasons - lines_of(ports);
		for_sessions = least(lines_of(sessions), for_sessions);
		if (for_sessions < 3)
			for_sessions = 3;
	}
	left -= least(left, print_part(sessions, f, columns, for_sessions, "no sessions", eol));
	if (lines && left <= for_reasons)
		return;
	print_part(ports, f, columns, lines ? left - for_reasons : 0, "no ports", eol);
	if (!lines || for_reasons >= 2)
		print_part(reasons, f, columns, for_reasons, "no drops", eol);
}
