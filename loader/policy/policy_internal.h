/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the policy share; nobody else includes it. */
#ifndef SALLYPORT_LOADER_POLICY_INTERNAL_H
#define SALLYPORT_LOADER_POLICY_INTERNAL_H

#include <stdio.h>

#include "policy.h"

/* IANA's numbers */
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_ICMP6 58

/* --- words.c --- */

/* A protocol's number by its name of SIZE bytes; -ENOENT. */
int proto_by_name(const char *name, size_t size);
/* NULL: it has none that the language knows. */
const char *proto_name(uint8_t proto);
bool proto_has_ports(uint8_t proto);

/* ICMP types, and codes that have a name, by protocol. -ENOENT. */
int icmp_by_name(uint8_t proto, const char *name, size_t size, struct policy_range *ret);
const char *icmp_name(uint8_t proto, const struct policy_range *range);
/* Neighbor discovery: the guards judge it, and rules never see it. */
bool icmp_is_guarded(uint8_t proto, uint8_t type);

/* Words that mean something where a set's name could stand. */
bool word_is_reserved(const char *word, size_t size);

extern const char *const subject_names[_SP_SUBJECTS];

/* --- lex.c --- */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_COMMA, TOKEN_STRING };

struct token {
	enum token_kind kind;
	const char *text; /* of a string: what is between the quotes, escapes and all */
	size_t size;
	unsigned int column;
};

struct parser {
	struct policy *policy;
	struct policy_errors *errors;
	const char *line, *at, *end; /* of the line that is read; `at` is behind the token */
	unsigned int number;	     /* of the line */
	struct token token;	     /* the one that is looked at */
	size_t n_prefixes;	     /* of all sets */
	unsigned int default_line[_SP_DIRECTIONS];
	bool out_of_memory;
};

/* Look at the next token. -EINVAL: it is none, and the mistake is noted. */
int parser_next(struct parser *p);
bool token_is(const struct token *t, const char *word);
/* -EINVAL, with the mistake noted: at the token, "'TEXT': expected EXPECTED". */
int parser_expected(struct parser *p, const char *expected);
/* The same at another column, in words of one's own. */
int parser_mistake(struct parser *p, unsigned int column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The line must end here. */
int parser_end(struct parser *p);
/* Begin a line. -EINVAL: it is too long, or not text. */
int parser_line(struct parser *p, const char *line, size_t size);

/* --- parse_values.c: lists. The parser stands on the first item, then behind the last. --- */

int parse_prefix(struct parser *p, struct policy_prefix *ret);
/* Addresses and sets, into policy->items. */
int parse_items(struct parser *p, struct policy_slice *ret);
/* Ports, into policy->ranges. */
int parse_ports(struct parser *p, struct policy_slice *ret);
/* ICMP types of PROTO, into policy->ranges. */
int parse_types(struct parser *p, uint8_t proto, struct policy_slice *ret);
/* Protocols; BARE: names only. */
int parse_protos(struct parser *p, bool bare, struct policy_rule *rule);
int parse_subjects(struct parser *p, uint8_t *ret);
/* A string, into memory of its own. */
int parse_comment(struct parser *p, char **ret);

/* --- parse_rule.c --- */

/* Where each clause stands; 0: it is not there. */
enum clause {
	CLAUSE_PROTO,
	CLAUSE_FROM,
	CLAUSE_TO,
	CLAUSE_SPORT,
	CLAUSE_DPORT,
	CLAUSE_TYPE,
	CLAUSE_STATE,
	CLAUSE_LOG,
	CLAUSE_COMMENT,
	_CLAUSES,
};

/* From the direction to the end of the line. */
int parse_rule(struct parser *p, enum sp_action action);
int parse_expect(struct parser *p);

/* Room for one more in an array that grows. NULL: out of memory, which P notes. */
void *parser_grow(struct parser *p, void *array, size_t n, size_t size);

/* --- print.c --- */

void print_prefix(FILE *f, const struct policy_prefix *prefix);

/* --- match.c --- */

bool prefix_has(const struct policy_prefix *prefix, uint8_t version, const uint8_t addr[16]);
bool ranges_have(const struct policy *p, const struct policy_slice *s, uint16_t v);
bool items_have(const struct policy *p, const struct policy_slice *s, uint8_t version,
		const uint8_t addr[16]);
uint8_t rule_subjects(const struct policy_rule *rule);
/* Protocol and family: ICMP is of IPv4 alone, ICMPv6 of IPv6. */
bool rule_has_proto(const struct policy_rule *rule, uint8_t version, uint8_t proto);
/* What the default makes of it. */
void match_fallback(const struct policy *p, const struct policy_tuple *t,
		    struct policy_verdict *ret);

/* --- ranges.c, tree.c: compiling --- */

typedef unsigned __int128 policy_key;

/* A dimension of one section while it is built: in which ranges of keys which rules match. */
struct event {
	policy_key at; /* where the rule begins to match, or ceases to */
	uint16_t rule;
};

struct bits {
	uint64_t w[(SP_RULES_MAX + 63) / 64];
};

static inline void bits_set(struct bits *b, unsigned int i)
{
	b->w[i / 64] |= 1ULL << (i % 64);
}

static inline void bits_flip(struct bits *b, unsigned int i)
{
	b->w[i / 64] ^= 1ULL << (i % 64);
}

static inline bool bits_have(const struct bits *b, unsigned int i)
{
	return b->w[i / 64] >> (i % 64) & 1;
}

struct key_range {
	policy_key first, last;
};

/* The ranges of one rule in one dimension, before they are joined. */
struct key_ranges {
	struct key_range *v;
	size_t n, room;
};

struct compiler {
	const struct policy *policy;
	struct policy_rows rows;
	size_t room;
	uint8_t *kinds;	   /* of the rows */
	uint16_t *vectors; /* hash table of rows: vectors that there are */
	size_t n_vectors, vector_room;
	char *error;
};

int compile_fail(struct compiler *c, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A new row; its index, or a negative errno. */
int compile_row(struct compiler *c, enum sp_row_kind kind);
/* The row of this vector: its index. */
int compile_vector(struct compiler *c, const struct bits *bits);

int ranges_add(struct key_ranges *r, policy_key first, policy_key last);
/* In order, those that touch joined. */
void ranges_join(struct key_ranges *r);
void ranges_free(struct key_ranges *r);

/* What is the same from one start to the next: which child is there? */
struct span {
	policy_key start;
	uint16_t child;
};

struct dimension {
	struct bits always; /* rules that do not ask for it */
	struct event *events;
	size_t n_events, room;
	bool asked; /* by any rule */
};

/* RANGES are joined; HIGHEST: the highest key that there is. */
int dimension_add(struct compiler *c, struct dimension *d, uint16_t rule, policy_key highest,
		  const struct key_ranges *ranges);
void dimension_free(struct dimension *d);
/* The dimension's tree: the row where it begins; 0 where no rule asks for it. WIDE: 128-bit keys.
 */
int dimension_build(struct compiler *c, struct dimension *d, bool wide);

/* A tree over the spans, the first of which starts at 0: its root. */
int tree_build(struct compiler *c, struct span *spans, size_t n, bool wide);

#endif
