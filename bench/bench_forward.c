// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does it cost to get a frame from one veth to another? Three lanes side by side, each a veth
 * in and a veth out with their far ends in another namespace: ours; a Linux bridge with an nft map
 * of source addresses; a program that only redirects. Live frames go in at the near end, a tc
 * program counts and drops them at the far end of the way out.
 */
#include <linux/if_link.h>
#include <net/if.h>

#include "bench/bench.h"
#include "link.h"
#include "peers.skel.h"

#define ROUNDS 11
#define FRAMES 150000
#define BINDINGS 10000
#define SRC 4711
#define DST 1234
#define STRANGER (BINDINGS + 1)
#define FAR "far"
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define LIVE_FRAMES (1U << 1) /* BPF_F_TEST_XDP_LIVE_FRAMES */

enum { STEER, NFT, REDIRECT, LANES };

struct lane {
	const char *in, *in_far, *out, *out_far;
	struct link_info in_info, out_info;
	double ns[ROUNDS];
};

static struct lane lanes[LANES] = {
	[STEER] = {"s-in", "s-in-far", "s-out", "s-out-far"},
	[NFT] = {"n-in", "n-in-far", "n-out", "n-out-far"},
	[REDIRECT] = {"r-in", "r-in-far", "r-out", "r-out-far"},
};

/* The link lives as long as its descriptor: until the process ends. */
static void attach_tcx(const struct link_info *link, int prog_fd)
{
	must(bpf_link_create(prog_fd, (int)link->ifindex, TCX_INGRESS, NULL), link->name);
}

static void make_lane(struct lane *l, int sink_fd)
{
	uint8_t mac[6];
	struct link_info far;
	int old;

	bench_mac(mac, SRC);
	must(link_veth_make(l->in, FAR, l->in_far, mac, 1500, &l->in_info), l->in);
	bench_mac(mac, DST);
	must(link_veth_make(l->out, FAR, l->out_far, mac, 1500, &l->out_info), l->out);
	old = enter_netns(FAR);
	must(link_get(l->in_far, &far), l->in_far);
	must(link_set_up(far.ifindex, true), l->in_far);
	must(link_get(l->out_far, &far), l->out_far);
	attach_tcx(&far, sink_fd);
	must(link_set_up(far.ifindex, true), l->out_far);
	leave_netns(old);
}

/* Up, and with a receive queue that live frames can claim to come from: XDP registers it. */
static void open_lane(const struct lane *l, int inject_fd)
{
	must(bpf_xdp_attach((int)l->in_info.ifindex, inject_fd, XDP_FLAGS_DRV_MODE, NULL), l->in);
	must(link_set_up(l->in_info.ifindex, true), l->in);
	must(link_set_up(l->out_info.ifindex, true), l->out);
}

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

/* br_netfilter would send every frame through the IP tables as well. */
static void switch_off_br_netfilter(void)
{
	static const char *const files[] = {
		"/proc/sys/net/bridge/bridge-nf-call-iptables",
		"/proc/sys/net/bridge/bridge-nf-call-ip6tables",
		"/proc/sys/net/bridge/bridge-nf-call-arptables",
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(files); i++) {
		if (access(files[i], F_OK) == 0)
			write_file(files[i], "0\n");
	}
}

static uint64_t sunk(const struct peers_bpf *peers)
{
	int n_cpus = must(libbpf_num_possible_cpus(), "CPUs");
	_cleanup_free_
	uint64_t *each = calloc((size_t)n_cpus, sizeof(*each));
	uint64_t n = 0;
	uint32_t zero = 0;

	must(bpf_map_lookup_elem(bpf_map__fd(peers->maps.sunk), &zero, each), "sunk");
	for (int i = 0; i < n_cpus; i++)
		n += each[i];
	return n;
}

/* Send N frames in at the lane's near end: how many arrived, and how long the sending took. */
static uint64_t inject(const struct peers_bpf *peers, const struct lane *l, uint32_t src,
		       uint32_t n, uint64_t *ret_ns)
{
	struct bench_frame frame;
	struct xdp_md ctx = {.data_end = sizeof(frame), .ingress_ifindex = l->in_info.ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &frame, .data_size_in = sizeof(frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)n,
		    .flags = LIVE_FRAMES);
	uint64_t before = sunk(peers), begin;

	make_frame(&frame, src, DST);
	begin = now_ns();
	must(bpf_prog_test_run_opts(bpf_program__fd(peers->progs.inject), &opts), "live frames");
	*ret_ns = now_ns() - begin;
	/* The last batch may still be on its way. */
	for (int i = 0; i < 100 && sunk(peers) - before < n; i++)
		usleep(100);
	return sunk(peers) - before;
}

/* ns for each frame that arrived. */
static double forward(const struct peers_bpf *peers, const struct lane *l)
{
	uint64_t ns, arrived = inject(peers, l, SRC, FRAMES, &ns);

	if (arrived < FRAMES - FRAMES / 100 || arrived > FRAMES) {
		fprintf(stderr, "bench_forward: %s to %s: %llu of %d frames arrived\n", l->in,
			l->out, (unsigned long long)arrived, FRAMES);
		exit(1);
	}
	return (double)ns / (double)arrived;
}

/* A bridge's port forwards a moment after its carrier came. */
static void warm_up(const struct peers_bpf *peers, const struct lane *l)
{
	uint64_t ns;

	for (int i = 0; i < 50 && inject(peers, l, SRC, 64, &ns) == 0; i++)
		usleep(100000);
	forward(peers, l);
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
