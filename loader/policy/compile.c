/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what a policy says to the rows that the programs read. For each direction and for each kind
 * of what is judged, a section: six dimensions, each with a tree over ranges of keys, whose leaves
 * are vectors of the rules that match there. Vectors that are equal are one row: a set of thousands
 * of prefixes in one rule makes two of them.
 *
 * Why not a trie for each rule, or one of the kernel's: a trie tells of the longest prefix, rules
 * are ordered by where they stand; vectors keep the order, and their number of look-ups grows with
 * the logarithm of the ranges, to a base of 21.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

#define HIGHEST32 ((policy_key)UINT32_MAX)
#define HIGHEST128 (~(policy_key)0)

int compile_fail(struct compiler *c, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->error, 200, format, ap);
	va_end(ap);
	return r;
}

/* --- rows --- */

int compile_row(struct compiler *c, enum sp_row_kind kind)
{
	struct sp_row *row;

	if (c->rows.n == SP_ROWS_MAX)
		return compile_fail(c, -E2BIG,
				    "the compiled rules take more than %d rows: expected fewer "
				    "rules, or rules that have more in common",
				    SP_ROWS_MAX);
	if (c->rows.n == c->room) {
		size_t room = 2 * c->room + 64;
		struct sp_row *v = reallocarray(c->rows.v, room, sizeof(*v));
		uint8_t *kinds = reallocarray(c->kinds, room, sizeof(*kinds));

		c->rows.v = v ? v : c->rows.v;
		c->kinds = kinds ? kinds : c->kinds;
		if (!v || !kinds)
			return -ENOMEM;
		c->room = room;
	}
	row = &c->rows.v[c->rows.n];
	memset(row, 0, sizeof(*row));
	row->kind = (uint8_t)kind;
	c->kinds[c->rows.n] = (uint8_t)kind;
	return (int)c->rows.n++;
}

/* --- vectors --- */

static void fill_vector(struct sp_vector *v, const struct bits *bits)
{
	uint64_t last = bits->w[SP_VECTOR_WORDS];

	for (size_t i = 0; i < SP_VECTOR_WORDS; i++)
		v->word[i] = bits->w[i];
	v->low = (uint32_t)last;
	v->high = (uint8_t)(last >> 32);
	for (size_t i = 0; i <= SP_VECTOR_WORDS; i++)
		if (bits->w[i])
			v->some |= (uint8_t)(1U << i / 2);
}

static size_t hash_vector(const struct sp_vector *v)
{
	uint64_t h = v->low | (uint64_t)v->high << 32;

	for (size_t i = 0; i < SP_VECTOR_WORDS; i++)
		h = (h ^ v->word[i]) * 0x9e3779b97f4a7c15ULL ^ h >> 29;
	return (size_t)(h ^ h >> 32);
}

/* Twice the room, and each vector to its place in it. */
static int grow_table(struct compiler *c)
{
	size_t room = c->vector_room ? 2 * c->vector_room : 256;
	uint16_t *table = calloc(room, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < c->vector_room; i++) {
		size_t at;

		if (!c->vectors[i])
			continue;
		at = hash_vector(&c->rows.v[c->vectors[i]].vector) & (room - 1);
		while (table[at])
			at = (at + 1) & (room - 1);
		table[at] = c->vectors[i];
	}
	free(c->vectors);
	c->vectors = table;
	c->vector_room = room;
	return 0;
}

int compile_vector(struct compiler *c, const struct bits *bits)
{
	struct sp_vector v = {.some = 0};
	size_t at;
	int row;

	fill_vector(&v, bits);
	if (2 * c->n_vectors >= c->vector_room && grow_table(c) < 0)
		return -ENOMEM;
	at = hash_vector(&v) & (c->vector_room - 1);
	for (; c->vectors[at]; at = (at + 1) & (c->vector_room - 1))
		if (memcmp(&c->rows.v[c->vectors[at]].vector, &v, sizeof(v)) == 0)
			return c->vectors[at];
	row = compile_row(c, SP_ROW_VECTOR);
	if (row < 0)
		return row;
	c->rows.v[row].vector = v;
	c->vectors[at] = (uint16_t)row;
	c->n_vectors++;
	return row;
}

/* --- keys --- */

static policy_key key_of(const uint8_t addr[16])
{
	policy_key key = 0;

	for (size_t i = 0; i < 16; i++)
		key = key << 8 | addr[i];
	return key;
}

static int add_prefix(struct key_ranges *r, const struct policy_prefix *prefix, uint8_t version)
{
	unsigned int width = version == 4 ? 32 : 128;
	policy_key highest = version == 4 ? HIGHEST32 : HIGHEST128, first, behind;

	if (prefix->version != version)
		return 0;
	first = key_of(prefix->addr) & highest;
	behind = prefix->len == 0 ? highest : ((policy_key)1 << (width - prefix->len)) - 1;
	return ranges_add(r, first, first | behind);
}

