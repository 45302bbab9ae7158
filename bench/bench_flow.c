// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does the firewall cost? A TCP segment of a connection that is open, from a machine to a
 * session of its user's, among 100,000 flows of its segment: the whole decision; the same with
 * nf_conntrack asked instead (kfuncs). How many flows begin in a second; how much memory one takes.
 */
#include "bench/bench.h"
#include "kfunc.skel.h"
#include "peers.skel.h"

#define ROUNDS 9
#define RUNS 3
#define REPEAT 300000
#define FLOWS 100000
#define BUDGET 131072 /* a power of two, as tables have buckets */
#define TC_ACT_REDIRECT 7
#define LOOPBACK 1
#define MACHINE 3 /* bench_mac's number */
#define SESSION 7
#define SLOT 1
#define VID 0

struct tcp_frame {
	struct bench_addresses eth;
	uint16_t proto;
	uint8_t ip[20];
	uint8_t tcp[20];
	uint8_t rest[6];
} __attribute__((packed));

/* From 10.0.0.1, port 80, to 10.1.0.0 + I / 50,000, port 10,000 + I % 50,000; or back. */
static void make_tcp(struct tcp_frame *f, uint32_t i, bool back, uint8_t flags, uint32_t seq,
		     uint32_t ack)
{
	uint8_t ip[20] = {0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 1, 0, 0};
	uint16_t ports[2] = {htons(80), htons((uint16_t)(10000 + i % 50000))}, sum;
	uint32_t numbers[2] = {htonl(seq), htonl(ack)};

	ip[18] = (uint8_t)(i / 50000 >> 8);
	ip[19] = (uint8_t)(i / 50000 + 1);
	memset(f, 0, sizeof(*f));
	bench_mac(f->eth.dst, back ? MACHINE : SESSION);
	bench_mac(f->eth.src, back ? SESSION : MACHINE);
	f->proto = htons(0x0800);
	memcpy(f->ip, ip, 12);
	memcpy(f->ip + 12, back ? ip + 16 : ip + 12, 4);
	memcpy(f->ip + 16, back ? ip + 12 : ip + 16, 4);
	sum = htons(ip_checksum(f->ip, 20));
	memcpy(f->ip + 10, &sum, 2);
	memcpy(f->tcp, &ports[back], 2);
	memcpy(f->tcp + 2, &ports[!back], 2);
	memcpy(f->tcp + 4, numbers, 8);
	f->tcp[12] = 0x50;
	f->tcp[13] = flags;
	f->tcp[14] = 0xff;
	f->tcp[15] = 0xff;
}

static int run_once(int prog, const struct tcp_frame *f, uint32_t ifindex)
{
	struct __sk_buff skb = {.ifindex = ifindex, .ingress_ifindex = ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f, .data_size_in = sizeof(*f),
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = 1);

	must(bpf_prog_test_run_opts(prog, &opts), "test run");
	return (int)opts.retval;
}

static double test_run(int prog, const struct tcp_frame *f, int expected)
{
	struct __sk_buff skb = {.ifindex = LOOPBACK, .ingress_ifindex = LOOPBACK};
	uint32_t best = UINT32_MAX;

	for (int i = 0; i < RUNS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f, .data_size_in = sizeof(*f),
			    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = REPEAT);

		must(bpf_prog_test_run_opts(prog, &opts), "test run");
		if ((int)opts.retval != expected) {
			fprintf(stderr, "bench_flow: the program answered %u, expected %d\n",
				opts.retval, expected);
			exit(1);
		}
		if (opts.duration < best)
			best = opts.duration;
	}
	return best;
}

static struct dataplane *open_world(void)
{
	const struct dataplane_options options = {.unpinned = true,
						  .max_bindings = 16384,
						  .max_ports = 64,
						  .flows = BUDGET,
						  .sampling = true};
	const struct sp_dst session = {
		.ifindex = LOOPBACK, .port = 2, .max_len = 1514, .kind = SP_PORT_VPN};
	const struct sp_dst machine_dst = {
		.ifindex = LOOPBACK, .port = 1, .max_len = 1514, .kind = SP_PORT_MACHINE};
	const struct sp_bind bind = {.segment = BENCH_SEGMENT, .port = 2};
	const struct sp_machine machine = {.flags = SP_M_PINNED, .slot = SLOT};
	struct dataplane *dp = open_dataplane(&options);
	uint8_t mac[6];

