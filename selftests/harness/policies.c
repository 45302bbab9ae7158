/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies by chance, and packets that are hard to judge by them. */
#include "policies.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "lib/cleanup.h"

/* --- texts --- */

struct writer {
	FILE *f;
	unsigned int sets;
};

static const char *pick(const char *const *words, size_t n)
{
	return words[draw((uint32_t)n)];
}

#define PICK(words) pick(words, SP_ARRAY_SIZE(words))

static void space(struct writer *w)
{
	static const char *const spaces[] = {" ", " ", " ", "  ", "\t", " \t "};

	fputs(PICK(spaces), w->f);
}

static void comma(struct writer *w)
{
	static const char *const commas[] = {",", ",", ", ", " ,", "\t,  "};

	fputs(PICK(commas), w->f);
}

/* A word of the language, with space before it. */
static void word(struct writer *w, const char *text)
{
	space(w);
	fputs(text, w->f);
}

/* Few bits are free, so that prefixes meet, lie in each other and beside each other. */
static void prefix4(struct writer *w)
{
	static const unsigned int lens[] = {0, 1, 8, 16, 22, 23, 24, 25, 30, 31, 32, 32, 32};
	unsigned int len = lens[draw(SP_ARRAY_SIZE(lens))];
	uint32_t a =
		draw(8) ? 0x0a000000U | draw(4) << 8 | draw(256) : draw(65536) << 16 | draw(65536);
	uint8_t addr[4];
	char text[INET_ADDRSTRLEN];

	a &= len ? UINT32_MAX << (32 - len) : 0;
	a = htonl(a);
	memcpy(addr, &a, sizeof(addr));
	inet_ntop(AF_INET, addr, text, sizeof(text));
	fprintf(w->f, len == 32 && draw(2) ? "%s" : "%s/%u", text, len);
}

static void prefix6(struct writer *w)
{
	static const unsigned int lens[] = {0,	1,  7,	 16,  32,  48,	63,  64,  65,
					    96, 97, 112, 120, 126, 127, 128, 128, 128};
	unsigned int len = lens[draw(SP_ARRAY_SIZE(lens))];
	uint8_t addr[16] = {0xfd};
	char text[INET6_ADDRSTRLEN];

	if (draw(8) == 0)
		addr[0] = (uint8_t)(0x20 + draw(0xe0));
	addr[5] = (uint8_t)draw(2);
	addr[7] = (uint8_t)draw(3);
	addr[8] = draw(2) ? 0x80 : 0;
	addr[15] = (uint8_t)draw(4);
	addr[14] = (uint8_t)(draw(4) ? 0 : draw(256));
	for (unsigned int i = len; i < 128; i++)
		addr[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
	inet_ntop(AF_INET6, addr, text, sizeof(text));
	fprintf(w->f, len == 128 && draw(2) ? "%s" : "%s/%u", text, len);
}

/* FAMILY 4, 6, or 0: either. */
static void prefix(struct writer *w, unsigned int family)
{
	if (family ? family == 4 : draw(2))
		prefix4(w);
	else
		prefix6(w);
}

/* The sets s0, s1... have both families in them. */
static void item(struct writer *w, unsigned int family)
{
	if (w->sets && draw(3) == 0)
		fprintf(w->f, "s%u", draw(w->sets));
	else
		prefix(w, family);
}

static unsigned int count(void)
{
	return draw(3) ? 1 : 1 + draw(5);
}

static void items(struct writer *w, const char *clause, unsigned int family)
{
	unsigned int n = count();

	if (draw(3))
		return;
	word(w, clause);
	space(w);
	if (draw(20) == 0) {
		fputs("any", w->f);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		if (i)
			comma(w);
		item(w, family);
	}
}

static unsigned int port(void)
{
	static const unsigned int ports[] = {0,	  1,	22,   53,   79,	   80,	 81,
					     443, 1023, 1024, 8080, 65534, 65535};

	return draw(4) ? ports[draw(SP_ARRAY_SIZE(ports))] : draw(65536);
}

static void ports(struct writer *w, const char *clause, unsigned int odds)
{
	unsigned int n = count();

	if (draw(odds))
		return;
	word(w, clause);
	space(w);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int a = port(), b = port();

		if (i)
			comma(w);
		if (draw(2))
			fprintf(w->f, "%u", a);
		else
			fprintf(w->f, "%u-%u", a < b ? a : b, a < b ? b : a);
	}
}

