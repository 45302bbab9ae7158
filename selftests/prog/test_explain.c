// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does the explanation of a frame say what would become of it, and does nothing come of it? Random
 * frames, against the reference model; then everything that can be counted is as it was before.
 *   SP_MODEL_FRAMES  how many (100,000)
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

#include <bpf/bpf.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "machine_words.h"
#include "selftests/harness/draw.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/shape.h"
#include "selftests/harness/tally.h"

#define FRAMES 100000

static struct world world;
static struct prober prober;
static struct explainer *explainer;
static char why[512];

#define WRONG(...) (snprintf(why, sizeof(why), __VA_ARGS__), why)

/* --- asking --- */

static enum sp_port_kind kind_of(enum world_dev d)
{
	if (world_is_machine(d))
		return SP_PORT_MACHINE;
	return d == W_VLAN || d == W_MAC ? SP_PORT_VPN : SP_PORT_NETNS;
}

static int explain(const struct model_frame *f, struct sp_walk *ret)
{
	uint8_t bytes[PROBE_MAX];
	const struct dataplane_frame frame = {.kind = kind_of(f->dev),
					      .ifindex = world.ifindex[f->dev],
					      .vid = f->tag_proto ? f->tci : 0,
					      .data = bytes,
					      .len = probe_bytes(f, bytes, false)};

	return explainer_run(explainer, &frame, ret);
}

/* A frame that a person can ask for: no odd tag, no GSO, not shorter or longer than there is. */
static bool can_ask(const struct model_frame *f)
{
	if (f->tag_proto && f->dev != W_VLAN)
		return false;
	return !f->gso_size && f->len >= SP_EXPLAIN_MIN && f->len <= SP_EXPLAIN_LEN &&
	       (!f->tag_proto || (f->tag_proto == 0x8100 && f->tci && !(f->tci & 0xf000)));
}

static const struct sp_step *last_of(const struct sp_walk *w)
{
	return w->n && w->n <= SP_STEPS ? &w->step[w->n - 1] : NULL;
}

static const struct sp_step *find(const struct sp_walk *w, enum sp_step_kind kind)
{
	for (uint32_t i = 0; i < w->n && i < SP_STEPS; i++)
		if (w->step[i].kind == kind)
			return &w->step[i];
	return NULL;
}

/* --- comparing --- */

static uint64_t drops(enum sp_reason reason)
{
	struct sp_reason_count c;

	assert_int_equal(dataplane_reason_get(world.dp, reason, &c), 0);
	return c.frames;
}

static uint64_t left_by(uint32_t port)
{
	struct sp_counter c;

	assert_int_equal(dataplane_counter_get(world.dp, port, &c), 0);
	return c.tx_frames;
}

/* Of all reasons. */
static uint64_t all_drops(void)
{
	uint64_t n = 0;

	for (int r = 1; r < _SP_R_MAX; r++)
		n += drops(r);
	return n;
}

static int run_for_real(const struct model_frame *f)
{
	if (kind_of(f->dev) == SP_PORT_VPN && probe_guard(&prober, f) == PROBE_XDP_DROP)
		return PROBE_SHOT;
	return probe_steer(&prober, f);
}

/* The copies that W tells, the frame having been sent since. BEFORE: what had left, by step. */
static const char *compare_copies(const struct sp_walk *w, const uint64_t *before)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		if (w->step[i].kind != SP_STEP_COPY)
			continue;
		n++;
		if (left_by(w->step[i].port) != before[i] + 1)
			return WRONG("no copy left by port %u", w->step[i].port);
	}
	return n ? NULL : WRONG("ends in step %u", w->step[w->n - 1].kind);
}

/* What W says of F, against what the programs do with it. */
static const char *compare(const struct sp_walk *w, const struct model_frame *f)
{
	const struct sp_step *last = last_of(w);
	uint64_t before[SP_STEPS], total = all_drops();
	uint64_t dropped = last && last->kind == SP_STEP_DROP ? drops(last->value) : 0;
	int verdict;

	if (!last)
		return WRONG("%u steps", w->n);
	for (uint32_t i = 0; i < w->n; i++)
		before[i] = left_by(w->step[i].port);
	verdict = run_for_real(f);
	if ((all_drops() != total) != (last->kind == SP_STEP_DROP))
		return WRONG("ends in step %u, and %s dropped", last->kind,
			     last->kind == SP_STEP_DROP ? "it was not" : "it was");
	switch (last->kind) {
	case SP_STEP_DROP:
		return drops(last->value) == dropped + 1
			       ? NULL
			       : WRONG("not dropped as %s", sp_reason_name(last->value));
	case SP_STEP_SEND:
		return verdict == PROBE_REDIRECT && left_by(last->port) == before[w->n - 1] + 1
			       ? NULL
			       : WRONG("verdict %d, not sent by port %u", verdict, last->port);
	case SP_STEP_PARK:
		return verdict == PROBE_SHOT ? NULL : WRONG("verdict %d, not parked", verdict);
	default:
		return compare_copies(w, before);
	}
}

