/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rules of two policies are the same? Those that do the same, in the same words; log and
 * comment are none of it. Of several that are alike in one policy, the first is the other's first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

#define FNV_BASIS 0xcbf29ce484222325ULL /* FNV-1a, 64 bits */
#define FNV_PRIME 0x100000001b3ULL

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * FNV_PRIME;
	return h;
}

/* Would a row of zeros be taken for one? */
static bool zero_is_whole(uint64_t digest)
{
	for (unsigned int kind = SP_ROW_HEAD; kind <= SP_ROW_RULES; kind++)
		if (SP_ROW_SUM(digest, kind) == 0)
			return true;
	return false;
}

uint64_t policy_digest(const char *text, size_t size)
{
	static const uint32_t compiler = 1; /* counted up when other rows are made of a text */
	uint64_t digest = hash(hash(FNV_BASIS, &compiler, sizeof(compiler)), text, size);

	while (zero_is_whole(digest))
		digest++;
	return digest;
}

struct place {
	uint64_t hash;
	size_t rule;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

int policy_identities(const struct policy *p, uint64_t *ret)
{
	_cleanup_free_
	struct place *places = calloc(p->n_rules + 1, sizeof(*places));
	uint32_t same = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_rules; i++) {
		_cleanup_free_
		char *core = policy_print_rule_core(p, &p->rules[i]);

		if (!core)
			return -ENOMEM;
		places[i] = (struct place){hash(FNV_BASIS, core, strlen(core)), i};
	}
	qsort(places, p->n_rules, sizeof(*places), compare_places);
	for (size_t i = 0; i < p->n_rules; i++) {
		same = i && places[i].hash == places[i - 1].hash ? same + 1 : 0;
		ret[places[i].rule] = hash(places[i].hash, &same, sizeof(same));
	}
	return 0;
}

/* --- is anything less allowed? --- */

static bool has_prefix(const struct policy_set *set, const struct policy_prefix *prefix)
{
	for (size_t i = 0; set && i < set->n; i++)
		if (memcmp(&set->v[i], prefix, sizeof(*prefix)) == 0)
			return true;
	return false;
}

/* Does a set of NOW have an address that the set of that name has no more? Told by prefixes. */
static bool sets_shrink(const struct policy *now, const struct policy *next)
{
	for (size_t i = 0; i < now->n_sets; i++) {
		const struct policy_set *set = &now->sets[i], *other = NULL;

		for (size_t k = 0; k < next->n_sets && !other; k++)
			if (strcmp(next->sets[k].name, set->name) == 0)
				other = &next->sets[k];
		for (size_t k = 0; k < set->n; k++)
			if (!has_prefix(other, &set->v[k]))
				return true;
	}
	return false;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

bool policy_takes_away(const struct policy *now, const struct policy *next)
{
	_cleanup_free_
	uint64_t *was = calloc(now->n_rules + 1, sizeof(*was));
	_cleanup_free_
	uint64_t *is = calloc(next->n_rules + 1, sizeof(*is));

	for (unsigned int d = 0; d < _SP_DIRECTIONS; d++)
		if (next->fallback[d] == SP_DROP && now->fallback[d] != SP_DROP)
			return true;
	/* Where it cannot be told it is taken for true: the flows are looked at then. */
	if (!was || !is || policy_identities(now, was) < 0 || policy_identities(next, is) < 0)
		return true;
	qsort(is, next->n_rules, sizeof(*is), compare_numbers);
	for (size_t i = 0; i < now->n_rules; i++)
		if (now->rules[i].action == SP_ACCEPT &&
		    !bsearch(&was[i], is, next->n_rules, sizeof(*is), compare_numbers))
			return true;
	return sets_shrink(now, next);
}
