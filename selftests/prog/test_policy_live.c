// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Policies with real ends: does a rejected sender's own stack understand what it is told, and is it
 * right where a checksum was left to a device; and is every frame judged by one policy, and in
 * time, while policies of a thousand rules replace each other? SP_MODEL_FRAMES  fewer replacements:
 * a thousandth of it (1,000)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "machine_words.h"
#include "selftests/harness/answer.h"
#include "selftests/harness/judge.h"
#include "selftests/harness/live.h"
#include "selftests/harness/net.h"

#define FAR "w-net6-far"
#define MACHINE 32
#define RELOADS 1000
#define RULES SP_RULES_MAX
#define STALL_MS 50

static struct live live;

static int set_policy(uint32_t port, const char *text)
{
	struct judge j = {.dp = live.world.dp};

	return judge_set_text(&j, port, text);
}

static uint64_t dropped(enum sp_reason reason)
{
	struct sp_reason_count c;

	assert_int_equal(dataplane_reason_get(live.world.dp, reason, &c), 0);
	return c.frames;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- what a stack makes of it --- */

/* 10.6.0.62 at the far end, and the machine in its ARP cache. */
static void set_far_address(void)
{
	_cleanup_close_
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = FAR};
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
	struct arpreq arp = {.arp_flags = ATF_COM | ATF_PERM, .arp_dev = FAR};

	in->sin_family = AF_INET;
	inet_pton(AF_INET, "10.6.0.62", &in->sin_addr);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &ifr), 0);
	inet_pton(AF_INET, "255.255.255.0", &in->sin_addr);
	assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &ifr), 0);
	in = (struct sockaddr_in *)&arp.arp_pa;
	in->sin_family = AF_INET;
	inet_pton(AF_INET, "10.6.0.2", &in->sin_addr);
	arp.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(arp.arp_ha.sa_data, world_mac[M_M2], SP_MAC_LEN);
	assert_int_equal(ioctl(fd, SIOCSARP, &arp), 0);
}

static struct sockaddr_in machine_address(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, "10.6.0.2", &a.sin_addr);
	return a;
}

