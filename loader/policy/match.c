/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a packet? The rules one after the other, as they are written: no tree and no bit
 * of what the programs read. What the kernel answers is held against this.
 */
#include <string.h>

#include "policy_internal.h"

bool prefix_has(const struct policy_prefix *prefix, uint8_t version, const uint8_t addr[16])
{
	unsigned int len = prefix->len + (prefix->version == 4 ? 96U : 0U);
	uint8_t mask = (uint8_t)(0xff00U >> (len % 8));

	if (prefix->version != version || memcmp(prefix->addr, addr, len / 8) != 0)
		return false;
	return len % 8 == 0 || ((prefix->addr[len / 8] ^ addr[len / 8]) & mask) == 0;
}

bool ranges_have(const struct policy *p, const struct policy_slice *s, uint16_t v)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (v >= p->ranges[s->at + i].first && v <= p->ranges[s->at + i].last)
			return true;
	return s->n == 0;
}

static bool set_has(const struct policy_set *set, uint8_t version, const uint8_t addr[16])
{
	for (size_t i = 0; i < set->n; i++)
		if (prefix_has(&set->v[i], version, addr))
			return true;
	return false;
}

bool items_have(const struct policy *p, const struct policy_slice *s, uint8_t version,
		const uint8_t addr[16])
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct policy_item *item = &p->items[s->at + i];

		if (item->set >= 0 ? set_has(&p->sets[item->set], version, addr)
				   : prefix_has(&item->prefix, version, addr))
			return true;
	}
	return s->n == 0;
}

uint8_t rule_subjects(const struct policy_rule *rule)
{
	return rule->subjects ? rule->subjects : (uint8_t)POLICY_USUAL_SUBJECTS;
}

bool rule_has_proto(const struct policy_rule *rule, uint8_t version, uint8_t proto)
{
	if (rule->n_protos == 0)
		return true;
	if ((proto == PROTO_ICMP && version != 4) || (proto == PROTO_ICMP6 && version != 6))
		return false;
	return memchr(rule->protos, proto, rule->n_protos) != NULL;
}

static bool rule_matches(const struct policy *p, const struct policy_rule *rule,
			 const struct policy_tuple *t)
{
	uint16_t type = (uint16_t)(t->icmp_type << 8 | t->icmp_code);

	return rule->direction == t->direction &&
	       (rule_subjects(rule) & POLICY_SUBJECT(t->subject)) &&
	       rule_has_proto(rule, t->version, t->proto) &&
	       items_have(p, &rule->from, t->version, t->src) &&
	       items_have(p, &rule->to, t->version, t->dst) &&
	       ranges_have(p, &rule->sport, t->sport) && ranges_have(p, &rule->dport, t->dport) &&
	       ranges_have(p, &rule->types, type);
}

/* What is related to a flow passes with it, unless a rule says otherwise. */
void match_fallback(const struct policy *p, const struct policy_tuple *t,
		    struct policy_verdict *ret)
{
	uint8_t action = p->fallback[t->direction];

	*ret = (struct policy_verdict){.action = SP_ACCEPT};
	if (t->subject == SP_SUBJECT_RELATED)
		return;
	ret->log = p->fallback_log[t->direction];
	ret->action = action;
	if (action == SP_SEGMENT)
		ret->action = t->foreign ? SP_DROP : SP_ACCEPT;
}

void policy_match(const struct policy *p, const struct policy_tuple *t, struct policy_verdict *ret)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];

		if (!rule_matches(p, rule, t))
			continue;
		*ret = (struct policy_verdict){
			.action = rule->action, .log = rule->log, .rule = (unsigned int)i + 1};
		return;
	}
	match_fallback(p, t, ret);
}

bool policy_allows(const struct policy *p, const struct policy_tuple *t)
{
	struct policy_verdict v;

	policy_match(p, t, &v);
	return v.action == SP_ACCEPT;
}
