// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does the daemon see of DHCP, and what is too much? A row for each message that is told and
 * for each that is not, in IPv4 and IPv6; then the rates: of notices, of group frames, of a user.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <linux/bpf.h>

#include "lib/cleanup.h"
#include "machine_words.h"
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/shape.h"
#include "testwrap.skel.h"

#define LEASING 32  /* W_FREE: its addresses are learned; 10.6.0.2 and fd06::2 are by now */
#define SLEEPING 33 /* W_ASLEEP: the same */
#define CHADDR (14 + 20 + 8 + 28)
#define BOOTP 240 /* bytes of a message without options */
#define AT_ONCE 32
#define USER 500

enum { TARGET_STEER, TARGET_MACHINE }; /* as in probe.c */

static struct world world;

struct row {
	const char *name;
	enum world_dev dev;
	uint16_t vid;
	enum world_mac dst, src;
	struct shape shape;
	enum sp_notice_kind told; /* 0: nothing is */
	uint32_t port;		  /* of whom it is told */
	enum sp_reason reason;	  /* 0: it goes on */
	int chaddr;		  /* enum world_mac + 1; 0: none */
	bool parked, inverted;
};

#define ROW(n, d, v, to, from, ...)                                                                \
	{                                                                                          \
		.name = (n), .dev = (d), .vid = (v), .dst = (to), .src = (from),                   \
		.shape = __VA_ARGS__                                                               \
	}
#define SENT(p) .told = SP_NOTICE_DHCP_SENT, .port = (p)
#define GOT(p) .told = SP_NOTICE_DHCP_GOT, .port = (p)
#define DROPPED(why) .reason = SP_R_##why
#define OF(m) .chaddr = (m) + 1
#define SIZED .data = BOOTP

