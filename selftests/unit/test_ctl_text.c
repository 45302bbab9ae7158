// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does the command take the values that are meant, and print what others chose without harm?
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/parse.h"
#include "ctl/password.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

/* --- text --- */

static void test_escape(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{NULL, "-"},
		{"", ""},
		{"alice", "alice"},
		{"with space", "with space"},
		{"\x1b[31mred", "\\x1b[31mred"},
		{"a\nb\tc\rd", "a\\nb\\tc\\x0dd"},
		{"\x7f", "\\x7f"},
		{"back\\slash", "back\\\\slash"},
		{"\xc3\xa9t\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80",
		 "\xc3\xa9t\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80"},
		{"\xc2\x9b"
		 "1A",
		 "\\u{9b}1A"}, /* CSI as C1 */
		{"\xc2\xad", "\\u{ad}"},
		{"\xe2\x80\xae"
		 "evil",
		 "\\u{202e}evil"}, /* right to left */
		{"\xe2\x80\x8b", "\\u{200b}"},
		{"\xe2\x80\xa8", "\\u{2028}"},
		{"\xef\xbb\xbf", "\\u{feff}"},
		{"\xf3\xa0\x80\xa1", "\\u{e0021}"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"\xc0\x80", "\\xc0\\x80"},	     /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"cut \xe6\xbc", "cut \\xe6\\xbc"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_free_
		char *out = text_escape(table[i].in);

		assert_string_equal(out, table[i].out);
	}
}

static void test_width(void **state)
{
	assert_int_equal(text_width(""), 0);
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("\xc3\xa9t\xc3\xa9"), 3);
	assert_int_equal(text_prefix("abc", 2), 2);
	assert_int_equal(text_prefix("abc", 9), 3);
	assert_int_equal(text_prefix("\xc3\xa9t\xc3\xa9", 1), 2);
	assert_int_equal(text_prefix("\xc3\xa9t\xc3\xa9", 0), 0);
}

static void test_numbers(void **state)
{
	static const struct {
		double n;
		const char *bytes, *count;
	} table[] = {
		{0, "0 B", "0"},
		{999, "999 B", "999"},
		{1023, "1023 B", "1023"},
		{1024, "1.0 KiB", "1024"},
		{1536, "1.5 KiB", "1536"},
		{99999, "97.7 KiB", "99999"},
		{100000, "97.7 KiB", "100.0 k"},
		{1048575, "1.0 MiB", "1.0 M"},
		{1e18, "888.2 PiB", "1.0 E"},
	};
	static const struct {
		int64_t s;
		const char *out;
	} durations[] = {{-1, "0 s"},
			 {0, "0 s"},
			 {59, "59 s"},
			 {60, "1 min 0 s"},
			 {3599, "59 min 59 s"},
			 {3600, "1 h 0 min"},
			 {86399, "23 h 59 min"},
			 {86400, "1 d 0 h"},
			 {INT64_MAX, NULL}};
	char buf[TEXT_NUMBER_MAX];

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		assert_string_equal(text_bytes(table[i].n, buf), table[i].bytes);
		assert_string_equal(text_count(table[i].n, buf), table[i].count);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(durations); i++) {
		text_duration(durations[i].s, buf);
		if (durations[i].out)
			assert_string_equal(buf, durations[i].out);
	}
}

static void test_times(void **state)
{
	struct timespec t = {.tv_sec = 86399, .tv_nsec = 1999};
	char buf[TEXT_NUMBER_MAX];

	setenv("TZ", "UTC", 1);
	tzset();
	assert_string_equal(text_time(0, buf), "-");
	assert_string_equal(text_time(-5, buf), "-");
	assert_string_equal(text_time(1795501960, buf), "2026-11-24 06:32:40");
	assert_string_equal(text_time(INT64_MAX, buf), "-");
	assert_string_equal(text_clock(&t, buf), "23:59:59.000001");
	setenv("TZ", "CET-1", 1);
	tzset();
	assert_string_equal(text_time(1795501960, buf), "2026-11-24 07:32:40");
}

/* --- values --- */

