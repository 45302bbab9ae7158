/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is every ladder that is taken written in a way that reads as the same ladder? */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loader/machine/ladder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_sane(const struct ladder *l)
{
	uint64_t next, at = 0;

	require(l->n >= 1 && l->n <= LADDER_STEPS);
	require(l->steps[l->n - 1].seconds == LADDER_FOR_EVER);
	for (size_t i = 0; i < l->n; i++) {
		require(l->steps[i].level < _LEVELS && l->steps[i].level != LEVEL_RUN);
		require(i == 0 || l->steps[i].level > l->steps[i - 1].level);
		require(ladder_at(l, at, &next) == l->steps[i].level);
		require(next == l->steps[i].seconds && next > 0);
		at += next;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char error[128] = "", out[SP_LADDER_MAX];
	struct ladder l, again;
	size_t at = SIZE_MAX;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (ladder_parse(text, &l, &at, error) == 0) {
		check_sane(&l);
		ladder_format(&l, out);
		require(ladder_parse(out, &again, &at, error) == 0);
		require(again.n == l.n);
		for (size_t i = 0; i < l.n; i++)
			require(again.steps[i].level == l.steps[i].level &&
				again.steps[i].seconds == l.steps[i].seconds);
	} else {
		require(at <= strlen(text) && error[0] && memchr(error, '\0', sizeof(error)));
	}
	free(text);
	return 0;
}
