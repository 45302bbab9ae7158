// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does it cost to get a frame from one veth to another? Three lanes side by side, each a veth
 * in and a veth out with their far ends in another namespace: ours; a Linux bridge with an nft map
 * of source addresses; a program that only redirects. Live frames go in at the near end, a tc
 * program counts and drops them at the far end of the way out.
 */
#include "bench/lanes.h"

#define BINDINGS 10000
#define STRANGER (BINDINGS + 1)

enum { STEER, NFT, REDIRECT, LANES };

static struct lane lanes[LANES] = {
	[STEER] = {"s-in", "s-in-far", "s-out", "s-out-far"},
	[NFT] = {"n-in", "n-in-far", "n-out", "n-out-far"},
	[REDIRECT] = {"r-in", "r-in-far", "r-out", "r-out-far"},
};

static struct dataplane *prepare_steer(const struct lane *l)
{
	const struct dataplane_options options = {
		.unpinned = true, .max_bindings = 16384, .max_ports = 64, .sampling = true};
	struct sp_port in = {
		.port = 1, .segment = BENCH_SEGMENT, .kind = SP_PORT_NETNS, .max_len = 1514};
	struct sp_port out = in;
	struct dataplane *dp = open_dataplane(&options);

	out.port = 2;
	must(dataplane_attach(dp, l->in_info.ifindex, &in), "attach");
	must(dataplane_attach(dp, l->out_info.ifindex, &out), "attach");
	fill(dp, l->in_info.ifindex, l->out_info.ifindex, BINDINGS);
	return dp;
}

/* Kind to the peer: no learning, a static entry, no multicast snooping, no netfilter of IP. */
static void prepare_bridge(void)
{
	_cleanup_free_
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	run("link add br0 type bridge stp_state 0 mcast_snooping 0\n"
	    "link set n-in master br0\n"
	    "link set n-out master br0\n"
	    "link set n-in type bridge_slave learning off flood off\n"
	    "link set n-out type bridge_slave learning off flood off\n"
	    "link set br0 up\n",
	    (const char *const[]){"ip", "-batch", "-", NULL});
	fprintf(f, "fdb add 02:be:00:00:%02x:%02x dev n-out master static\n", DST >> 8, DST & 0xff);
	must_errno(fflush(f));
	run(text, (const char *const[]){"bridge", "-batch", "-", NULL});
	fclose(f);
	free(TAKE_PTR(text));

	f = open_memstream(&text, &size);
	fprintf(f, "table bridge filter {\n"
		   "map sources { type ether_addr : verdict; flags constant; elements = {\n");
	for (unsigned int i = 0; i < BINDINGS; i++)
		fprintf(f, "02:be:00:00:%02x:%02x : accept,\n", i >> 8, i & 0xff);
	fprintf(f, "}\n}\nchain forward {\n"
		   "type filter hook forward priority filter; policy drop;\n"
		   "ether saddr vmap @sources\n}\n}\n");
	fclose(f);
	run(text, (const char *const[]){"nft", "-f", "-", NULL});
}

/* A lane that lets anybody through would be fast for the wrong reason. */
static void check_filter(const struct peers_bpf *peers, const struct lane *l)
{
	uint64_t ns;

	if (inject(peers, l, STRANGER, 64, &ns) != 0) {
		fprintf(stderr, "bench_forward: %s to %s: an unknown source got through\n", l->in,
			l->out);
		exit(1);
	}
}

static void report_lane(const char *name, const char *peer_name, const struct lane *peer)
{
	struct lane subject = lanes[STEER], other = *peer;
	double ratio[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		ratio[i] = other.ns[i] / subject.ns[i];
	report(name, median(subject.ns, ROUNDS), "ns/frame", peer_name, median(other.ns, ROUNDS),
	       median(ratio, ROUNDS));
}

/* The program's target is in its rodata: an object of its own, loaded when the device is there. */
static struct peers_bpf *load_redirect(const struct lane *l)
{
	struct peers_bpf *p = peers_bpf__open();

	if (!p)
		must(-errno, "peers");
	p->rodata->redirect_target = l->out_info.ifindex;
	must(peers_bpf__load(p), "peers");
	attach_tcx(&l->in_info, bpf_program__fd(p->progs.redirect_only));
	return p;
}

int main(void)
{
	struct dataplane *dp;
	struct peers_bpf *peers, *redirect;
	int old;

	isolate();
	run(NULL, (const char *const[]){"ip", "netns", "add", FAR, NULL});
	old = enter_netns(FAR);
	silence_ipv6();
	leave_netns(old);
	peers = peers_bpf__open_and_load();
	if (!peers)
		must(-errno, "peers");
	for (int i = 0; i < LANES; i++)
		make_lane(&lanes[i], bpf_program__fd(peers->progs.sink));
	dp = prepare_steer(&lanes[STEER]);
	prepare_bridge();
	switch_off_br_netfilter();
	redirect = load_redirect(&lanes[REDIRECT]);
	for (int i = 0; i < LANES; i++)
		open_lane(&lanes[i], bpf_program__fd(peers->progs.inject));

	pin_cpu();
	for (int i = 0; i < LANES; i++)
		warm_up(peers, &lanes[i]);
	check_filter(peers, &lanes[STEER]);
	check_filter(peers, &lanes[NFT]);
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < LANES; i++) {
			struct lane *l = &lanes[(i + round) % LANES];

			l->ns[round] = forward(peers, l);
		}
	report_lane("forward.vs_nft_map", "bridge + nft map", &lanes[NFT]);
	report_lane("forward.vs_redirect", "redirect only", &lanes[REDIRECT]);
	dataplane_close(dp);
	peers_bpf__destroy(redirect);
	peers_bpf__destroy(peers);
	return 0;
}
