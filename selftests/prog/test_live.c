// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Do frames really come out where they should, byte for byte? Real taps held as OpenVPN holds
 * them, real veths into another namespace, programs attached and pinned by the loader: through TCX
 * links, and once more through clsact filters as on a kernel without TCX.
 */
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "link.h"
#include "sallyport/paths.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"

#define IP 0x0800
#define ARP 0x0806
#define IP6 0x86dd
#define Q 0x8100
#define WAIT_MS 2000 /* for a frame that must come */
#define QUIET_MS 20  /* for one that must not: all of it happens inside the write */

static struct world world;
static int far_fd[_W_DEVS]; /* raw sockets at the veths' far ends */
static bool clsact, tcx;    /* what was asked for, and what this kernel gave */

/* --- a place to receive, whatever the device --- */

static ssize_t receive(enum world_dev d, uint8_t *buf, size_t size, int timeout_ms)
{
	if (far_fd[d] < 0 && world.tap[d] < 0)
		return -EAGAIN; /* it was removed */
	return far_fd[d] >= 0 ? net_packet_recv(far_fd[d], buf, size, timeout_ms)
			      : net_tap_recv(world.tap[d], buf, size, timeout_ms);
}

static void drain(void)
{
	uint8_t buf[PROBE_MAX];

	for (int d = 0; d < _W_DEVS; d++)
		while (receive(d, buf, sizeof(buf), 0) >= 0)
			;
}

static void send_frame(const struct model_frame *f)
{
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(f, buf, true);
	int fd = far_fd[f->dev] >= 0 ? far_fd[f->dev] : world.tap[f->dev];

	assert_int_equal(write(fd, buf, n), n);
}

/* Device D got exactly F, with this tag. */
static void expect_frame(enum world_dev d, const struct model_frame *f, uint16_t vid)
{
	struct model_frame out = *f;
	uint8_t got[PROBE_MAX], want[PROBE_MAX];
	size_t len;
	ssize_t n;

	out.tag_proto = vid ? Q : 0;
	out.tci = vid;
	len = probe_bytes(&out, want, true);
	n = receive(d, got, sizeof(got), WAIT_MS);
	if (n != (ssize_t)len)
		fail_msg("%s: %zd bytes, expected %zu", world_dev_name[d], n, len);
	assert_memory_equal(got, want, len);
}

static void expect_nothing_anywhere(void)
{
	uint8_t buf[PROBE_MAX];

	usleep(QUIET_MS * 1000);
	for (int d = 0; d < W_STRANGER; d++) { /* that one is nobody's to guard */
		ssize_t n = receive(d, buf, sizeof(buf), 0);

		if (n != -EAGAIN)
			fail_msg("%s: a frame that nobody should get: %zd", world_dev_name[d], n);
	}
}

static struct model_frame frame(enum world_dev dev, uint16_t vid, enum world_mac dst,
				enum world_mac src, uint16_t proto, uint16_t len)
{
	struct model_frame f = {.dev = dev, .tci = vid, .proto = proto, .len = len};

	f.tag_proto = vid ? Q : 0;
	memcpy(f.dst, world_mac[dst], SP_MAC_LEN);
	memcpy(f.src, world_mac[src], SP_MAC_LEN);
	return f;
}

static uint64_t dropped(enum sp_reason reason)
{
	struct sp_reason_count c;

	assert_int_equal(dataplane_reason_get(world.dp, reason, &c), 0);
	return c.frames;
}

/* --- walks --- */

static void test_unicast(void **state)
{
	static const struct {
		enum world_dev from;
		uint16_t vid;
		enum world_mac src, dst;
		enum world_dev to;
		uint16_t to_vid;
	} walks[] = {
		{W_VLAN, 101, M_A1, M_N1, W_NET1, 0},	{W_VLAN, 201, M_A1, M_N1, W_NET3, 0},
		{W_VLAN, 101, M_A1, M_A2, W_VLAN, 102}, {W_VLAN, 102, M_A2, M_A3, W_MAC, 0},
		{W_MAC, 0, M_A3, M_N2, W_NET2, 0},	{W_MAC, 0, M_A3, M_A1, W_VLAN, 101},
		{W_NET1, 0, M_N1, M_A1, W_VLAN, 101},	{W_NET1, 0, M_N1, M_A3, W_MAC, 0},
		{W_NET1, 0, M_N1, M_N2, W_NET2, 0},	{W_NET3, 0, M_N1, M_A1, W_VLAN, 201},
	};
	static const uint16_t protos[] = {IP, IP6, ARP};
	static const uint16_t lens[] = {60, 590, 1514};

	for (size_t i = 0; i < SP_ARRAY_SIZE(walks); i++)
		for (int k = 0; k < 3; k++) {
			struct model_frame f = frame(walks[i].from, walks[i].vid, walks[i].dst,
						     walks[i].src, protos[k], lens[k]);

			send_frame(&f);
			expect_frame(walks[i].to, &f, walks[i].to_vid);
		}
	expect_nothing_anywhere();
}

