// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is a policy read as what it says, written so that it is read as the same, judged by as it says,
 * and everything else refused with line, column and what was expected?
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "loader/policy/policy.h"
#include "selftests/harness/draw.h"
#include "selftests/harness/policies.h"

static const char defaults[] = "default in segment\ndefault out accept\n";

static struct policy *parse(const char *text)
{
	struct policy_errors errors;
	struct policy *p = NULL;
	int r = policy_parse(text, strlen(text), &p, &errors);

	if (r < 0)
		fail_msg("%s: line %u, column %u: %s\n%s", strerror(-r), errors.v[0].line,
			 errors.v[0].column, errors.v[0].text, text);
	return p;
}

/* --- what is taken, and how it is written --- */

static void test_good(void **state)
{
	static const struct {
		const char *in, *out; /* of one line; out NULL: as it was */
	} table[] = {
		{"accept in", NULL},
		{"drop out", NULL},
		{"reject in tcp", NULL},
		{"accept in proto 6", "accept in tcp"},
		{"accept in proto tcp,17", "accept in tcp,udp"},
		{"accept in proto 99", NULL},
		{"accept in proto tcp,99", NULL},
		{"accept in tcp, udp", "accept in tcp,udp"},
		{"accept in icmp", NULL},
		{"accept in icmpv6", NULL},
		{"accept in sctp", NULL},
		{"accept in from any to any", "accept in"},
		{"accept in from 192.0.2.1", NULL},
		{"accept in from 192.0.2.1/32", "accept in from 192.0.2.1"},
		{"accept in from 0.0.0.0/0", NULL},
		{"accept in from ::/0", NULL},
		{"accept in from 2001:DB8:0::/32", "accept in from 2001:db8::/32"},
		{"accept in from 2001:db8::1/128", "accept in from 2001:db8::1"},
		{"accept in from 192.0.2.0/24, 2001:db8::/32 to 198.51.100.1",
		 "accept in from 192.0.2.0/24,2001:db8::/32 to 198.51.100.1"},
		{"accept in tcp dport 22", NULL},
		{"accept in tcp dport 0-65535", NULL},
		{"accept in tcp dport 80-80", "accept in tcp dport 80"},
		{"accept in tcp dport 22,80 , 8000-8080", "accept in tcp dport 22,80,8000-8080"},
		{"accept in tcp sport 1024-65535 dport 22", NULL},
		{"accept in dport 22 tcp", "accept in tcp dport 22"},
		{"accept in to 192.0.2.1 dport 22 sport 1 from 192.0.2.2 tcp",
		 "accept in tcp from 192.0.2.2 sport 1 to 192.0.2.1 dport 22"},
		{"accept in icmp type echo-request", NULL},
		{"accept in icmp type 8", "accept in icmp type echo-request"},
		{"accept in icmp type 3/4", "accept in icmp type fragmentation-needed"},
		{"accept in icmp type destination-unreachable/4",
		 "accept in icmp type fragmentation-needed"},
		{"accept in icmp type 3/5-7,99,0", "accept in icmp type 3/5-7,99,echo-reply"},
		{"accept in icmp type 3/0-255", "accept in icmp type destination-unreachable"},
		{"accept in icmpv6 type packet-too-big,128", "accept in icmpv6 type "
							     "packet-too-big,echo-request"},
		{"accept in icmp state related", NULL},
		{"accept in state related", NULL},
		{"accept out state group , new", "accept out state new,group"},
		{"accept in log", NULL},
		{"accept in comment \"\"", NULL},
		{"accept in log comment \"a \\\"b\\\" \\\\ c # d\"", NULL},
		{"accept in comment \"caf\xc3\xa9\" log", "accept in log comment \"caf\xc3\xa9\""},
		{"  \taccept\tin # and why", "accept in"},
		{"accept in tcp\r", "accept in tcp"},
		{"expect allow in tcp from 192.0.2.1 sport 1 to 192.0.2.2 dport 22", NULL},
		{"expect deny out icmpv6 type 1/4 state related",
		 "expect deny out icmpv6 type port-unreachable state related"},
		{"expect deny in icmp type 3", "expect deny in icmp type network-unreachable"},
		{"expect allow in proto 99", NULL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		const char *want = table[i].out ? table[i].out : table[i].in;
		_cleanup_(policy_freep) struct policy *p = parse(table[i].in);
		_cleanup_free_
		char *text = policy_print(p);
		char expected[256];

		snprintf(expected, sizeof(expected), "%s\n%s\n", defaults, want);
		assert_string_equal(text, expected);
	}
}

static void test_defaults(void **state)
{
	static const char *const same[] = {
		"default in segment\ndefault out accept\n",
		"default in drop\ndefault out drop\n",
		"default in drop log\ndefault out accept log\n",
	};
	_cleanup_(policy_freep) struct policy *none = parse("\n# nothing\n\n");
	_cleanup_free_
	char *text = policy_print(none);

	assert_string_equal(text, policy_builtin);
	assert_string_equal(text, same[0]);
	for (size_t i = 0; i < SP_ARRAY_SIZE(same); i++) {
		_cleanup_(policy_freep) struct policy *p = parse(same[i]);
		_cleanup_free_
		char *again = policy_print(p);

		assert_string_equal(again, same[i]);
	}
}

/* Lines of a set add to it; a long one goes on in the next line. */
static void test_sets(void **state)
{
	static const char text[] = "set a 192.0.2.1\nset b 10.0.0.0/8\naccept in from a,b\n"
				   "set a 2001:db8::/32, 192.0.2.9\n";
	static const char want[] = "set a 192.0.2.1, 2001:db8::/32, 192.0.2.9\nset b 10.0.0.0/8\n";
	_cleanup_(policy_freep) struct policy *p = parse(text), *q = NULL;
	_cleanup_free_
	char *out = policy_print(p);
	char big[4096] = "set big 10.0.0.0";
	_cleanup_free_
	char *wrapped = NULL;

	assert_non_null(strstr(out, want));
	assert_non_null(strstr(out, "accept in from a,b\n"));
	for (int i = 1; i < 100; i++)
		snprintf(big + strlen(big), sizeof(big) - strlen(big), ", 10.0.%d.255", i);
	policy_free(p);
	p = parse(big);
	assert_int_equal(p->sets[0].n, 100);
	wrapped = policy_print(p);
	for (const char *line = wrapped; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
	q = parse(wrapped);
	assert_null(policies_differ(p, q));
}

/* --- what is refused --- */

struct mistake {
	const char *text;
	unsigned int line, column;
	const char *says; /* some of it */
};

static const struct mistake mistakes[] = {
	{"allow in", 1, 1, "'allow': expected accept, drop, reject, default, set or expect"},
	{"\n\naccept", 3, 7, "the line ends: expected in (to the machine) or out"},
	{"accept inn", 1, 8, "'inn': expected in"},
	{"accept in tpc", 1, 11, "'tpc': expected a protocol, from, to"},
	{"accept in tcp dport", 1, 20, "the line ends: expected a port from 0 to 65535"},
	{"accept in tcp dport 65536", 1, 21, "'65536': expected a port from 0 to 65535"},
	{"accept in tcp dport 022", 1, 21, "'022': expected a port"},
	{"accept in tcp dport 9-3", 1, 21, "'9-3': expected a port"},
	{"accept in tcp dport 1-", 1, 21, "'1-': expected a port"},
	{"accept in tcp dport -1", 1, 21, "'-1': expected a port"},
	{"accept in tcp dport 1,", 1, 23, "the line ends: expected a port"},
	{"accept in tcp dport 1,,2", 1, 23, "',': expected a port"},
	{"accept in tcp dport http", 1, 21, "'http': expected a port"},
	{"accept in tcp port 22", 1, 15, "'port': expected dport (the port that it goes to)"},
	{"accept in dport 22", 1, 11, "a port: expected a protocol that has ports"},
	{"accept in icmp dport 22", 1, 16, "a port: expected a protocol that has ports"},
	{"accept in tcp,gre sport 22", 1, 19, "a port: expected a protocol that has ports"},
	{"accept in tcp udp", 1, 15, "'udp': given before, at column 11"},
	{"accept in tcp,tcp", 1, 15, "'tcp': expected each protocol once"},
	{"accept in log log", 1, 15, "'log': given before, at column 11"},
	{"accept in tcp,47", 1, 15, "'47': expected a protocol as tcp or udp"},
	{"accept in proto 256", 1, 17, "'256': expected a protocol's number from 0 to 255"},
	{"accept in proto 1,2,3,4,5,6,7,8,9", 1, 33, "'9': expected at most 8 protocols"},
	{"accept in from", 1, 15, "the line ends: expected an IPv4 or IPv6 address or prefix"},
	{"accept in from 192.0.2", 1, 16, "'192.0.2': expected an IPv4 or IPv6"},
	{"accept in from 192.0.2.256", 1, 16, "'192.0.2.256': expected an IPv4"},
	{"accept in from 192.0.2.1/33", 1, 16, "expected a prefix length from 0 to 32"},
	{"accept in from 192.0.2.1/24", 1, 16,
	 "bits are set behind the prefix: expected 192.0.2.0/24"},
	{"accept in from 2001:db8::1/64", 1, 16,
	 "bits are set behind the prefix: expected 2001:db8::/64"},
	{"accept in from 2001:db8::/129", 1, 16, "expected a prefix length from 0 to 128"},
	{"accept in from ::ffff:192.0.2.1", 1, 16, "expected an IPv4 address written as one"},
	{"accept in from fe80::1%eth0", 1, 16, "'fe80::1%eth0': expected an IPv4"},
	{"accept in from office", 1, 16, "'office': expected the name of a set that a line above"},
	{"accept in from tcp", 1, 16, "'tcp': expected an address, a prefix or the name of a set"},
	{"accept in from 192.0.2.1 to 2001:db8::1", 1, 26,
	 "'to': expected addresses of the family"},
	{"accept in icmpv6 from 192.0.2.1", 1, 18, "expected IPv6 addresses: icmpv6 is of that"},
	{"accept in icmp to ::1", 1, 16, "expected IPv4 addresses: icmp is of that family"},
	{"accept in type 8", 1, 11, "'type': expected icmp or icmpv6, and no other protocol"},
	{"accept in tcp type 8", 1, 15, "'type': expected icmp or icmpv6"},
	{"accept in icmp type ping", 1, 21, "'ping': expected an ICMP type"},
	{"accept in icmp type 256", 1, 21, "'256': expected an ICMP type"},
	{"accept in icmp type 3/256", 1, 21, "'3/256': expected an ICMP type"},
	{"accept in icmp type fragmentation-needed/1", 1, 21, "expected an ICMP type"},
	{"accept in icmpv6 type nd-neighbor-solicit", 1, 23, "neighbor discovery is the guards'"},
	{"accept in icmpv6 type 134", 1, 23, "neighbor discovery is the guards'"},
	{"accept in state established", 1, 17, "'established': expected new, related or group"},
	{"accept in state new,new", 1, 21, "'new': expected each state once"},
	{"accept in tcp state related", 1, 15, "'state': expected icmp, icmpv6 or no protocol"},
	{"accept in comment web", 1, 19, "'web': expected a text in quotes"},
	{"accept in comment \"web", 1, 19, "a text in quotes has no end"},
	{"accept in comment \"a\\b\"", 1, 21, "a backslash: expected"},
	{"accept in comment \"a\\", 1, 21, "a backslash: expected"},
	{"accept in \"tcp\"", 1, 11, "a text in quotes: expected a protocol"},
	{"accept in tcp;", 1, 11, "'tcp;': expected a protocol"},
	{"accept in\x01", 1, 10, "byte 0x01: expected text in UTF-8"},
	{"accept in \xff", 1, 11, "byte 0xff: expected text in UTF-8"},
	{"# \xc2\x80", 1, 3, "byte 0xc2: expected text in UTF-8"},
	{"# \xed\xa0\x80", 1, 3, "byte 0xed: expected text in UTF-8"},
	{"accept in comment \"\xc3\xa9\" foo", 1, 23, "'foo': expected a protocol"},
	{"default", 1, 8, "the line ends: expected in or out"},
	{"default in accept", 1, 12, "'accept': expected segment"},
	{"default out segment", 1, 13, "'segment': expected accept or drop"},
	{"default in drop now", 1, 17, "'now': expected the end of the line"},
	{"default in drop\ndefault in drop", 2, 9, "was given in line 1: expected it once"},
	{"set", 1, 4, "the line ends: expected a name"},
	{"set Office 10.0.0.0/8", 1, 5, "'Office': expected a name: a small letter"},
	{"set 1a 10.0.0.0/8", 1, 5, "'1a': expected a name"},
	{"set tcp 10.0.0.0/8", 1, 5, "'tcp': expected a name that is no word of the language"},
	{"set segment 10.0.0.0/8", 1, 5, "'segment': expected a name that is no word"},
	{"set a", 1, 6, "the line ends: expected an IPv4 or IPv6 address"},
	{"set a 10.0.0.0/8 11.0.0.0/8", 1, 18, "'11.0.0.0/8': expected the end of the line"},
	{"set a b\naccept in from a", 1, 7, "'b': expected an IPv4 or IPv6 address"},
	{"expect", 1, 7, "the line ends: expected allow or deny"},
	{"expect allow", 1, 13, "the line ends: expected in"},
	{"expect allow in", 1, 16, "expected one protocol: an expectation is of one packet"},
	{"expect allow in tcp,udp", 1, 17, "expected one protocol"},
	{"expect allow in tcp from 10.0.0.0/8", 1, 21, "'from': expected one address"},
	{"expect allow in tcp dport 1-2", 1, 21, "'dport': expected one port"},
	{"expect allow in tcp sport 1,2", 1, 21, "'sport': expected one port"},
	{"expect allow in icmp type 3/0-3", 1, 22, "'type': expected one type"},
	{"expect allow in tcp state new,group", 1, 21, "'state': expected one state"},
	{"expect allow in tcp log", 1, 21, "'log': expected none in an expectation"},
	{"expect allow in tcp comment \"x\"", 1, 21, "'comment': expected none"},
};

static void test_mistakes(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(mistakes); i++) {
		const struct mistake *m = &mistakes[i];
		struct policy *p = (void *)&p;
		struct policy_errors e;

		assert_int_equal(policy_parse(m->text, strlen(m->text), &p, &e), -EINVAL);
		assert_ptr_equal(p, &p); /* not touched */
		if (e.v[0].line != m->line || e.v[0].column != m->column ||
		    !strstr(e.v[0].text, m->says))
			fail_msg("'%s': said at %u:%u: %s", m->text, e.v[0].line, e.v[0].column,
				 e.v[0].text);
		assert_true(strstr(e.v[0].text, "expected") != NULL);
	}
}

/* Each line's mistake is told, up to a number. */
static void test_many_mistakes(void **state)
{
	struct policy_errors e;
	struct policy *p;
	char text[4096] = "";

	for (int i = 0; i < POLICY_ERRORS_MAX + 5; i++)
		strcat(text, i % 2 ? "nonsense\n" : "accept in tcp dport x\n");
	assert_int_equal(policy_parse(text, strlen(text), &p, &e), -EINVAL);
	assert_int_equal(e.n, POLICY_ERRORS_MAX);
	assert_true(e.more);
	for (unsigned int i = 0; i < e.n; i++)
		assert_int_equal(e.v[i].line, i + 1);
	/* Two things are wrong with one rule. */
	strcpy(text, "accept in gre from 192.0.2.1 to ::1 dport 22\n");
	assert_int_equal(policy_parse(text, strlen(text), &p, &e), -EINVAL);
	assert_int_equal(e.n, 2);
	assert_false(e.more);
	assert_int_equal(policy_parse(text, strlen(text), &p, NULL), -EINVAL);
}

/* --- bounds --- */

typedef void (*piece)(FILE *f, unsigned int i);

static char *repeat(const char *head, piece print, unsigned int n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	fputs(head, f);
	for (unsigned int i = 0; i < n; i++)
		print(f, i);
	fclose(f);
	return text;
}

/* N of them are taken, one more is not. */
static void at_most(const char *head, piece print, unsigned int n, const char *says)
{
	_cleanup_free_
	char *fits = repeat(head, print, n);
	_cleanup_free_
	char *over = repeat(head, print, n + 1);
	_cleanup_(policy_freep) struct policy *p = parse(fits);
	struct policy *q = NULL;
	struct policy_errors e;

	assert_int_equal(policy_parse(over, strlen(over), &q, &e), -EINVAL);
	if (!strstr(e.v[0].text, says))
		fail_msg("'%s' expected, said: %s", says, e.v[0].text);
}

static void put_rule(FILE *f, unsigned int i)
{
	fprintf(f, "accept in tcp dport %u\n", i);
}

static void put_set(FILE *f, unsigned int i)
{
	fprintf(f, "set s%u 10.0.0.1\n", i);
}

static void put_expect(FILE *f, unsigned int i)
{
	fprintf(f, "expect allow in tcp dport %u\n", i);
}

static void put_port(FILE *f, unsigned int i)
{
	fprintf(f, ",%u", i);
}

static void put_address(FILE *f, unsigned int i)
{
	fprintf(f, ",10.0.%u.%u", i / 256, i % 256);
}

static void put_char(FILE *f, unsigned int i)
{
	fputc('x', f);
}

static void put_line(FILE *f, unsigned int i)
{
	fputs("# 567\n#\n", f);
}

static void test_bounds(void **state)
{
	char name[64] = "set ", text[POLICY_LINE_MAX + 64];
	struct policy_errors e;
	struct policy *p;

	at_most("", put_rule, POLICY_RULES_MAX, "one rule more than 1000");
	at_most("", put_set, POLICY_SETS_MAX, "one set more than 256");
	at_most("", put_expect, POLICY_EXPECTS_MAX, "one expectation more than 1000");
	at_most("accept in tcp dport 1", put_port, POLICY_LIST_MAX - 1, "more than 64 of them");
	at_most("accept in from 10.0.0.1", put_address, POLICY_LIST_MAX - 1,
		"more than 64 of them");
	at_most("# ", put_char, POLICY_LINE_MAX - 2, "a line of 2049 bytes: expected at most 2048");
	at_most("", put_line, POLICY_TEXT_MAX / 8, "a text of 262152 bytes");
	memset(name + 4, 'a', POLICY_NAME_MAX);
	strcpy(name + 4 + POLICY_NAME_MAX, " 10.0.0.1");
	assert_int_equal(policy_parse(name, strlen(name), &p, &e), -EINVAL);
	memset(text, 'a', sizeof(text));
	memcpy(text, "accept in comment \"", 19);
	strcpy(text + 19 + POLICY_COMMENT_MAX, "\"");
	assert_int_equal(policy_parse(text, strlen(text), &p, &e), -EINVAL);
	assert_non_null(strstr(e.v[0].text, "a comment of 128 bytes: expected at most 127"));
	strcpy(text + 18 + POLICY_COMMENT_MAX, "\"");
	assert_int_equal(policy_parse(text, strlen(text), &p, &e), 0);
	policy_free(p);
}

/* 16,384 prefixes do not fit a text unless they are short. */
static void test_prefixes(void **state)
{
	_cleanup_free_
	char *text = NULL;
	struct policy_errors e;
	struct policy *p;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (unsigned int i = 0; i <= POLICY_PREFIXES_MAX; i++)
		fprintf(f, "%s1.%u.%u.%u", i % 100 ? "," : "\nset s ", i / 10000, i / 100 % 100,
			i % 100);
	fclose(f);
	assert_true(size < POLICY_TEXT_MAX);
	assert_int_equal(policy_parse(text, size, &p, &e), -EINVAL);
	assert_non_null(strstr(e.v[0].text, "one prefix more than 16384 in all sets"));
	*strrchr(text, ',') = '\0';
	assert_int_equal(policy_parse(text, strlen(text), &p, &e), 0);
	assert_int_equal(p->sets[0].n, POLICY_PREFIXES_MAX);
	policy_free(p);
}

/* --- parse, print, parse: whatever is drawn --- */

static void round_trip(const char *text)
{
	_cleanup_(policy_freep) struct policy *p = parse(text);
	_cleanup_free_
	char *out = policy_print(p);
	_cleanup_(policy_freep) struct policy *q = parse(out);
	_cleanup_free_
	char *again = policy_print(q);
	const char *what = policies_differ(p, q);

	if (what)
		fail_msg("%s is another one; what was read:\n%s\nwhat was written:\n%s", what, text,
			 out);
	assert_string_equal(out, again);
	for (size_t i = 0; i < p->n_rules; i++) {
		_cleanup_free_
		char *rule = policy_print_rule(p, &p->rules[i]);

		assert_non_null(strstr(out, rule));
	}
}

static void test_round_trip(void **state)
{
	const char *seed = getenv("SP_POLICY_SEED");

	draw_seed(seed ? strtoull(seed, NULL, 0) : 1);
	for (int i = 0; i < 3000; i++) {
		_cleanup_free_
		char *text = policies_draw(i % 100 ? 12 : 400);

		round_trip(text);
	}
}

/* The comparison above can fail. */
static void test_differ(void **state)
{
	static const char base[] = "set a 10.0.0.0/8\naccept in tcp from a,10.0.0.1 dport 22 log\n"
				   "expect allow in tcp dport 22\n";
	static const struct {
		const char *text, *what;
	} table[] = {
		{"default in drop\nset a 10.0.0.0/8\naccept in tcp from a,10.0.0.1 dport 22 log\n"
		 "expect allow in tcp dport 22\n",
		 "default"},
		{"set a 10.0.0.0/9\naccept in tcp from a,10.0.0.1 dport 22 log\n"
		 "expect allow in tcp dport 22\n",
		 "set"},
		{"set a 10.0.0.0/8\naccept in tcp from a,10.0.0.2 dport 22 log\n"
		 "expect allow in tcp dport 22\n",
		 "rule"},
		{"set a 10.0.0.0/8\naccept in tcp from a,10.0.0.1 dport 23 log\n"
		 "expect allow in tcp dport 22\n",
		 "rule"},
		{"set a 10.0.0.0/8\naccept in tcp from a,10.0.0.1 dport 22\n"
		 "expect allow in tcp dport 22\n",
		 "rule"},
		{"set a 10.0.0.0/8\naccept in tcp from a,10.0.0.1 dport 22 log\n"
		 "expect deny in tcp dport 22\n",
		 "expectation"},
		{"set a 10.0.0.0/8\naccept in tcp from a,10.0.0.1 dport 22 log\n",
		 "how many there are"},
	};
	_cleanup_(policy_freep) struct policy *p = parse(base);

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_(policy_freep) struct policy *q = parse(table[i].text);

		assert_string_equal(policies_differ(p, q), table[i].what);
	}
}

