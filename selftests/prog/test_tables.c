// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does each frame get the verdict, the reason, the counters and the copies that the design says?
 * A row for each reason and each walk, IPv4, IPv6 and ARP, tc and XDP; each table has a row that
 * is wrong on purpose, to prove that the check can fail.
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
#include "selftests/harness/net.h"
#include "selftests/harness/probe.h"
#include "selftests/harness/tally.h"

#define IP 0x0800
#define ARP 0x0806
#define IP6 0x86dd
#define Q 0x8100
#define AD 0x88a8
#define MAX_TARGETS 8

enum prog { STEER, GUARD };

struct row {
	const char *name;
	enum prog prog;
	enum world_dev dev;
	uint16_t tag_proto, tci;
	enum world_mac dst, src;
	uint16_t proto, len, gso_size;
	enum sp_reason reason;
	uint32_t charged;
	uint32_t target[MAX_TARGETS]; /* port numbers, 0 ends */
	bool inverted;		      /* the expectation is false: the check must say so */
};

#define ANY_ROW(wrong, n, p, d, tp, tag, to, from, type, size, gso, why_not, port, ...)            \
	{                                                                                          \
		.name = (n),                                                                       \
		.prog = (p),                                                                       \
		.dev = (d),                                                                        \
		.tag_proto = (tp),                                                                 \
		.tci = (tag),                                                                      \
		.dst = (to),                                                                       \
		.src = (from),                                                                     \
		.proto = (type),                                                                   \
		.len = (size),                                                                     \
		.gso_size = (gso),                                                                 \
		.reason = (why_not),                                                               \
		.charged = (port),                                                                 \
		.target = {__VA_ARGS__},                                                           \
		.inverted = (wrong),                                                               \
	},
#define ROW(...) ANY_ROW(false, __VA_ARGS__)
#define WRONG_ROW(...) ANY_ROW(true, __VA_ARGS__)
static const struct row rows[] = {
#include "rows.h"
};

static struct world world;
static struct prober prober;
static char why[256];

#define WRONG(...) (snprintf(why, sizeof(why), __VA_ARGS__), why)

static bool is_target(const struct row *row, uint32_t port)
{
	for (int i = 0; i < MAX_TARGETS && row->target[i]; i++)
		if (row->target[i] == port)
			return true;
	return false;
}

static void take(struct tally *t)
{
	assert_int_equal(tally_take(&world, t), 0);
}

/* Exactly what the row says was counted, and nothing else. */
static const char *check_counts(const struct row *row, const struct tally *a, const struct tally *b)
{
	bool counted = row->prog == STEER && !row->reason; /* guard counts drops only */
	struct tally_moves m = {.reason = row->reason,
				.charged = row->charged,
				.arrived = counted,
				.len = row->len,
				.departed = row->target,
				.departed_len = row->len};

	while (counted && m.n_departed < MAX_TARGETS && row->target[m.n_departed])
		m.n_departed++;
	return tally_check(a, b, &m);
}

/* --- the sampled event --- */

struct seen {
	unsigned int n;
	struct sp_event last;
};

static void on_event(const struct sp_event *e, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->last = *e;
}

static const char *check_event(const struct row *row, const struct model_frame *f)
{
	struct seen seen = {.n = 0};
	const struct sp_event *e = &seen.last;
	uint8_t bytes[PROBE_MAX];
	size_t len = probe_bytes(f, bytes, row->prog == GUARD);

	if (dataplane_events_drain(world.dp, on_event, &seen) < 0)
		return WRONG("the events cannot be read");
	if (seen.n != (row->reason ? 1 : 0))
		return WRONG("%u events", seen.n);
	if (!row->reason)
		return NULL;
	if (len > SP_EVENT_SNAP)
		len = SP_EVENT_SNAP;
	if (e->reason != row->reason || e->port != row->charged || e->len != row->len ||
	    e->ifindex != world.ifindex[row->dev] ||
	    e->hook != (row->prog == GUARD ? SP_HOOK_GUARD : SP_HOOK_STEER) ||
	    e->vid != (row->tag_proto ? row->tci & 0xfff : 0))
		return WRONG("event: reason %s, hook %s, port %u, vid %u, len %u",
			     sp_reason_name(e->reason), sp_hook_name(e->hook), e->port, e->vid,
			     e->len);
	if (e->caplen != len || memcmp(e->data, bytes, len) != 0)
		return WRONG("event: %u bytes of frame, expected %zu, or they differ", e->caplen,
			     len);
	return NULL;
}

/* --- a row --- */

static struct model_frame frame_of(const struct row *row)
{
	struct model_frame f = {.dev = row->dev,
				.tag_proto = row->tag_proto,
				.tci = row->tci,
				.proto = row->proto,
				.len = row->len,
				.gso_size = row->gso_size};

	memcpy(f.dst, world_mac[row->dst], SP_MAC_LEN);
	memcpy(f.src, world_mac[row->src], SP_MAC_LEN);
	return f;
}

/* The copies that the row's targets must get, in the order of their segment's list. */
static struct model_result copies_of(const struct row *row)
{
	struct model_result r = {.group = world_mac[row->dst][0] & 1};
	struct sp_dst list[SP_FLOOD_MAX];

	for (uint32_t segment = 1; r.group && segment <= WORLD_NO_FLOOD; segment++) {
		size_t n = world_flood(&world, segment, list);

		for (size_t i = 0; i < n; i++)
			if (row->prog == STEER && is_target(row, list[i].port))
				r.dst[r.n_dst++] = list[i];
	}
	return r;
}