/* I3: the segment's ports, each in its own form, and nobody else. */
static void test_group(void **state)
{
	static const struct model_frame none;
	struct model_frame f = none, unicast;

	f = frame(W_VLAN, 101, M_BROADCAST, M_A1, ARP, 60);
	send_frame(&f);
	expect_frame(W_VLAN, &f, 102);
	expect_frame(W_NET1, &f, 0);
	expect_frame(W_NET2, &f, 0);
	expect_frame(W_SMALL, &f, 0);
	unicast = f;
	memcpy(unicast.dst, world_mac[M_A3], SP_MAC_LEN);
	expect_frame(W_MAC, &unicast, 0);
	expect_nothing_anywhere();

	f = frame(W_NET3, 0, M_MULTICAST, M_N1, IP6, 590);
	send_frame(&f);
	expect_frame(W_VLAN, &f, 201);
	unicast = f;
	memcpy(unicast.dst, world_mac[M_B3], SP_MAC_LEN);
	expect_frame(W_MAC, &unicast, 0);
	expect_nothing_anywhere();
}

/* I1, I6: and the guard is the one that stops it on a VPN tap. */
static void test_drops(void **state)
{
	static const struct {
		enum sp_reason reason;
		enum world_dev dev;
		uint16_t vid;
		enum world_mac dst, src;
		uint16_t proto;
	} drops[] = {
		{SP_R_SRC_UNBOUND, W_VLAN, 101, M_N1, M_NOBODY, IP},
		{SP_R_SRC_UNBOUND, W_VLAN, 101, M_BROADCAST, M_N1, ARP},
		{SP_R_VID_UNBOUND, W_VLAN, 77, M_N1, M_A1, IP},
		{SP_R_TAG_MISSING, W_VLAN, 0, M_N1, M_A1, IP},
		{SP_R_TAG_UNEXPECTED, W_MAC, 101, M_N1, M_A3, IP},
		{SP_R_TAG_UNEXPECTED, W_NET1, 101, M_A1, M_N1, IP},
		{SP_R_ETHERTYPE, W_VLAN, 101, M_N1, M_A1, 0x88b5},
		{SP_R_INNER_TAG, W_VLAN, 101, M_N1, M_A1, Q},
		{SP_R_SRC_UNBOUND, W_NET1, 0, M_A1, M_N2, IP},
		{SP_R_DST_UNKNOWN, W_NET1, 0, M_B3, M_N1, IP6},
		{SP_R_PORT_UNKNOWN, W_CLOSED, 0, M_N1, M_C1, IP},
		{SP_R_POLICED, W_VLAN, 401, M_N1, M_P1, IP},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(drops); i++) {
		enum sp_reason reason = drops[i].reason;
		struct model_frame f = frame(drops[i].dev, drops[i].vid, drops[i].dst, drops[i].src,
					     drops[i].proto, 60);
		uint64_t before;

		if (reason == SP_R_PORT_UNKNOWN)
			reason = SP_R_PORT_DOWN;
		before = dropped(reason);
		send_frame(&f);
		expect_nothing_anywhere();
		if (dropped(reason) != before + 1)
			fail_msg("row %zu: %s did not move", i, sp_reason_name(reason));
	}
}

static int hook_seen;

static void on_event(const struct sp_event *e, void *arg)
{
	hook_seen = e->hook;
}

static void test_guard_comes_first(void **state)
{
	struct model_frame f = frame(W_VLAN, 101, M_N1, M_NOBODY, IP, 60);

	dataplane_events_drain(world.dp, on_event, NULL);
	hook_seen = 0;
	send_frame(&f);
	assert_int_equal(dataplane_events_drain(world.dp, on_event, NULL), 1);
	assert_int_equal(hook_seen, SP_HOOK_GUARD);
	f = frame(W_VLAN, 101, M_NOBODY, M_A1, IP, 60);
	send_frame(&f);
	assert_int_equal(dataplane_events_drain(world.dp, on_event, NULL), 1);
	assert_int_equal(hook_seen, SP_HOOK_STEER);
}