/* clang-format off */
static const struct row rows[] = {
	/* --- what it sends --- */
	ROW("DISCOVER", W_FREE, 0, M_BROADCAST, M_M2, UDP("0.0.0.0", "255.255.255.255", 68, 67, SIZED), SENT(LEASING)),
	ROW("wrong on purpose: not told", W_FREE, 0, M_BROADCAST, M_M2, UDP("0.0.0.0", "255.255.255.255", 68, 67, SIZED), .inverted = true),
	ROW("renewal", W_FREE, 0, M_N6, M_M2, UDP("10.6.0.2", "10.6.0.62", 68, 67, SIZED), SENT(LEASING)),
	ROW("DHCPv6", W_FREE, 0, M_MULTICAST, M_M2, UDP("fe80::2", "ff02::1:2", 546, 547, SIZED), SENT(LEASING)),
	ROW("of one whose addresses are listed", W_PINNED, 0, M_BROADCAST, M_M1, UDP("0.0.0.0", "255.255.255.255", 68, 67, SIZED)),
	ROW("in fragments", W_FREE, 0, M_N6, M_M2, UDP("10.6.0.2", "10.6.0.62", 68, 67, .how = SHAPE_FIRST)),
	ROW("something else", W_FREE, 0, M_N6, M_M2, UDP("10.6.0.2", "10.6.0.62", 4000, 53)),
	ROW("something else to all, no address yet", W_FREE, 0, M_BROADCAST, M_M2, UDP("0.0.0.0", "255.255.255.255", 68, 69), DROPPED(SPOOF_IP)),
	ROW("by an address that is not leased", W_FREE, 0, M_N6, M_M2, UDP("10.6.0.99", "10.6.0.62", 4000, 53), DROPPED(SPOOF_IP)),
	ROW("DHCP by an address that is not leased", W_FREE, 0, M_N6, M_M2, UDP("10.6.0.99", "10.6.0.62", 68, 67, SIZED), DROPPED(SPOOF_IP)),
	ROW("by an address that is not leased, IPv6", W_FREE, 0, M_N6, M_M2, UDP("fd06::99", "fd06::62", 4000, 53), DROPPED(SPOOF_IP)),
	ROW("DHCPv6 by an address that is not leased", W_FREE, 0, M_MULTICAST, M_M2, UDP("fd06::99", "ff02::1:2", 546, 547, SIZED), DROPPED(SPOOF_IP)),
	ROW("ARP by an address that is not leased", W_FREE, 0, M_BROADCAST, M_M2, ARP_REQUEST(M_M2, "10.6.0.99", "10.6.0.62"), DROPPED(SPOOF_ARP)),
	ROW("ARP probe", W_FREE, 0, M_BROADCAST, M_M2, ARP_REQUEST(M_M2, "0.0.0.0", "10.6.0.99")),
	ROW("duplicate address detection", W_FREE, 0, M_MULTICAST, M_M2, DAD("ff02::1:ff00:99", "fd06::99")),
	ROW("router solicitation", W_FREE, 0, M_MULTICAST, M_M2, RS("fe80::2", M_M2)),
	ROW("by its link-local address", W_FREE, 0, M_N6, M_M2, UDP("fe80::2", "fe80::62", 4000, 53)),
	/* --- what it gets --- */
	ROW("answer", W_NET6, 0, M_M2, M_N6, UDP("10.6.0.62", "10.6.0.2", 67, 68, SIZED), GOT(LEASING)),
	ROW("answer by a relay's other port", W_NET6, 0, M_M2, M_N6, UDP("10.6.0.62", "10.6.0.2", 4000, 68, SIZED), GOT(LEASING)),
	ROW("answer to all", W_NET6, 0, M_BROADCAST, M_N6, UDP("10.6.0.62", "255.255.255.255", 67, 68, SIZED), GOT(LEASING), OF(M_M2)),
	ROW("answer to all, another's", W_NET6, 0, M_BROADCAST, M_N6, UDP("10.6.0.62", "255.255.255.255", 67, 68, SIZED), OF(M_M1)),
	ROW("answer to all, a session's", W_NET6, 0, M_BROADCAST, M_N6, UDP("10.6.0.62", "255.255.255.255", 67, 68, SIZED), OF(M_V6)),
	ROW("answer to all, nobody's", W_NET6, 0, M_BROADCAST, M_N6, UDP("10.6.0.62", "255.255.255.255", 67, 68, SIZED), OF(M_NOBODY)),
	ROW("answer to all, cut short", W_NET6, 0, M_BROADCAST, M_N6, UDP("10.6.0.62", "255.255.255.255", 67, 68, .data = 33)),
	ROW("answer to all, not DHCP", W_NET6, 0, M_BROADCAST, M_N6, UDP("10.6.0.62", "255.255.255.255", 67, 69, SIZED), OF(M_M2)),
	ROW("answer of a machine that may", W_ROUTER, 0, M_M2, M_M5, UDP("10.6.0.5", "10.6.0.2", 67, 68, SIZED), GOT(LEASING)),
	ROW("answer of a machine that may, to all", W_ROUTER, 0, M_BROADCAST, M_M5, UDP("10.6.0.5", "255.255.255.255", 67, 68, SIZED), GOT(LEASING), OF(M_M2)),
	ROW("answer of a machine that may not", W_PINNED, 0, M_M2, M_M1, UDP("10.6.0.1", "10.6.0.2", 67, 68, SIZED), DROPPED(DHCP_GUARD)),
	ROW("answer of a VLAN session", W_VLAN, 461, M_M2, M_V6, UDP("10.6.0.61", "10.6.0.2", 67, 68, SIZED)),
	ROW("answer of a VLAN session, to all", W_VLAN, 461, M_BROADCAST, M_V6, UDP("10.6.0.61", "255.255.255.255", 67, 68, SIZED), OF(M_M2)),
	ROW("answer of a MAC session", W_MAC, 0, M_M2, M_T6, UDP("10.6.0.63", "10.6.0.2", 67, 68, SIZED)),
	ROW("DHCPv6 answer", W_NET6, 0, M_M2, M_N6, UDP("fe80::62", "fe80::2", 547, 546, SIZED), GOT(LEASING)),
	ROW("DHCPv6 answer of a machine that may", W_ROUTER, 0, M_M2, M_M5, UDP("fe80::5", "fe80::2", 547, 546, SIZED), GOT(LEASING)),
	ROW("DHCPv6 answer of a machine that may not", W_PINNED, 0, M_M2, M_M1, UDP("fe80::1", "fe80::2", 547, 546, SIZED), DROPPED(DHCP_GUARD)),
	ROW("DHCPv6 answer of a session", W_VLAN, 461, M_M2, M_V6, UDP("fe80::61", "fe80::2", 547, 546, SIZED)),
	ROW("answer in fragments", W_NET6, 0, M_M2, M_N6, UDP("10.6.0.62", "10.6.0.2", 67, 68, .how = SHAPE_FIRST)),
	ROW("answer in fragments, IPv6", W_NET6, 0, M_M2, M_N6, UDP("fe80::62", "fe80::2", 547, 546, .how = SHAPE_FIRST)),
	ROW("answer to one whose addresses are listed", W_NET6, 0, M_M1, M_N6, UDP("10.6.0.62", "10.6.0.1", 67, 68, SIZED)),
	ROW("answer to one that sleeps", W_NET6, 0, M_M3, M_N6, UDP("10.6.0.62", "10.6.0.3", 67, 68, SIZED), GOT(SLEEPING), .parked = true),
	ROW("something else to it", W_NET6, 0, M_M2, M_N6, UDP("10.6.0.62", "10.6.0.2", 53, 4000)),
	ROW("ARP to it", W_NET6, 0, M_M2, M_N6, ARP_REPLY(M_N6, "10.6.0.62", M_M2, "10.6.0.2")),
};
/* clang-format on */

