// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is the short cut (bpf/fast.h) nothing but that? Talks drawn at random, and a few by hand, go
 * through two dataplanes, one of which knows no short cut: each packet's verdict is the same, and
 * so is what the flows know afterwards.
 *
 * SP_TALKS: how many. SP_TALKS_SEED: of the first.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "selftests/harness/draw.h"
#include "selftests/harness/flowbed.h"
#include "selftests/harness/net.h"
#include "selftests/harness/talk.h"

#define TALKS 20000
#define SEED 20261126
#define FLOWS 4096
#define KNOWN_MAX 1024
#define COMPARE_EVERY 20 /* talks, which leave fewer flows than that */

enum { QUICK, LONG, _BEDS };

static struct flowbed bed[_BEDS];

static uint32_t number_of(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

/* --- what is known after a talk --- */

struct known {
	struct dataplane_flow v[KNOWN_MAX];
	size_t n;
};

static uint32_t ticks(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)(((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec) >> SP_TICK_SHIFT);
}

/* Times are of two moments. What is over is there until it is collected, which is another's time.
 */
static int keep(const struct dataplane_flow *flow, void *arg)
{
	struct known *k = arg;

	if ((int32_t)(ticks() - flow->flow.expires) >= 0)
		return 0;
	if (k->n == KNOWN_MAX)
		return -ENOSPC;
	k->v[k->n] = *flow;
	k->v[k->n].table = 0; /* each has a secret of its own that decides of that */
	k->v[k->n].flow.tag = 0;
	k->v[k->n].flow.expires = 0;
	if (flow->proto != 6)
		k->v[k->n].flow.last_end = 0; /* when it began */
	k->n++;
	return 0;
}

static int compare_flows(const void *a, const void *b)
{
	const struct dataplane_flow *x = a, *y = b;
	int r = memcmp(x->addr, y->addr, sizeof(x->addr));

	r = r ?: memcmp(x->port, y->port, sizeof(x->port));
	return r ?: x->proto - y->proto;
}

static void read_known(struct flowbed *b, struct known *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t table = 0;; table++) {
		int r = dataplane_each_flow(b->dp, FLOWBED_SLOT, table, keep, ret);

		if (r == -ENOENT)
			break;
		assert_int_equal(r, 0);
	}
	qsort(ret->v, ret->n, sizeof(ret->v[0]), compare_flows);
}

static void forget(void)
{
	const struct dataplane_budget budget = {.flows = FLOWS};

	for (int i = 0; i < _BEDS; i++)
		assert_int_equal(flowbed_reset(&bed[i], &budget, 0), 0);
}

static void compare_known(uint32_t number)
{
	static struct known known[_BEDS];

	for (int i = 0; i < _BEDS; i++)
		read_known(&bed[i], &known[i]);
	assert_int_equal(known[QUICK].n, known[LONG].n);
	for (size_t i = 0; i < known[QUICK].n; i++)
		if (memcmp(&known[QUICK].v[i].flow, &known[LONG].v[i].flow,
			   sizeof(struct sp_flow)) != 0)
			fail_msg("talks up to %u: what a flow knows is not the same", number);
}

/* --- which way was it? --- */

/* The long way clears its desk (steer.bpf.c), and the short cut has none. */
static int desk_fd(const struct flowbed *b)
{
	struct bpf_prog_info info = {0};
	uint32_t ids[64], len = sizeof(info);
	int found = -1;

	info.nr_map_ids = SP_ARRAY_SIZE(ids);
	info.map_ids = (uint64_t)(uintptr_t)ids;
	assert_int_equal(bpf_obj_get_info_by_fd(b->prog[BED_ONE], &info, &len), 0);
	for (uint32_t i = 0; i < info.nr_map_ids && found < 0; i++) {
		struct bpf_map_info map = {0};
		int fd = bpf_map_get_fd_by_id(ids[i]);

		len = sizeof(map);
		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &len) == 0 &&
		    strcmp(map.name, "desks") == 0)
			found = fd;
		else if (fd >= 0)
			close(fd);
	}
	assert_true(found >= 0);
	return found;
}