/* A connect is refused at once, and a datagram's sender learns that nobody may get it. */
static void test_stack(void **state)
{
	const struct timeval patience = {.tv_sec = 5};
	struct sockaddr_in address = machine_address(80);
	int old = net_enter("far");
	_cleanup_close_
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char c;

	set_far_address();
	net_leave(old);
	assert_int_equal(set_policy(MACHINE, "reject in\n"), 0);
	setsockopt(tcp, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(tcp, (struct sockaddr *)&address, sizeof(address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(connect(udp, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(udp, "hello", 5, 0), 5);
	assert_int_equal(recv(udp, &c, 1, 0), -1);
	assert_int_equal(errno, EHOSTUNREACH); /* 3/13: net/ipv4/icmp.c, icmp_err_convert */
	live_drain(&live);
}

/* --- checksums that are left to a device --- */

struct leaver {
	const char *src, *dst;
	enum shape_kind kind;
	uint16_t data;
};

/* As the device would: what is left is summed up. */
static void complete(uint8_t *frame, size_t n, const struct virtio_net_hdr *h)
{
	uint8_t *field = frame + h->csum_start + h->csum_offset;
	uint16_t sum;

	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	assert_true(h->csum_start + h->csum_offset + 2U <= n);
	sum = shape_checksum(frame + h->csum_start, n - h->csum_start, 0);
	field[0] = (uint8_t)(sum >> 8);
	field[1] = (uint8_t)sum;
}

/*
 * WHOLE is the frame with its checksum. What is quoted of a UDP datagram that was cut has another
 * one, and so has the error around it: they are right, which is what can be said of them.
 */
static void expect_answer(const uint8_t *got, size_t n, const uint8_t *whole, size_t len,
			  const struct leaver *l)
{
	size_t l4 = strchr(l->src, ':') ? 54 : 34, icmp = l4, quoted = icmp + 8 + l4 - 14 + 6;
	uint8_t want[ANSWER_MAX], same[ANSWER_MAX];
	size_t expected = answer_bytes(whole, len, l4, l->kind == SHAPE_TCP ? 6 : 17, want);

	assert_int_equal(n, expected);
	assert_true(shape_checksums_right(got, n));
	memcpy(same, got, n);
	if (l->kind == SHAPE_UDP && expected < len + l4 - 14 + 8) {
		memcpy(same + icmp + 2, want + icmp + 2, 2);
		memcpy(same + quoted, want + quoted, 2);
	}
	assert_memory_equal(same, want, n);
}

static void leave_checksum(int fd, const struct leaver *l, enum world_mac from, enum world_mac to,
			   ssize_t (*receive)(int, struct virtio_net_hdr *, uint8_t *, size_t, int))
{
	struct shape s = {l->kind, .src = l->src, .dst = l->dst, .a = 4000, .b = 80};
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .csum_start = strchr(l->src, ':') ? 54 : 34,
				   .csum_offset = l->kind == SHAPE_TCP ? 16 : 6};
	static uint8_t frame[SHAPE_MAX], whole[SHAPE_MAX], got[LIVE_MAX];
	size_t len;
	ssize_t n;

	s.data = l->data;
	len = shape_bytes(&s, world_mac[to], world_mac[from], whole);
	s.how = SHAPE_PARTIAL;
	shape_bytes(&s, world_mac[to], world_mac[from], frame);
	assert_int_equal(net_vnet_send(fd, &h, frame, len), len);
	memset(&h, 0, sizeof(h));
	n = receive(fd, &h, got, sizeof(got), LIVE_WAIT_MS);
	assert_true(n > 0);
	complete(got, (size_t)n, &h);
	expect_answer(got, (size_t)n, whole, len, l);
}

static void leave_checksums(int fd, const char *const a[4], enum world_mac from, enum world_mac to,
			    ssize_t (*receive)(int, struct virtio_net_hdr *, uint8_t *, size_t,
					       int))
{
	static const uint16_t lens[] = {0, 1, 33, 400, 1300};

	for (size_t i = 0; i < 4 * SP_ARRAY_SIZE(lens); i++) {
		const struct leaver l = {.src = a[i & 1 ? 2 : 0],
					 .dst = a[i & 1 ? 3 : 1],
					 .kind = i & 2 ? SHAPE_UDP : SHAPE_TCP,
					 .data = lens[i / 4]};

		leave_checksum(fd, &l, from, to, receive);
	}
}

static void test_checksums(void **state)
{
	static const char *const out[] = {"10.6.0.2", "10.6.0.61", "fd06::2", "fd06::61"};
	static const char *const in[] = {"10.6.0.62", "10.6.0.2", "fd06::62", "fd06::2"};
	_cleanup_close_
	int far = net_packet_vnet_open("far", FAR);
	int tap = live.world.tap[W_FREE];

	assert_true(far >= 0);
	assert_int_equal(set_policy(MACHINE, "reject in\nreject out\n"), 0);
	leave_checksums(tap, out, M_M2, M_V6, net_vnet_recv);
	leave_checksums(far, in, M_N6, M_M2, net_packet_vnet_recv);
	/* A guest whose device takes no checksums: the kernel completes them on the way. */
	assert_int_equal(ioctl(tap, TUNSETOFFLOAD, 0UL), 0);
	usleep((__useconds_t)SP_SAY_BURST * (__useconds_t)(SP_SAY_COST_NS / 1000)); /* new tokens */
	leave_checksums(tap, out, M_M2, M_V6, net_vnet_recv);
	assert_int_equal(ioctl(tap, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM), 0);
	live_drain(&live);
	live_expect_nothing(&live);
}

/* --- one policy after the other --- */

/* The same rule lets the frame in, in another place and among others: the same counter. */
#define LETS_IN "accept in udp from 10.6.0.0/24 dport 9000\n"

static char *make_text(unsigned int place, unsigned int first, unsigned int step)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	fputs("default in drop\n", f);
	for (unsigned int i = 0; i < RULES; i++)
		if (i == place)
			fputs(LETS_IN, f);
		else
			fprintf(f, "drop in udp from 10.%u.%u.0/24 dport %u\n", step, i % 250,
				first + i * step);
	fclose(f);
	return text;
}

struct reloads {
	unsigned int n;
	int r;
	struct policy *policy[2];
	char *text[2];
	atomic_bool done;
};

static void *reload(void *arg)
{
	struct reloads *l = arg;
	struct judge j = {.dp = live.world.dp};

	for (unsigned int i = 0; i < l->n && l->r == 0; i++)
		l->r = judge_set(&j, MACHINE, l->policy[i % 2], l->text[i % 2]);
	l->done = true;
	return NULL;
}

static void begin_reloads(struct reloads *l, pthread_t *ret)
{
	const char *s = getenv("SP_MODEL_FRAMES");

	l->n = s ? (unsigned int)(strtoul(s, NULL, 10) / 1000) : RELOADS;
	l->text[0] = make_text(700, 20000, 3);
	l->text[1] = make_text(250, 10000, 7);
	for (int i = 0; i < 2; i++)
		assert_int_equal(policy_parse(l->text[i], strlen(l->text[i]), &l->policy[i], NULL),
				 0);
	assert_int_equal(set_policy(MACHINE, l->text[1]), 0);
	assert_int_equal(pthread_create(ret, NULL, reload, l), 0);
}

/* How often has this thread had to give its CPU to another? */
static long preempted(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_THREAD, &u), 0);
	return u.ru_nivcsw;
}

