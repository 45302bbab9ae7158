/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rule, and an expectation, which is written like one: clauses in any order, each once, and then
 * a look at whether they go together.
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

#define FAMILY4 1U
#define FAMILY6 2U

/* A rule while it is read. */
struct draft {
	struct policy_rule rule;
	unsigned int column[_CLAUSES]; /* of the clause's word; 0: it is not there */
};

/* --- clauses --- */

static int take_proto(struct parser *p, struct draft *d)
{
	return parse_protos(p, false, &d->rule);
}

static int take_from(struct parser *p, struct draft *d)
{
	return parse_items(p, &d->rule.from);
}

static int take_to(struct parser *p, struct draft *d)
{
	return parse_items(p, &d->rule.to);
}

static int take_sport(struct parser *p, struct draft *d)
{
	return parse_ports(p, &d->rule.sport);
}

static int take_dport(struct parser *p, struct draft *d)
{
	return parse_ports(p, &d->rule.dport);
}

static bool is_icmp(const struct policy_rule *rule)
{
	return rule->n_protos == 1 &&
	       (rule->protos[0] == PROTO_ICMP || rule->protos[0] == PROTO_ICMP6);
}

static int take_type(struct parser *p, struct draft *d)
{
	if (!is_icmp(&d->rule))
		return parser_mistake(p, d->column[CLAUSE_TYPE],
				      "'type': expected icmp or icmpv6, and no other protocol, "
				      "before it");
	return parse_types(p, d->rule.protos[0], &d->rule.types);
}

static int take_state(struct parser *p, struct draft *d)
{
	return parse_subjects(p, &d->rule.subjects);
}

static int take_log(struct parser *p, struct draft *d)
{
	d->rule.log = true;
	return 0;
}

static int take_comment(struct parser *p, struct draft *d)
{
	return parse_comment(p, &d->rule.comment);
}

static const struct {
	const char *word;
	int (*take)(struct parser *p, struct draft *d);
} clauses[_CLAUSES] = {
	[CLAUSE_PROTO] = {"proto", take_proto},
	[CLAUSE_FROM] = {"from", take_from},
	[CLAUSE_TO] = {"to", take_to},
	[CLAUSE_SPORT] = {"sport", take_sport},
	[CLAUSE_DPORT] = {"dport", take_dport},
	[CLAUSE_TYPE] = {"type", take_type},
	[CLAUSE_STATE] = {"state", take_state},
	[CLAUSE_LOG] = {"log", take_log},
	[CLAUSE_COMMENT] = {"comment", take_comment},
};

static int note_clause(struct parser *p, struct draft *d, enum clause c)
{
	if (d->column[c])
		return parser_mistake(p, p->token.column,
				      "'%.*s': given before, at column %u: expected each of these "
				      "once",
				      (int)p->token.size, p->token.text, d->column[c]);
	d->column[c] = p->token.column;
	return 0;
}

static int parse_clause(struct parser *p, struct draft *d)
{
	const struct token *t = &p->token;
	int r;

	for (unsigned int c = 0; c < _CLAUSES; c++) {
		if (!token_is(t, clauses[c].word))
			continue;
		if (note_clause(p, d, c) < 0)
			return -EINVAL;
		r = parser_next(p);
		return r < 0 ? r : clauses[c].take(p, d);
	}
	if (t->kind == TOKEN_WORD && proto_by_name(t->text, t->size) >= 0)
		return note_clause(p, d, CLAUSE_PROTO) < 0 ? -EINVAL
							   : parse_protos(p, true, &d->rule);
	if (token_is(t, "port"))
		return parser_expected(p,
				       "dport (the port that it goes to) or sport (that it comes "
				       "from)");
	return parser_expected(p,
			       "a protocol, from, to, sport, dport, type, state, log, comment or "
			       "the end of the line");
}

static int parse_direction(struct parser *p, struct policy_rule *rule)
{
	if (token_is(&p->token, "in"))
		rule->direction = SP_IN;
	else if (token_is(&p->token, "out"))
		rule->direction = SP_OUT;
	else
		return parser_expected(p, "in (to the machine) or out (from it)");
	return parser_next(p);
}

static int parse_clauses(struct parser *p, struct draft *d)
{
	int r = parse_direction(p, &d->rule);

	while (r == 0 && p->token.kind != TOKEN_END)
		r = parse_clause(p, d);
	return r;
}

/* --- do they go together? --- */

static unsigned int item_families(const struct policy *policy, const struct policy_item *item)
{
	const struct policy_set *set = item->set < 0 ? NULL : &policy->sets[item->set];
	unsigned int families = 0;

	if (!set)
		return item->prefix.version == 4 ? FAMILY4 : FAMILY6;
	for (size_t i = 0; i < set->n; i++)
		families |= set->v[i].version == 4 ? FAMILY4 : FAMILY6;
	return families;
}

