// SPDX-License-Identifier: GPL-2.0-or-later
/* Is a guest that wakes told of its neighbors by a question that it would have got from them? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"
#include "lib/cleanup.h"
#include "machine/neighbor.h"
#include "selftests/harness/shape.h"

static const uint8_t guest[6] = {2, 0, 0, 0, 0, 1}, user[6] = {2, 0, 0, 0, 0, 2};

static const struct {
	const char *name;
	struct shape frame, question; /* question.src NULL: none */
} rows[] = {
	{"TCP, IPv4",
	 {SHAPE_TCP, "10.0.0.2", "10.0.0.1", .a = 1, .b = 2, .data = 9},
	 {SHAPE_ARP, "10.0.0.2", "10.0.0.1", .lla = user, .a = 1}},
	{"a fragment, IPv4",
	 {SHAPE_UDP, "10.0.0.2", "10.0.0.1", .data = 64, .how = SHAPE_LATER},
	 {SHAPE_ARP, "10.0.0.2", "10.0.0.1", .a = 1, .lla = user}},
	{"UDP, IPv6",
	 {SHAPE_UDP, "fd00::2", "fd00::1", .a = 1, .b = 2},
	 {SHAPE_NS, "fd00::2", "fd00::1", .target = "fd00::1", .lla = user}},
	{"link-local",
	 {SHAPE_ICMP, "fe80::2", "fe80::1", .a = 128, .data = 8},
	 {SHAPE_NS, "fe80::2", "fe80::1", .target = "fe80::1", .lla = user}},
	{"from nobody", {SHAPE_UDP, "0.0.0.0", "10.0.0.1", .a = 68, .b = 67}, {.src = NULL}},
	{"to a group", {SHAPE_UDP, "10.0.0.2", "224.0.0.1", .a = 1}, {.src = NULL}},
	{"from nobody, IPv6", {SHAPE_ICMP, "::", "fd00::1", .a = 128}, {.src = NULL}},
	{"to a group, IPv6", {SHAPE_UDP, "fd00::2", "ff02::1", .a = 1}, {.src = NULL}},
	{"ARP", {SHAPE_ARP, "10.0.0.2", "10.0.0.1", .a = 1, .lla = user}, {.src = NULL}},
};

static void test_rows(void **state)
{
	uint8_t frame[SHAPE_MAX], want[SHAPE_MAX], got[NEIGHBOR_LEN];

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		size_t n = shape_bytes(&rows[i].frame, guest, user, frame);
		size_t asked = neighbor_question(frame, n, got), expected = 0;

		if (rows[i].question.src)
			expected = shape_bytes(&rows[i].question, guest, user, want);
		if (asked != expected)
			fail_msg("%s: a question of %zu bytes, not %zu", rows[i].name, asked,
				 expected);
		checksum_complete(got, asked);
		if (memcmp(got, want, expected) != 0)
			fail_msg("%s: another question", rows[i].name);
	}
}

/* The sanitizer sees who reads past the end. */
static void test_cut(void **state)
{
	uint8_t frame[SHAPE_MAX], got[NEIGHBOR_LEN];

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		size_t n = shape_bytes(&rows[i].frame, guest, user, frame);

		for (size_t cut = 0; cut < n && cut < 54; cut++) {
			uint8_t *exact = malloc(cut ?: 1);

			memcpy(exact, frame, cut);
			if (cut < 34)
				assert_int_equal(neighbor_question(exact, cut, got), 0);
			else
				neighbor_question(exact, cut, got);
			free(exact);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests_name("neighbor", tests, NULL, NULL);
}
