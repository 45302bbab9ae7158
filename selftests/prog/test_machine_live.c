// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Do a machine's frames really go where they should, whole and in large pieces? Taps with a virtio
 * header, held as QEMU holds them: GSO frames and checksums that are left to the device, answers in
 * a sleeping machine's name on every kind of port, frames that are parked and sent on in their
 * order. Through TCX links, and once more through clsact filters.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "link.h"
#include "machine_words.h"
#include "selftests/harness/live.h"
#include "selftests/harness/net.h"

static struct live live;

static uint64_t dropped(enum sp_reason reason)
{
	struct sp_reason_count c;

	assert_int_equal(dataplane_reason_get(live.world.dp, reason, &c), 0);
	return c.frames;
}

/* --- large frames --- */

#define MSS 1448
#define PIECES 3 /* and a bit */
#define DATA (PIECES * MSS + 100)

/* A TCP segment of many, its checksum left to the device: the frame's length. */
static size_t large(uint8_t *buf, struct virtio_net_hdr *h, bool six, const char *src,
		    const char *dst, enum world_mac from, enum world_mac to)
{
	const struct shape s = {SHAPE_TCP, .src = src, .dst = dst, .a = 80, .b = 4000};
	size_t ip = six ? 40 : 20, n = shape_bytes(&s, world_mac[to], world_mac[from], buf);
	uint32_t total = (uint32_t)(20 + DATA), sum = 6 + total;
	uint16_t check;

	for (size_t i = 0; i < DATA; i++)
		buf[n + i] = (uint8_t)(i * 7 + (i >> 8));
	n += DATA;
	if (six) {
		buf[18] = (uint8_t)(total >> 8);
		buf[19] = (uint8_t)total;
	} else {
		buf[16] = (uint8_t)((total + 20) >> 8);
		buf[17] = (uint8_t)(total + 20);
		buf[24] = buf[25] = 0;
		check = shape_checksum(buf + 14, 20, 0);
		buf[24] = (uint8_t)(check >> 8);
		buf[25] = (uint8_t)check;
	}
	for (size_t i = six ? 22 : 26; i < 14 + ip; i += 2)
		sum += (uint32_t)buf[i] << 8 | buf[i + 1];
	check = (uint16_t)~shape_checksum(NULL, 0, sum); /* of the pseudo-header */
	buf[14 + ip + 13] = 0x10;			 /* ACK: a SYN is not cut up */
	buf[14 + ip + 16] = (uint8_t)(check >> 8);
	buf[14 + ip + 17] = (uint8_t)check;
	*h = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = six ? VIRTIO_NET_HDR_GSO_TCPV6
						     : VIRTIO_NET_HDR_GSO_TCPV4,
				     .hdr_len = (uint16_t)(14 + ip + 20),
				     .gso_size = MSS,
				     .csum_start = (uint16_t)(14 + ip),
				     .csum_offset = 16};
	return n;
}

