/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may have which MAC (I6), and do the maps say what the tables say, in every order of events?
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

#include "lib/mac.h"
#include "loader/segment.h"
#include "selftests/harness/host.h"

#define VLAN_TAP (HOST_IFINDEX + HOST_VLAN)
#define MAC_TAP (HOST_IFINDEX + HOST_MAC)

static const uint8_t *mac(const char *text)
{
	static uint8_t ring[8][6];
	static unsigned int n;
	uint8_t *m = ring[n++ % 8];

	assert_int_equal(mac_parse(text, m), 0);
	return m;
}

static enum learn_verdict learn(struct host *h, struct session *s, const char *text)
{
	const uint8_t *m = mac(text);
	struct binding *from;
	enum learn_verdict v = segment_may_learn(&h->d, &s->member, m, s->max_macs, &from);

	if (v == LEARN_OK || v == LEARN_TAKEOVER)
		assert_int_equal(segment_bind(&h->d, &s->member, m, 1), 0);
	if (from && v == LEARN_TAKEOVER)
		segment_unbind(&h->d, from);
	return v;
}

/* The table: alice (VLAN and MAC mode) and bob, a workload of each. */
enum who { A_VLAN, A_VLAN2, B_VLAN, A_MAC, B_MAC, B_MAC2, _WHO };

static void test_verdicts(void **state)
{
	static const struct {
		enum who who;
		const char *mac;
		enum learn_verdict verdict;
	} rows[] = {
		{A_VLAN, "02:00:00:00:00:01", LEARN_OK},
		{A_VLAN, "02:00:00:00:00:01", LEARN_KNOWN},
		{A_VLAN, "00:00:00:00:00:00", LEARN_GROUP},
		{A_VLAN, "ff:ff:ff:ff:ff:ff", LEARN_GROUP},
		{A_VLAN, "01:00:5e:00:00:01", LEARN_GROUP},
		{A_VLAN, "33:33:00:00:00:01", LEARN_GROUP},
		{A_VLAN, "02:00:00:00:00:fe", LEARN_RESERVED}, /* of the configuration */
		{A_VLAN, "0a:00:00:00:00:00", LEARN_RESERVED}, /* its own tap */
		{A_VLAN, "0a:00:00:00:00:02", LEARN_RESERVED}, /* another tap */
		{A_VLAN, "0a:00:00:00:01:01", LEARN_RESERVED}, /* a workload's near end */
		{A_VLAN, "02:00:00:00:0a:01", LEARN_WORKLOAD}, /* its own segment's */
		{A_VLAN, "02:00:00:00:0b:01", LEARN_OK}, /* of another segment: its own affair */
		{B_VLAN, "02:00:00:00:00:01", LEARN_OK}, /* the same in two segments */
		{A_VLAN2, "02:00:00:00:00:01", LEARN_TAKEOVER}, /* the user's second device */
		{A_VLAN, "02:00:00:00:00:01", LEARN_TAKEOVER},	/* and back */
		{A_VLAN, "02:00:00:00:00:03", LEARN_OK},
		{A_VLAN, "02:00:00:00:00:04", LEARN_LIMIT},
		{A_VLAN, "02:00:00:00:0a:01", LEARN_WORKLOAD}, /* before the limit: it is clearer */
		{A_MAC, "02:00:00:00:01:01", LEARN_OK},
		{A_MAC, "02:00:00:00:0a:01", LEARN_WORKLOAD},
		{A_MAC, "02:00:00:00:0b:01", LEARN_WORKLOAD},	 /* anybody's, in MAC mode */
		{B_MAC, "02:00:00:00:01:01", LEARN_OTHER_USER},	 /* on the same tap */
		{B_MAC2, "02:00:00:00:01:01", LEARN_OTHER_USER}, /* on another tap */
		{B_VLAN, "02:00:00:00:01:01", LEARN_OK}, /* behind a VLAN id it harms nobody */
		{B_MAC, "02:00:00:00:00:03", LEARN_OK},	 /* nor does A's behind hers */
		{B_MAC2, "02:00:00:00:00:03", LEARN_TAKEOVER},
	};
	struct host *h = *state;
	struct workload *wa, *wb;
	struct session *s[_WHO];

	s[A_VLAN] = host_session(h, HOST_VLAN, "alice", 1);
	s[A_VLAN2] = host_session(h, HOST_VLAN, "alice", 2);
	s[B_VLAN] = host_session(h, HOST_VLAN, "bob", 3);
	s[A_MAC] = host_session(h, HOST_MAC, "alice", 4);
	s[B_MAC] = host_session(h, HOST_MAC, "bob", 5);
	s[B_MAC2] = host_session(h, HOST_MAC2, "bob", 6);
	wa = host_workload(h, "alice", mac("02:00:00:00:0a:01"), mac("0a:00:00:00:01:01"));
	wb = host_workload(h, "bob", mac("02:00:00:00:0b:01"), mac("0a:00:00:00:01:02"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum learn_verdict v = learn(h, s[rows[i].who], rows[i].mac);

		if (v != rows[i].verdict)
			fail_msg("row %zu: %s: expected '%s', got '%s'", i, rows[i].mac,
				 learn_verdict_text(rows[i].verdict), learn_verdict_text(v));
	}
	for (int i = 0; i < _WHO; i++)
		session_end(s[i], "the test is over");
	host_remove(h, wa);
	host_remove(h, wb);
}

static void test_maps_vlan(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "alice", 1);
	uint32_t segment = s->member.segment;
	uint16_t vid = s->member.dst.vid;
	uint64_t id = s->id;

	assert_int_equal(host_flood_count(h, segment), 1);
	assert_int_equal(learn(h, s, "02:00:00:00:00:01"), LEARN_OK);
	assert_true(host_has_binding(h, VLAN_TAP, vid, mac("02:00:00:00:00:01"), id));
	assert_int_equal(host_fdb_port(h, segment, mac("02:00:00:00:00:01")), s->member.dst.port);
	assert_int_equal(host_flood_count(h, segment), 1); /* one for the session, not per MAC */
	segment_unbind(&h->d, member_find(&s->member, mac("02:00:00:00:00:01")));
	assert_false(host_has_binding(h, VLAN_TAP, vid, mac("02:00:00:00:00:01"), id));
	assert_int_equal(host_fdb_port(h, segment, mac("02:00:00:00:00:01")), 0);
	learn(h, s, "02:00:00:00:00:02");
	session_end(s, "the test is over");
	assert_false(host_has_binding(h, VLAN_TAP, vid, mac("02:00:00:00:00:02"), id));
	assert_int_equal(host_flood_count(h, segment), -1);
}

