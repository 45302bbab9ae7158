/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport machine: a user's virtual machines, and when they run. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/mac.h"
#include "lib/units.h"
#include "sallyport/limits.h"

/* Longer than any guest takes to boot or to shut down by itself. */
#define WAIT_US (180ULL * 1000000)

static int check_name(const struct ctl_args *args, const char *what, const char *name)
{
	if (parse_name(name, SP_NAME_MAX) == 0)
		return CTL_OK;
	return call_usage(args,
			  "%s '%.80s': expected a name: letters, digits, '_', '.', '@', '-', not "
			  "'.' or '-' first",
			  what, name);
}

/* {"op": OP, "user": ..., "name": ...} of the two positional arguments. */
static int new_request(const struct ctl_args *args, const char *op, json_t **ret)
{
	int r = check_name(args, "user", args->positional[0])
			?: check_name(args, "machine", args->positional[1]);

	if (r != CTL_OK)
		return r;
	*ret = call_new(op);
	call_set(*ret, "user", args->positional[0]);
	call_set(*ret, "name", args->positional[1]);
	return CTL_OK;
}

static void set_flag(json_t *request, const struct ctl_args *args, const char *option,
		     const char *field)
{
	if (option_value(args, option))
		json_object_set_new(request, field, json_true());
}

/* --- options that are values --- */

static int set_memory(const struct ctl_args *args, const char *option, const char *field,
		      json_t *request)
{
	const char *value = option_value(args, option);
	uint64_t mib;

	if (!value)
		return CTL_OK;
	if (memory_parse(value, &mib) < 0 || mib < 1 || mib > 1 << 30)
		return call_usage(args, "--%s '%.32s': expected a size as 512M or 16G", option,
				  value);
	call_set_int(request, field, (int64_t)mib);
	return CTL_OK;
}

static int set_vcpus(const struct ctl_args *args, json_t *request)
{
	const char *value = option_value(args, "vcpus");
	uint64_t n;

	if (!value)
		return CTL_OK;
	if (parse_number(value, 1, 4096, &n) < 0)
		return call_usage(args, "--vcpus '%.32s': expected a number from 1 to 4096", value);
	call_set_int(request, "vcpus", (int64_t)n);
	return CTL_OK;
}

static int set_mac(const struct ctl_args *args, json_t *request)
{
	const char *value = option_value(args, "mac");
	uint8_t mac[6];

	if (value && strcmp(value, "new") != 0 &&
	    (mac_parse(value, mac) < 0 || !mac_is_unicast(mac)))
		return call_usage(args,
				  "--mac '%.32s': expected the address of one device, as "
				  "52:54:00:00:00:01, or new",
				  value);
	call_set(request, "mac", value);
	return CTL_OK;
}

static int set_pinned(const struct ctl_args *args, json_t *request)
{
	const char *pinned = option_value(args, "pinned");

	if (!pinned)
		return CTL_OK;
	if (strcmp(pinned, "yes") != 0 && strcmp(pinned, "no") != 0 && strcmp(pinned, "dhcp") != 0)
		return call_usage(args, "--pinned '%.32s': expected yes, no or dhcp", pinned);
	json_object_set_new(request, "pinned", json_boolean(strcmp(pinned, "no") != 0));
	json_object_set_new(request, "dhcp", json_boolean(strcmp(pinned, "dhcp") == 0));
	return CTL_OK;
}

static int set_yes(const struct ctl_args *args, const char *option, const char *field,
		   json_t *request)
{
	const char *value = option_value(args, option);

	if (!value)
		return CTL_OK;
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return call_usage(args, "--%s '%.32s': expected yes or no", option, value);
	json_object_set_new(request, field, json_boolean(strcmp(value, "yes") == 0));
	return CTL_OK;
}

