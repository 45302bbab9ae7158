// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an operator watches: are captures captures, and events, rates and traces told as they were?
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/call.h"
#include "ctl/event.h"
#include "ctl/pcap.h"
#include "ctl/picture.h"
#include "ctl/trace.h"
#include "lib/cleanup.h"

/* --- captures --- */

static void test_pcap_header(void **state)
{
	static const uint8_t want[] = {0x4d, 0x3c, 0xb2, 0xa1, 2,    0,	   4, 0, 0, 0, 0, 0,
				       0,    0,	   0,	 0,    0xff, 0xff, 0, 0, 1, 0, 0, 0};
	uint8_t buf[PCAP_HEADER_SIZE];

	assert_int_equal(pcap_header(buf), sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
}

/* Little-endian, as the magic number says on this machine. */
static void test_pcap_record(void **state)
{
#define ADDRESSES "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01"
#define HEAD(caplen, len)                                                                          \
	"\x01\x00\x00\x00\x02\x00\x00\x00" caplen "\x00\x00\x00" len "\x00\x00\x00"
	static const struct {
		const char *data;
		size_t caplen;
		uint32_t len;
		uint16_t vid;
		bool has_tag;
		int n;
		const char *want;
	} table[] = {
		{ADDRESSES "\x08\x06zz", 16, 60, 0, false, 32,
		 HEAD("\x10", "\x3c") ADDRESSES "\x08\x06zz"},
		{ADDRESSES "\x08\x06zz", 16, 60, 0x123, false, 36,
		 HEAD("\x14", "\x40") ADDRESSES "\x81\x00\x01\x23\x08\x06zz"},
		{ADDRESSES "\x81\x00\x01\x23\x08\x06", 18, 60, 0x123, true, 34,
		 HEAD("\x12", "\x40") ADDRESSES "\x81\x00\x01\x23\x08\x06"},
		{ADDRESSES, 12, 12, 7, false, 32,
		 HEAD("\x10", "\x10") ADDRESSES "\x81\x00\x00\x07"},
		{"short", 5, 5, 7, false, 21, HEAD("\x05", "\x05") "short"},
		{"short", 5, 2, 0, false, 21, HEAD("\x05", "\x05") "short"},
		{"", 0, 0, 0, false, 16, HEAD("\x00", "\x00")},
		{"", SP_EVENT_SNAP + 1, 0, 0, false, -EINVAL, NULL},
		{"", 0, 0, 0x1000, false, -EINVAL, NULL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		struct pcap_frame f = {.time_ns = 1000000002,
				       .data = (const uint8_t *)table[i].data,
				       .caplen = table[i].caplen,
				       .len = table[i].len,
				       .vid = table[i].vid,
				       .has_outer_tag = table[i].has_tag};
		uint8_t buf[PCAP_RECORD_MAX];

		assert_int_equal(pcap_record(&f, buf), table[i].n);
		if (table[i].want)
			assert_memory_equal(buf, table[i].want, (size_t)table[i].n);
	}
}

static void test_unhex(void **state)
{
	static const struct {
		const char *in;
		int r;
	} table[] = {{"", 0},	      {"00", 1},	{"0aFf", 2},	   {"0", -EINVAL},
		     {"0g", -EINVAL}, {"000", -EINVAL}, {"00 0", -EINVAL}, {"0000000000", -EINVAL}};
	uint8_t buf[4] = {0};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(pcap_unhex(table[i].in, buf, sizeof(buf)), table[i].r);
	assert_int_equal(pcap_unhex("0aFf", buf, sizeof(buf)), 2);
	assert_true(buf[0] == 0x0a && buf[1] == 0xff);
}

static void test_frame_of_event(void **state)
{
	static const struct {
		const char *event;
		int r;
		size_t caplen;
		bool has_tag;
	} table[] = {
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":60,\"vid\":7,\"data\":\"0102\"}", 0, 2,
		 false},
		/* the tag in the frame: XDP saw it; behind steer's metadata it is an inner one */
		{"{\"time_ns\":5,\"hook\":\"guard\",\"len\":60,\"vid\":7,"
		 "\"data\":\"ffffffffffff0200000000018100000708060001\"}",
		 0, 20, true},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":60,\"vid\":7,"
		 "\"data\":\"ffffffffffff0200000000018100000708060001\"}",
		 0, 20, false},
		{"{\"time_ns\":5,\"hook\":\"guard\",\"len\":60,\"vid\":0,"
		 "\"data\":\"ffffffffffff02000000000188a8000708060001\"}",
		 0, 20, true},
		{"{\"time_ns\":5,\"len\":60,\"vid\":7,\"data\":\"0102\"}", -EINVAL, 0, false},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":-1,\"vid\":7,\"data\":\"01\"}", -EINVAL,
		 0, false},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":1,\"vid\":4096,\"data\":\"01\"}",
		 -EINVAL, 0, false},
		{"{\"time_ns\":-50,\"hook\":\"steer\",\"len\":1,\"vid\":0,\"data\":\"01\"}",
		 -EINVAL, 0, false},
		{"{\"time_ns\":9223372036854775807,\"hook\":\"steer\",\"len\":1,\"data\":\"01\"}",
		 -EINVAL, 0, false},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":1,\"data\":7}", -EINVAL, 0, false},
		{"{}", -EINVAL, 0, false},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_json_ json_t *event = json_loads(table[i].event, 0, NULL);
		uint8_t data[SP_EVENT_SNAP];
		struct pcap_frame f;

		assert_non_null(event);
		assert_int_equal(pcap_frame_of_event(event, 10, data, &f), table[i].r);
		if (table[i].r < 0)
			continue;
		assert_int_equal(f.caplen, table[i].caplen);
		assert_int_equal(f.has_outer_tag, table[i].has_tag);
		assert_true(f.time_ns == 15);
	}
}

