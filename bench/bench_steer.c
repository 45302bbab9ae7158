// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does one steering decision cost, and does it depend on how many bindings there are?
 * BPF_PROG_TEST_RUN of `steer_ingress` with a frame from one netns port to another: parse, binding,
 * FDB, counters, and bpf_redirect, which a test run decides but does not carry out. And of
 * `steer_machine`, from a machine to a session of its user's.
 */
#include "bench/bench.h"
#include "peers.skel.h"

#define ROUNDS 9
#define RUNS 3 /* a sample is the least of them */
#define REPEAT 300000
#define MANY 1000000
#define FEW 10
#define TC_ACT_REDIRECT 7
#define LOOPBACK 1 /* a test run's device; no frame ever reaches it */

static double test_run(int prog_fd, int expected)
{
	struct bench_frame frame;
	struct __sk_buff skb = {.ifindex = LOOPBACK, .ingress_ifindex = LOOPBACK};
	uint32_t best = UINT32_MAX;

	make_frame(&frame, 3, 7);
	for (int i = 0; i < RUNS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &frame,
			    .data_size_in = sizeof(frame), .ctx_in = &skb,
			    .ctx_size_in = sizeof(skb), .repeat = REPEAT);

		must(bpf_prog_test_run_opts(prog_fd, &opts), "test run");
		if ((int)opts.retval != expected) {
			fprintf(stderr, "bench_steer: the program answered %u, expected %d\n",
				opts.retval, expected);
			exit(1);
		}
		if (opts.duration < best)
			best = opts.duration;
	}
	return best;
}

static void set_next(struct peers_bpf *peers, int prog_fd)
{
	uint32_t zero = 0;

	must(bpf_map_update_elem(bpf_map__fd(peers->maps.next), &zero, &prog_fd, BPF_ANY), "next");
}

/* The same, but each run has other addresses: 0 to MASK, in order or not. */
static double cycle_run(struct peers_bpf *peers, int prog_fd, int expected, uint32_t mask,
			bool random)
{
	set_next(peers, prog_fd);
	peers->bss->cycle_mask = mask;
	peers->bss->cycle_random = random;
	return test_run(bpf_program__fd(peers->progs.cycle), expected);
}

static struct dataplane *with_bindings(uint32_t max, uint32_t n, int *ret_steer)
{
	const struct dataplane_options options = {
		.unpinned = true, .max_bindings = max, .max_ports = 64, .sampling = true};
	struct dataplane *dp = open_dataplane(&options);

	fill(dp, LOOPBACK, LOOPBACK, n);
	*ret_steer = must(dataplane_prog_fd(dp, "steer_ingress"), "steer_ingress");
	return dp;
}

static void decision(struct peers_bpf *peers)
{
	double empty[ROUNDS], above[ROUNDS], ratio[ROUNDS], e;
	struct dataplane *dp;
	int steer;

	dp = with_bindings(16384, 10000, &steer);
	for (int i = 0; i < ROUNDS; i++) {
		empty[i] = test_run(bpf_program__fd(peers->progs.empty), 0);
		above[i] = test_run(steer, TC_ACT_REDIRECT) - empty[i];
		ratio[i] = (above[i] + empty[i]) / empty[i];
	}
	dataplane_close(dp);
	e = median(empty, ROUNDS);
	report("steer.decision", median(above, ROUNDS), "ns", "empty program", e,
	       median(ratio, ROUNDS));
}

/* Costs above the empty program, a round's in one column. */
struct scale {
	double few[ROUNDS], many[ROUNDS];
};