static void expect_large(const uint8_t *got, ssize_t n, const struct virtio_net_hdr *got_h,
			 const uint8_t *want, size_t len, const struct virtio_net_hdr *h)
{
	assert_int_equal(n, len);
	assert_memory_equal(got, want, len);
	assert_int_equal(got_h->gso_type, h->gso_type);
	assert_int_equal(got_h->gso_size, MSS);
	assert_true(got_h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(got_h->csum_start, h->csum_start);
	assert_int_equal(got_h->csum_offset, h->csum_offset);
}

static const char *const addresses[][3] = {{"10.6.0.1", "10.6.0.2", "10.6.0.62"},
					   {"fd06::1", "fd06::2", "fd06::62"}};

/* Neither is cut up nor summed on the way, whichever way it is. */
static void test_gso(void **state)
{
	static uint8_t frame[LIVE_MAX], got[LIVE_MAX];
	struct virtio_net_hdr h, got_h;
	_cleanup_close_
	int far = net_packet_vnet_open("far", "w-net6-far");
	int pinned = live.world.tap[W_PINNED], other = live.world.tap[W_FREE];
	size_t len;
	ssize_t n;

	assert_true(far >= 0);
	for (int six = 0; six < 2; six++) {
		const char *const *a = addresses[six];

		len = large(frame, &h, six, a[0], a[2], M_M1, M_N6);
		assert_int_equal(net_vnet_send(pinned, &h, frame, len), len);
		n = net_packet_vnet_recv(far, &got_h, got, sizeof(got), LIVE_WAIT_MS);
		expect_large(got, n, &got_h, frame, len, &h);
		live_drain(&live);

		len = large(frame, &h, six, a[2], a[0], M_N6, M_M1);
		assert_int_equal(net_vnet_send(far, &h, frame, len), len);
		n = net_vnet_recv(pinned, &got_h, got, sizeof(got), LIVE_WAIT_MS);
		expect_large(got, n, &got_h, frame, len, &h);

		len = large(frame, &h, six, a[0], a[1], M_M1, M_M2);
		assert_int_equal(net_vnet_send(pinned, &h, frame, len), len);
		n = net_vnet_recv(other, &got_h, got, sizeof(got), LIVE_WAIT_MS);
		expect_large(got, n, &got_h, frame, len, &h);
	}
	live_expect_nothing(&live);
}

/* OpenVPN's tap takes no large frames: it gets the pieces, each whole and with the session's tag.
 */
static void test_gso_to_session(void **state)
{
	static uint8_t frame[LIVE_MAX], got[LIVE_MAX];
	struct virtio_net_hdr h;

	for (int six = 0; six < 2; six++) {
		size_t len =
			large(frame, &h, six, addresses[six][0], addresses[six][2], M_M1, M_V6);
		size_t header = 14 + (six ? 40 : 20) + 20, at = 0;

		assert_int_equal(net_vnet_send(live.world.tap[W_PINNED], &h, frame, len), len);
		for (int i = 0; i <= PIECES; i++) {
			size_t data = i < PIECES ? MSS : DATA - PIECES * MSS;
			ssize_t n = live_receive(&live, W_VLAN, got, sizeof(got), LIVE_WAIT_MS);

			assert_int_equal(n, header + 4 + data);
			assert_int_equal(got[14] << 8 | got[15], 461);
			memmove(got + 12, got + 16, (size_t)n - 16);
			assert_true(shape_checksums_right(got, (size_t)n - 4));
			assert_memory_equal(got + header, frame + header + at, data);
			at += data;
		}
		assert_int_equal(at, DATA);
	}
	live_expect_nothing(&live);
}

/* How much of a frame the machine says is header decides what is linear; not what is judged. */
static void test_nonlinear(void **state)
{
	static const uint16_t said[] = {0, 14, 20, 34, 54, 74, 200, 4000};
	static uint8_t frame[LIVE_MAX], got[LIVE_MAX];
	int pinned = live.world.tap[W_PINNED];

	for (size_t i = 0; i < 4 * SP_ARRAY_SIZE(said); i++) {
		bool six = i & 1, gso = i & 2;
		const char *foreign = six ? "fd06::3" : "10.6.0.3";
		uint64_t spoofed = dropped(SP_R_SPOOF_IP), too_long = dropped(SP_R_TOO_LONG);
		struct virtio_net_hdr h, plain;
		size_t len = large(frame, &h, six, foreign, addresses[six][1], M_M1, M_M2);

		plain = gso ? h : (struct virtio_net_hdr){.flags = 0};
		plain.hdr_len = said[i / 4];
		assert_int_equal(net_vnet_send(pinned, &plain, frame, len), len);
		live_expect_nothing(&live);
		assert_int_equal(dropped(SP_R_SPOOF_IP) - spoofed, 1);

		len = large(frame, &h, six, addresses[six][0], addresses[six][1], M_M1, M_M2);
		assert_int_equal(net_vnet_send(pinned, &plain, frame, len), len);
		if (gso)
			assert_int_equal(
				live_receive(&live, W_FREE, got, sizeof(got), LIVE_WAIT_MS), len);
		else /* for who could take it */
			assert_int_equal(dropped(SP_R_TOO_LONG) - too_long, 1);
		assert_int_equal(dropped(SP_R_SPOOF_IP) - spoofed, 1);
	}
}

/* --- answers --- */

struct asker {
	enum world_dev dev;
	uint16_t vid;
	enum world_mac mac;
	const char *four, *six;
};

static const struct asker askers[] = {
	{W_VLAN, 461, M_V6, "10.6.0.61", "fd06::61"},
	{W_MAC, 0, M_T6, "10.6.0.63", "fd06::63"},
	{W_NET6, 0, M_N6, "10.6.0.62", "fd06::62"},
	{W_PINNED, 0, M_M1, "10.6.0.1", "fd06::1"},
};

/* The answer comes out where the question went in, with its tag, and nothing anywhere else. */
static void ask(const struct asker *a, int dst, const struct shape *question,
		const struct shape *answer)
{
	struct model_frame q = model_frame_of(a->dev, a->vid, dst, a->mac, question);
	struct model_frame r = model_frame_of(a->dev, a->vid, (int)a->mac, M_M3, answer);

	live_send(&live, &q);
	live_expect(&live, a->dev, &r, a->vid);
	live_expect_nothing(&live);
}

static void test_answers(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(askers); i++) {
		const struct asker *a = &askers[i];
		const struct shape request = ARP_REQUEST(a->mac, a->four, "10.6.0.3");
		const struct shape reply = ARP_REPLY(M_M3, "10.6.0.3", a->mac, a->four);
		const struct shape probe = ARP_REQUEST(a->mac, "0.0.0.0", "10.6.0.3");
		const struct shape defense = ARP_REPLY(M_M3, "10.6.0.3", a->mac, "0.0.0.0");
		const struct shape to_it = NS(a->six, "fd06::3", "fd06::3", a->mac);
		const struct shape to_all = NS(a->six, "ff02::1:ff00:3", "fd06::3", a->mac);
		const struct shape na = NA("fd06::3", a->six, "fd06::3", M_M3, .nd_flags = 0x60);
		const struct shape dad = DAD("ff02::1:ff00:3", "fd06::3");
		const struct shape dad_na =
			NA("fd06::3", "ff02::1", "fd06::3", M_M3, .nd_flags = 0x20);

		ask(a, M_M3, &request, &reply);
		ask(a, M_BROADCAST, &request, &reply);
		ask(a, M_BROADCAST, &probe, &defense);
		ask(a, M_M3, &to_it, &na);
		ask(a, MODEL_SOLICITED, &to_all, &na);
		ask(a, MODEL_SOLICITED, &dad, &dad_na);
	}
}