static size_t desk_size(int fd)
{
	struct bpf_map_info map = {0};
	uint32_t len = sizeof(map);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &map, &len), 0);
	return (map.value_size + 7U) / 8 * 8 * (size_t)libbpf_num_possible_cpus();
}

static void mark_desk(int fd, uint8_t *buf, size_t n)
{
	uint32_t zero = 0;

	memset(buf, 0xa5, n);
	assert_int_equal(bpf_map_update_elem(fd, &zero, buf, BPF_ANY), 0);
}

static bool is_marked(int fd, uint8_t *buf, size_t n)
{
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, buf), 0);
	for (size_t i = 0; i < n; i++)
		if (buf[i] != 0xa5)
			return false;
	return true;
}

/* --- the test --- */

static enum flowbed_end end_of(uint8_t from, uint32_t number)
{
	return from == 0 ? BED_ONE : number % 2 ? BED_TWO : BED_SESSION;
}

struct count {
	unsigned int packets, passed, quick;
};

/* One talk through both. COUNT: of the quick one; DESK: its desk, -1: which way is not asked. */
static void hold(const struct talk *t, uint32_t number, int desk, struct count *count)
{
	static uint8_t buf[65536];
	size_t size = desk < 0 ? 0 : desk_size(desk);

	assert_true(size <= sizeof(buf));
	for (unsigned int i = 0; i < t->n; i++) {
		const struct talk_packet *k = &t->packet[i];
		uint8_t ip[TALK_BYTES];
		size_t n = talk_bytes(t, i, ip);
		int r[_BEDS];

		if (desk >= 0)
			mark_desk(desk, buf, size);
		for (int b = 0; b < _BEDS; b++)
			r[b] = flowbed_send(&bed[b], end_of(k->from, number),
					    end_of(!k->from, number), ip, n);
		assert_true(r[QUICK] >= 0);
		count->packets++;
		count->passed += r[QUICK] == 0;
		count->quick += desk >= 0 && is_marked(desk, buf, size);
		if (r[QUICK] != r[LONG])
			fail_msg("talk %u, packet %u: %s; quickly %d, the long way %d", number, i,
				 talk_line(t, i), r[QUICK], r[LONG]);
	}
}

static void test_same(void **state)
{
	uint32_t n = number_of("SP_TALKS", TALKS), seed = number_of("SP_TALKS_SEED", SEED);
	struct count count = {0};

	for (uint32_t i = 0; i < n; i++) {
		struct talk t;

		draw_seed((uint64_t)seed << 32 | (i + 1));
		talk_draw(&t, i);
		hold(&t, i, -1, &count);
		if (i % COMPARE_EVERY && i + 1 < n)
			continue;
		compare_known(i);
		forget();
	}
	printf("# %u talks, %u packets, %u passed\n", n, count.packets, count.passed);
	assert_true(count.passed > count.packets / 4);
}

/* Or nothing was compared. */
static void test_taken(void **state)
{
	_cleanup_close_
	int desk = desk_fd(&bed[QUICK]);
	struct count count = {0};

	for (uint32_t i = 0; i < 500; i++) {
		struct talk t;

		draw_seed((uint64_t)SEED << 32 | (i + 1));
		talk_draw(&t, i);
		hold(&t, i, desk, &count);
	}
	forget();
	printf("# %u of %u packets took the short cut\n", count.quick, count.packets);
	assert_true(count.quick > count.passed / 10);
	assert_true(count.quick < count.passed);
}

/* --- a connection that is open, and what may not go on by it --- */

/* Who speaks with the machine ONE. */
static enum flowbed_end far = BED_SESSION;

/* From end FROM of the talk: 0 is the machine, 1 is `far`. */
static void expect(uint8_t from, enum flowbed_end to, struct talk_packet p, int verdict)
{
	struct talk t = {.n = 1, .packet = {p}};
	uint8_t ip[TALK_BYTES];
	size_t n;

	t.packet[0].from = from;
	t.packet[0].quotes = -1;
	n = talk_bytes(&t, 0, ip);
	for (int b = 0; b < _BEDS; b++)
		assert_int_equal(flowbed_send(&bed[b], from ? far : BED_ONE, to, ip, n), verdict);
}

