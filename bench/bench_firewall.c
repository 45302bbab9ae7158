// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does a stateful port cost, beside a bridge with nftables? Two lanes, each a veth in and a
 * veth out: ours, the way out a machine's port with a policy; a Linux bridge with a stateful nft
 * chain of the same rules, by br_netfilter: nf_conntrack_bridge is not in every kernel, and not in
 * ours. Both let a frame in from the MAC address of its port alone (I1): the bridge by a set of
 * nft's bridge family; what it costs without is told as well. Live frames of one connection, which
 * both sides have spoken on: the peer's first rule accepts it, as ours does by its flow.
 */
#include "bench/lanes.h"
#include "loader/policy/policy.h"

#define SLOT 1
#define IN 1
#define MACHINE 2  /* its port, and those of others with rules of their own behind it */
#define PORT 12346 /* of make_frame's destination */

static struct lane ours = {
	.in = "s-in", .in_far = "s-in-far", .out = "s-out", .out_far = "s-out-far"};
static struct lane theirs = {
	.in = "n-in", .in_far = "n-in-far", .out = "n-out", .out_far = "n-out-far"};

/* --- the policy: N rules, and the last of them is the one that lets the frames in --- */

/* In our language, or in nft's. */
static void print_rule(FILE *f, bool nft, unsigned int i, unsigned int n)
{
	unsigned int port = i + 1 == n ? PORT : 20000 + i % 1000;
	char net[32] = "10.0.0.0/24";

	if (i + 1 < n)
		snprintf(net, sizeof(net), "10.%u.%u.0/24", 1 + i / 250, i % 250);
	if (nft)
		fprintf(f, "ip saddr %s udp dport %u accept\n", net, port);
	else
		fprintf(f, "accept in udp from %s dport %u\n", net, port);
}

static char *make_policy(unsigned int first, unsigned int end, unsigned int n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		must(-errno, "memory");
	fputs("default in drop\n", f);
	for (unsigned int i = first; i < end; i++)
		print_rule(f, false, i, n);
	fclose(f);
	return text;
}

static void set_policy(struct dataplane *dp, uint32_t port, const char *text)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct policy_rows rows;
	char error[200] = "";

	must(policy_parse(text, strlen(text), &p, NULL), "policy_parse");
	must(policy_compile(p, 1, policy_digest(text, strlen(text)), &rows, error), error);
	must(dataplane_policy_set(dp, port, rows.v, rows.n), "dataplane_policy_set");
	policy_rows_free(&rows);
}

/* The machine has the last thousand; the others are other machines'. */
static void set_policies(struct dataplane *dp, unsigned int n)
{
	unsigned int each = n < SP_RULES_MAX ? n : SP_RULES_MAX;

	for (unsigned int i = 0; i < n / each; i++) {
		_cleanup_free_
		char *text = make_policy(n - (i + 1) * each, n - i * each, n);

		set_policy(dp, MACHINE + i, text);
	}
}

static void set_nft(unsigned int n)
{
	_cleanup_free_
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		must(-errno, "memory");
	fputs("table ip filter {}\ndelete table ip filter\n"
	      "table ip filter {\nchain forward {\n"
	      "type filter hook forward priority filter; policy drop;\n"
	      "ct state established,related accept\nct state invalid drop\n",
	      f);
	for (unsigned int i = 0; i < n; i++)
		print_rule(f, true, i, n);
	fputs("}\n}\n", f);
	fclose(f);
	run(text, (const char *const[]){"nft", "-f", "-", NULL});
}

/* The bridge's bindings: which address may send by which port. */
static void bind_nft(bool bound)
{
	char text[400];

	snprintf(text, sizeof(text),
		 "table bridge bound {}\ndelete table bridge bound\n"
		 "table bridge bound {\n"
		 "set bound { type ifname . ether_addr\n"
		 "elements = { \"n-in\" . 02:be:00:00:%02x:%02x, \"n-out\" . "
		 "02:be:00:00:%02x:%02x } }\n"
		 "chain in { type filter hook prerouting priority -300; policy drop;\n"
		 "iifname . ether saddr @bound accept\n}\n}\n",
		 SRC >> 8, SRC & 0xff, DST >> 8, DST & 0xff);
	run(bound ? text : "delete table bridge bound\n",
	    (const char *const[]){"nft", "-f", "-", NULL});
}

/* --- the lanes --- */

static void prepare_bridge(void)
{
	char fdb[160];

	run("link add br0 type bridge stp_state 0 mcast_snooping 0\n"
	    "link set n-in master br0\n"
	    "link set n-out master br0\n"
	    "link set n-in type bridge_slave learning off flood off\n"
	    "link set n-out type bridge_slave learning off flood off\n"
	    "link set br0 up\n",
	    (const char *const[]){"ip", "-batch", "-", NULL});
	snprintf(fdb, sizeof(fdb),
		 "fdb add 02:be:00:00:%02x:%02x dev n-out master static\n"
		 "fdb add 02:be:00:00:%02x:%02x dev n-in master static\n",
		 DST >> 8, DST & 0xff, SRC >> 8, SRC & 0xff);
	run(fdb, (const char *const[]){"bridge", "-batch", "-", NULL});
}

static struct sp_dst dst_of(const struct link_info *link, uint32_t port, uint8_t kind)
{
	return (struct sp_dst){
		.ifindex = link->ifindex, .port = port, .max_len = 1514, .kind = kind};
}