static void test_parse_number(void **state)
{
	static const struct {
		const char *in;
		uint64_t min, max;
		int r;
		uint64_t out;
	} table[] = {
		{"0", 0, 9, 0, 0},
		{"9", 0, 9, 0, 9},
		{"10", 0, 9, -EINVAL, 0},
		{"0", 1, 9, -EINVAL, 0},
		{"", 0, 9, -EINVAL, 0},
		{"-1", 0, UINT64_MAX, -EINVAL, 0},
		{"+1", 0, 9, -EINVAL, 0},
		{" 1", 0, 9, -EINVAL, 0},
		{"1 ", 0, 9, -EINVAL, 0},
		{"01", 0, 9, -EINVAL, 0},
		{"0x1", 0, 9, -EINVAL, 0},
		{"1e1", 0, 99, -EINVAL, 0},
		{"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, -EINVAL, 0},
		{"99999999999999999999", 0, UINT64_MAX, -EINVAL, 0},
	};
	static const struct {
		const char *in;
		int r;
		uint64_t ms;
	} seconds[] = {
		{"1", 0, 1000},
		{"0.5", 0, 500},
		{"0.1", 0, 100},
		{"2.25", 0, 2250},
		{"1.999", 0, 1999},
		{"3600", 0, 3600000},
		{"3600.001", -EINVAL, 0},
		{"0", -EINVAL, 0},
		{"0.05", -EINVAL, 0},
		{"1.0000", -EINVAL, 0},
		{"1.", -EINVAL, 0},
		{".5", -EINVAL, 0},
		{"1.x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"x", -EINVAL, 0},
		{"1s", -EINVAL, 0},
		{"99999999999", -EINVAL, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		uint64_t n = 0;

		assert_int_equal(parse_number(table[i].in, table[i].min, table[i].max, &n),
				 table[i].r);
		assert_true(n == table[i].out);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(seconds); i++) {
		uint64_t ms = 0;

		assert_int_equal(parse_seconds_ms(seconds[i].in, &ms), seconds[i].r);
		assert_true(ms == seconds[i].ms);
	}
}

static void test_parse_address(void **state)
{
	static const struct {
		const char *in;
		bool v6;
		int r;
	} table[] = {
		{"10.8.0.10/24", false, 0},
		{"10.8.0.1/32", false, 0},
		{"10.8.0.0/31", false, 0},
		{"10.8.0.0/24", false, -EINVAL},
		{"10.8.0.255/24", false, -EINVAL},
		{"10.8.0.10", false, -EINVAL},
		{"10.8.0.10/", false, -EINVAL},
		{"10.8.0.10/0", false, -EINVAL},
		{"10.8.0.10/33", false, -EINVAL},
		{"10.8.0.10/024", false, -EINVAL},
		{"10.8.0/24", false, -EINVAL},
		{"10.8.0.010/24", false, -EINVAL},
		{"0.0.0.1/8", false, -EINVAL},
		{"127.0.0.1/8", false, -EINVAL},
		{"224.0.0.1/24", false, -EINVAL},
		{"255.255.255.255/32", false, -EINVAL},
		{"fd00::10/64", false, -EINVAL},
		{"fd00::10/64", true, 0},
		{"2001:db8::1/128", true, 0},
		{"fd00::10/129", true, -EINVAL},
		{"fd00::10/0", true, -EINVAL},
		{"::/64", true, -EINVAL},
		{"::1/128", true, -EINVAL},
		{"ff02::1/64", true, -EINVAL},
		{"::ffff:10.0.0.1/96", true, -EINVAL},
		{"10.8.0.10/24", true, -EINVAL},
		{"fd00::1%eth0/64", true, -EINVAL},
		{"/24", false, -EINVAL},
		{"", false, -EINVAL},
		{"1111111111111111111111111111111111111111111111111111111111111111111/24", false,
		 -EINVAL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(parse_address(table[i].in, table[i].v6), table[i].r);
}

static void test_parse_name(void **state)
{
	static const struct {
		const char *in;
		int r;
	} table[] = {
		{"alice", 0},
		{"a.b_c@d-e9", 0},
		{"", -EINVAL},
		{".", -EINVAL},
		{"..", -EINVAL},
		{".a", -EINVAL},
		{"-a", -EINVAL},
		{"a b", -EINVAL},
		{"a/b", -EINVAL},
		{"a:b", -EINVAL},
		{"a\n", -EINVAL},
		{"\xc3\xa9", -EINVAL},
		{"a23456789012345", 0}, /* 15 */
		{"a234567890123456", -EINVAL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(parse_name(table[i].in, 16), table[i].r);
}

static void test_password(void **state)
{
	static const struct {
		const char *in;
		size_t size;
		int r;
		const char *out;
	} table[] = {
		{"secret", 6, 0, "secret"},	{"secret\n", 7, 0, "secret"},
		{"secret\r\n", 8, 0, "secret"}, {" s p \n", 6, 0, " s p "},
		{"", 0, -EINVAL, NULL},		{"\n", 1, -EINVAL, NULL},
		{"\r\n", 2, -EINVAL, NULL},	{"a\nb\n", 4, -EINVAL, NULL},
		{"a\0b", 3, -EINVAL, NULL},	{"secret\n\n", 8, -EINVAL, NULL},
	};
	char buf[SP_PASSWORD_MAX + 8];

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		memcpy(buf, table[i].in, table[i].size);
		assert_int_equal(password_finish(buf, table[i].size), table[i].r);
		if (table[i].out)
			assert_string_equal(buf, table[i].out);
	}
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(password_finish(buf, SP_PASSWORD_MAX), -E2BIG);
	assert_int_equal(password_finish(buf, SP_PASSWORD_MAX - 1), 0);
	assert_int_equal(strlen(buf), SP_PASSWORD_MAX - 1);
}

/* --- tables --- */

static char *print_table(struct table *t, size_t columns, size_t rows)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	table_print(t, f, columns, rows, "\n");
	fclose(f);
	return text;
}

static void test_table(void **state)
{
	_cleanup_table_ struct table *t = table_new("NAME >N LAST");
	_cleanup_free_
	char *all = NULL;
	_cleanup_free_
	char *cut = NULL;

	assert_int_equal(table_rows(t), 0);
	table_cell(t, "a");
	table_cellf(t, "%d", 12345);
	table_cell(t, NULL);
	table_cell(t, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	table_cellf(t, "%d", 1);
	table_cell(t, "x\x1b");
	assert_int_equal(table_rows(t), 2);
	all = print_table(t, 0, 0);
	assert_string_equal(all, "NAME       N  LAST\n"
				 "a      12345  -\n"
				 "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9      1  x\\x1b\n");
	cut = print_table(t, 9, 1);
	assert_string_equal(cut, "NAME\n"
				 "a     123\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),	     cmocka_unit_test(test_width),
		cmocka_unit_test(test_numbers),	     cmocka_unit_test(test_times),
		cmocka_unit_test(test_parse_number), cmocka_unit_test(test_parse_address),
		cmocka_unit_test(test_parse_name),   cmocka_unit_test(test_password),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("ctl_text", tests, NULL, NULL);
}