static int add_items(const struct policy *p, struct key_ranges *r, const struct policy_slice *s,
		     uint8_t version)
{
	int e = 0;

	for (uint32_t i = 0; e == 0 && i < s->n; i++) {
		const struct policy_item *item = &p->items[s->at + i];
		const struct policy_set *set = item->set < 0 ? NULL : &p->sets[item->set];

		for (size_t k = 0; e == 0 && k < (set ? set->n : 1); k++)
			e = add_prefix(r, set ? &set->v[k] : &item->prefix, version);
	}
	return e;
}

/* Protocol and port, or type: the one of both that the rule asks for, or all there are of it. */
static int add_services(const struct policy *p, struct key_ranges *r,
			const struct policy_rule *rule)
{
	const struct policy_slice *s = rule->types.n ? &rule->types : &rule->dport;
	int e = 0;

	for (unsigned int i = 0; e == 0 && i < rule->n_protos; i++) {
		policy_key base = (policy_key)rule->protos[i] << 16;

		if (s->n == 0)
			e = ranges_add(r, base, base | 0xffff);
		for (uint32_t k = 0; e == 0 && k < s->n; k++)
			e = ranges_add(r, base | p->ranges[s->at + k].first,
				       base | p->ranges[s->at + k].last);
	}
	return e;
}

static int add_ports(const struct policy *p, struct key_ranges *r, const struct policy_slice *s)
{
	int e = 0;

	for (uint32_t i = 0; e == 0 && i < s->n; i++)
		e = ranges_add(r, p->ranges[s->at + i].first, p->ranges[s->at + i].last);
	return e;
}

/* --- sections --- */

enum dimension_name { SERVICE, REMOTE4, REMOTE6, LOCAL4, LOCAL6, SOURCE, _DIMENSIONS };

/* The ranges of RULE in dimension NAME. *RET_ASKS: it does not match everywhere. */
static int ranges_of(const struct policy *p, const struct policy_rule *rule,
		     enum dimension_name name, struct key_ranges *ret, bool *ret_asks)
{
	bool out = rule->direction == SP_OUT;
	const struct policy_slice *remote = out ? &rule->to : &rule->from;
	const struct policy_slice *local = out ? &rule->from : &rule->to;

	switch (name) {
	case SERVICE:
		*ret_asks = rule->n_protos > 0;
		return add_services(p, ret, rule);
	case REMOTE4:
	case REMOTE6:
		*ret_asks = remote->n > 0;
		return add_items(p, ret, remote, name == REMOTE4 ? 4 : 6);
	case LOCAL4:
	case LOCAL6:
		*ret_asks = local->n > 0;
		return add_items(p, ret, local, name == LOCAL4 ? 4 : 6);
	default:
		*ret_asks = rule->sport.n > 0;
		return add_ports(p, ret, &rule->sport);
	}
}

static int add_rule(struct compiler *c, struct dimension *d, enum dimension_name name,
		    uint16_t number)
{
	const struct policy_rule *rule = &c->policy->rules[number];
	bool wide = name == REMOTE6 || name == LOCAL6, asks = false;
	struct key_ranges ranges = {.v = NULL};
	int r = ranges_of(c->policy, rule, name, &ranges, &asks);

	if (r == 0 && !asks)
		bits_set(&d->always, number);
	if (r == 0 && asks) {
		ranges_join(&ranges);
		r = dimension_add(c, d, number, wide ? HIGHEST128 : HIGHEST32, &ranges);
	}
	ranges_free(&ranges);
	return r;
}

static int build_dimension(struct compiler *c, const struct bits *asked, enum dimension_name name)
{
	struct dimension d = {.events = NULL};
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->policy->n_rules; i++)
		if (bits_have(asked, (unsigned int)i))
			r = add_rule(c, &d, name, (uint16_t)i);
	/* In this dimension a packet is looked for always: some vector must say which rules are. */
	d.asked = d.asked || name == SERVICE;
	r = r ?: dimension_build(c, &d, name == REMOTE6 || name == LOCAL6);
	dimension_free(&d);
	return r;
}

/* Which rules are asked, for this direction and this subject? */
static struct bits rules_asked(const struct policy *p, unsigned int direction, unsigned int subject)
{
	struct bits bits = {{0}};

	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].direction == direction &&
		    (rule_subjects(&p->rules[i]) & POLICY_SUBJECT(subject)))
			bits_set(&bits, (unsigned int)i);
	return bits;
}

