// SPDX-License-Identifier: GPL-2.0-or-later
/* Who may run when there is not room for all, and who is somebody, as machines see it? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/client.h"
#include "loader/machine/admission.h"
#include "selftests/harness/host.h"

static void expect_held(struct host *h, uint32_t machines, uint32_t memory, uint32_t vcpus)
{
	struct resources r;

	admission_held(&h->d, &r);
	assert_int_equal(r.machines, machines);
	assert_int_equal(r.memory_mib, memory);
	assert_int_equal(r.vcpus, vcpus);
}

static int run(struct machine *m)
{
	_cleanup_free_
	char *why = NULL;
	int r = admission_run(m, &why);

	/* A refusal says why, and nothing else does. */
	assert_int_equal(r == -EDQUOT || r == -E2BIG, why != NULL);
	return r;
}

static void clear(struct host *h)
{
	while (h->d.machines)
		machine_remove(h->d.machines);
	h->config.max_machines = h->config.max_memory_mib = h->config.max_vcpus = 0;
	h->config.user_max_machines = h->config.user_max_memory_mib = 0;
	h->config.user_max_vcpus = 0;
	expect_held(h, 0, 0, 0);
	assert_int_equal(admission_waiting(&h->d), 0);
}

static void test_no_limits(void **state)
{
	struct host *h = *state;
	struct machine *a = host_machine(h, "a", "1", 100, 2),
		       *b = host_machine(h, "b", "1", 50, 1);

	assert_int_equal(run(a), 0);
	assert_int_equal(run(a), 0);
	expect_held(h, 1, 100, 2);
	assert_int_equal(run(b), 0);
	expect_held(h, 2, 150, 3);
	admission_adopt(a, false); /* paused: its memory stays */
	expect_held(h, 2, 150, 1);
	assert_int_equal(run(a), 0);
	expect_held(h, 2, 150, 3);
	admission_release(a);
	admission_release(a);
	expect_held(h, 1, 50, 1);
	admission_release(b);
	clear(h);
}

static void test_user_limits(void **state)
{
	struct host *h = *state;
	struct machine *a = host_machine(h, "a", "1", 100, 1),
		       *b = host_machine(h, "a", "2", 100, 1),
		       *big = host_machine(h, "a", "big", 300, 1),
		       *other = host_machine(h, "b", "1", 100, 1);

	h->config.user_max_memory_mib = 150;
	assert_int_equal(run(a), 0);
	assert_int_equal(run(b), -EDQUOT);
	assert_int_equal(run(big), -E2BIG); /* whatever else runs */
	assert_int_equal(run(other), 0);    /* nobody else's matter */
	/* The user's own word counts more than the configuration's. */
	a->owner->max.memory_mib = 200;
	assert_int_equal(run(b), 0);
	admission_release(a);
	assert_int_equal(run(b), 0);
	admission_release(b);
	admission_release(other);
	clear(h);
}

static void test_host_limits(void **state)
{
	struct host *h = *state;
	struct machine *a = host_machine(h, "a", "1", 100, 1),
		       *b = host_machine(h, "b", "1", 100, 1),
		       *big = host_machine(h, "b", "big", 300, 1);

	h->config.max_memory_mib = 150;
	assert_int_equal(run(big), -E2BIG);
	assert_int_equal(run(a), 0);
	assert_int_equal(run(b), -EAGAIN);
	assert_int_equal(run(b), -EAGAIN);
	assert_int_equal(admission_waiting(&h->d), 1);
	assert_int_equal(admission_place(b), 1);
	assert_int_equal(admission_place(a), 0);
	admission_withdraw(b);
	assert_int_equal(admission_waiting(&h->d), 0);
	admission_release(a);
	assert_int_equal(run(b), 0);
	admission_release(b);
	clear(h);
}

/* What is there already is counted, room or not. */
static void test_adopt(void **state)
{
	struct host *h = *state;
	struct machine *a = host_machine(h, "a", "1", 100, 1),
		       *b = host_machine(h, "a", "2", 100, 1);

	h->config.max_machines = 1;
	admission_adopt(a, true);
	admission_adopt(b, true);
	expect_held(h, 2, 200, 2);
	assert_int_equal(run(a), 0);
	admission_release(a);
	admission_release(b);
	clear(h);
}

/*
 * Nobody who came later passes by those who wait, though there were room; but one that is in memory
 * goes on: it takes nothing that the others wait for.
 */
static void test_no_overtaking(void **state)
{
	struct host *h = *state;
	struct machine *a = host_machine(h, "a", "1", 100, 1),
		       *big = host_machine(h, "b", "1", 140, 1),
		       *small = host_machine(h, "c", "1", 10, 1),
		       *paused = host_machine(h, "d", "1", 10, 1);

	h->config.max_memory_mib = 150;
	assert_int_equal(run(a), 0);
	admission_adopt(paused, false);
	assert_int_equal(run(big), -EAGAIN);
	assert_int_equal(run(small), -EAGAIN);
	assert_int_equal(admission_place(small), 2);
	assert_int_equal(run(paused), 0);
	admission_withdraw(big);
	admission_withdraw(small);
	admission_release(a);
	admission_release(paused);
	clear(h);
}

