/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport policy diff: what would change? Both as they are written in the one way to do it. */
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/policy.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

#define CONTEXT 3 /* lines that stay, around those that do not */

struct lines {
	char *text;
	char **v;
	size_t n;
};

static void lines_free(struct lines *l)
{
	free(l->text);
	free(l->v);
}

static void split(const struct policy *p, struct lines *ret)
{
	char *at, *save = NULL;
	size_t n = 1;

	ret->text = policy_print(p);
	if (!ret->text)
		text_oom();
	for (const char *c = ret->text; *c; c++)
		n += *c == '\n';
	ret->v = calloc(n, sizeof(*ret->v));
	if (!ret->v)
		text_oom();
	for (at = strtok_r(ret->text, "\n", &save); at; at = strtok_r(NULL, "\n", &save))
		ret->v[ret->n++] = at;
}

/* A line of the difference: ' ' in both, '-' the old one's, '+' the new one's. */
struct edit {
	char mark;
	const char *line;
};

/*
 * The longest common subsequence, by its table: LENGTH[i][j] is of what follows line i of A and j
 * of B. A policy has some thousand lines; what both begin and end with is cut off before.
 */
struct diff {
	char **a, **b;
	size_t na, nb;
	uint16_t *length;
	struct edit *edits;
	size_t n;
};

static uint16_t *cell(const struct diff *d, size_t i, size_t j)
{
	return &d->length[i * (d->nb + 1) + j];
}

static void fill(struct diff *d)
{
	d->length = calloc((d->na + 1) * (d->nb + 1), sizeof(*d->length));
	if (!d->length)
		text_oom();
	for (size_t i = d->na; i-- > 0;)
		for (size_t j = d->nb; j-- > 0;) {
			uint16_t down = *cell(d, i + 1, j), right = *cell(d, i, j + 1);

			*cell(d, i, j) = strcmp(d->a[i], d->b[j]) == 0
						 ? (uint16_t)(*cell(d, i + 1, j + 1) + 1)
					 : down > right ? down
							: right;
		}
}

static void add(struct diff *d, char mark, const char *line)
{
	d->edits[d->n++] = (struct edit){mark, line};
}

static void walk(struct diff *d)
{
	size_t i = 0, j = 0;

	while (i < d->na || j < d->nb) {
		if (i < d->na && j < d->nb && strcmp(d->a[i], d->b[j]) == 0) {
			add(d, ' ', d->a[i++]);
			j++;
		} else if (i < d->na && (j == d->nb || *cell(d, i + 1, j) >= *cell(d, i, j + 1))) {
			add(d, '-', d->a[i++]);
		} else {
			add(d, '+', d->b[j++]);
		}
	}
}

static void compare(const struct lines *a, const struct lines *b, struct diff *d)
{
	size_t head = 0, tail = 0;

	d->edits = calloc(a->n + b->n + 1, sizeof(*d->edits));
	if (!d->edits)
		text_oom();
	while (head < a->n && head < b->n && strcmp(a->v[head], b->v[head]) == 0)
		add(d, ' ', a->v[head++]);
	while (tail < a->n - head && tail < b->n - head &&
	       strcmp(a->v[a->n - tail - 1], b->v[b->n - tail - 1]) == 0)
		tail++;
	d->a = a->v + head;
	d->b = b->v + head;
	d->na = a->n - head - tail;
	d->nb = b->n - head - tail;
	fill(d);
	walk(d);
	for (size_t i = a->n - tail; i < a->n; i++)
		add(d, ' ', a->v[i]);
}

/* Is a change within CONTEXT lines of I? */
static bool is_near(const struct diff *d, size_t i)
{
	size_t from = i > CONTEXT ? i - CONTEXT : 0;

	for (size_t k = from; k < d->n && k <= i + CONTEXT; k++)
		if (d->edits[k].mark != ' ')
			return true;
	return false;
}

static void print(const struct diff *d, const char *from, const char *to)
{
	bool gap = false;

	text_line(stdout, "--- %s", from);
	text_line(stdout, "+++ %s", to);
	for (size_t i = 0; i < d->n; i++) {
		if (!is_near(d, i)) {
			gap = true;
			continue;
		}
		if (gap)
			puts("...");
		gap = false;
		printf("%c%s\n", d->edits[i].mark, d->edits[i].line);
	}
}

static void print_document(const struct diff *d, bool takes_away)
{
	json_t *removed = json_array(), *added = json_array();
	_cleanup_json_ json_t *doc = NULL;

	for (size_t i = 0; i < d->n; i++)
		if (d->edits[i].mark != ' ')
			json_array_append_new(d->edits[i].mark == '-' ? removed : added,
					      json_string(d->edits[i].line));
	doc = json_pack("{s:b, s:b, s:o, s:o}", "same",
			json_array_size(removed) + json_array_size(added) == 0, "takes_away",
			takes_away, "removed", removed, "added", added);
	if (!doc)
		text_oom();
	call_print_json(doc);
}

static void tell(const struct ctl *ctl, const struct policy *now, const struct policy *next,
		 const char *from, const char *to)
{
	_cleanup_(lines_free) struct lines a = {.n = 0};
	_cleanup_(lines_free) struct lines b = {.n = 0};
	bool takes_away = policy_takes_away(now, next);
	struct diff d = {.n = 0};

	split(now, &a);
	split(next, &b);
	compare(&a, &b, &d);
	if (ctl->json) {
		print_document(&d, takes_away);
	} else if (d.na + d.nb == 0) {
		puts("no difference");
	} else {
		print(&d, from, to);
		if (takes_away)
			puts("it takes something away: flows that it does not allow would end");
	}
	free(d.length);
	free(d.edits);
}

int cmd_policy_diff(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_policy_text_ struct policy_text text = {.text = NULL};
	_cleanup_policy_text_ struct policy_text was = {.text = NULL};
	_cleanup_(policy_freep) struct policy *now = NULL;
	_cleanup_(policy_freep) struct policy *next = NULL;
	int r = policy_check_names(args);

	if (r == CTL_OK)
		r = policy_text_read(ctl, args->positional[2], &text);
	if (r == CTL_OK)
		r = policy_text_parse(ctl, &text, &next);
	if (r == CTL_OK)
		r = policy_text_fetch(ctl, args->positional[0], args->positional[1], &was, NULL);
	if (r == CTL_OK)
		r = policy_text_parse(ctl, &was, &now);
	if (r == CTL_OK)
		tell(ctl, now, next, was.name, text.name);
	return r;
}
