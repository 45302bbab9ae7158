/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dimension: which rules match for which keys? Where ranges of rules begin and end, in order;
 * from one such place to the next the same rules match, and a vector says which.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

/* --- the ranges of one rule --- */

int ranges_add(struct key_ranges *r, policy_key first, policy_key last)
{
	if (r->n == r->room) {
		size_t room = 2 * r->room + 16;
		struct key_range *v = reallocarray(r->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		r->v = v;
		r->room = room;
	}
	r->v[r->n++] = (struct key_range){first, last};
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct key_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

void ranges_join(struct key_ranges *r)
{
	size_t n = 0;

	if (r->n == 0)
		return;
	qsort(r->v, r->n, sizeof(*r->v), compare_ranges);
	for (size_t i = 1; i < r->n; i++) {
		struct key_range *last = &r->v[n];

		/* Less one: the highest key has none behind it. */
		if (r->v[i].first == 0 || r->v[i].first - 1 <= last->last) {
			if (r->v[i].last > last->last)
				last->last = r->v[i].last;
		} else {
			r->v[++n] = r->v[i];
		}
	}
	r->n = n + 1;
}

void ranges_free(struct key_ranges *r)
{
	free(r->v);
	*r = (struct key_ranges){.v = NULL};
}

/* --- the dimension --- */

static int add_event(struct dimension *d, policy_key at, uint16_t rule)
{
	if (d->n_events == d->room) {
		size_t room = 2 * d->room + 64;
		struct event *events = reallocarray(d->events, room, sizeof(*events));

		if (!events)
			return -ENOMEM;
		d->events = events;
		d->room = room;
	}
	d->events[d->n_events++] = (struct event){.at = at, .rule = rule};
	return 0;
}

int dimension_add(struct compiler *c, struct dimension *d, uint16_t rule, policy_key highest,
		  const struct key_ranges *ranges)
{
	int r = 0;

	d->asked = true;
	if (d->n_events + 2 * ranges->n > 2 * (size_t)POLICY_RANGES_MAX)
		return compile_fail(c, -E2BIG,
				    "the rules have more than %d ranges of addresses or ports "
				    "together: expected fewer; larger prefixes, or smaller sets",
				    POLICY_RANGES_MAX);
	for (size_t i = 0; r == 0 && i < ranges->n; i++) {
		r = add_event(d, ranges->v[i].first, rule);
		if (r == 0 && ranges->v[i].last < highest)
			r = add_event(d, ranges->v[i].last + 1, rule);
	}
	return r;
}

void dimension_free(struct dimension *d)
{
	free(d->events);
	*d = (struct dimension){.events = NULL};
}

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* A new span, unless what is there is what was there before. */
static int add_span(struct compiler *c, struct span *spans, size_t *n, policy_key start,
		    const struct bits *bits)
{
	int row = compile_vector(c, bits);

	if (row < 0)
		return row;
	if (*n == 0 || spans[*n - 1].child != row)
		spans[(*n)++] = (struct span){start, (uint16_t)row};
	return 0;
}

/*
 * Ranges of a rule do not touch, so that at each event its bit turns over: on at the first key, off
 * behind the last.
 */
int dimension_build(struct compiler *c, struct dimension *d, bool wide)
{
	_cleanup_free_
	struct span *spans = NULL;
	struct bits bits = d->always;
	size_t n = 0;
	int r = 0;

	if (!d->asked)
		return 0;
	spans = calloc(d->n_events + 1, sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	if (d->n_events) /* of rules that are all of another family there are none */
		qsort(d->events, d->n_events, sizeof(*d->events), compare_events);
	if (d->n_events == 0 || d->events[0].at > 0)
		r = add_span(c, spans, &n, 0, &bits);
	for (size_t i = 0; r == 0 && i < d->n_events;) {
		policy_key at = d->events[i].at;

		for (; i < d->n_events && d->events[i].at == at; i++)
			bits_flip(&bits, d->events[i].rule);
		r = add_span(c, spans, &n, at, &bits);
	}
	return r < 0 ? r : tree_build(c, spans, n, wide);
}
