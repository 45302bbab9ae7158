/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the negative cache refuse what was refused, exactly as long as that holds, and no more? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "hooks/negcache.h"

static const struct hook_session alice = {"alice", "alice", "192.0.2.1", 1000, 1700000000, 42};
static const uint8_t mac1[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t mac2[6] = {2, 0, 0, 0, 0, 2};

static int setup(void **state)
{
	*state = negcache_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	negcache_free(*state);
	return 0;
}

static void test_session_number(void **state)
{
	struct negcache *n = *state;
	uint64_t number = negcache_session(n, &alice);
	struct hook_session s = alice;

	assert_int_not_equal(number, 0);
	assert_true(number == negcache_session(n, &alice));
	s.trusted_port++;
	assert_true(number != negcache_session(n, &s));
	s = alice;
	s.common_name = "alicf";
	assert_true(number != negcache_session(n, &s));
	s = alice;
	s.trusted_ip = "192.0.2.2";
	assert_true(number != negcache_session(n, &s));
	s = alice;
	s.time_unix++;
	assert_true(number != negcache_session(n, &s));
	/* What is moved from one text to the next is another session. */
	s = alice;
	s.common_name = "alice1";
	s.trusted_ip = "92.0.2.1";
	assert_true(number != negcache_session(n, &s));
}

static void test_one_mac(void **state)
{
	struct negcache *n = *state;

	assert_false(negcache_refused(n, 7, mac1, 5, 100));
	negcache_add(n, 7, mac1, 5, 100, 200);
	assert_true(negcache_refused(n, 7, mac1, 5, 199));
	assert_false(negcache_refused(n, 7, mac1, 5, 200)); /* its time is over */
	assert_false(negcache_refused(n, 7, mac2, 5, 150));
	assert_false(negcache_refused(n, 7, mac1, 6, 150));
	assert_false(negcache_refused(n, 8, mac1, 5, 150));
	negcache_add(n, 7, mac1, 5, 150, 300);
	assert_true(negcache_refused(n, 7, mac1, 5, 250));
	negcache_add(n, 7, mac2, 5, 150, 150); /* holds for no time at all */
	assert_false(negcache_refused(n, 7, mac2, 5, 150));
}

static void test_whole_session(void **state)
{
	struct negcache *n = *state;

	negcache_add_session(n, 7, 100, 200);
	assert_true(negcache_refused(n, 7, mac1, 5, 150));
	assert_true(negcache_refused(n, 7, mac2, 0, 150));
	assert_false(negcache_refused(n, 8, mac1, 5, 150));
	assert_false(negcache_refused(n, 7, mac1, 5, 200));
	negcache_add(n, 7, mac1, 5, 150, 400); /* outlives the session's own refusal */
	assert_true(negcache_refused(n, 7, mac1, 5, 300));
	assert_false(negcache_refused(n, 7, mac2, 5, 300));
}

static void test_drop(void **state)
{
	struct negcache *n = *state;

	negcache_add(n, 7, mac1, 5, 100, 1000);
	negcache_add_session(n, 7, 100, 1000);
	negcache_add(n, 8, mac1, 5, 100, 1000);
	negcache_drop(n, 7);
	assert_false(negcache_refused(n, 7, mac1, 5, 150));
	assert_true(negcache_refused(n, 8, mac1, 5, 150));
	/* The same number again does not find what belonged to the old one. */
	negcache_add(n, 7, mac2, 5, 150, 1000);
	assert_false(negcache_refused(n, 7, mac1, 5, 160));
	assert_true(negcache_refused(n, 7, mac2, 5, 160));
	negcache_drop(n, 12345);
}

/* More than it holds: it stays bounded, keeps the latest, and never invents a refusal. */
static void test_bounded(void **state)
{
	struct negcache *n = *state;
	uint8_t mac[6] = {2, 1};
	size_t kept = 0;

	for (uint32_t i = 0; i < 4 * NEGCACHE_MACS; i++) {
		memcpy(mac + 2, &i, 4);
		negcache_add(n, 1 + i % 100, mac, 5, 100, 1000 + i);
		assert_true(negcache_refused(n, 1 + i % 100, mac, 5, 100));
	}
	for (uint32_t i = 0; i < 4 * NEGCACHE_MACS; i++) {
		memcpy(mac + 2, &i, 4);
		kept += negcache_refused(n, 1 + i % 100, mac, 5, 100);
		assert_false(negcache_refused(n, 101 + i % 100, mac, 5, 100));
	}
	assert_in_range(kept, NEGCACHE_MACS / 2, NEGCACHE_MACS);
	for (uint64_t s = 1; s <= 4 * NEGCACHE_SESSIONS; s++)
		negcache_add_session(n, s * 977, 100, 1000 + s);
	kept = 0;
	for (uint64_t s = 1; s <= 4 * NEGCACHE_SESSIONS; s++)
		kept += negcache_refused(n, s * 977, mac1, 1, 100);
	assert_in_range(kept, NEGCACHE_SESSIONS / 2, NEGCACHE_SESSIONS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_session_number), TEST(test_one_mac), TEST(test_whole_session),
		TEST(test_drop),	   TEST(test_bounded),
	};

	return cmocka_run_group_tests_name("negcache", tests, NULL, NULL);
}
