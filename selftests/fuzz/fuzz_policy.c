/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is every policy that is taken written in a way that reads as the same, compiled within bounds,
 * and judged by without harm; and every mistake told with a place that is in the text?
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "loader/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_errors(const struct policy_errors *e, const uint8_t *data, size_t size)
{
	unsigned int lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	require(e->n > 0 && e->n <= POLICY_ERRORS_MAX);
	for (size_t i = 0; i < e->n; i++) {
		require(e->v[i].line >= 1 && e->v[i].line <= lines);
		require(e->v[i].column >= 1 && e->v[i].column <= size + 1);
		require(i == 0 || e->v[i].line >= e->v[i - 1].line);
		require(memchr(e->v[i].text, '\0', sizeof(e->v[i].text)));
		require(strstr(e->v[i].text, "expected") != NULL);
	}
}

static void check_judging(const struct policy *p)
{
	struct policy_tuple t = {.version = 4, .proto = 6, .dport = 22};
	struct policy_verdict v;

	for (unsigned int i = 0; i < 12; i++) {
		t.version = i % 2 ? 4 : 6;
		t.direction = (uint8_t)(i % _SP_DIRECTIONS);
		t.subject = (uint8_t)(i % _SP_SUBJECTS);
		policy_match(p, &t, &v);
		require(v.action == SP_ACCEPT || v.action == SP_DROP || v.action == SP_REJECT);
		require(v.rule <= p->n_rules);
	}
	require(policy_test(p, NULL, NULL) <= p->n_expects);
	require(!policy_takes_away(p, p));
}

static void check_compiling(const struct policy *p)
{
	struct policy_rows rows = {.v = NULL};
	char error[200] = "";

	if (policy_compile(p, 1, 2, &rows, error) < 0) {
		require(error[0] && !rows.v);
		return;
	}
	require(rows.n > 0 && rows.n <= SP_ROWS_MAX && rows.v[0].head.rows == rows.n);
	policy_rows_free(&rows);
}

static void check_printing(const struct policy *p)
{
	_cleanup_(policy_freep) struct policy *q = NULL;
	_cleanup_free_
	char *text = policy_print(p);
	_cleanup_free_
	char *again = NULL;

	require(text != NULL);
	/* A text that just fits may be longer in the one way to write it. */
	if (strlen(text) > POLICY_TEXT_MAX)
		return;
	if (policy_parse(text, strlen(text), &q, NULL) < 0) {
		bool long_line = false;

		for (const char *c = text; *c; c += strcspn(c, "\n") + 1)
			long_line = long_line || strcspn(c, "\n") > POLICY_LINE_MAX;
		require(long_line);
		return;
	}
	require(q->n_rules == p->n_rules && q->n_sets == p->n_sets && q->n_items == p->n_items &&
		q->n_ranges == p->n_ranges && q->n_expects == p->n_expects);
	again = policy_print(q);
	require(again && strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_errors errors;
	struct policy *p = NULL;
	int r = policy_parse((const char *)data, size, &p, &errors);

	if (r < 0) {
		require(!p);
		check_errors(&errors, data, size);
		return 0;
	}
	require(errors.n == 0);
	check_judging(p);
	check_compiling(p);
	check_printing(p);
	policy_free(p);
	return 0;
}
