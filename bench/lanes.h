/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes for live frames: a veth in and a veth out, with their far ends in another namespace. Frames
 * go in at the near end; a tc program counts and drops them at the far end of the way out.
 */
#ifndef SALLYPORT_BENCH_LANES_H
#define SALLYPORT_BENCH_LANES_H

#include <linux/if_link.h>
#include <net/if.h>

#include "bench/bench.h"
#include "link.h"
#include "peers.skel.h"

#define ROUNDS 11
#define FRAMES 150000
#define SRC 4711
#define DST 1234
#define FAR "far"
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define LIVE_FRAMES (1U << 1) /* BPF_F_TEST_XDP_LIVE_FRAMES */

struct lane {
	const char *in, *in_far, *out, *out_far;
	struct link_info in_info, out_info;
	double ns[ROUNDS];
};

/* The link lives as long as its descriptor: until the process ends. */
static inline void attach_tcx(const struct link_info *link, int prog_fd)
{
	must(bpf_link_create(prog_fd, (int)link->ifindex, TCX_INGRESS, NULL), link->name);
}

static inline void make_lane(struct lane *l, int sink_fd)
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
static inline void open_lane(const struct lane *l, int inject_fd)
{
	must(bpf_xdp_attach((int)l->in_info.ifindex, inject_fd, XDP_FLAGS_DRV_MODE, NULL), l->in);
	must(link_set_up(l->in_info.ifindex, true), l->in);
	must(link_set_up(l->out_info.ifindex, true), l->out);
}

/* br_netfilter would send every frame through the IP tables as well. */
static inline void switch_off_br_netfilter(void)
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

static inline uint64_t sunk(const struct peers_bpf *peers)
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

/* Send FRAME N times in at a lane's near end, as if it came from the far one: how many arrived, and
 * how long the sending took. */
static inline uint64_t inject_frame(const struct peers_bpf *peers, const struct link_info *at,
				    const struct bench_frame *frame, uint32_t n, uint64_t *ret_ns)
{
	struct xdp_md ctx = {.data_end = sizeof(*frame), .ingress_ifindex = at->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(*frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)n,
		    .flags = LIVE_FRAMES);
	uint64_t before = sunk(peers), begin;

	begin = now_ns();
	must(bpf_prog_test_run_opts(bpf_program__fd(peers->progs.inject), &opts), "live frames");
	*ret_ns = now_ns() - begin;
	/* The last batch may still be on its way. */
	for (int i = 0; i < 100 && sunk(peers) - before < n; i++)
		usleep(100);
	return sunk(peers) - before;
}

static inline uint64_t inject(const struct peers_bpf *peers, const struct lane *l, uint32_t src,
			      uint32_t n, uint64_t *ret_ns)
{
	struct bench_frame frame;

	make_frame(&frame, src, DST);
	return inject_frame(peers, &l->in_info, &frame, n, ret_ns);
}

/* ns for each frame that arrived. */
static inline double forward(const struct peers_bpf *peers, const struct lane *l)
{
	uint64_t ns, arrived = inject(peers, l, SRC, FRAMES, &ns);

	if (arrived < FRAMES - FRAMES / 100 || arrived > FRAMES) {
		fprintf(stderr, "%s: %s to %s: %llu of %d frames arrived\n",
			program_invocation_short_name, l->in, l->out, (unsigned long long)arrived,
			FRAMES);
		exit(1);
	}
	return (double)ns / (double)arrived;
}

/* A bridge's port forwards a moment after its carrier came. */
static inline void warm_up(const struct peers_bpf *peers, const struct lane *l)
{
	uint64_t ns;

	for (int i = 0; i < 50 && inject(peers, l, SRC, 64, &ns) == 0; i++)
		usleep(100000);
	forward(peers, l);
}

#endif
