/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport counters: what passed by each port, and what was dropped for each reason (I9)? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

static void print_reasons(const json_t *reasons, bool zeros)
{
	_cleanup_table_ struct table *t = table_new("REASON >FRAMES >BYTES >SAMPLED MEANING");
	const json_t *reason;
	char n[TEXT_NUMBER_MAX];
	size_t i;

	json_array_foreach ((json_t *)reasons, i, reason) {
		if (!zeros && field_int(reason, "frames") == 0)
			continue;
		table_cell(t, field_text(reason, "name"));
		table_cellf(t, "%" PRId64, field_int(reason, "frames"));
		table_cell(t, text_bytes((double)field_int(reason, "bytes"), n));
		table_cellf(t, "%" PRId64, field_int(reason, "sampled"));
		table_cell(t, field_text(reason, "text"));
	}
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no drops");
}

static bool is_quiet(const json_t *counters)
{
	return field_int(counters, "rx_frames") == 0 && field_int(counters, "tx_frames") == 0 &&
	       field_int(counters, "drops") == 0;
}

static void print_ports(const json_t *ports, bool zeros)
{
	_cleanup_table_ struct table *t = table_new(
		">PORT KIND NAME USER >SEGMENT DEVICE >RX-FRAMES >RX >TX-FRAMES >TX >DROPS "
		">DROPPED");
	const json_t *port;
	char n[TEXT_NUMBER_MAX];
	size_t i;

	json_array_foreach ((json_t *)ports, i, port) {
		const json_t *c = json_object_get(port, "counters");

		if (!zeros && is_quiet(c))
			continue;
		table_cellf(t, "%" PRId64, field_int(port, "port"));
		table_cell(t, field_text(port, "kind"));
		table_cell(t, field_text(port, "name"));
		table_cell(t, field_text(port, "user"));
		if (field_int(port, "segment"))
			table_cellf(t, "%" PRId64, field_int(port, "segment"));
		else
			table_cell(t, "-");
		table_cell(t, field_text(port, "device"));
		table_cellf(t, "%" PRId64, field_int(c, "rx_frames"));
		table_cell(t, text_bytes((double)field_int(c, "rx_bytes"), n));
		table_cellf(t, "%" PRId64, field_int(c, "tx_frames"));
		table_cell(t, text_bytes((double)field_int(c, "tx_bytes"), n));
		table_cellf(t, "%" PRId64, field_int(c, "drops"));
		table_cell(t, text_bytes((double)field_int(c, "drop_bytes"), n));
	}
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no traffic");
}

int cmd_counters(const struct ctl *ctl, const struct ctl_args *args)
{
	bool reasons = option_value(args, "reasons"), ports = option_value(args, "ports");
	bool zeros = option_value(args, "all");
	_cleanup_json_ json_t *reply = NULL;
	int r = call_run(ctl, call_new("counters"), &reply);

	if (r != CTL_OK)
		return r;
	if (!reasons && !ports)
		reasons = ports = true;
	if (ctl->json) {
		if (!reasons)
			json_object_del(reply, "reasons");
		if (!ports)
			json_object_del(reply, "items");
		call_print_json(reply);
		return CTL_OK;
	}
	if (reasons)
		print_reasons(json_object_get(reply, "reasons"), zeros);
	if (reasons && ports)
		putchar('\n');
	if (ports)
		print_ports(json_object_get(reply, "items"), zeros);
	return CTL_OK;
}