/* --- a frame --- */

static struct model_frame frame_of(const struct row *row)
{
	return model_frame_of(row->dev, row->vid, row->dst, row->src, &row->shape);
}

static struct prober prober;

static int run(const struct row *row)
{
	struct model_frame f = frame_of(row);
	struct __sk_buff ctx = {.ifindex = world.ifindex[f.dev],
				.cb = {f.tag_proto, f.tci, 0,
				       world_is_machine(f.dev) ? TARGET_MACHINE : TARGET_STEER}};
	uint8_t buf[PROBE_MAX], out[PROBE_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = buf, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .data_out = out, .data_size_out = PROBE_MAX,
		    .repeat = 1);
	int r;

	opts.data_size_in = (uint32_t)probe_bytes(&f, buf, false);
	if (opts.data_size_in < 60) {
		ctx.cb[2] = opts.data_size_in;
		memset(buf + opts.data_size_in, 0, 60 - opts.data_size_in);
		opts.data_size_in = 60;
	}
	if (row->chaddr)
		memcpy(buf + CHADDR, world_mac[row->chaddr - 1], SP_MAC_LEN);
	r = bpf_prog_test_run_opts(bpf_program__fd(prober.wrap->progs.wrap), &opts);
	assert_int_equal(r, 0);
	for (int d = 0; d < _W_DEVS; d++) /* copies */
		while (net_tap_recv(world.tap[d], out, sizeof(out), 0) >= 0)
			;
	return (int)opts.retval;
}

struct seen {
	unsigned int n, dhcp, parked;
	enum sp_notice_kind kind;
	uint32_t port, segment, len;
	uint8_t data[PROBE_MAX];
};

static void on_notice(const struct sp_notice *n, void *arg)
{
	struct seen *s = arg;

	s->n++;
	if (n->kind == SP_NOTICE_PARKED) {
		s->parked++;
		return;
	}
	s->dhcp++;
	s->kind = n->kind;
	s->port = n->port;
	s->segment = n->segment;
	s->len = n->len;
	memcpy(s->data, ((const struct sp_parked *)n)->data, n->len);
}

static struct seen drain(void)
{
	static struct seen s;

	s = (struct seen){.n = 0};
	assert_true(dataplane_notices_drain(world.dp, on_notice, &s) >= 0);
	return s;
}

static uint64_t drops(enum sp_reason reason)
{
	struct sp_reason_count c;

	assert_int_equal(dataplane_reason_get(world.dp, reason, &c), 0);
	return c.frames;
}

/* Every machine as it was, and those two with addresses that are learned. */
static void reset(void)
{
	assert_int_equal(world_reset_machines(&world), 0);
	dataplane_machine_flags(world.dp, LEASING, SP_M_PINNED | SP_M_LEASE, 0);
	dataplane_machine_flags(world.dp, SLEEPING, SP_M_LEASE, 0);
	for (uint32_t port = 30; port < 40; port++)
		assert_int_equal(dataplane_quota_set(world.dp, port, 0, 0), 0);
	drain();
}