static void types(struct writer *w, bool six)
{
	static const char *const four[] = {"echo-request",
					   "echo-reply",
					   "0",
					   "8",
					   "255",
					   "destination-unreachable",
					   "3/4",
					   "11/0-1",
					   "fragmentation-needed",
					   "redirect/1",
					   "254/255"};
	static const char *const sixes[] = {
		"echo-request", "129",	 "packet-too-big",	"1/4", "0", "132", "138",
		"255",		"1/0-7", "mld2-listener-report"};
	unsigned int n = count();

	if (draw(3) == 0)
		return;
	word(w, "type");
	space(w);
	for (unsigned int i = 0; i < n; i++) {
		if (i)
			comma(w);
		fputs(six ? PICK(sixes) : PICK(four), w->f);
	}
}

static void other_proto(struct writer *w)
{
	static const char *const names[] = {"gre", "esp", "igmp", "ah"};
	unsigned int number = draw(256);

	if (draw(2))
		word(w, PICK(names));
	else
		fprintf(w->f, " proto %u", number == 1 || number == 58 ? 99 : number);
}

/*
 * Protocol, and what goes with it; *RET_FAMILY: what addresses must be, 0: either. True: there is a
 * protocol, and it is not ICMP.
 */
static bool service(struct writer *w, unsigned int *ret_family)
{
	static const char *const with_ports[] = {"tcp",	    "tcp",	  "udp",
						 "tcp,udp", "proto 6,17", "sctp",
						 "udplite", "dccp",	  "udp , tcp"};

	*ret_family = 0;
	switch (draw(8)) {
	case 0:
		return false;
	case 1:
		*ret_family = 4;
		word(w, "icmp");
		types(w, false);
		return false;
	case 2:
		*ret_family = 6;
		word(w, "icmpv6");
		types(w, true);
		return false;
	case 3:
		other_proto(w);
		return true;
	default:
		word(w, PICK(with_ports));
		ports(w, "dport", 4);
		ports(w, "sport", 8);
		return true;
	}
}

/* OTHER: of a protocol that is not ICMP: nothing of it is related. */
static void tail(struct writer *w, bool other)
{
	static const char *const states[] = {
		"new",		 "group",  "new,group", "related , new", "group,new,related",
		"new , related", "related"};
	static const char *const comments[] = {
		"",  "web", "a \\\"quoted\\\" one", "back\\\\slash", "caf\xc3\xa9 # no comment",
		"  "};

	if (draw(8) == 0) {
		word(w, "state");
		word(w, states[draw(SP_ARRAY_SIZE(states) - other)]);
	}
	if (draw(6) == 0)
		word(w, "log");
	if (draw(6) == 0) {
		word(w, "comment");
		space(w);
		fprintf(w->f, "\"%s\"", PICK(comments));
	}
}

static void rule(struct writer *w)
{
	static const char *const actions[] = {"accept", "accept", "drop", "reject"};
	bool first = draw(4) == 0, other;
	unsigned int family;

	if (draw(10) == 0)
		space(w);
	fputs(PICK(actions), w->f);
	word(w, draw(2) ? "in" : "out");
	if (first && draw(2)) {
		word(w, "log");
		fputs(" comment \"before the rest\"", w->f);
	} else {
		first = false;
	}
	other = service(w, &family);
	/* Two families in two clauses would never match, which is a mistake. */
	family = family ? family : draw(2) ? 4 : 6;
	items(w, "from", family);
	items(w, "to", family);
	if (!first)
		tail(w, other);
	if (draw(10) == 0)
		fputs("  # a remark", w->f);
	fputs(draw(20) ? "\n" : "\r\n", w->f);
}

/* Both families in each, so that a rule that names one can always match. */
static void set(struct writer *w)
{
	unsigned int n = draw(12), name = w->sets++;

	fprintf(w->f, "set s%u ", name);
	prefix4(w);
	comma(w);
	prefix6(w);
	for (unsigned int i = 0; i < n; i++) {
		if (draw(4) == 0) {
			fprintf(w->f, "\n\nset s%u ", name);
		} else {
			comma(w);
		}
		prefix(w, 0);
	}
	fputc('\n', w->f);
}

static void expectation(struct writer *w)
{
	static const char *const lines[] = {
		"expect allow in tcp from 10.0.0.1 dport 80",
		"expect deny out udp to fd00::1 sport 53 dport 53",
		"expect deny in icmp type echo-request",
		"expect allow in icmpv6 type 1/4 state related",
		"expect\tallow in proto 99 from 10.0.0.1 to 10.0.0.2",
		"expect deny in gre state new",
	};

	fprintf(w->f, "%s\n", PICK(lines));
}

