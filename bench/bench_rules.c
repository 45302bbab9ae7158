// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does it cost to ask a policy, and does it depend on how many rules there are? The first frame
 * of a connection by BPF_PROG_TEST_RUN: headers read, policy asked. And how long does a policy of
 * 1,000 rules take to be read and compiled, and to come into force?
 */
#include "bench/bench.h"
#include "loader/policy/policy.h"
#include "peers.skel.h"
#include "policy.skel.h"

#define ROUNDS 9
#define RUNS 3 /* a sample is the least of them */
#define REPEAT 300000
#define PORT 1
#define FRAME_LEN 74

/* --- policies: a rule for each of N services, each from a network of its own --- */

static char *make_text(unsigned int n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		must(-errno, "memory");
	fputs("default in drop\n", f);
	for (unsigned int i = 1; i <= n; i++)
		fprintf(f, "accept in tcp from 10.%u.%u.0/24 dport %u\n", i / 200, i % 200,
			1000 + i * 7);
	fclose(f);
	return text;
}

static void compile(const char *text, struct policy_rows *ret)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	char error[200] = "";

	must(policy_parse(text, strlen(text), &p, NULL), "policy_parse");
	must(policy_compile(p, 1, policy_digest(text, strlen(text)), ret, error), error);
}

static void set_policy(struct dataplane *dp, unsigned int n)
{
	_cleanup_free_
	char *text = make_text(n);
	struct policy_rows rows;

	compile(text, &rows);
	must(dataplane_policy_set(dp, PORT, rows.v, rows.n), "dataplane_policy_set");
	policy_rows_free(&rows);
}

/* --- frames --- */

/* TCP, the first of a connection, which rule RULE lets in; RULE 0: none does. */
static void make_syn(uint8_t f[FRAME_LEN], unsigned int rule)
{
	static const uint8_t head[54] = {
		2, 0, 0, 0, 0, 2, 2, 0,	   0,	 0, 0,	  1, 8, 0,
		0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 7, 10, 9, 9, 9,
		0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 2, 0xff, 0xff, 0, 0, 0, 0};
	unsigned int dport = 1000 + rule * 7;

	memset(f, 0, FRAME_LEN);
	memcpy(f, head, sizeof(head));
	f[27] = (uint8_t)(rule / 200);
	f[28] = (uint8_t)(rule % 200);
	f[36] = (uint8_t)(dport >> 8);
	f[37] = (uint8_t)dport;
}

static double test_run(int prog_fd, const uint8_t *frame, uint32_t expected)
{
	uint32_t best = UINT32_MAX;

	for (int i = 0; i < RUNS; i++) {
		struct __sk_buff skb = {.cb = {PORT, SP_IN | (SP_SUBJECT_NEW + 1) << 8}};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = FRAME_LEN,
			    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = REPEAT);

		must(bpf_prog_test_run_opts(prog_fd, &opts), "test run");
		if (opts.retval != expected) {
			fprintf(stderr, "bench_rules: answered %u, expected %u\n", opts.retval,
				expected);
			exit(1);
		}
		if (opts.duration < best)
			best = opts.duration;
	}
	return best;
}

int main(int argc, char **argv)
{
	const struct dataplane_options options = {
		.unpinned = true, .max_bindings = 64, .max_ports = 64};
	struct dataplane *dp;
	struct peers_bpf *peers;
	struct policy_bpf *judge;
	uint8_t frame[FRAME_LEN];

	isolate();
	pin_cpu();
	dp = open_dataplane(&options);
	peers = peers_bpf__open_and_load();
	judge = policy_bpf__open();
	if (!peers || !judge)
		must(-errno, "objects");
	must(bpf_map__reuse_fd(judge->maps.policies, dataplane_map_fd(dp, "policies")), "reuse");
	must(bpf_map__reuse_fd(judge->maps.rule_counters, dataplane_map_fd(dp, "rule_counters")), "reuse");
	must(policy_bpf__load(judge), "load");
	make_syn(frame, 0);
	printf("empty %f\n", test_run(bpf_program__fd(peers->progs.empty), frame, 0));
	for (unsigned int n = 0; n <= 1000; n = n ? n * 10 : 1) {
		set_policy(dp, n);
		make_syn(frame, n);
		printf("%u last %f", n, test_run(bpf_program__fd(judge->progs.judge), frame, n ? 0 : SP_R_POLICY));
		make_syn(frame, n ? 1 : 0);
		printf(" first %f", test_run(bpf_program__fd(judge->progs.judge), frame, n ? 0 : SP_R_POLICY));
		make_syn(frame, n + 1);
		printf(" none %f\n", test_run(bpf_program__fd(judge->progs.judge), frame, SP_R_POLICY));
	}
	policy_bpf__destroy(judge);
	peers_bpf__destroy(peers);
	dataplane_close(dp);
	return 0;
}
