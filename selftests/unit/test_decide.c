// SPDX-License-Identifier: GPL-2.0-or-later
/* How shall a machine be, and what is done next? Tables over what is known of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "loader/machine/decide.h"

#define S 1000000ULL
#define NOW (100000 * S)
#define NEVER DECIDE_NEVER

/* pause 600 s, save 7200 s, then stop */
static const struct ladder usual = {
	.n = 3, .steps = {{LEVEL_PAUSE, 600}, {LEVEL_SAVE, 7200}, {LEVEL_STOP, LADDER_FOR_EVER}}};
static const struct ladder keeps = {.n = 1, .steps = {{LEVEL_KEEP, LADDER_FOR_EVER}}};

/* Times are seconds before NOW, -1: never; NEXT: seconds after NOW, -1: never. */
struct level_row {
	const char *name;
	enum store_start start;
	const struct ladder *ladder;
	int grace, idle, min_up;
	bool present;
	int arrived, left;
	bool running, woken, let_be;
	int up, active;
	enum level want;
	int next;
};

static uint64_t ago(int s)
{
	return s < 0 ? 0 : NOW - (uint64_t)s * S;
}

#define C START_CONNECT
#define T START_TRAFFIC
#define M START_MANUAL

/* clang-format off */
static const struct level_row level_rows[] = {
	/* name, start, ladder, grace, idle, min-up, present, arrived, left, running, woken, let be, up, active */
	{"connect: there, off", C, &usual, 60, 0, 30, true, 1, 500, false, false, false, -1, -1, LEVEL_RUN, -1},
	{"connect: there, runs", C, &usual, 60, 0, 30, true, 1, 500, true, false, false, 100, 5, LEVEL_RUN, -1},
	{"connect: there, switched itself off", C, &usual, 60, 0, 30, true, 9, 500, false, false, true, -1, -1, LEVEL_KEEP, -1},
	{"manual: there", M, &usual, 60, 0, 30, true, 1, 500, false, false, false, -1, -1, LEVEL_KEEP, -1},
	{"manual: gone for long", M, &usual, 60, 0, 30, false, 9000, 8000, true, false, false, 9000, 8000, LEVEL_KEEP, -1},
	{"traffic: there, nothing came", T, &usual, 60, 0, 30, true, 1, 500, false, false, false, -1, -1, LEVEL_KEEP, -1},
	{"traffic: there, a frame came", T, &usual, 60, 0, 30, true, 1, 500, false, true, false, -1, -1, LEVEL_RUN, -1},
	{"traffic: there, it runs still", T, &usual, 60, 0, 30, true, 1, 50, true, false, false, 900, 100, LEVEL_RUN, -1},
	/* the grace: a blip stops nothing and starts nothing */
	{"gone, within the grace", C, &usual, 60, 0, 30, false, 900, 59, true, false, false, 900, 60, LEVEL_KEEP, 1},
	{"gone, at the end of the grace", C, &usual, 60, 0, 30, false, 900, 60, true, false, false, 900, 60, LEVEL_PAUSE, 600},
	{"gone, within the grace, off", C, &usual, 60, 0, 30, false, 900, 10, false, false, false, -1, -1, LEVEL_KEEP, 50},
	{"no grace", C, &usual, 0, 0, 30, false, 900, 0, true, false, false, 900, 60, LEVEL_PAUSE, 600},
	/* the ladder */
	{"gone, first step", C, &usual, 60, 0, 30, false, 9000, 659, true, false, false, 9000, 700, LEVEL_PAUSE, 1},
	{"gone, second step", C, &usual, 60, 0, 30, false, 9000, 660, false, false, false, -1, 700, LEVEL_SAVE, 7200},
	{"gone, last step", C, &usual, 60, 0, 30, false, 90000, 7860, false, false, false, -1, 9000, LEVEL_STOP, -1},
	{"gone, kept", C, &keeps, 60, 0, 30, false, 90000, 50000, true, false, false, 90000, 9000, LEVEL_KEEP, -1},
	/* up for a while at the least */
	{"gone, up for too short a time", C, &usual, 0, 0, 30, false, 20, 10, true, false, false, 20, 15, LEVEL_KEEP, 10},
	{"gone, up long enough", C, &usual, 0, 0, 30, false, 40, 10, true, false, false, 30, 15, LEVEL_PAUSE, 590},
	/* idle: nobody left */
	{"there, busy", C, &usual, 60, 300, 30, true, 4000, 5000, true, false, false, 4000, 10, LEVEL_RUN, 290},
	{"there, idle", C, &usual, 60, 300, 30, true, 4000, 5000, true, false, false, 4000, 310, LEVEL_PAUSE, 590},
	{"there, idle for long", C, &usual, 60, 300, 30, true, 9000, 9900, false, false, false, -1, 1000, LEVEL_SAVE, 7100},
	{"there, idle, but just come", C, &usual, 60, 300, 30, true, 5, 900, true, false, false, 4000, 2000, LEVEL_RUN, 295},
	{"there, idle, just resumed", C, &usual, 60, 300, 30, true, 4000, 5000, true, true, false, 2, 2000, LEVEL_RUN, 298},
	{"there, asleep by idleness, a frame came", C, &usual, 60, 300, 30, true, 4000, 5000, false, true, false, 3000, 2000, LEVEL_RUN, -1},
	{"there, idle, never seen active", C, &usual, 60, 300, 30, true, 4000, 5000, true, false, false, -1, -1, LEVEL_SAVE, 4100},
};
/* clang-format on */

