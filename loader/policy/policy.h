/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's rules: their text, what it says, what becomes of a packet by it, and the rows that
 * the programs read (include/sallyport/abi.h, "policies"). sallyport-policy(5) has the language.
 *
 * Nothing here knows a daemon, a map or a file: the command uses it as well. Nothing logs.
 */
#ifndef SALLYPORT_LOADER_POLICY_H
#define SALLYPORT_LOADER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/abi.h"
#include "sallyport/limits.h"

/* Bounds of a text, and of what is in it. Each is an error with words. */
#define POLICY_TEXT_MAX SP_POLICY_MAX /* bytes */
#define POLICY_LINE_MAX 2048	      /* bytes of a line */
#define POLICY_RULES_MAX SP_RULES_MAX
#define POLICY_SETS_MAX 256
#define POLICY_PREFIXES_MAX 16384 /* of all sets together */
#define POLICY_EXPECTS_MAX 1000
#define POLICY_LIST_MAX 64  /* of a list in a rule */
#define POLICY_PROTOS_MAX 8 /* protocols of a rule */
#define POLICY_NAME_MAX 32  /* of a set, its NUL included */
#define POLICY_COMMENT_MAX 128
#define POLICY_ERRORS_MAX 20
#define POLICY_RANGES_MAX 262144 /* of one dimension, all rules together: compiling */

/* --- what a text says --- */

struct policy_prefix {
	uint8_t version;  /* 4, 6 */
	uint8_t len;	  /* 0 to 32, 0 to 128 */
	uint8_t addr[16]; /* network order, IPv4 as ::ffff:a.b.c.d; no bit set behind len */
};

struct policy_set {
	char name[POLICY_NAME_MAX];
	struct policy_prefix *v;
	size_t n; /* at least one */
};

/* Where a rule says from or to: a set, or a prefix. */
struct policy_item {
	int32_t set; /* its place in policy.sets; -1: the prefix */
	struct policy_prefix prefix;
};

/* Ports; or of ICMP, type << 8 | code. Both ends belong to it. */
struct policy_range {
	uint16_t first, last;
};

/* A part of policy.items or policy.ranges. */
struct policy_slice {
	uint32_t at, n;
};

#define POLICY_SUBJECT(s) (1U << (s)) /* of enum sp_subject */
#define POLICY_USUAL_SUBJECTS (POLICY_SUBJECT(SP_SUBJECT_NEW) | POLICY_SUBJECT(SP_SUBJECT_GROUP))

struct policy_rule {
	unsigned int line;
	uint8_t action;	   /* enum sp_action */
	uint8_t direction; /* enum sp_direction */
	bool log;
	uint8_t subjects; /* POLICY_SUBJECT; 0: nothing was said, which is POLICY_USUAL_SUBJECTS */
	uint8_t n_protos; /* 0: any */
	uint8_t protos[POLICY_PROTOS_MAX];
	struct policy_slice from, to;		 /* of items; n 0: any */
	struct policy_slice sport, dport, types; /* of ranges; n 0: any */
	char *comment;				 /* NULL: none */
};

/* --- a packet, as rules see it --- */

struct policy_tuple {
	uint8_t direction; /* enum sp_direction: as the machine sees it */
	uint8_t subject;   /* enum sp_subject */
	bool foreign;	   /* it comes from another segment */
	uint8_t version;   /* 4, 6 */
	uint8_t proto;
	uint8_t icmp_type, icmp_code;
	uint16_t sport, dport;	  /* host byte order; 0 where the protocol has none */
	uint8_t src[16], dst[16]; /* as in struct policy_prefix */
};

/* "expect allow in tcp from 192.0.2.7 dport 22": what was said of the packet. */
#define POLICY_SAID_VERSION 0x1
#define POLICY_SAID_FROM 0x2
#define POLICY_SAID_TO 0x4
#define POLICY_SAID_SPORT 0x8
#define POLICY_SAID_DPORT 0x10
#define POLICY_SAID_TYPE 0x20