/* I4: what the host itself says on a port reaches nobody. */
static void test_host_is_silent(void **state)
{
	uint64_t before = dropped(SP_R_NOT_OURS);
	struct model_frame f = frame(W_VLAN, 0, M_BROADCAST, M_NOBODY, IP6, 90);
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(&f, buf, false);

	for (int d = 0; d < _W_DEVS; d++) {
		_cleanup_close_
		int fd = net_packet_open(NULL, world_dev_name[d]);

		if (d == W_STRANGER)
			continue;
		assert_true(fd >= 0);
		/* The guard's drop is an error for who sends: that is how it learns. */
		if (write(fd, buf, n) < 0)
			assert_int_equal(errno, ENOBUFS);
	}
	expect_nothing_anywhere();
	/* The host's own IPv6 may have spoken as well. */
	assert_true(dropped(SP_R_NOT_OURS) - before >= _W_DEVS - 1);
}

static void test_policing(void **state)
{
	const struct dataplane_rate slow = {.frames_per_s = 10, .frames_burst = 20};
	const struct dataplane_rate none = {.frames_per_s = 0};
	struct model_frame f = frame(W_VLAN, 101, M_N1, M_A1, IP, 60);
	uint8_t buf[PROBE_MAX];
	uint64_t before = dropped(SP_R_POLICED);
	int came = 0;

	assert_int_equal(dataplane_police_set(world.dp, 101, &slow), 0);
	for (int i = 0; i < 200; i++)
		send_frame(&f);
	while (receive(W_NET1, buf, sizeof(buf), QUIET_MS) > 0)
		came++;
	assert_int_equal(dataplane_police_set(world.dp, 101, &none), 0);
	assert_in_range(came, 20, 30); /* the burst, and what a slow machine's clock adds */
	assert_int_equal(dropped(SP_R_POLICED) - before, 200 - came);
	/* Another session was never touched, nor is this one now. */
	for (int i = 0; i < 100; i++) {
		send_frame(&f);
		expect_frame(W_NET1, &f, 0);
	}
}

/* --- I5: programs replaced under a stream --- */

struct stream {
	atomic_bool stop;
	uint32_t sent;
};

static void *stream_main(void *arg)
{
	struct stream *s = arg;
	struct model_frame f = frame(W_VLAN, 101, M_N1, M_A1, IP, 100);
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(&f, buf, true);

	while (!atomic_load(&s->stop)) {
		if (write(world.tap[W_VLAN], buf, n) == (ssize_t)n)
			s->sent++;
		usleep(50);
	}
	return NULL;
}

static int open_again(struct dataplane **ret, bool sampling)
{
	const struct dataplane_options options = {.bpffs = NET_BPFFS,
						  .max_bindings = 1024,
						  .max_ports = WORLD_PORTS,
						  .sampling = sampling,
						  .force_clsact = clsact};
	_cleanup_free_
	char *error = NULL;
	int r = dataplane_open(&options, ret, &error);

	if (error)
		print_error("%s\n", error);
	return r;
}

static int reopen(struct dataplane **ret)
{
	return open_again(ret, true);
}

/* How many of the guard's, of steer's and of the egress guard's drops are sampled. */
static int sampled_drops(void)
{
	struct model_frame unbound = frame(W_VLAN, 101, M_N1, M_NOBODY, IP, 60);
	struct model_frame unknown = frame(W_VLAN, 101, M_NOBODY, M_A1, IP, 60);
	_cleanup_close_
	int fd = net_packet_open(NULL, world_dev_name[W_MAC]);
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(&unbound, buf, false);

	assert_true(fd >= 0);
	assert_true(dataplane_events_drain(world.dp, on_event, NULL) >= 0);
	send_frame(&unbound);
	send_frame(&unknown);
	if (write(fd, buf, n) < 0)
		assert_int_equal(errno, ENOBUFS);
	return dataplane_events_drain(world.dp, on_event, NULL);
}

/* The programs behind the links are the new ones: those that were told to send no samples. */
static void test_upgrade_arrives(void **state)
{
	for (int sampling = 0; sampling < 2; sampling++) {
		struct dataplane *new = NULL;

		assert_int_equal(open_again(&new, sampling), 0);
		dataplane_close(world.dp);
		world.dp = new;
		assert_int_equal(sampled_drops(), sampling ? 3 : 0);
	}
}