/* --- events --- */

static void test_event_text(void **state)
{
	static const struct {
		const char *event, *text;
	} table[] = {
		{"{\"type\":\"lost\",\"count\":3}", "lost 3 events: this reader is too slow"},
		{"{\"type\":\"instance\",\"name\":\"main\",\"state\":\"idle\"}",
		 "instance name main state idle"},
		{"{\"type\":\"forget\",\"session\":7,\"mac\":\"02:00:00:00:00:01\",\"vid\":5}",
		 "forget session 7 mac 02:00:00:00:00:01 vid 5"},
		{"{\"type\":\"drop\",\"reason\":\"runt\",\"hook\":\"guard\",\"device\":\"t0\","
		 "\"port\":1,\"segment\":0,\"vid\":0,\"len\":3,\"data\":\"010203\"}",
		 "drop runt (guard) t0 port 1 segment 0 len 3: 3 bytes"},
		{"{\"type\":\"log\",\"rule\":2,\"reason\":\"policy-reject\",\"hook\":\"in\","
		 "\"device\":\"t0\",\"port\":3,\"segment\":1,\"vid\":0,\"len\":3,"
		 "\"data\":\"010203\"}",
		 "log rule 2 policy-reject (in) t0 port 3 segment 1 len 3: 3 bytes"},
		{"{\"type\":\"drop\",\"data\":\"xyz\"}",
		 "drop - (-) - port 0 segment 0 len 0: 0 bytes"},
		{"{}", "-"},
		{"[]", "-"},
	};
	static const struct {
		const char *hex, *text;
	} frames[] = {
		{"", "0 bytes"},
		{"ffffffffffff02000000000188b5",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ethertype 0x88b5"},
		{"ffffffffffff0200000000010806"
		 "00010800060400010200000000010a08000a0000000000000a080002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ARP who-has 10.8.0.2 tell 10.8.0.10"},
		{"ffffffffffff0200000000010806"
		 "00010800060400020200000000010a08000a0000000000000a080002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ARP reply from 10.8.0.10 to 10.8.0.2"},
		{"ffffffffffff02000000000181000065080045000014000000004001"
		 "00000a0800010a080002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff tag 0x8100 101 IPv4 10.8.0.1 > 10.8.0.2 "
		 "protocol 1"},
		{"ffffffffffff02000000000186dd6000000000003aff"
		 "fd000000000000000000000000000001fd000000000000000000000000000002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff IPv6 fd00::1 > fd00::2 next 58"},
		{"ffffffffffff0200000000018100",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ethertype 0x8100"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_json_ json_t *event = json_loads(table[i].event, 0, NULL);
		_cleanup_free_
		char *text = event_text(event);

		assert_string_equal(text, table[i].text);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(frames); i++) {
		uint8_t data[SP_EVENT_SNAP];
		int n = pcap_unhex(frames[i].hex, data, sizeof(data));
		_cleanup_free_
		char *text = event_frame_text(data, (size_t)n);

		assert_string_equal(text, frames[i].text);
	}
}

/* --- top --- */

static json_t *top_sample(int64_t a, int64_t b, int64_t drops)
{
	return json_pack("{s:{s:s}, s:[{s:i, s:i, s:s, s:{s:I}}, {s:i, s:i, s:s, s:{s:I}}], "
			 "s:[{s:i, s:s, s:{s:I}}, {s:i, s:s, s:{}}], s:[{s:s, s:I}]}",
			 "status", "version", "1", "sessions", "id", 1, "port", 11, "user", "slow",
			 "counters", "rx_bytes", (json_int_t)a, "id", 2, "port", 12, "user", "fast",
			 "counters", "rx_bytes", (json_int_t)b, "ports", "port", 11, "name",
			 "slow#1", "counters", "rx_bytes", (json_int_t)a, "port", 3, "name", "w",
			 "counters", "reasons", "name", "runt", "frames", (json_int_t)drops);
}

static double picture_rate(const json_t *picture, const char *part, size_t i, const char *field)
{
	const json_t *item = json_array_get(json_object_get(picture, part), i);

	return json_real_value(json_object_get(json_object_get(item, "rates"), field));
}

static void test_picture(void **state)
{
	_cleanup_json_ json_t *before = top_sample(1000, 1000, 10);
	_cleanup_json_ json_t *after = top_sample(1200, 5000, 30);
	_cleanup_json_ json_t *first = picture_new(NULL, before, 1);
	_cleanup_json_ json_t *second = picture_new(before, after, 2);
	_cleanup_json_ json_t *wrapped = picture_new(after, before, 2);

	assert_true(picture_rate(first, "sessions", 0, "rx_bytes") == 0);
	/* the busiest first */
	assert_int_equal(field_int(json_array_get(json_object_get(second, "sessions"), 0), "id"),
			 2);
	assert_true(picture_rate(second, "sessions", 0, "rx_bytes") == 2000);
	assert_true(picture_rate(second, "sessions", 1, "rx_bytes") == 100);
	assert_true(picture_rate(second, "reasons", 0, "frames") == 10);
	/* port 11 is a session's */
	assert_int_equal(json_array_size(json_object_get(second, "ports")), 1);
	/* backwards: from zero, never negative */
	assert_true(picture_rate(wrapped, "sessions", 0, "rx_bytes") == 500);
}

static void test_picture_fits(void **state)
{
	_cleanup_json_ json_t *before = top_sample(1, 2, 3);
	_cleanup_json_ json_t *picture = picture_new(NULL, before, 1);
	json_t *sessions = json_object_get(picture, "sessions");

	for (int i = 0; i < 200; i++)
		json_array_append(sessions, json_array_get(sessions, 0));
	for (size_t lines = 8; lines < 60; lines++) {
		_cleanup_free_
		char *text = NULL;
		size_t size, n = 0, widest = 0;
		FILE *f = open_memstream(&text, &size);

		picture_print(picture, f, 40, lines, "\n");
		fclose(f);
		for (const char *s = text; *s; s += strcspn(s, "\n") + 1, n++) {
			if (strcspn(s, "\n") > widest)
				widest = strcspn(s, "\n");
		}
		assert_true(n <= lines);
		assert_true(widest <= 40);
		assert_non_null(strstr(text, "SESSION"));
	}
}

/* --- trace --- */

/* Two machines that start beside the tunnel. */
static const char trace_json[] =
	"{\"id\":\"00c0ffee00c0ffee\",\"session\":7,\"user\":\"alice\",\"common_name\":\"laptop\","
	"\"instance\":\"main\",\"remote\":\"192.0.2.1:40112\",\"started\":0,\"lost\":3,\"events\":["
	"{\"stage\":\"auth\",\"us\":0,\"text\":\"t0\"},"
	"{\"stage\":\"auth-done\",\"us\":21449,\"took_us\":21149,\"text\":\"t1\"},"
	"{\"stage\":\"machine-wanted\",\"us\":21500,\"object\":\"alice/web\",\"text\":\"t2\"},"
	"{\"stage\":\"machine-wanted\",\"us\":21600,\"object\":\"alice/db\",\"text\":\"t3\"},"
	"{\"stage\":\"connect\",\"us\":1000000,\"took_us\":978551,\"text\":\"t4\"},"
	"{\"stage\":\"domain-up\",\"us\":1100000,\"object\":\"alice/db\",\"text\":\"t5\"},"
	"{\"stage\":\"first-mac\",\"us\":1200000,\"object\":\"02:00:00:00:00:01\",\"text\":\"t6\"},"
	"{\"stage\":\"domain-up\",\"us\":1300000,\"object\":\"alice/web\",\"text\":\"t7\"}]}";

static char *trace_text(const char *json)
{
	_cleanup_json_ json_t *trace = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	trace_print(f, trace);
	fclose(f);
	return text;
}

static void test_trace(void **state)
{
	_cleanup_free_
	char *text = trace_text(trace_json);

	assert_string_equal(text, "trace 00c0ffee00c0ffee of session 7\n"
				  "alice (laptop) on main from 192.0.2.1:40112, -\n\n"
				  "    MS   TOOK  LANE   STAGE           OBJECT             WHAT\n"
				  "   0.0      -  *      auth            -                  t0\n"
				  "  21.4   21.1  *      auth-done       -                  t1\n"
				  "  21.5      -  | *    machine-wanted  alice/web          t2\n"
				  "  21.6      -  | | *  machine-wanted  alice/db           t3\n"
				  "1000.0  978.6  * | |  connect         -                  t4\n"
				  "1100.0      -  | | *  domain-up       alice/db           t5\n"
				  "1200.0      -  * |    first-mac       02:00:00:00:00:01  t6\n"
				  "1300.0      -    *    domain-up       alice/web          t7\n"
				  "3 events more, between the first and the last, are not kept\n");
}

/* Whatever somebody puts in place of the daemon's answer. */
static void test_trace_hostile(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"events\":{}}",
		"{\"events\":[]}",
		"{\"events\":[1,null,{},\"x\"]}",
		"{\"events\":[{\"us\":-1,\"object\":7,\"stage\":[]}],\"lost\":-1}",
		"{\"events\":[{\"us\":1e9,\"object\":\"/\"}],\"session\":\"x\"}",
		"{\"user\":\"\\u001b[31m\",\"events\":[{\"object\":\"a/\\u001b[2J\"}]}",
	};
	char many[4096];
	size_t n;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_free_
		char *text = trace_text(rows[i]);

		assert_null(strchr(text, '\x1b'));
	}
	/* More machines than lanes. */
	n = (size_t)sprintf(many, "{\"events\":[");
	for (int k = 0; k < 60; k++)
		n += (size_t)sprintf(many + n, "%s{\"us\":%d,\"object\":\"a/%d\"}", k ? "," : "", k,
				     k % 30);
	strcpy(many + n, "]}");
	free(trace_text(many));
}

