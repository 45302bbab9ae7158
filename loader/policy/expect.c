/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Are a policy's expectations met? An expectation need not say everything of its packet: what it
 * leaves out may be anything. Where a rule asks for that, nothing can be said, and that is told.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

#define SENTENCE_MAX (POLICY_LINE_MAX + 128)

enum answer { NO, YES, UNSAID };

struct question {
	const struct policy *p;
	const struct policy_rule *rule;
	const struct policy_expect *e;
	const char *unsaid; /* the first clause that the expectation lacks */
};

static enum answer answer(struct question *q, bool said, bool asked, bool matches, const char *word)
{
	if (!asked)
		return YES;
	if (said)
		return matches ? YES : NO;
	q->unsaid = q->unsaid ? q->unsaid : word;
	return UNSAID;
}

/* An address that is not said has a family all the same, where the other one or the protocol has.
 */
static enum answer answer_address(struct question *q, const struct policy_slice *s,
				  unsigned int said, const uint8_t addr[16], const char *word)
{
	const struct policy_tuple *t = &q->e->tuple;
	bool possible = false;

	if (q->e->said & said)
		return answer(q, true, true, items_have(q->p, s, t->version, addr), word);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct policy_item *item = &q->p->items[s->at + i];
		const struct policy_set *set = item->set < 0 ? NULL : &q->p->sets[item->set];

		for (size_t k = 0; k < (set ? set->n : 1); k++)
			possible = possible || !t->version ||
				   (set ? set->v[k].version : item->prefix.version) == t->version;
	}
	return s->n && !possible ? NO : answer(q, false, s->n > 0, false, word);
}

/* Does the rule match? UNSAID: that depends on Q->unsaid. */
static enum answer ask(struct question *q)
{
	const struct policy_rule *rule = q->rule;
	const struct policy_tuple *t = &q->e->tuple;
	unsigned int said = q->e->said;
	uint8_t version = t->version ? t->version : 4; /* ICMP, which cares, always has one */
	uint16_t type = (uint16_t)(t->icmp_type << 8 | t->icmp_code);
	enum answer answers[5];
	bool sure = true;

	if (rule->direction != t->direction ||
	    !(rule_subjects(rule) & POLICY_SUBJECT(t->subject)) ||
	    !rule_has_proto(rule, version, t->proto))
		return NO;
	answers[0] = answer_address(q, &rule->from, POLICY_SAID_FROM, t->src, "from");
	answers[1] = answer_address(q, &rule->to, POLICY_SAID_TO, t->dst, "to");
	answers[2] = answer(q, said & POLICY_SAID_SPORT, rule->sport.n > 0,
			    ranges_have(q->p, &rule->sport, t->sport), "sport");
	answers[3] = answer(q, said & POLICY_SAID_DPORT, rule->dport.n > 0,
			    ranges_have(q->p, &rule->dport, t->dport), "dport");
	answers[4] = answer(q, said & POLICY_SAID_TYPE, rule->types.n > 0,
			    ranges_have(q->p, &rule->types, type), "type");
	for (size_t i = 0; i < SP_ARRAY_SIZE(answers); i++) {
		if (answers[i] == NO)
			return NO;
		sure = sure && answers[i] == YES;
	}
	return sure ? YES : UNSAID;
}

/* False, with the sentence: the expectation is not met. RULE 0 of V: the default. */
static bool compare(const struct policy *p, const struct policy_expect *e,
		    const struct policy_verdict *v, char sentence[SENTENCE_MAX])
{
	const char *expected = e->allow ? "allow" : "deny";
	const struct policy_rule *rule = v->rule ? &p->rules[v->rule - 1] : NULL;
	_cleanup_free_
	char *text = NULL;

	if ((v->action == SP_ACCEPT) == e->allow)
		return true;
	text = rule ? policy_print_rule(p, rule) : NULL;
	if (rule)
		snprintf(sentence, SENTENCE_MAX, "expected %s; rule %u in line %u says: %s",
			 expected, v->rule, rule->line,
			 text ? text : policy_action_name(v->action));
	else
		snprintf(sentence, SENTENCE_MAX,
			 "expected %s; no rule matches, and the default is: %s", expected,
			 policy_action_name(v->action));
	return false;
}

static bool test_one(const struct policy *p, const struct policy_expect *e,
		     char sentence[SENTENCE_MAX])
{
	struct policy_verdict v;

	for (size_t i = 0; i < p->n_rules; i++) {
		struct question q = {.p = p, .rule = &p->rules[i], .e = e};
		enum answer a = ask(&q);

		if (a == UNSAID) {
			snprintf(sentence, SENTENCE_MAX,
				 "rule %zu in line %u asks for '%s': expected the expectation to "
				 "say it",
				 i + 1, q.rule->line, q.unsaid);
			return false;
		}
		if (a == YES) {
			v = (struct policy_verdict){.action = p->rules[i].action,
						    .rule = (unsigned int)i + 1};
			return compare(p, e, &v, sentence);
		}
	}
	match_fallback(p, &e->tuple, &v);
	return compare(p, e, &v, sentence);
}

size_t policy_test(const struct policy *p,
		   void (*report)(unsigned int line, const char *sentence, void *arg), void *arg)
{
	char sentence[SENTENCE_MAX];
	size_t n = 0;

	for (size_t i = 0; i < p->n_expects; i++) {
		if (test_one(p, &p->expects[i], sentence))
			continue;
		n++;
		if (report)
			report(p->expects[i].line, sentence, arg);
	}
	return n;
}
