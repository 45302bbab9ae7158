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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "link.h"
#include "sallyport/paths.h"
#include "selftests/harness/live.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/shape.h"

#define IP 0x0800
#define ARP 0x0806
#define IP6 0x86dd
#define Q 0x8100

static struct live live;

static uint64_t dropped(enum sp_reason reason)
{
	struct sp_reason_count c;

	assert_int_equal(dataplane_reason_get(live.world.dp, reason, &c), 0);
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
			struct model_frame f = live_frame(walks[i].from, walks[i].vid, walks[i].dst,
							  walks[i].src, protos[k], lens[k]);

			live_send(&live, &f);
			live_expect(&live, walks[i].to, &f, walks[i].to_vid);
		}
	live_expect_nothing(&live);
}

/* I3: the segment's ports, each in its own form, and nobody else. */
static void test_group(void **state)
{
	static const struct model_frame none;
	struct model_frame f = none, unicast;

	f = live_frame(W_VLAN, 101, M_BROADCAST, M_A1, ARP, 60);
	live_send(&live, &f);
	live_expect(&live, W_VLAN, &f, 102);
	live_expect(&live, W_NET1, &f, 0);
	live_expect(&live, W_NET2, &f, 0);
	live_expect(&live, W_SMALL, &f, 0);
	unicast = f;
	memcpy(unicast.dst, world_mac[M_A3], SP_MAC_LEN);
	live_expect(&live, W_MAC, &unicast, 0);
	live_expect_nothing(&live);

	f = live_frame(W_NET3, 0, M_MULTICAST, M_N1, IP6, 590);
	live_send(&live, &f);
	live_expect(&live, W_VLAN, &f, 201);
	unicast = f;
	memcpy(unicast.dst, world_mac[M_B3], SP_MAC_LEN);
	live_expect(&live, W_MAC, &unicast, 0);
	live_expect_nothing(&live);
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
		struct model_frame f = live_frame(drops[i].dev, drops[i].vid, drops[i].dst,
						  drops[i].src, drops[i].proto, 60);
		uint64_t before;

		if (reason == SP_R_PORT_UNKNOWN)
			reason = SP_R_PORT_DOWN;
		before = dropped(reason);
		live_send(&live, &f);
		live_expect_nothing(&live);
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
	struct model_frame f = live_frame(W_VLAN, 101, M_N1, M_NOBODY, IP, 60);

	dataplane_events_drain(live.world.dp, on_event, NULL);
	hook_seen = 0;
	live_send(&live, &f);
	assert_int_equal(dataplane_events_drain(live.world.dp, on_event, NULL), 1);
	assert_int_equal(hook_seen, SP_HOOK_GUARD);
	f = live_frame(W_VLAN, 101, M_NOBODY, M_A1, IP, 60);
	live_send(&live, &f);
	assert_int_equal(dataplane_events_drain(live.world.dp, on_event, NULL), 1);
	assert_int_equal(hook_seen, SP_HOOK_STEER);
}

/* I4: what the host itself says on a port reaches nobody. */
static void test_host_is_silent(void **state)
{
	uint64_t before = dropped(SP_R_NOT_OURS);
	struct model_frame f = live_frame(W_VLAN, 0, M_BROADCAST, M_NOBODY, IP6, 90);
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
	live_expect_nothing(&live);
	/* The host's own IPv6 may have spoken as well. */
	assert_true(dropped(SP_R_NOT_OURS) - before >= _W_DEVS - 1);
}