/* What the daemon parses anyway: its words are better than a second parser's. */
static int set_policy(const struct ctl_args *args, json_t *request)
{
	static const struct {
		const char *option, *field;
	} texts[] = {{"start", "start"}, {"stop", "stop"},     {"grace", "grace"},
		     {"idle", "idle"},	 {"min-up", "min_up"}, {"address", "addresses"}};

	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++) {
		const char *value = option_value(args, texts[i].option);

		if (value && strcmp(texts[i].option, "address") == 0 && strcmp(value, "none") == 0)
			value = "";
		if (call_set(request, texts[i].field, value) < 0)
			return call_usage(args, "--%s: expected UTF-8 text", texts[i].option);
	}
	return set_pinned(args, request)
		       ?: set_yes(args, "router", "router", request)
		       ?: set_yes(args, "dhcp-server", "dhcp_server", request);
}

/* --- printing --- */

static char *join(const json_t *list, const char *between)
{
	char *text = NULL;
	size_t size = 0, i;
	FILE *f = open_memstream(&text, &size);
	json_t *item;

	if (!f)
		text_oom();
	json_array_foreach (list, i, item) {
		const char *s = json_string_value(item);

		fprintf(f, "%s%s", i ? between : "", s ? s : "?");
	}
	if (fclose(f) != 0)
		text_oom();
	return text;
}

static void print_time(const char *label, int64_t s, bool zero_is_never)
{
	char buf[DURATION_MAX];

	text_line(stdout, "  %-10s %s", label,
		  s == 0 && zero_is_never ? "never" : duration_format((uint32_t)s, buf));
}

static void print_firewall(const json_t *f)
{
	bool in_force = json_is_true(json_object_get(f, "in_force"));

	if (json_is_true(json_object_get(f, "default")))
		text_line(stdout, "  %-10s the host's default", "firewall");
	else
		text_line(stdout, "  %-10s its own, generation %" PRId64 "%s", "firewall",
			  field_int(f, "generation"), in_force ? ", in force" : "");
}

static void print_roles(const json_t *m)
{
	bool router = json_is_true(json_object_get(m, "router")),
	     dhcp = json_is_true(json_object_get(m, "dhcp_server"));

	if (router || dhcp)
		text_line(stdout, "  %-10s %s%s%s", "role", router ? "router" : "",
			  router && dhcp ? ", " : "", dhcp ? "DHCP server" : "");
}

static void print_leases(const json_t *leases)
{
	char when[TEXT_NUMBER_MAX];
	json_t *one;
	size_t i;

	if (json_array_size(leases) == 0)
		text_line(stdout, "  %-10s %s", "leases", "none yet");
	json_array_foreach (leases, i, one)
		text_line(stdout, "  %-10s %s %s%s", i ? "" : "leases", field_text(one, "address"),
			  json_object_get(one, "until") ? "until " : "for ever",
			  json_object_get(one, "until") ? text_time(field_int(one, "until"), when)
							: "");
}

static void print_machine(const json_t *m)
{
	_cleanup_free_
	char *addresses = join(json_object_get(m, "addresses"), " ");
	const json_t *p = json_object_get(m, "policy");

	text_line(stdout, "%s/%s: %s%s%s", field_text(m, "user"), field_text(m, "name"),
		  field_text(m, "state"), json_object_get(m, "reason") ? ": " : "",
		  json_object_get(m, "reason") ? field_text(m, "reason") : "");
	text_line(stdout, "  %-10s %s%s", "wanted", field_text(m, "want"),
		  json_is_true(json_object_get(m, "held")) ? " (by hand)" : "");
	text_line(stdout, "  %-10s %s, %" PRId64 " MiB, %" PRId64 " vCPUs, %s", "domain",
		  field_text(m, "domain"), field_int(m, "memory_mib"), field_int(m, "vcpus"),
		  field_text(m, "uuid"));
	text_line(stdout, "  %-10s %s, segment %" PRId64 ", device %s, port %" PRId64, "network",
		  field_text(m, "mac"), field_int(m, "segment"), field_text(m, "device"),
		  field_int(m, "port"));
	text_line(stdout, "  %-10s %s%s", "addresses", addresses[0] ? addresses : "not known yet",
		  json_is_true(json_object_get(m, "pinned")) ? " (pinned)" : "");
	print_roles(m);
	print_firewall(json_object_get(m, "firewall"));
	if (json_is_true(json_object_get(m, "dhcp")))
		print_leases(json_object_get(m, "leases"));
	text_line(stdout, "  %-10s %s", "start", field_text(p, "start"));
	text_line(stdout, "  %-10s %s%s", "stop", field_text(p, "stop"),
		  json_is_true(json_object_get(p, "default_stop")) ? " (default)" : "");
	print_time("grace", field_int(p, "grace_s"), false);
	print_time("idle", field_int(p, "idle_s"), true);
	print_time("min up", field_int(p, "min_up_s"), false);
}

