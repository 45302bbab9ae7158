// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Do the programs and the reference model agree on frames that nobody thought of? Random ones,
 * most of them nearly right, through `steer_ingress` and `guard`: verdict, reason, port charged,
 * ports reached and the bytes of every copy are compared.
 *   SP_MODEL_FRAMES  how many (1,000,000)
 *   SP_MODEL_SEED    repeat a run
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "selftests/harness/draw.h"
#include "selftests/harness/model_firewall.h"
#include "selftests/harness/model_machine.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/shape.h"

#define FRAMES 1000000
#define FULL_CHECK_EVERY 4096
#define FORGET_EVERY 64

static struct world world;
static struct prober prober;
static char why[512];

#define WRONG(...) (snprintf(why, sizeof(why), __VA_ARGS__), why)

static uint64_t seed;

/* --- what should have been counted by now --- */

static struct {
	uint64_t reason[_SP_R_MAX];
	struct sp_counter port[WORLD_PORTS];
} total;

static void expect(const struct model_frame *f, const struct model_result *r, bool counts_arrivals)
{
	if (r->reason) {
		total.reason[r->reason]++;
		total.port[r->charged].drops += r->charged != 0;
		total.port[r->charged].drop_bytes += r->charged ? f->len : 0;
		return;
	}
	if (!counts_arrivals)
		return;
	total.port[r->charged].rx_frames++;
	total.port[r->charged].rx_bytes += f->len;
	for (size_t i = 0; i < r->n_dst; i++) {
		total.port[r->dst[i].port].tx_frames++;
		total.port[r->dst[i].port].tx_bytes += r->answer_len ?: f->len;
	}
}

static const char *check_reason(enum sp_reason reason)
{
	struct sp_reason_count c;

	if (dataplane_reason_get(world.dp, reason, &c) < 0)
		return "the reasons cannot be read";
	if (c.frames == total.reason[reason])
		return NULL;
	return WRONG("reason %s: %llu frames, expected %llu", sp_reason_name(reason),
		     (unsigned long long)c.frames, (unsigned long long)total.reason[reason]);
}

static const char *check_port(uint32_t port)
{
	const struct sp_counter *e = &total.port[port];
	struct sp_counter c;

	if (dataplane_counter_get(world.dp, port, &c) < 0)
		return "the counters cannot be read";
	if (memcmp(&c, e, sizeof(c)) == 0)
		return NULL;
	return WRONG("port %u: in %llu, out %llu, dropped %llu; expected %llu, %llu, %llu (or "
		     "bytes differ)",
		     port, (unsigned long long)c.rx_frames, (unsigned long long)c.tx_frames,
		     (unsigned long long)c.drops, (unsigned long long)e->rx_frames,
		     (unsigned long long)e->tx_frames, (unsigned long long)e->drops);
}

static const char *check_all(void)
{
	const char *wrong = NULL;

	for (int r = 1; r < _SP_R_MAX && !wrong; r++)
		wrong = check_reason(r);
	for (uint32_t p = 0; p < WORLD_PORTS && !wrong; p++)
		wrong = check_port(p);
	return wrong;
}

/* What this one frame must have moved; that nothing else moved is seen by check_all. */
static const char *check_moved(const struct model_result *r)
{
	const char *wrong = r->reason ? check_reason(r->reason) : NULL;

	if (!wrong && r->charged)
		wrong = check_port(r->charged);
	for (size_t i = 0; i < r->n_dst && !wrong; i++)
		wrong = check_port(r->dst[i].port);
	return wrong;
}

/* --- one frame --- */

static uint32_t segment_of(uint32_t port)
{
	for (size_t i = 0; i < world_n_nodes; i++)
		if (world_nodes[i].port == port)
			return world_nodes[i].segment;
	return 0;
}

static const char *check_steer(const struct model_frame *f, const struct model_result *r)
{
	int verdict = probe_steer(&prober, f);
	bool shot = r->reason || r->group || r->parked;
	int expected = shot ? PROBE_SHOT : PROBE_REDIRECT;
	const struct model_result nothing = {.n_dst = 0};
	/* A redirect is decided in a test run, not carried out: no tap gets the frame. */
	const char *wrong =
		(f->dst[0] & 1) ? probe_check_copies(&prober, f, r->group ? r : &nothing) : NULL;

	const char *notices = probe_check_notices(&prober, f, r, segment_of(r->charged));

	expect(f, r, true);
	if (verdict != expected)
		return WRONG("steer: verdict %d, expected %d", verdict, expected);
	wrong = wrong ?: notices ?: probe_check_out(&prober, f, r);
	return wrong ?: check_moved(r);
}

