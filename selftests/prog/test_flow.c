// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which packets does a flow let pass, how long, and how many may there be? A row for each rule of
 * the states, of errors and of fragments, IPv4 and IPv6; timers by the machines' own clocks;
 * budgets; the collection in the kernel; a flood of a million. What TCP's windows let pass is
 * compared with the kernel's own in test_conntrack.c.
 */
#include <errno.h>
#include <poll.h>
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

#include "lib/cleanup.h"
#include "selftests/harness/flowbed.h"
#include "selftests/harness/net.h"
#include "selftests/harness/talk.h"
#include "selftests/harness/world.h"

#define FLOWS 4096
#define TICKS(s) ((uint32_t)(((uint64_t)(s)*1000000000ULL) >> SP_TICK_SHIFT))

static struct flowbed bed;

static void reset(uint32_t flows, uint64_t new_per_s, uint64_t burst)
{
	const struct dataplane_budget budget = {
		.flows = flows, .new_per_s = new_per_s, .new_burst = burst};

	assert_int_equal(flowbed_reset(&bed, &budget, 0), 0);
	flowbed_reason(&bed);
}

/* --- packets, by short names --- */

#define S 0x02
#define A 0x10
#define F 0x01
#define R 0x04
#define TCP(end, fl, sq, ak, n)                                                                    \
	{                                                                                          \
		.from = (end), .proto = 6, .flags = (fl), .seq = (sq), .ack = (ak), .data = (n),   \
		.win = 1000, .scale = TALK_NO_SCALE, .quotes = -1                                  \
	}
#define UDP(end)                                                                                   \
	{                                                                                          \
		.from = (end), .proto = 17, .data = 8, .quotes = -1                                \
	}
#define PING(end, four, six)                                                                       \
	{                                                                                          \
		.from = (end), .proto = 1, .type = (four), .code = (six), .quotes = -1             \
	}
#define ERROR(end, what, about)                                                                    \
	{                                                                                          \
		.from = (end), .proto = 1, .type = (what), .quotes = (about)                       \
	}
#define PIECE(end, at, n, last)                                                                    \
	{                                                                                          \
		.from = (end), .proto = 17, .data = 1400, .slice = (at), .slice_len = (n),         \
		.more = !(last), .quotes = -1                                                      \
	}
#define PROTO(end, number)                                                                         \
	{                                                                                          \
		.from = (end), .proto = (number), .quotes = -1                                     \
	}
#define OTHER(end) PROTO(end, 99)

struct step {
	struct talk_packet packet;
	enum sp_reason reason; /* SP_R_NONE: it passes */
};

#define STEPS_MAX 12

/* End 0 is machine one, end 1 machine two. */
struct row {
	const char *name;
	struct step steps[STEPS_MAX];
	bool inverted; /* the expectation is false: the check must say so */
};

#define OK(...)                                                                                    \
	{                                                                                          \
		.packet = __VA_ARGS__                                                              \
	}
#define NO(why, ...)                                                                               \
	{                                                                                          \
		.packet = __VA_ARGS__, .reason = SP_R_##why                                        \
	}
#define OPEN OK(TCP(0, S, 100, 0, 0)), OK(TCP(1, S | A, 500, 101, 0)), OK(TCP(0, A, 101, 501, 0))

#define ROW(n, ...) {.name = (n), .steps = {__VA_ARGS__}},
#define WRONG_ROW(n, ...) {.name = (n), .steps = {__VA_ARGS__}, .inverted = true},
static const struct row rows[] = {
#include "flow_rows.h"
};

/* Types of ICMP where the row has IPv4's; PING has both. */
static struct talk_packet in_family(const struct talk_packet *k, bool six, uint32_t id)
{
	struct talk_packet p = *k;

	p.id = id;
	p.port[0] = p.proto == 1 ? 4711 : 4000;
	p.port[1] = 80;
	if (p.proto != 1)
		return p;
	if (six) {
		p.proto = 58;
		p.type = p.quotes >= 0 ? (p.type == 3 ? 1 : 3) : p.code;
	}
	p.code = 0;
	return p;
}