static struct talk_packet tcp(uint8_t flags, uint32_t seq, uint32_t ack, uint16_t data)
{
	return (struct talk_packet){.proto = 6,
				    .flags = flags,
				    .scale = TALK_NO_SCALE,
				    .win = 10000,
				    .data = data,
				    .port = {80, 4000},
				    .seq = seq,
				    .ack = ack};
}

static const uint8_t syn = 0x02, ack = 0x10;

static void open_connection(void)
{
	expect(1, BED_ONE, tcp(syn, 1000, 0, 0), 0);
	expect(0, far, tcp(syn | ack, 5000, 1001, 0), 0);
	expect(1, BED_ONE, tcp(ack, 1001, 5001, 0), 0);
	expect(0, far, tcp(ack, 5001, 1001, 100), 0);
}

static void set_destination(uint8_t last, const struct sp_dst *dst)
{
	const uint8_t mac[SP_MAC_LEN] = {2, 0, 0, 0, 9, last};

	for (int b = 0; b < _BEDS; b++)
		assert_int_equal(dataplane_fdb_set(bed[b].dp, FLOWBED_SEGMENT, mac, dst), 0);
}

/* To a port that is closed, asleep, or takes no frames that are so long; and back to its own. */
static void test_destination(void **state)
{
	const struct sp_dst right = {
		.ifindex = 1, .port = BED_ONE, .max_len = 4096, .kind = SP_PORT_MACHINE};
	struct sp_dst wrong = right;

	forget();
	open_connection();
	wrong.flags = SP_F_CLOSED;
	set_destination(BED_ONE, &wrong);
	expect(1, BED_ONE, tcp(ack, 1001, 5101, 10), 1);
	wrong.flags = SP_F_ASLEEP;
	set_destination(BED_ONE, &wrong);
	expect(1, BED_ONE, tcp(ack, 1001, 5101, 10), 1);
	wrong.flags = 0;
	wrong.max_len = 60;
	set_destination(BED_ONE, &wrong);
	expect(1, BED_ONE, tcp(ack, 1001, 5101, 10), 1);
	expect(1, BED_ONE, tcp(ack, 1001, 5101, 0), 0);
	set_destination(BED_ONE, &right);
	expect(1, BED_ONE, tcp(ack, 1001, 5101, 10), 0);
	expect(0, BED_ONE, tcp(ack, 5101, 1011, 0), 1);
}

/* The same addresses and ports at another machine: it is none of its flows. */
static void test_ends(void **state)
{
	forget();
	open_connection();
	expect(1, BED_TWO, tcp(ack, 1001, 5101, 10), 1);
	expect(1, BED_ONE, tcp(ack, 1001, 5101, 10), 0);
}

static void set_dhcp_server(bool is)
{
	for (int b = 0; b < _BEDS; b++)
		dataplane_machine_flags(bed[b].dp, BED_ONE, is ? SP_M_DHCP : 0, is ? 0 : SP_M_DHCP);
}

/* A machine that was a DHCP server, and whose clients it has spoken with. */
static void test_guard(void **state)
{
	const struct talk_packet p = {.proto = 17, .data = 20, .port = {67, 68}};

	forget();
	set_dhcp_server(true);
	expect(1, BED_ONE, p, 0);
	expect(0, BED_SESSION, p, 0);
	expect(0, BED_SESSION, p, 0);
	set_dhcp_server(false);
	expect(0, BED_SESSION, p, 1);
}

/* --- what was proved of the sender (I6) --- */

static void set_address(bool is)
{
	const struct sp_address value = {.port = BED_ONE, .mac = {2, 0, 0, 0, 9, BED_ONE}};
	const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 9, [15] = 1};

	for (int b = 0; b < _BEDS; b++)
		assert_int_equal(
			is ? dataplane_address_set(bed[b].dp, FLOWBED_SEGMENT, address, &value)
			   : dataplane_address_del(bed[b].dp, FLOWBED_SEGMENT, address),
			0);
}