static const char *check_guard(const struct model_frame *f, struct model_result *r)
{
	struct model_frame seen = *f;
	int verdict = probe_guard(&prober, f);
	int expected = r->reason ? PROBE_XDP_DROP : PROBE_XDP_PASS;

	seen.len = r->len;
	expect(&seen, r, false);
	if (verdict != expected)
		return WRONG("guard: verdict %d, expected %d", verdict, expected);
	return check_moved(r);
}

/* The payload that was written down, for who has to understand it. */
static const char *hex(const struct model_frame *f)
{
	static char text[2 * MODEL_PAYLOAD_MAX + 1];

	for (size_t i = 0; i < f->payload_len; i++)
		snprintf(text + 2 * i, 3, "%02x", f->payload[i]);
	return text;
}

static void fail_frame(uint64_t i, const struct model_frame *f, const struct model_result *r,
		       const char *wrong)
{
	fail_msg("SP_MODEL_SEED=%llu, frame %llu: %s; the model says %s, port %u, %zu ports "
		 "reached; on %s, tag %#x %#x, to %02x..%02x:%02x from %02x..%02x:%02x, ethertype "
		 "%#x, %u bytes, gso %u; %s",
		 (unsigned long long)seed, (unsigned long long)i, wrong, sp_reason_name(r->reason),
		 r->charged, r->n_dst, world_dev_name[f->dev], f->tag_proto, f->tci, f->dst[0],
		 f->dst[4], f->dst[5], f->src[0], f->src[4], f->src[5], f->proto, f->len,
		 f->gso_size, hex(f));
}

/* Room for parked frames again, and everything asked for. */
static void awaken(void)
{
	for (size_t i = 0; i < world_n_machines; i++) {
		uint32_t port = world_machines[i].port;

		dataplane_machine_unpark(world.dp, port);
		world.parked[port] = 0;
		world_watch(&world, port, SP_WATCH_TO | SP_WATCH_FROM | SP_WATCH_ADDRESS);
	}
}

static uint64_t frames_wanted(void)
{
	const char *s = getenv("SP_MODEL_FRAMES");

	return s ? strtoull(s, NULL, 10) : FRAMES;
}

/* I1, I2, I3, I9 */
static void test_agree(void **state)
{
	uint64_t n = frames_wanted(), passed = 0, answered = 0, parked = 0;
	uint64_t noticed[SP_NOTICE_ADDRESS + 1] = {0};
	const char *wrong = NULL;

	assert_true(n > 0);
	for (uint64_t i = 0; i < n; i++) {
		struct model_frame f = draw_frame();
		struct model_result r;

		if (i % FORGET_EVERY == 0)
			awaken();
		if (!model_knows(&f))
			continue;
		model_steer(&world, &f, &r);
		passed += !r.reason;
		answered += r.answer_len != 0;
		parked += r.parked;
		for (size_t k = 0; k < r.n_notices; k++)
			noticed[r.notices[k].kind]++;
		wrong = check_steer(&f, &r);
		model_remember(&world, &r);
		if (wrong)
			fail_frame(i, &f, &r, wrong);
		model_guard(&world, &f, &r);
		wrong = check_guard(&f, &r);
		if (!wrong && i % FULL_CHECK_EVERY == 0)
			wrong = check_all();
		if (wrong)
			fail_frame(i, &f, &r, wrong);
	}
	wrong = check_all();
	if (wrong)
		fail_msg("SP_MODEL_SEED=%llu, at the end: %s", (unsigned long long)seed, wrong);
	/* The frames must have met what they are meant to meet. */
	assert_in_range(passed, n / 10, n - n / 10);
	for (int r = 1; r <= SP_R_BAD_HEADERS && n >= 20000; r++)
		if (r != SP_R_NOT_OURS && r != SP_R_CLONE_FAILED && r != SP_R_TAG_FAILED &&
		    total.reason[r] == 0)
			fail_msg("no frame met %s", sp_reason_name(r));
	for (int k = SP_NOTICE_PARKED; k <= SP_NOTICE_ADDRESS && n >= 20000; k++)
		assert_true(noticed[k] > 0);
	assert_true(n < 20000 || (answered > n / 1000 && parked > n / 10000));
	print_message("# %llu went on, %llu were answered, %llu parked\n",
		      (unsigned long long)passed, (unsigned long long)answered,
		      (unsigned long long)parked);
}