static void test_policing(void **state)
{
	const struct dataplane_rate slow = {.frames_per_s = 10, .frames_burst = 20};
	const struct dataplane_rate none = {.frames_per_s = 0};
	struct model_frame f = live_frame(W_VLAN, 101, M_N1, M_A1, IP, 60);
	uint8_t buf[PROBE_MAX];
	uint64_t before = dropped(SP_R_POLICED);
	int came = 0;

	assert_int_equal(dataplane_police_set(live.world.dp, 101, &slow), 0);
	for (int i = 0; i < 200; i++)
		live_send(&live, &f);
	while (live_receive(&live, W_NET1, buf, sizeof(buf), LIVE_QUIET_MS) > 0)
		came++;
	assert_int_equal(dataplane_police_set(live.world.dp, 101, &none), 0);
	assert_in_range(came, 20, 30); /* the burst, and what a slow machine's clock adds */
	assert_int_equal(dropped(SP_R_POLICED) - before, 200 - came);
	/* Another session was never touched, nor is this one now. */
	for (int i = 0; i < 100; i++) {
		live_send(&live, &f);
		live_expect(&live, W_NET1, &f, 0);
	}
}

/* --- machines: the program by the kind of port --- */

static int reopen(struct dataplane **ret);

/* An ARP reply of the machine W_PINNED to session 461, in its own name or in another's. */
static struct model_frame arp_of_machine(bool own)
{
	const struct shape s = {.kind = SHAPE_ARP,
				.a = 2,
				.lla = world_mac[M_M1],
				.src = own ? "10.6.0.1" : "10.6.0.3",
				.tha = world_mac[M_V6],
				.dst = "10.6.0.61"};
	struct model_frame f = live_frame(W_PINNED, 0, M_V6, M_M1, ARP, 60);
	uint8_t bytes[SHAPE_MAX];

	f.payload_len = (uint16_t)(shape_bytes(&s, f.dst, f.src, bytes) - MODEL_ETH);
	memcpy(f.payload, bytes + MODEL_ETH, f.payload_len);
	return f;
}

static void expect_guarded(bool guarded)
{
	struct model_frame own = arp_of_machine(true), spoofed = arp_of_machine(false);
	uint64_t before = dropped(SP_R_SPOOF_ARP);

	live_send(&live, &own);
	live_expect(&live, W_VLAN, &own, 461);
	live_send(&live, &spoofed);
	if (!guarded)
		live_expect(&live, W_VLAN, &spoofed, 461);
	live_expect_nothing(&live);
	assert_int_equal(dropped(SP_R_SPOOF_ARP) - before, guarded);
}

static void attach_as(enum sp_port_kind kind)
{
	struct sp_port port = {.kind = 0};

	for (size_t i = 0; i < world_n_ports; i++)
		if (world_ports[i].dev == W_PINNED)
			port = world_ports[i].port;
	port.kind = kind;
	assert_int_equal(dataplane_attach(live.world.dp, live.world.ifindex[W_PINNED], &port), 0);
}

/* Does the guard see what comes in by device D? A runt of its own. */
static int guard_events;

static void count_guard(const struct sp_event *e, void *arg)
{
	guard_events += e->hook == SP_HOOK_GUARD && e->ifindex == live.world.ifindex[W_PINNED];
}

static int guard_sees(void)
{
	struct model_frame f = live_frame(W_PINNED, 0, M_V6, M_NOBODY, IP, 60);

	assert_true(dataplane_events_drain(live.world.dp, count_guard, NULL) >= 0);
	guard_events = 0;
	live_send(&live, &f);
	assert_true(dataplane_events_drain(live.world.dp, count_guard, NULL) >= 0);
	return guard_events;
}

static void test_kind(void **state)
{
	struct dataplane *new = NULL;

	expect_guarded(true);
	attach_as(SP_PORT_NETNS);
	expect_guarded(false);
	attach_as(SP_PORT_VPN); /* the XDP guard comes, and goes again */
	assert_int_equal(guard_sees(), 1);
	attach_as(SP_PORT_MACHINE);
	assert_int_equal(guard_sees(), 0);
	expect_guarded(true);
	/* After a restart each place has the new version of what it had. */
	assert_int_equal(reopen(&new), 0);
	dataplane_close(live.world.dp);
	live.world.dp = new;
	expect_guarded(true);
}