/* --- expectations --- */

struct told {
	unsigned int line;
	char text[512];
};

static void tell(unsigned int line, const char *sentence, void *arg)
{
	struct told *t = arg;

	t->line = line;
	snprintf(t->text, sizeof(t->text), "%s", sentence);
}

/* Each feature of a rule, met and not met, of both families. */
static const char features[] = "set lan 10.0.0.0/24, fd00:1::/32\n"
			       "default in drop\n"
			       "accept in tcp from lan dport 22\n"
			       "reject in tcp from lan dport 23\n"
			       "accept in udp sport 53 dport 1024-65535\n"
			       "accept in tcp,udp to 10.9.9.9,fd00:9::9 dport 53,88\n"
			       "accept in icmp type echo-request,3/4\n"
			       "accept in icmpv6 type 128,1/0-3\n"
			       "drop in icmp type 11 state related\n"
			       "accept in proto 47,99 from 192.0.2.0/30\n"
			       "accept in sctp state group\n"
			       "drop out tcp dport 25\n"
			       "accept out tcp to 198.51.100.0/25 dport 465\n"
			       "reject out tcp dport 465\n"
			       "expect allow in tcp from 10.0.0.1 dport 22\n"
			       "expect allow in tcp from fd00:1:ffff::1 dport 22\n"
			       "expect deny in tcp from 10.0.1.1 dport 22\n"
			       "expect deny in tcp from fd00:2::1 dport 22\n"
			       "expect deny in tcp from 10.0.0.1 dport 23\n"
			       "expect deny in udp from 10.0.0.1 sport 1 to 10.9.9.8 dport 22\n"
			       "expect allow in udp sport 53 dport 1024\n"
			       "expect deny in udp sport 53 to 10.0.0.9 dport 1023\n"
			       "expect deny in udp sport 54 to 10.0.0.9 dport 2000\n"
			       "expect allow in udp sport 54 to 10.9.9.9 dport 53\n"
			       "expect allow in tcp from fd00:1::1 to fd00:9::9 dport 88\n"
			       "expect deny in tcp from fd00:1::1 to fd00:9::9 dport 89\n"
			       "expect allow in icmp type echo-request\n"
			       "expect allow in icmp type 8/7\n"
			       "expect deny in icmp type echo-reply\n"
			       "expect allow in icmp type 3/4\n"
			       "expect deny in icmp type 3/3\n"
			       "expect allow in icmpv6 type 1/3\n"
			       "expect deny in icmpv6 type 1/4\n"
			       "expect allow in icmp type 3/3 state related\n"
			       "expect deny in icmp type 11 state related\n"
			       "expect allow in icmpv6 type 3 state related\n"
			       "expect allow in gre from 192.0.2.3\n"
			       "expect deny in gre from 192.0.2.4\n"
			       "expect deny in proto 98 from 192.0.2.3\n"
			       "expect deny in sctp dport 1\n"
			       "expect allow in sctp state group\n"
			       "expect allow out udp dport 25\n"
			       "expect deny out tcp dport 25\n"
			       "expect allow out tcp to 198.51.100.127 dport 465\n"
			       "expect deny out tcp to 198.51.100.128 dport 465\n";