static const char *check(const struct row *row)
{
	static char why[200];
	uint8_t bytes[PROBE_MAX];
	struct model_frame f = frame_of(row);
	size_t len = probe_bytes(&f, bytes, false);
	uint64_t before = row->reason ? drops(row->reason) : 0;
	bool shot = row->reason || (world_mac[row->dst][0] & 1) || row->parked;
	int verdict = run(row);
	struct seen s = drain();

	if (row->chaddr)
		memcpy(bytes + CHADDR, world_mac[row->chaddr - 1], SP_MAC_LEN);
	if (verdict != (shot ? PROBE_SHOT : PROBE_REDIRECT))
		return "another verdict";
	if (row->reason && drops(row->reason) != before + 1)
		return "not dropped for this reason";
	if (s.parked != row->parked || s.dhcp != (row->told != 0)) {
		snprintf(why, sizeof(why), "%u notices of DHCP, %u parked", s.dhcp, s.parked);
		return why;
	}
	if (!row->told)
		return NULL;
	if (s.kind != row->told || s.port != row->port || s.segment != 6)
		return "a notice of another kind, port or segment";
	return s.len == len && memcmp(s.data, bytes, len) == 0 ? NULL : "not the frame's bytes";
}

static void test_rows(void **state)
{
	unsigned int n = 0;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		const char *wrong;

		reset();
		wrong = check(&rows[i]);
		if (!wrong != !rows[i].inverted) {
			print_error("%s: %s\n", rows[i].name, wrong ? wrong : "not noticed");
			n++;
		}
	}
	assert_int_equal(n, 0);
}

/* --- rates --- */

/* What cannot be told does not go on, either way; the other machine's room is its own. */
static void test_notices_bounded(void **state)
{
	static const struct row sent = ROW("", W_FREE, 0, M_BROADCAST, M_M2,
					   UDP("0.0.0.0", "255.255.255.255", 68, 67, SIZED)),
				got = ROW("", W_NET6, 0, M_M2, M_N6,
					  UDP("10.6.0.62", "10.6.0.2", 67, 68, SIZED)),
				all = ROW("", W_NET6, 0, M_BROADCAST, M_N6,
					  UDP("10.6.0.62", "255.255.255.255", 67, 68, SIZED),
					  OF(M_M2)),
				other = ROW("", W_NET6, 0, M_M3, M_N6,
					    UDP("10.6.0.62", "10.6.0.3", 67, 68, SIZED)),
				plain = ROW("", W_FREE, 0, M_N6, M_M2,
					    UDP("10.6.0.2", "10.6.0.62", 4000, 53));
	uint64_t before;

	reset();
	for (int i = 0; i < AT_ONCE; i++)
		run(i % 2 ? &sent : &got);
	assert_int_equal(drain().dhcp, AT_ONCE);
	before = drops(SP_R_LEASE);
	assert_int_equal(run(&sent), PROBE_SHOT);
	assert_int_equal(run(&got), PROBE_SHOT);
	assert_int_equal(run(&all), PROBE_SHOT);
	assert_int_equal(drops(SP_R_LEASE), before + 3);
	assert_int_equal(drain().dhcp, 0);
	assert_int_equal(run(&plain), PROBE_REDIRECT);
	run(&other);
	assert_int_equal(drain().dhcp, 1);
	reset();
	assert_int_equal(run(&got), PROBE_REDIRECT);
	assert_int_equal(drain().dhcp, 1);
}