static int expected_verdict(const struct row *row)
{
	if (row->prog == GUARD)
		return row->reason ? PROBE_XDP_DROP : PROBE_XDP_PASS;
	return row->reason || (world_mac[row->dst][0] & 1) ? PROBE_SHOT : PROBE_REDIRECT;
}

static const char *check(const struct row *row)
{
	static struct tally before, after;
	struct model_frame f = frame_of(row);
	struct model_result copies = copies_of(row);
	const char *wrong, *more;
	int verdict;

	take(&before);
	verdict = row->prog == GUARD ? probe_guard(&prober, &f) : probe_steer(&prober, &f);
	take(&after);
	wrong = check_event(row, &f);
	more = probe_check_copies(&prober, &f, &copies); /* reads the taps empty, come what may */
	if (verdict != expected_verdict(row))
		return WRONG("verdict %d, expected %d", verdict, expected_verdict(row));
	if (wrong)
		return wrong;
	return more ?: check_counts(row, &before, &after);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	const char *wrong = check(row);

	if (row->inverted && !wrong)
		fail_msg("%s: the check did not notice a false expectation", row->name);
	if (!row->inverted && wrong)
		fail_msg("%s: %s", row->name, wrong);
}

/* --- what may leave --- */

static int run_egress(uint32_t mark, uint32_t *ret_mark)
{
	struct model_frame f = {.dev = W_VLAN, .proto = IP6, .len = 90};
	uint8_t buf[PROBE_MAX];
	struct __sk_buff in = {.ifindex = world.ifindex[W_VLAN], .mark = mark}, out;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = buf, .ctx_in = &in,
		    .ctx_size_in = sizeof(in), .ctx_out = &out, .ctx_size_out = sizeof(out),
		    .repeat = 1);

	memcpy(f.dst, world_mac[M_MULTICAST], SP_MAC_LEN);
	memcpy(f.src, world_mac[M_NOBODY], SP_MAC_LEN);
	opts.data_size_in = (uint32_t)probe_bytes(&f, buf, false);
	if (bpf_prog_test_run_opts(dataplane_prog_fd(world.dp, "egress_guard"), &opts) < 0)
		return -errno;
	*ret_mark = out.mark;
	return (int)opts.retval;
}

/* I4. */
static void test_egress(void **state)
{
	static struct tally before, after;
	struct seen seen = {.n = 0};
	struct sp_config config;
	uint32_t zero = 0, mark;

	assert_int_equal(bpf_map_lookup_elem(dataplane_map_fd(world.dp, "config"), &zero, &config),
			 0);
	assert_int_not_equal(config.mark, 0);
	take(&before);
	assert_int_equal(run_egress(config.mark, &mark), 0);
	assert_int_equal(mark, 0);
	assert_int_equal(run_egress(0, &mark), PROBE_SHOT);
	assert_int_equal(run_egress(config.mark ^ 1, &mark), PROBE_SHOT);
	take(&after);
	assert_int_equal(after.reason[SP_R_NOT_OURS] - before.reason[SP_R_NOT_OURS], 2);
	assert_int_equal(after.port[1].drops - before.port[1].drops, 2);
	dataplane_events_drain(world.dp, on_event, &seen);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.last.hook, SP_HOOK_EGRESS);
}

/* Each reason that a frame can meet has a row (I9). */
static void test_complete(void **state)
{
	for (unsigned int r = 1; r < _SP_R_MAX; r++) {
		bool found = r == SP_R_NOT_OURS ||			       /* test_egress */
			     r == SP_R_CLONE_FAILED || r == SP_R_TAG_FAILED || /* test_copy_fails */
			     r >= SP_R_ASLEEP;				       /* test_machine.c */

		for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
			found |= rows[i].reason == r && !rows[i].inverted;
		if (!found)
			fail_msg("no row for %s", sp_reason_name(r));
	}
}

/* A copy's device is down: counted, and the others get theirs. */
static void test_copy_fails(void **state)
{
	static struct tally before, after;
	struct row row = {.prog = STEER,
			  .dev = W_VLAN,
			  .tag_proto = Q,
			  .tci = 201,
			  .dst = M_BROADCAST,
			  .src = M_A1,
			  .proto = ARP,
			  .len = 60,
			  .target = {13}};
	struct sp_dst dst[2] = {{.ifindex = 0x7ffffff0, .port = 203, .max_len = WORLD_MAX_LEN}};
	struct model_frame f = frame_of(&row);
	struct model_result copies = copies_of(&row);
	struct sp_dst list[SP_FLOOD_MAX];
	struct seen seen = {.n = 0};
	size_t n = world_flood(&world, 2, list);

	dst[1] = copies.dst[0];
	assert_int_equal(dataplane_flood_set(world.dp, 2, dst, 2), 0);
	take(&before);
	assert_int_equal(probe_steer(&prober, &f), PROBE_SHOT);
	take(&after);
	assert_int_equal(dataplane_flood_set(world.dp, 2, list, n), 0);
	assert_null(probe_check_copies(&prober, &f, &copies));
	assert_int_equal(after.reason[SP_R_CLONE_FAILED] - before.reason[SP_R_CLONE_FAILED], 1);
	assert_int_equal(after.port[13].tx_frames - before.port[13].tx_frames, 1);
	assert_int_equal(after.port[203].tx_frames - before.port[203].tx_frames, 0);
	dataplane_events_drain(world.dp, on_event, &seen);
}

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
	struct CMUnitTest tests[SP_ARRAY_SIZE(rows) + 3];
	size_t n = 0;

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
		tests[n++] =
			(struct CMUnitTest){rows[i].name, test_row, NULL, NULL, (void *)&rows[i]};
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_egress);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_copy_fails);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_complete);
	return _cmocka_run_group_tests("tables", tests, n, setup, teardown);
}
