// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is what is in bpffs looked at before it is believed, and what is written into the maps there
 * afterwards? And do the three capabilities that the unit leaves the daemon suffice?
 */
#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <net/if.h>

#include "dataplane.h"
#include "lib/cleanup.h"
#include "link.h"
#include "sallyport/paths.h"
#include "selftests/harness/net.h"

#define BINDINGS 20000
#define PORTS 64
#define PINS NET_BPFFS "/" SP_PIN_DIR "/v1"

static const struct dataplane_options usual = {
	.bpffs = NET_BPFFS, .max_bindings = BINDINGS, .max_ports = PORTS};
static struct dataplane *dp;

/* --- pins --- */

/* A pin of another shape is named and left alone. */
static void test_foreign_pin(void **state)
{
	const char *path = NET_BPFFS "/foreign/v1/maps/bindings";
	const struct dataplane_options options = {.bpffs = NET_BPFFS, .pin_dir = "foreign"};
	_cleanup_(dataplane_closep) struct dataplane *other = NULL;
	_cleanup_free_
	char *error = NULL;
	_cleanup_close_
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "bindings", 4, 4, 10, NULL);

	assert_int_equal(dataplane_open(&options, &other, &error), 0);
	dataplane_close(TAKE_PTR(other));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	assert_int_equal(dataplane_open(&options, &other, &error), -EUCLEAN);
	assert_null(other);
	assert_non_null(strstr(error, path));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(dataplane_destroy(&options), 0);
	assert_int_not_equal(access(NET_BPFFS "/foreign/v1", F_OK), 0);
}

static void test_other_size(void **state)
{
	const struct dataplane_options options = {
		.bpffs = NET_BPFFS, .max_bindings = 2048, .max_ports = PORTS};
	_cleanup_(dataplane_closep) struct dataplane *other = NULL;
	_cleanup_free_
	char *error = NULL;

	assert_int_equal(dataplane_open(&options, &other, &error), -EUCLEAN);
	assert_non_null(strstr(error, "max-bindings"));
}

/* A start that was cut short leaves some pins: the next one makes the rest. */
static void test_half_made(void **state)
{
	const struct dataplane_options options = {.bpffs = NET_BPFFS, .pin_dir = "half"};
	_cleanup_(dataplane_closep) struct dataplane *half = NULL;

	assert_int_equal(dataplane_open(&options, &half, NULL), 0);
	dataplane_close(TAKE_PTR(half));
	assert_int_equal(unlink(NET_BPFFS "/half/v1/maps/config"), 0);
	assert_int_equal(unlink(NET_BPFFS "/half/v1/progs/guard"), 0);
	assert_int_equal(dataplane_open(&options, &half, NULL), 0);
	assert_int_equal(access(NET_BPFFS "/half/v1/maps/config", F_OK), 0);
	assert_int_equal(access(NET_BPFFS "/half/v1/progs/guard", F_OK), 0);
	dataplane_close(TAKE_PTR(half));
	assert_int_equal(dataplane_destroy(&options), 0);
}

/* A configuration of another version, and one that was zeroed. */
static void test_foreign_config(void **state)
{
	const struct sp_config bad[] = {{.abi_version = SP_ABI_VERSION + 1, .mark = 1},
					{.abi_version = SP_ABI_VERSION},
					{.mark = 1}};
	int fd = dataplane_map_fd(dp, "config");
	struct sp_config good;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &good), 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		_cleanup_(dataplane_closep) struct dataplane *other = NULL;
		_cleanup_free_
		char *error = NULL;

		assert_int_equal(bpf_map_update_elem(fd, &zero, &bad[i], BPF_ANY), 0);
		assert_int_equal(dataplane_open(&usual, &other, &error), -EUCLEAN);
		assert_non_null(strstr(error, PINS "/maps/config"));
	}
	assert_int_equal(bpf_map_update_elem(fd, &zero, &good, BPF_ANY), 0);
}

static void test_no_bpffs(void **state)
{
	const struct dataplane_options options = {.bpffs = "/run/nothing"};
	_cleanup_(dataplane_closep) struct dataplane *other = NULL;
	_cleanup_free_
	char *error = NULL;

	assert_int_equal(dataplane_open(&options, &other, &error), -ENOENT);
	assert_non_null(strstr(error, "mount -t bpf"));
	assert_int_equal(dataplane_destroy(&options), 0);
}

/* --- entries --- */

static void numbered_mac(uint8_t mac[SP_MAC_LEN], uint32_t i)
{
	const uint8_t m[SP_MAC_LEN] = {
		2, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};

	memcpy(mac, m, SP_MAC_LEN);
}

static uint8_t seen[BINDINGS];

static int see(const struct sp_bind_key *key, const struct sp_bind *value, void *arg)
{
	uint32_t i = (uint32_t)key->mac[4] << 8 | key->mac[5];

	if (value->generation != i + 1ULL || key->ifindex != 7 || key->vid != 101)
		return -EBADMSG;
	seen[i]++;
	++*(unsigned int *)arg;
	return 0;
}

static int forget(const struct sp_bind_key *key, const struct sp_bind *value, void *arg)
{
	return dataplane_unbind(dp, key->ifindex, key->vid, key->mac);
}