static void test_group_rate(void **state)
{
	static const struct row arp = ROW("", W_PINNED, 0, M_BROADCAST, M_M1,
					  ARP_REQUEST(M_M1, "10.6.0.1", "10.6.0.99")),
				v6 = ROW("", W_PINNED, 0, M_MULTICAST, M_M1,
					 UDP("fd06::1", "ff02::1", 1, 2)),
				one = ROW("", W_PINNED, 0, M_M2, M_M1,
					  UDP("10.6.0.1", "10.6.0.2", 1, 2)),
				other = ROW("", W_FREE, 0, M_BROADCAST, M_M2,
					    ARP_REQUEST(M_M2, "10.6.0.2", "10.6.0.99")),
				workload = ROW("", W_NET6, 0, M_BROADCAST, M_N6,
					       ARP_REQUEST(M_N6, "10.6.0.62", "10.6.0.99"));
	uint64_t before;

	reset();
	before = drops(SP_R_GROUP_RATE);
	assert_int_equal(dataplane_quota_set(world.dp, 31, 1, 4), 0);
	for (int i = 0; i < 5; i++)
		run(i % 2 ? &arp : &v6);
	assert_int_equal(drops(SP_R_GROUP_RATE), before);
	run(&arp);
	run(&v6);
	assert_int_equal(drops(SP_R_GROUP_RATE), before + 2);
	assert_int_equal(run(&one), PROBE_REDIRECT);
	run(&other);
	run(&workload);
	assert_int_equal(drops(SP_R_GROUP_RATE), before + 2);
	assert_int_equal(dataplane_quota_set(world.dp, 31, 0, 0), 0);
	run(&arp);
	assert_int_equal(drops(SP_R_GROUP_RATE), before + 2);
}

/* A session and a machine of one user, and what each of them may by itself. */
static void test_user_rate(void **state)
{
	static const struct row session = ROW("", W_VLAN, 461, M_N6, M_V6,
					      UDP("10.6.0.61", "10.6.0.62", 1, 2)),
				machine = ROW("", W_FREE, 0, M_N6, M_M2,
					      UDP("10.6.0.2", "10.6.0.62", 1, 2)),
				stranger = ROW("", W_PINNED, 0, M_N6, M_M1,
					       UDP("10.6.0.1", "10.6.0.62", 1, 2));
	const struct dataplane_rate rate = {.frames_per_s = 1, .frames_burst = 4},
				    part = {.user = USER},
				    slow = {.frames_per_s = 1, .frames_burst = 1, .user = USER},
				    none = {.user = 0};
	struct model_frame f = frame_of(&session);
	uint64_t before = drops(SP_R_USER_RATE), policed = drops(SP_R_POLICED);

	reset();
	assert_int_equal(dataplane_police_set(world.dp, USER, &rate), 0);
	assert_int_equal(dataplane_police_set(world.dp, 461, &part), 0);
	assert_int_equal(dataplane_police_set(world.dp, LEASING, &slow), 0);
	assert_int_equal(run(&machine), PROBE_REDIRECT);
	assert_int_equal(run(&machine), PROBE_REDIRECT);
	for (int i = 0; i < 3; i++) /* by its own rate: nothing that the user's counts */
		assert_int_equal(run(&machine), PROBE_SHOT);
	assert_int_equal(drops(SP_R_POLICED), policed + 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(probe_guard(&prober, &f), PROBE_XDP_PASS);
	assert_int_equal(drops(SP_R_USER_RATE), before);
	assert_int_equal(probe_guard(&prober, &f), PROBE_XDP_DROP);
	assert_int_equal(dataplane_police_set(world.dp, LEASING, &part), 0);
	assert_int_equal(run(&machine), PROBE_SHOT);
	assert_int_equal(drops(SP_R_USER_RATE), before + 2);
	assert_int_equal(run(&stranger), PROBE_REDIRECT);

	assert_int_equal(dataplane_police_set(world.dp, USER, &none), 0);
	assert_int_equal(probe_guard(&prober, &f), PROBE_XDP_PASS);
	assert_int_equal(run(&machine), PROBE_REDIRECT);
	/* By bytes as well. */
	assert_int_equal(dataplane_police_set(
				 world.dp, USER,
				 &(struct dataplane_rate){.bytes_per_s = 1, .bytes_burst = 2000}),
			 0);
	before = drops(SP_R_USER_RATE);
	for (int i = 0; i < 2000 / f.len + 1; i++)
		assert_int_equal(probe_guard(&prober, &f), PROBE_XDP_PASS);
	assert_int_equal(run(&machine), PROBE_SHOT);
	assert_int_equal(drops(SP_R_USER_RATE), before + 1);
	assert_int_equal(dataplane_police_set(world.dp, 461, &none), 0);
	assert_int_equal(dataplane_police_set(world.dp, LEASING, &none), 0);
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
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_notices_bounded),
		cmocka_unit_test(test_group_rate),
		cmocka_unit_test(test_user_rate),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("guard", tests, setup, teardown);
}
