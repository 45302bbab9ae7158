/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is every MAC and MAC@VID read as what it is, and nothing else as one? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/mac.h"

#define BYTES(...)                                                                                 \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static const struct {
	const char *text;
	int bare;   /* of mac_parse: 0 or -1 */
	int at_vid; /* of mac_parse_at_vid */
	uint8_t mac[6];
	uint16_t vid;
} rows[] = {
	{"02:00:00:00:00:01", 0, 0, BYTES(2, 0, 0, 0, 0, 1), 0},
	{"fF:Aa:bB:00:99:0c", 0, 0, BYTES(0xff, 0xaa, 0xbb, 0, 0x99, 0x0c), 0},
	{"02:00:00:00:00:01@0", -1, 0, BYTES(2, 0, 0, 0, 0, 1), 0},
	{"02:00:00:00:00:01@1", -1, 0, BYTES(2, 0, 0, 0, 0, 1), 1},
	{"02:00:00:00:00:01@4095", -1, 0, BYTES(2, 0, 0, 0, 0, 1), 4095},
	{"02:00:00:00:00:01@4096", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@65537", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@99999999999999999999", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@01", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@00", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@+1", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@-1", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@ 1", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@1 ", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01@1@1", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01\n", -1, -1, BYTES(0), 0},
	{" 02:00:00:00:00:01", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:1", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00", -1, -1, BYTES(0), 0},
	{"02:00:00:00:00:01:02", -1, -1, BYTES(0), 0},
	{"02-00-00-00-00-01", -1, -1, BYTES(0), 0},
	{"0200.0000.0001", -1, -1, BYTES(0), 0},
	{"0g:00:00:00:00:01", -1, -1, BYTES(0), 0},
	{"0x:00:00:00:00:01", -1, -1, BYTES(0), 0},
	{"", -1, -1, BYTES(0), 0},
	{"0", -1, -1, BYTES(0), 0},
	{"@1", -1, -1, BYTES(0), 0},
	{"::::::", -1, -1, BYTES(0), 0},
};

/* A text in memory of exactly its size: reading past its end is seen by the sanitizer. */
static char *exact(const char *text)
{
	return strdup(text);
}

static void test_parse(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_free_
		char *text = exact(rows[i].text);
		uint8_t mac[6] = {9, 9, 9, 9, 9, 9};
		const uint8_t untouched[6] = {9, 9, 9, 9, 9, 9};
		uint16_t vid = 9999;

		print_message("# '%s'\n", rows[i].text);
		assert_int_equal(mac_parse(text, mac) < 0 ? -1 : 0, rows[i].bare);
		assert_memory_equal(mac, rows[i].bare < 0 ? untouched : rows[i].mac, 6);
		memcpy(mac, untouched, 6);
		assert_int_equal(mac_parse_at_vid(text, mac, &vid) < 0 ? -1 : 0, rows[i].at_vid);
		assert_memory_equal(mac, rows[i].at_vid < 0 ? untouched : rows[i].mac, 6);
		assert_int_equal(vid, rows[i].at_vid < 0 ? 9999 : rows[i].vid);
	}
}

static void test_format(void **state)
{
	const uint8_t mac[6] = {0x02, 0xAB, 0, 0xff, 0x10, 1};
	char buf[MAC_STRLEN];

	assert_ptr_equal(mac_format(mac, buf), buf);
	assert_string_equal(buf, "02:ab:00:ff:10:01");
}

static void test_unicast(void **state)
{
	assert_true(mac_is_unicast((const uint8_t[]){2, 0, 0, 0, 0, 1}));
	assert_true(mac_is_unicast((const uint8_t[]){0, 0, 0, 0, 0, 1}));
	assert_false(mac_is_unicast((const uint8_t[]){0, 0, 0, 0, 0, 0}));
	assert_false(mac_is_unicast((const uint8_t[]){1, 0, 0x5e, 0, 0, 1}));
	assert_false(mac_is_unicast((const uint8_t[]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_unicast),
	};

	return cmocka_run_group_tests_name("mac", tests, NULL, NULL);
}