static void test_maps_mac(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_MAC, "alice", 1);
	uint32_t segment = s->member.segment;

	assert_true(host_flood_count(h, segment) <= 0);
	learn(h, s, "02:00:00:00:00:01");
	learn(h, s, "02:00:00:00:00:02");
	assert_int_equal(host_flood_count(h, segment), 2); /* I3: a unicast copy for each */
	session_end(s, "the test is over");
	assert_int_equal(host_flood_count(h, segment), -1);
}

/* Two sessions of one user on one tap in MAC mode: their keys in `bindings` are the same. */
static void test_takeover_same_key(void **state)
{
	struct host *h = *state;
	struct session *a = host_session(h, HOST_MAC, "alice", 1);
	struct session *b = host_session(h, HOST_MAC, "alice", 2);
	const char *m = "02:00:00:00:00:01";
	uint32_t segment = a->member.segment;
	uint64_t id = b->id;

	assert_int_equal(learn(h, a, m), LEARN_OK);
	assert_int_equal(learn(h, b, m), LEARN_TAKEOVER);
	assert_true(host_has_binding(h, MAC_TAP, 0, mac(m), b->id));
	assert_int_equal(host_fdb_port(h, segment, mac(m)), b->member.dst.port);
	assert_int_equal(host_flood_count(h, segment), 1);
	/* The old one's end, late, must not harm the new one. */
	session_end(a, "the test is over");
	assert_true(host_has_binding(h, MAC_TAP, 0, mac(m), b->id));
	assert_int_equal(host_fdb_port(h, segment, mac(m)), b->member.dst.port);
	session_end(b, "the test is over");
	assert_false(host_has_binding(h, MAC_TAP, 0, mac(m), id));
	assert_int_equal(host_fdb_port(h, segment, mac(m)), 0);
}

/* I6: a workload that comes up later takes its MAC from the session that learned it. */
static void test_evict(void **state)
{
	struct host *h = *state;
	struct session *own = host_session(h, HOST_VLAN, "alice", 1);
	struct session *other = host_session(h, HOST_VLAN, "bob", 2);
	struct session *mac_mode = host_session(h, HOST_MAC, "carol", 3);
	const char *m = "02:00:00:00:0a:09";
	struct workload *w;

	learn(h, own, m);
	learn(h, other, m);
	learn(h, mac_mode, m);
	w = host_workload(h, "alice", mac(m), mac("0a:00:00:00:01:09"));
	assert_null(member_find(&own->member, mac(m)));
	assert_null(member_find(&mac_mode->member, mac(m)));
	assert_non_null(member_find(&other->member, mac(m))); /* in its own segment */
	assert_int_equal(host_fdb_port(h, own->member.segment, mac(m)), w->member.dst.port);
	assert_int_equal(host_fdb_port(h, other->member.segment, mac(m)), other->member.dst.port);
	host_remove(h, w);
	session_end(own, "the test is over");
	session_end(other, "the test is over");
	session_end(mac_mode, "the test is over");
}

/* A full segment or map refuses what is new and keeps what is there (I4). */
static void test_full(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_MAC, "alice", 1);
	uint32_t segment = s->member.segment;
	uint8_t m[6] = {2, 0, 0, 1, 0, 0};
	int n = 0, r;

	do {
		m[5] = (uint8_t)n;
		m[4] = (uint8_t)(n >> 8);
		r = segment_bind(&h->d, &s->member, m, 1);
	} while (r == 0 && ++n < 1000);
	assert_int_equal(r, -E2BIG);
	assert_int_equal(n, SP_FLOOD_MAX);
	assert_int_equal(host_flood_count(h, segment), SP_FLOOD_MAX);
	assert_int_equal(host_fdb_port(h, segment, m), 0); /* nothing half made */
	assert_false(host_has_binding(h, MAC_TAP, 0, m, s->id));
	m[5] = m[4] = 0;
	assert_true(host_has_binding(h, MAC_TAP, 0, m, s->id));
	session_end(s, "the test is over");

	s = host_session(h, HOST_VLAN, "alice", 2);
	for (n = 0, r = 0; r == 0 && n < 10000; n++) {
		m[5] = (uint8_t)n;
		m[4] = (uint8_t)(n >> 8);
		r = segment_bind(&h->d, &s->member, m, 1);
	}
	assert_int_equal(r, -ENOSPC);
	assert_true(n > 4000);
	assert_null(member_find(&s->member, m));
	assert_false(host_has_binding(h, VLAN_TAP, s->member.dst.vid, m, s->id));
	session_end(s, "the test is over");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts), cmocka_unit_test(test_maps_vlan),
		cmocka_unit_test(test_maps_mac), cmocka_unit_test(test_takeover_same_key),
		cmocka_unit_test(test_evict),	 cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests_name("binding", tests, host_setup, host_teardown);
}
