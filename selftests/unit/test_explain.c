// SPDX-License-Identifier: GPL-2.0-or-later
/* Are the frames that are asked about right to the last bit? As another writer makes them. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explain/frame.h"
#include "lib/cleanup.h"
#include "selftests/harness/shape.h"

static const uint8_t to[6] = {2, 0, 0, 0, 0, 1}, from[6] = {2, 0, 0, 0, 0, 2};

#define A4 .src = "10.0.0.1", .dst = "10.0.0.2"
#define A6 .src = "fd00::1", .dst = "fd00::2"

static const struct {
	const char *name;
	struct shape shape;
	uint8_t proto;
} rows[] = {
	{"UDP", {SHAPE_UDP, A4, .a = 40000, .b = 53}, IPPROTO_UDP},
	{"UDP, IPv6", {SHAPE_UDP, A6, .a = 40000, .b = 53}, IPPROTO_UDP},
	{"TCP", {SHAPE_TCP, A4, .a = 40000, .b = 80}, IPPROTO_TCP},
	{"TCP, IPv6", {SHAPE_TCP, A6, .a = 40000, .b = 80}, IPPROTO_TCP},
	{"ICMP", {SHAPE_ICMP, A4, .a = 8, .b = 0}, IPPROTO_ICMP},
	{"ICMPv6", {SHAPE_ICMP, A6, .a = 128, .b = 0}, IPPROTO_ICMPV6},
};

static struct frame_text text_of(const struct shape *s, uint8_t proto)
{
	struct frame_text t = {.proto = proto, .sport = s->a, .dport = s->b, .flags = FRAME_SYN};

	memcpy(t.dst_mac, to, sizeof(to));
	memcpy(t.src_mac, from, sizeof(from));
	shape_address(s->src, t.src);
	shape_address(s->dst, t.dst);
	if (s->kind == SHAPE_ICMP) {
		t.type = (uint8_t)s->a;
		t.code = (uint8_t)s->b;
		t.sport = 0;
	}
	return t;
}

/* What both writers must agree on: all but IPv4's id, and numbers that are free to choose. */
static void test_frames(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct frame_text t = text_of(&rows[i].shape, rows[i].proto);
		uint8_t want[SHAPE_MAX], got[FRAME_MAX];
		size_t ip = strchr(rows[i].shape.src, ':') ? 40 : 20;
		size_t n = shape_bytes(&rows[i].shape, to, from, want), len = frame_write(&t, got);

		assert_int_equal(len, n < SP_EXPLAIN_MIN ? SP_EXPLAIN_MIN : n);
		assert_memory_equal(got, want, 14);
		assert_memory_equal(got + 14, want + 14, 4); /* version, length */
		if (ip == 20)
			assert_memory_equal(got + 26, want + 26, 8);
		else
			assert_memory_equal(got + 18, want + 18, 3);
		/* ports, or type and code */
		assert_memory_equal(got + 14 + ip, want + 14 + ip,
				    rows[i].shape.kind == SHAPE_ICMP ? 2 : 4);
		if (!shape_checksums_right(got, n))
			fail_msg("%s: a checksum is wrong", rows[i].name);
		got[14 + ip] ^= 1; /* and it is a measure */
		assert_false(shape_checksums_right(got, n));
	}
}

static void test_tcp_numbers(void **state)
{
	struct frame_text t = text_of(&rows[2].shape, IPPROTO_TCP);
	static const uint8_t want[] = {0x01, 0x02, 0x03, 0x04, 0xa0, 0xb0, 0xc0, 0xd0, 0x50, 0x12};
	uint8_t got[FRAME_MAX];

	t.seq = 0x01020304;
	t.ack = 0xa0b0c0d0;
	t.flags = FRAME_SYN | FRAME_ACK;
	frame_write(&t, got);
	assert_memory_equal(got + 14 + 20 + 4, want, sizeof(want));
	assert_true(shape_checksums_right(got, 14 + 20 + 20));
}

/* A protocol of which nothing is known has something behind its header, and no checksum. */
static void test_other(void **state)
{
	struct frame_text t = text_of(&rows[0].shape, 47);
	uint8_t got[FRAME_MAX];

	assert_int_equal(frame_write(&t, got), SP_EXPLAIN_MIN);
	assert_int_equal(got[16] << 8 | got[17], 28);
	assert_int_equal(got[23], 47);
	assert_true(shape_checksums_right(got, 14 + 28));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_tcp_numbers),
		cmocka_unit_test(test_other),
	};

	return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
