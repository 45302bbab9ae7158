/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where does each rule of the policies in force count? A counter is held by each rule that counts
 * with it: two policies of one port do for a moment, while one takes the place of the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane_internal.h"
#include "lib/cleanup.h"
#include "policy/policy.h"

int dataplane_read_row(int fd, uint32_t index, enum sp_row_kind kind, struct sp_row *ret)
{
	if (bpf_map_lookup_elem(fd, &index, ret) < 0)
		return -errno;
	return ret->kind == kind ? 0 : -EUCLEAN;
}

void places_free(struct places *p)
{
	free(p->v);
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->identity < y->identity ? -1 : x->identity > y->identity;
}

int places_read(int fd, struct places *ret)
{
	struct sp_row head, row;
	_cleanup_(places_free) struct places p = {.v = NULL};
	int r = dataplane_read_row(fd, 0, SP_ROW_HEAD, &head);

	if (r < 0)
		return r;
	if (head.head.rules > SP_RULES_MAX)
		return -EUCLEAN;
	memcpy(p.defaults, head.head.counter, sizeof(p.defaults));
	p.v = calloc(head.head.rules + 1U, sizeof(*p.v));
	if (!p.v)
		return -ENOMEM;
	for (; p.n < head.head.rules; p.n++) {
		size_t k = p.n % SP_RULES_ROW;

		if (k == 0)
			r = dataplane_read_row(
				fd, (uint32_t)(head.head.first_rules + p.n / SP_RULES_ROW),
				SP_ROW_RULES, &row);
		if (r < 0)
			return r;
		p.v[p.n] = (struct place){row.rules.identity[k], row.rules.counter[k]};
	}
	qsort(p.v, p.n, sizeof(*p.v), compare_places);
	*ret = p;
	p.v = NULL;
	return 0;
}

static void hold(struct dataplane *dp, uint32_t counter)
{
	if (counter == 0 || counter >= dp->max_rules || dp->rule_refs[counter] == UINT16_MAX)
		return;
	if (dp->rule_refs[counter]++ == 0)
		dp->rules_used++;
}

static void release(struct dataplane *dp, uint32_t counter)
{
	if (counter == 0 || counter >= dp->max_rules || dp->rule_refs[counter] == 0)
		return;
	if (--dp->rule_refs[counter] == 0)
		dp->rules_used--;
}

static int clear_counter(const struct dataplane *dp, uint32_t counter)
{
	_cleanup_free_
	struct sp_rule_counter *zero = calloc((size_t)dp->n_cpus, sizeof(*zero));

	if (!zero)
		return -ENOMEM;
	return bpf_map_update_elem(dp->map_fd[DP_RULE_COUNTERS], &counter, zero, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

/* One that nobody counts with, at 0. */
static int take_new(struct dataplane *dp, uint32_t *ret)
{
	for (uint32_t i = 0; i < dp->max_rules; i++) {
		uint32_t counter = dp->rules_next;
		int r;

		dp->rules_next = counter + 1 < dp->max_rules ? counter + 1 : 1;
		if (counter == 0 || dp->rule_refs[counter])
			continue;
		r = clear_counter(dp, counter);
		if (r < 0)
			return r;
		hold(dp, counter);
		*ret = counter;
		return 0;
	}
	return -ENOSPC;
}

static int take_counter(struct dataplane *dp, const struct places *old, uint64_t identity,
			uint32_t *ret)
{
	const struct place wanted = {.identity = identity};
	const struct place *was =
		old->n ? bsearch(&wanted, old->v, old->n, sizeof(wanted), compare_places) : NULL;

	if (!was || was->counter == 0 || was->counter >= dp->max_rules)
		return take_new(dp, ret);
	hold(dp, was->counter);
	*ret = was->counter;
	return 0;
}

static int take_default(struct dataplane *dp, uint32_t was, uint32_t *ret)
{
	if (was == 0 || was >= dp->max_rules)
		return take_new(dp, ret);
	hold(dp, was);
	*ret = was;
	return 0;
}

int rules_take(struct dataplane *dp, const struct places *old, struct sp_row *rows)
{
	struct sp_head *head = &rows[0].head;
	int r = 0;

	for (unsigned int d = 0; r == 0 && d < _SP_DIRECTIONS; d++)
		r = take_default(dp, old->defaults[d], &head->counter[d]);
	for (size_t i = 0; r == 0 && i < head->rules; i++) {
		struct sp_rules *row = &rows[head->first_rules + i / SP_RULES_ROW].rules;
		size_t k = i % SP_RULES_ROW;

		r = take_counter(dp, old, row->identity[k], &row->counter[k]);
	}
	for (size_t i = 0; r == 0 && i < head->rules; i += SP_RULES_ROW)
		policy_seal(&rows[head->first_rules + i / SP_RULES_ROW], head->digest,
			    SP_ROW_RULES);
	policy_seal(&rows[0], head->digest, SP_ROW_HEAD);
	return r;
}

void rules_release(struct dataplane *dp, const struct sp_row *rows)
{
	const struct sp_head *head = &rows[0].head;

	for (unsigned int d = 0; d < _SP_DIRECTIONS; d++)
		release(dp, head->counter[d]);
	for (size_t i = 0; i < head->rules; i++)
		release(dp,
			rows[head->first_rules + i / SP_RULES_ROW].rules.counter[i % SP_RULES_ROW]);
}

void places_release(struct dataplane *dp, const struct places *p)
{
	for (unsigned int d = 0; d < _SP_DIRECTIONS; d++)
		release(dp, p->defaults[d]);
	for (size_t i = 0; i < p->n; i++)
		release(dp, p->v[i].counter);
}

void places_hold(struct dataplane *dp, const struct places *p)
{
	for (unsigned int d = 0; d < _SP_DIRECTIONS; d++)
		hold(dp, p->defaults[d]);
	for (size_t i = 0; i < p->n; i++)
		hold(dp, p->v[i].counter);
}
