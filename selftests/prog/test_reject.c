// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who is told what, when a rule rejects a frame or logs it? A row for each way that a frame can
 * take to a policy: the answer is compared byte by byte, with every counter, and so is what comes
 * out of every port but the sender's, which is nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "machine_words.h"
#include "selftests/harness/answer.h"
#include "selftests/harness/judge.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/shape.h"
#include "selftests/harness/tally.h"

static struct world world;
static struct prober prober;
static char why[256];

#define WRONG(...) (snprintf(why, sizeof(why), __VA_ARGS__), why)

/* --- rows --- */

struct row {
	const char *name;
	enum world_dev dev;
	uint16_t vid;
	int dst;
	enum world_mac src;
	uint32_t sender, machine; /* ports: who is told; whose policy it is */
	const char *policy;
	size_t l4; /* where the upper layer is; 0: there is no answer */
	enum sp_reason reason;
	struct shape shape;
	uint16_t gso;
	uint8_t tcp_flags; /* 0: as the shape has it */
	bool inverted;
};

#define REJECTED SP_R_POLICY_REJECT
#define V4 (14 + 20)
#define V6 (14 + 40)
#define IN "reject in\n"
#define OUT "reject out\n"
#define FROM_VLAN W_VLAN, 461
#define FROM_MAC W_MAC, 0
#define FROM_NETNS W_NET6, 0
#define FROM_FREE W_FREE, 0

