/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport session: who is in, and out with them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "sallyport/limits.h"

/* The MAC addresses of a session on one line. */
static char *join_macs(const json_t *macs)
{
	char *text = NULL;
	size_t size = 0, i;
	FILE *f = open_memstream(&text, &size);
	json_t *mac;

	if (!f)
		text_oom();
	json_array_foreach (macs, i, mac) {
		const char *s = json_string_value(mac);

		fprintf(f, "%s%s", i ? "," : "", s ? s : "?");
	}
	if (fclose(f) != 0)
		text_oom();
	return text;
}

static void add_session(struct table *t, const json_t *s)
{
	_cleanup_free_
	char *macs = join_macs(json_object_get(s, "macs"));
	const json_t *counters = json_object_get(s, "counters");
	char n[TEXT_NUMBER_MAX];

	table_cellf(t, "%" PRId64, field_int(s, "id"));
	table_cell(t, field_text(s, "user"));
	table_cell(t, field_text(s, "common_name"));
	table_cell(t, field_text(s, "instance"));
	table_cell(t, field_text(s, "remote"));
	table_cell(t, text_time(field_int(s, "started"), n));
	table_cellf(t, "%" PRId64, field_int(s, "segment"));
	if (field_int(s, "vid"))
		table_cellf(t, "%" PRId64, field_int(s, "vid"));
	else
		table_cell(t, "-");
	table_cell(t, text_bytes((double)field_int(counters, "rx_bytes"), n));
	table_cell(t, text_bytes((double)field_int(counters, "tx_bytes"), n));
	table_cellf(t, "%" PRId64, field_int(counters, "drops"));
	table_cell(t, field_text(s, "address"));
	table_cell(t, field_text(s, "address6"));
	table_cell(t, macs);
}

int cmd_session_list(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_table_ struct table *t = table_new(
		">ID USER COMMON-NAME INSTANCE REMOTE SINCE >SEGMENT >VID >RECEIVED >SENT "
		">DROPS ADDRESS ADDRESS6 MACS");
	const char *user = option_value(args, "user"), *instance = option_value(args, "instance");
	_cleanup_json_ json_t *reply = NULL;
	json_t *request, *items, *s;
	size_t i;
	int r;

	if (user && parse_name(user, SP_NAME_MAX) < 0)
		return call_usage(args, "--user '%.80s': expected a user's name", user);
	if (instance && parse_name(instance, SP_INSTANCE_MAX) < 0)
		return call_usage(args, "--instance '%.80s': expected an instance's name",
				  instance);
	request = call_new("session-list");
	call_set(request, "user", user);
	call_set(request, "instance", instance);
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	items = json_object_get(reply, "items");
	if (ctl->json) {
		call_print_json(items);
		return CTL_OK;
	}
	json_array_foreach (items, i, s)
		add_session(t, s);
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no sessions");
	return CTL_OK;
}

int cmd_session_kill(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *text = args->positional[0];
	json_t *request;
	uint64_t id;

	if (parse_number(text, 1, INT64_MAX, &id) < 0)
		return call_usage(
			args, "'%.32s': expected a session's id, as session list shows it", text);
	request = call_new("session-kill");
	call_set_int(request, "session", (int64_t)id);
	return call_do(ctl, request, "session %s ended", text);
}
