/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the right password taken, and nothing else? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "loader/password.h"
#include "loader/store/store.h"

static void test_verify(void **state)
{
	char hash[STORE_HASH_MAX], again[STORE_HASH_MAX], small[8], longest[SP_PASSWORD_MAX + 1];

	assert_int_equal(password_hash("correct horse", hash, sizeof(hash)), 0);
	assert_int_equal(strncmp(hash, "$y$", 3), 0);
	assert_int_equal(password_hash("correct horse", again, sizeof(again)), 0);
	assert_string_not_equal(hash, again); /* salted */
	assert_int_equal(password_verify("correct horse", hash), 0);
	assert_int_equal(password_verify("correct horsf", hash), -EKEYREJECTED);
	assert_int_equal(password_verify("", hash), -EKEYREJECTED);
	assert_int_equal(password_verify("correct horse", NULL), -EKEYREJECTED);
	assert_int_equal(password_verify("correct horse", ""), -EKEYREJECTED);
	assert_true(password_verify("correct horse", "*0") < 0);
	assert_true(password_verify("correct horse", "$y$") < 0);
	assert_int_equal(password_hash("", hash, sizeof(hash)), -EINVAL);
	assert_int_equal(password_hash("x", small, sizeof(small)), -ENOBUFS);
	memset(longest, 'x', sizeof(longest));
	longest[SP_PASSWORD_MAX] = '\0';
	assert_int_equal(password_hash(longest, hash, sizeof(hash)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_verify)};

	return cmocka_run_group_tests_name("password", tests, NULL, NULL);
}
