// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is the daemon told of a machine, and what becomes of frames that waited for it? The entry in
 * `machines`, each notice once, parked frames and their replay, many CPUs at once.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <linux/bpf.h>

#include "lib/cleanup.h"
#include "link.h"
#include "machine_words.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/shape.h"

static struct world world;
static struct prober prober;

/* --- the daemon's side of an entry --- */

/* A frame of the world, in few words. */
struct row {
	enum world_dev dev;
	uint16_t vid;
	int dst; /* enum world_mac, or MODEL_SOLICITED */
	enum world_mac src;
	struct shape shape;
};

static struct model_frame frame_of(const struct row *row)
{
	return model_frame_of(row->dev, row->vid, row->dst, row->src, &row->shape);
}

static const struct row to_free = {
	.dev = W_NET6, .dst = M_M2, .src = M_N6, .shape = UDP("10.6.0.62", "10.6.0.2", 1, 2)};
static const struct row from_free = {
	.dev = W_FREE, .dst = M_N6, .src = M_M2, .shape = UDP("10.6.0.2", "10.6.0.62", 1, 2)};
static const struct row group_from_free = {.dev = W_FREE,
					   .dst = M_BROADCAST,
					   .src = M_M2,
					   .shape = ARP_REQUEST(M_M2, "10.6.0.2", "10.6.0.99")};
static const struct row to_sleeper = {
	.dev = W_NET6, .dst = M_M3, .src = M_N6, .shape = UDP("10.6.0.62", "10.6.0.3", 1, 2)};
#define FREE 32
#define SLEEPER 33

struct seen {
	unsigned int n, by_kind[SP_NOTICE_ADDRESS + 1];
	struct sp_notice last;
};

static void on_notice(const struct sp_notice *n, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->by_kind[n->kind]++;
	s->last = *n;
}

static struct seen drain(void)
{
	struct seen s = {.n = 0};

	assert_true(dataplane_notices_drain(world.dp, on_notice, &s) >= 0);
	return s;
}

static void run_row(const struct row *row, int verdict)
{
	struct model_frame f = frame_of(row);

	assert_int_equal(probe_steer(&prober, &f), verdict);
	for (int d = 0; d < _W_DEVS; d++) { /* copies */
		uint8_t buf[PROBE_MAX];

		while (net_tap_recv(world.tap[d], buf, sizeof(buf), 0) >= 0)
			;
	}
}

static void test_entry(void **state)
{
	const struct sp_machine value = {.flags = SP_M_PINNED,
					 .park_max = 5,
					 .watch = SP_WATCH_TO,
					 .generation = 77,
					 .parked = 9,
					 .active_ns = 1};
	struct sp_machine m;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_int_equal(dataplane_machine_begin(world.dp, FREE, &value), 0);
	assert_int_equal(dataplane_machine_get(world.dp, FREE, &m), 0);
	assert_int_equal(m.flags, SP_M_PINNED);
	assert_int_equal(m.park_max, 5);
	assert_int_equal(m.watch, SP_WATCH_TO);
	assert_int_equal(m.generation, 77);
	assert_int_equal(m.parked, 0);
	assert_true(m.active_ns >= (uint64_t)now.tv_sec * 1000000000);
	dataplane_machine_flags(world.dp, FREE, SP_M_PROXY | SP_M_DHCP, SP_M_PINNED | SP_M_DHCP);
	dataplane_machine_watch(world.dp, FREE, SP_WATCH_FROM);
	assert_int_equal(dataplane_machine_get(world.dp, FREE, &m), 0);
	assert_int_equal(m.flags, SP_M_PROXY | SP_M_DHCP);
	assert_int_equal(m.watch, SP_WATCH_TO | SP_WATCH_FROM);

	/* The map is the same thing. */
	memset(&m, 0, sizeof(m));
	assert_int_equal(
		bpf_map_lookup_elem(dataplane_map_fd(world.dp, "machines"), &(uint32_t){FREE}, &m),
		0);
	assert_int_equal(m.flags, SP_M_PROXY | SP_M_DHCP);
	assert_int_equal(dataplane_machine_get(world.dp, WORLD_PORTS - 1, &m), 0);
	assert_int_equal(dataplane_machine_get(world.dp, WORLD_PORTS, &m), -ENOENT);
	assert_int_equal(dataplane_machine_begin(world.dp, WORLD_PORTS, &value), -ENOENT);
	dataplane_machine_flags(world.dp, UINT32_MAX, 1, 0);
	dataplane_machine_watch(world.dp, WORLD_PORTS, 1);
	dataplane_machine_unpark(world.dp, WORLD_PORTS);
	assert_int_equal(world_reset_machines(&world), 0);
}