/* Everything that a frame may change. */
struct state {
	struct tally tally;
	struct sp_machine machines[WORLD_PORTS];
	struct sp_slot slots[WORLD_SEGMENTS + 1];
	struct sp_police police[WORLD_PORTS];
	struct sp_quota quotas[WORLD_PORTS];
	uint64_t flows, sum;
};

static int add_flow(const struct dataplane_flow *f, void *arg)
{
	struct state *s = arg;
	const uint8_t *p = (const uint8_t *)&f->flow;

	s->flows++;
	for (size_t i = 0; i < sizeof(f->flow); i++)
		s->sum = s->sum * 31 + p[i];
	return 0;
}

static void take_state(struct state *s)
{
	int police = dataplane_map_fd(world.dp, "police");
	int quotas = dataplane_map_fd(world.dp, "quotas");

	memset(s, 0, sizeof(*s));
	assert_int_equal(tally_take(&world, &s->tally), 0);
	for (uint32_t i = 0; i < WORLD_PORTS; i++) {
		assert_int_equal(bpf_map_lookup_elem(dataplane_map_fd(world.dp, "machines"), &i,
						     &s->machines[i]),
				 0);
		assert_int_equal(bpf_map_lookup_elem(police, &i, &s->police[i]), 0);
		assert_int_equal(bpf_map_lookup_elem(quotas, &i, &s->quotas[i]), 0);
	}
	for (uint32_t i = 1; i <= WORLD_SEGMENTS; i++)
		assert_int_equal(dataplane_slot_get(world.dp, i, &s->slots[i]), 0);
	for (uint32_t i = WORLD_FIRST_SLOT; i <= WORLD_SEGMENTS; i++) {
		uint32_t slot = world_slot_of(i);

		for (uint32_t t = 0; dataplane_each_flow(world.dp, slot, t, add_flow, s) == 0; t++)
			;
	}
}

static void no_notice(const struct sp_notice *n, void *arg)
{
	fail_msg("a notice of kind %u for port %u", n->kind, n->port);
}

static uint64_t frames_wanted(void)
{
	const char *s = getenv("SP_MODEL_FRAMES");

	return s ? strtoull(s, NULL, 10) : FRAMES;
}