static void add_end(struct dataplane *dp, const struct link_info *link, uint32_t port, uint8_t kind,
		    uint32_t number)
{
	const struct sp_port p = {
		.port = port, .segment = BENCH_SEGMENT, .kind = kind, .max_len = 1514};
	const struct sp_bind bind = {.segment = BENCH_SEGMENT, .port = port};
	const struct sp_dst dst = dst_of(link, port, kind);
	uint8_t mac[6];

	bench_mac(mac, number);
	must(dataplane_attach(dp, link->ifindex, &p), "attach");
	must(dataplane_fdb_set(dp, BENCH_SEGMENT, mac, &dst), "destination");
	must(dataplane_bind(dp, link->ifindex, 0, mac, &bind), "binding");
}

static struct dataplane *prepare_ours(void)
{
	const struct dataplane_options options = {.unpinned = true,
						  .max_bindings = 16384,
						  .max_ports = 64,
						  .flows = 16384,
						  .max_rules = 32768,
						  .sampling = true};
	const struct sp_machine machine = {.slot = SLOT};
	struct dataplane *dp = open_dataplane(&options);

	make_slot(dp, SLOT, 16384);
	must(dataplane_machine_begin(dp, MACHINE, &machine), "machine");
	add_end(dp, &ours.in_info, IN, SP_PORT_NETNS, SRC);
	add_end(dp, &ours.out_info, MACHINE, SP_PORT_MACHINE, DST);
	return dp;
}

/* One frame of the connection, and its answer: nobody counts what arrives there. */
static void converse(const struct peers_bpf *peers, const struct lane *l)
{
	struct bench_frame f, back;
	uint64_t ns;

	make_frame(&f, SRC, DST);
	back = f;
	memcpy(back.eth.dst, f.eth.src, 6);
	memcpy(back.eth.src, f.eth.dst, 6);
	memcpy(back.ip + 12, f.ip + 16, 4);
	memcpy(back.ip + 16, f.ip + 12, 4);
	memcpy(back.rest, f.rest + 2, 2);
	memcpy(back.rest + 2, f.rest, 2);
	inject_frame(peers, &l->in_info, &f, 1, &ns);
	inject_frame(peers, &l->out_info, &back, 1, &ns);
}

/* What no rule lets in must not get in. */
static void check_filter(const struct peers_bpf *peers, const struct lane *l)
{
	struct bench_frame f;
	uint64_t ns;

	make_frame(&f, SRC, DST);
	f.rest[3]++; /* another port */
	if (inject_frame(peers, &l->in_info, &f, 64, &ns) != 0)
		must(-EPROTO, "a frame got in that no rule lets in");
	make_frame(&f, SRC + 1, DST);
	if (inject_frame(peers, &l->in_info, &f, 64, &ns) != 0)
		must(-EPROTO, "a frame got in from an address that is not its port's");
}

static void compare(const struct peers_bpf *peers, const char *name, const char *peer)
{
	double ratio[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		if (round % 2)
			ours.ns[round] = forward(peers, &ours);
		theirs.ns[round] = forward(peers, &theirs);
		if (!(round % 2))
			ours.ns[round] = forward(peers, &ours);
		ratio[round] = theirs.ns[round] / ours.ns[round];
	}
	report(name, median(ours.ns, ROUNDS), "ns/frame", peer, median(theirs.ns, ROUNDS),
	       median(ratio, ROUNDS));
}

static void measure(const struct peers_bpf *peers, struct dataplane *dp, unsigned int n)
{
	char name[48];

	set_policies(dp, n);
	set_nft(n);
	for (int i = 0; i < 2; i++) {
		warm_up(peers, i ? &ours : &theirs);
		converse(peers,
			 i ? &ours
			   : &theirs); /* a bridge's port may have forwarded nothing before */
		check_filter(peers, i ? &ours : &theirs);
	}
	snprintf(name, sizeof(name), "firewall.vs_nft.%u", n);
	compare(peers, name, "bridge + nft, stateful");
}

int main(void)
{
	struct peers_bpf *peers;
	struct dataplane *dp;
	int old;

	isolate();
	run(NULL, (const char *const[]){"ip", "netns", "add", FAR, NULL});
	old = enter_netns(FAR);
	silence_ipv6();
	leave_netns(old);
	peers = peers_bpf__open_and_load();
	if (!peers)
		must(-errno, "peers");
	make_lane(&ours, bpf_program__fd(peers->progs.sink));
	make_lane(&theirs, bpf_program__fd(peers->progs.sink));
	dp = prepare_ours();
	prepare_bridge();
	write_file("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
	for (int i = 0; i < 2; i++) {
		struct lane *l = i ? &ours : &theirs;

		must(bpf_xdp_attach((int)l->out_info.ifindex, bpf_program__fd(peers->progs.inject),
				    XDP_FLAGS_DRV_MODE, NULL),
		     l->out);
		open_lane(l, bpf_program__fd(peers->progs.inject));
	}
	bind_nft(true);
	pin_cpu();
	for (unsigned int n = 10; n <= 10000; n *= n == 10 ? 100 : 10)
		measure(peers, dp, n);
	bind_nft(false);
	compare(peers, "firewall.vs_nft_unbound", "the same, from any MAC address");
	dataplane_close(dp);
	peers_bpf__destroy(peers);
	return 0;
}