/* clang-format off */
#define ROW(n, from, to, by, told, of, text, at, why, ...) {.name = n, .dev = from, .dst = to, .src = by, .sender = told, .machine = of, .policy = text, .l4 = at, .reason = why, .shape = __VA_ARGS__},
static const struct row rows[] = {
	/* who asks */
	ROW("TCP from a VLAN session", FROM_VLAN, M_M2, M_V6, 461, 32, IN, V4, REJECTED, TCP("10.6.0.61", "10.6.0.2", 4000, 80))
	ROW("TCP from a VLAN session, IPv6", FROM_VLAN, M_M2, M_V6, 461, 32, IN, V6, REJECTED, TCP("fd06::61", "fd06::2", 4000, 80))
	ROW("TCP from a MAC session", FROM_MAC, M_M2, M_T6, 463, 32, IN, V4, REJECTED, TCP("10.6.0.63", "10.6.0.2", 4000, 80))
	ROW("UDP from a MAC session, IPv6", FROM_MAC, M_M2, M_T6, 463, 32, IN, V6, REJECTED, UDP("fd06::63", "fd06::2", 4000, 80))
	ROW("UDP from a netns port", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80))
	ROW("TCP from a machine, by its own policy", FROM_FREE, M_V6, M_M2, 32, 32, OUT, V4, REJECTED, TCP("10.6.0.2", "10.6.0.61", 4000, 80))
	ROW("UDP from a machine, by its own policy, IPv6", FROM_FREE, M_N6, M_M2, 32, 32, OUT, V6, REJECTED, UDP("fd06::2", "fd06::62", 4000, 80))
	ROW("TCP from a machine, by another's policy", FROM_FREE, M_M1, M_M2, 32, 31, IN, V6, REJECTED, TCP("fd06::2", "fd06::1", 4000, 80))
	ROW("UDP for a sleeper, which it does not wake", FROM_NETNS, M_M3, M_N6, 61, 33, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.3", 4000, 80))
	ROW("TCP for a sleeper without room", FROM_NETNS, M_M6, M_N6, 61, 36, IN, 0, SP_R_PARK_FULL, TCP("fd06::62", "fd06::6", 4000, 80))
	/* what for */
	ROW("a SYN with data", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, TCP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 77))
	ROW("an ACK, picked up", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, TCP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 9), .tcp_flags = 0x10)
	ROW("an ACK, picked up, IPv6", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V6, REJECTED, TCP("fd06::62", "fd06::2", 4000, 80), .tcp_flags = 0x10)
	ROW("a RST", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, SP_R_FLOW_INVALID, TCP("10.6.0.62", "10.6.0.2", 4000, 80), .tcp_flags = 0x04)
	ROW("TCP, IPv4 options", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4 + 4, REJECTED, TCP("10.6.0.62", "10.6.0.2", 4000, 80, .how = SHAPE_OPTIONS))
	ROW("TCP, IPv6 options", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V6 + 8, REJECTED, TCP("fd06::62", "fd06::2", 4000, 80, .how = SHAPE_DST_OPTIONS))
	ROW("UDP, IPv4 options", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4 + 4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .how = SHAPE_OPTIONS))
	ROW("UDP, IPv6 options", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V6 + 8, REJECTED, UDP("fd06::62", "fd06::2", 4000, 80, .how = SHAPE_DST_OPTIONS))
	ROW("UDP, a first fragment", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .how = SHAPE_FIRST))
	ROW("UDP, a later fragment", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, SP_R_FRAGMENT, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .how = SHAPE_LATER))
	ROW("UDP, 1 byte", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 1))
	ROW("UDP, 2 bytes, IPv6", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V6, REJECTED, UDP("fd06::62", "fd06::2", 4000, 80, .data = 2))
	ROW("UDP, 3 bytes", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 3))
	ROW("UDP, 36 bytes: whole chunks", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 36))
	ROW("UDP, as long as can be quoted", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 520))
	ROW("UDP, longer", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 521))
	ROW("UDP, the longest", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V4, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 1472))
	ROW("UDP, the longest, IPv6", FROM_NETNS, M_M2, M_N6, 61, 32, IN, V6, REJECTED, UDP("fd06::62", "fd06::2", 4000, 80, .data = 1452))
	ROW("ping", FROM_VLAN, M_M2, M_V6, 461, 32, IN, V4, REJECTED, ICMP("10.6.0.61", "10.6.0.2", 8, 0))
	ROW("ping, IPv6", FROM_VLAN, M_M2, M_V6, 461, 32, IN, V6, REJECTED, ICMP("fd06::61", "fd06::2", 128, 0))
	ROW("GRE", FROM_VLAN, M_M2, M_V6, 461, 32, IN, V4, REJECTED, OTHER("10.6.0.61", "10.6.0.2", 47))
	ROW("ESP, IPv6", FROM_VLAN, M_M2, M_V6, 461, 32, IN, V6, REJECTED, OTHER("fd06::61", "fd06::2", 50))
	/* what is never answered */
	ROW("UDP to a group, in a frame for one", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, REJECTED, UDP("10.6.0.62", "224.0.0.9", 4000, 80))
	ROW("UDP to a group, in a frame for one, IPv6", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, REJECTED, UDP("fd06::62", "ff02::9", 4000, 80))
	ROW("UDP to all", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, REJECTED, UDP("10.6.0.62", "255.255.255.255", 4000, 80))
	ROW("UDP from nobody", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, REJECTED, UDP("0.0.0.0", "10.6.0.2", 4000, 80))
	ROW("UDP from nobody, IPv6", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, REJECTED, UDP("::", "fd06::2", 4000, 80))
	ROW("TCP from a group", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, REJECTED, TCP("224.0.0.9", "10.6.0.2", 4000, 80))
	ROW("a frame to be cut up", FROM_NETNS, M_M2, M_N6, 61, 32, IN, 0, REJECTED, UDP("10.6.0.62", "10.6.0.2", 4000, 80, .data = 1900), .gso = 1400)
	ROW("dropped", FROM_NETNS, M_M2, M_N6, 61, 32, "drop in\n", 0, SP_R_POLICY_DROP, TCP("10.6.0.62", "10.6.0.2", 4000, 80))
	ROW("dropped by default", FROM_NETNS, M_M2, M_N6, 61, 32, "default in drop\n", 0, SP_R_POLICY, TCP("10.6.0.62", "10.6.0.2", 4000, 80))
	ROW("an error that tells of nothing", FROM_NETNS, M_M2, M_N6, 61, 32, "reject in state new,related\n", 0, SP_R_RELATED, ICMP("10.6.0.62", "10.6.0.2", 3, 1, .data = 28))
	/* the check can fail */
	ROW("wrong on purpose: no answer", FROM_VLAN, M_M2, M_V6, 461, 32, IN, 0, REJECTED, TCP("10.6.0.61", "10.6.0.2", 4000, 80), .inverted = true)
	ROW("wrong on purpose: an answer", FROM_VLAN, M_M2, M_V6, 461, 32, "drop in\n", V4, SP_R_POLICY_DROP, TCP("10.6.0.61", "10.6.0.2", 4000, 80), .inverted = true)
	ROW("wrong on purpose: dropped", FROM_VLAN, M_M2, M_V6, 461, 32, IN, V4, SP_R_POLICY_DROP, TCP("10.6.0.61", "10.6.0.2", 4000, 80), .inverted = true)
};
/* clang-format on */

static void set_policy(uint32_t port, const char *text)
{
	struct judge j = {.dp = world.dp};

	assert_int_equal(judge_set_text(&j, port, text), 0);
}

/* Room for answers and events again. */
static void forget_limits(void)
{
	static const struct sp_limit none;

	for (uint32_t port = 0; port < WORLD_PORTS; port++)
		assert_int_equal(bpf_map_update_elem(dataplane_map_fd(world.dp, "limits"), &port,
						     &none, BPF_ANY),
				 0);
}