static void test_upgrade(void **state)
{
	struct stream s = {.sent = 0};
	uint32_t came = 0;
	uint8_t buf[PROBE_MAX];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stream_main, &s), 0);
	for (int i = 0; i < 10; i++) {
		struct dataplane *new = NULL;
		int r;

		usleep(5000);
		r = reopen(&new);
		if (r == 0) {
			dataplane_close(world.dp);
			world.dp = new;
		} else {
			i = 10;
			print_error("open: %s\n", strerror(-r));
		}
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	while (receive(W_NET1, buf, sizeof(buf), QUIET_MS) > 0)
		came++;
	print_message("# %u frames across 10 upgrades\n", s.sent);
	assert_true(s.sent > 500);
	assert_int_equal(came, s.sent);
	test_group(NULL);
}

/* --- pins --- */

static int count_port(uint32_t ifindex, const struct sp_port *port, void *arg)
{
	++*(unsigned int *)arg;
	return 0;
}

static void test_pins_survive(void **state)
{
	struct model_frame f = frame(W_VLAN, 101, M_N1, M_A1, IP, 60);
	unsigned int n = 0;

	dataplane_close(TAKE_PTR(world.dp));
	send_frame(&f);
	expect_frame(W_NET1, &f, 0);
	f = frame(W_VLAN, 101, M_N1, M_NOBODY, IP, 60);
	send_frame(&f);
	expect_nothing_anywhere();
	assert_int_equal(reopen(&world.dp), 0);
	assert_int_equal(dataplane_features(world.dp)->tcx, tcx);
	assert_int_equal(dataplane_each_port(world.dp, count_port, &n), 0);
	assert_true(n >= world_n_ports);
	assert_true(dropped(SP_R_SRC_UNBOUND) > 0); /* counted while nobody held it */
}

/* --- the end of a device --- */

static void test_detach(void **state)
{
	uint32_t ifindex = world.ifindex[W_NET2];
	struct model_frame f = frame(W_NET2, 0, M_A1, M_N2, IP, 60);
	struct sp_port port;

	send_frame(&f);
	expect_frame(W_VLAN, &f, 101);
	assert_int_equal(dataplane_detach(world.dp, ifindex), 0);
	assert_int_equal(dataplane_port_get(world.dp, ifindex, &port), -ENOENT);
	send_frame(&f);
	expect_nothing_anywhere();
	assert_int_equal(dataplane_detach(world.dp, ifindex), 0); /* gone is fine */
	for (size_t i = 0; i < world_n_ports; i++)
		if (world_ports[i].dev == W_NET2)
			assert_int_equal(dataplane_attach(world.dp, ifindex, &world_ports[i].port),
					 0);
	send_frame(&f);
	expect_frame(W_VLAN, &f, 101);
}

struct search {
	uint32_t ifindex;
	bool found;
};

static int search_port(uint32_t ifindex, const struct sp_port *port, void *arg)
{
	struct search *s = arg;

	s->found |= s->ifindex == ifindex;
	return 0;
}

/* A number that is given to a new device while the pins of the old one are still there. */
static void check_reused_number(uint32_t old)
{
	static const char *const links[] = {"ingress", "egress"};
	const struct sp_port port = {.port = 16, .segment = 9, .kind = SP_PORT_NETNS};
	_cleanup_close_
	int tap = net_tap_open("w-reused");
	uint32_t new = if_nametoindex("w-reused");
	char from[128], to[128];

	assert_true(tap >= 0);
	for (int i = 0; i < 2 && tcx; i++) {
		snprintf(from, sizeof(from), NET_BPFFS "/" SP_PIN_DIR "/v1/links/%u-%s", old,
			 links[i]);
		snprintf(to, sizeof(to), NET_BPFFS "/" SP_PIN_DIR "/v1/links/%u-%s", new, links[i]);
		assert_int_equal(rename(from, to), 0);
	}
	assert_int_equal(dataplane_attach(world.dp, new, &port), 0);
	assert_int_equal(dataplane_detach(world.dp, new), 0);
}

/* What a device has left behind can be found and removed, and an upgrade does not trip over it. */
static void test_vanished(void **state)
{
	struct search s = {.ifindex = world.ifindex[W_NET2]};
	struct dataplane *new = NULL;

	closep(&far_fd[W_NET2]);
	far_fd[W_NET2] = -1;
	assert_int_equal(link_remove(s.ifindex), 0);
	assert_int_equal(reopen(&new), 0);
	dataplane_close(world.dp);
	world.dp = new;
	assert_int_equal(dataplane_each_port(world.dp, search_port, &s), 0);
	assert_true(s.found);
	check_reused_number(s.ifindex);
	assert_int_equal(dataplane_detach(world.dp, s.ifindex), 0);
	s.found = false;
	assert_int_equal(dataplane_each_port(world.dp, search_port, &s), 0);
	assert_false(s.found);
	/* The others still work. */
	struct model_frame f = frame(W_VLAN, 101, M_N1, M_A1, IP6, 90);

	send_frame(&f);
	expect_frame(W_NET1, &f, 0);
}