/* In which families can it match? */
static unsigned int slice_families(const struct policy *policy, const struct policy_slice *s)
{
	unsigned int families = s->n ? 0 : FAMILY4 | FAMILY6;

	for (uint32_t i = 0; i < s->n; i++)
		families |= item_families(policy, &policy->items[s->at + i]);
	return families;
}

static unsigned int proto_families(const struct policy_rule *rule)
{
	unsigned int families = rule->n_protos ? 0 : FAMILY4 | FAMILY6;

	for (unsigned int i = 0; i < rule->n_protos; i++)
		families |= rule->protos[i] == PROTO_ICMP    ? FAMILY4
			    : rule->protos[i] == PROTO_ICMP6 ? FAMILY6
							     : FAMILY4 | FAMILY6;
	return families;
}

/* Of two families at most one is left in each clause; where none is left in all, none matches. */
static int check_families(struct parser *p, const struct draft *d)
{
	unsigned int proto = proto_families(&d->rule);
	unsigned int from = slice_families(p->policy, &d->rule.from);
	unsigned int to = slice_families(p->policy, &d->rule.to);

	if (!(from & to))
		return parser_mistake(p, d->column[CLAUSE_TO],
				      "'to': expected addresses of the family of those of 'from': "
				      "IPv4 and IPv6 never meet in a packet");
	if (!(proto & from & to))
		return parser_mistake(
			p, d->column[CLAUSE_FROM] ? d->column[CLAUSE_FROM] : d->column[CLAUSE_TO],
			"expected %s addresses: %s is of that family alone",
			proto == FAMILY4 ? "IPv4" : "IPv6", proto == FAMILY4 ? "icmp" : "icmpv6");
	return 0;
}

static int check_ports(struct parser *p, const struct draft *d)
{
	const struct policy_rule *rule = &d->rule;
	bool ports = rule->n_protos > 0;
	unsigned int column =
		d->column[CLAUSE_DPORT] ? d->column[CLAUSE_DPORT] : d->column[CLAUSE_SPORT];

	if (!column)
		return 0;
	for (unsigned int i = 0; i < rule->n_protos; i++)
		ports = ports && proto_has_ports(rule->protos[i]);
	if (ports)
		return 0;
	return parser_mistake(p, column,
			      "a port: expected a protocol that has ports: tcp, udp, sctp, dccp, "
			      "udplite, and no other");
}

/* What is related to a flow is an ICMP error. */
static int check_state(struct parser *p, const struct draft *d)
{
	const struct policy_rule *rule = &d->rule;

	if (rule->subjects != POLICY_SUBJECT(SP_SUBJECT_RELATED) || !rule->n_protos ||
	    memchr(rule->protos, PROTO_ICMP, rule->n_protos) ||
	    memchr(rule->protos, PROTO_ICMP6, rule->n_protos))
		return 0;
	return parser_mistake(p, d->column[CLAUSE_STATE],
			      "'state': expected icmp, icmpv6 or no protocol: what is related to a "
			      "flow is an ICMP error");
}

static int check(struct parser *p, const struct draft *d)
{
	/* Each tells of its own, so that all are told at once. */
	int ports = check_ports(p, d), families = check_families(p, d), state = check_state(p, d);

	return ports ?: families ?: state;
}

/* --- a rule --- */