static void set_pinned(bool is)
{
	for (int b = 0; b < _BEDS; b++)
		dataplane_machine_flags(bed[b].dp, BED_ONE, is ? SP_M_PINNED : 0,
					is ? 0 : SP_M_PINNED);
}

static void set_epoch(uint32_t epoch)
{
	const uint32_t slot = FLOWBED_SLOT;
	struct sp_slot row;

	for (int b = 0; b < _BEDS; b++) {
		int fd = dataplane_map_fd(bed[b].dp, "slots");

		assert_int_equal(bpf_map_lookup_elem(fd, &slot, &row), 0);
		row.epoch = epoch;
		assert_int_equal(bpf_map_update_elem(fd, &slot, &row, BPF_ANY), 0);
	}
}

/* An address is taken away: what its flows say of it is of before. */
static void test_proof(void **state)
{
	forget();
	set_address(true);
	set_pinned(true);
	open_connection();
	expect(0, far, tcp(ack, 5101, 1001, 100), 0);
	set_address(false);
	expect(0, far, tcp(ack, 5201, 1001, 100), 1);
	set_address(true);
	expect(0, far, tcp(ack, 5201, 1001, 100), 0);
	/* When the numbers of epochs begin again, all proofs are taken back: at that moment, too.
	 */
	set_epoch(SP_END_EPOCH);
	set_address(false);
	set_epoch(SP_END_EPOCH + 1);
	expect(0, far, tcp(ack, 5301, 1001, 100), 1);
	set_address(true);
	expect(0, far, tcp(ack, 5301, 1001, 100), 0);
	set_pinned(false);
	set_address(false);
}

/* --- whose clock? --- */

#define HOUR_NS 3600000000000ULL
#define SOON 120 /* ticks: two seconds */

static void set_clock(uint32_t port, uint64_t off_ns)
{
	struct sp_machine m;

	for (int b = 0; b < _BEDS; b++) {
		int fd = dataplane_map_fd(bed[b].dp, "machines");

		assert_int_equal(bpf_map_lookup_elem(fd, &port, &m), 0);
		m.clock_off_ns = off_ns;
		assert_int_equal(bpf_map_update_elem(fd, &port, &m, BPF_ANY), 0);
	}
}

static int read_expires(const struct dataplane_flow *flow, void *arg)
{
	*(uint32_t *)arg = flow->flow.expires;
	return 0;
}

static uint32_t expires(const struct flowbed *b)
{
	uint32_t t = 0;

	for (uint32_t table = 0;; table++)
		if (dataplane_each_flow(b->dp, FLOWBED_SLOT, table, read_expires, &t) == -ENOENT)
			break;
	return t;
}

static void expect_same_time(void)
{
	int32_t later = (int32_t)(expires(&bed[QUICK]) - expires(&bed[LONG]));

	assert_in_range(later + SOON, 0, 2 * SOON);
}

/* Two machines that have slept for different times: that of the one that was called counts. */
static void test_clock(void **state)
{
	for (uint32_t slept = BED_ONE; slept <= BED_TWO; slept++) {
		forget();
		set_clock(slept, HOUR_NS);
		far = BED_TWO;
		open_connection();
		expect_same_time();
		expect(1, BED_ONE, tcp(ack, 1001, 5101, 0), 0);
		expect_same_time();
		set_clock(slept, 0);
		far = BED_SESSION;
	}
}

static int setup(void **state)
{
	int r = net_isolate();

	r = r ?: flowbed_open(&bed[QUICK], FLOWS);
	return r ?: flowbed_open_long(&bed[LONG], FLOWS);
}

static int teardown(void **state)
{
	for (int i = 0; i < _BEDS; i++)
		flowbed_close(&bed[i]);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),	    cmocka_unit_test(test_taken),
		cmocka_unit_test(test_destination), cmocka_unit_test(test_ends),
		cmocka_unit_test(test_guard),	    cmocka_unit_test(test_proof),
		cmocka_unit_test(test_clock),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("fast", tests, setup, teardown);
}
