/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a policy written? In one way, in which it is read as the same. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "policy_internal.h"

#define SET_COLUMNS 100 /* a set goes on in the next line behind so many */

void print_prefix(FILE *f, const struct policy_prefix *prefix)
{
	bool v4 = prefix->version == 4;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? prefix->addr + 12 : prefix->addr, text,
		  sizeof(text));
	fputs(text, f);
	if (prefix->len != (v4 ? 32 : 128))
		fprintf(f, "/%u", prefix->len);
}

/* --- parts of a rule --- */

static void print_items(FILE *f, const struct policy *p, const char *word,
			const struct policy_slice *s)
{
	if (!s->n)
		return;
	fprintf(f, " %s ", word);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct policy_item *item = &p->items[s->at + i];

		if (i)
			fputc(',', f);
		if (item->set >= 0)
			fputs(p->sets[item->set].name, f);
		else
			print_prefix(f, &item->prefix);
	}
}

static void print_ports(FILE *f, const struct policy *p, const char *word,
			const struct policy_slice *s)
{
	if (!s->n)
		return;
	fprintf(f, " %s ", word);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct policy_range *r = &p->ranges[s->at + i];

		fprintf(f, r->first == r->last ? "%s%u" : "%s%u-%u", i ? "," : "", r->first,
			r->last);
	}
}

static void print_type(FILE *f, uint8_t proto, const struct policy_range *r)
{
	const char *name = icmp_name(proto, r);
	unsigned int type = r->first >> 8, first = r->first & 0xff, last = r->last & 0xff;

	if (name)
		fputs(name, f);
	else if (first == 0 && last == 0xff)
		fprintf(f, "%u", type);
	else
		fprintf(f, first == last ? "%u/%u" : "%u/%u-%u", type, first, last);
}

static void print_types(FILE *f, const struct policy *p, const struct policy_rule *rule)
{
	for (uint32_t i = 0; i < rule->types.n; i++) {
		fputs(i ? "," : " type ", f);
		print_type(f, rule->protos[0], &p->ranges[rule->types.at + i]);
	}
}

static void print_proto(FILE *f, uint8_t proto)
{
	const char *name = proto_name(proto);

	if (name)
		fputs(name, f);
	else
		fprintf(f, "%u", proto);
}

/* Names stand by themselves; one that has none makes it a list of "proto". */
static void print_protos(FILE *f, const struct policy_rule *rule)
{
	bool named = true;

	for (unsigned int i = 0; i < rule->n_protos; i++)
		named = named && proto_name(rule->protos[i]);
	for (unsigned int i = 0; i < rule->n_protos; i++) {
		fputs(i ? "," : named ? " " : " proto ", f);
		print_proto(f, rule->protos[i]);
	}
}

static void print_subjects(FILE *f, uint8_t subjects)
{
	const char *before = " state ";

	for (unsigned int i = 0; i < _SP_SUBJECTS; i++)
		if (subjects & POLICY_SUBJECT(i)) {
			fprintf(f, "%s%s", before, subject_names[i]);
			before = ",";
		}
}

static void print_comment(FILE *f, const char *comment)
{
	fputs(" comment \"", f);
	for (const char *c = comment; *c; c++) {
		if (*c == '"' || *c == '\\')
			fputc('\\', f);
		fputc(*c, f);
	}
	fputc('"', f);
}

static void print_core(FILE *f, const struct policy *p, const struct policy_rule *rule)
{
	fprintf(f, "%s %s", policy_action_name(rule->action),
		policy_direction_name(rule->direction));
	print_protos(f, rule);
	print_items(f, p, "from", &rule->from);
	print_ports(f, p, "sport", &rule->sport);
	print_items(f, p, "to", &rule->to);
	print_ports(f, p, "dport", &rule->dport);
	print_types(f, p, rule);
	print_subjects(f, rule->subjects);
}