static int add_rule(struct parser *p, const struct policy_rule *rule)
{
	struct policy *policy = p->policy;
	struct policy_rule *rules;

	if (policy->n_rules == POLICY_RULES_MAX)
		return parser_mistake(p, 1, "one rule more than %d: expected no more",
				      POLICY_RULES_MAX);
	rules = parser_grow(p, policy->rules, policy->n_rules, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	policy->rules = rules;
	rules[policy->n_rules++] = *rule;
	return 0;
}

int parse_rule(struct parser *p, enum sp_action action)
{
	struct draft d = {.rule = {.line = p->number, .action = (uint8_t)action}};
	int r = parse_clauses(p, &d);

	r = r ?: check(p, &d);
	r = r ?: add_rule(p, &d.rule);
	if (r < 0)
		free(d.rule.comment);
	return r;
}

/* --- an expectation --- */

/* The one address of a clause. */
static int single_address(struct parser *p, const struct draft *d, enum clause c,
			  const struct policy_slice *s, struct policy_tuple *t, uint8_t ret[16])
{
	const struct policy_item *item;

	if (s->n == 0)
		return 0;
	item = &p->policy->items[s->at];
	if (s->n != 1 || item->set >= 0 ||
	    item->prefix.len != (item->prefix.version == 4 ? 32 : 128))
		return parser_mistake(p, d->column[c],
				      "'%s': expected one address: an expectation is of one packet",
				      clauses[c].word);
	t->version = item->prefix.version;
	memcpy(ret, item->prefix.addr, sizeof(item->prefix.addr));
	return 0;
}

static int single_port(struct parser *p, const struct draft *d, enum clause c,
		       const struct policy_slice *s, uint16_t *ret)
{
	const struct policy_range *range;

	if (s->n == 0)
		return 0;
	range = &p->policy->ranges[s->at];
	if (s->n != 1 || range->first != range->last)
		return parser_mistake(p, d->column[c],
				      "'%s': expected one port: an expectation is of one packet",
				      clauses[c].word);
	*ret = range->first;
	return 0;
}

/* Of a type whose code is not said it is the first, 0: the one that most types have alone. */
static int single_type(struct parser *p, const struct draft *d, struct policy_tuple *t)
{
	const struct policy_slice *s = &d->rule.types;
	const struct policy_range *range;

	if (s->n == 0)
		return 0;
	range = &p->policy->ranges[s->at];
	if (s->n != 1 || (range->first != range->last && (range->last & 0xff) != 0xff))
		return parser_mistake(p, d->column[CLAUSE_TYPE],
				      "'type': expected one type: an expectation is of one packet");
	t->icmp_type = (uint8_t)(range->first >> 8);
	t->icmp_code = (uint8_t)range->first;
	return 0;
}

static int single_subject(struct parser *p, const struct draft *d, struct policy_tuple *t)
{
	uint8_t subjects = d->rule.subjects;

	t->subject = SP_SUBJECT_NEW;
	if (!subjects)
		return 0;
	if (subjects & (subjects - 1))
		return parser_mistake(
			p, d->column[CLAUSE_STATE],
			"'state': expected one state: an expectation is of one packet");
	while (subjects != POLICY_SUBJECT(t->subject))
		t->subject++;
	return 0;
}

static int check_expect(struct parser *p, const struct draft *d)
{
	static const enum clause none[] = {CLAUSE_LOG, CLAUSE_COMMENT};

	for (size_t i = 0; i < SP_ARRAY_SIZE(none); i++)
		if (d->column[none[i]])
			return parser_mistake(p, d->column[none[i]],
					      "'%s': expected none in an expectation",
					      clauses[none[i]].word);
	if (d->rule.n_protos != 1)
		return parser_mistake(
			p, d->column[CLAUSE_PROTO] ? d->column[CLAUSE_PROTO] : p->token.column,
			"expected one protocol: an expectation is of one packet");
	return check(p, d);
}

static int make_expect(struct parser *p, const struct draft *d, struct policy_expect *e)
{
	const struct policy_rule *rule = &d->rule;
	struct policy_tuple *t = &e->tuple;
	int r = check_expect(p, d);

	t->direction = rule->direction;
	t->proto = rule->n_protos ? rule->protos[0] : 0;
	t->version = t->proto == PROTO_ICMP ? 4 : t->proto == PROTO_ICMP6 ? 6 : 0;
	r = r ?: single_address(p, d, CLAUSE_FROM, &rule->from, t, t->src);
	r = r ?: single_address(p, d, CLAUSE_TO, &rule->to, t, t->dst);
	r = r ?: single_port(p, d, CLAUSE_SPORT, &rule->sport, &t->sport);
	r = r ?: single_port(p, d, CLAUSE_DPORT, &rule->dport, &t->dport);
	r = r ?: single_type(p, d, t);
	r = r ?: single_subject(p, d, t);
	e->said = (t->version ? POLICY_SAID_VERSION : 0) | (rule->from.n ? POLICY_SAID_FROM : 0) |
		  (rule->to.n ? POLICY_SAID_TO : 0) | (rule->sport.n ? POLICY_SAID_SPORT : 0) |
		  (rule->dport.n ? POLICY_SAID_DPORT : 0) | (rule->types.n ? POLICY_SAID_TYPE : 0);
	e->subject_said = rule->subjects != 0;
	return r;
}

int parse_expect(struct parser *p)
{
	struct policy *policy = p->policy;
	struct policy_expect e = {.line = p->number}, *expects;
	struct draft d = {0};
	int r;

	if (!token_is(&p->token, "allow") && !token_is(&p->token, "deny"))
		return parser_expected(p, "allow or deny");
	e.allow = token_is(&p->token, "allow");
	r = parser_next(p);
	r = r ?: parse_clauses(p, &d);
	r = r ?: make_expect(p, &d, &e);
	free(d.rule.comment);
	if (r < 0)
		return r;
	if (policy->n_expects == POLICY_EXPECTS_MAX)
		return parser_mistake(p, 1, "one expectation more than %d: expected no more",
				      POLICY_EXPECTS_MAX);
	expects = parser_grow(p, policy->expects, policy->n_expects, sizeof(*expects));
	if (!expects)
		return -ENOMEM;
	policy->expects = expects;
	expects[policy->n_expects++] = e;
	return 0;
}