/* Ask; then print the machine that comes back. */
static int run_and_show(const struct ctl *ctl, json_t *request)
{
	_cleanup_json_ json_t *reply = NULL;
	int r = call_run(ctl, request, &reply);

	if (r != CTL_OK || (ctl->quiet && !ctl->json))
		return r;
	if (ctl->json)
		call_print_json(json_object_get(reply, "machine"));
	else
		print_machine(json_object_get(reply, "machine"));
	return CTL_OK;
}

/* --- commands --- */

static void print_dry_run(const json_t *reply)
{
	bool changed = strcmp(field_text(reply, "before"), "-") != 0;

	text_line(stdout,
		  "domain %s, MAC %s, %" PRId64 " MiB, %" PRId64 " vCPUs: nothing was changed",
		  field_text(reply, "domain"), field_text(reply, "mac"),
		  field_int(reply, "memory_mib"), field_int(reply, "vcpus"));
	if (changed)
		printf("\nits interface now:\n%s\n\nwould become:\n%s\n",
		       field_text(reply, "before"), field_text(reply, "after"));
	else
		printf("\n%s\n", field_text(reply, "xml"));
}

static int dry_run(const struct ctl *ctl, json_t *request)
{
	_cleanup_json_ json_t *reply = NULL;
	int r;

	json_object_set_new(request, "dry_run", json_true());
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		call_print_json(reply);
	else
		print_dry_run(reply);
	return CTL_OK;
}

int cmd_machine_add(const struct ctl *ctl, const struct ctl_args *args)
{
	static const char *const texts[] = {"domain", "image",	"format",
					    "kernel", "initrd", "cmdline"};
	_cleanup_json_ json_t *request = NULL;
	int n = 0, r = new_request(args, "machine-add", &request);

	if (r != CTL_OK)
		return r;
	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++)
		if (call_set(request, texts[i], option_value(args, texts[i])) < 0)
			return call_usage(args, "--%s: expected UTF-8 text", texts[i]);
	n = !!option_value(args, "domain") + !!option_value(args, "image") +
	    !!option_value(args, "kernel");
	if (n != 1)
		return call_usage(args, "expected one of --domain, --image and --kernel");
	r = set_memory(args, "disk", "disk_mib", request)
		    ?: set_memory(args, "memory", "memory_mib", request)
		    ?: set_vcpus(args, request)
		    ?: set_mac(args, request)
		    ?: set_policy(args, request);
	if (r != CTL_OK)
		return r;
	if (option_value(args, "dry-run"))
		return dry_run(ctl, TAKE_PTR(request));
	return call_do(ctl, TAKE_PTR(request), "machine %s/%s added", args->positional[0],
		       args->positional[1]);
}

int cmd_machine_remove(const struct ctl *ctl, const struct ctl_args *args)
{
	json_t *request = NULL;
	int r = new_request(args, "machine-remove", &request);

	if (r != CTL_OK)
		return r;
	set_flag(request, args, "delete-disk", "delete_disk");
	return call_do(ctl, request, "machine %s/%s removed", args->positional[0],
		       args->positional[1]);
}