/* Each event once for each time that it was asked for. */
static void test_watch(void **state)
{
	static const struct row announcement = {
		.dev = W_FREE,
		.dst = M_BROADCAST,
		.src = M_M2,
		.shape = ARP_REQUEST(M_M2, "10.6.0.99", "10.6.0.99")};
	uint8_t addr[16];
	struct seen s;

	assert_int_equal(world_reset_machines(&world), 0);
	run_row(&to_free, PROBE_REDIRECT);
	run_row(&from_free, PROBE_REDIRECT);
	assert_int_equal(drain().n, 0); /* nobody asked */
	for (int again = 0; again < 2; again++) {
		dataplane_machine_watch(world.dp, FREE,
					SP_WATCH_TO | SP_WATCH_FROM | SP_WATCH_ADDRESS);
		for (int i = 0; i < 3; i++)
			run_row(&to_free, PROBE_REDIRECT);
		s = drain();
		assert_int_equal(s.n, 1);
		assert_int_equal(s.last.kind, SP_NOTICE_TO);
		for (int i = 0; i < 3; i++)
			run_row(again ? &group_from_free : &from_free,
				again ? PROBE_SHOT : PROBE_REDIRECT);
		s = drain();
		assert_int_equal(s.n, 1);
		assert_int_equal(s.last.kind, SP_NOTICE_FROM);
		assert_int_equal(s.last.port, FREE);
		assert_int_equal(s.last.segment, 6);
		for (int i = 0; i < 3; i++)
			run_row(&announcement, PROBE_SHOT);
		s = drain();
		assert_int_equal(s.n, 1);
		assert_int_equal(s.last.kind, SP_NOTICE_ADDRESS);
		shape_address("10.6.0.99", addr);
		assert_memory_equal(s.last.addr, addr, sizeof(addr));
	}
}

/* What is dropped is nothing that it sent, nor what is only answered. */
static void test_watch_is_not_fooled(void **state)
{
	static const struct row spoofed = {.dev = W_FREE,
					   .dst = M_M1,
					   .src = M_M2,
					   .shape = UDP("10.6.0.1", "10.6.0.3", 1, 2)};
	static const struct row asks = {.dev = W_FREE,
					.dst = M_BROADCAST,
					.src = M_M2,
					.shape = ARP_REQUEST(M_M2, "10.6.0.2", "10.6.0.3")};
	static const struct row unknown = {.dev = W_FREE,
					   .dst = M_NOBODY,
					   .src = M_M2,
					   .shape = UDP("10.6.0.2", "10.6.0.99", 1, 2)};

	assert_int_equal(world_reset_machines(&world), 0);
	dataplane_machine_watch(world.dp, FREE, SP_WATCH_FROM);
	run_row(&spoofed, PROBE_SHOT);
	run_row(&unknown, PROBE_SHOT);
	run_row(&asks, PROBE_REDIRECT);
	assert_int_equal(drain().n, 0);
	run_row(&from_free, PROBE_REDIRECT);
	assert_int_equal(drain().n, 1);
}

static uint64_t active_of(uint32_t port)
{
	struct sp_machine m;

	assert_int_equal(dataplane_machine_get(world.dp, port, &m), 0);
	return m.active_ns;
}

static void set_active(uint32_t port, uint64_t value)
{
	int fd = dataplane_map_fd(world.dp, "machines");
	struct sp_machine m;

	assert_int_equal(bpf_map_lookup_elem(fd, &port, &m), 0);
	m.active_ns = value;
	assert_int_equal(bpf_map_update_elem(fd, &port, &m, BPF_ANY), 0);
}