struct policy_expect {
	unsigned int line;
	bool allow;
	unsigned int said; /* POLICY_SAID_* */
	bool subject_said;
	struct policy_tuple tuple;
};

struct policy {
	uint8_t fallback[_SP_DIRECTIONS]; /* enum sp_action: where no rule matches */
	bool fallback_log[_SP_DIRECTIONS];
	struct policy_set *sets;
	size_t n_sets;
	struct policy_rule *rules;
	size_t n_rules;
	struct policy_expect *expects;
	size_t n_expects;
	struct policy_item *items;
	size_t n_items;
	struct policy_range *ranges;
	size_t n_ranges;
};

/* --- reading and writing --- */

struct policy_error {
	unsigned int line, column; /* from 1; a column is a character */
	char text[200];		   /* "'foo': expected in or out" */
};

struct policy_errors {
	size_t n; /* at most POLICY_ERRORS_MAX are kept */
	bool more;
	struct policy_error v[POLICY_ERRORS_MAX];
};

/*
 * Read TEXT, which need not end in NUL. -EINVAL: ERRORS has each mistake, by lines. -ENOMEM. On
 * failure *ret is not touched; ERRORS (may be NULL) is set either way.
 */
int policy_parse(const char *text, size_t size, struct policy **ret, struct policy_errors *errors);
void policy_free(struct policy *p);
void policy_freep(struct policy **p);

/*
 * The one way to write it, without comments that are no rule's; to be freed, NULL: out of memory.
 * What is read from that says the same as P.
 */
char *policy_print(const struct policy *p);
/* One rule on a line of its own, without the newline. */
char *policy_print_rule(const struct policy *p, const struct policy_rule *rule);
/* The same less log and comment: what it does. Rules with the same text are the same rule. */
char *policy_print_rule_core(const struct policy *p, const struct policy_rule *rule);

const char *policy_action_name(unsigned int action);	   /* "accept" */
const char *policy_direction_name(unsigned int direction); /* "in" */

/*
 * What tells each rule from the others, in RET, n_rules of them: the same for a rule that stays the
 * same in another policy. -ENOMEM.
 */
int policy_identities(const struct policy *p, uint64_t *ret);

/* --- judging, by walking the rules from the first on: the reference --- */

struct policy_verdict {
	uint8_t action; /* SP_ACCEPT, SP_DROP, SP_REJECT */
	bool log;
	unsigned int rule; /* its number, from 1; 0: the default */
};

void policy_match(const struct policy *p, const struct policy_tuple *t, struct policy_verdict *ret);

/* Would it be let pass? For flows that there are, when their policy is another now. */
bool policy_allows(const struct policy *p, const struct policy_tuple *t);

/* Does NEXT lack a rule that accepts, or a default that does, which NOW has? */
bool policy_takes_away(const struct policy *now, const struct policy *next);

/*
 * Are P's expectations met? REPORT (may be NULL) is told of each that is not: the line that it is
 * in, and a sentence. Returns how many.
 */
size_t policy_test(const struct policy *p,
		   void (*report)(unsigned int line, const char *sentence, void *arg), void *arg);

/* --- compiling --- */

struct policy_rows {
	struct sp_row *v; /* v[0] is the head */
	size_t n;
};

/* Of a text: tells policies apart, and how they were compiled. */
uint64_t policy_digest(const char *text, size_t size);

/* Make a row whole (abi.h, SP_ROW_SUM), when anything in it was changed. */
void policy_seal(struct sp_row *row, uint64_t digest, enum sp_row_kind kind);

/*
 * The rows of P, whole. Counters are 0: whoever puts them into a map fills them in. -E2BIG: more
 * ranges or rows than there may be; ERROR has which. -ENOMEM.
 */
int policy_compile(const struct policy *p, uint64_t generation, uint64_t digest,
		   struct policy_rows *ret, char error[200]);
void policy_rows_free(struct policy_rows *rows);
/* What is in force where nobody has said anything. */
extern const char policy_builtin[];

#endif