static void fill(const struct level_row *r, struct decide_in *in)
{
	*in = (struct decide_in){
		.now_us = NOW,
		.start = r->start,
		.ladder = r->ladder,
		.grace_us = (uint64_t)r->grace * S,
		.idle_us = (uint64_t)r->idle * S,
		.min_up_us = (uint64_t)r->min_up * S,
		.present = r->present,
		.arrived_us = ago(r->arrived),
		.left_us = ago(r->left),
		.running = r->running,
		.woken = r->woken,
		.let_be = r->let_be,
		.up_us = ago(r->up),
		.active_us = ago(r->active),
	};
}

static const char *check_level(const struct level_row *r, char why[160])
{
	uint64_t next, want_next = r->next < 0 ? NEVER : NOW + (uint64_t)r->next * S;
	struct decide_in in;
	enum level level;

	fill(r, &in);
	level = decide_level(&in, &next);
	if (level == r->want && next == want_next)
		return NULL;
	snprintf(why, 160, "%s: %s, next in %lld s", r->name, level_name(level),
		 next == NEVER ? -1LL : (long long)((next - NOW) / S));
	return why;
}

static void test_levels(void **state)
{
	char why[160];

	for (size_t i = 0; i < SP_ARRAY_SIZE(level_rows); i++)
		if (check_level(&level_rows[i], why))
			fail_msg("%s", why);
}

/* The check can fail. */
static void test_levels_check(void **state)
{
	struct level_row wrong = level_rows[0];
	char why[160];

	wrong.want = LEVEL_STOP;
	assert_non_null(check_level(&wrong, why));
	wrong = level_rows[0];
	wrong.next = 7;
	assert_non_null(check_level(&wrong, why));
}

static void test_held(void **state)
{
	struct decide_in in;
	uint64_t next;

	for (size_t i = 0; i < SP_ARRAY_SIZE(level_rows); i++) {
		fill(&level_rows[i], &in);
		in.held = true;
		in.held_level = LEVEL_SAVE;
		assert_int_equal(decide_level(&in, &next), LEVEL_SAVE);
		assert_true(next == NEVER);
	}
}

/* A machine whose timer fires exactly when it was told is never told to wait for the same moment.
 */
static void test_time_goes_on(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(level_rows); i++) {
		struct decide_in in;
		uint64_t next;

		fill(&level_rows[i], &in);
		for (int steps = 0;; steps++) {
			decide_level(&in, &next);
			if (next == NEVER)
				break;
			assert_true(next > in.now_us);
			assert_true(steps < 10);
			in.now_us = next;
		}
	}
}

/* --- verbs --- */

struct verb_row {
	enum virt_state state;
	bool shrunk;
	enum level want;
	int verb;
};

