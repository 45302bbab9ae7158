// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does a text come into force at a machine's port, does the one before stay where it cannot, and do
 * exactly those flows end that the new one does not allow? On real maps.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "loader/dataplane_internal.h"
#include "loader/machine/rules_apply.h"
#include "loader/policy/policy.h"

#define PORT 5U
#define OTHER 6U /* another machine of the segment */
#define SLOT 1U
#define TABLES 64 /* more than a slot has */

static struct dataplane *dp;

static int setup(void **state)
{
	const struct dataplane_options o = {
		.max_bindings = 64, .max_ports = 64, .flows = 64, .unpinned = true};
	const struct dataplane_budget budget = {.flows = 64};
	const struct sp_machine m = {.generation = 1, .slot = SLOT};
	_cleanup_free_
	char *error = NULL;
	int r = dataplane_open(&o, &dp, &error);

	r = r ?: dataplane_slot_begin(dp, SLOT, 1, &budget, 0);
	r = r ?: dataplane_slot_make(dp, SLOT);
	r = r ?: dataplane_machine_begin(dp, PORT, &m);
	r = r ?: dataplane_machine_begin(dp, OTHER, &m);
	if (r < 0)
		print_error("%d: %s\n", r, error ? error : "");
	return r;
}

static int teardown(void **state)
{
	dataplane_close(dp);
	return 0;
}

/* --- flows, as the programs write them --- */

struct row {
	uint8_t proto;
	const char *addr[2];
	uint16_t port[2]; /* of ICMP: the identifier, and who asked with which type and code */
	bool flip;	  /* end 1 has begun it */
	uint32_t end[2];  /* the machines there */
};

#define ASKED(by, type, code) ((by) << 15 | ((type)&0x7f) << 8 | (code))

static bool is_six(const struct row *r)
{
	return strchr(r->addr[0], ':') != NULL;
}

static struct sp_flow value_of(const struct row *r)
{
	return (struct sp_flow){.word = SP_FLOW_REPLIED | SP_FLOW_BOTH |
					(r->flip ? SP_FLOW_FLIP : 0),
				.expires = UINT32_MAX / 4,
				.end = {r->end[0], r->end[1]}};
}

static void put_flow(const struct row *r)
{
	const struct sp_flow value = value_of(r);
	struct sp_flow4_key k4 = {.port = {htons(r->port[0]), htons(r->port[1])},
				  .proto = r->proto};
	struct sp_flow6_key k6 = {.port = {htons(r->port[0]), htons(r->port[1])},
				  .proto = r->proto};
	uint32_t table = is_six(r) ? dp->shards : 0;
	_cleanup_close_
	int fd = dataplane_open_table(dp, SLOT, table);

	for (int i = 0; i < 2; i++)
		assert_int_equal(inet_pton(is_six(r) ? AF_INET6 : AF_INET, r->addr[i],
					   is_six(r) ? (void *)k6.addr[i] : &k4.addr[i]),
				 1);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_update_elem(fd, is_six(r) ? (void *)&k6 : &k4, &value, BPF_ANY),
			 0);
}

static int count_one(const struct dataplane_flow *flow, void *arg)
{
	(*(unsigned int *)arg)++;
	return 0;
}

static unsigned int count_flows(void)
{
	unsigned int n = 0;

	for (uint32_t table = 0; table < TABLES; table++)
		dataplane_each_flow(dp, SLOT, table, count_one, &n);
	return n;
}

/* --- what a flow began with --- */

static int take_tuple(const struct dataplane_flow *flow, void *arg)
{
	return rules_flow_tuple(flow, PORT, arg) ? -ECANCELED : 0;
}

static void expect_tuple(const struct row *r, const struct policy_tuple *want)
{
	struct policy_tuple got = {0};
	int found = 0;

	put_flow(r);
	for (uint32_t table = 0; !found && table < TABLES; table++)
		found = dataplane_each_flow(dp, SLOT, table, take_tuple, &got) == -ECANCELED;
	assert_int_equal(found, want != NULL);
	if (want) {
		assert_int_equal(got.direction, want->direction);
		assert_int_equal(got.version, want->version);
		assert_int_equal(got.proto, want->proto);
		assert_int_equal(got.sport, want->sport);
		assert_int_equal(got.dport, want->dport);
		assert_int_equal(got.icmp_type, want->icmp_type);
		assert_int_equal(got.icmp_code, want->icmp_code);
		assert_int_equal(got.src[15], want->src[15]);
		assert_int_equal(got.dst[15], want->dst[15]);
		assert_int_equal(got.src[10], want->version == 4 ? 0xff : 0);
	}
	dataplane_flows_end_port(dp, SLOT, PORT);
	dataplane_flows_end_port(dp, SLOT, OTHER);
	assert_int_equal(count_flows(), 0);
}

#define TUPLE(dir, v, p, ...)                                                                      \
	(&(const struct policy_tuple){.direction = dir, .version = v, .proto = p, __VA_ARGS__})

