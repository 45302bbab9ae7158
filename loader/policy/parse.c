/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a policy's text say? Line by line, so that a mistake in one hides none in the next.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_sets; i++)
		free(p->sets[i].v);
	for (size_t i = 0; i < p->n_rules; i++)
		free(p->rules[i].comment);
	free(p->sets);
	free(p->rules);
	free(p->expects);
	free(p->items);
	free(p->ranges);
	free(p);
}

void policy_freep(struct policy **p)
{
	policy_free(*p);
}

/* --- default --- */

static int parse_default_action(struct parser *p, unsigned int direction)
{
	static const struct {
		const char *word;
		uint8_t action;
	} words[_SP_DIRECTIONS][2] = {
		[SP_IN] = {{"segment", SP_SEGMENT}, {"drop", SP_DROP}},
		[SP_OUT] = {{"accept", SP_ACCEPT}, {"drop", SP_DROP}},
	};

	for (size_t i = 0; i < 2; i++)
		if (token_is(&p->token, words[direction][i].word)) {
			p->policy->fallback[direction] = words[direction][i].action;
			return parser_next(p);
		}
	return parser_expected(
		p, direction == SP_IN ? "segment (accept what comes from the own segment) or drop"
				      : "accept or drop");
}

static int parse_default(struct parser *p)
{
	unsigned int direction = token_is(&p->token, "out") ? SP_OUT : SP_IN;
	int r;

	if (direction == SP_IN && !token_is(&p->token, "in"))
		return parser_expected(p, "in or out");
	if (p->default_line[direction])
		return parser_mistake(p, p->token.column,
				      "the default for '%s' was given in line %u: expected it once",
				      policy_direction_name(direction), p->default_line[direction]);
	p->default_line[direction] = p->number;
	r = parser_next(p);
	r = r ?: parse_default_action(p, direction);
	if (r == 0 && token_is(&p->token, "log")) {
		p->policy->fallback_log[direction] = true;
		r = parser_next(p);
	}
	return r;
}

/* --- set --- */

static bool is_set_name(const struct token *t)
{
	if (t->kind != TOKEN_WORD || t->size >= POLICY_NAME_MAX || t->text[0] < 'a' ||
	    t->text[0] > 'z')
		return false;
	for (size_t i = 0; i < t->size; i++) {
		char c = t->text[i];

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-')
			return false;
	}
	return true;
}

/* The set of that name, which may be a new one. */
static int find_set(struct parser *p, struct policy_set **ret)
{
	struct policy *policy = p->policy;
	const struct token *t = &p->token;
	struct policy_set *sets;

	if (!is_set_name(t))
		return parser_expected(p, "a name: a small letter, then small letters, digits, '_' "
					  "or '-', at most 31 of them");
	if (word_is_reserved(t->text, t->size))
		return parser_expected(p, "a name that is no word of the language");
	for (size_t i = 0; i < policy->n_sets; i++)
		if (token_is(t, policy->sets[i].name)) {
			*ret = &policy->sets[i];
			return 0;
		}
	if (policy->n_sets == POLICY_SETS_MAX)
		return parser_mistake(p, t->column, "one set more than %d: expected no more",
				      POLICY_SETS_MAX);
	sets = parser_grow(p, policy->sets, policy->n_sets, sizeof(*sets));
	if (!sets)
		return -ENOMEM;
	policy->sets = sets;
	*ret = &sets[policy->n_sets++];
	**ret = (struct policy_set){.v = NULL};
	memcpy((*ret)->name, t->text, t->size);
	return 0;
}

static int add_prefix(struct parser *p, struct policy_set *set)
{
	struct policy_prefix prefix, *v;
	int r = parse_prefix(p, &prefix);

	if (r < 0)
		return r;
	if (p->n_prefixes == POLICY_PREFIXES_MAX)
		return parser_mistake(p, p->token.column,
				      "one prefix more than %d in all sets: expected no more",
				      POLICY_PREFIXES_MAX);
	v = parser_grow(p, set->v, set->n, sizeof(*v));
	if (!v)
		return -ENOMEM;
	set->v = v;
	v[set->n++] = prefix;
	p->n_prefixes++;
	return 0;
}

/* A set that is given in several lines has what all of them say. */
static int parse_set(struct parser *p)
{
	struct policy_set *set = NULL;
	int r = find_set(p, &set);

	r = r ?: parser_next(p);
	for (;;) {
		r = r ?: add_prefix(p, set);
		r = r ?: parser_next(p);
		if (r < 0 || p->token.kind != TOKEN_COMMA)
			return r;
		r = parser_next(p);
	}
}

/* --- lines --- */

static int parse_statement(struct parser *p)
{
	struct token first = p->token;
	int r;

	if (first.kind == TOKEN_END)
		return 0;
	for (unsigned int action = SP_ACCEPT; action <= SP_REJECT; action++)
		if (token_is(&first, policy_action_name(action)))
			return parser_next(p) ?: parse_rule(p, action);
	if (token_is(&first, "default"))
		r = parser_next(p) ?: parse_default(p);
	else if (token_is(&first, "set"))
		r = parser_next(p) ?: parse_set(p);
	else if (token_is(&first, "expect"))
		r = parser_next(p) ?: parse_expect(p);
	else
		return parser_expected(p, "accept, drop, reject, default, set or expect");
	return r ?: parser_end(p);
}

/* A set whose every line was wrong has nothing in it, and its name means nothing. */
static void parse_lines(struct parser *p, const char *text, size_t size)
{
	const char *end = text + size;

	while (text < end && !p->out_of_memory) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = newline ? (size_t)(newline - text) : (size_t)(end - text);

		p->number++;
		if (parser_line(p, text, n) == 0)
			parse_statement(p);
		text += n + 1;
	}
}

int policy_parse(const char *text, size_t size, struct policy **ret, struct policy_errors *errors)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	struct policy_errors none;
	struct parser p = {.policy = policy, .errors = errors ? errors : &none};

	p.errors->n = 0;
	p.errors->more = false;
	if (!policy)
		return -ENOMEM;
	policy->fallback[SP_IN] = SP_SEGMENT;
	policy->fallback[SP_OUT] = SP_ACCEPT;
	if (size > POLICY_TEXT_MAX) {
		p.number = 1;
		return parser_mistake(&p, 1, "a text of %zu bytes: expected at most %d", size,
				      POLICY_TEXT_MAX);
	}
	parse_lines(&p, text, size);
	if (p.out_of_memory)
		return -ENOMEM;
	if (p.errors->n)
		return -EINVAL;
	*ret = TAKE_PTR(policy);
	return 0;
}
