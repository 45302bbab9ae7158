/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport explain: what would become of a frame from here to there, and why? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP 1

/* --- the request --- */

static int set_number(const struct ctl_args *args, const char *option, uint64_t max,
		      json_t *request)
{
	const char *text = option_value(args, option);
	uint64_t n;

	if (!text)
		return CTL_OK;
	if (parse_number(text, 0, max, &n) < 0)
		return call_usage(args, "--%s '%.32s': expected a number from 0 to %" PRIu64,
				  option, text, max);
	call_set_int(request, option, (int64_t)n);
	return CTL_OK;
}

/* One of --tcp, --udp, --icmp, --proto; none: TCP. */
static int set_protocol(const struct ctl_args *args, json_t *request)
{
	static const struct {
		const char *option;
		int proto;
	} known[] = {{"tcp", PROTO_TCP}, {"udp", PROTO_UDP}, {"icmp", PROTO_ICMP}};
	unsigned int n = option_value(args, "proto") != NULL;

	for (size_t i = 0; i < SP_ARRAY_SIZE(known); i++)
		if (option_value(args, known[i].option)) {
			call_set_int(request, "proto", known[i].proto);
			n++;
		}
	if (n > 1)
		return call_usage(args, "expected one of --tcp, --udp, --icmp, --proto");
	return set_number(args, "proto", 255, request);
}

static int set_all(const struct ctl_args *args, json_t *request)
{
	int r = set_protocol(args, request);

	r = r ?: set_number(args, "sport", UINT16_MAX, request);
	r = r ?: set_number(args, "dport", UINT16_MAX, request);
	r = r ?: set_number(args, "type", 255, request);
	r = r ?: set_number(args, "code", 255, request);
	if (r != CTL_OK)
		return r;
	if (call_set(request, "from", args->positional[0]) < 0 ||
	    call_set(request, "to", args->positional[1]) < 0)
		return call_usage(args, "expected names in UTF-8");
	call_set(request, "src", option_value(args, "src"));
	call_set(request, "dst", option_value(args, "dst"));
	call_set(request, "flags", option_value(args, "flags"));
	return CTL_OK;
}

/* --- the answer --- */

static void print_end(const char *what, const json_t *end, const json_t *port)
{
	if (port)
		text_line(stdout, "%-5s %s, %s, %s port %" PRId64, what, field_text(end, "name"),
			  field_text(end, "mac"), field_text(end, "address"),
			  (int64_t)json_integer_value(port));
	else
		text_line(stdout, "%-5s %s, %s, %s", what, field_text(end, "name"),
			  field_text(end, "mac"), field_text(end, "address"));
}

static void print_what(const json_t *frame)
{
	int64_t proto = field_int(frame, "proto");

	if (proto == PROTO_TCP)
		text_line(stdout, "what  TCP, flags %s", field_text(frame, "flags"));
	else if (proto == PROTO_UDP)
		text_line(stdout, "what  UDP");
	else if (json_object_get(frame, "type"))
		text_line(stdout, "what  %s, type %" PRId64 ", code %" PRId64,
			  proto == PROTO_ICMP ? "ICMP" : "ICMPv6", field_int(frame, "type"),
			  field_int(frame, "code"));
	else
		text_line(stdout, "what  IP protocol %" PRId64, proto);
}

static void print_verdict(const json_t *reply)
{
	const char *verdict = field_text(reply, "verdict");

	fputc('\n', stdout);
	if (json_object_get(reply, "reason"))
		text_line(stdout, "%s: %s (%s)", verdict, field_text(reply, "reason"),
			  field_text(reply, "why"));
	else
		text_line(stdout, "%s", verdict);
}

static void print_walk(const json_t *reply)
{
	_cleanup_table_ struct table *t = table_new("STEP WHAT");
	const json_t *frame = json_object_get(reply, "frame"), *step;
	size_t i;

	print_end("from", json_object_get(frame, "from"), json_object_get(frame, "sport"));
	print_end("to", json_object_get(frame, "to"), json_object_get(frame, "dport"));
	print_what(frame);
	fputc('\n', stdout);
	json_array_foreach (json_object_get(reply, "steps"), i, step) {
		table_cell(t, field_text(step, "step"));
		table_cell(t, field_text(step, "text"));
	}
	table_print(t, stdout, 0, 0, "\n");
	print_verdict(reply);
}

int cmd_explain(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *request = call_new("explain");
	_cleanup_json_ json_t *reply = NULL;
	int r = set_all(args, request);

	if (r != CTL_OK)
		return r;
	r = call_run(ctl, TAKE_PTR(request), &reply);
	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		call_strip(reply);
		call_print_json(reply);
	} else {
		print_walk(reply);
	}
	return CTL_OK;
}