	fill(dp, LOOPBACK, LOOPBACK, 10000);
	fill_addresses(dp);
	make_slot(dp, SLOT, BUDGET);
	must(dataplane_machine_begin(dp, 1, &machine), "machine");
	bench_mac(mac, SESSION);
	must(dataplane_fdb_set(dp, BENCH_SEGMENT, mac, &session), "session");
	must(dataplane_bind(dp, LOOPBACK, 0, mac, &bind), "session");
	bench_mac(mac, MACHINE);
	must(dataplane_fdb_set(dp, BENCH_SEGMENT, mac, &machine_dst), "machine");
	return dp;
}

static void open_connections(struct dataplane *dp, uint32_t n)
{
	int machine = dataplane_prog_fd(dp, "steer_machine");
	int other = dataplane_prog_fd(dp, "steer_ingress");
	struct tcp_frame f;

	for (uint32_t i = 0; i < n; i++) {
		make_tcp(&f, i, true, 0x02, 1000, 0);
		must(run_once(other, &f, LOOPBACK) == TC_ACT_REDIRECT ? 0 : -EPROTO, "SYN");
		make_tcp(&f, i, false, 0x12, 5000, 1001);
		must(run_once(machine, &f, LOOPBACK) == TC_ACT_REDIRECT ? 0 : -EPROTO, "SYN, ACK");
		make_tcp(&f, i, true, 0x10, 1001, 5001);
		must(run_once(other, &f, LOOPBACK) == TC_ACT_REDIRECT ? 0 : -EPROTO, "ACK");
	}
}

static void decision(struct peers_bpf *peers)
{
	double empty[ROUNDS], above[ROUNDS], back[ROUNDS];
	struct dataplane *dp = open_world();
	int machine = dataplane_prog_fd(dp, "steer_machine");
	int other = dataplane_prog_fd(dp, "steer_ingress");
	struct tcp_frame f, b;

	open_connections(dp, FLOWS);
	make_tcp(&f, 777, false, 0x10, 5001, 1001);
	make_tcp(&b, 777, true, 0x10, 1001, 5001);
	for (int i = 0; i < ROUNDS; i++) {
		empty[i] = test_run(bpf_program__fd(peers->progs.empty), &f, 0);
		above[i] = test_run(machine, &f, TC_ACT_REDIRECT) - empty[i];
		back[i] = test_run(other, &b, TC_ACT_REDIRECT) - empty[i];
	}
	report("flow.decision", median(above, ROUNDS), "ns", "empty program", median(empty, ROUNDS),
	       median(above, ROUNDS) / median(empty, ROUNDS));
	report("flow.back", median(back, ROUNDS), "ns", "empty program", median(empty, ROUNDS),
	       median(back, ROUNDS) / median(empty, ROUNDS));
	dataplane_close(dp);
}

/* --- beside nf_conntrack --- */

#define NETNS "segment"
#define NETNS_ID "1" /* as kfunc.bpf.c has it */

/* Where nf_conntrack keeps the segment's connections; none are there. */
static void make_netns(void)
{
	run(NULL, (const char *const[]){"ip", "netns", "add", NETNS, NULL});
	run(NULL, (const char *const[]){"ip", "netns", "set", NETNS, NETNS_ID, NULL});
}

static void remake_netns(void)
{
	run(NULL, (const char *const[]){"ip", "netns", "delete", NETNS, NULL});
	make_netns();
}

/* The peer's programs on the same maps. */
static struct kfunc_bpf *open_peer(struct dataplane *dp)
{
	static const char *const programs[] = {"kfunc_steer", "kfunc_setup", "kfunc_open", "vary",
					       "visit"};
	struct kfunc_bpf *k = kfunc_bpf__open();
	struct bpf_program *p;
	struct bpf_map *m;