/*
 * From one tap to another: all of it happens inside the write. The frame is a new flow's each time,
 * so that a policy is asked. *RET_NS: how long it took, 0 if another thread had the CPU meanwhile.
 * False: it was lost.
 */
static bool pass_one(uint16_t sport, uint64_t *ret_ns)
{
	const struct shape s = UDP("10.6.0.1", "10.6.0.2", sport, 9000);
	uint8_t frame[SHAPE_MAX], got[SHAPE_MAX];
	size_t len = shape_bytes(&s, world_mac[M_M2], world_mac[M_M1], frame);
	long before = preempted();
	uint64_t began = now_ns();
	ssize_t n;

	live_send_bytes(&live, W_PINNED, frame, len);
	n = live_receive(&live, W_FREE, got, sizeof(got), LIVE_WAIT_MS);
	*ret_ns = now_ns() - began;
	if (preempted() != before)
		*ret_ns = 0;
	return n == (ssize_t)len && memcmp(got, frame, len) == 0;
}

/* I5: no frame is judged by a mixture, none waits. */
static void test_reload(void **state)
{
	uint64_t broken = dropped(SP_R_POLICY_BROKEN), by_default = dropped(SP_R_POLICY);
	uint64_t by_rule = dropped(SP_R_POLICY_DROP), frames = 0, longest = 0;
	static struct sp_rule_counter counts[RULES];
	struct sp_rule_counter defaults[_SP_DIRECTIONS];
	struct reloads l = {.n = 0};
	bool passed = true;
	pthread_t thread;

	begin_reloads(&l, &thread);
	while (!l.done && passed) {
		uint64_t took;

		passed = pass_one((uint16_t)(1 + frames % 10000), &took);
		longest = took > longest ? took : longest;
		if (++frames % 10000 == 0)
			dataplane_flows_end_port(live.world.dp, world_slot_of(6), MACHINE);
	}
	pthread_join(thread, NULL);
	print_message("# %llu frames while %u policies came into force; the longest took %.1f ms\n",
		      (unsigned long long)frames, l.n, (double)longest / 1e6);
	assert_int_equal(l.r, 0);
	assert_true(passed);
	assert_int_equal(dropped(SP_R_POLICY_BROKEN) - broken, 0);
	assert_int_equal(dropped(SP_R_POLICY) - by_default, 0);
	assert_int_equal(dropped(SP_R_POLICY_DROP) - by_rule, 0);
	assert_int_equal(dataplane_policy_counts(live.world.dp, MACHINE, counts, RULES, defaults),
			 RULES);
	assert_int_equal(counts[l.n % 2 ? 700 : 250].packets, frames);
	assert_true(longest < STALL_MS * 1000000ULL);
	for (int i = 0; i < 2; i++) {
		policy_free(l.policy[i]);
		free(l.text[i]);
	}
}

/* --- */

static int setup(void **state)
{
	return live_open(&live, false);
}

static int teardown(void **state)
{
	live_close(&live);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_reload),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("policy, live", tests, setup, teardown);
}