/* Nothing comes of it, whatever is asked. */
static void test_only_looks(void **state)
{
	static struct state before, after;
	uint64_t n = frames_wanted(), asked = 0;

	assert_int_equal(world_reset_machines(&world), 0);
	for (size_t i = 0; i < world_n_machines; i++)
		world_watch(&world, world_machines[i].port,
			    SP_WATCH_TO | SP_WATCH_FROM | SP_WATCH_ADDRESS);
	take_state(&before);
	for (uint64_t i = 0; i < n; i++) {
		struct model_frame f = draw_frame();
		struct sp_walk w;

		if (!can_ask(&f))
			continue;
		asked++;
		assert_int_equal(explain(&f, &w), 0);
	}
	take_state(&after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(dataplane_notices_drain(world.dp, no_notice, NULL) >= 0);
	assert_true(asked > n / 2);
}

static void pass_over(const struct sp_notice *n, void *arg)
{
}

/* What is said would be done is done, as the frame follows at once. */
static void test_agrees(void **state)
{
	uint64_t n = frames_wanted() / 10, kinds[SP_STEP_DROP + 1] = {0};

	for (uint64_t i = 0; i < n; i++) {
		struct model_frame f = draw_frame();
		struct sp_walk w;
		const char *wrong;

		if (!can_ask(&f))
			continue;
		assert_int_equal(explain(&f, &w), 0);
		for (uint32_t k = 0; k < w.n && k < SP_STEPS; k++)
			kinds[w.step[k].kind]++;
		wrong = compare(&w, &f);
		if (wrong)
			fail_msg("frame %llu on %s: %s", (unsigned long long)i,
				 world_dev_name[f.dev], wrong);
		assert_true(dataplane_notices_drain(world.dp, pass_over, NULL) >= 0);
		if (i % 64 == 0)
			assert_int_equal(world_reset_machines(&world), 0);
	}
	for (int k = SP_STEP_GUARD; k <= SP_STEP_DROP; k++)
		if (n >= 2000 && !kinds[k] && k != SP_STEP_FLOW && k != SP_STEP_REJECT &&
		    k != SP_STEP_RELATED)
			fail_msg("no frame made a step of kind %d", k);
}

/* --- a connection --- */

#define SYN 0x02
#define ACK 0x10

/* From machine 31 to 32 or back, both awake and in one segment. */
static struct model_frame segment_of(bool back, uint8_t flags, uint32_t seq, uint32_t ack)
{
	const struct shape s = {SHAPE_TCP, .a = back ? 80 : 4000, .b = back ? 4000 : 80,
				.src = back ? "10.6.0.2" : "10.6.0.1",
				.dst = back ? "10.6.0.1" : "10.6.0.2"};
	struct model_frame f = model_frame_of(back ? W_FREE : W_PINNED, 0, back ? M_M1 : M_M2,
					      back ? M_M2 : M_M1, &s);
	uint8_t *tcp = f.payload + 20;
	uint8_t pseudo[12 + 20] = {0};

	for (int i = 0; i < 4; i++) {
		tcp[4 + i] = (uint8_t)(seq >> (24 - 8 * i));
		tcp[8 + i] = (uint8_t)(ack >> (24 - 8 * i));
	}
	f.len = SP_EXPLAIN_MIN; /* padded */
	tcp[13] = flags;
	tcp[14] = 0x40; /* a window of 16,384 */
	tcp[16] = tcp[17] = 0;
	memcpy(pseudo, f.payload + 12, 8);
	pseudo[9] = 6;
	pseudo[11] = 20;
	memcpy(pseudo + 12, tcp, 20);
	*(uint16_t *)(void *)(tcp + 16) = shape_checksum(pseudo, sizeof(pseudo), 0);
	return f;
}

static void pass(bool back, uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct model_frame f = segment_of(back, flags, seq, ack);

	assert_int_equal(probe_steer(&prober, &f), PROBE_REDIRECT);
}

/* A flow is told as it stands, judged by a copy, and left as it was. */
static void test_flow(void **state)
{
	static struct state before, after;
	struct model_frame f = segment_of(false, SYN, 100, 0);
	const struct sp_step *s;
	struct sp_walk w;

	assert_int_equal(world_reset_machines(&world), 0);
	assert_int_equal(explain(&f, &w), 0);
	assert_non_null(find(&w, SP_STEP_FRESH));
	s = find(&w, SP_STEP_POLICY);
	assert_non_null(s);
	assert_int_equal(s->direction, SP_OUT);
	assert_int_equal(s->port, 31);
	assert_int_equal(s->action, SP_ACCEPT);
	assert_int_equal(last_of(&w)->kind, SP_STEP_SEND);
	assert_int_equal(last_of(&w)->port, 32);

	pass(false, SYN, 100, 0);
	pass(true, SYN | ACK, 500, 101);
	pass(false, ACK, 101, 501);
	take_state(&before);
	assert_true(before.flows > 0);

	f = segment_of(true, ACK, 501, 101);
	assert_int_equal(explain(&f, &w), 0);
	s = find(&w, SP_STEP_FLOW);
	assert_non_null(s);
	assert_int_equal(s->detail, SP_FLOW_ESTABLISHED);
	assert_true(s->value > 400000 && s->value <= 432000); /* five days */
	assert_null(find(&w, SP_STEP_POLICY));
	assert_int_equal(last_of(&w)->kind, SP_STEP_SEND);

	f = segment_of(true, ACK, 501 + (1 << 30), 101);
	assert_int_equal(explain(&f, &w), 0);
	assert_int_equal(last_of(&w)->kind, SP_STEP_DROP);
	assert_int_equal(last_of(&w)->value, SP_R_FLOW_WINDOW);
	take_state(&after);
	assert_memory_equal(&before, &after, sizeof(before));
	pass(true, ACK, 501, 101);
	take_state(&after);
	assert_memory_not_equal(&before, &after, sizeof(before)); /* and it would have been seen */
}

/* --- rates, and what is learned from DHCP --- */

#define LEASING 32 /* W_FREE */
#define USER 500
#define AT_ONCE 32

static void set_rates(uint32_t user, uint64_t group)
{
	const struct dataplane_rate port = {.user = user},
				    all = {.frames_per_s = 1, .frames_burst = 1};

	assert_int_equal(dataplane_police_set(world.dp, LEASING, &port), 0);
	assert_int_equal(dataplane_police_set(world.dp, USER, &all), 0);
	assert_int_equal(dataplane_quota_set(world.dp, LEASING, group, group), 0);
}

static void count_notice(const struct sp_notice *n, void *arg)
{
	if (n->kind == SP_NOTICE_DHCP_SENT && n->port == LEASING)
		++*(unsigned int *)arg;
}

static unsigned int leases_told(void)
{
	unsigned int n = 0;

	assert_true(dataplane_notices_drain(world.dp, count_notice, &n) >= 0);
	return n;
}

/* Asked twice: nothing is taken by that. REASON 0: it goes to the others of the segment. */
static void expect_told(const struct model_frame *f, enum sp_reason reason)
{
	static struct state before, after;
	struct sp_walk w;

	take_state(&before);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(explain(f, &w), 0);
		assert_non_null(last_of(&w));
		if (last_of(&w)->kind != (reason ? SP_STEP_DROP : SP_STEP_COPY) ||
		    (reason && last_of(&w)->value != reason))
			fail_msg("ends in step %u, %u", last_of(&w)->kind, last_of(&w)->value);
	}
	take_state(&after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(leases_told(), 0);
}

static void test_rates(void **state)
{
	const struct shape discover =
		UDP("0.0.0.0", "255.255.255.255", 68, 67, .data = SP_EXPLAIN_MIN * 4);
	struct model_frame f = model_frame_of(W_FREE, 0, M_BROADCAST, M_M2, &discover);

	assert_int_equal(world_reset_machines(&world), 0);
	dataplane_machine_flags(world.dp, LEASING, SP_M_PINNED | SP_M_LEASE, 0);
	leases_told();
	set_rates(USER, 1);
	expect_told(&f, SP_R_NONE);
	/* A burst of one lets another pass whose schedule is not ahead yet. */
	for (int i = 0; i < 2; i++)
		probe_steer(&prober, &f);
	assert_true(leases_told() > 0);
	expect_told(&f, SP_R_USER_RATE);
	set_rates(0, 1);
	expect_told(&f, SP_R_NONE);
	for (int i = 0; i < 2; i++)
		probe_steer(&prober, &f);
	assert_true(leases_told() > 0);
	expect_told(&f, SP_R_GROUP_RATE);
	set_rates(0, 0);
	for (int i = 0; i < AT_ONCE + 1; i++)
		probe_steer(&prober, &f);
	assert_in_range(leases_told(), 1, AT_ONCE + 1);
	expect_told(&f, SP_R_LEASE);
	set_rates(0, 0); /* and a full bucket again */
	expect_told(&f, SP_R_NONE);
	assert_int_equal(world_reset_machines(&world), 0);
}

static void test_size(void **state)
{
	static const uint8_t data[SP_EXPLAIN_LEN + 1];
	struct dataplane_frame f = {.kind = SP_PORT_NETNS,
				    .ifindex = world.ifindex[W_NET1],
				    .data = data,
				    .len = SP_EXPLAIN_MIN - 1};
	struct sp_walk w;

	assert_int_equal(explainer_run(explainer, &f, &w), -EMSGSIZE);
	f.len = sizeof(data);
	assert_int_equal(explainer_run(explainer, &f, &w), -EMSGSIZE);
	f.len = SP_EXPLAIN_LEN;
	assert_int_equal(explainer_run(explainer, &f, &w), 0);
	f.ifindex = 0x7ffffff0;
	assert_int_equal(explainer_run(explainer, &f, &w), -ENODEV);
	f.kind = SP_PORT_VPN;
	assert_int_equal(explainer_run(explainer, &f, &w), -ENODEV);
}

/* --- */

static int setup(void **state)
{
	const struct world_options options = {.live = false};
	int r = net_isolate();

	draw_seed(1);
	net_no_ipv6();
	if (r == 0)
		r = world_open(&world, &options);
	if (r == 0)
		r = prober_open(&prober, &world);
	if (r == 0)
		r = explainer_new(world.dp, &explainer);
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	return r;
}

static int teardown(void **state)
{
	explainer_free(explainer);
	prober_close(&prober);
	world_close(&world);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_looks), cmocka_unit_test(test_agrees),
		cmocka_unit_test(test_flow),	   cmocka_unit_test(test_rates),
		cmocka_unit_test(test_size),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("explain", tests, setup, teardown);
}
