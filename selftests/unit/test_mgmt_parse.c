// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is what OpenVPN says on its management socket read right?
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "mgmt_parse.h"

#define HEADER                                                                                     \
	"HEADER\tCLIENT_LIST\tCommon Name\tReal Address\tVirtual Address\tVirtual IPv6 Address\t"  \
	"Bytes Received\tBytes Sent\tConnected Since\tConnected Since (time_t)\tUsername\t"        \
	"Client ID\tPeer ID\tData Channel Cipher"
#define CLIENT                                                                                     \
	"CLIENT_LIST\tuser1\t10.9.0.11:51093\t10.50.0.100\t\t2837\t3122\t2026-11-22 16:30:22\t"    \
	"1795362622\tlogin1\t0\t0\tAES-256-GCM"

static void test_address(void **state)
{
	static const struct {
		const char *in;
		int r;
		const char *ip;
		uint16_t port;
	} table[] = {
		{"10.9.0.11:51093", 0, "10.9.0.11", 51093},
		{"192.0.2.1:1", 0, "192.0.2.1", 1},
		{"192.0.2.1:65535", 0, "192.0.2.1", 65535},
		{"192.0.2.1", 0, "192.0.2.1", 0},
		{"[2001:db8::1]:1194", 0, "2001:db8::1", 1194},
		{"[2001:DB8:0::1]:1194", 0, "2001:db8::1", 1194},
		{"2001:db8::1", 0, "2001:db8::1", 0},
		{"2001:db8:0:0:0:0:0:1:1194", 0, "2001:db8::1", 1194},
		{"::ffff:192.0.2.1", 0, "192.0.2.1", 0},
		{"::ffff:192.0.2.1:1194", 0, "192.0.2.1", 1194},
		{"[::ffff:192.0.2.1]:1194", 0, "192.0.2.1", 1194},
		{"udp4:192.0.2.1:1194", 0, "192.0.2.1", 1194},
		{"tcp6-server:[2001:db8::1]:1194", 0, "2001:db8::1", 1194},
		{"", -EBADMSG, NULL, 0},
		{":", -EBADMSG, NULL, 0},
		{":1194", -EBADMSG, NULL, 0},
		{"[", -EBADMSG, NULL, 0},
		{"[]", -EBADMSG, NULL, 0},
		{"[]:1", -EBADMSG, NULL, 0},
		{"[2001:db8::1]", -EBADMSG, NULL, 0},
		{"[192.0.2.1]:1194", -EBADMSG, NULL, 0},
		{"[2001:db8::1]x:1194", -EBADMSG, NULL, 0},
		{"192.0.2.1:", -EBADMSG, NULL, 0},
		{"192.0.2.1:0", -EBADMSG, NULL, 0},
		{"192.0.2.1:01", -EBADMSG, NULL, 0},
		{"192.0.2.1:65536", -EBADMSG, NULL, 0},
		{"192.0.2.1:+1", -EBADMSG, NULL, 0},
		{"192.0.2.1: 1", -EBADMSG, NULL, 0},
		{"192.0.2.256:1", -EBADMSG, NULL, 0},
		{"sctp:192.0.2.1:1194", -EBADMSG, NULL, 0},
		{"fe80::1%eth0", -EBADMSG, NULL, 0},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
		 -EBADMSG, NULL, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		char ip[SP_ADDR_STRLEN] = "untouched";
		uint16_t port = 9;
		int r = mgmt_parse_address(table[i].in, ip, &port);

		if (r != table[i].r)
			fail_msg("'%s': %d, expected %d", table[i].in, r, table[i].r);
		assert_string_equal(ip, r ? "untouched" : table[i].ip);
		assert_int_equal(port, r ? 9 : table[i].port);
	}
}

