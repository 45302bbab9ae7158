// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does a frame of an unknown source cost whoever writes it to a VPN tap? The same tap with the
 * guard attached and without any program, where the host's stack drops it; the writer is
 * non-blocking, as OpenVPN is.
 */
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "bench/bench.h"
#include "link.h"

#define ROUNDS 11
#define FRAMES 100000
#define TAP "bench-tap"
#define VID 101
#define UNBOUND 99999

struct tagged_frame {
	struct bench_addresses eth;
	uint16_t tag_proto, tag;
	uint8_t rest[BENCH_FRAME_LEN - sizeof(struct bench_addresses)];
} __attribute__((packed));

static void make_tagged(struct tagged_frame *t)
{
	struct bench_frame f;

	make_frame(&f, UNBOUND, 1);
	t->eth = f.eth;
	t->tag_proto = htons(0x8100);
	t->tag = htons(VID);
	memcpy(t->rest, &f.proto, sizeof(t->rest));
}

static int open_tap(void)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	must_errno(fd);
	strcpy(ifr.ifr_name, TAP);
	must_errno(ioctl(fd, TUNSETIFF, &ifr));
	return fd;
}

static double write_frames(int fd)
{
	struct tagged_frame f;
	uint64_t begin;

	make_tagged(&f);
	begin = now_ns();
	for (int i = 0; i < FRAMES; i++)
		if (write(fd, &f, sizeof(f)) != sizeof(f))
			must(-errno, "write to the tap");
	return (double)(now_ns() - begin) / FRAMES;
}

static void attach(struct dataplane *dp, uint32_t ifindex)
{
	const struct sp_port port = {
		.port = 1, .kind = SP_PORT_VPN, .flags = SP_F_VLAN_MODE, .max_len = 1514};

	must(link_set_up(ifindex, false), TAP);
	must(dataplane_attach(dp, ifindex, &port), "attach");
	must(link_set_up(ifindex, true), TAP);
}

static void detach(struct dataplane *dp, uint32_t ifindex)
{
	must(link_set_up(ifindex, false), TAP);
	must(dataplane_detach(dp, ifindex), "detach");
	must(link_set_up(ifindex, true), TAP);
}

/* Each frame must have died for the reason that is measured, or the figure means nothing. */
static void check_drops(struct dataplane *dp, uint64_t expected)
{
	struct sp_reason_count c;

	must(dataplane_reason_get(dp, SP_R_SRC_UNBOUND, &c), "reasons");
	if (c.frames != expected) {
		fprintf(stderr, "bench_guard: %llu frames dropped as src-unbound, expected %llu\n",
			(unsigned long long)c.frames, (unsigned long long)expected);
		exit(1);
	}
}

int main(void)
{
	const struct dataplane_options options = {.bpffs = BENCH_BPFFS,
						  .max_bindings = 16384,
						  .max_ports = 64,
						  .sampling = true,
						  .sample_ns = 10000000};
	const struct sp_vid vid = {.segment = BENCH_SEGMENT, .port = 2, .generation = 1};
	double guard[ROUNDS], stack[ROUNDS], ratio[ROUNDS];
	_cleanup_(dataplane_closep) struct dataplane *dp = NULL;
	struct link_info tap;
	_cleanup_close_
	int fd = -1;

	isolate();
	must(link_tap_make(TAP, 0, 0, 1500, &tap), TAP);
	fd = open_tap();
	dp = open_dataplane(&options);
	must(dataplane_vid_set(dp, tap.ifindex, VID, &vid), "vid");
	fill(dp, tap.ifindex, tap.ifindex, 10000);
	pin_cpu();
	for (int i = 0; i < ROUNDS; i++) {
		attach(dp, tap.ifindex);
		guard[i] = write_frames(fd);
		detach(dp, tap.ifindex);
		stack[i] = write_frames(fd);
		ratio[i] = stack[i] / guard[i];
	}
	check_drops(dp, (uint64_t)ROUNDS * FRAMES);
	report("guard.vs_stack", median(guard, ROUNDS), "ns/frame", "stack drops",
	       median(stack, ROUNDS), median(ratio, ROUNDS));
	return 0;
}