static void test_destroy(void **state)
{
	const struct dataplane_options options = {.bpffs = NET_BPFFS,
						  .max_bindings = 1024,
						  .max_ports = WORLD_PORTS,
						  .force_clsact = clsact};
	struct model_frame f = frame(W_VLAN, 101, M_N1, M_A1, IP, 60);
	uint8_t buf[PROBE_MAX];

	dataplane_close(TAKE_PTR(world.dp));
	assert_int_equal(dataplane_destroy(&options), 0);
	assert_int_not_equal(access(NET_BPFFS "/" SP_PIN_DIR "/v1", F_OK), 0);
	assert_int_equal(dataplane_destroy(&options), 0); /* gone is fine */
	send_frame(&f);
	assert_int_equal(receive(W_NET1, buf, sizeof(buf), QUIET_MS), -EAGAIN);
}

/* --- the two worlds --- */

static int open_far(void)
{
	for (int d = 0; d < _W_DEVS; d++) {
		char peer[IF_NAMESIZE];

		far_fd[d] = -1;
		if (world.tap[d] >= 0)
			continue;
		snprintf(peer, sizeof(peer), "%s-far", world_dev_name[d]);
		far_fd[d] = net_packet_open("far", peer);
		if (far_fd[d] < 0)
			return far_fd[d];
	}
	return 0;
}

/* The far ends send a moment after their carrier came (linkwatch), and until then into nothing. */
static int wait_for_carrier(void)
{
	static const struct {
		enum world_dev dev;
		enum world_mac src;
	} veths[] = {{W_NET1, M_N1}, {W_NET2, M_N2}, {W_NET3, M_N1}};
	uint8_t buf[PROBE_MAX];

	for (size_t i = 0; i < SP_ARRAY_SIZE(veths); i++) {
		struct model_frame f = frame(veths[i].dev, 0, M_A1, veths[i].src, IP, 60);
		ssize_t n = -EAGAIN;

		for (int tries = 0; tries < 100 && n < 0; tries++) {
			send_frame(&f);
			n = receive(W_VLAN, buf, sizeof(buf), 50);
		}
		if (n < 0)
			return (int)n;
	}
	return 0;
}

static int setup(bool force_clsact)
{
	const struct world_options options = {.live = true, .force_clsact = force_clsact};
	int r = net_isolate();
	int old;

	clsact = force_clsact;
	if (r == 0)
		r = net_netns_add("far");
	if (r < 0)
		goto out;
	old = net_enter("far");
	net_no_ipv6();
	net_leave(old);
	r = world_open(&world, &options);
	if (r == 0) {
		tcx = dataplane_features(world.dp)->tcx;
		r = open_far();
	}
	if (r == 0)
		r = wait_for_carrier();
	if (r == 0)
		drain();
out:
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	return r;
}

/* TAP takes one plan for a program: the two worlds open and close as tests of one group. */
static void test_open_links(void **state)
{
	assert_int_equal(setup(false), 0);
}

static void test_open_clsact(void **state)
{
	assert_int_equal(setup(true), 0);
	assert_false(dataplane_features(world.dp)->tcx);
}

static void test_close(void **state)
{
	for (int d = 0; d < _W_DEVS; d++)
		closep(&far_fd[d]);
	world_close(&world);
}

#define TEST(kind, what, function)                                                                 \
	{                                                                                          \
		.name = kind ": " what, .test_func = (function)                                    \
	}
#define TESTS(kind, open)                                                                          \
	TEST(kind, "open", open), TEST(kind, "unicast", test_unicast),                             \
		TEST(kind, "group frames", test_group), TEST(kind, "drops", test_drops),           \
		TEST(kind, "the guard comes first", test_guard_comes_first),                       \
		TEST(kind, "the host is silent", test_host_is_silent),                             \
		TEST(kind, "policing", test_policing),                                             \
		TEST(kind, "upgrade loses nothing", test_upgrade),                                 \
		TEST(kind, "upgrade arrives", test_upgrade_arrives),                               \
		TEST(kind, "pins survive", test_pins_survive), TEST(kind, "detach", test_detach),  \
		TEST(kind, "vanished device", test_vanished), TEST(kind, "destroy", test_destroy), \
		TEST(kind, "close", test_close)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTS("best", test_open_links),
		TESTS("clsact", test_open_clsact),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
