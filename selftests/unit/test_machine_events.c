// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whose hand was it? libvirt tells of a guest in events, and is asked how it is, and which of them
 * comes first is nobody's to choose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lib/cleanup.h"
#include "selftests/harness/host.h"

static const struct virt_info running = {.state = VIRT_RUNNING, .vcpus = 1};
static const struct virt_info by_hand = {.state = VIRT_PAUSED, .vcpus = 1};
static const struct virt_info stopped = {.state = VIRT_PAUSED, .vcpus = 1, .unexplained = true};
static const struct virt_info off = {.state = VIRT_OFF};

/* A machine that an operator wants to run, and which does. */
static struct machine *a_machine(struct host *h, const char *name)
{
	struct machine *m = host_machine(h, "alice", name, 64, 1);

	m->row.held = true;
	m->row.want = LEVEL_RUN;
	machine_on_listed(m, &running);
	machine_advance(m);
	assert_int_equal(m->want, LEVEL_RUN);
	return m;
}

/* Each step: an event, or how it is found then. */
struct step {
	enum virt_event event;
	const struct virt_info *found;
};
#define TOLD(what)                                                                                 \
	{                                                                                          \
		.event = VIRT_EV_##what                                                            \
	}
#define FOUND(how)                                                                                 \
	{                                                                                          \
		.found = &(how)                                                                    \
	}

static void walk(struct machine *m, const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!steps[i].found) {
			machine_on_event(m, steps[i].event);
			continue;
		}
		machine_on_listed(m, steps[i].found);
		machine_advance(m);
	}
}

/* Its guest panics: QEMU stops it, libvirt tells and destroys it. It is to come up again. */
static void test_crash(void **state)
{
	static const struct step orders[][5] = {
		{TOLD(SUSPENDED), TOLD(CRASHED), FOUND(stopped), TOLD(CRASHED), FOUND(off)},
		{TOLD(SUSPENDED), FOUND(stopped), TOLD(CRASHED), TOLD(CRASHED), FOUND(off)},
		{TOLD(CRASHED), TOLD(SUSPENDED), FOUND(stopped), TOLD(CRASHED), FOUND(off)},
		{FOUND(stopped), TOLD(SUSPENDED), TOLD(CRASHED), FOUND(stopped), FOUND(off)},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(orders); i++) {
		struct machine *m = a_machine(*state, "crash");

		walk(m, orders[i], SP_ARRAY_SIZE(orders[i]));
		if (m->let_be)
			fail_msg("order %zu: it is left alone: %s", i, m->let_be_why);
		assert_int_equal(m->want, LEVEL_RUN);
		assert_true(m->row.held);
		assert_int_equal(m->failures, 1);
		assert_string_equal(machine_state_text(m), "failed");
		machine_free(m);
	}
}

/* Another of libvirt's users pauses it: it stays so, and goes on when that user says so. */
static void test_paused(void **state)
{
	static const struct step steps[] = {TOLD(SUSPENDED), FOUND(by_hand)};
	static const struct step again[] = {TOLD(RESUMED), FOUND(running)};
	struct machine *m = a_machine(*state, "paused");

	walk(m, steps, SP_ARRAY_SIZE(steps));
	assert_true(m->let_be);
	assert_string_equal(m->let_be_why, "paused by another of libvirt's users");
	assert_false(m->row.held);
	walk(m, again, SP_ARRAY_SIZE(again));
	assert_false(m->let_be);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_paused),
	};

	return cmocka_run_group_tests_name("machine_events", tests, host_setup, host_teardown);
}