/* The checksum is wrong then, which nobody on the way looks at. */
static struct model_frame frame_of(const struct row *row)
{
	struct model_frame f = model_frame_of(row->dev, row->vid, row->dst, row->src, &row->shape);

	f.gso_size = row->gso;
	if (row->tcp_flags) {
		uint8_t *tcp = f.payload + row->l4 - MODEL_ETH;

		tcp = row->l4 ? tcp : f.payload + 20;
		tcp[13] = row->tcp_flags;
		memcpy(tcp + 8, "\x12\x34\x56\x78", 4);
	}
	return f;
}

static const char *check_answer(const struct row *row, const struct model_frame *f, size_t *ret)
{
	uint8_t frame[PROBE_MAX], want[ANSWER_MAX];
	size_t len = probe_bytes(f, frame, false);
	unsigned int proto = row->shape.kind == SHAPE_TCP ? 6 : 17;

	*ret = answer_bytes(frame, len, row->l4, proto, want);
	if (prober.out_len != *ret)
		return WRONG("answered with %zu bytes, expected %zu", prober.out_len, *ret);
	for (size_t i = 0; i < *ret; i++)
		if (prober.out[i] != want[i])
			return WRONG("byte %zu of the answer is %02x, expected %02x", i,
				     prober.out[i], want[i]);
	return shape_checksums_right(prober.out, prober.out_len) ? NULL : "a checksum is wrong";
}

static const char *check(const struct row *row)
{
	static struct tally before, after;
	static const struct model_result nothing;
	struct model_frame f = frame_of(row);
	struct tally_moves m = {.reason = row->reason, .charged = row->sender, .len = f.len};
	int verdict, expected = row->l4 ? PROBE_REDIRECT : PROBE_SHOT;
	const char *wrong = NULL, *notices;
	size_t len = 0;

	assert_int_equal(world_reset_machines(&world), 0);
	forget_limits();
	set_policy(row->machine, row->policy);
	assert_int_equal(tally_take(&world, &before), 0);
	verdict = probe_steer(&prober, &f);
	assert_int_equal(tally_take(&world, &after), 0);
	assert_int_equal(dataplane_policy_clear(world.dp, row->machine), 0);
	wrong = probe_check_copies(&prober, &f, &nothing);
	notices = probe_check_notices(&prober, &f, &nothing, 6);
	if (verdict != expected)
		return WRONG("verdict %d, expected %d", verdict, expected);
	wrong = wrong ?: notices;
	if (!wrong && row->l4)
		wrong = check_answer(row, &f, &len);
	m.departed = &row->sender;
	m.n_departed = row->l4 ? 1 : 0;
	m.departed_len = (uint32_t)len;
	return wrong ?: tally_check(&before, &after, &m);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	const char *wrong = check(row);

	if (row->inverted && !wrong)
		fail_msg("%s: the check did not notice a false expectation", row->name);
	if (!row->inverted && wrong)
		fail_msg("%s: %s", row->name, wrong);
}

/* --- how often --- */

static struct model_frame syn(const char *src, const char *dst)
{
	const struct shape s = {SHAPE_TCP, .src = src, .dst = dst, .a = 4000, .b = 80};

	return model_frame_of(W_NET6, 0, M_M2, M_N6, &s);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* What a sender gets for many frames is bounded, the rest is dropped alike; another is not hit. */
static void test_reject_rate(void **state)
{
	struct model_frame f = syn("10.6.0.62", "10.6.0.2");
	const struct shape other = TCP("10.6.0.61", "10.6.0.2", 4000, 80);
	struct model_frame g = model_frame_of(W_VLAN, 461, M_M2, M_V6, &other);
	uint64_t began, took, answered = 0, frames = 4 * SP_SAY_BURST;
	struct sp_limit limit;

	forget_limits();
	set_policy(32, IN);
	began = now_ns();
	for (uint64_t i = 0; i < frames; i++)
		answered += probe_steer(&prober, &f) == PROBE_REDIRECT;
	took = now_ns() - began;
	assert_in_range(answered, SP_SAY_BURST, SP_SAY_BURST + 2 + took / SP_SAY_COST_NS);
	assert_int_equal(dataplane_limit_get(world.dp, 61, &limit), 0);
	assert_int_equal(limit.rejects_withheld, frames - answered);
	assert_int_equal(probe_steer(&prober, &g), PROBE_REDIRECT);
	assert_int_equal(dataplane_policy_clear(world.dp, 32), 0);
}

/* --- logs --- */

static struct {
	unsigned int n;
	struct sp_event last;
} seen;

static void on_event(const struct sp_event *e, void *arg)
{
	if (e->hook != SP_HOOK_IN && e->hook != SP_HOOK_OUT)
		return; /* a sample of a drop */
	seen.n++;
	seen.last = *e;
}

static void drain_events(void)
{
	memset(&seen, 0, sizeof(seen));
	assert_true(dataplane_events_drain(world.dp, on_event, NULL) >= 0);
}

static void expect_event(const struct model_frame *f, uint32_t port, enum sp_hook hook,
			 enum sp_reason reason, uint16_t rule)
{
	uint8_t frame[PROBE_MAX];
	size_t len = probe_bytes(f, frame, false);
	const struct sp_event *e = &seen.last;