/* --- frames that wait --- */

#define PARKED_MAX 3

struct parked {
	unsigned int n;
	struct sp_parked frames[PARKED_MAX];
};

static void keep(const struct sp_notice *n, void *arg)
{
	struct parked *p = arg;

	assert_int_equal(n->kind, SP_NOTICE_PARKED);
	assert_int_equal(n->port, 33);
	assert_true(p->n < PARKED_MAX);
	p->frames[p->n++] = *(const struct sp_parked *)n;
}

static void set_asleep(bool asleep)
{
	for (size_t i = 0; i < world_n_nodes; i++) {
		struct sp_dst d = world_dst(&live.world, &world_nodes[i]);

		if (world_nodes[i].dev != W_ASLEEP)
			continue;
		d.flags = asleep ? SP_F_ASLEEP : 0;
		assert_int_equal(dataplane_fdb_set(live.world.dp, 6, world_mac[M_M3], &d), 0);
	}
}

/* The first frames of three senders, one of which leaves its checksum to its device. */
static void send_three(struct model_frame f[PARKED_MAX])
{
	const struct shape from_session = TCP("10.6.0.61", "10.6.0.3", 4000, 80);
	const struct shape from_netns = TCP("fd06::62", "fd06::3", 4000, 80);
	const struct shape from_machine = UDP("10.6.0.1", "10.6.0.3", 53, 53, .data = 1400);
	const struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 54, .csum_offset = 16};
	struct shape partial = from_netns;
	uint8_t bytes[PROBE_MAX];
	size_t n;
	_cleanup_close_
	int far = net_packet_vnet_open("far", "w-net6-far");

	f[0] = model_frame_of(W_VLAN, 461, M_M3, M_V6, &from_session);
	f[1] = model_frame_of(W_NET6, 0, M_M3, M_N6, &from_netns);
	f[2] = model_frame_of(W_PINNED, 0, M_M3, M_M1, &from_machine);
	live_send(&live, &f[0]);
	partial.how = SHAPE_PARTIAL;
	n = shape_bytes(&partial, world_mac[M_M3], world_mac[M_N6], bytes);
	assert_int_equal(net_vnet_send(far, &h, bytes, n), n);
	live_send(&live, &f[2]);
}

