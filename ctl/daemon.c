/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport audit, reload, version: the daemon's log of deeds, its configuration, its age. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

#define AUDIT_LIMIT_MAX 10000

int cmd_audit(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_table_ struct table *t = table_new("WHEN WHO WHAT OBJECT DETAIL");
	const char *limit = option_value(args, "limit");
	_cleanup_json_ json_t *reply = NULL;
	json_t *request, *items;
	char when[TEXT_NUMBER_MAX];
	uint64_t n;
	int r;

	if (limit && parse_number(limit, 1, AUDIT_LIMIT_MAX, &n) < 0)
		return call_usage(args, "--limit '%.32s': expected a number from 1 to %d", limit,
				  AUDIT_LIMIT_MAX);
	request = call_new("audit-list");
	if (limit)
		call_set_int(request, "limit", (int64_t)n);
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	items = json_object_get(reply, "items");
	if (ctl->json) {
		call_print_json(items);
		return CTL_OK;
	}
	/* they come with the latest first; a person reads the end of what scrolled by */
	for (size_t i = json_array_size(items); i-- > 0;) {
		const json_t *entry = json_array_get(items, i);

		table_cell(t, text_time(field_int(entry, "when"), when));
		table_cell(t, field_text(entry, "who"));
		table_cell(t, field_text(entry, "what"));
		table_cell(t, field_text(entry, "object"));
		table_cell(t, field_text(entry, "detail"));
	}
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no entries");
	return CTL_OK;
}

int cmd_reload(const struct ctl *ctl, const struct ctl_args *args)
{
	return call_do(ctl, call_new("reload"), "configuration read again");
}

/* Our own version is an answer even where the daemon gives none. */
int cmd_version(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *reply = NULL;
	int r;

	if (!ctl->json) {
		puts("sallyport " SP_VERSION);
		fflush(stdout);
	}
	r = call_run(ctl, call_new("version"), &reply);
	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		json_object_set_new(reply, "command", json_string(SP_VERSION));
		call_print_json(reply);
		return CTL_OK;
	}
	text_line(stdout, "sallyportd %s, abi %" PRId64, field_text(reply, "version"),
		  field_int(reply, "abi"));
	return CTL_OK;
}
