// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does the kernel say of a packet what its policy says? A row for each feature of a rule; random
 * policies and packets, held against the matcher that walks the rules one by one; and what rules
 * count, over a replacement as well. Rows that were damaged in the map are found out.
 *   SP_MODEL_FRAMES  how many random packets (1,000,000)
 *   SP_MODEL_SEED    repeat a run
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "policy.skel.h"
#include "selftests/harness/draw.h"
#include "selftests/harness/judge.h"
#include "selftests/harness/net.h"
#include "selftests/harness/policies.h"

#define CHECKS 1000000
#define PORTS 32	/* policies that are put in force side by side */
#define PER_POLICY 1000 /* packets */
#define MAX_PORTS 64
#define MAX_RULES 49152 /* less than as many ports could have */
#define DAMAGES 100

static struct judge judge;
static uint64_t seed;

/* --- rows --- */

struct row {
	const char *policy, *packet;
	uint8_t action;
	unsigned int rule;
	bool log, foreign, inverted;
};

#define ROW(policy, packet, action, rule, log) {policy, packet, action, rule, log, false, false},
#define FOREIGN_ROW(policy, packet, action, rule, log)                                             \
	{policy, packet, action, rule, log, true, false},
#define WRONG_ROW(policy, packet, action, rule, log)                                               \
	{policy, packet, action, rule, log, false, true},
static const struct row rows[] = {
#include "policy_rows.h"
};

static struct policy *parse(const char *text)
{
	struct policy *p = NULL;
	struct policy_errors errors;
	int r = policy_parse(text, strlen(text), &p, &errors);

	if (r < 0)
		fail_msg("'%s': %s", text, r == -EINVAL ? errors.v[0].text : strerror(-r));
	return p;
}

static struct policy_tuple tuple_of(const char *packet, bool foreign)
{
	char line[POLICY_LINE_MAX];
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct policy_tuple t;

	snprintf(line, sizeof(line), "expect allow %s\n", packet);
	p = parse(line);
	assert_int_equal(p->n_expects, 1);
	t = p->expects[0].tuple;
	assert_true(t.version);
	t.foreign = foreign;
	return t;
}

static bool same(const struct policy_verdict *a, const struct policy_verdict *b)
{
	return a->action == b->action && a->log == b->log && a->rule == b->rule;
}

/* The kernel's answer, and the other matcher's, are what the row says. */
static bool row_holds(const struct row *row)
{
	const struct policy_verdict want = {row->action, row->log, row->rule};
	struct policy_tuple t = tuple_of(row->packet, row->foreign);
	_cleanup_(policy_freep) struct policy *p = parse(row->policy);
	struct policy_verdict got = {0}, other;
	int r;

	assert_int_equal(judge_set(&judge, 1, p, row->policy), 0);
	r = judge_ask(&judge, 1, &t, &got);
	policy_match(p, &t, &other);
	return r == judge_reason(&want) && same(&got, &want) && same(&other, &want);
}

static void test_row(void **state)
{
	const struct row *row = *state;

	if (row_holds(row) == row->inverted)
		fail_msg("'%s', '%s': %s", row->policy, row->packet,
			 row->inverted ? "the check did not notice a false expectation"
				       : "it was judged in another way");
}

/* --- random policies and packets --- */

struct trial {
	uint32_t port;
	char *text;
	struct policy *policy;
	int r;
	struct sp_rule_counter before[SP_RULES_MAX], defaults[_SP_DIRECTIONS];
	uint64_t expected[SP_RULES_MAX + 1][2]; /* by rule, 0 the default: packets, bytes */
};

static struct trial trials[PORTS];

static void *put_in_force(void *arg)
{
	struct trial *t = arg;

	t->r = judge_set(&judge, t->port, t->policy, t->text);
	return NULL;
}

static void fail_packet(const struct trial *t, const struct policy_tuple *p, const char *what)
{
	uint8_t f[JUDGE_FRAME];
	size_t n = judge_frame(p, f);

	fprintf(stderr, "%s", t->text);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "%02x%s", f[i], i + 1 < n ? "" : "\n");
	fail_msg("SP_MODEL_SEED=%llu: direction %u, subject %u, foreign %d: %s",
		 (unsigned long long)seed, p->direction, p->subject, p->foreign, what);
}