static void test_park(void **state)
{
	static struct parked p;
	struct model_frame f[PARKED_MAX];
	uint64_t full = dropped(SP_R_PARK_FULL);

	p.n = 0;
	assert_int_equal(world_reset_machines(&live.world), 0);
	send_three(f);
	live_expect_nothing(&live);
	assert_true(dataplane_notices_drain(live.world.dp, keep, &p) >= 0);
	assert_int_equal(p.n, PARKED_MAX);
	assert_int_equal(p.frames[0].head.from_port, 461);
	assert_int_equal(p.frames[1].head.from_port, 61);
	assert_int_equal(p.frames[2].head.from_port, 31);
	live_send(&live, &f[0]); /* there is no more room */
	live_expect_nothing(&live);
	assert_int_equal(dropped(SP_R_PARK_FULL) - full, 1);

	for (unsigned int i = 0; i < p.n; i++)
		assert_int_equal(
			dataplane_replay(live.world.dp, 6, p.frames[i].data, p.frames[i].head.len),
			-ENOENT);
	set_asleep(false);
	for (unsigned int i = 0; i < p.n; i++)
		assert_int_equal(
			dataplane_replay(live.world.dp, 6, p.frames[i].data, p.frames[i].head.len),
			0);
	for (unsigned int i = 0; i < p.n; i++) /* in order, and whole */
		live_expect(&live, W_ASLEEP, &f[i], 0);
	live_send(&live, &f[0]); /* and what comes now goes on by itself */
	live_expect(&live, W_ASLEEP, &f[0], 0);
	live_expect_nothing(&live);
	set_asleep(true);
}

/* A poll of the descriptor is what the daemon waits in. */
static void test_notice_wakes(void **state)
{
	const struct shape s = TCP("10.6.0.61", "10.6.0.3", 4000, 80);
	struct model_frame f = model_frame_of(W_VLAN, 461, M_M3, M_V6, &s);
	static struct parked p;
	int fd = dataplane_notices_fd(live.world.dp);
	uint8_t byte;

	p.n = 0;
	assert_int_equal(world_reset_machines(&live.world), 0);
	assert_true(dataplane_notices_drain(live.world.dp, keep, &p) >= 0);
	assert_int_equal(net_tap_recv(fd, &byte, 0, 1), -EAGAIN);
	live_send(&live, &f);
	assert_int_not_equal(net_tap_recv(fd, &byte, 0, LIVE_WAIT_MS), -EAGAIN);
	assert_true(dataplane_notices_drain(live.world.dp, keep, &p) >= 0);
	assert_int_equal(p.n, 1);
}

/* --- several queues --- */

#define QUEUES 2
#define MQ_FRAMES 2000

struct queue {
	pthread_t thread;
	int fd;
	int sent;
};

