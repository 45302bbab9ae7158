// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * May a machine send what it sends, and who speaks for it while it sleeps? A row for each guard,
 * each answer and each walk: a frame in; verdict, bytes out, counters and notices compared. Rows
 * that are wrong on purpose prove that each comparison can fail.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <linux/bpf.h>

#include "lib/cleanup.h"
#include "machine_words.h"
#include "selftests/harness/model_firewall.h"
#include "selftests/harness/model_machine.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/shape.h"
#include "selftests/harness/tally.h"

#define MAX_TARGETS 9
#define SOLICITED MODEL_SOLICITED

/* --- the rows' words --- */

#define GOES_TO(...) .target = {__VA_ARGS__}
#define DROPPED(why) .reason = SP_R_##why
#define ANSWERED(m, ...) .answerer = world_mac[m], .answer = __VA_ARGS__
#define PARKED(p) .parked = (p)

struct row {
	const char *name;
	enum world_dev dev;
	uint16_t vid;
	int dst; /* enum world_mac, or SOLICITED */
	enum world_mac src;
	struct shape shape;
	uint16_t gso, pad, cut;
	/* one of: */
	enum sp_reason reason;
	uint32_t target[MAX_TARGETS]; /* port numbers, 0 ends */
	const uint8_t *answerer;
	struct shape answer;
	uint32_t parked;
	bool inverted; /* the expectation is false: the check must say so */
};

#define ROW(n, d, v, to, from, what, ...)                                                          \
	{.name = (n),                                                                              \
	 .dev = (d),                                                                               \
	 .vid = (v),                                                                               \
	 .dst = (to),                                                                              \
	 .src = (from),                                                                            \
	 .shape = what,                                                                            \
	 __VA_ARGS__},
#define WRONG_ROW(n, d, v, to, from, what, ...)                                                    \
	{.name = (n),                                                                              \
	 .dev = (d),                                                                               \
	 .vid = (v),                                                                               \
	 .dst = (to),                                                                              \
	 .src = (from),                                                                            \
	 .shape = what,                                                                            \
	 __VA_ARGS__,                                                                              \
	 .inverted = true},
static const struct row rows[] = {
#include "machine_rows.h"
};

static struct world world;
static struct prober prober;
static char why[256];

#define WRONG(...) (snprintf(why, sizeof(why), __VA_ARGS__), why)

/* --- a frame --- */

static struct model_frame frame_of(const struct row *row)
{
	struct model_frame f = model_frame_of(row->dev, row->vid, row->dst, row->src, &row->shape);

	f.gso_size = row->gso;
	f.len = (uint16_t)(f.len + row->pad - row->cut);
	return f;
}

/* Who sends: on a tap in MAC mode, the one with that MAC. */
static const struct world_node *sender_of(const struct row *row)
{
	for (size_t i = 0; i < world_n_nodes; i++)
		if (world_nodes[i].dev == row->dev && world_nodes[i].vid == row->vid &&
		    (row->dev != W_MAC || world_nodes[i].mac == row->src))
			return &world_nodes[i];
	return NULL;
}

static bool is_target(const struct row *row, uint32_t port)
{
	for (int i = 0; i < MAX_TARGETS && row->target[i]; i++)
		if (row->target[i] == port)
			return true;
	return false;
}

/* What the row expects, in the model's words. */
static struct model_result result_of(const struct row *row, uint32_t segment)
{
	struct model_result r = {.reason = row->reason, .parked = row->parked != 0};
	struct sp_dst list[SP_FLOOD_MAX];

	r.group = !row->answerer && (row->dst == SOLICITED || (world_mac[row->dst][0] & 1));
	for (size_t i = 0, n = r.group ? world_flood(&world, segment, list) : 0; i < n; i++)
		if (is_target(row, list[i].port))
			r.dst[r.n_dst++] = list[i];
	if (row->answerer) {
		uint8_t bytes[SHAPE_MAX];

		r.answer_len = shape_bytes(&row->answer, world_mac[row->src], row->answerer, bytes);
		assert_true(r.answer_len <= MODEL_ANSWER_MAX);
		memcpy(r.answer, bytes, r.answer_len);
	}
	if (row->parked) {
		r.n_notices = 1;
		r.notices[0] = (struct model_notice){.kind = SP_NOTICE_PARKED,
						     .port = row->parked,
						     .from_port = sender_of(row)->port};
	}
	return r;
}

