/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport workload: what is on a user's segment besides the user's own devices. */
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "lib/cleanup.h"
#include "lib/mac.h"
#include "sallyport/limits.h"

static int check_name(const struct ctl_args *args, const char *what, const char *name)
{
	if (parse_name(name, SP_NAME_MAX) == 0)
		return CTL_OK;
	return call_usage(args,
			  "%s '%.80s': expected a name: letters, digits, '_', '.', '@', '-', not "
			  "'.' or '-' first",
			  what, name);
}

static int check_mac(const struct ctl_args *args, const char *text)
{
	uint8_t mac[6];

	if (mac_parse(text, mac) == 0 && mac_is_unicast(mac))
		return CTL_OK;
	return call_usage(args,
			  "--mac '%.32s': expected the address of one device, as in "
			  "02:00:00:00:00:01",
			  text);
}

/* {"op": OP, "user": ..., "name": ...} of the two positional arguments. */
static int new_request(const struct ctl_args *args, const char *op, json_t **ret)
{
	int r = check_name(args, "user", args->positional[0])
			?: check_name(args, "workload", args->positional[1]);

	if (r != CTL_OK)
		return r;
	*ret = call_new(op);
	call_set(*ret, "user", args->positional[0]);
	call_set(*ret, "name", args->positional[1]);
	return CTL_OK;
}

int cmd_workload_add(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *netns = option_value(args, "netns"), *mac = option_value(args, "mac");
	const char *ifname = option_value(args, "ifname");
	_cleanup_json_ json_t *request = NULL;
	int r = new_request(args, "workload-add", &request);

	if (r != CTL_OK)
		return r;
	if (!netns)
		return call_usage(args, "expected --netns NETNS");
	r = check_name(args, "--netns", netns);
	if (r == CTL_OK && mac)
		r = check_mac(args, mac);
	if (r != CTL_OK)
		return r;
	if (ifname && parse_name(ifname, IFNAMSIZ) < 0)
		return call_usage(args,
				  "--ifname '%.32s': expected a device's name of 1 to 15 bytes",
				  ifname);
	call_set(request, "netns", netns);
	call_set(request, "ifname", ifname);
	call_set(request, "mac", mac);
	return call_do(ctl, TAKE_PTR(request), "workload %s/%s added", args->positional[0],
		       args->positional[1]);
}

int cmd_workload_remove(const struct ctl *ctl, const struct ctl_args *args)
{
	json_t *request = NULL;
	int r = new_request(args, "workload-remove", &request);

	if (r != CTL_OK)
		return r;
	return call_do(ctl, request, "workload %s/%s removed", args->positional[0],
		       args->positional[1]);
}

int cmd_workload_list(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_table_ struct table *t =
		table_new("USER WORKLOAD STATE >SEGMENT NETNS IFNAME MAC DEVICE >PORT REASON");
	const char *user = option_value(args, "user");
	_cleanup_json_ json_t *reply = NULL;
	json_t *request, *items, *w;
	size_t i;
	int r;

	if (user && check_name(args, "--user", user) != CTL_OK)
		return CTL_USAGE;
	request = call_new("workload-list");
	call_set(request, "user", user);
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	items = json_object_get(reply, "items");
	if (ctl->json) {
		call_print_json(items);
		return CTL_OK;
	}
	json_array_foreach (items, i, w) {
		table_cell(t, field_text(w, "user"));
		table_cell(t, field_text(w, "name"));
		table_cell(t, field_text(w, "state"));
		table_cellf(t, "%" PRId64, field_int(w, "segment"));
		table_cell(t, field_text(w, "netns"));
		table_cell(t, field_text(w, "ifname"));
		table_cell(t, field_text(w, "mac"));
		table_cell(t, field_text(w, "device"));
		table_cellf(t, "%" PRId64, field_int(w, "port"));
		table_cell(t, field_text(w, "reason"));
	}
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no workloads");
	return CTL_OK;
}
