// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is what sallyport-policy(5) shows true? Every example is a policy whose expectations are met, and
 * the grammar and the lists have the words that the parser knows.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "loader/policy/policy_internal.h"

#define PAGE "man/sallyport-policy.5"
#define BEGIN ".Bd -literal -offset indent\n"
#define END ".Ed\n"

static char *page;

static int load(void **state)
{
	_cleanup_fclose_ FILE *f = fopen(PAGE, "re");

	page = calloc(1, 65536);
	return f && page && fread(page, 1, 65535, f) > 1000 ? 0 : -1;
}

static int unload(void **state)
{
	free(page);
	return 0;
}

/* The next display of the page as it is shown, and *AT behind it; NULL: there is none. */
static char *next_display(const char **at)
{
	const char *from = strstr(*at, BEGIN), *end;
	char *text, *to;

	if (!from)
		return NULL;
	from += strlen(BEGIN);
	end = strstr(from, END);
	assert_non_null(end);
	to = text = calloc(1, (size_t)(end - from) + 1);
	assert_non_null(text);
	for (const char *c = from; c < end; c++) {
		*to++ = *c;
		if (*c == '\\' && c[1] == 'e')
			c++;
	}
	*at = end;
	return text;
}

static bool is_grammar(const char *display)
{
	return strncmp(display, "policy      =", 13) == 0;
}

static void unmet(unsigned int line, const char *sentence, void *arg)
{
	print_error("line %u of:\n%s%s\n", line, (const char *)arg, sentence);
}

/* How many expectations there were. */
static size_t try_example(const char *text)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct policy_errors e;

	if (policy_parse(text, strlen(text), &p, &e) < 0)
		fail_msg("line %u, column %u: %s, of:\n%s", e.v[0].line, e.v[0].column, e.v[0].text,
			 text);
	assert_int_equal(policy_test(p, unmet, (void *)text), 0);
	return p->n_expects;
}

static void test_examples(void **state)
{
	const char *at = page;
	size_t n = 0, expects = 0;

	for (char *text; (text = next_display(&at)); free(text))
		if (!is_grammar(text)) {
			expects += try_example(text);
			n++;
		}
	assert_true(n >= 5 && expects >= 5);
}

static char *grammar(void)
{
	const char *at = page;
	char *text;

	while ((text = next_display(&at)) && !is_grammar(text))
		free(text);
	assert_non_null(text);
	return text;
}

/* Terminals: "word". Each is a word of the language. */
static void test_terminals(void **state)
{
	static const char *const states[] = {"new", "related", "group"};
	_cleanup_free_
	char *text = grammar();
	unsigned int n = 0;

	for (char *c = text; (c = strchr(c, '"')); c++) {
		char *end = strchr(c + 1, '"');
		size_t size = end ? (size_t)(end - c - 1) : 0;
		bool known = word_is_reserved(c + 1, size);

		if (!end || size < 2 || !islower((unsigned char)c[1]) ||
		    strspn(c + 1, "abcdefghijklmnopqrstuvwxyz6") != size) {
			c = end && size == 1 ? end : c;
			continue;
		}
		for (size_t i = 0; i < SP_ARRAY_SIZE(states); i++)
			known = known ||
				(strlen(states[i]) == size && memcmp(states[i], c + 1, size) == 0);
		if (!known)
			fail_msg("the grammar has \"%.*s\"", (int)size, c + 1);
		n++;
		c = end;
	}
	assert_true(n >= 30);
}

/* And the other way round: nothing that the parser knows is missing. */
static void test_complete(void **state)
{
	static const char *const words[] = {
		"default", "set",     "accept", "drop", "reject", "expect", "in",
		"out",	   "segment", "from",	"to",	"any",	  "proto",  "sport",
		"dport",   "type",    "state",	"log",	"allow",  "deny",   "comment",
	};
	_cleanup_free_
	char *text = grammar();
	char quoted[40];

	for (size_t i = 0; i < SP_ARRAY_SIZE(words); i++) {
		snprintf(quoted, sizeof(quoted), "\"%s\"", words[i]);
		if (!strstr(text, quoted))
			fail_msg("the grammar lacks %s", quoted);
	}
	for (unsigned int proto = 0; proto < 256; proto++) {
		snprintf(quoted, sizeof(quoted), "\"%s\"", proto_name((uint8_t)proto) ?: "tcp");
		if (!strstr(text, quoted))
			fail_msg("the grammar lacks %s", quoted);
	}
}

/* Each type that is listed is one, and each that has a name is listed. */
static void test_types(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t proto = i ? PROTO_ICMP6 : PROTO_ICMP;
		const char *head = i ? ".It Cm icmpv6\necho" : ".It Cm icmp\necho", *line;
		unsigned int n = 0, known = 0;
		char words[1024], *save = NULL;

		line = strstr(page, i ? ".It Cm icmpv6\ndest" : head);
		assert_non_null(line);
		line = strchr(line, '\n') + 1;
		snprintf(words, sizeof(words), "%.*s", (int)strcspn(line, "\n"), line);
		for (char *w = strtok_r(words, ", ", &save); w; w = strtok_r(NULL, ", ", &save)) {
			struct policy_range range;

			if (icmp_by_name(proto, w, strlen(w), &range) < 0)
				fail_msg("'%s' is no type of %s", w, proto_name(proto));
			n++;
		}
		for (unsigned int type = 0; type < 256; type++)
			for (int code = -1; code < 256 && !icmp_is_guarded(proto, (uint8_t)type);
			     code++) {
				const struct policy_range range = {
					(uint16_t)(type << 8 |
						   (code < 0 ? 0U : (unsigned int)code)),
					(uint16_t)(type << 8 |
						   (code < 0 ? 0xffU : (unsigned int)code))};

				known += icmp_name(proto, &range) != NULL;
			}
		assert_int_equal(n, known);
	}
}

/* What is checked can fail. */
static void test_itself(void **state)
{
	struct policy_range range;

	assert_false(word_is_reserved("nosuch", 6));
	assert_int_not_equal(icmp_by_name(PROTO_ICMP, "nosuch", 6, &range), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples), cmocka_unit_test(test_terminals),
		cmocka_unit_test(test_complete), cmocka_unit_test(test_types),
		cmocka_unit_test(test_itself),
	};

	return cmocka_run_group_tests_name("policy manual", tests, load, unload);
}
