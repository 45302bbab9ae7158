/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, ports, types, protocols: what stands behind the words of a rule, one or a list. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

/* --- numbers --- */

/* Digits, no more than a number of MAX has, and no 0 before them. -EINVAL. */
static int parse_number(const char *text, size_t size, unsigned int max, unsigned int *ret)
{
	unsigned int v = 0;

	if (size == 0 || size > 5 || (size > 1 && text[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		v = v * 10 + (unsigned int)(text[i] - '0');
	}
	if (v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* N or N-M. */
static int parse_range(const char *text, size_t size, unsigned int max, struct policy_range *ret)
{
	const char *dash = memchr(text, '-', size);
	size_t n = dash ? (size_t)(dash - text) : size;
	unsigned int first, last;

	if (parse_number(text, n, max, &first) < 0)
		return -EINVAL;
	last = first;
	if (dash && parse_number(dash + 1, size - n - 1, max, &last) < 0)
		return -EINVAL;
	if (first > last)
		return -EINVAL;
	*ret = (struct policy_range){(uint16_t)first, (uint16_t)last};
	return 0;
}

/* --- lists --- */

void *parser_grow(struct parser *p, void *array, size_t n, size_t size)
{
	void *grown = array;

	/* Grown at powers of two, which the number itself tells. */
	if ((n & (n - 1)) == 0)
		grown = reallocarray(array, n ? 2 * n : 1, size);
	if (!grown)
		p->out_of_memory = true;
	return grown;
}

/* Behind an item: is there another? 1, and the parser stands on it; 0; -EINVAL. */
static int more(struct parser *p, size_t n)
{
	int r = parser_next(p);

	if (r < 0)
		return r;
	if (p->token.kind != TOKEN_COMMA)
		return 0;
	if (n == POLICY_LIST_MAX)
		return parser_mistake(p, p->token.column,
				      "more than %d of them in a list: expected fewer; make a set, "
				      "or two rules",
				      POLICY_LIST_MAX);
	r = parser_next(p);
	return r < 0 ? r : 1;
}

/* --- addresses --- */

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

static const char prefix_words[] =
	"an IPv4 or IPv6 address or prefix, as 192.0.2.0/24 or 2001:db8::1";

/* Bits behind the prefix are a slip that would be silent otherwise. */
static int check_host_bits(struct parser *p, const struct policy_prefix *prefix)
{
	unsigned int len = prefix->len + (prefix->version == 4 ? 96U : 0U);
	char text[INET6_ADDRSTRLEN];
	uint8_t addr[16];
	bool v4 = prefix->version == 4;

	memcpy(addr, prefix->addr, sizeof(addr));
	for (unsigned int i = len; i < 128; i++)
		addr[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
	if (memcmp(addr, prefix->addr, sizeof(addr)) == 0)
		return 0;
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, text, sizeof(text));
	return parser_mistake(p, p->token.column,
			      "'%.*s': bits are set behind the prefix: expected %s/%u",
			      (int)p->token.size, p->token.text, text, prefix->len);
}

int parse_prefix(struct parser *p, struct policy_prefix *ret)
{
	const struct token *t = &p->token;
	const char *slash = t->kind == TOKEN_WORD ? memchr(t->text, '/', t->size) : NULL;
	size_t n = slash ? (size_t)(slash - t->text) : t->size;
	struct policy_prefix prefix = {0};
	char text[INET6_ADDRSTRLEN] = "";
	unsigned int len;

	if (t->kind != TOKEN_WORD || n >= sizeof(text))
		return parser_expected(p, prefix_words);
	memcpy(text, t->text, n);
	prefix.version = memchr(text, ':', n) ? 6 : 4;
	memcpy(prefix.addr, v4_mapped, sizeof(v4_mapped));
	if (prefix.version == 4 ? inet_pton(AF_INET, text, prefix.addr + 12) != 1
				: inet_pton(AF_INET6, text, prefix.addr) != 1)
		return parser_expected(p, prefix_words);
	if (prefix.version == 6 && memcmp(prefix.addr, v4_mapped, sizeof(v4_mapped)) == 0)
		return parser_expected(p, "an IPv4 address written as one");
	len = prefix.version == 4 ? 32 : 128;
	if (slash && parse_number(slash + 1, t->size - n - 1, len, &len) < 0)
		return parser_expected(p, prefix.version == 4 ? "a prefix length from 0 to 32"
							      : "a prefix length from 0 to 128");
	prefix.len = (uint8_t)len;
	if (check_host_bits(p, &prefix) < 0)
		return -EINVAL;
	*ret = prefix;
	return 0;
}

/* A letter begins a set's name; an address may begin with one too, but then it has a colon. */
static bool looks_like_name(const struct token *t)
{
	char c = t->kind == TOKEN_WORD ? t->text[0] : '\0';

	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) && !memchr(t->text, ':', t->size);
}

static int parse_set_name(struct parser *p, struct policy_item *ret)
{
	const struct policy *policy = p->policy;

	for (size_t i = 0; i < policy->n_sets; i++)
		if (token_is(&p->token, policy->sets[i].name)) {
			if (!policy->sets[i].n)
				return parser_expected(p, "a set whose line has no mistake");
			*ret = (struct policy_item){.set = (int32_t)i};
			return 0;
		}
	return parser_expected(p, word_is_reserved(p->token.text, p->token.size)
					  ? "an address, a prefix or the name of a set"
					  : "the name of a set that a line above defines, or an "
					    "address or prefix");
}

static int parse_item(struct parser *p, struct policy_slice *s)
{
	struct policy *policy = p->policy;
	struct policy_item item = {.set = -1}, *items;
	int r;

	r = looks_like_name(&p->token) ? parse_set_name(p, &item) : parse_prefix(p, &item.prefix);
	if (r < 0)
		return r;
	items = parser_grow(p, policy->items, policy->n_items, sizeof(*items));
	if (!items)
		return -ENOMEM;
	policy->items = items;
	items[policy->n_items++] = item;
	s->n++;
	return 0;
}

int parse_items(struct parser *p, struct policy_slice *ret)
{
	struct policy_slice s = {.at = (uint32_t)p->policy->n_items};
	int r;

	if (token_is(&p->token, "any")) /* which is what saying nothing means */
		return parser_next(p);
	do {
		r = parse_item(p, &s);
		r = r < 0 ? r : more(p, s.n);
	} while (r > 0);
	if (r == 0)
		*ret = s;
	return r;
}

/* --- ports and types --- */

static int add_range(struct parser *p, struct policy_slice *s, const struct policy_range *range)
{
	struct policy *policy = p->policy;
	struct policy_range *ranges =
		parser_grow(p, policy->ranges, policy->n_ranges, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	policy->ranges = ranges;
	ranges[policy->n_ranges++] = *range;
	s->n++;
	return 0;
}

int parse_ports(struct parser *p, struct policy_slice *ret)
{
	struct policy_slice s = {.at = (uint32_t)p->policy->n_ranges};
	int r;

	do {
		struct policy_range range;

		if (p->token.kind != TOKEN_WORD ||
		    parse_range(p->token.text, p->token.size, UINT16_MAX, &range) < 0)
			return parser_expected(p,
					       "a port from 0 to 65535, or a range as 8000-8080");
		r = add_range(p, &s, &range);
		r = r < 0 ? r : more(p, s.n);
	} while (r > 0);
	if (r == 0)
		*ret = s;
	return r;
}

/* NAME, TYPE, TYPE/CODE, TYPE/CODE-CODE */
static int parse_type(struct parser *p, uint8_t proto, struct policy_range *ret)
{
	const struct token *t = &p->token;
	const char *slash = t->kind == TOKEN_WORD ? memchr(t->text, '/', t->size) : NULL;
	size_t n = slash ? (size_t)(slash - t->text) : t->size;
	struct policy_range codes = {0, 0xff};
	unsigned int type;

	if (t->kind != TOKEN_WORD)
		return -EINVAL;
	if (!slash && icmp_by_name(proto, t->text, t->size, ret) == 0)
		return 0;
	if (parse_number(t->text, n, 0xff, &type) < 0) {
		struct policy_range named;

		if (icmp_by_name(proto, t->text, n, &named) < 0 || named.first == named.last)
			return -EINVAL;
		type = named.first >> 8;
	}
	if (slash && parse_range(slash + 1, t->size - n - 1, 0xff, &codes) < 0)
		return -EINVAL;
	ret->first = (uint16_t)(type << 8 | codes.first);
	ret->last = (uint16_t)(type << 8 | codes.last);
	return 0;
}

int parse_types(struct parser *p, uint8_t proto, struct policy_slice *ret)
{
	struct policy_slice s = {.at = (uint32_t)p->policy->n_ranges};
	int r;

	do {
		struct policy_range range;

		if (parse_type(p, proto, &range) < 0)
			return parser_expected(p, "an ICMP type as echo-request, 8, or with a code "
						  "3/4");
		if (icmp_is_guarded(proto, (uint8_t)(range.first >> 8)))
			return parser_expected(p, "a type that rules judge: neighbor discovery is "
						  "the guards' business, whatever rules say");
		r = add_range(p, &s, &range);
		r = r < 0 ? r : more(p, s.n);
	} while (r > 0);
	if (r == 0)
		*ret = s;
	return r;
}

/* --- protocols, state, comment --- */

static int parse_proto(struct parser *p, bool bare)
{
	const struct token *t = &p->token;
	unsigned int number;
	int r = t->kind == TOKEN_WORD ? proto_by_name(t->text, t->size) : -ENOENT;

	if (r >= 0)
		return r;
	if (!bare && t->kind == TOKEN_WORD && parse_number(t->text, t->size, 0xff, &number) == 0)
		return (int)number;
	return parser_expected(p,
			       bare ? "a protocol as tcp or udp; others by their number: proto 99"
				    : "a protocol's number from 0 to 255, or its name");
}

int parse_protos(struct parser *p, bool bare, struct policy_rule *rule)
{
	int r;

	do {
		int proto = parse_proto(p, bare);

		if (proto < 0)
			return proto;
		if (memchr(rule->protos, proto, rule->n_protos))
			return parser_expected(p, "each protocol once");
		if (rule->n_protos == POLICY_PROTOS_MAX)
			return parser_expected(p, "at most 8 protocols in a rule");
		rule->protos[rule->n_protos++] = (uint8_t)proto;
		r = more(p, rule->n_protos);
	} while (r > 0);
	return r;
}

int parse_subjects(struct parser *p, uint8_t *ret)
{
	uint8_t subjects = 0;
	int r;

	do {
		unsigned int i = 0;

		while (i < _SP_SUBJECTS && !token_is(&p->token, subject_names[i]))
			i++;
		if (i == _SP_SUBJECTS)
			return parser_expected(p, "new, related or group");
		if (subjects & POLICY_SUBJECT(i))
			return parser_expected(p, "each state once");
		subjects |= (uint8_t)POLICY_SUBJECT(i);
		r = more(p, i);
	} while (r > 0);
	if (r == 0)
		*ret = subjects;
	return r;
}

int parse_comment(struct parser *p, char **ret)
{
	const struct token *t = &p->token;
	size_t n = 0;
	char *text;

	if (t->kind != TOKEN_STRING)
		return parser_expected(p, "a text in quotes");
	text = malloc(t->size + 1);
	if (!text) {
		p->out_of_memory = true;
		return -ENOMEM;
	}
	for (size_t i = 0; i < t->size; i++) {
		if (t->text[i] == '\\')
			i++; /* the lexer saw that something follows */
		text[n++] = t->text[i];
	}
	text[n] = '\0';
	if (n >= POLICY_COMMENT_MAX) {
		free(text);
		return parser_mistake(p, t->column, "a comment of %zu bytes: expected at most %d",
				      n, POLICY_COMMENT_MAX - 1);
	}
	free(*ret);
	*ret = text;
	return parser_next(p);
}
