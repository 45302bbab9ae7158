// SPDX-License-Identifier: GPL-2.0-or-later
/* Is a stop policy read as what it says, and everything else refused with the place and the reason?
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "machine/ladder.h"

#define EVER LADDER_FOR_EVER

static void test_good(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: as it was */
		size_t n;
		struct {
			enum level level;
			uint32_t seconds;
		} steps[LADDER_STEPS];
	} table[] = {
		{"keep", NULL, 1, {{LEVEL_KEEP, EVER}}},
		{"shrink", NULL, 1, {{LEVEL_SHRINK, EVER}}},
		{"pause", NULL, 1, {{LEVEL_PAUSE, EVER}}},
		{"save", NULL, 1, {{LEVEL_SAVE, EVER}}},
		{"stop", NULL, 1, {{LEVEL_STOP, EVER}}},
		{"pause 10m then save 2h then stop",
		 NULL,
		 3,
		 {{LEVEL_PAUSE, 600}, {LEVEL_SAVE, 7200}, {LEVEL_STOP, EVER}}},
		{"keep 1s then shrink 1m then pause 1h then save 1d then stop",
		 NULL,
		 5,
		 {{LEVEL_KEEP, 1},
		  {LEVEL_SHRINK, 60},
		  {LEVEL_PAUSE, 3600},
		  {LEVEL_SAVE, 86400},
		  {LEVEL_STOP, EVER}}},
		{"  pause   90s  then  stop ",
		 "pause 90s then stop",
		 2,
		 {{LEVEL_PAUSE, 90}, {LEVEL_STOP, EVER}}},
		{"pause 3600s then stop",
		 "pause 1h then stop",
		 2,
		 {{LEVEL_PAUSE, 3600}, {LEVEL_STOP, EVER}}},
		{"pause 49710d then stop",
		 NULL,
		 2,
		 {{LEVEL_PAUSE, 4294944000}, {LEVEL_STOP, EVER}}},
		{"pause 4294967294s then stop",
		 NULL,
		 2,
		 {{LEVEL_PAUSE, 4294967294}, {LEVEL_STOP, EVER}}},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		struct ladder l;
		char text[SP_LADDER_MAX], error[128];
		size_t at;

		print_message("# '%s'\n", table[i].in);
		assert_int_equal(ladder_parse(table[i].in, &l, &at, error), 0);
		assert_int_equal(l.n, table[i].n);
		for (size_t k = 0; k < l.n; k++) {
			assert_int_equal(l.steps[k].level, table[i].steps[k].level);
			assert_int_equal(l.steps[k].seconds, table[i].steps[k].seconds);
		}
		ladder_format(&l, text);
		assert_string_equal(text, table[i].out ? table[i].out : table[i].in);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *in;
		size_t at;
		const char *error;
	} table[] = {
		{"", 0, "it ends where keep, shrink"},
		{"   ", 3, "it ends where keep, shrink"},
		{"run", 0, "'run': expected keep, shrink"},
		{"Pause", 0, "'Pause': expected keep"},
		{"paus", 0, "'paus': expected keep"},
		{"pauses", 0, "'pauses': expected keep"},
		{"pause 10m", 9, "it ends where 'then'"},
		{"pause then stop", 6, "'then': expected how long"},
		{"pause 10m then", 14, "it ends where keep"},
		{"pause 10m stop", 10, "'stop': expected 'then'"},
		{"pause 10 then stop", 6, "'10': expected a time"},
		{"pause 0 then stop", 6, "'0': expected a time"},
		{"pause 0s then stop", 6, "'0s': expected a time"},
		{"pause -1m then stop", 6, "'-1m': expected a time"},
		{"pause 1.5m then stop", 6, "'1.5m': expected a time"},
		{"pause 010m then stop", 6, "'010m': expected a time"},
		{"pause 10mm then stop", 6, "'10mm': expected a time"},
		{"pause 10M then stop", 6, "'10M': expected a time"},
		{"pause 49711d then stop", 6, "'49711d': expected a time of less"},
		{"pause 99999999999999999999s then stop", 6, "'99999999999999999999s': expected"},
		{"pause 10m then pause", 15, "'pause': expected a step that is deeper"},
		{"stop 10m then pause", 14, "'pause': expected a step that is deeper"},
		{"pause 10m then keep", 15, "'keep': expected a step that is deeper"},
		{"pause\t10m then stop", 0, "'pause\t10m': expected keep"},
		{"keep 1s then shrink 1s then pause 1s then save 1s then stop 1s", 62,
		 "it ends where 'then'"},
		{"keep 1s then shrink 1s then pause 1s then save 1s then stop 1s then stop", 63,
		 "'then': expected no more"},
		{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0,
		 "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx': expected keep"},
		{"pause 10m                                                          "
		 "                                                                    then stop",
		 SP_LADDER_MAX - 1, "longer than 127 bytes"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		struct ladder l = {.n = 99};
		char error[128] = "";
		size_t at = 999;

		print_message("# '%s'\n", table[i].in);
		assert_int_equal(ladder_parse(table[i].in, &l, &at, error), -EINVAL);
		assert_int_equal(l.n, 99);
		if (at != table[i].at ||
		    strncmp(error, table[i].error, strlen(table[i].error)) != 0)
			fail_msg("at %zu: %s; expected %zu: %s", at, error, table[i].at,
				 table[i].error);
	}
}

static void test_at(void **state)
{
	static const struct {
		uint64_t seconds;
		enum level level;
		uint64_t next;
	} table[] = {
		{0, LEVEL_PAUSE, 600},		{1, LEVEL_PAUSE, 599}, {599, LEVEL_PAUSE, 1},
		{600, LEVEL_SAVE, 7200},	{7799, LEVEL_SAVE, 1}, {7800, LEVEL_STOP, EVER},
		{UINT64_MAX, LEVEL_STOP, EVER},
	};
	struct ladder l;
	char error[128];
	size_t at;

	assert_int_equal(ladder_parse("pause 10m then save 2h then stop", &l, &at, error), 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		uint64_t next = 0;

		assert_int_equal(ladder_at(&l, table[i].seconds, &next), table[i].level);
		assert_int_equal(next, table[i].next);
	}
}

static void test_names(void **state)
{
	assert_string_equal(level_name(LEVEL_RUN), "run");
	assert_string_equal(level_name(LEVEL_STOP), "stop");
	assert_string_equal(level_name(_LEVELS), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_at),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("ladder", tests, NULL, NULL);
}