/* Every entry is visited once, full is ENOSPC (I4), and entries may go while they are visited. */
static void test_bindings(void **state)
{
	struct sp_bind value = {.segment = 1, .port = 2};
	uint8_t mac[SP_MAC_LEN];
	unsigned int n = 0;

	for (uint32_t i = 0; i < BINDINGS; i++) {
		numbered_mac(mac, i);
		value.generation = i + 1;
		assert_int_equal(dataplane_bind(dp, 7, 101, mac, &value), 0);
	}
	numbered_mac(mac, BINDINGS);
	assert_int_equal(dataplane_bind(dp, 7, 101, mac, &value), -ENOSPC);
	assert_int_equal(dataplane_each_binding(dp, see, &n), 0);
	assert_int_equal(n, BINDINGS);
	for (uint32_t i = 0; i < BINDINGS; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(dataplane_each_binding(dp, forget, NULL), 0);
	n = 0;
	assert_int_equal(dataplane_each_binding(dp, see, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(dataplane_unbind(dp, 7, 101, mac), 0); /* gone is fine */
}

/* What no frame may come from is never bound (I6), and no group address is anybody's own. */
static void test_no_group_entries(void **state)
{
	static const uint8_t bad[][SP_MAC_LEN] = {
		{0}, {1, 0, 0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	const struct sp_bind bind = {.segment = 1, .port = 2};
	const struct sp_dst dst = {.ifindex = 7, .port = 2};

	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		assert_int_equal(dataplane_bind(dp, 7, 101, bad[i], &bind), -EINVAL);
		assert_int_equal(dataplane_fdb_set(dp, 1, bad[i], &dst), -EINVAL);
	}
}

static int one_flood(uint32_t segment, const struct sp_flood *value, void *arg)
{
	*(uint32_t *)arg = value->count;
	return segment == 9 ? 0 : -EBADMSG;
}

static void test_flood(void **state)
{
	struct sp_dst list[SP_FLOOD_MAX + 1] = {{.ifindex = 1}};
	uint32_t count = 0;

	assert_int_equal(dataplane_flood_set(dp, 9, list, SP_FLOOD_MAX + 1), -E2BIG);
	assert_int_equal(dataplane_flood_set(dp, 9, list, SP_FLOOD_MAX), 0);
	assert_int_equal(dataplane_each_flood(dp, one_flood, &count), 0);
	assert_int_equal(count, SP_FLOOD_MAX);
	assert_int_equal(dataplane_flood_set(dp, 9, list, 0), 0);
	count = 0;
	assert_int_equal(dataplane_each_flood(dp, one_flood, &count), 0);
	assert_int_equal(count, 0);
}

/* A port number is as good as new after its counters were cleared (D3). */
static void test_counters(void **state)
{
	struct sp_counter c;

	assert_int_equal(dataplane_counter_clear(dp, 5), 0);
	assert_int_equal(dataplane_counter_get(dp, 5, &c), 0);
	assert_int_equal(c.rx_frames + c.tx_frames + c.drops, 0);
	assert_int_equal(dataplane_counter_get(dp, PORTS, &c), -ENOENT);
}

static void test_names(void **state)
{
	assert_string_equal(sp_reason_name(SP_R_SRC_UNBOUND), "src-unbound");
	for (unsigned int r = 0; r < _SP_R_MAX; r++) {
		assert_string_not_equal(sp_reason_name(r), "?");
		assert_string_not_equal(sp_reason_text(r), "?");
	}
	assert_string_equal(sp_reason_name(_SP_R_MAX), "?");
	assert_string_equal(sp_reason_name(UINT32_MAX), "?");
	assert_string_equal(sp_hook_name(0), "?");
	assert_string_equal(sp_hook_name(SP_HOOK_EGRESS), "egress");
	assert_string_equal(sp_port_kind_name(SP_PORT_TUNNEL), "tunnel");
	assert_string_equal(sp_port_kind_name(SP_PORT_TUNNEL + 1), "?");
}

/* --- privileges --- */

/* capabilities(7); CAP_PERFMON and CAP_BPF are in the second word */
static int keep_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	const int keep[] = {CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF};

	for (size_t i = 0; i < SP_ARRAY_SIZE(keep); i++) {
		data[keep[i] / 32].permitted |= 1U << keep[i] % 32;
		data[keep[i] / 32].effective |= 1U << keep[i] % 32;
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int live_with_little(uint32_t ifindex, bool force_clsact)
{
	struct dataplane_options options = usual;
	const struct sp_port port = {.port = 3, .kind = SP_PORT_VPN, .max_len = 1514};
	struct dataplane *mine = NULL;
	int r = keep_capabilities();

	options.force_clsact = force_clsact;
	if (r == 0)
		r = dataplane_open(&options, &mine, NULL);
	if (r == 0)
		r = dataplane_attach(mine, ifindex, &port);
	if (r == 0)
		r = dataplane_events_drain(mine, NULL, NULL);
	if (r == 0)
		r = dataplane_detach(mine, ifindex);
	dataplane_close(mine);
	return r;
}

/* CAP_SYS_ADMIN is not among them. */
static void test_capabilities(void **state)
{
	_cleanup_close_
	int tap = net_tap_open("little");
	uint32_t ifindex = if_nametoindex("little");

	assert_true(tap >= 0);
	for (int i = 0; i < 2; i++) {
		int status = -1;
		pid_t child = fork();

		if (child == 0)
			_exit(-live_with_little(ifindex, i == 1));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status))
			fail_msg("with three capabilities: %s", strerror(WEXITSTATUS(status)));
	}
}

static int setup(void **state)
{
	int r = net_isolate();

	net_no_ipv6();
	if (r == 0)
		r = dataplane_open(&usual, &dp, NULL);
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	return r;
}

static int teardown(void **state)
{
	dataplane_close(dp);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign_pin),	 cmocka_unit_test(test_other_size),
		cmocka_unit_test(test_half_made),	 cmocka_unit_test(test_foreign_config),
		cmocka_unit_test(test_no_bpffs),	 cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_no_group_entries), cmocka_unit_test(test_flood),
		cmocka_unit_test(test_counters),	 cmocka_unit_test(test_names),
		cmocka_unit_test(test_capabilities),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("pins", tests, setup, teardown);
}
