// SPDX-License-Identifier: GPL-2.0-or-later
/* Are amounts and addresses read as people write them, and nothing else? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/units.h"
#include "loader/machine/addresses.h"

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint32_t s;
	} rows[] = {
		{"0", 0, 0},
		{"0s", 0, 0},
		{"1s", 0, 1},
		{"90s", 0, 90},
		{"10m", 0, 600},
		{"2h", 0, 7200},
		{"1d", 0, 86400},
		{"49710d", 0, 4294944000U},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"90", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{" 1s", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1sm", -EINVAL, 0},
		{"1.5h", -EINVAL, 0},
		{"1S", -EINVAL, 0},
		{"0x1s", -EINVAL, 0},
		{"00", -EINVAL, 0},
		{"01s", -EINVAL, 0},
		{"4294967295s", -ERANGE, 0},
		{"4294967296s", -ERANGE, 0},
		{"49711d", -ERANGE, 0},
		{"99999999999999999999s", -ERANGE, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		uint32_t s = 4711;

		if (duration_parse(rows[i].text, &s) != rows[i].r)
			fail_msg("'%s'", rows[i].text);
		assert_int_equal(s, rows[i].r ? 4711 : rows[i].s);
	}
}

static void test_duration_format(void **state)
{
	static const uint32_t values[] = {0,	1,    59,    60,    61,
					  3600, 5400, 86400, 90000, UINT32_MAX - 1};
	char text[DURATION_MAX];

	assert_string_equal(duration_format(600, text), "10m");
	assert_string_equal(duration_format(0, text), "0");
	for (size_t i = 0; i < SP_ARRAY_SIZE(values); i++) {
		uint32_t back;

		assert_int_equal(duration_parse(duration_format(values[i], text), &back), 0);
		assert_int_equal(back, values[i]);
	}
}

static void test_memory(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t mib;
	} rows[] = {
		{"512", 0, 512},
		{"512M", 0, 512},
		{"2G", 0, 2048},
		{"1T", 0, 1048576},
		{"0", 0, 0},
		{"", -EINVAL, 0},
		{"G", -EINVAL, 0},
		{"1K", -EINVAL, 0},
		{"1GiB", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"99999999999999999999", -EINVAL, 0},
		{"18446744073709551615T", -EINVAL, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		uint64_t mib = 4711;

		if (memory_parse(rows[i].text, &mib) != rows[i].r)
			fail_msg("'%s'", rows[i].text);
		assert_int_equal(mib, rows[i].r ? 4711 : rows[i].mib);
	}
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *bad, *out;
	} rows[] = {
		{"", 0, NULL, ""},
		{"10.8.0.7", 0, NULL, "10.8.0.7"},
		{" 10.8.0.7,, fd00::7\t", 0, NULL, "10.8.0.7 fd00::7"},
		{"fd00:0::7 fd00::7 10.8.0.7 10.8.0.7", 0, NULL, "fd00::7 10.8.0.7"},
		{"fe80::1", 0, NULL, "fe80::1"},
		{"10.8.0.7/24", -EINVAL, "10.8.0.7/24", NULL},
		{"10.8.0.7 10.8.0", -EINVAL, "10.8.0", NULL},
		{"0.0.0.0", -EINVAL, "0.0.0.0", NULL},
		{"127.0.0.1", -EINVAL, "127.0.0.1", NULL},
		{"224.0.0.1", -EINVAL, "224.0.0.1", NULL},
		{"255.255.255.255", -EINVAL, "255.255.255.255", NULL},
		{"::", -EINVAL, "::", NULL},
		{"::1", -EINVAL, "::1", NULL},
		{"ff02::1", -EINVAL, "ff02::1", NULL},
		{"fd00::%eth0", -EINVAL, "fd00::%eth0", NULL},
		{"nonsense", -EINVAL, "nonsense", NULL},
		{"1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4 1.0.0.5 1.0.0.6 1.0.0.7 1.0.0.8 1.0.0.9", -E2BIG,
		 "1.0.0.9", NULL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		char out[SP_ADDRESSES_MAX];
		const char *bad = NULL;
		struct addresses a;

		if (addresses_parse(rows[i].text, &a, &bad) != rows[i].r)
			fail_msg("'%s'", rows[i].text);
		if (rows[i].r) {
			assert_int_equal(strncmp(bad, rows[i].bad, strlen(rows[i].bad)), 0);
			continue;
		}
		addresses_format(&a, out);
		assert_string_equal(out, rows[i].out);
	}
}

/* The longest that can be, there and back. */
static void test_addresses_longest(void **state)
{
	char text[SP_ADDRESSES_MAX] = "", out[SP_ADDRESSES_MAX];
	struct addresses a;

	for (int i = 0; i < SP_ADDRESSES_N; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s2001:db8:1111:2222:3333:4444:5555:%x", i ? " " : "", 0x1000 + i);
	assert_int_equal(addresses_parse(text, &a, NULL), 0);
	addresses_format(&a, out);
	assert_string_equal(out, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_duration_format),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