/* When it was last in use, to a second; group frames and what is dropped are no use. */
static void test_active(void **state)
{
	static const struct row group_to_all = {
		.dev = W_NET6,
		.dst = M_BROADCAST,
		.src = M_N6,
		.shape = ARP_REQUEST(M_N6, "10.6.0.62", "10.6.0.99")};
	const uint64_t s = 1000000000;
	uint64_t now;
	struct timespec ts;

	assert_int_equal(world_reset_machines(&world), 0);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (uint64_t)ts.tv_sec * s + (uint64_t)ts.tv_nsec;
	set_active(FREE, 1);
	run_row(&group_to_all, PROBE_SHOT);
	run_row(&group_from_free, PROBE_SHOT);
	assert_int_equal(active_of(FREE), 1);
	run_row(&to_free, PROBE_REDIRECT);
	assert_true(active_of(FREE) >= now);
	set_active(FREE, 1);
	run_row(&from_free, PROBE_REDIRECT);
	assert_true(active_of(FREE) >= now);
	/* Written once a second: a moment ago is soon enough. */
	set_active(FREE, now - s / 100);
	run_row(&from_free, PROBE_REDIRECT);
	run_row(&to_free, PROBE_REDIRECT);
	assert_int_equal(active_of(FREE), now - s / 100);
}

/* --- parking --- */

static void test_park(void **state)
{
	struct sp_machine m;

	assert_int_equal(world_reset_machines(&world), 0);
	drain();
	for (int again = 0; again < 2; again++) {
		struct seen s;

		for (int i = 0; i < 5; i++)
			run_row(&to_sleeper, PROBE_SHOT);
		s = drain();
		assert_int_equal(s.n, 3); /* park_max */
		assert_int_equal(s.last.kind, SP_NOTICE_PARKED);
		assert_int_equal(dataplane_machine_get(world.dp, SLEEPER, &m), 0);
		assert_int_equal(m.parked, 3);
		dataplane_machine_unpark(world.dp, SLEEPER);
	}
}

static void set_park_max(uint32_t port, uint32_t n)
{
	const struct sp_machine value = {
		.flags = SP_M_PROXY, .park_max = n, .slot = world_slot_of(6)};

	assert_int_equal(dataplane_machine_begin(world.dp, port, &value), 0);
}

static uint64_t drops(enum sp_reason reason)
{
	struct sp_reason_count c;

	assert_int_equal(dataplane_reason_get(world.dp, reason, &c), 0);
	return c.frames;
}

static uint64_t refused(void)
{
	return drops(SP_R_PARK_FULL);
}

/* A ring buffer that is full takes nothing from who has room left: no place is used up, no bit
 * lost. */
static void test_notices_full(void **state)
{
	uint64_t before;
	unsigned int n, room = SP_NOTICES_SIZE / sizeof(struct sp_parked);
	struct sp_machine m;

	drain();
	assert_int_equal(world_reset_machines(&world), 0);
	set_park_max(SLEEPER, UINT32_MAX);
	before = refused();
	for (unsigned int i = 0; i < room + 10; i++)
		run_row(&to_sleeper, PROBE_SHOT);
	n = (unsigned int)(refused() - before);
	assert_in_range(n, 10, room / 10);
	assert_int_equal(dataplane_machine_get(world.dp, SLEEPER, &m), 0);
	assert_int_equal(m.parked, room + 10 - n);

	/* The rest of the room, which is too small for a frame, may still take a few small ones. */
	for (int i = 0; i < 100; i++) {
		dataplane_machine_watch(world.dp, FREE, SP_WATCH_TO);
		run_row(&to_free, PROBE_REDIRECT);
	}
	assert_int_equal(dataplane_machine_get(world.dp, FREE, &m), 0);
	assert_int_equal(m.watch, SP_WATCH_TO); /* still armed */
	drain();
	run_row(&to_free, PROBE_REDIRECT);
	assert_int_equal(drain().by_kind[SP_NOTICE_TO], 1);
	assert_int_equal(world_reset_machines(&world), 0);
}

/* Who may park no more takes no room from others, however much is sent to it. */
static void test_refused_takes_no_room(void **state)
{
	assert_int_equal(world_reset_machines(&world), 0);
	drain();
	for (unsigned int i = 0; i < 2 * SP_NOTICES_SIZE / sizeof(struct sp_parked); i++)
		run_row(&to_sleeper, PROBE_SHOT);
	for (int i = 0; i < 100; i++) { /* more than would fit beside a last frame */
		dataplane_machine_watch(world.dp, FREE, SP_WATCH_TO);
		run_row(&to_free, PROBE_REDIRECT);
	}
	assert_int_equal(drain().by_kind[SP_NOTICE_TO], 100);
	dataplane_machine_unpark(world.dp, SLEEPER);
}