static void ask_both(struct trial *t)
{
	struct policy_verdict want, got = {0};
	struct policy_tuple p;
	uint8_t frame[JUDGE_FRAME];
	unsigned int slot;
	int r;

	policies_draw_tuple(t->policy, &p);
	policy_match(t->policy, &p, &want);
	r = judge_ask(&judge, t->port, &p, &got);
	if (r != judge_reason(&want) || !same(&got, &want)) {
		char what[160];

		snprintf(what, sizeof(what),
			 "the kernel says %s, action %u by rule %u; expected %u by rule %u",
			 r < 0 ? strerror(-r) : sp_reason_name((unsigned int)r), got.action,
			 got.rule, want.action, want.rule);
		fail_packet(t, &p, what);
	}
	/* What is related and passes by no rule is counted by no default. */
	if (!want.rule && p.subject == SP_SUBJECT_RELATED)
		return;
	slot = want.rule ? want.rule : p.direction == SP_IN ? 0 : SP_RULES_MAX;
	if (!want.rule && p.direction == SP_OUT)
		return; /* one default is enough to compare */
	t->expected[slot][0]++;
	t->expected[slot][1] += judge_frame(&p, frame);
}

/* Each rule has counted what it decided, and no more. */
static void check_counts(const struct trial *t)
{
	static struct sp_rule_counter now[SP_RULES_MAX];
	struct sp_rule_counter defaults[_SP_DIRECTIONS];
	int n = dataplane_policy_counts(judge.dp, t->port, now, SP_RULES_MAX, defaults);

	assert_int_equal(n, t->policy->n_rules);
	for (int i = 0; i < n; i++)
		if (now[i].packets - t->before[i].packets != t->expected[i + 1][0] ||
		    now[i].bytes - t->before[i].bytes != t->expected[i + 1][1])
			fail_msg("SP_MODEL_SEED=%llu: rule %d counted %llu packets, expected %llu",
				 (unsigned long long)seed, i + 1,
				 (unsigned long long)(now[i].packets - t->before[i].packets),
				 (unsigned long long)t->expected[i + 1][0]);
	assert_int_equal(defaults[SP_IN].packets - t->defaults[SP_IN].packets, t->expected[0][0]);
	assert_int_equal(defaults[SP_IN].bytes - t->defaults[SP_IN].bytes, t->expected[0][1]);
}

/* Few rules most often; sometimes as many as there may be. */
static void draw_trial(struct trial *t, uint32_t port)
{
	t->port = port;
	t->text = policies_draw(draw(20) ? 1 + draw(40) : SP_RULES_MAX);
	t->policy = parse(t->text);
	memset(t->expected, 0, sizeof(t->expected));
}

static void run_trial(struct trial *t, uint64_t packets)
{
	assert_int_equal(t->r, 0);
	assert_true(dataplane_policy_counts(judge.dp, t->port, t->before, SP_RULES_MAX,
					    t->defaults) >= 0);
	for (uint64_t i = 0; i < packets; i++)
		ask_both(t);
	check_counts(t);
	policy_free(t->policy);
	free(t->text);
}

static uint64_t checks_wanted(void)
{
	const char *s = getenv("SP_MODEL_FRAMES");

	return s ? strtoull(s, NULL, 10) : CHECKS;
}

static void test_agree(void **state)
{
	uint64_t n = checks_wanted(), done = 0, policies = 0;
	pthread_t threads[PORTS];

	while (done < n) {
		for (uint32_t i = 0; i < PORTS; i++)
			draw_trial(&trials[i], i + 1);
		/* Each waits for readers of the one before: all at once. */
		for (uint32_t i = 0; i < PORTS; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, put_in_force, &trials[i]), 0);
		for (uint32_t i = 0; i < PORTS; i++)
			pthread_join(threads[i], NULL);
		for (uint32_t i = 0; i < PORTS; i++, done += PER_POLICY)
			run_trial(&trials[i], PER_POLICY);
		policies += PORTS;
	}
	print_message("# SP_MODEL_SEED=%llu: %llu packets by %llu policies\n",
		      (unsigned long long)seed, (unsigned long long)done,
		      (unsigned long long)policies);
}

/* --- counters --- */

static struct sp_rule_counter count_of(uint32_t port, size_t rule)
{
	struct sp_rule_counter v[8], defaults[_SP_DIRECTIONS];

	assert_true(dataplane_policy_counts(judge.dp, port, v, 8, defaults) >= 0);
	return rule ? v[rule - 1] : defaults[SP_IN];
}

static void ask_times(const char *packet, int times)
{
	struct policy_tuple t = tuple_of(packet, false);
	struct policy_verdict v;

	for (int i = 0; i < times; i++)
		assert_true(judge_ask(&judge, 1, &t, &v) >= 0);
}

