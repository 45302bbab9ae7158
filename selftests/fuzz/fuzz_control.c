/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does any message crash the control socket's parser, or pass it against its own rules? */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request_error e = {0};
	const struct op *op = NULL;
	json_t *object = NULL;
	int r = request_parse((const char *)data, size, daemon_ops, &op, &object, &e);

	/* What passes has every argument that the op needs, and an op. */
	if (r == 0) {
		if (!op)
			abort();
		for (const struct arg *a = op->args; a->name; a++)
			if ((a->flags & ARG_REQUIRED) && !json_object_get(object, a->name))
				abort();
	} else if (e.error != r || !e.message[0]) {
		abort();
	}
	json_decref(object);
	return 0;
}