static const char *run_row(const struct row *row, bool six)
{
	static char why[200];
	struct talk t = {.six = six};

	reset(FLOWS, 0, 0);
	for (size_t i = 0; i < STEPS_MAX && row->steps[i].packet.proto; i++) {
		const struct step *s = &row->steps[i];
		uint8_t ip[TALK_BYTES];
		enum sp_reason got;
		size_t n;
		int r;

		t.packet[t.n++] = in_family(&s->packet, six, (uint32_t)(row - rows) + 1);
		n = talk_bytes(&t, t.n - 1, ip);
		r = flowbed_send(&bed, s->packet.from ? BED_TWO : BED_ONE,
				 s->packet.from ? BED_ONE : BED_TWO, ip, n);
		assert_true(r >= 0);
		got = flowbed_reason(&bed);
		if (got == s->reason && (r == 0) == (s->reason == SP_R_NONE))
			continue;
		snprintf(why, sizeof(why), "IPv%d, step %zu: %s, expected %s", six ? 6 : 4, i,
			 sp_reason_name(got), sp_reason_name(s->reason));
		return why;
	}
	return NULL;
}

static void test_row(void **state)
{
	const struct row *row = *state;

	for (int six = 0; six < 2; six++) {
		const char *wrong = run_row(row, six);

		if (row->inverted && !wrong)
			fail_msg("%s: the check did not notice a false expectation", row->name);
		if (!row->inverted && wrong)
			fail_msg("%s: %s", row->name, wrong);
	}
}

/* Each reason of flows has a row or a test below (I9). */
static void test_complete(void **state)
{
	for (unsigned int r = SP_R_FLOW_INVALID; r <= SP_R_RELATED; r++) {
		bool found =
			r == SP_R_FLOW_TABLE_FULL || r == SP_R_FLOW_RATE || r == SP_R_FLOW_BUSY;

		for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
			for (size_t k = 0; k < STEPS_MAX && !rows[i].inverted; k++)
				found |= rows[i].steps[k].reason == r;
		if (!found)
			fail_msg("no row for %s", sp_reason_name(r));
	}
}

/* --- one packet, for the tests below --- */

static int send_udp(enum flowbed_end from, enum flowbed_end to, uint32_t number, bool six)
{
	struct talk t = {.six = six,
			 .n = 1,
			 .packet = {{.from = from > to,
				     .proto = 17,
				     .data = 4,
				     .quotes = -1,
				     .port = {(uint16_t)number, (uint16_t)(1 + (number >> 16))}}}};
	uint8_t ip[TALK_BYTES];
	size_t n = talk_bytes(&t, 0, ip);
	int r = flowbed_send(&bed, from, to, ip, n);

	assert_true(r >= 0);
	return r;
}

static struct sp_slot slot(void)
{
	struct sp_slot s;

	assert_int_equal(dataplane_slot_get(bed.dp, FLOWBED_SLOT, &s), 0);
	return s;
}

