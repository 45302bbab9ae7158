/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does completing a frame's checksum change two bytes at the most, and nothing where it says so? */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *frame = malloc(size ? size : 1);
	size_t changed = 0;
	int done;

	if (!frame)
		return 0;
	memcpy(frame, data, size);
	done = checksum_complete(frame, size);
	for (size_t i = 0; i < size; i++)
		changed += frame[i] != data[i];
	if (changed > 2 || (!done && changed))
		abort();
	free(frame);
	return 0;
}