/* --- many CPUs at once --- */

#define RACERS 2 /* as many as there are CPUs: they must run at the same time */
#define ROUNDS 20000

struct racer {
	pthread_t thread;
	pthread_barrier_t *start;
	unsigned int cpu;
	const struct row *row;
	uint32_t repeat;    /* of each test run */
	uint32_t *arm;	    /* set this bit before each run */
	unsigned int armed; /* how often it was not set before */
	bool failed;
};

/* Where the machine has one CPU only, they take turns on it. */
static void stay_on(unsigned int cpu)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned int)(n > 0 ? n : 1), &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *race(void *arg)
{
	struct racer *r = arg;
	struct model_frame f = frame_of(r->row);
	uint8_t bytes[PROBE_MAX];
	struct __sk_buff ctx = {.ifindex = world.ifindex[f.dev]};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes,
		    .data_size_in = (uint32_t)probe_bytes(&f, bytes, false), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = (int)r->repeat);
	int prog = dataplane_prog_fd(world.dp,
				     world_is_machine(f.dev) ? "steer_machine" : "steer_ingress");

	stay_on(r->cpu);
	pthread_barrier_wait(r->start);
	for (unsigned int i = 0; i < ROUNDS / r->repeat; i++) {
		if (r->arm)
			r->armed += !(__atomic_fetch_or(r->arm, SP_WATCH_TO, __ATOMIC_SEQ_CST) &
				      SP_WATCH_TO);
		r->failed |= bpf_prog_test_run_opts(prog, &opts) < 0;
	}
	return NULL;
}

static atomic_bool racing;

static void *join_all(void *arg)
{
	struct racer *racers = arg;

	for (int i = 0; i < RACERS; i++)
		pthread_join(racers[i].thread, NULL);
	atomic_store(&racing, false);
	return NULL;
}

/* ROUNDS runs each; what they notice meanwhile. *RET_ARMED: how often the bit went from 0 to 1. */
static struct seen race_all(const struct row *row, uint32_t repeat, uint32_t *arm,
			    unsigned int *ret_armed)
{
	struct racer racers[RACERS];
	struct seen s = {.n = 0};
	pthread_barrier_t start;
	pthread_t waiter;

	pthread_barrier_init(&start, NULL, RACERS);
	atomic_store(&racing, true);
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){.start = &start,
					   .cpu = (unsigned int)i,
					   .row = row,
					   .repeat = repeat,
					   .arm = arm};
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	assert_int_equal(pthread_create(&waiter, NULL, join_all, racers), 0);
	while (atomic_load(&racing)) {
		struct pollfd p = {.fd = dataplane_notices_fd(world.dp), .events = POLLIN};

		poll(&p, 1, 10);
		assert_true(dataplane_notices_drain(world.dp, on_notice, &s) >= 0);
	}
	pthread_join(waiter, NULL);
	pthread_barrier_destroy(&start);
	assert_true(dataplane_notices_drain(world.dp, on_notice, &s) >= 0);
	for (int i = 0; i < RACERS; i++) {
		assert_false(racers[i].failed);
		if (ret_armed)
			*ret_armed += racers[i].armed;
	}
	return s;
}

/* One notice for each time that a bit was set, whoever set it and whoever saw it first. */
static void test_watch_race(void **state)
{
	size_t size = WORLD_PORTS * sizeof(struct sp_machine);
	struct sp_machine *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				      dataplane_map_fd(world.dp, "machines"), 0);
	unsigned int armed = 0;
	struct seen s;

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(world_reset_machines(&world), 0);
	drain();
	s = race_all(&to_free, 1, &map[FREE].watch, &armed);
	assert_true(armed > ROUNDS / 4);
	assert_int_equal(s.by_kind[SP_NOTICE_TO] + !!(map[FREE].watch & SP_WATCH_TO), armed);
	munmap(map, size);
	assert_int_equal(world_reset_machines(&world), 0);
}