static void print_rule(FILE *f, const struct policy *p, const struct policy_rule *rule)
{
	print_core(f, p, rule);
	if (rule->log)
		fputs(" log", f);
	if (rule->comment)
		print_comment(f, rule->comment);
}

/* --- the other lines --- */

static void print_default(FILE *f, const struct policy *p, unsigned int direction)
{
	fprintf(f, "default %s %s%s\n", policy_direction_name(direction),
		policy_action_name(p->fallback[direction]),
		p->fallback_log[direction] ? " log" : "");
}

static void print_set(FILE *f, const struct policy_set *set)
{
	long line = ftell(f);

	for (size_t i = 0; i < set->n; i++) {
		if (i && ftell(f) - line > SET_COLUMNS - INET6_ADDRSTRLEN) {
			fputc('\n', f);
			line = ftell(f);
		}
		if (ftell(f) == line)
			fprintf(f, "set %s ", set->name);
		else
			fputs(", ", f);
		print_prefix(f, &set->v[i]);
	}
	fputc('\n', f);
}

static void print_address(FILE *f, const char *word, const struct policy_tuple *t,
			  const uint8_t addr[16])
{
	struct policy_prefix prefix = {.version = t->version, .len = t->version == 4 ? 32 : 128};

	memcpy(prefix.addr, addr, sizeof(prefix.addr));
	fprintf(f, " %s ", word);
	print_prefix(f, &prefix);
}

static void print_expect(FILE *f, const struct policy_expect *e)
{
	const struct policy_tuple *t = &e->tuple;
	struct policy_range type = {(uint16_t)(t->icmp_type << 8 | t->icmp_code), 0};

	type.last = type.first;
	fprintf(f, "expect %s %s ", e->allow ? "allow" : "deny",
		policy_direction_name(t->direction));
	if (!proto_name(t->proto))
		fputs("proto ", f);
	print_proto(f, t->proto);
	if (e->said & POLICY_SAID_FROM)
		print_address(f, "from", t, t->src);
	if (e->said & POLICY_SAID_SPORT)
		fprintf(f, " sport %u", t->sport);
	if (e->said & POLICY_SAID_TO)
		print_address(f, "to", t, t->dst);
	if (e->said & POLICY_SAID_DPORT)
		fprintf(f, " dport %u", t->dport);
	if (e->said & POLICY_SAID_TYPE) {
		fputs(" type ", f);
		print_type(f, t->proto, &type);
	}
	if (e->subject_said)
		print_subjects(f, (uint8_t)POLICY_SUBJECT(t->subject));
	fputc('\n', f);
}

/* --- the whole --- */

static char *finish(FILE *f, char **text)
{
	bool failed = ferror(f);

	if (fclose(f) == 0 && !failed)
		return *text;
	free(*text);
	return NULL;
}

char *policy_print(const struct policy *p)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	print_default(f, p, SP_IN);
	print_default(f, p, SP_OUT);
	for (size_t i = 0; i < p->n_sets; i++) {
		if (i == 0)
			fputc('\n', f);
		print_set(f, &p->sets[i]);
	}
	for (size_t i = 0; i < p->n_rules; i++) {
		if (i == 0)
			fputc('\n', f);
		print_rule(f, p, &p->rules[i]);
		fputc('\n', f);
	}
	for (size_t i = 0; i < p->n_expects; i++) {
		if (i == 0)
			fputc('\n', f);
		print_expect(f, &p->expects[i]);
	}
	return finish(f, &text);
}

static char *one_rule(const struct policy *p, const struct policy_rule *rule,
		      void (*print)(FILE *f, const struct policy *p,
				    const struct policy_rule *rule))
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	print(f, p, rule);
	return finish(f, &text);
}

char *policy_print_rule(const struct policy *p, const struct policy_rule *rule)
{
	return one_rule(p, rule, print_rule);
}

char *policy_print_rule_core(const struct policy *p, const struct policy_rule *rule)
{
	return one_rule(p, rule, print_core);
}