static const struct verb_row verb_rows[] = {
	{VIRT_UNKNOWN, false, LEVEL_RUN, VIRT_LOOK},
	{VIRT_UNKNOWN, false, LEVEL_KEEP, VIRT_LOOK},
	{VIRT_ABSENT, false, LEVEL_RUN, -1},
	{VIRT_CRASHED, false, LEVEL_KEEP, VIRT_DESTROY},
	{VIRT_CRASHED, false, LEVEL_RUN, VIRT_DESTROY},
	{VIRT_OFF, false, LEVEL_RUN, VIRT_START},
	{VIRT_SAVED, false, LEVEL_RUN, VIRT_START},
	{VIRT_PAUSED, false, LEVEL_RUN, VIRT_RESUME},
	{VIRT_PAUSED, true, LEVEL_RUN, VIRT_RESUME},
	{VIRT_RUNNING, true, LEVEL_RUN, VIRT_GROW},
	{VIRT_RUNNING, false, LEVEL_RUN, -1},
	{VIRT_STOPPING, false, LEVEL_RUN, -1}, /* no start is lost: it comes when it is off */
	{VIRT_RUNNING, false, LEVEL_KEEP, -1},
	{VIRT_OFF, false, LEVEL_KEEP, -1},
	{VIRT_RUNNING, false, LEVEL_SHRINK, VIRT_SHRINK},
	{VIRT_RUNNING, true, LEVEL_SHRINK, -1},
	{VIRT_PAUSED, false, LEVEL_SHRINK, -1},
	{VIRT_RUNNING, false, LEVEL_PAUSE, VIRT_SUSPEND},
	{VIRT_RUNNING, true, LEVEL_PAUSE, VIRT_SUSPEND},
	{VIRT_PAUSED, false, LEVEL_PAUSE, -1},
	{VIRT_SAVED, false, LEVEL_PAUSE, -1},
	{VIRT_RUNNING, false, LEVEL_SAVE, VIRT_SAVE},
	{VIRT_PAUSED, false, LEVEL_SAVE, VIRT_SAVE},
	{VIRT_OFF, false, LEVEL_SAVE, -1},
	{VIRT_RUNNING, false, LEVEL_STOP, VIRT_SHUTDOWN},
	/* Nothing that its guest holds in memory is lost. */
	{VIRT_PAUSED, false, LEVEL_STOP, VIRT_RESUME},
	{VIRT_SAVED, false, LEVEL_STOP, VIRT_START},
	{VIRT_OFF, false, LEVEL_STOP, -1},
};

static void test_verbs(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(verb_rows); i++) {
		const struct verb_row *r = &verb_rows[i];
		const struct virt_info info = {.state = r->state, .shrunk = r->shrunk};
		const struct decide_stop stop = {.now_us = NOW, .timeout_us = 60 * S};
		uint64_t next;
		int verb = decide_verb(&info, r->want, &stop, &next);

		if (verb != r->verb)
			fail_msg("%s, %s: %s, expected %s", virt_state_name(r->state),
				 level_name(r->want), verb < 0 ? "nothing" : virt_verb_name(verb),
				 r->verb < 0 ? "nothing" : virt_verb_name(r->verb));
	}
}

/* Asked, asked again, and then the plug: at the second that was said. */
static void test_shutdown(void **state)
{
	const struct virt_info up = {.state = VIRT_RUNNING};
	struct decide_stop s = {.now_us = NOW, .again_us = 10 * S, .timeout_us = 25 * S};
	uint64_t next;

	assert_int_equal(decide_verb(&up, LEVEL_STOP, &s, &next), VIRT_SHUTDOWN);
	s.first_us = s.asked_us = NOW;
	assert_int_equal(decide_verb(&up, LEVEL_STOP, &s, &next), -1);
	assert_true(next == NOW + 10 * S);
	s.now_us = next;
	assert_int_equal(decide_verb(&up, LEVEL_STOP, &s, &next), VIRT_SHUTDOWN);
	s.asked_us = s.now_us;
	s.now_us = NOW + 24 * S;
	assert_int_equal(decide_verb(&up, LEVEL_STOP, &s, &next), VIRT_SHUTDOWN);
	s.asked_us = s.now_us;
	assert_int_equal(decide_verb(&up, LEVEL_STOP, &s, &next), -1);
	assert_true(next == NOW + 25 * S);
	s.now_us = next;
	assert_int_equal(decide_verb(&up, LEVEL_STOP, &s, &next), VIRT_DESTROY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels), cmocka_unit_test(test_levels_check),
		cmocka_unit_test(test_held),   cmocka_unit_test(test_time_goes_on),
		cmocka_unit_test(test_verbs),  cmocka_unit_test(test_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