/* A model that is wrong on purpose, one point at a time, must be found out. */
static void test_can_fail(void **state)
{
	struct model_frame f = {.dev = W_NET1, .proto = 0x0806, .len = 60};
	struct model_result right, r;

	memcpy(f.src, world_mac[M_N1], SP_MAC_LEN);
	memcpy(f.dst, world_mac[M_BROADCAST], SP_MAC_LEN);
	model_steer(&world, &f, &right);
	assert_int_equal(right.n_dst, 5);
	for (int point = 0; point < 4; point++) {
		typeof(total) before = total;

		r = right;
		switch (point) {
		case 0:
			r.reason = SP_R_DST_UNKNOWN;
			break;
		case 1:
			r.charged = 12;
			break;
		case 2:
			r.n_dst--;
			break;
		case 3:
			r.dst[0].vid++;
			break;
		}
		assert_non_null(check_steer(&f, &r));
		total = before;
		expect(&f, &right, true);
	}
	assert_null(check_all());
}

/* The same for what only machines have: an answer, a parked frame, a notice. */
static void test_can_fail_machine(void **state)
{
	const struct shape shapes[] = {
		{SHAPE_ARP, .a = 1, .lla = world_mac[M_N6], .src = "10.6.0.62", .dst = "10.6.0.3"},
		{SHAPE_UDP, .a = 1, .b = 2, .src = "10.6.0.62", .dst = "10.6.0.3"},
	};
	struct model_frame f = {.dev = W_NET6};

	memcpy(f.src, world_mac[M_N6], SP_MAC_LEN);
	memcpy(f.dst, world_mac[M_M3], SP_MAC_LEN);
	for (int point = 0; point < 5; point++) {
		typeof(total) before = total;
		struct model_result right, r;
		uint8_t bytes[SHAPE_MAX];

		f.len = (uint16_t)shape_bytes(&shapes[point > 1], f.dst, f.src, bytes);
		f.proto = point > 1 ? 0x0800 : 0x0806;
		f.payload_len = f.len - MODEL_ETH;
		memcpy(f.payload, bytes + MODEL_ETH, f.payload_len);
		awaken();
		model_steer(&world, &f, &right);
		assert_int_equal(right.reason, SP_R_NONE);
		r = right;
		switch (point) {
		case 0:
			r.answer[41] ^= 1;
			break;
		case 1:
			r.answer_len = 0;
			break;
		case 2:
			r.parked = false;
			break;
		case 3:
			r.n_notices = 0;
			break;
		case 4:
			r.notices[0].from_port++;
			break;
		}
		assert_non_null(check_steer(&f, &r));
		total = before;
		expect(&f, &right, true);
	}
	assert_null(check_all());
}

static const struct sp_timeouts forever = {.ticks = {[0 ... 31] = 1 << 24}};

static int setup(void **state)
{
	const struct world_options options = {.live = false};
	const char *s = getenv("SP_MODEL_SEED");
	int r = net_isolate();

	while (!seed)
		if (s)
			seed = strtoull(s, NULL, 10) ?: 1;
		else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
			return -EIO;
	draw_seed(seed);
	printf("# SP_MODEL_SEED=%llu, %llu frames\n", (unsigned long long)seed,
	       (unsigned long long)frames_wanted());
	net_no_ipv6();
	if (r == 0)
		r = world_open(&world, &options);
	if (r == 0) /* the model knows of no time */
		r = dataplane_timeouts_set(world.dp, &forever);
	if (r == 0)
		r = prober_open(&prober, &world);
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
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_can_fail),
		cmocka_unit_test(test_can_fail_machine),
		cmocka_unit_test(test_agree),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("model", tests, setup, teardown);
}
