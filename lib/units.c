/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Amounts as people write them. */
#include "units.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

	if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text[1] >= '0' && text[1] <= '9'))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || v > UINT32_MAX)
		return -ERANGE;
	if (v == 0 && !*end) { /* of no time nobody needs to say the unit */
		*ret_s = 0;
		return 0;
	}
	for (size_t i = 0; i < N_UNITS; i++) {
		if (end[0] != units[i].letter || end[1])
			continue;
		if (v * units[i].seconds >= UINT32_MAX)
			return -ERANGE;
		*ret_s = (uint32_t)v * units[i].seconds;
		return 0;
	}
	return -EINVAL;
}

const char *duration_format(uint32_t s, char ret[DURATION_MAX])
{
	size_t i = 0;

	if (s == 0) {
		strcpy(ret, "0");
		return ret;
	}
	while (s % units[i].seconds)
		i++;
	snprintf(ret, DURATION_MAX, "%u%c", s / units[i].seconds, units[i].letter);
	return ret;
}

int size_parse(const char *text, uint64_t *ret)
{
	uint64_t n, unit = 1;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = *end == 'K' ? 1000 : *end == 'M' ? 1000000 : *end == 'G' ? 1000000000 : 0;
		end++;
	}
	if (!unit || *end || __builtin_mul_overflow(n, unit, &n))
		return -EINVAL;
	*ret = n;
	return 0;
}
