// SPDX-License-Identifier: GPL-2.0-or-later
/* Is a checksum that was left to a device completed, and every other one left alone? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"
#include "lib/cleanup.h"
#include "selftests/harness/shape.h"

static const uint8_t to[6] = {2, 0, 0, 0, 0, 1}, from[6] = {2, 0, 0, 0, 0, 2};

#define A4 .src = "10.0.0.1", .dst = "10.0.0.2"
#define A6 .src = "fd00::1", .dst = "fd00::2"

static const struct {
	const char *name;
	struct shape shape;
	bool completed; /* where it was left to the device */
} rows[] = {
	{"TCP, IPv4", {SHAPE_TCP, A4, .a = 1000, .b = 80, .data = 33}, true},
	{"TCP, IPv4 options", {SHAPE_TCP, A4, .a = 1, .b = 2, .how = SHAPE_OPTIONS}, true},
	{"TCP, IPv6", {SHAPE_TCP, A6, .a = 1000, .b = 80, .data = 1400}, true},
	{"UDP, IPv4", {SHAPE_UDP, A4, .a = 1000, .b = 53, .data = 7}, true},
	{"UDP, IPv6", {SHAPE_UDP, A6, .a = 1000, .b = 53}, true},
	{"UDP, IPv6, hop-by-hop", {SHAPE_UDP, A6, .a = 1, .b = 2, .how = SHAPE_HOP}, true},
	{"UDP, IPv6, nine headers",
	 {SHAPE_UDP, A6, .a = 1, .b = 2, .how = SHAPE_LONG_CHAIN},
	 false},
	{"ICMPv6", {SHAPE_ICMP, A6, .a = 128, .data = 56}, true},
	{"fragment, IPv4", {SHAPE_UDP, A4, .a = 1, .b = 2, .data = 64, .how = SHAPE_FIRST}, false},
	{"fragment, IPv6", {SHAPE_UDP, A6, .a = 1, .b = 2, .data = 64, .how = SHAPE_FIRST}, false},
	{"another protocol", {SHAPE_OTHER, A4, .a = 47, .data = 20}, false},
	{"longer than the frame", {SHAPE_UDP, A4, .a = 1, .b = 2, .how = SHAPE_LENGTH_PLUS}, false},
	{"longer than the frame, IPv6",
	 {SHAPE_UDP, A6, .a = 1, .b = 2, .how = SHAPE_LENGTH_PLUS},
	 false},
	{"not IPv4", {SHAPE_UDP, A4, .a = 1, .b = 2, .how = SHAPE_VERSION}, false},
	{"ARP", {SHAPE_ARP, A4, .a = 1, .lla = from}, false},
};

/* In memory of exactly its size: the sanitizer sees who reads or writes past its end. */
static bool complete(const uint8_t *frame, size_t n, uint8_t *ret)
{
	uint8_t *exact = malloc(n ?: 1);
	bool r;

	memcpy(exact, frame, n);
	r = checksum_complete(exact, n);
	memcpy(ret, exact, n);
	free(exact);
	return r;
}

static void test_rows(void **state)
{
	uint8_t whole[SHAPE_MAX], partial[SHAPE_MAX], got[SHAPE_MAX];

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct shape s = rows[i].shape;
		size_t n = shape_bytes(&s, to, from, whole);

		if (complete(whole, n, got) || memcmp(got, whole, n) != 0)
			fail_msg("%s: a checksum that was whole was touched", rows[i].name);
		s.how |= SHAPE_PARTIAL;
		shape_bytes(&s, to, from, partial);
		if (complete(partial, n, got) != rows[i].completed)
			fail_msg("%s: completed or not, and should have been the other",
				 rows[i].name);
		if (memcmp(got, rows[i].completed ? whole : partial, n) != 0)
			fail_msg("%s: not the bytes that it should be", rows[i].name);
	}
}

/* A frame that was damaged on its way arrives damaged. */
static void test_damaged(void **state)
{
	const struct shape s = {SHAPE_TCP, A4, .a = 1000, .b = 80, .data = 33};
	uint8_t frame[SHAPE_MAX], got[SHAPE_MAX];
	size_t n = shape_bytes(&s, to, from, frame);

	frame[n - 1] ^= 1;
	assert_false(complete(frame, n, got));
	assert_memory_equal(got, frame, n);
}

/* UDP's 0 means none (RFC 768), so that a sum of 0 is written as 0xffff. */
static void test_udp_zero(void **state)
{
	const struct shape s = {SHAPE_UDP, A4, .data = 2, .how = SHAPE_PARTIAL};
	uint8_t frame[SHAPE_MAX], got[SHAPE_MAX];
	size_t n = shape_bytes(&s, to, from, frame);
	unsigned int met = 0;

	for (unsigned int v = 0; v < 0x10000; v++) {
		frame[n - 2] = (uint8_t)(v >> 8);
		frame[n - 1] = (uint8_t)v;
		assert_true(complete(frame, n, got));
		assert_true(shape_checksums_right(got, n));
		assert_true(got[40] | got[41]);
		met += got[40] == 0xff && got[41] == 0xff;
	}
	assert_int_equal(met, 1);
	frame[40] = frame[41] = 0; /* none at all: stays so */
	assert_false(complete(frame, n, got));
}

static void test_cut(void **state)
{
	uint8_t frame[SHAPE_MAX], got[SHAPE_MAX];

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct shape s = rows[i].shape;
		size_t n;

		s.how |= SHAPE_PARTIAL;
		n = shape_bytes(&s, to, from, frame);
		for (size_t cut = 0; cut < n; cut++)
			assert_false(complete(frame, cut, got));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