	drain_events();
	assert_int_equal(seen.n, 1);
	assert_int_equal(e->port, port);
	assert_int_equal(e->segment, 6);
	assert_int_equal(e->hook, hook);
	assert_int_equal(e->reason, reason);
	assert_int_equal(e->rule, rule);
	assert_int_equal(e->ifindex, world.ifindex[f->dev]);
	assert_int_equal(e->vid, f->tci);
	assert_int_equal(e->len, len);
	assert_int_equal(e->caplen, len > SP_EVENT_SNAP ? SP_EVENT_SNAP : len);
	assert_memory_equal(e->data, frame, e->caplen);
}

static void test_log(void **state)
{
	struct model_frame f = syn("10.6.0.62", "10.6.0.2"), g = syn("fd06::62", "fd06::2");
	const struct shape out = UDP("10.6.0.2", "10.6.0.61", 1, 2, .data = 200);
	const struct shape all = UDP("10.6.0.61", "10.6.0.255", 1, 2);
	struct model_frame h = model_frame_of(W_FREE, 0, M_V6, M_M2, &out);
	struct model_frame b = model_frame_of(W_VLAN, 461, M_BROADCAST, M_V6, &all);

	forget_limits();
	drain_events();
	set_policy(32, "drop in udp state new\nreject in from 10.6.0.62 log\naccept in tcp log\n"
		       "drop in state group log\ndefault out drop log\n");
	assert_int_equal(probe_steer(&prober, &f), PROBE_REDIRECT);
	expect_event(&f, 32, SP_HOOK_IN, SP_R_POLICY_REJECT, 2);
	assert_int_equal(probe_steer(&prober, &g), PROBE_REDIRECT);
	expect_event(&g, 32, SP_HOOK_IN, SP_R_NONE, 3);
	assert_int_equal(probe_steer(&prober, &g), PROBE_REDIRECT); /* by its flow now */
	drain_events();
	assert_int_equal(seen.n, 0);
	assert_int_equal(probe_steer(&prober, &h), PROBE_SHOT);
	expect_event(&h, 32, SP_HOOK_OUT, SP_R_POLICY, 0);
	/* Its tag is off by then, for the copies that came before. */
	assert_int_equal(probe_steer(&prober, &b), PROBE_SHOT);
	b.tag_proto = b.tci = 0;
	expect_event(&b, 32, SP_HOOK_IN, SP_R_POLICY_DROP, 4);
	assert_int_equal(dataplane_policy_clear(world.dp, 32), 0);
}

/* One machine's log is bounded as well, and what is not told is counted. */
static void test_log_rate(void **state)
{
	struct model_frame f = syn("10.6.0.62", "10.6.0.2");
	uint64_t began, frames = 4 * SP_SAY_BURST;
	struct sp_limit limit;

	forget_limits();
	drain_events();
	set_policy(32, "drop in log\n");
	began = now_ns();
	for (uint64_t i = 0; i < frames; i++)
		assert_int_equal(probe_steer(&prober, &f), PROBE_SHOT);
	drain_events();
	assert_in_range(seen.n, SP_SAY_BURST,
			SP_SAY_BURST + 2 + (now_ns() - began) / SP_SAY_COST_NS);
	assert_int_equal(dataplane_limit_get(world.dp, 32, &limit), 0);
	assert_int_equal(limit.logs_withheld, frames - seen.n);
	assert_int_equal(dataplane_policy_clear(world.dp, 32), 0);
}

/* --- */

/* Connections that nobody saw begin are taken up: so an ACK gets as far as to a policy. */
static int allow_pick_up(void)
{
	const struct dataplane_budget budget = {.flows = WORLD_FLOWS};

	return dataplane_slot_begin(world.dp, world_slot_of(6), 6, &budget, UINT64_MAX);
}

static int setup(void **state)
{
	const struct world_options options = {.live = false};
	int r = net_isolate();

	net_no_ipv6();
	if (r == 0)
		r = world_open(&world, &options);
	if (r == 0)
		r = prober_open(&prober, &world);
	if (r == 0)
		r = allow_pick_up();
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	return r;
}

static int teardown(void **state)
{
	prober_close(&prober);
	world_close(&world);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_reject_rate),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_log_rate),
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
	return _cmocka_run_group_tests("reject", tests, n, setup, teardown);
}
