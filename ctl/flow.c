/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport flow: the connections that pass the ports of machines. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "lib/cleanup.h"
#include "sallyport/limits.h"

/* --- the filter --- */

static int set_port(const struct ctl_args *args, json_t *request, const char *option,
		    const char *field)
{
	const char *text = option_value(args, option);
	uint64_t port;

	if (!text)
		return CTL_OK;
	if (parse_number(text, 0, UINT16_MAX, &port) < 0)
		return call_usage(args, "--%s '%.32s': expected a port of 0 to 65535", option,
				  text);
	call_set_int(request, field, (int64_t)port);
	return CTL_OK;
}

static int set_name(const struct ctl_args *args, json_t *request, const char *option)
{
	const char *name = option_value(args, option);

	if (name && parse_name(name, SP_NAME_MAX) < 0)
		return call_usage(args,
				  "--%s '%.80s': expected a name: letters, digits, '_', '.', '@', "
				  "'-', not '.' or '-' first",
				  option, name);
	call_set(request, option, name);
	return CTL_OK;
}

static int set_text(const struct ctl_args *args, json_t *request, const char *option,
		    const char *field)
{
	const char *text = option_value(args, option);

	if (text && (!text[0] || call_set(request, field, text) < 0))
		return call_usage(args, "--%s '%.64s': expected a value", option, text);
	return CTL_OK;
}

static int set_family(const struct ctl_args *args, json_t *request)
{
	bool four = option_value(args, "ipv4"), six = option_value(args, "ipv6");

	if (four && six)
		return call_usage(args, "expected one of --ipv4 and --ipv6");
	if (four || six)
		call_set_int(request, "family", four ? 4 : 6);
	return CTL_OK;
}

/* {"op": OP, ...} of the options; what they mean is the daemon's to judge. */
static int new_request(const struct ctl_args *args, const char *op, json_t **ret)
{
	json_t *q = call_new(op);
	int r = set_name(args, q, "user")
			?: set_name(args, q, "machine")
			?: set_text(args, q, "protocol", "protocol")
			?: set_text(args, q, "state", "state")
			?: set_text(args, q, "address", "address")
			?: set_text(args, q, "from", "source")
			?: set_text(args, q, "to", "destination")
			?: set_port(args, q, "port", "port")
			?: set_port(args, q, "from-port", "source_port")
			?: set_port(args, q, "to-port", "destination_port")
			?: set_family(args, q);

	if (r == CTL_OK && option_value(args, "machine") && !option_value(args, "user"))
		r = call_usage(args, "--machine: expected --user too, whose it is");
	if (r != CTL_OK) {
		json_decref(q);
		return r;
	}
	*ret = q;
	return CTL_OK;
}

/* --- list --- */

/* "10.0.0.1:80", "[fd00::1]:80", "10.0.0.1"; what is not there is left out. */
static void end_cell(struct table *t, const json_t *f, const char *address, const char *port)
{
	const char *text = field_text(f, address);

	if (!json_object_get(f, port))
		table_cell(t, text);
	else if (strchr(text, ':'))
		table_cellf(t, "[%s]:%" PRId64, text, field_int(f, port));
	else
		table_cellf(t, "%s:%" PRId64, text, field_int(f, port));
}

static void left_cell(struct table *t, const json_t *f)
{
	int64_t s = field_int(f, "left_ms") / 1000;

	if (json_is_true(json_object_get(f, "frozen")))
		table_cell(t, "frozen");
	else if (s >= 86400)
		table_cellf(t, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		table_cellf(t, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else
		table_cellf(t, "%" PRId64 "s", s);
}

static void add_rows(struct table *t, const json_t *items)
{
	json_t *f;
	size_t i;

	json_array_foreach (items, i, f) {
		table_cell(t, field_text(f, "user"));
		table_cell(t, field_text(f, "protocol"));
		table_cell(t, field_text(f, "state"));
		end_cell(t, f, "source", "source_port");
		end_cell(t, f, "destination", "destination_port");
		table_cell(t, field_text(f, "from_machine"));
		table_cell(t, field_text(f, "to_machine"));
		left_cell(t, f);
	}
}

/* The daemon answers a piece and says where the next one begins. */
static int ask_all(const struct ctl *ctl, const json_t *request, json_t *all)
{
	int64_t slot = 0, table = 0;

	for (;;) {
		_cleanup_json_ json_t *reply = NULL;
		json_t *one = json_deep_copy(request);
		const json_t *next;
		int r;

		call_set_int(one, "slot", slot);
		call_set_int(one, "table", table);
		r = call_run(ctl, one, &reply);
		if (r != CTL_OK)
			return r;
		json_array_extend(all, json_object_get(reply, "items"));
		next = json_object_get(reply, "next");
		if (!next)
			return CTL_OK;
		slot = field_int(next, "slot");
		table = field_int(next, "table");
	}
}

int cmd_flow_list(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_table_ struct table *t =
		table_new("USER PROTOCOL STATE FROM TO FROM-MACHINE TO-MACHINE >LEFT");
	_cleanup_json_ json_t *request = NULL;
	_cleanup_json_ json_t *all = json_array();
	int r = new_request(args, "flow-list", &request);

	r = r ?: ask_all(ctl, request, all);
	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		call_print_json(all);
		return CTL_OK;
	}
	add_rows(t, all);
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no flows");
	return CTL_OK;
}

/* --- count, kill --- */

static void print_parts(const char *what, const json_t *object)
{
	const char *name, *comma = "";
	json_t *n;

	if (json_object_size(object) == 0)
		return;
	printf("%s: ", what);
	json_object_foreach ((json_t *)object, name, n) {
		printf("%s%" JSON_INTEGER_FORMAT " %s", comma, json_integer_value(n), name);
		comma = ", ";
	}
	putchar('\n');
}

int cmd_flow_count(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *reply = NULL;
	json_t *request = NULL;
	int r = new_request(args, "flow-count", &request);

	r = r ?: call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		call_print_json(reply);
		return CTL_OK;
	}
	printf("flows: %" PRId64, field_int(reply, "flows"));
	if (json_object_get(reply, "max"))
		printf(" of %" PRId64, field_int(reply, "max"));
	putchar('\n');
	print_parts("states", json_object_get(reply, "states"));
	print_parts("protocols", json_object_get(reply, "protocols"));
	if (json_object_get(reply, "opened"))
		printf("ever: %" PRId64 " begun, %" PRId64 " run out; refused: %" PRId64
		       " for want of room, %" PRId64 " too fast\n",
		       field_int(reply, "opened"), field_int(reply, "expired"),
		       field_int(reply, "refused_full"), field_int(reply, "refused_rate"));
	return CTL_OK;
}

/* What was asked for, beside --all. */
static bool is_narrowed(const json_t *request)
{
	return json_object_size(request) > 2; /* "v", "op" */
}

int cmd_flow_kill(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *reply = NULL;
	json_t *request = NULL;
	int r = new_request(args, "flow-kill", &request);

	if (r != CTL_OK)
		return r;
	if (is_narrowed(request) == !!option_value(args, "all")) {
		json_decref(request);
		return call_usage(args, "expected which flows to end: options, or --all alone");
	}
	if (option_value(args, "all"))
		json_object_set_new(request, "all", json_true());
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		call_print_json(reply);
	else if (!ctl->quiet)
		printf("%" PRId64 " flows ended\n", field_int(reply, "ended"));
	if (field_int(reply, "busy") == 0)
		return CTL_OK;
	fprintf(stderr, "sallyport: %" PRId64 " flows were in use all the time: try again\n",
		field_int(reply, "busy"));
	return CTL_FAILED;
}
