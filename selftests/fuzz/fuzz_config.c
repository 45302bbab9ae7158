/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does any text crash the parser of sallyportd.conf? */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "loader/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = NULL;

	if (config_parse("fuzz", (const char *)data, size, &c, NULL) == 0)
		config_free(c);
	return 0;
}