/* Each place is given once. All are of one flow: a CPU may wait for another in vain. */
static void test_park_race(void **state)
{
	uint64_t before = refused() + drops(SP_R_FLOW_BUSY);
	struct sp_machine m;
	struct seen s;

	drain();
	set_park_max(SLEEPER, UINT32_MAX);
	s = race_all(&to_sleeper, 100, NULL, NULL);
	assert_int_equal(dataplane_machine_get(world.dp, SLEEPER, &m), 0);
	assert_true(m.parked > 100);
	assert_int_equal(m.parked, s.by_kind[SP_NOTICE_PARKED]);
	assert_int_equal(m.parked + (refused() + drops(SP_R_FLOW_BUSY) - before), RACERS * ROUNDS);
	assert_int_equal(world_reset_machines(&world), 0);
}

/* Several queues get together what one would: the burst. */
#define BURST (ROUNDS / 2)

static void test_police_race(void **state)
{
	/* So slow that what passes is the burst, and what a slow machine's clock adds. */
	const struct dataplane_rate rate = {.frames_per_s = 1, .frames_burst = BURST};
	const struct dataplane_rate none = {.frames_per_s = 0};
	uint64_t busy = drops(SP_R_FLOW_BUSY); /* as in test_park_race: behind the rate */
	struct sp_counter c;

	assert_int_equal(dataplane_counter_clear(world.dp, FREE), 0);
	assert_int_equal(dataplane_police_set(world.dp, FREE, &rate), 0);
	race_all(&from_free, 1000, NULL, NULL);
	assert_int_equal(dataplane_police_set(world.dp, FREE, &none), 0);
	assert_int_equal(dataplane_counter_get(world.dp, FREE, &c), 0);
	busy = drops(SP_R_FLOW_BUSY) - busy;
	assert_in_range(c.rx_frames + busy, BURST, BURST + RACERS + 10);
	assert_int_equal(c.rx_frames + c.drops, RACERS * ROUNDS);
}

/* --- frames that waited --- */

static const struct world_node *node_of(enum world_dev dev)
{
	for (size_t i = 0; i < world_n_nodes; i++)
		if (world_nodes[i].dev == dev)
			return &world_nodes[i];
	return NULL;
}

static ssize_t replay(const struct row *row, uint32_t segment, uint8_t *ret, size_t *ret_len)
{
	struct model_frame f = frame_of(row);

	*ret_len = probe_bytes(&f, ret, false);
	return dataplane_replay(world.dp, segment, ret, *ret_len);
}

static void test_replay(void **state)
{
	struct sp_dst dst = world_dst(&world, node_of(W_ASLEEP));
	uint8_t frame[PROBE_MAX], got[PROBE_MAX];
	struct sp_counter before, after;
	size_t n;

	assert_int_equal(world_reset_machines(&world), 0);
	run_row(&to_sleeper, PROBE_SHOT); /* it was parked, and so has a flow */
	drain();
	assert_int_equal(replay(&to_sleeper, 6, frame, &n), -ENOENT);
	dst.flags = 0;
	assert_int_equal(dataplane_fdb_set(world.dp, 6, world_mac[M_M3], &dst), 0);
	dataplane_machine_watch(world.dp, SLEEPER, SP_WATCH_TO);
	set_active(SLEEPER, 1);
	assert_int_equal(dataplane_counter_get(world.dp, SLEEPER, &before), 0);
	assert_int_equal(replay(&to_sleeper, 6, frame, &n), 0);
	assert_int_equal(net_tap_recv(world.tap[W_ASLEEP], got, sizeof(got), 0), n);
	assert_memory_equal(got, frame, n);
	assert_int_equal(dataplane_counter_get(world.dp, SLEEPER, &after), 0);
	assert_int_equal(after.tx_frames - before.tx_frames, 1);
	assert_int_equal(after.tx_bytes - before.tx_bytes, n);
	assert_int_equal(drain().by_kind[SP_NOTICE_TO], 1);
	assert_true(active_of(SLEEPER) > 1);

	assert_int_equal(replay(&to_sleeper, 7, frame, &n), -ENOENT); /* I2 */
	dst.max_len = (uint16_t)n - 1;
	assert_int_equal(dataplane_fdb_set(world.dp, 6, world_mac[M_M3], &dst), 0);
	assert_int_equal(replay(&to_sleeper, 6, frame, &n), -EMSGSIZE);
	dst.flags = SP_F_CLOSED;
	assert_int_equal(dataplane_fdb_set(world.dp, 6, world_mac[M_M3], &dst), 0);
	run_row(&to_sleeper, PROBE_SHOT); /* it was parked, and so has a flow */
	drain();
	assert_int_equal(replay(&to_sleeper, 6, frame, &n), -ENOENT);
	dst.flags = 0;
	dst.max_len = WORLD_MAX_LEN;
	dst.ifindex = 0x7ffffff0;
	assert_int_equal(dataplane_fdb_set(world.dp, 6, world_mac[M_M3], &dst), 0);
	assert_int_equal(replay(&to_sleeper, 6, frame, &n), -EIO);
	dst.ifindex = world.ifindex[W_ASLEEP];
	assert_int_equal(dataplane_fdb_set(world.dp, 6, world_mac[M_M3], &dst), 0);
	assert_int_equal(link_set_up(dst.ifindex, false), 0);
	assert_int_equal(replay(&to_sleeper, 6, frame, &n), -EIO);
	assert_int_equal(link_set_up(dst.ifindex, true), 0);
	assert_int_equal(replay(&to_sleeper, 6, frame, &n), 0);
	assert_int_equal(net_tap_recv(world.tap[W_ASLEEP], got, sizeof(got), 0), n);
	dst = world_dst(&world, node_of(W_ASLEEP));
	assert_int_equal(dataplane_fdb_set(world.dp, 6, world_mac[M_M3], &dst), 0);

	assert_int_equal(dataplane_replay(world.dp, 6, frame, MODEL_ETH - 1), -EINVAL);
	assert_int_equal(dataplane_replay(world.dp, 6, frame, SP_PARK_LEN + 1), -EMSGSIZE);
	assert_int_equal(net_tap_recv(world.tap[W_ASLEEP], got, sizeof(got), 0), -EAGAIN);
}

