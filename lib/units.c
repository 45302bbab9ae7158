/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Amounts as people write them. */
#include "units.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

int memory_parse(const char *text, uint64_t *ret_mib)
{
	uint64_t v, unit = 1;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = *end == 'M' ? 1 : *end == 'G' ? 1024 : *end == 'T' ? 1024 * 1024 : 0;
		end++;
	}
	if (!unit || *end || __builtin_mul_overflow(v, unit, &v))
		return -EINVAL;
	*ret_mib = v;
	return 0;
}

static const struct {
	char letter;
	uint32_t seconds;
} units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

#define N_UNITS (sizeof(units) / sizeof(units[0]))

int duration_parse(const char *text, uint32_t *ret_s)
{
	unsigned long long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	for (size_t i = 0; i < N_UNITS; i++) {
		if (end[0] != units[i].letter || end[1])
			continue;
		if (v > UINT32_MAX / units[i].seconds)
			return -ERANGE;
		*ret_s = (uint32_t)v * units[i].seconds;
		return 0;
	}
	if (v || *end) /* a number without a unit says nothing, but for none at all */
		return -EINVAL;
	*ret_s = 0;
	return 0;
}

const char *duration_format(uint32_t s, char ret[16])
{
	size_t i = 0;

	while (i < N_UNITS - 1 && (s == 0 || s % units[i].seconds))
		i++;
	snprintf(ret, 16, "%u%c", s / units[i].seconds, units[i].letter);
	return ret;
}
