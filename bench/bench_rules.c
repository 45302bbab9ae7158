// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does it cost to decide on a new connection, and does it depend on how many rules there are?
 * The first frame of one from a workload to a machine, through `steer_ingress` by
 * BPF_PROG_TEST_RUN: binding, headers, flow, policy. The rule that it meets drops it, so that every
 * run is the first. And the policy alone, by the program of the tests; and how long 1,000 rules
 * take to come into force.
 */
#include "bench/bench.h"
#include "loader/policy/policy.h"
#include "peers.skel.h"
#include "policy.skel.h"

#define ROUNDS 9
#define RUNS 3 /* a sample is the least of them */
#define REPEAT 100000
#define TC_ACT_SHOT 2 /* uapi/linux/pkt_cls.h */
#define LOOPBACK 1
#define SENDER 1 /* ports */
#define MACHINE 3
#define SLOT 1
#define FRAME_LEN 74
#define FEW 10
#define MANY 1000
#define HOST_RULES 100000 /* of all machines, where one has MANY */
#define SETS 50

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
		fprintf(f, "drop in tcp from 10.%u.%u.0/24 dport %u\n", i / 200, i % 200,
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

static void set_policy(struct dataplane *dp, uint32_t port, unsigned int n)
{
	_cleanup_free_
	char *text = make_text(n);
	struct policy_rows rows;

	compile(text, &rows);
	must(dataplane_policy_set(dp, port, rows.v, rows.n), "dataplane_policy_set");
	policy_rows_free(&rows);
}

/* --- frames --- */

/* TCP, the first of a connection, which rule RULE is about; RULE 0: none is. */
static void make_syn(uint8_t f[FRAME_LEN], unsigned int rule)
{
	static const uint8_t ip[40] = {0x45, 0, 0,  60, 0,    0, 0x40, 0,    64, 6, 0, 0, 10, 0,
				       0,    7, 10, 9,	9,    9, 0x9c, 0x40, 0,	 0, 0, 0, 0,  0,
				       0,    0, 0,  0,	0xa0, 2, 0xff, 0xff, 0,	 0, 0, 0};
	unsigned int dport = 1000 + rule * 7;

	memset(f, 0, FRAME_LEN);
	bench_mac(f, 7);
	bench_mac(f + 6, 1);
	f[12] = 8;
	memcpy(f + 14, ip, sizeof(ip));
	f[27] = (uint8_t)(rule / 200);
	f[28] = (uint8_t)(rule % 200);
	f[36] = (uint8_t)(dport >> 8);
	f[37] = (uint8_t)dport;
}

static double test_run(int prog_fd, unsigned int rule, uint32_t expected)
{
	uint8_t frame[FRAME_LEN];
	uint32_t best = UINT32_MAX;

	make_syn(frame, rule);
	for (int i = 0; i < RUNS; i++) {
		struct __sk_buff skb = {.ifindex = LOOPBACK,
					.cb = {MACHINE, SP_IN | (SP_SUBJECT_NEW + 1) << 8}};
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

/* --- a workload and a machine --- */

struct side {
	struct dataplane *dp;
	struct policy_bpf *judge;
	unsigned int rules;
	double whole[ROUNDS], alone[ROUNDS];
};

static void begin_machine(struct dataplane *dp)
{
	const struct dataplane_budget budget = {.flows = SP_DEF_FLOWS};
	const struct sp_machine machine = {.slot = SLOT};
	const struct sp_dst dst = {
		.ifindex = LOOPBACK, .port = MACHINE, .max_len = 1514, .kind = SP_PORT_MACHINE};
	uint8_t mac[6];

	fill(dp, LOOPBACK, LOOPBACK, 10000);
	bench_mac(mac, 7);
	must(dataplane_slot_begin(dp, SLOT, BENCH_SEGMENT, &budget, 0), "slot");
	must(dataplane_slot_make(dp, SLOT), "slot");
	must(dataplane_machine_begin(dp, MACHINE, &machine), "machine");
	must(dataplane_fdb_set(dp, BENCH_SEGMENT, mac, &dst), "machine");
}

static void open_side(struct side *s, unsigned int rules)
{
	const struct dataplane_options options = {
		.unpinned = true, .max_bindings = 16384, .max_ports = 128, .sampling = true};

	*s = (struct side){.dp = open_dataplane(&options), .rules = rules};
	begin_machine(s->dp);
	set_policy(s->dp, MACHINE, rules);
	s->judge = policy_bpf__open();
	if (!s->judge)
		must(-errno, "policy");
	must(bpf_map__reuse_fd(s->judge->maps.policies, dataplane_map_fd(s->dp, "policies")),
	     "policies");
	must(bpf_map__reuse_fd(s->judge->maps.rule_counters,
			       dataplane_map_fd(s->dp, "rule_counters")),
	     "rule_counters");
	must(policy_bpf__load(s->judge), "policy");
}

static void close_side(struct side *s)
{
	policy_bpf__destroy(s->judge);
	dataplane_close(s->dp);
}

static void take(struct side *s, int round, double empty)
{
	int whole = dataplane_prog_fd(s->dp, "steer_ingress");
	int alone = bpf_program__fd(s->judge->progs.judge);

	s->whole[round] = test_run(whole, s->rules, TC_ACT_SHOT) - empty;
	s->alone[round] = test_run(alone, s->rules, SP_R_POLICY_DROP) - empty;
}

static void report_ratio(const char *name, double *many, double *few)
{
	double ratio[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		ratio[i] = many[i] / few[i];
	report(name, median(many, ROUNDS), "ns", "10 rules", median(few, ROUNDS),
	       median(ratio, ROUNDS));
}

/* From text to being in force, readers of the one before waited for. */
static void time_sets(struct side *s)
{
	double ms[SETS];

	for (int i = 0; i < SETS; i++) {
		uint64_t began = now_ns();

		set_policy(s->dp, MACHINE, s->rules);
		ms[i] = (double)(now_ns() - began) / 1e6;
	}
	report("rules.set", median(ms, SETS), "ms", NULL, 0, 0);
}

int main(int argc, char **argv)
{
	struct side few, many;
	struct peers_bpf *peers;
	int empty;

	isolate();
	pin_cpu();
	peers = peers_bpf__open_and_load();
	if (!peers)
		must(-errno, "peers");
	empty = bpf_program__fd(peers->progs.empty);
	open_side(&few, FEW);
	open_side(&many, MANY);
	for (uint32_t port = MACHINE + 1; port < MACHINE + HOST_RULES / MANY; port++)
		set_policy(many.dp, port, MANY);
	for (int i = 0; i < ROUNDS; i++) {
		double e = test_run(empty, 1, 0);

		take(&few, i, e);
		take(&many, i, e);
	}
	report_ratio("rules.scale", many.whole, few.whole);
	report_ratio("rules.match", many.alone, few.alone);
	time_sets(&many);
	close_side(&few);
	close_side(&many);
	peers_bpf__destroy(peers);
	return 0;
}