static void test_expectations(void **state)
{
	_cleanup_(policy_freep) struct policy *p = parse(features);
	struct told told = {0};
	size_t n = policy_test(p, tell, &told);

	if (n)
		fail_msg("line %u: %s", told.line, told.text);
	/* Each of them can fail. */
	for (size_t i = 0; i < p->n_expects; i++) {
		p->expects[i].allow = !p->expects[i].allow;
		assert_int_equal(policy_test(p, tell, &told), 1);
		assert_int_equal(told.line, p->expects[i].line);
		p->expects[i].allow = !p->expects[i].allow;
	}
}

static void test_not_met(void **state)
{
	static const struct {
		const char *text, *says;
	} table[] = {
		{"drop in tcp dport 22 comment \"no\"\nexpect allow in tcp dport 22",
		 "expected allow; rule 1 in line 1 says: drop in tcp dport 22 comment \"no\""},
		{"\naccept in tcp\nexpect deny in tcp",
		 "expected deny; rule 1 in line 2 says: accept in tcp"},
		{"default in drop\nexpect allow in udp",
		 "expected allow; no rule matches, and the default is: drop"},
		{"accept in tcp from 10.0.0.1 dport 22\nexpect allow in tcp dport 22",
		 "rule 1 in line 1 asks for 'from'"},
		{"drop in tcp dport 21\naccept in tcp to 10.0.0.1 dport 22\n"
		 "expect allow in tcp from 10.0.0.2 dport 22",
		 "rule 2 in line 2 asks for 'to'"},
		{"accept in udp sport 53\nexpect allow in udp", "asks for 'sport'"},
		{"accept in udp dport 53\nexpect allow in udp", "asks for 'dport'"},
		{"accept in icmp type 8\nexpect allow in icmp", "asks for 'type'"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_(policy_freep) struct policy *p = parse(table[i].text);
		struct told told = {0};

		assert_int_equal(policy_test(p, tell, &told), 1);
		if (!strstr(told.text, table[i].says))
			fail_msg("'%s' expected, said: %s", table[i].says, told.text);
		assert_int_equal(policy_test(p, NULL, NULL), 1);
	}
}

/* An address of the other family than the packet's cannot be what decides. */
static void test_unsaid_family(void **state)
{
	_cleanup_(policy_freep) struct policy *p =
		parse("set six fd00::/8\ndrop in tcp from six,fe80::1\naccept in tcp\n"
		      "expect allow in tcp to 10.0.0.1 dport 22\n");
	struct told told = {0};

	if (policy_test(p, tell, &told))
		fail_msg("line %u: %s", told.line, told.text);
}

/* From another segment nothing is let in by default. */
static void test_foreign(void **state)
{
	_cleanup_(policy_freep) struct policy *p = parse("accept in tcp dport 22\n");
	struct policy_tuple t = {.version = 4, .proto = 6, .dport = 23};

	assert_true(policy_allows(p, &t));
	t.foreign = true;
	assert_false(policy_allows(p, &t));
	t.dport = 22;
	assert_true(policy_allows(p, &t));
	t.direction = SP_OUT;
	t.dport = 23;
	assert_true(policy_allows(p, &t));
}

/* --- the same rules --- */

static void test_identities(void **state)
{
	_cleanup_(policy_freep) struct policy *p = parse(
		"accept in tcp dport 22\ndrop in\naccept in tcp dport 22 log\naccept out tcp\n");
	_cleanup_(policy_freep) struct policy *q =
		parse("# moved\naccept out tcp\naccept in proto 6 dport 22 comment \"x\"\n"
		      "accept in tcp dport 22\nreject in\n");
	uint64_t a[4], b[4];

	assert_int_equal(policy_identities(p, a), 0);
	assert_int_equal(policy_identities(q, b), 0);
	assert_true(a[0] == b[1] && a[2] == b[2] && a[3] == b[0]);
	assert_true(a[0] != a[2] && a[1] != b[3]);
}

static void test_takes_away(void **state)
{
	static const struct {
		const char *now, *next;
		bool away;
	} table[] = {
		{"accept in tcp", "accept in tcp", false},
		{"accept in tcp", "accept in tcp log comment \"x\"", false},
		{"accept in tcp", "accept in udp", true},
		{"accept in tcp", "", true},
		{"", "accept in tcp", false},
		{"drop in tcp", "", false},
		{"", "drop in tcp", false},
		{"", "default in drop", true},
		{"default in drop", "", false},
		{"", "default out drop", true},
		{"accept in tcp\naccept in tcp", "accept in tcp", true},
		{"set a 10.0.0.1,10.0.0.2\naccept in from a", "set a 10.0.0.1\naccept in from a",
		 true},
		{"set a 10.0.0.1\naccept in from a", "set a 10.0.0.1,10.0.0.2\naccept in from a",
		 false},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_(policy_freep) struct policy *now = parse(table[i].now);
		_cleanup_(policy_freep) struct policy *next = parse(table[i].next);

		if (policy_takes_away(now, next) != table[i].away)
			fail_msg("'%s', then '%s'", table[i].now, table[i].next);
	}
}

/* --- compiling --- */

/* Which kind is it, by its sum? */
static unsigned int kind_of(const struct sp_row *row, uint64_t digest)
{
	uint64_t all = 0;

	for (size_t i = 0; i < SP_ROW_LEN / 8; i++)
		all ^= row->word[i];
	for (unsigned int kind = SP_ROW_HEAD; kind <= SP_ROW_RULES; kind++)
		if (SP_FOLD(all) == SP_ROW_SUM(digest, kind))
			return kind;
	return 0;
}

static void check_rows(const struct policy *p, const struct policy_rows *rows)
{
	const struct sp_head *head = &rows->v[0].head;

	assert_int_equal(head->rows, rows->n);
	assert_int_equal(head->rules, p->n_rules);
	for (size_t i = 0; i < rows->n; i++) {
		const struct sp_row *row = &rows->v[i];
		unsigned int kind = kind_of(row, head->digest);

		assert_in_range(kind, i ? SP_ROW_NODE32 : SP_ROW_HEAD, i ? SP_ROW_RULES : 1);
		assert_true(kind == SP_ROW_VECTOR || row->kind == kind);
		for (unsigned int k = 0; kind == SP_ROW_NODE32 && k <= SP_NODE32_KEYS; k++) {
			assert_in_range(row->node32.child[k], 1, rows->n - 1);
			if (k + 1 < SP_NODE32_KEYS)
				assert_true(row->node32.key[k] <= row->node32.key[k + 1]);
		}
		for (unsigned int k = 0; kind == SP_ROW_NODE128 && k <= SP_NODE128_KEYS; k++)
			assert_in_range(row->node128.child[k], 1, rows->n - 1);
	}
}

static void test_compile(void **state)
{
	char error[200] = "";

	draw_seed(2);
	for (int i = 0; i < 500; i++) {
		_cleanup_free_
		char *text = policies_draw(i % 50 ? 20 : POLICY_RULES_MAX);
		_cleanup_(policy_freep) struct policy *p = parse(text);
		_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
		uint64_t digest = policy_digest(text, strlen(text));

		assert_int_equal(policy_compile(p, 7, digest, &rows, error), 0);
		assert_true(rows.v[0].head.generation == 7 && rows.v[0].head.digest == digest);
		check_rows(p, &rows);
	}
}

/* A set of thousands of prefixes in one rule makes two vectors of them, not thousands. */
static void test_compile_shares(void **state)
{
	_cleanup_free_
	char *text = NULL;
	char error[200];
	size_t size;
	FILE *f = open_memstream(&text, &size);
	_cleanup_(policy_freep) struct policy *p = NULL;
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	unsigned int vectors = 0;

	for (unsigned int i = 0; i < 10000; i++)
		fprintf(f, "%s1.%u.%u.0/25", i % 100 ? "," : "\nset s ", i / 256, i % 256);
	fputs("\naccept in tcp from s dport 22\n", f);
	fclose(f);
	p = parse(text);
	assert_int_equal(policy_compile(p, 0, 1, &rows, error), 0);
	for (size_t i = 0; i < rows.n; i++)
		vectors += kind_of(&rows.v[i], 1) == SP_ROW_VECTOR;
	assert_int_equal(vectors, 2); /* the rule, and none */
	assert_true(rows.n < 1100);   /* 20,000 keys, 20 in a row */
}

/* More than fits is told, not cut. */
static void test_compile_bounds(void **state)
{
	_cleanup_free_
	char *text = NULL;
	char error[200] = "";
	size_t size;
	FILE *f = open_memstream(&text, &size);
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct policy_rows rows = {.v = NULL};

	for (unsigned int i = 0; i < 10000; i++)
		fprintf(f, "%s1.%u.%u.0/25", i % 100 ? "," : "\nset s ", i / 256, i % 256);
	fputc('\n', f);
	for (unsigned int i = 0; i < 30; i++)
		fprintf(f, "accept in tcp from s dport %u\n", i);
	fclose(f);
	p = parse(text);
	assert_int_equal(policy_compile(p, 0, 1, &rows, error), -E2BIG);
	assert_non_null(strstr(error, "more than 262144 ranges"));
	assert_null(rows.v);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	       cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_sets),	       cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_many_mistakes),  cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_prefixes),       cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_differ),	       cmocka_unit_test(test_expectations),
		cmocka_unit_test(test_not_met),	       cmocka_unit_test(test_unsaid_family),
		cmocka_unit_test(test_foreign),	       cmocka_unit_test(test_identities),
		cmocka_unit_test(test_takes_away),     cmocka_unit_test(test_compile),
		cmocka_unit_test(test_compile_shares), cmocka_unit_test(test_compile_bounds),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