static uint16_t rules_end(const struct bits *bits)
{
	unsigned int n = SP_RULES_MAX;

	while (n > 0 && !bits_have(bits, n - 1))
		n--;
	return (uint16_t)n;
}

static int build_section(struct compiler *c, const struct bits *asked, struct sp_section *ret)
{
	int rows[_DIMENSIONS] = {0};

	ret->rules = rules_end(asked);
	if (!ret->rules)
		return 0;
	for (unsigned int name = 0; name < _DIMENSIONS; name++) {
		rows[name] = build_dimension(c, asked, name);
		if (rows[name] < 0)
			return rows[name];
	}
	ret->service = (uint16_t)rows[SERVICE];
	ret->remote4 = (uint16_t)rows[REMOTE4];
	ret->remote6 = (uint16_t)rows[REMOTE6];
	ret->local4 = (uint16_t)rows[LOCAL4];
	ret->local6 = (uint16_t)rows[LOCAL6];
	ret->source = (uint16_t)rows[SOURCE];
	return 0;
}

/* Most often new flows and group frames are judged by the same rules: then by the same rows. */
static int build_direction(struct compiler *c, unsigned int direction)
{
	struct sp_section sections[_SP_SUBJECTS] = {{0}};
	struct bits asked[_SP_SUBJECTS];
	int r = 0;

	for (unsigned int s = 0; r == 0 && s < _SP_SUBJECTS; s++) {
		unsigned int same = 0;

		asked[s] = rules_asked(c->policy, direction, s);
		while (same < s && memcmp(&asked[same], &asked[s], sizeof(asked[s])) != 0)
			same++;
		if (same < s)
			sections[s] = sections[same];
		else
			r = build_section(c, &asked[s], &sections[s]);
	}
	memcpy(c->rows.v[0].head.section[direction], sections, sizeof(sections));
	return r;
}

/* --- rules --- */

static int build_rules(struct compiler *c)
{
	const struct policy *p = c->policy;
	_cleanup_free_
	uint64_t *identities = calloc(p->n_rules + 1, sizeof(*identities));
	int r = identities ? policy_identities(p, identities) : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];
		struct sp_rules *row;

		if (i % SP_RULES_ROW == 0)
			r = compile_row(c, SP_ROW_RULES);
		if (r < 0)
			return r;
		if (i == 0)
			c->rows.v[0].head.first_rules = (uint16_t)r;
		row = &c->rows.v[c->rows.n - 1].rules;
		row->identity[i % SP_RULES_ROW] = identities[i];
		row->action[i % SP_RULES_ROW] =
			(uint8_t)(rule->action | (rule->log ? SP_RULE_LOG : 0));
	}
	return r < 0 ? r : 0;
}

/* --- the whole --- */

void policy_seal(struct sp_row *row, uint64_t digest, enum sp_row_kind kind)
{
	uint64_t all = 0;

	row->sum = 0;
	for (size_t i = 0; i < SP_ROW_LEN / 8; i++)
		all ^= row->word[i];
	row->sum = SP_FOLD(all) ^ SP_ROW_SUM(digest, kind);
}

static int build(struct compiler *c, uint64_t generation, uint64_t digest)
{
	const struct policy *p = c->policy;
	struct sp_head *head;
	int r = compile_row(c, SP_ROW_HEAD);

	r = r < 0 ? r : build_rules(c);
	for (unsigned int d = 0; r == 0 && d < _SP_DIRECTIONS; d++)
		r = build_direction(c, d);
	if (r < 0)
		return r;
	head = &c->rows.v[0].head;
	head->generation = generation;
	head->digest = digest;
	head->rows = (uint32_t)c->rows.n;
	head->rules = (uint16_t)p->n_rules;
	for (unsigned int d = 0; d < _SP_DIRECTIONS; d++)
		head->fallback[d] =
			(uint8_t)(p->fallback[d] | (p->fallback_log[d] ? SP_RULE_LOG : 0));
	for (size_t i = 0; i < c->rows.n; i++)
		policy_seal(&c->rows.v[i], digest, c->kinds[i]);
	return 0;
}

int policy_compile(const struct policy *p, uint64_t generation, uint64_t digest,
		   struct policy_rows *ret, char error[200])
{
	struct compiler c = {.policy = p, .error = error};
	int r = build(&c, generation, digest);

	free(c.vectors);
	free(c.kinds);
	if (r < 0) {
		policy_rows_free(&c.rows);
		if (r == -ENOMEM)
			compile_fail(&c, r, "out of memory");
		return r;
	}
	*ret = c.rows;
	return 0;
}

void policy_rows_free(struct policy_rows *rows)
{
	free(rows->v);
	*rows = (struct policy_rows){.v = NULL};
}