/* --- I5: programs replaced under a stream --- */

struct stream {
	atomic_bool stop;
	uint32_t sent;
};

#define STREAM_MAX 100000

static void *stream_main(void *arg)
{
	struct stream *s = arg;
	struct model_frame f = live_frame(W_VLAN, 101, M_N1, M_A1, IP, 100);
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(&f, buf, true);

	/* Nobody receives meanwhile: no more than a queue holds. */
	while (!atomic_load(&s->stop) && s->sent < STREAM_MAX) {
		if (write(live.world.tap[W_VLAN], buf, n) == (ssize_t)n)
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
						  .force_clsact = live.clsact};
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
	struct model_frame unbound = live_frame(W_VLAN, 101, M_N1, M_NOBODY, IP, 60);
	struct model_frame unknown = live_frame(W_VLAN, 101, M_NOBODY, M_A1, IP, 60);
	_cleanup_close_
	int fd = net_packet_open(NULL, world_dev_name[W_MAC]);
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(&unbound, buf, false);

	assert_true(fd >= 0);
	assert_true(dataplane_events_drain(live.world.dp, on_event, NULL) >= 0);
	live_send(&live, &unbound);
	live_send(&live, &unknown);
	if (write(fd, buf, n) < 0)
		assert_int_equal(errno, ENOBUFS);
	return dataplane_events_drain(live.world.dp, on_event, NULL);
}

/* The programs behind the links are the new ones: those that were told to send no samples. */
static void test_upgrade_arrives(void **state)
{
	for (int sampling = 0; sampling < 2; sampling++) {
		struct dataplane *new = NULL;

		assert_int_equal(open_again(&new, sampling), 0);
		dataplane_close(live.world.dp);
		live.world.dp = new;
		assert_int_equal(sampled_drops(), sampling ? 3 : 0);
	}
}

static void test_upgrade(void **state)
{
	/* Where a processor is emulated the verifier takes its time. */
	const int upgrades = getenv("SP_VM") ? 2 : 10;
	struct stream s = {.sent = 0};
	uint32_t came = 0;
	uint8_t buf[PROBE_MAX];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stream_main, &s), 0);
	for (int i = 0; i < upgrades; i++) {
		struct dataplane *new = NULL;
		int r;

		usleep(5000);
		r = reopen(&new);
		if (r == 0) {
			dataplane_close(live.world.dp);
			live.world.dp = new;
		} else {
			i = upgrades;
			print_error("open: %s\n", strerror(-r));
		}
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	while (live_receive(&live, W_NET1, buf, sizeof(buf), LIVE_QUIET_MS) > 0)
		came++;
	print_message("# %u frames across %d upgrades\n", s.sent, upgrades);
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
	struct model_frame f = live_frame(W_VLAN, 101, M_N1, M_A1, IP, 60);
	unsigned int n = 0;

	dataplane_close(TAKE_PTR(live.world.dp));
	live_send(&live, &f);
	live_expect(&live, W_NET1, &f, 0);
	f = live_frame(W_VLAN, 101, M_N1, M_NOBODY, IP, 60);
	live_send(&live, &f);
	live_expect_nothing(&live);
	assert_int_equal(reopen(&live.world.dp), 0);
	assert_int_equal(dataplane_features(live.world.dp)->tcx, live.tcx);
	assert_int_equal(dataplane_each_port(live.world.dp, count_port, &n), 0);
	assert_true(n >= world_n_ports);
	assert_true(dropped(SP_R_SRC_UNBOUND) > 0); /* counted while nobody held it */
}

/* --- the end of a device --- */