/*
 * Whose turn is it? Nobody of these wants to run (nobody is there), so each gives way when it is
 * asked: the queue empties, in the order of fairness, and nothing hangs.
 */
static void test_turns(void **state)
{
	struct host *h = *state;
	struct machine *a1 = host_machine(h, "a", "1", 100, 1),
		       *a2 = host_machine(h, "a", "2", 100, 1),
		       *b1 = host_machine(h, "b", "1", 100, 1);

	h->config.max_machines = 1;
	assert_int_equal(run(a1), 0);
	assert_int_equal(run(a2), -EAGAIN);
	assert_int_equal(run(b1), -EAGAIN);
	host_settle(h, 20);
	assert_int_equal(admission_waiting(&h->d), 2); /* there is no room */
	admission_release(a1);
	host_settle(h, 20);
	assert_int_equal(admission_waiting(&h->d), 0);
	expect_held(h, 0, 0, 0);
	clear(h);
}

/* --- presence --- */

static void test_presence(void **state)
{
	struct host *h = *state;
	struct daemon *d = &h->d;
	struct session *s, *t;
	struct presence *p;

	s = host_session(h, HOST_VLAN, "p", 100);
	assert_null(presence_find(d, s->user_id)); /* no machines: nothing is kept */
	p = host_machine(h, "p", "1", 1, 1)->owner;
	assert_ptr_equal(presence_find(d, s->user_id), p);
	assert_int_equal(p->sessions, 1); /* from before the machine */
	t = host_session(h, HOST_MAC, "p", 101);
	assert_int_equal(p->sessions, 2);
	session_end(s, "test");
	assert_true(presence_is_there(p, client_now_us())); /* a second device */
	session_end(t, "test");
	assert_false(presence_is_there(p, client_now_us()));
	assert_true(p->left_us >= p->arrived_us);
	/* A login that is right counts before its session comes, and not for ever. */
	presence_login(d, p->user_id, 0);
	assert_true(presence_is_there(p, client_now_us()));
	assert_true(p->arrived_us >= p->left_us);
	assert_false(presence_is_there(p, p->expected_until_us));
	s = host_session(h, HOST_VLAN, "p", 102);
	assert_int_equal(p->expected_until_us, 0);
	session_end(s, "test");
	assert_false(presence_is_there(p, client_now_us()));
	host_settle(h, 20);
	clear(h);
}

/* A machine that is wanted by its policy is wakeable while its user is there; what is held down is
 * not. */
static void test_wakeable(void **state)
{
	struct host *h = *state;
	struct machine *m = host_machine(h, "w", "1", 1, 1);
	struct session *s = host_session(h, HOST_VLAN, "w", 200);

	m->owner->left_us = 0;
	assert_true(machine_is_wakeable(m));
	m->row.policy.start = START_MANUAL;
	assert_false(machine_is_wakeable(m));
	m->row.policy.start = START_TRAFFIC;
	assert_true(machine_is_wakeable(m));
	m->row.held = true;
	m->row.want = LEVEL_STOP;
	assert_false(machine_is_wakeable(m));
	m->row.want = LEVEL_RUN;
	assert_true(machine_is_wakeable(m));
	m->row.held = false;
	m->let_be = true;
	assert_false(machine_is_wakeable(m));
	m->let_be = false;
	session_end(s, "test");
	assert_true(machine_is_wakeable(m)); /* the grace */
	m->owner->left_us = 1;
	assert_false(machine_is_wakeable(m));
	host_settle(h, 20);
	clear(h);
}

/* I6: no session takes a machine's address, also while the machine is on no segment. */
static void test_mac(void **state)
{
	struct host *h = *state;
	struct machine *m = host_machine(h, "x", "1", 1, 1);
	struct session *own = host_session(h, HOST_VLAN, "x", 300),
		       *foreign = host_session(h, HOST_MAC, "y", 301);
	struct binding *from;

	assert_int_equal(segment_may_learn(&h->d, &own->member, m->row.mac, 8, &from),
			 LEARN_WORKLOAD);
	assert_int_equal(segment_may_learn(&h->d, &foreign->member, m->row.mac, 8, &from),
			 LEARN_WORKLOAD);
	session_end(own, "test");
	session_end(foreign, "test");
	host_settle(h, 20);
	clear(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limits),     cmocka_unit_test(test_user_limits),
		cmocka_unit_test(test_host_limits),   cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_no_overtaking), cmocka_unit_test(test_turns),
		cmocka_unit_test(test_presence),      cmocka_unit_test(test_wakeable),
		cmocka_unit_test(test_mac),
	};

	return cmocka_run_group_tests(tests, host_setup, host_teardown);
}