/* Every flow ends in S seconds of its owner's time. */
static void set_timeouts(double s)
{
	struct sp_timeouts t;

	for (size_t i = 0; i < SP_ARRAY_SIZE(t.ticks); i++)
		t.ticks[i] = (uint32_t)(s * 1e9 / (1 << SP_TICK_SHIFT)) + 1;
	assert_int_equal(dataplane_timeouts_set(bed.dp, &t), 0);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The answer passes exactly as long as the flow is there; what it answers is not sent again. */
static bool answer_passes(void)
{
	int r = send_udp(BED_TWO, BED_ONE, 7, false);

	/* It has no flow: it begins one, as a new flow of its own may. */
	return r == 0;
}

/* --- ways --- */

/* What passes two routers is a flow at each of them; neither takes the other's place. */
static void test_ways(void **state)
{
	const struct sp_machine router = {.slot = FLOWBED_SLOT, .flags = SP_M_ROUTER};

	for (int six = 0; six < 2; six++) {
		reset(FLOWS, 0, 0);
		for (uint32_t port = BED_ONE; port <= BED_TWO; port++)
			assert_int_equal(dataplane_machine_begin(bed.dp, port, &router), 0);
		for (int again = 0; again < 3; again++) {
			assert_int_equal(send_udp(BED_SESSION, BED_ONE, 7, six), 0);
			assert_int_equal(send_udp(BED_FAR, BED_TWO, 7, six), 0);
			assert_int_equal(send_udp(BED_ONE, BED_SESSION, 7, six), 0);
			assert_int_equal(send_udp(BED_TWO, BED_FAR, 7, six), 0);
		}
		assert_int_equal(flowbed_count(&bed), 2);
		assert_int_equal(slot().opened, 2);
	}
	reset(FLOWS, 0, 0);
}

/* --- budgets --- */

static void test_table_full(void **state)
{
	reset(10, 0, 0);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(send_udp(BED_ONE, BED_TWO, i, i & 1), 0);
	assert_int_equal(send_udp(BED_ONE, BED_TWO, 10, false), 1);
	assert_int_equal(flowbed_reason(&bed), SP_R_FLOW_TABLE_FULL);
	assert_int_equal(slot().flows, 10);
	assert_int_equal(slot().full, 1);
	assert_int_equal(flowbed_count(&bed), 10);
	for (uint32_t i = 0; i < 10; i++) /* what was there goes on */
		assert_int_equal(send_udp(BED_TWO, BED_ONE, i, i & 1), 0);
}

static void test_rate(void **state)
{
	reset(FLOWS, 1, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(send_udp(BED_ONE, BED_TWO, i, false), 0);
	/* A second passes for each that is let in now. */
	for (uint32_t i = 100; send_udp(BED_ONE, BED_TWO, i, false) == 0; i++)
		assert_true(i < 160);
	assert_int_equal(flowbed_reason(&bed), SP_R_FLOW_RATE);
	assert_int_equal(slot().over_rate, 1);
	assert_int_equal(send_udp(BED_TWO, BED_ONE, 0, false), 0);
}

/* --- time --- */

static struct sp_machine machine(uint32_t port)
{
	struct sp_machine m;

	assert_int_equal(dataplane_machine_get(bed.dp, port, &m), 0);
	return m;
}

static uint64_t opened(void)
{
	return slot().opened;
}

/* Wait until the flow is over, which shows in the next packet making another in its place. */
static void wait_until_over(enum flowbed_end from, enum flowbed_end to, int limit_ms)
{
	uint64_t end = now_ms() + (uint64_t)limit_ms, before = opened();

	while (now_ms() < end && opened() == before) {
		poll(NULL, 0, 100); /* no packet of it meanwhile: that would keep it */
		send_udp(from, to, 7, false);
	}
	assert_true(opened() > before);
}

/* Its packets keep it, and without them it ends. */
static void test_timeout(void **state)
{
	uint64_t begin = now_ms(), before;

	reset(FLOWS, 0, 0);
	set_timeouts(0.06);
	assert_int_equal(send_udp(BED_ONE, BED_TWO, 7, false), 0);
	before = opened();
	wait_until_over(BED_ONE, BED_TWO, 3000);
	assert_true(now_ms() - begin >= 60);
	assert_true(opened() > before);
	dataplane_timeouts_set(bed.dp, &world_timeouts);
}

/*
 * While the machine that was called stands still, so do the timers of its flows; and while the
 * other one does, no flow of it ends either.
 */
static void frozen(uint32_t port)
{
	uint64_t before;

	reset(FLOWS, 0, 0);
	set_timeouts(0.06);
	assert_int_equal(send_udp(BED_ONE, BED_TWO, 7, false), 0);
	before = opened();
	dataplane_machine_freeze(bed.dp, port);
	assert_true(machine(port).frozen_ns != 0);
	poll(NULL, 0, 250); /* four times as long as it would live */
	assert_int_equal(flowbed_count(&bed), 1);
	assert_true(answer_passes());
	assert_int_equal(opened(), before);
	dataplane_machine_thaw(bed.dp, port);
	assert_int_equal(machine(port).frozen_ns, 0);
	assert_true(answer_passes());
	assert_int_equal(opened(), before);
	wait_until_over(BED_ONE, BED_TWO, 3000);
	dataplane_timeouts_set(bed.dp, &world_timeouts);
}

static void test_frozen_owner(void **state)
{
	frozen(BED_TWO);
}

static void test_frozen_other(void **state)
{
	frozen(BED_ONE);
}

/* --- ends --- */

/* Nobody but the kernel takes them away: this process only waits. */
static void test_collection(void **state)
{
	uint64_t end;

	reset(FLOWS, 0, 0);
	set_timeouts(0.05);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(send_udp(BED_ONE, BED_TWO, i, i & 1), 0);
	dataplane_timeouts_set(bed.dp, &world_timeouts);
	assert_int_equal(send_udp(BED_ONE, BED_TWO, 5000, false), 0);
	for (end = now_ms() + 20000; flowbed_count(&bed) > 1 && now_ms() < end;)
		poll(NULL, 0, 50);
	assert_int_equal(flowbed_count(&bed), 1);
	assert_int_equal(slot().flows, 1);
	assert_int_equal(slot().expired, 2000);
}

static void test_end_port(void **state)
{
	reset(FLOWS, 0, 0);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(send_udp(BED_ONE, BED_TWO, i, i & 1), 0);
		assert_int_equal(send_udp(BED_TWO, BED_SESSION, 100 + i, i & 1), 0);
	}
	assert_int_equal(flowbed_count(&bed), 40);
	assert_int_equal(dataplane_flows_end_port(bed.dp, FLOWBED_SLOT, BED_ONE), 0);
	assert_int_equal(flowbed_count(&bed), 20);
	assert_int_equal(slot().flows, 20);
	assert_int_equal(dataplane_flows_end_port(bed.dp, FLOWBED_SLOT, BED_TWO), 0);
	assert_int_equal(flowbed_count(&bed), 0);
}

static int keep_flow(const struct dataplane_flow *flow, void *arg)
{
	*(struct dataplane_flow *)arg = *flow;
	return 0;
}

static void test_end_one(void **state)
{
	struct dataplane_flow f = {.slot = 0};

	for (int six = 0; six < 2; six++) {
		reset(FLOWS, 0, 0);
		assert_int_equal(send_udp(BED_ONE, BED_TWO, 7, six), 0);
		for (uint32_t t = 0;
		     dataplane_each_flow(bed.dp, FLOWBED_SLOT, t, keep_flow, &f) == 0; t++)
			;
		assert_int_equal(f.slot, FLOWBED_SLOT);
		assert_int_equal(f.six, six);
		assert_int_equal(dataplane_flow_end(bed.dp, &f), 0);
		assert_int_equal(dataplane_flow_end(bed.dp, &f), -ENOENT);
		assert_int_equal(flowbed_count(&bed), 0);
		assert_int_equal(slot().flows, 0);
	}
}

/* --- flood --- */

#define FLOOD 1000000U
#define OTHERS 1000U /* new flows of the other segment, spread over the flood */

static unsigned long resident_kib(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	unsigned long size, resident;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	return resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

/* A million flows of one user: he has his budget of them, and others begin theirs as before. */
static void test_flood(void **state)
{
	const char *wanted = getenv("SP_FLOOD");
	uint32_t n = wanted ? (uint32_t)strtoul(wanted, NULL, 10) : FLOOD, lost = 0, passed = 0;
	unsigned long before, after;
	uint64_t began;

	reset(FLOWS, 0, 0);
	set_timeouts(0.2); /* so that the collection has as much to do */
	assert_int_equal(flowbed_other(&bed, FLOWS), 0);
	before = resident_kib();
	began = now_ms();
	for (uint32_t i = 0; i < n; i++) {
		passed += send_udp(BED_ONE, BED_TWO, i, i & 1) == 0;
		if (i % (n / OTHERS) == 0)
			lost += flowbed_send_other(&bed, i) != 0;
	}
	after = resident_kib();
	for (uint64_t end = now_ms() + 20000; !slot().expired && now_ms() < end;)
		poll(NULL, 0, 50); /* a short flood may be over before the next pass */
	printf("# %u new flows in %.1f s: %u had a place, %llu did not; %llu collected meanwhile; "
	       "others "
	       "lost %u of %u; this process grew by %lu KiB\n",
	       n, (double)(now_ms() - began) / 1e3, passed, (unsigned long long)slot().full,
	       (unsigned long long)slot().expired, lost, OTHERS, after - before);
	assert_int_equal(lost, 0);
	assert_int_equal(passed + slot().full, n);
	assert_true(slot().full > 0 && slot().expired > 0 && slot().flows <= FLOWS);
	assert_true(after - before < 1024);
	dataplane_timeouts_set(bed.dp, &world_timeouts);
}

/* --- */

static int setup(void **state)
{
	int r = net_isolate();

	if (r == 0)
		r = flowbed_open(&bed, FLOWS);
	return r;
}

static int teardown(void **state)
{
	flowbed_close(&bed);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_complete),     cmocka_unit_test(test_ways),
		cmocka_unit_test(test_table_full),   cmocka_unit_test(test_rate),
		cmocka_unit_test(test_timeout),	     cmocka_unit_test(test_frozen_owner),
		cmocka_unit_test(test_frozen_other), cmocka_unit_test(test_collection),
		cmocka_unit_test(test_end_port),     cmocka_unit_test(test_end_one),
		cmocka_unit_test(test_flood),
	};
	struct CMUnitTest tests[SP_ARRAY_SIZE(rows) + SP_ARRAY_SIZE(more)];
	size_t n = 0;

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
		tests[n++] =
			(struct CMUnitTest){rows[i].name, test_row, NULL, NULL, (void *)&rows[i]};
	for (size_t i = 0; i < SP_ARRAY_SIZE(more); i++)
		tests[n++] = more[i];
	return _cmocka_run_group_tests("flow", tests, n, setup, teardown);
}