static void test_pid(void **state)
{
	static const struct {
		const char *in;
		int64_t pid; /* 0: refused */
	} table[] = {
		{"SUCCESS: pid=1234", 1234},
		{"SUCCESS: pid=4194304", 4194304},
		{"SUCCESS: pid=4194305", 0},
		{"SUCCESS: pid=0", 0},
		{"SUCCESS: pid=-1", 0},
		{"SUCCESS: pid=", 0},
		{"SUCCESS: pid=12x", 0},
		{"SUCCESS: hold release succeeded", 0},
		{"pid=1234", 0},
		{"", 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		int64_t pid = 0;
		int r = mgmt_parse_pid(table[i].in, &pid);

		assert_int_equal(r, table[i].pid ? 0 : -EBADMSG);
		assert_int_equal(pid, table[i].pid);
	}
}

static void test_classify(void **state)
{
	static const struct {
		const char *in;
		enum mgmt_line_kind kind;
	} table[] = {
		{">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info",
		 MGMT_LINE_NOTIFY},
		{">", MGMT_LINE_NOTIFY},
		{"SUCCESS: pid=1", MGMT_LINE_SUCCESS},
		{"SUCCESS", MGMT_LINE_OTHER},
		{"ERROR: client-kill command failed", MGMT_LINE_ERROR},
		{HEADER, MGMT_LINE_HEADER},
		{"HEADER\tROUTING_TABLE\tVirtual Address", MGMT_LINE_OTHER},
		{CLIENT, MGMT_LINE_CLIENT},
		{"CLIENT_LIST", MGMT_LINE_OTHER},
		{"CLIENT_LIST2\tx", MGMT_LINE_OTHER},
		{"END", MGMT_LINE_END},
		{"END ", MGMT_LINE_OTHER},
		{"GLOBAL_STATS\tMax bcast/mcast queue length\t0", MGMT_LINE_OTHER},
		{"", MGMT_LINE_OTHER},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(mgmt_line_classify(table[i].in), table[i].kind);
}

static int parse_client(const char *header, const char *line, struct mgmt_client *ret)
{
	_cleanup_free_
	char *h = strdup(header), *l = strdup(line);
	struct mgmt_columns columns = {};
	int r = mgmt_parse_header(h, &columns);

	return r < 0 ? r : mgmt_parse_client(l, &columns, ret);
}

static void test_client(void **state)
{
	/* What is replaced in CLIENT by what, and what comes of it. */
	static const struct {
		const char *from, *to;
		int r;
	} table[] = {
		{"user1", "user1", 0},
		{"user1", "UNDEF", 0},
		{"login1", "", 0},
		{"user1", "a\tb", -EBADMSG},
		{"\tAES-256-GCM", "", -EBADMSG},
		{"AES-256-GCM", "AES-256-GCM\tmore", -EBADMSG},
		{"1795362622", "x", -EBADMSG},
		{"1795362622", "-1", -EBADMSG},
		{"1795362622", "99999999999999999999", -EBADMSG},
		{"login1\t0", "login1\t", -EBADMSG},
		{"login1\t0", "login1\t18446744073709551615", 0},
		{"login1\t0", "login1\t18446744073709551616", -EBADMSG},
		{"10.9.0.11:51093", "10.9.0.11:0", -EBADMSG},
		{"login1", "0123456789012345678901234567890123456789012345678901234567890123",
		 -EBADMSG},
		{"login1", "012345678901234567890123456789012345678901234567890123456789012", 0},
	};
	struct mgmt_client c = {};

	assert_int_equal(parse_client(HEADER, CLIENT, &c), 0);
	assert_string_equal(c.common_name, "user1");
	assert_string_equal(c.username, "login1");
	assert_string_equal(c.ip, "10.9.0.11");
	assert_int_equal(c.port, 51093);
	assert_int_equal(c.time_unix, 1795362622);
	assert_int_equal(c.cid, 0);

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		const char *at = strstr(CLIENT, table[i].from);
		char line[1024];
		int r;

		assert_non_null(at);
		snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - CLIENT), CLIENT, table[i].to,
			 at + strlen(table[i].from));
		r = parse_client(HEADER, line, &c);
		if (r != table[i].r)
			fail_msg("'%s': %d, expected %d", table[i].to, r, table[i].r);
	}
}