static const char *check_counts(const struct row *row, const struct model_frame *f,
				const struct model_result *r, const struct tally *a,
				const struct tally *b)
{
	uint32_t sender = sender_of(row)->port;
	struct tally_moves m = {.reason = row->reason,
				.charged = sender,
				.arrived = !row->reason,
				.len = f->len,
				.departed = row->answerer ? &sender : row->target,
				.departed_len = row->answerer ? (uint32_t)r->answer_len : f->len};

	if (row->answerer)
		m.n_departed = 1;
	else
		while (m.n_departed < MAX_TARGETS && row->target[m.n_departed])
			m.n_departed++;
	return tally_check(a, b, &m);
}

static void take(struct tally *t)
{
	assert_int_equal(tally_take(&world, t), 0);
}

static const char *check(const struct row *row)
{
	static struct tally before, after;
	uint32_t segment = sender_of(row)->segment;
	struct model_frame f = frame_of(row);
	struct model_result r = result_of(row, segment);
	bool shot = r.reason || r.group || r.parked;
	int verdict, expected = shot ? PROBE_SHOT : PROBE_REDIRECT;
	const char *wrong, *notices;

	assert_int_equal(world_reset_machines(&world), 0);
	take(&before);
	verdict = probe_steer(&prober, &f);
	take(&after);
	/* Both read what is there empty, come what may. */
	wrong = probe_check_copies(&prober, &f, r.group ? &r : &(struct model_result){.n_dst = 0});
	if (wrong)
		wrong = WRONG("%s", wrong);
	notices = probe_check_notices(&prober, &f, &r, segment);
	if (verdict != expected)
		return WRONG("verdict %d, expected %d", verdict, expected);
	return wrong ?: notices ?: probe_check_out(&prober, &f, &r)
			     ?: check_counts(row, &f, &r, &before, &after);
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

/* The rows are what the model says as well: two who agree were not both wrong in the same way. */
static void test_model_agrees(void **state)
{
	assert_int_equal(world_reset_machines(&world), 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct model_frame f = frame_of(&rows[i]);
		struct model_result r, want = result_of(&rows[i], sender_of(&rows[i])->segment);
		bool same;

		model_forget_flows();
		model_steer(&world, &f, &r);
		same = r.reason == want.reason && r.parked == want.parked &&
		       r.answer_len == want.answer_len &&
		       memcmp(r.answer, want.answer, r.answer_len) == 0;
		if (!rows[i].inverted && !same)
			fail_msg("%s: the model says %s", rows[i].name, sp_reason_name(r.reason));
	}
}

/* Each reason of what a machine may send has a row (I9); of policies, test_policy.c has. */
static void test_complete(void **state)
{
	for (unsigned int r = SP_R_ASLEEP; r <= SP_R_BAD_HEADERS; r++) {
		bool found = false;

		for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
			found |= rows[i].reason == r && !rows[i].inverted;
		if (!found)
			fail_msg("no row for %s", sp_reason_name(r));
	}
}

/* An answer is right to its checksum by another's measure than the one that made it. */
static void test_answers_are_whole(void **state)
{
	int n = 0;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		struct model_frame f = frame_of(&rows[i]);

		if (!rows[i].answerer || rows[i].inverted || rows[i].answer.kind != SHAPE_NA)
			continue;
		assert_int_equal(probe_steer(&prober, &f), PROBE_REDIRECT);
		assert_true(shape_checksums_right(prober.out, prober.out_len));
		prober.out[prober.out_len - 1] ^= 1; /* and it is a measure */
		assert_false(shape_checksums_right(prober.out, prober.out_len));
		n++;
	}
	assert_true(n > 5);
}

/* --- */

static int setup(void **state)
{
	const struct world_options options = {.live = false};
	int r = net_isolate();

	net_no_ipv6();
	if (r == 0)
		r = world_open(&world, &options);
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
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_model_agrees),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_answers_are_whole),
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
	return _cmocka_run_group_tests("machine", tests, n, setup, teardown);
}
