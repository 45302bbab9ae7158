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

static void print_libvirt(const json_t *v)
{
	const char *state = field_text(v, "state");
	bool up = strcmp(state, "connected") == 0;

	text_line(stdout, "libvirt    %s %s%s%s", field_text(v, "uri"), state, up ? ", " : ": ",
		  up ? field_text(v, "what") : field_text(v, "error"));
	if (up)
		text_line(stdout, "           accelerator %s: %s", field_text(v, "accel"),
			  field_text(v, "accel_why"));
	if (field_int(v, "orphans"))
		text_line(stdout,
			  "           %" PRId64 " domains carry our mark and are no machines: the "
			  "daemon's log has their names",
			  field_int(v, "orphans"));
}

static void print_resource(const json_t *m, const char *name, const char *field)
{
	int64_t held = field_int(json_object_get(m, "held"), field),
		max = field_int(json_object_get(m, "limits"), field);

	if (max)
		text_line(stdout, "           %s: %" PRId64 " of %" PRId64, name, held, max);
	else
		text_line(stdout, "           %s: %" PRId64, name, held);
}

static void print_machines(const json_t *m)
{
	const json_t *states = json_object_get(m, "states");
	const char *state;
	json_t *n;

	if (field_int(m, "total") == 0)
		return;
	printf("machines   %" PRId64, field_int(m, "total"));
	json_object_foreach ((json_t *)states, state, n)
		printf(", %lld %s", (long long)json_integer_value(n), state);
	putchar('\n');
	print_resource(m, "up", "machines");
	print_resource(m, "MiB of memory", "memory_mib");
	print_resource(m, "vCPUs", "vcpus");
}

static void print_flows(const json_t *f)
{
	if (field_int(f, "segments") == 0)
		return;
	text_line(stdout, "flows      %" PRId64 " of %" PRId64 ", on %" PRId64 " segments",
		  field_int(f, "in_use"), field_int(f, "max"), field_int(f, "segments"));
	if (field_int(f, "refused_full") || field_int(f, "refused_rate"))
		text_line(stdout,
			  "           refused: %" PRId64 " for want of room, %" PRId64 " too fast",
			  field_int(f, "refused_full"), field_int(f, "refused_rate"));
}

static void print_metrics(const json_t *metrics)
{
	bool ok = !json_object_get(metrics, "error");

	if (metrics)
		text_line(stdout, "metrics    http://%s/metrics%s%s", field_text(metrics, "listen"),
			  ok ? "" : " FAILED: ", ok ? "" : field_text(metrics, "error"));
}

static void add_real(struct table *t, const json_t *stage, const char *name)
{
	table_cellf(t, "%.1f", json_number_value(json_object_get(stage, name)));
}

/* Where the time goes: nothing before the first login. */
static void print_stages(const json_t *stages)
{
	_cleanup_table_ struct table *t = table_new("STAGE >COUNT >P50-MS >P90-MS >P99-MS WHAT");
	const json_t *stage;
	size_t i;

	json_array_foreach (stages, i, stage) {
		table_cell(t, field_text(stage, "name"));
		table_cellf(t, "%" PRId64, field_int(stage, "count"));
		add_real(t, stage, "p50_ms");
		add_real(t, stage, "p90_ms");
		add_real(t, stage, "p99_ms");
		table_cell(t, field_text(stage, "text"));
	}
	if (table_rows(t) == 0)
		return;
	putchar('\n');
	table_print(t, stdout, 0, 0, "\n");
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
	print_flows(json_object_get(s, "flows"));
	print_metrics(json_object_get(s, "metrics"));
	text_line(stdout,
		  "holds      %" PRId64 " sessions, %" PRId64 " workloads, %" PRId64 " bindings",
		  field_int(s, "sessions"), field_int(s, "workloads"), field_int(s, "bindings"));
	print_libvirt(json_object_get(s, "libvirt"));
	print_machines(json_object_get(s, "machines"));
	putchar('\n');
	json_array_foreach (json_object_get(s, "instances"), i, instance)
		add_instance(t, instance);
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no instances");
	print_stages(json_object_get(s, "stages"));
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