static void add_row(struct table *t, const json_t *m)
{
	_cleanup_free_
	char *addresses = join(json_object_get(m, "addresses"), ",");
	const json_t *p = json_object_get(m, "policy");

	table_cell(t, field_text(m, "user"));
	table_cell(t, field_text(m, "name"));
	table_cell(t, field_text(m, "state"));
	table_cell(t, field_text(m, "want"));
	table_cell(t, field_text(p, "start"));
	table_cell(t, field_text(p, "stop"));
	table_cellf(t, "%" PRId64, field_int(m, "memory_mib"));
	table_cellf(t, "%" PRId64, field_int(m, "vcpus"));
	table_cell(t, field_text(m, "mac"));
	table_cell(t, addresses);
	table_cell(t, field_text(m, "domain"));
	table_cell(t, field_text(m, "reason"));
}

int cmd_machine_list(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_table_ struct table *t = table_new(
		"USER MACHINE STATE WANTED START STOP >MIB >VCPUS MAC ADDRESSES DOMAIN REASON");
	const char *user = option_value(args, "user");
	_cleanup_json_ json_t *reply = NULL;
	json_t *request, *items, *m;
	size_t i;
	int r;

	if (user && check_name(args, "--user", user) != CTL_OK)
		return CTL_USAGE;
	request = call_new("machine-list");
	call_set(request, "user", user);
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	items = json_object_get(reply, "items");
	if (ctl->json) {
		call_print_json(items);
		return CTL_OK;
	}
	json_array_foreach (items, i, m)
		add_row(t, m);
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no machines");
	return CTL_OK;
}

int cmd_machine_show(const struct ctl *ctl, const struct ctl_args *args)
{
	json_t *request = NULL;
	int r = new_request(args, "machine-show", &request);

	return r == CTL_OK ? run_and_show(ctl, request) : r;
}

int cmd_machine_policy(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *request = NULL;
	size_t before;
	int r = new_request(args, "machine-policy", &request);

	if (r != CTL_OK)
		return r;
	before = json_object_size(request);
	r = set_policy(args, request);
	if (r != CTL_OK)
		return r;
	if (json_object_size(request) == before)
		json_object_set_new(request, "op", json_string("machine-show"));
	return run_and_show(ctl, TAKE_PTR(request));
}

/* Waiting for a guest takes longer than a question does. */
static struct ctl patient(const struct ctl *ctl, const struct ctl_args *args)
{
	struct ctl c = *ctl;

	if (option_value(args, "wait") && c.timeout_us < WAIT_US)
		c.timeout_us = WAIT_US;
	return c;
}

int cmd_machine_start(const struct ctl *ctl, const struct ctl_args *args)
{
	const struct ctl c = patient(ctl, args);
	json_t *request = NULL;
	int r = new_request(args, "machine-start", &request);

	if (r != CTL_OK)
		return r;
	set_flag(request, args, "wait", "wait");
	return run_and_show(&c, request);
}

int cmd_machine_stop(const struct ctl *ctl, const struct ctl_args *args)
{
	const struct ctl c = patient(ctl, args);
	bool pause = option_value(args, "pause"), save = option_value(args, "save");
	_cleanup_json_ json_t *request = NULL;
	int r = new_request(args, "machine-stop", &request);

	if (r != CTL_OK)
		return r;
	if (pause + save + (option_value(args, "now") != NULL) > 1)
		return call_usage(args, "--pause, --save and --now: expected at most one of them");
	call_set(request, "to", pause ? "pause" : save ? "save" : "stop");
	set_flag(request, args, "now", "now");
	set_flag(request, args, "wait", "wait");
	return run_and_show(&c, TAKE_PTR(request));
}

int cmd_machine_discard(const struct ctl *ctl, const struct ctl_args *args)
{
	json_t *request = NULL;
	int r = new_request(args, "machine-discard", &request);

	if (r != CTL_OK)
		return r;
	return call_do(ctl, request, "machine %s/%s: what was saved is thrown away",
		       args->positional[0], args->positional[1]);
}