static void *send_many(void *arg)
{
	const struct shape s = UDP("10.6.0.99", "10.6.0.61", 1, 2);
	struct queue *q = arg;
	uint8_t bytes[PROBE_MAX];
	size_t n = shape_bytes(&s, world_mac[M_V6], world_mac[M_NOBODY], bytes);

	for (int i = 0; i < MQ_FRAMES; i++)
		q->sent += net_vnet_send(q->fd, NULL, bytes, n) == (ssize_t)n;
	return NULL;
}

static unsigned int from_notices;

static void count_from(const struct sp_notice *n, void *arg)
{
	from_notices += n->kind == SP_NOTICE_FROM && n->port == 39;
}

/* A machine with two queues: every frame judged, and one notice of the first. */
static void test_queues(void **state)
{
	const struct sp_port port = {
		.port = 39, .segment = 6, .kind = SP_PORT_MACHINE, .max_len = WORLD_MAX_LEN};
	const struct sp_bind bind = {.segment = 6, .port = 39};
	const struct sp_machine machine = {.watch = SP_WATCH_FROM, .slot = world_slot_of(6)};
	struct queue q[QUEUES];
	struct sp_reason_count busy[2];
	struct sp_counter c;
	struct link_info info;
	int sent = 0;

	assert_int_equal(dataplane_reason_get(live.world.dp, SP_R_FLOW_BUSY, &busy[0]), 0);
	assert_int_equal(link_machine_tap_make("w-queues", QUEUES, 1500, &info), 0);
	assert_int_equal(dataplane_counter_clear(live.world.dp, 39), 0);
	assert_int_equal(dataplane_machine_begin(live.world.dp, 39, &machine), 0);
	assert_int_equal(dataplane_attach(live.world.dp, info.ifindex, &port), 0);
	assert_int_equal(dataplane_bind(live.world.dp, info.ifindex, 0, world_mac[M_NOBODY], &bind),
			 0);
	for (int i = 0; i < QUEUES; i++) {
		q[i] = (struct queue){.fd = net_vnet_open("w-queues", IFF_MULTI_QUEUE)};
		assert_true(q[i].fd >= 0);
	}
	assert_int_equal(link_set_up(info.ifindex, true), 0);
	from_notices = 0;
	for (int i = 0; i < QUEUES; i++)
		pthread_create(&q[i].thread, NULL, send_many, &q[i]);
	for (int i = 0; i < QUEUES; i++) {
		pthread_join(q[i].thread, NULL);
		sent += q[i].sent;
		close(q[i].fd);
	}
	assert_int_equal(dataplane_counter_get(live.world.dp, 39, &c), 0);
	assert_int_equal(sent, QUEUES * MQ_FRAMES);
	/* All of one flow: who finds it held by a CPU that does not run is dropped, and counted. */
	assert_int_equal(dataplane_reason_get(live.world.dp, SP_R_FLOW_BUSY, &busy[1]), 0);
	assert_int_equal(c.rx_frames + (busy[1].frames - busy[0].frames), sent);
	assert_true(dataplane_notices_drain(live.world.dp, count_from, NULL) >= 0);
	assert_int_equal(from_notices, 1);
	live_drain(&live);
	assert_int_equal(dataplane_unbind(live.world.dp, info.ifindex, 0, world_mac[M_NOBODY]), 0);
	assert_int_equal(dataplane_detach(live.world.dp, info.ifindex), 0);
	assert_int_equal(link_tap_remove("w-queues"), 0);
}

/* --- the two worlds --- */

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
	TEST(kind, "open", open), TEST(kind, "large frames", test_gso),                            \
		TEST(kind, "large frames to a session", test_gso_to_session),                      \
		TEST(kind, "what is linear", test_nonlinear), TEST(kind, "answers", test_answers), \
		TEST(kind, "parked and sent on", test_park),                                       \
		TEST(kind, "a notice wakes", test_notice_wakes),                                   \
		TEST(kind, "several queues", test_queues), TEST(kind, "close", test_close)

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
	return cmocka_run_group_tests_name("machine, live", tests, NULL, NULL);
}