/* A rule that stays the same counts on where it did, wherever it stands then; a new one from 0. */
static void test_counters_stay(void **state)
{
	uint32_t used, before, max;

	assert_int_equal(dataplane_policy_clear(judge.dp, 1), 0);
	dataplane_rules_used(judge.dp, &before, &max);
	assert_int_equal(judge_set_text(&judge, 1,
					"default in drop\naccept in tcp dport 22\n"
					"drop in udp dport 53\n"),
			 0);
	ask_times("in tcp from 10.0.0.1 dport 22", 3);
	ask_times("in udp from fd00::1 dport 53", 5);
	ask_times("in udp from fd00::1 dport 54", 2);
	assert_int_equal(count_of(1, 1).packets, 3);
	assert_int_equal(count_of(1, 1).bytes, 3 * (14 + 20 + 24));
	assert_int_equal(count_of(1, 2).packets, 5);
	assert_int_equal(count_of(1, 2).bytes, 5 * (14 + 40 + 24));
	assert_int_equal(count_of(1, 0).packets, 2);
	dataplane_rules_used(judge.dp, &used, &max);
	assert_int_equal(used - before, 2 + _SP_DIRECTIONS);

	/* The second is the first now; a comment and log change nothing; the first is another. */
	assert_int_equal(judge_set_text(&judge, 1,
					"default in drop\ndrop in udp dport 53 log comment \"x\"\n"
					"accept in tcp dport 22-23\n"),
			 0);
	assert_int_equal(count_of(1, 1).packets, 5);
	assert_int_equal(count_of(1, 2).packets, 0);
	assert_int_equal(count_of(1, 0).packets, 2);
	ask_times("in udp from 10.0.0.1 dport 53", 1);
	assert_int_equal(count_of(1, 1).packets, 6);
	dataplane_rules_used(judge.dp, &used, &max);
	assert_int_equal(used - before, 2 + _SP_DIRECTIONS);

	/* Two that are alike count apart. */
	assert_int_equal(judge_set_text(&judge, 1, "drop in udp dport 53\ndrop in udp dport 53\n"),
			 0);
	ask_times("in udp from 10.0.0.1 dport 53", 1);
	assert_int_equal(count_of(1, 1).packets, 7);
	assert_int_equal(count_of(1, 2).packets, 0);
	assert_int_equal(dataplane_policy_clear(judge.dp, 1), 0);
	dataplane_rules_used(judge.dp, &used, &max);
	assert_int_equal(used, before);
}

#define FIRST 2

/* No counter is left: refused whole, and the one before stays in force. */
static void test_no_counters(void **state)
{
	struct policy_tuple t = tuple_of("in tcp from 10.0.0.1 dport 1007", false);
	struct policy_verdict v;
	char *text = NULL;
	size_t size;
	int r = 0;
	uint32_t port = FIRST, used, before, max;
	FILE *f = open_memstream(&text, &size);

	for (unsigned int i = 0; i < SP_RULES_MAX; i++)
		fprintf(f, "drop in tcp dport %u\n", 1000 + i);
	fclose(f);
	for (uint32_t p = 1; p < MAX_PORTS; p++)
		assert_int_equal(dataplane_policy_clear(judge.dp, p), 0);
	assert_int_equal(judge_set_text(&judge, 1, "reject in tcp\n"), 0);
	dataplane_rules_used(judge.dp, &before, &max);
	for (; r == 0 && port < MAX_PORTS; port++)
		r = judge_set_text(&judge, port, text);
	assert_int_equal(r, -ENOSPC);
	dataplane_rules_used(judge.dp, &used, &max);
	assert_int_equal(used, before + (port - 1 - FIRST) * (SP_RULES_MAX + _SP_DIRECTIONS));
	assert_int_equal(judge_set_text(&judge, 1, text), -ENOSPC);
	assert_int_equal(judge_ask(&judge, 1, &t, &v), SP_R_POLICY_REJECT);
	while (--port >= FIRST)
		assert_int_equal(dataplane_policy_clear(judge.dp, port), 0);
	dataplane_rules_used(judge.dp, &used, &max);
	assert_int_equal(used, before);
	free(text);
}

/* --- rows that were damaged --- */

