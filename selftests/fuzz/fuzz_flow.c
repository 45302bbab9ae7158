/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does any filter of flows break who takes it, or whoever compares flows with it? The input is the
 * request's arguments as JSON; what is behind its first NUL is a flow as it might stand in a table.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loader/machine/flow_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes may be in a table that is damaged. */
static void look(const struct flow_filter *filter, const uint8_t *data, size_t size)
{
	struct flow_found found = {.left_ms = 1};
	json_t *view;

	memcpy(&found.f, data, size < sizeof(found.f) ? size : sizeof(found.f));
	found.f.six = size & 1;
	(void)flow_matches(filter, &found.f);
	view = flow_view(&found);
	if (!view)
		abort();
	json_decref(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t n = end ? (size_t)(end - data) : size;
	const char *field = NULL, *expected = NULL;
	json_t *args = json_loadb((const char *)data, n, 0, NULL);
	struct flow_filter filter;
	bool given;
	int r;

	if (!json_is_object(args)) {
		json_decref(args);
		return 0;
	}
	r = flow_filter_take(args, &filter, &given, &field, &expected);
	if (r == 0)
		look(&filter, end ? end + 1 : data, end ? size - n - 1 : 0);
	else if (r != -EINVAL || !field || !expected)
		abort();
	json_decref(args);
	return 0;
}