/* Where its MAC is behind a session now: with that one's tag. */
static void test_replay_moved(void **state)
{
	static const struct row to_session = {.dev = W_NET6,
					      .dst = M_V6,
					      .src = M_N6,
					      .shape = UDP("10.6.0.62", "10.6.0.61", 1, 2)};
	static const uint8_t tag[4] = {0x81, 0, 461 >> 8, 461 & 255};
	uint8_t frame[PROBE_MAX], got[PROBE_MAX];
	size_t n;

	assert_int_equal(replay(&to_session, 6, frame, &n), 0);
	assert_int_equal(net_tap_recv(world.tap[W_VLAN], got, sizeof(got), 0), n + sizeof(tag));
	assert_memory_equal(got + 12, tag, sizeof(tag));
	assert_memory_equal(got + 16, frame + 12, n - 12);
}

/* A checksum that a netns left to its device is made whole on the way. */
static void test_replay_checksum(void **state)
{
	struct row row = {.dev = W_NET6,
			  .dst = M_M2,
			  .src = M_N6,
			  .shape = TCP("fd06::62", "fd06::2", 4000, 80, .how = SHAPE_PARTIAL)};
	uint8_t frame[PROBE_MAX], got[PROBE_MAX];
	size_t n;

	run_row(&row, PROBE_REDIRECT);
	assert_int_equal(replay(&row, 6, frame, &n), 0);
	assert_false(shape_checksums_right(frame, n));
	assert_int_equal(net_tap_recv(world.tap[W_FREE], got, sizeof(got), 0), n);
	assert_true(shape_checksums_right(got, n));
}

/* --- */

static int setup(void **state)
{
	const struct world_options options = {.live = false};
	int r = net_isolate();

	net_no_ipv6();
	if (r == 0)
		r = world_open(&world, &options);
	if (r == 0)
		r = prober_open(&prober, &world);
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	return r;
}

static int teardown(void **state)
{
	prober_close(&prober);
	world_close(&world);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_is_not_fooled),
		cmocka_unit_test(test_active),
		cmocka_unit_test(test_park),
		cmocka_unit_test(test_notices_full),
		cmocka_unit_test(test_refused_takes_no_room),
		cmocka_unit_test(test_watch_race),
		cmocka_unit_test(test_park_race),
		cmocka_unit_test(test_police_race),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_replay_moved),
		cmocka_unit_test(test_replay_checksum),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("notices", tests, setup, teardown);
}