	if (!k)
		must(-errno, "kfunc");
	bpf_object__for_each_map(m, k->obj)
	{
		int fd = dataplane_map_fd(dp, bpf_map__name(m));

		if (fd >= 0)
			must(bpf_map__reuse_fd(m, fd), bpf_map__name(m));
	}
	bpf_object__for_each_program(p, k->obj)
	{
		bool wanted = false;

		for (size_t i = 0; i < SP_ARRAY_SIZE(programs); i++)
			wanted |= strcmp(programs[i], bpf_program__name(p)) == 0;
		bpf_program__set_autoload(p, wanted);
	}
	must(kfunc_bpf__load(k), "kfunc");
	make_netns();
	return k;
}

static void set_next(struct kfunc_bpf *k, int prog)
{
	uint32_t zero = 0;

	must_errno(bpf_map_update_elem(bpf_map__fd(k->maps.next), &zero, &prog, BPF_ANY));
}

/* FLOWS open connections of each. */
struct beside {
	struct peers_bpf *peers;
	struct kfunc_bpf *k;
	struct dataplane *dp;
	struct tcp_frame f;
};

static void open_beside(struct beside *b, struct peers_bpf *peers)
{
	b->peers = peers;
	b->dp = open_world();
	b->k = open_peer(b->dp);
	b->k->bss->flows_open = FLOWS;
	open_connections(b->dp, FLOWS);
	for (uint32_t i = 0; i < FLOWS; i++) {
		make_tcp(&b->f, i, false, 0x10, 5001, 1001);
		must(run_once(bpf_program__fd(b->k->progs.kfunc_open), &b->f, LOOPBACK),
		     "nf_conntrack");
	}
	make_tcp(&b->f, 777, false, 0x10, 5001, 1001);
}

static void close_beside(struct beside *b)
{
	kfunc_bpf__destroy(b->k);
	dataplane_close(b->dp);
	run(NULL, (const char *const[]){"ip", "netns", "delete", NETNS, NULL});
}

/* PROG, each time for the frame of the same connection; or, VISIT, of another. */
static double run_beside(struct beside *b, bool visit, int prog, int answer)
{
	if (!visit)
		return test_run(prog, &b->f, answer);
	set_next(b->k, prog);
	return test_run(bpf_program__fd(b->k->progs.visit), &b->f, answer);
}

/* Where the kernel puts a program's code is left to chance, and some of it is slower by a few in a
 * hundred: all of it is loaded anew a few times. */
#define LOADS 5
#define LOAD_ROUNDS 3

struct compared {
	double ours[LOADS * LOAD_ROUNDS], theirs[LOADS * LOAD_ROUNDS], ratio[LOADS * LOAD_ROUNDS];
};

static void compare(struct beside *b, bool visit, struct compared *c, int at)
{
	int machine = dataplane_prog_fd(b->dp, "steer_machine");
	int theirs = bpf_program__fd(b->k->progs.kfunc_steer);
	double empty;

	for (int i = at; i < at + LOAD_ROUNDS; i++) {
		empty = run_beside(b, visit, bpf_program__fd(b->peers->progs.empty), 0);
		c->ours[i] = run_beside(b, visit, machine, TC_ACT_REDIRECT) - empty;
		c->theirs[i] = run_beside(b, visit, theirs, TC_ACT_REDIRECT) - empty;
		c->ratio[i] = c->ours[i] / c->theirs[i];
	}
}

static void report_compared(const char *name, struct compared *c)
{
	const int n = LOADS * LOAD_ROUNDS;

	report(name, median(c->ours, n), "ns", "nf_conntrack by kfunc", median(c->theirs, n),
	       median(c->ratio, n));
}

static void beside_kfunc(struct peers_bpf *peers)
{
	struct compared same, spread;
	struct beside b;

	for (int i = 0; i < LOADS; i++) {
		open_beside(&b, peers);
		compare(&b, false, &same, i * LOAD_ROUNDS);
		compare(&b, true, &spread, i * LOAD_ROUNDS);
		close_beside(&b);
	}
	report_compared("flow.vs_kfunc", &same);
	report_compared("flow.spread", &spread);
}

#define SETUP_ROUNDS 7
#define SETUPS 100000 /* new flows in one of them */

