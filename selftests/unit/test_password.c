/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the right password taken, and nothing else? And does an unknown user take as long? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "loader/password.h"
#include "loader/store/store.h"

static char hash[STORE_HASH_MAX]; /* of "correct horse" */

static int setup(void **state)
{
	return password_hash("correct horse", hash, sizeof(hash));
}

static void test_hash(void **state)
{
	char again[STORE_HASH_MAX], small[8] = "before", longest[SP_PASSWORD_MAX + 1];

	assert_int_equal(strncmp(hash, "$y$", 3), 0);
	assert_int_equal(password_hash("correct horse", again, sizeof(again)), 0);
	assert_string_not_equal(hash, again); /* salted */
	assert_int_equal(password_hash("", again, sizeof(again)), -EINVAL);
	assert_int_equal(password_hash("x", small, sizeof(small)), -ENOBUFS);
	assert_string_equal(small, "before");
	memset(longest, 'x', sizeof(longest));
	longest[SP_PASSWORD_MAX] = '\0';
	assert_int_equal(password_hash(longest, again, sizeof(again)), -EINVAL);
	assert_int_equal(password_verify(longest, hash), -EKEYREJECTED);
	/* The longest that may be is not cut anywhere. */
	longest[SP_PASSWORD_MAX - 1] = '\0';
	assert_int_equal(password_hash(longest, again, sizeof(again)), 0);
	assert_int_equal(password_verify(longest, again), 0);
	longest[SP_PASSWORD_MAX - 2] = 'y';
	assert_int_equal(password_verify(longest, again), -EKEYREJECTED);
}

static void test_verify(void **state)
{
	static const struct {
		const char *password;
		int r;
	} rows[] = {
		{"correct horse", 0},
		{"correct horsf", -EKEYREJECTED},
		{"correct hors", -EKEYREJECTED},
		{"correct horse ", -EKEYREJECTED},
		{"Correct horse", -EKEYREJECTED},
		{"", -EKEYREJECTED},
		{"\xff\xfe", -EKEYREJECTED},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
		if (password_verify(rows[i].password, hash) != rows[i].r)
			fail_msg("'%s' is not %d", rows[i].password, rows[i].r);
	/* What the store has is what is compared, not what crypt would make of it. */
	assert_int_equal(password_verify(hash, hash), -EKEYREJECTED);
}

static void test_no_hash(void **state)
{
	static const char *const hashes[] = {
		"*0", "*1", "*", "!", "x", "$y$", "$y$j9T$", "$9$a$b", "correct horse"};
	char cut[STORE_HASH_MAX];

	assert_int_equal(password_verify("correct horse", NULL), -EKEYREJECTED);
	assert_int_equal(password_verify("correct horse", ""), -EKEYREJECTED);
	for (size_t i = 0; i < SP_ARRAY_SIZE(hashes); i++)
		if (password_verify("correct horse", hashes[i]) >= 0)
			fail_msg("'%s' was taken", hashes[i]);
	strcpy(cut, hash);
	cut[strlen(cut) - 1] = '\0';
	assert_true(password_verify("correct horse", cut) < 0);
}

static double seconds(const char *password, const char *against)
{
	struct timespec a, b;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	assert_int_equal(password_verify(password, against), -EKEYREJECTED);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* Whether a user exists cannot be read off the clock: the least of several, in CPU time. */
static void test_unknown_takes_as_long(void **state)
{
	double known = 1e9, unknown = 1e9, passwordless = 1e9;

	for (int i = 0; i < 7; i++) {
		double k = seconds("wrong", hash);
		double u = seconds("wrong", NULL);
		double p = seconds("wrong", "");

		known = k < known ? k : known;
		unknown = u < unknown ? u : unknown;
		passwordless = p < passwordless ? p : passwordless;
	}
	if (unknown < 0.7 * known || unknown > 1.4 * known || passwordless < 0.7 * known)
		fail_msg("%.1f ms for a user that is there, %.1f for one that is not, %.1f for one "
			 "without a password",
			 known * 1e3, unknown * 1e3, passwordless * 1e3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_no_hash),
		cmocka_unit_test(test_unknown_takes_as_long),
	};

	return cmocka_run_group_tests_name("password", tests, setup, NULL);
}
