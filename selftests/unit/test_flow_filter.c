/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which flows does a filter mean, and what is refused as one? */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "machine/flow_filter.h"

static void set_addr(uint8_t to[16], const char *text)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, to), 1);
		return;
	}
	memcpy(to, mapped, sizeof(mapped));
	assert_int_equal(inet_pton(AF_INET, text, to + 12), 1);
}

/* From A to B; FLIP: A is end 1 of the key. */
static struct dataplane_flow flow(const char *a, uint16_t aport, const char *b, uint16_t bport,
				  uint8_t proto, unsigned int state, bool flip)
{
	struct dataplane_flow f = {.proto = proto, .six = strchr(a, ':') != NULL};

	set_addr(f.addr[flip], a);
	set_addr(f.addr[!flip], b);
	f.port[flip] = aport;
	f.port[!flip] = bport;
	f.flow.word = state | (flip ? SP_FLOW_FLIP : 0);
	f.flow.end[!flip] = 42; /* B is the machine of port 42 */
	return f;
}

/* ARGS as JSON; the machine's port, or 0. 1: it matches, 0: not, negative: refused. */
static int ask(const char *args, uint32_t machine, const struct dataplane_flow *f)
{
	json_t *j = json_loads(args, 0, NULL);
	struct flow_filter filter = {.machine = machine};
	const char *field = NULL, *expected = NULL;
	bool given;
	int r;

	assert_non_null(j);
	r = flow_filter_take(j, &filter, &given, &field, &expected);
	if (r < 0) {
		assert_non_null(json_object_get(j, field));
		assert_true(strncmp(expected, "expected ", 9) == 0);
	} else {
		assert_int_equal(given, json_object_size(j) > 0);
	}
	json_decref(j);
	return r < 0 ? r : flow_matches(&filter, f);
}

static void matches(void **state)
{
	static const struct {
		const char *args;
		int four, six; /* does it mean the flow of IPv4, of IPv6? */
	} rows[] = {
		{"{}", 1, 1},
		{"{\"family\": 4}", 1, 0},
		{"{\"family\": 6}", 0, 1},
		{"{\"protocol\": \"tcp\"}", 1, 0},
		{"{\"protocol\": \"17\"}", 0, 1},
		{"{\"state\": \"established\"}", 1, 0},
		{"{\"state\": \"replied\"}", 0, 1},
		{"{\"address\": \"10.0.0.1\"}", 1, 0},
		{"{\"address\": \"10.0.0.2\"}", 1, 0},
		{"{\"address\": \"10.0.0.3\"}", 0, 0},
		{"{\"address\": \"10.0.0.0/30\"}", 1, 0},
		{"{\"address\": \"0.0.0.0/0\"}", 1, 0},
		{"{\"address\": \"::/0\"}", 1, 1},
		{"{\"source\": \"10.0.0.1/31\"}", 1, 0},
		{"{\"source\": \"10.0.0.2/31\"}", 0, 0},
		{"{\"destination\": \"10.0.0.2\"}", 1, 0},
		{"{\"destination\": \"10.0.0.1\"}", 0, 0},
		{"{\"source\": \"fd00::/64\"}", 0, 1},
		{"{\"source\": \"fd00::1/127\"}", 0, 1},
		{"{\"source\": \"fd00::2/127\"}", 0, 0},
		{"{\"port\": 80}", 1, 0},
		{"{\"port\": 4000}", 1, 1},
		{"{\"source_port\": 4000}", 1, 1},
		{"{\"source_port\": 80}", 0, 0},
		{"{\"destination_port\": 53}", 0, 1},
		{"{\"destination_port\": 0}", 0, 0},
		{"{\"protocol\": \"tcp\", \"port\": 53}", 0, 0},
	};

	for (int flip = 0; flip < 2; flip++) {
		const struct dataplane_flow four = flow("10.0.0.1", 4000, "10.0.0.2", 80, 6,
							SP_FLOW_ESTABLISHED, flip),
					    six = flow("fd00::1", 4000, "fd00::2", 53, 17,
						       SP_FLOW_REPLIED, flip);

		for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
			if (ask(rows[i].args, 0, &four) != rows[i].four ||
			    ask(rows[i].args, 42, &six) != rows[i].six)
				fail_msg("%s, flip %d", rows[i].args, flip);
			assert_int_equal(ask(rows[i].args, 41, &four), 0);
		}
	}
}

/* An ICMP query's identifier is no port. */
static void no_ports(void **state)
{
	const struct dataplane_flow f =
		flow("10.0.0.1", 80, "10.0.0.2", 0x800, 1, SP_FLOW_UNREPLIED, false);

	assert_int_equal(ask("{\"port\": 80}", 0, &f), 0);
	assert_int_equal(ask("{\"protocol\": \"icmp\"}", 0, &f), 1);
}

static void refused(void **state)
{
	static const char *const rows[] = {
		"{\"protocol\": \"tpc\"}",
		"{\"protocol\": \"256\"}",
		"{\"protocol\": \"-1\"}",
		"{\"protocol\": \"6 \"}",
		"{\"state\": \"ESTABLISHED\"}",
		"{\"state\": \"?\"}",
		"{\"family\": 5}",
		"{\"address\": \"10.0.0\"}",
		"{\"address\": \"10.0.0.1/33\"}",
		"{\"source\": \"10.0.0.1/\"}",
		"{\"source\": \"fd00::/129\"}",
		"{\"destination\": \"10.0.0.1/1x\"}",
		"{\"destination\": \"/24\"}",
		"{\"source\": \"10.0.0.1/99999999999999999999\"}",
		"{\"address\": \"1234:1234:1234:1234:1234:1234:1234:1234:1234:1234:1234/8\"}",
	};
	const struct dataplane_flow f = flow("10.0.0.1", 1, "10.0.0.2", 2, 6, SP_FLOW_CLOSE, false);

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
		if (ask(rows[i], 0, &f) != -EINVAL)
			fail_msg("%s was taken", rows[i]);
}

static void in_words(void **state)
{
	struct flow_found found = {
		.f = flow("10.0.0.1", 7, "10.0.0.2", 0x8800, 1, SP_FLOW_REPLIED, true),
		.left_ms = 1500};
	json_t *j;

	/* The key's end 0 is 10.0.0.2, whose port is what stands for type and code there. */
	found.f.port[0] = 7;
	found.f.port[1] = 1 << 15 | 8 << 8 | 3;
	j = flow_view(&found);
	assert_string_equal(json_string_value(json_object_get(j, "source")), "10.0.0.1");
	assert_string_equal(json_string_value(json_object_get(j, "protocol")), "icmp");
	assert_string_equal(json_string_value(json_object_get(j, "state")), "replied");
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 7);
	assert_int_equal(json_integer_value(json_object_get(j, "type")), 8);
	assert_int_equal(json_integer_value(json_object_get(j, "code")), 3);
	assert_null(json_object_get(j, "source_port"));
	json_decref(j);
	assert_string_equal(flow_state_name(0), "?");
	assert_string_equal(flow_state_name(99), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches),
		cmocka_unit_test(no_ports),
		cmocka_unit_test(refused),
		cmocka_unit_test(in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