static int put_raw(uint32_t port, const struct policy_rows *compiled)
{
	const struct bpf_map *shape = judge.obj->maps.policy;
	/* With its types: Linux 6.1 takes no others for maps in a map. */
	LIBBPF_OPTS(bpf_map_create_opts, create, .map_flags = bpf_map__map_flags(shape),
		    .btf_fd = (uint32_t)bpf_object__btf_fd(judge.obj->obj),
		    .btf_key_type_id = bpf_map__btf_key_type_id(shape),
		    .btf_value_type_id = bpf_map__btf_value_type_id(shape));
	_cleanup_close_
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "raw", sizeof(uint32_t), sizeof(struct sp_row),
				(uint32_t)compiled->n, &create);

	if (fd < 0)
		return -errno;
	for (uint32_t i = 0; i < compiled->n; i++)
		if (bpf_map_update_elem(fd, &i, &compiled->v[i], BPF_ANY) < 0)
			return -errno;
	return bpf_map_update_elem(dataplane_map_fd(judge.dp, "policies"), &port, &fd, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

/* One 16-bit part of one row is another: the answer is what it was, or none (I4). */
static void test_damage(void **state)
{
	uint64_t found = 0, asked = 0;

	for (int i = 0; i < DAMAGES; i++) {
		_cleanup_free_
		char *text = policies_draw(20);
		_cleanup_(policy_freep) struct policy *p = parse(text);
		_cleanup_(policy_rows_free) struct policy_rows compiled = {.v = NULL};
		char error[200];
		struct policy_tuple t;
		uint32_t row;

		assert_int_equal(
			policy_compile(p, 1, policy_digest(text, strlen(text)), &compiled, error),
			0);
		row = draw(3) ? draw((uint32_t)compiled.n) : 0;
		((uint16_t *)&compiled.v[row])[draw(SP_ROW_LEN / 2)] ^= (uint16_t)(1 + draw(65535));
		assert_int_equal(put_raw(2, &compiled), 0);
		for (int k = 0; k < 50; k++, asked++) {
			struct policy_verdict want, got = {0};
			int r;

			policies_draw_tuple(p, &t);
			policy_match(p, &t, &want);
			r = judge_ask(&judge, 2, &t, &got);
			found += r == SP_R_POLICY_BROKEN;
			if (r == SP_R_POLICY_BROKEN
				    ? got.action != SP_DROP
				    : r != judge_reason(&want) || !same(&got, &want))
				fail_msg("SP_MODEL_SEED=%llu: a damaged row was believed",
					 (unsigned long long)seed);
		}
	}
	assert_in_range(found, 1, asked - 1);
	assert_int_equal(dataplane_policy_clear(judge.dp, 2), 0);
}

/* A port without a policy is judged by the host's default; without that nothing passes (I4). */
static void test_fallback(void **state)
{
	struct policy_tuple t = tuple_of("in tcp from 10.0.0.1 dport 22", false);
	struct policy_verdict v;

	assert_int_equal(dataplane_policy_clear(judge.dp, 1), 0);
	assert_int_equal(judge_ask(&judge, 1, &t, &v), SP_R_NONE);
	assert_int_equal(judge_ask(&judge, 4000000, &t, &v), SP_R_NONE);
	assert_int_equal(judge_set_text(&judge, DATAPLANE_DEFAULT_POLICY, "reject in tcp\n"), 0);
	assert_int_equal(judge_ask(&judge, 1, &t, &v), SP_R_POLICY_REJECT);
	assert_int_equal(judge_set_text(&judge, 1, "drop in tcp\n"), 0);
	assert_int_equal(judge_ask(&judge, 1, &t, &v), SP_R_POLICY_DROP);
	assert_int_equal(dataplane_policy_clear(judge.dp, 1), 0);
	assert_int_equal(dataplane_policy_clear(judge.dp, DATAPLANE_DEFAULT_POLICY), 0);
	assert_int_equal(judge_ask(&judge, 1, &t, &v), SP_R_POLICY_BROKEN);
	t.subject = _SP_SUBJECTS; /* no question at all */
	assert_int_equal(judge_set_text(&judge, DATAPLANE_DEFAULT_POLICY, ""), 0);
	assert_int_equal(judge_ask(&judge, 1, &t, &v), SP_R_POLICY_BROKEN);
}

/* --- */

static int setup(void **state)
{
	const struct dataplane_options options = {.unpinned = true,
						  .max_bindings = 64,
						  .max_ports = MAX_PORTS,
						  .max_rules = MAX_RULES};
	const char *s = getenv("SP_MODEL_SEED");
	struct dataplane *dp = NULL;
	char *error = NULL;
	int r = net_isolate();

	while (!seed)
		if (s)
			seed = strtoull(s, NULL, 10) ?: 1;
		else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
			return -EIO;
	draw_seed(seed);
	r = r ?: dataplane_open(&options, &dp, &error);
	r = r ?: judge_open(&judge, dp);
	if (r < 0)
		fprintf(stderr, "setup: %s: %s\n", strerror(-r), error ?: "");
	return r;
}

static int teardown(void **state)
{
	struct dataplane *dp = judge.dp;

	judge_close(&judge);
	dataplane_close(dp);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(test_counters_stay), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_agree),	      cmocka_unit_test(test_no_counters),
		cmocka_unit_test(test_fallback),
	};
	struct CMUnitTest tests[SP_ARRAY_SIZE(rows) + SP_ARRAY_SIZE(more)];
	size_t n = 0;

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
		tests[n++] =
			(struct CMUnitTest){rows[i].packet, test_row, NULL, NULL, (void *)&rows[i]};
	for (size_t i = 0; i < SP_ARRAY_SIZE(more); i++)
		tests[n++] = more[i];
	return _cmocka_run_group_tests("policy", tests, n, setup, teardown);
}
