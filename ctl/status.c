/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport status: is the daemon well, and are its instances? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

static void add_instance(struct table *t, const json_t *i)
{
	table_cell(t, field_text(i, "name"));
	table_cell(t, field_text(i, "mode"));
	table_cell(t, field_text(i, "tap"));
	table_cell(t, field_text(i, "state"));
	if (field_int(i, "openvpn_pid"))
		table_cellf(t, "%" PRId64, field_int(i, "openvpn_pid"));
	else
		table_cell(t, "-");
	table_cell(t, field_text(i, "management"));
	table_cellf(t, "%" PRId64, field_int(i, "sessions"));
	if (strcmp(field_text(i, "mode"), "vlan") == 0) {
		table_cellf(t, "%" PRId64, field_int(i, "vids_used"));
		table_cellf(t, "%" PRId64, field_int(i, "vids_resting"));
		table_cellf(t, "%" PRId64, field_int(i, "vids_free"));
	} else {
		table_cell(t, "-");
		table_cell(t, "-");
		table_cell(t, "-");
	}
	table_cell(t, field_text(i, "reason"));
}

static void print_store(const json_t *store)
{
	bool ok = json_is_true(json_object_get(store, "ok"));

	text_line(stdout, "store      %s%s%s", field_text(store, "description"),
		  ok ? " ok" : " FAILED: ", ok ? "" : field_text(store, "error"));
}

static void print_status(const json_t *s)
{
	_cleanup_table_ struct table *t = table_new("INSTANCE MODE TAP STATE >OPENVPN MANAGEMENT "
						    ">SESSIONS >VIDS >RESTING >FREE REASON");
	const json_t *features = json_object_get(s, "features");
	json_t *instance;
	char up[TEXT_NUMBER_MAX];
	size_t i;

	text_line(stdout, "sallyportd %s, process %" PRId64 ", up %s", field_text(s, "version"),
		  field_int(s, "pid"), text_duration(field_int(s, "uptime_s"), up));
	text_line(stdout, "dataplane  abi %" PRId64 ", %s, XDP %s", field_int(s, "abi"),
		  json_is_true(json_object_get(features, "tcx")) ? "TCX" : "clsact",
		  json_is_true(json_object_get(features, "xdp_native")) ? "native" : "generic");
	print_store(json_object_get(s, "store"));
	text_line(stdout,
		  "holds      %" PRId64 " sessions, %" PRId64 " workloads, %" PRId64 " bindings",
		  field_int(s, "sessions"), field_int(s, "workloads"), field_int(s, "bindings"));
	putchar('\n');
	json_array_foreach (json_object_get(s, "instances"), i, instance)
		add_instance(t, instance);
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no instances");
}

int cmd_status(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *reply = NULL;
	int r = call_run(ctl, call_new("status"), &reply);

	if (r != CTL_OK)
		return r;
	if (ctl->json)
		call_print_json(reply);
	else
		print_status(reply);
	return CTL_OK;
}