static void test_detach(void **state)
{
	uint32_t ifindex = live.world.ifindex[W_NET2];
	struct model_frame f = live_frame(W_NET2, 0, M_A1, M_N2, IP, 60);
	struct sp_port port;

	live_send(&live, &f);
	live_expect(&live, W_VLAN, &f, 101);
	assert_int_equal(dataplane_detach(live.world.dp, ifindex), 0);
	assert_int_equal(dataplane_port_get(live.world.dp, ifindex, &port), -ENOENT);
	live_send(&live, &f);
	live_expect_nothing(&live);
	assert_int_equal(dataplane_detach(live.world.dp, ifindex), 0); /* gone is fine */
	for (size_t i = 0; i < world_n_ports; i++)
		if (world_ports[i].dev == W_NET2)
			assert_int_equal(
				dataplane_attach(live.world.dp, ifindex, &world_ports[i].port), 0);
	live_send(&live, &f);
	live_expect(&live, W_VLAN, &f, 101);
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
	for (int i = 0; i < 2 && live.tcx; i++) {
		snprintf(from, sizeof(from), NET_BPFFS "/" SP_PIN_DIR "/v1/links/%u-%s", old,
			 links[i]);
		snprintf(to, sizeof(to), NET_BPFFS "/" SP_PIN_DIR "/v1/links/%u-%s", new, links[i]);
		assert_int_equal(rename(from, to), 0);
	}
	assert_int_equal(dataplane_attach(live.world.dp, new, &port), 0);
	assert_int_equal(dataplane_detach(live.world.dp, new), 0);
}

/* What a device has left behind can be found and removed, and an upgrade does not trip over it. */
static void test_vanished(void **state)
{
	struct search s = {.ifindex = live.world.ifindex[W_NET2]};
	struct dataplane *new = NULL;

	closep(&live.far_fd[W_NET2]);
	live.far_fd[W_NET2] = -1;
	assert_int_equal(link_remove(s.ifindex), 0);
	assert_int_equal(reopen(&new), 0);
	dataplane_close(live.world.dp);
	live.world.dp = new;
	assert_int_equal(dataplane_each_port(live.world.dp, search_port, &s), 0);
	assert_true(s.found);
	check_reused_number(s.ifindex);
	assert_int_equal(dataplane_detach(live.world.dp, s.ifindex), 0);
	s.found = false;
	assert_int_equal(dataplane_each_port(live.world.dp, search_port, &s), 0);
	assert_false(s.found);
	/* The others still work. */
	struct model_frame f = live_frame(W_VLAN, 101, M_N1, M_A1, IP6, 90);

	live_send(&live, &f);
	live_expect(&live, W_NET1, &f, 0);
}

static void test_destroy(void **state)
{
	const struct dataplane_options options = {.bpffs = NET_BPFFS,
						  .max_bindings = 1024,
						  .max_ports = WORLD_PORTS,
						  .force_clsact = live.clsact};
	struct model_frame f = live_frame(W_VLAN, 101, M_N1, M_A1, IP, 60);
	uint8_t buf[PROBE_MAX];

	dataplane_close(TAKE_PTR(live.world.dp));
	assert_int_equal(dataplane_destroy(&options), 0);
	assert_int_not_equal(access(NET_BPFFS "/" SP_PIN_DIR "/v1", F_OK), 0);
	assert_int_equal(dataplane_destroy(&options), 0); /* gone is fine */
	live_send(&live, &f);
	assert_int_equal(live_receive(&live, W_NET1, buf, sizeof(buf), LIVE_QUIET_MS), -EAGAIN);
}

/* --- the two worlds --- */

/* TAP takes one plan for a program: the two worlds open and close as tests of one group. */
static void test_open_links(void **state)
{
	assert_int_equal(live_open(&live, false), 0);
}

static void test_open_clsact(void **state)
{
	assert_int_equal(live_open(&live, true), 0);
	assert_false(dataplane_features(live.world.dp)->tcx);
}

static void test_close(void **state)
{
	live_close(&live);
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
		TEST(kind, "policing", test_policing), TEST(kind, "kinds", test_kind),             \
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