static void defaults(struct writer *w)
{
	if (draw(2))
		fprintf(w->f, "default in %s%s\n", draw(2) ? "segment" : "drop",
			draw(3) ? "" : " log");
	if (draw(2))
		fprintf(w->f, "default  out %s%s\n", draw(2) ? "accept" : "drop",
			draw(3) ? "" : " log # all of it");
}

char *policies_draw(unsigned int rules)
{
	char *text = NULL;
	size_t size;
	struct writer w = {.f = open_memstream(&text, &size)};
	unsigned int n = draw(rules + 1);

	if (!w.f)
		abort();
	defaults(&w);
	for (unsigned int i = draw(4); i > 0; i--)
		set(&w);
	for (unsigned int i = 0; i < n; i++) {
		rule(&w);
		if (draw(10) == 0)
			fputs(draw(2) ? "\n" : "# a line of its own\n", w.f);
		if (draw(40) == 0)
			set(&w);
		if (draw(20) == 0)
			expectation(&w);
	}
	if (fclose(w.f) != 0)
		abort();
	return text;
}

/* --- packets --- */

typedef unsigned __int128 wide;

static wide wide_of(const uint8_t addr[16])
{
	wide v = 0;

	for (size_t i = 0; i < 16; i++)
		v = v << 8 | addr[i];
	return v;
}

static void bytes_of(wide v, uint8_t ret[16])
{
	for (size_t i = 16; i-- > 0; v >>= 8)
		ret[i] = (uint8_t)v;
}

/* Any prefix of the policy, of this family; NULL: there is none. */
static const struct policy_prefix *any_prefix(const struct policy *p, uint8_t version)
{
	for (unsigned int tries = 0; tries < 8; tries++) {
		const struct policy_prefix *found = NULL;

		if (p->n_sets && draw(3) == 0) {
			const struct policy_set *s = &p->sets[draw((uint32_t)p->n_sets)];

			found = &s->v[draw((uint32_t)s->n)];
		} else if (p->n_items) {
			const struct policy_item *i = &p->items[draw((uint32_t)p->n_items)];

			found = i->set < 0 ? &i->prefix : NULL;
		}
		if (found && found->version == version)
			return found;
	}
	return NULL;
}

/* At the edges of a prefix, one beside them, somewhere in it, or anywhere. */
static void address(const struct policy *p, uint8_t version, uint8_t ret[16])
{
	const struct policy_prefix *x = draw(6) ? any_prefix(p, version) : NULL;
	unsigned int width = x ? x->len + (version == 4 ? 96U : 0U) : version == 4 ? 96 : 0;
	wide behind = width == 128 ? 0 : ~(wide)0 >> width, v, random = 0;
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};

	for (unsigned int i = 0; i < 8; i++)
		random = random << 16 | draw(65536);
	v = x ? wide_of(x->addr) : version == 4 ? wide_of(mapped) : 0;
	switch (draw(x ? 5 : 1)) {
	case 0:
		v |= random & behind;
		break;
	case 1:
		break;
	case 2:
		v |= behind;
		break;
	case 3:
		v -= 1;
		break;
	default:
		v = (v | behind) + 1;
	}
	if (version == 4) /* one beside the last is the first again */
		v = wide_of(mapped) | (v & UINT32_MAX);
	bytes_of(v, ret);
	if (version == 6 && memcmp(ret, mapped, 12) == 0)
		ret[0] = 0x20; /* not an address of IPv6 */
}

static uint16_t near_range(const struct policy *p)
{
	const struct policy_range *r;

	if (!p->n_ranges || draw(6) == 0)
		return (uint16_t)draw(65536);
	r = &p->ranges[draw((uint32_t)p->n_ranges)];
	switch (draw(5)) {
	case 0:
		return r->first;
	case 1:
		return r->last;
	case 2:
		return (uint16_t)(r->first - 1);
	case 3:
		return (uint16_t)(r->last + 1);
	default:
		return (uint16_t)(r->first + draw(r->last - r->first + 1U));
	}
}

/* What read_ip6 follows, or refuses, instead of taking it for the upper layer. */
static bool is_extension(uint8_t proto)
{
	static const uint8_t numbers[] = {0, 43, 44, 51, 60, 135, 139, 140, 253, 254};

	return memchr(numbers, proto, sizeof(numbers)) != NULL;
}

