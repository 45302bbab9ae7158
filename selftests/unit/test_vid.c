/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a VLAN id, or a port number, ever handed out while something old may still name it? */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/portnum.h"
#include "loader/vid.h"

#define REST 180000000ULL
#define ALL (SP_VID_MAX - SP_VID_MIN + 1)

static void test_rest(void **state)
{
	struct vids *v = vids_new(REST);
	uint16_t first = vids_get(v, 1000);
	uint64_t freed = 5000;

	assert_int_equal(first, SP_VID_MIN);
	/* All others go first, however long it has rested. */
	vids_put(v, first, freed);
	for (int i = 1; i < ALL; i++)
		assert_int_not_equal(vids_get(v, freed + 2 * REST), first);
	assert_int_equal(vids_get(v, freed + REST - 1), 0); /* I4: refused, not reused */
	assert_int_equal(vids_get(v, freed + REST), first);
	assert_int_equal(vids_get(v, UINT64_MAX / 2), 0);
	vids_free(v);
}

static void test_longest_rested_first(void **state)
{
	struct vids *v = vids_new(REST);
	static const uint16_t order[] = {7, 3, 4094, 2};

	for (int i = 0; i < ALL; i++)
		assert_int_not_equal(vids_get(v, 1), 0);
	for (size_t i = 0; i < 4; i++)
		vids_put(v, order[i], 100 + i);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(vids_get(v, 104 + REST), order[i]);
	vids_free(v);
}

static void test_after_a_restart(void **state)
{
	struct vids *v = vids_new(REST);
	struct vids_count c;

	assert_int_equal(vids_take(v, 0), -ERANGE);
	assert_int_equal(vids_take(v, 1), -ERANGE);
	assert_int_equal(vids_take(v, 4095), -ERANGE);
	vids_put(v, 2, 1000); /* ended a while ago */
	assert_int_equal(vids_take(v, 3), 0);
	assert_int_equal(vids_take(v, 3), -EEXIST);
	vids_count(v, 2000, &c);
	assert_int_equal(c.used, 1);
	assert_int_equal(c.resting, 1);
	assert_int_equal(c.free, ALL - 2);
	for (int i = 0; i < ALL - 2; i++) {
		uint16_t vid = vids_get(v, 2000);

		assert_in_range(vid, 4, SP_VID_MAX);
	}
	assert_int_equal(vids_get(v, 2000), 0);
	/* Given back, the one that was taken out of order comes round once, not twice. */
	vids_put(v, 3, 3000);
	assert_int_equal(vids_get(v, 3000 + REST), 2);
	assert_int_equal(vids_get(v, 3000 + REST), 3);
	assert_int_equal(vids_get(v, 3000 + REST), 0);
	vids_free(v);
}

/* Random takes and returns against the rule itself. */
static void test_random(void **state)
{
	static bool used[SP_VID_MAX + 1];
	static uint64_t freed[SP_VID_MAX + 1];
	struct vids *v = vids_new(REST);
	uint64_t now = 1;

	srand(1);
	for (int i = 0; i < 200000; i++) {
		uint16_t vid = (uint16_t)(SP_VID_MIN + rand() % ALL);

		now += (uint64_t)(rand() % 100000);
		if (rand() % 2 && used[vid]) {
			used[vid] = false;
			freed[vid] = now;
			vids_put(v, vid, now);
			continue;
		}
		vid = vids_get(v, now);
		if (!vid)
			continue;
		assert_false(used[vid]);
		assert_true(freed[vid] == 0 || now >= freed[vid] + REST);
		used[vid] = true;
	}
	vids_free(v);
}

static void test_portnum(void **state)
{
	struct portnum *p = portnum_new(5);

	assert_int_equal(portnum_take(p, 0), -ERANGE);
	assert_int_equal(portnum_take(p, 5), -ERANGE);
	portnum_reserve(p, 1);
	portnum_reserve(p, 2);
	portnum_reserve(p, 99);
	/* Reserved ones are for their owners only (D3). */
	assert_int_equal(portnum_get(p), 3);
	assert_int_equal(portnum_get(p), 4);
	assert_int_equal(portnum_get(p), 0);
	assert_int_equal(portnum_take(p, 2), 0);
	assert_int_equal(portnum_take(p, 2), -EEXIST);
	portnum_release(p);
	assert_int_equal(portnum_get(p), 1);
	assert_int_equal(portnum_get(p), 0);
	/* What was freed last is reused last. */
	portnum_put(p, 4);
	portnum_put(p, 2);
	assert_int_equal(portnum_get(p), 2);
	assert_int_equal(portnum_get(p), 4);
	portnum_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_longest_rested_first),
		cmocka_unit_test(test_after_a_restart),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_portnum),
	};

	return cmocka_run_group_tests_name("vid", tests, NULL, NULL);
}