static void test_header(void **state)
{
	struct mgmt_client c = {};
	struct mgmt_columns columns = {};
	char line[1024];

	/* Columns are found by name, wherever a later OpenVPN puts them. */
	assert_int_equal(parse_client("HEADER\tCLIENT_LIST\tClient ID\tUsername\tNew\tCommon Name\t"
				      "Connected Since (time_t)\tReal Address",
				      "CLIENT_LIST\t7\tlogin1\tx\tuser1\t5\t192.0.2.1:9", &c),
			 0);
	assert_int_equal(c.cid, 7);
	assert_int_equal(c.port, 9);
	assert_int_equal(parse_client("HEADER\tCLIENT_LIST\tCommon Name", CLIENT, &c), -EBADMSG);
	assert_int_equal(parse_client(HEADER "\tUsername", CLIENT "\tx", &c), -EBADMSG);
	assert_int_equal(parse_client(HEADER "\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\t13\t14\t15\t"
					     "16\t17\t18\t19",
				      CLIENT, &c),
			 -EBADMSG);
	/* Without a header no line is believed. */
	strcpy(line, CLIENT);
	assert_int_equal(mgmt_parse_client(line, &columns, &c), -EBADMSG);
}

static void test_lines(void **state)
{
	static const char text[] = "one\r\ntwo\n\nb\001d\nthr\ree\nf\0ur\nlast\r\nrest";
	static const char *const expected[] = {"one", "two", "", "last"};

	/* However the stream is cut, the same lines come out. */
	for (size_t step = 1; step <= sizeof(text); step++) {
		_cleanup_free_
		struct mgmt_lines *l = calloc(1, sizeof(*l));
		size_t n = 0;

		for (size_t at = 0; at < sizeof(text) - 1; at += step) {
			const char *data = text + at, *line;
			size_t size = sizeof(text) - 1 - at < step ? sizeof(text) - 1 - at : step;

			while ((line = mgmt_lines_next(l, &data, &size))) {
				assert_true(n < SP_ARRAY_SIZE(expected));
				assert_string_equal(line, expected[n++]);
			}
			assert_int_equal(size, 0);
		}
		assert_int_equal(n, SP_ARRAY_SIZE(expected));
		assert_int_equal(l->skipped, 3);
	}
}

static void test_long_lines(void **state)
{
	static const struct {
		size_t length;
		bool taken;
	} table[] = {
		{MGMT_LINE_MAX - 2, true},  {MGMT_LINE_MAX - 1, true},	{MGMT_LINE_MAX, false},
		{MGMT_LINE_MAX + 1, false}, {3 * MGMT_LINE_MAX, false},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		for (size_t step = 1; step < 3000; step += 997) {
			_cleanup_free_
			struct mgmt_lines *l = calloc(1, sizeof(*l));
			size_t total = table[i].length + 5, long_ones = 0, short_ones = 0;
			_cleanup_free_
			char *text = malloc(total);

			memset(text, 'x', total);
			memcpy(text + table[i].length, "\nabc\n", 5);
			for (size_t at = 0; at < total; at += step) {
				const char *data = text + at, *line;
				size_t size = total - at < step ? total - at : step;

				while ((line = mgmt_lines_next(l, &data, &size))) {
					if (strcmp(line, "abc") == 0)
						short_ones++;
					else if (strlen(line) == table[i].length)
						long_ones++;
				}
			}
			assert_int_equal(short_ones, 1);
			assert_int_equal(long_ones, table[i].taken);
			assert_int_equal(l->skipped, !table[i].taken);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),	   cmocka_unit_test(test_pid),
		cmocka_unit_test(test_classify),   cmocka_unit_test(test_client),
		cmocka_unit_test(test_header),	   cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long_lines),
	};

	return cmocka_run_group_tests_name("mgmt_parse", tests, NULL, NULL);
}