static void test_tuples(void **state)
{
	/* To it: whoever is at end 0 has begun. */
	expect_tuple(&(struct row){6, {"10.0.0.1", "10.0.0.2"}, {4000, 22}, false, {0, PORT}},
		     TUPLE(SP_IN, 4, 6, .sport = 4000, .dport = 22, .src[15] = 1, .dst[15] = 2));
	/* From it, it being at end 1. */
	expect_tuple(&(struct row){17, {"10.0.0.1", "10.0.0.2"}, {53, 4000}, true, {0, PORT}},
		     TUPLE(SP_OUT, 4, 17, .sport = 4000, .dport = 53, .src[15] = 2, .dst[15] = 1));
	/* Between two machines it is in to one of them. */
	expect_tuple(&(struct row){6, {"fd00::1", "fd00::2"}, {80, 4000}, true, {PORT, OTHER}},
		     TUPLE(SP_IN, 6, 6, .sport = 4000, .dport = 80, .src[15] = 2, .dst[15] = 1));
	/* Queries: what stands for ports says who has asked, and what. */
	expect_tuple(
		&(struct row){1, {"10.0.0.1", "10.0.0.2"}, {7, ASKED(0, 8, 0)}, false, {PORT, 0}},
		TUPLE(SP_OUT, 4, 1, .icmp_type = 8, .src[15] = 1, .dst[15] = 2));
	expect_tuple(
		&(struct row){58, {"fd00::1", "fd00::2"}, {7, ASKED(1, 128, 0)}, true, {PORT, 0}},
		TUPLE(SP_IN, 6, 58, .icmp_type = 128, .src[15] = 2, .dst[15] = 1));
	expect_tuple(&(struct row){47, {"10.0.0.1", "10.0.0.2"}, {0, 0}, false, {0, PORT}},
		     TUPLE(SP_IN, 4, 47, .src[15] = 1, .dst[15] = 2));
	/* Another machine's. */
	expect_tuple(&(struct row){6, {"10.0.0.1", "10.0.0.2"}, {4000, 22}, false, {0, OTHER}},
		     NULL);
}

/* --- in force --- */

static struct rules_order order(const char *text, enum rules_strict look, const char *before)
{
	return (struct rules_order){.port = PORT,
				    .generation = 7,
				    .text = (char *)text,
				    .fallback = (char *)policy_builtin,
				    .look = look,
				    .before = (char *)before};
}

static bool is_there(const char *text)
{
	struct sp_head head;
	int r = dataplane_policy_head(dp, PORT, &head);

	if (!text)
		return r == -ENOENT;
	return r == 0 && head.digest == policy_digest(text, strlen(text));
}

static void test_in_force(void **state)
{
	static const char good[] = "default in drop\naccept in tcp dport 22\n";
	struct rules_order o = order(good, RULES_STRICT_NO, NULL);

	assert_true(is_there(NULL));
	rules_apply(dp, &o);
	assert_int_equal(o.r, 0);
	assert_true(is_there(good));
	/* What is none changes nothing, and says where it is wrong. */
	o = order("default in drop\naccept inn\nnonsense", RULES_STRICT_YES, good);
	rules_apply(dp, &o);
	assert_int_equal(o.r, -EINVAL);
	assert_non_null(strstr(o.error, "line 2, column 8: 'inn': expected"));
	assert_non_null(strstr(o.error, "and more"));
	assert_true(is_there(good));
	o = order(NULL, RULES_STRICT_NO, good);
	rules_apply(dp, &o);
	assert_int_equal(o.r, 0);
	assert_true(is_there(NULL));
	o = order(good, RULES_STRICT_NO, NULL);
	o.port = 64; /* there is none */
	rules_apply(dp, &o);
	assert_int_equal(o.r, -ENOENT);
}

static const struct row flows[] = {
	{6, {"10.0.0.1", "10.0.0.2"}, {4000, 22}, false, {0, PORT}},
	{6, {"10.0.0.1", "10.0.0.2"}, {4001, 80}, false, {0, PORT}},
	{6, {"fd00::1", "fd00::2"}, {4002, 80}, false, {0, PORT}},
	{17, {"10.0.0.1", "10.0.0.2"}, {53, 4000}, true, {0, PORT}},
	{6, {"10.0.0.1", "10.0.0.3"}, {4003, 80}, false, {0, OTHER}},
};

static void expect_ended(const char *before, const char *text, enum rules_strict look, bool strict,
			 unsigned int ended)
{
	struct rules_order o = order(text, look, before);

	for (size_t i = 0; i < SP_ARRAY_SIZE(flows); i++)
		put_flow(&flows[i]);
	rules_apply(dp, &o);
	assert_int_equal(o.r, 0);
	if (o.strict != strict || o.ended != ended)
		fail_msg("%s: strict %d, %u ended", text ? text : "default", o.strict, o.ended);
	assert_int_equal(count_flows(), SP_ARRAY_SIZE(flows) - ended);
}

static void test_strict(void **state)
{
	static const char both[] = "default in drop\naccept in tcp dport 22,80\n";
	static const char one[] = "default in drop\naccept in tcp dport 22\n";
	static const char four[] = "default in drop\naccept in tcp from 10.0.0.0/8 dport 22,80\n";
	static const char mute[] = "default in drop\ndefault out drop\naccept in tcp dport 22,80\n";

	expect_ended(one, both, RULES_STRICT_AUTO, true, 0); /* the rule is another one */
	expect_ended(both, one, RULES_STRICT_AUTO, true, 2);
	expect_ended(both, four, RULES_STRICT_AUTO, true, 1);
	expect_ended(both, mute, RULES_STRICT_AUTO, true, 1);
	expect_ended(both, one, RULES_STRICT_NO, false, 0);
	/* Nothing is taken away: only where it is asked for. */
	expect_ended(one, one, RULES_STRICT_AUTO, false, 0);
	expect_ended(one, one, RULES_STRICT_YES, true, 2);
	/* The host's default lets all of these in. */
	expect_ended(one, NULL, RULES_STRICT_YES, true, 0);
	expect_ended(NULL, one, RULES_STRICT_AUTO, true, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tuples),
		cmocka_unit_test(test_in_force),
		cmocka_unit_test(test_strict),
	};

	return cmocka_run_group_tests_name("rules", tests, setup, teardown);
}