static void test_trace_request(void **state)
{
	static const struct {
		const char *text, *id;
		int64_t session;
	} rows[] = {
		{"1", NULL, 1},
		{"42", NULL, 42},
		{"9223372036854775807", NULL, INT64_MAX},
		{"00c0ffee00c0ffee", "00c0ffee00c0ffee", 0},
		{"00C0FFEE00C0FFEE", "00C0FFEE00C0FFEE", 0},
		{"0000000000000001", "0000000000000001", 0},
		{"", NULL, 0},
		{"0", NULL, 0},
		{"-1", NULL, 0},
		{"alice", NULL, 0},
		{"0x1", NULL, 0},
		{"00c0ffee00c0ffe", NULL, 0},
		{"00c0ffee00c0ffeeb", NULL, 0},
		{"9223372036854775808", NULL, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *r = trace_request(rows[i].text);

		assert_int_equal(r != NULL, rows[i].id != NULL || rows[i].session != 0);
		assert_int_equal(field_int(r, "session"), rows[i].session);
		if (rows[i].id)
			assert_string_equal(field_text(r, "trace"), rows[i].id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pcap_header),   cmocka_unit_test(test_pcap_record),
		cmocka_unit_test(test_unhex),	      cmocka_unit_test(test_frame_of_event),
		cmocka_unit_test(test_event_text),    cmocka_unit_test(test_picture),
		cmocka_unit_test(test_picture_fits),  cmocka_unit_test(test_trace),
		cmocka_unit_test(test_trace_hostile), cmocka_unit_test(test_trace_request),
	};

	return cmocka_run_group_tests_name("ctl_watch", tests, NULL, NULL);
}