static uint8_t protocol(const struct policy *p, uint8_t version)
{
	static const uint8_t usual[] = {6, 6, 6, 17, 17, 1, 58, 132, 33, 136, 47, 50, 2, 51};
	uint8_t proto = usual[draw(sizeof(usual))];

	if (draw(8) == 0)
		proto = (uint8_t)draw(256);
	if (p->n_rules && draw(3) == 0) {
		const struct policy_rule *r = &p->rules[draw((uint32_t)p->n_rules)];

		if (r->n_protos)
			proto = r->protos[draw(r->n_protos)];
	}
	return version == 6 && is_extension(proto) ? 6 : proto;
}

static bool has_ports(uint8_t proto)
{
	static const uint8_t numbers[] = {6, 17, 33, 132, 136};

	return memchr(numbers, proto, sizeof(numbers)) != NULL;
}

void policies_draw_tuple(const struct policy *p, struct policy_tuple *t)
{
	*t = (struct policy_tuple){.direction = (uint8_t)draw(_SP_DIRECTIONS),
				   .subject = (uint8_t)draw(_SP_SUBJECTS),
				   .foreign = draw(4) == 0,
				   .version = draw(2) ? 4 : 6};
	t->proto = protocol(p, t->version);
	address(p, t->version, t->src);
	address(p, t->version, t->dst);
	if (has_ports(t->proto)) {
		t->sport = near_range(p);
		t->dport = near_range(p);
	}
	if (t->proto == (t->version == 4 ? 1 : 58)) {
		uint16_t type = near_range(p);

		t->icmp_type = (uint8_t)(type >> 8);
		t->icmp_code = (uint8_t)type;
	}
}

/* --- the same? --- */

static bool same_items(const struct policy *a, const struct policy_slice *x, const struct policy *b,
		       const struct policy_slice *y)
{
	if (x->n != y->n)
		return false;
	for (uint32_t i = 0; i < x->n; i++) {
		const struct policy_item *p = &a->items[x->at + i], *q = &b->items[y->at + i];

		if (p->set != q->set ||
		    (p->set < 0 && memcmp(&p->prefix, &q->prefix, sizeof(p->prefix)) != 0))
			return false;
	}
	return true;
}

static bool same_ranges(const struct policy *a, const struct policy_slice *x,
			const struct policy *b, const struct policy_slice *y)
{
	return x->n == y->n && (x->n == 0 || memcmp(&a->ranges[x->at], &b->ranges[y->at],
						    x->n * sizeof(*a->ranges)) == 0);
}

static bool same_rule(const struct policy *a, const struct policy_rule *x, const struct policy *b,
		      const struct policy_rule *y)
{
	return x->action == y->action && x->direction == y->direction && x->log == y->log &&
	       x->subjects == y->subjects && x->n_protos == y->n_protos &&
	       memcmp(x->protos, y->protos, x->n_protos) == 0 &&
	       same_items(a, &x->from, b, &y->from) && same_items(a, &x->to, b, &y->to) &&
	       same_ranges(a, &x->sport, b, &y->sport) && same_ranges(a, &x->dport, b, &y->dport) &&
	       same_ranges(a, &x->types, b, &y->types) && !x->comment == !y->comment &&
	       (!x->comment || strcmp(x->comment, y->comment) == 0);
}

static bool same_expect(const struct policy_expect *x, const struct policy_expect *y)
{
	return x->allow == y->allow && x->said == y->said && x->subject_said == y->subject_said &&
	       memcmp(&x->tuple, &y->tuple, sizeof(x->tuple)) == 0;
}

const char *policies_differ(const struct policy *a, const struct policy *b)
{
	if (memcmp(a->fallback, b->fallback, sizeof(a->fallback)) != 0 ||
	    memcmp(a->fallback_log, b->fallback_log, sizeof(a->fallback_log)) != 0)
		return "default";
	if (a->n_sets != b->n_sets || a->n_rules != b->n_rules || a->n_expects != b->n_expects)
		return "how many there are";
	for (size_t i = 0; i < a->n_sets; i++)
		if (strcmp(a->sets[i].name, b->sets[i].name) != 0 || a->sets[i].n != b->sets[i].n ||
		    memcmp(a->sets[i].v, b->sets[i].v, a->sets[i].n * sizeof(*a->sets[i].v)) != 0)
			return "set";
	for (size_t i = 0; i < a->n_rules; i++)
		if (!same_rule(a, &a->rules[i], b, &b->rules[i]))
			return "rule";
	for (size_t i = 0; i < a->n_expects; i++)
		if (!same_expect(&a->expects[i], &b->expects[i]))
			return "expectation";
	return NULL;
}