/* ns for each of SETUPS frames, each of a connection of its own. */
static double run_setups(struct kfunc_bpf *k, int prog, const struct tcp_frame *f, uint32_t answer)
{
	struct __sk_buff skb = {.ifindex = LOOPBACK, .ingress_ifindex = LOOPBACK};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f, .data_size_in = sizeof(*f),
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = SETUPS);

	k->bss->vary_state = 0;
	set_next(k, prog);
	must(bpf_prog_test_run_opts(bpf_program__fd(k->progs.vary), &opts), "test run");
	must(opts.retval == answer ? 0 : -EPROTO, "the last new flow");
	return opts.duration;
}

static void new_slot(struct dataplane *dp)
{
	must(dataplane_slot_unmake(dp, SLOT), "tables");
	dataplane_slot_end(dp, SLOT);
	make_slot(dp, SLOT, BUDGET);
}

static void check_opened(struct dataplane *dp)
{
	struct sp_slot s;

	must(dataplane_slot_get(dp, SLOT, &s), "slot");
	must(s.opened == SETUPS && s.flows == SETUPS ? 0 : -EPROTO, "flows made");
}

/*
 * From a machine to a session, SYN by SYN. The peer's flows are another namespace's each round, as
 * its table is emptied so.
 */
static void setup_rate(struct peers_bpf *peers)
{
	double ours[SETUP_ROUNDS], theirs[SETUP_ROUNDS], ratio[SETUP_ROUNDS];
	struct dataplane *dp = open_world();
	struct kfunc_bpf *k = open_peer(dp);
	struct tcp_frame f;

	make_tcp(&f, 0, false, 0x02, 5000, 0);
	for (int i = 0; i < SETUP_ROUNDS; i++) {
		double vary = run_setups(k, bpf_program__fd(peers->progs.empty), &f, 0);

		new_slot(dp);
		ours[i] =
			run_setups(k, dataplane_prog_fd(dp, "steer_machine"), &f, TC_ACT_REDIRECT) -
			vary;
		check_opened(dp);
		remake_netns();
		theirs[i] =
			run_setups(k, bpf_program__fd(k->progs.kfunc_setup), &f, TC_ACT_REDIRECT) -
			vary;
		ratio[i] = theirs[i] / ours[i];
	}
	report("flow.setup", 1e9 / median(ours, SETUP_ROUNDS), "flows/s", "nf_conntrack by kfunc",
	       1e9 / median(theirs, SETUP_ROUNDS), median(ratio, SETUP_ROUNDS));
	kfunc_bpf__destroy(k);
	dataplane_close(dp);
}

/* --- memory --- */

/* What the kernel says that a map takes (Linux 6.4): elements with what the allocator adds,
 * buckets. */
static double map_bytes(int fd)
{
	char path[64], line[128];
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &n) == 1)
			return (double)n;
	must(-ENODATA, path);
	return 0;
}

static uint32_t entries_of(const struct dataplane *dp, const char *name)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	must_errno(bpf_obj_get_info_by_fd(dataplane_map_fd(dp, name), &info, &len));
	return info.max_entries;
}

/* All tables of the slot's IPv4 flows. */
static void bytes(void)
{
	struct dataplane *dp = open_world();
	uint32_t shards = entries_of(dp, "flows4") / entries_of(dp, "slots");
	double sum = 0;

	open_connections(dp, FLOWS);
	for (uint32_t i = 0; i < shards; i++) {
		uint32_t index = SLOT * shards + i, id;
		_cleanup_close_
		int fd = -1;

		must_errno(bpf_map_lookup_elem(dataplane_map_fd(dp, "flows4"), &index, &id));
		fd = bpf_map_get_fd_by_id(id);
		must_errno(fd);
		sum += map_bytes(fd);
	}
	report("flow.bytes", sum / FLOWS, "bytes", NULL, 0, 0);
	dataplane_close(dp);
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	struct peers_bpf *peers;

	isolate();
	pin_cpu();
	peers = peers_bpf__open_and_load();
	if (!peers)
		must(-errno, "peers");
	if (strcmp(what, "decision") == 0)
		decision(peers);
	else if (strcmp(what, "kfunc") == 0)
		beside_kfunc(peers);
	else if (strcmp(what, "setup") == 0)
		setup_rate(peers);
	else if (strcmp(what, "bytes") == 0)
		bytes();
	else
		must(-EINVAL, "usage: bench_flow decision|kfunc|setup|bytes");
	peers_bpf__destroy(peers);
	return 0;
}