static void report_scale(const char *name, struct scale *s)
{
	double ratio[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		ratio[i] = s->many[i] / s->few[i];
	report(name, median(s->many, ROUNDS), "ns", "10 bindings", median(s->few, ROUNDS),
	       median(ratio, ROUNDS));
}

/* Both have room for the same: what differs is how many entries are in. */
static void scale(struct peers_bpf *peers)
{
	struct scale hot, cycled, cold;
	struct dataplane *dp_few, *dp_many;
	int few, many, empty = bpf_program__fd(peers->progs.empty);

	dp_few = with_bindings(1 << 20, FEW, &few);
	dp_many = with_bindings(1 << 20, MANY, &many);
	for (int i = 0; i < ROUNDS; i++) {
		double e = test_run(empty, 0), e8, e64, rnd;

		hot.few[i] = test_run(few, TC_ACT_REDIRECT) - e;
		hot.many[i] = test_run(many, TC_ACT_REDIRECT) - e;

		e8 = cycle_run(peers, empty, 0, 7, false);
		cycled.few[i] = cycle_run(peers, few, TC_ACT_REDIRECT, 7, false) - e8;
		e64 = cycle_run(peers, empty, 0, 63, false);
		cycled.many[i] = cycle_run(peers, many, TC_ACT_REDIRECT, 63, false) - e64;

		rnd = cycle_run(peers, empty, 0, (1 << 19) - 1, true);
		cold.few[i] = cycled.few[i];
		cold.many[i] = cycle_run(peers, many, TC_ACT_REDIRECT, (1 << 19) - 1, true) - rnd;
	}
	dataplane_close(dp_few);
	dataplane_close(dp_many);
	report_scale("steer.scale", &hot);
	report_scale("steer.scale.64", &cycled);
	report_scale("steer.scale.cold", &cold);
}

/* --- from a machine to a session --- */

#define VID 101
#define SLOT 1

/* Everything that a machine's frame can be asked: rates, binding, headers, flow, source; then the
 * tag.
 */
static struct dataplane *with_machine(void)
{
	const struct dataplane_options options = {
		.unpinned = true, .max_bindings = 16384, .max_ports = 64, .sampling = true};
	const struct sp_dst session = {
		.ifindex = LOOPBACK, .port = 2, .vid = VID, .max_len = 1514, .kind = SP_PORT_VPN};
	const struct sp_machine machine = {.flags = SP_M_PINNED, .slot = SLOT};
	const struct dataplane_rate rate = {.bytes_per_s = 1ULL << 40,
					    .bytes_burst = 1ULL << 40,
					    .frames_per_s = 1ULL << 30,
					    .frames_burst = 1ULL << 30};
	struct dataplane *dp = open_dataplane(&options);
	uint8_t mac[6];

	fill(dp, LOOPBACK, LOOPBACK, 10000);
	fill_addresses(dp);
	bench_mac(mac, 7);
	make_slot(dp, SLOT, 4096);
	must(dataplane_machine_begin(dp, 1, &machine), "machine");
	must(dataplane_police_set(dp, 1, &rate), "rate");
	must(dataplane_fdb_set(dp, BENCH_SEGMENT, mac, &session), "session");
	return dp;
}

static double untag_run(struct peers_bpf *peers, int prog_fd, int expected)
{
	set_next(peers, prog_fd);
	return test_run(bpf_program__fd(peers->progs.untag), expected);
}

static void machine(struct peers_bpf *peers)
{
	double empty[ROUNDS], above[ROUNDS], ratio[ROUNDS];
	struct dataplane *dp = with_machine();
	int steer = must(dataplane_prog_fd(dp, "steer_machine"), "steer_machine");

	for (int i = 0; i < ROUNDS; i++) {
		empty[i] = untag_run(peers, bpf_program__fd(peers->progs.empty), 0);
		above[i] = untag_run(peers, steer, TC_ACT_REDIRECT) - empty[i];
		ratio[i] = (above[i] + empty[i]) / empty[i];
	}
	dataplane_close(dp);
	report("steer.machine", median(above, ROUNDS), "ns", "empty program", median(empty, ROUNDS),
	       median(ratio, ROUNDS));
}

int main(int argc, char **argv)
{
	struct peers_bpf *peers;

	isolate();
	pin_cpu();
	peers = peers_bpf__open_and_load();
	if (!peers)
		must(-errno, "peers");
	if (argc < 2 || strcmp(argv[1], "decision") == 0)
		decision(peers);
	if (argc < 2 || strcmp(argv[1], "machine") == 0)
		machine(peers);
	if (argc < 2 || strcmp(argv[1], "scale") == 0)
		scale(peers);
	peers_bpf__destroy(peers);
	return 0;
}
