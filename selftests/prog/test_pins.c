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
#include <sys/stat.h>
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

/* --- pins of a version that had fewer maps --- */

/* The maps as they were, written down here and not taken from our header. */
static const struct {
	const char *name;
	enum bpf_map_type type;
	uint32_t key, value, entries, flags;
} old_maps[] = {
	{"ports", BPF_MAP_TYPE_HASH, 4, 16, 64, BPF_F_NO_PREALLOC},
	{"vids", BPF_MAP_TYPE_HASH, 8, 16, 64, BPF_F_NO_PREALLOC},
	{"bindings", BPF_MAP_TYPE_HASH, 12, 16, 1024, BPF_F_NO_PREALLOC},
	{"fdb", BPF_MAP_TYPE_HASH, 12, 20, 1024, BPF_F_NO_PREALLOC},
	{"flood", BPF_MAP_TYPE_HASH, 4, 1288, 64, BPF_F_NO_PREALLOC},
	{"police", BPF_MAP_TYPE_ARRAY, 4, 48, 64, 0},
	{"counters", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 48, 64, 0},
	{"reasons", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 32, 64, 0},
	{"config", BPF_MAP_TYPE_ARRAY, 4, 24, 1, 0},
	{"events", BPF_MAP_TYPE_RINGBUF, 0, 0, 1 << 20, 0},
};
static const char *const new_maps[] = {"machines", "addresses", "notices"};
#define OLD NET_BPFFS "/old/v1"

static void make_old_pins(void)
{
	static const char *const dirs[] = {NET_BPFFS "/old", OLD, OLD "/maps", OLD "/progs",
					   OLD "/links"};

	for (size_t i = 0; i < SP_ARRAY_SIZE(dirs); i++)
		assert_int_equal(mkdir(dirs[i], 0700), 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(old_maps); i++) {
		LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = old_maps[i].flags);
		_cleanup_close_
		int fd = bpf_map_create(old_maps[i].type, old_maps[i].name, old_maps[i].key,
					old_maps[i].value, old_maps[i].entries, &opts);
		char path[128];

		assert_true(fd >= 0);
		snprintf(path, sizeof(path), OLD "/maps/%s", old_maps[i].name);
		assert_int_equal(bpf_obj_pin(fd, path), 0);
	}
}

/* Entries as an earlier daemon left them, byte by byte. */
static void fill_old_pins(void)
{
	static const uint32_t config[6] = {1, 0x5a5a0001, 1000, 0, 1, 0};
	static const uint8_t bind_key[12] = {7, 0, 0, 0, 101, 0, 2, 0, 0, 0, 0, 9};
	static const uint32_t bind[4] = {4, 5, 6, 0};
	const uint32_t zero = 0;
	_cleanup_close_
	int bindings = bpf_obj_get(OLD "/maps/bindings");
	_cleanup_close_
	int fd = bpf_obj_get(OLD "/maps/config");

	assert_int_equal(bpf_map_update_elem(fd, &zero, config, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(bindings, bind_key, bind, BPF_ANY), 0);
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

/* They are taken over as they are, and what they lack is made beside them (I5). */
static void test_old_pins(void **state)
{
	const struct dataplane_options options = {
		.bpffs = NET_BPFFS, .pin_dir = "old", .max_bindings = 1024, .max_ports = 64};
	const struct sp_bind_key key = {.ifindex = 7, .vid = 101, .mac = {2, 0, 0, 0, 0, 9}};
	uint32_t zero = 0, ids[SP_ARRAY_SIZE(new_maps)];
	struct sp_config config;
	struct sp_bind bind;

	make_old_pins();
	fill_old_pins();
	for (int again = 0; again < 2; again++) {
		_cleanup_(dataplane_closep) struct dataplane *new = NULL;
		_cleanup_free_
		char *error = NULL;
		char path[128];

		if (dataplane_open(&options, &new, &error) < 0)
			fail_msg("%s", error ?: "no reason");
		assert_int_equal(
			bpf_map_lookup_elem(dataplane_map_fd(new, "bindings"), &key, &bind), 0);
		assert_int_equal(bind.segment, 4);
		assert_int_equal(bind.port, 5);
		assert_int_equal(bind.generation, 6);
		assert_int_equal(
			bpf_map_lookup_elem(dataplane_map_fd(new, "config"), &zero, &config), 0);
		assert_int_equal(config.mark, 0x5a5a0001);
		/* The new ones are made once. */
		for (size_t i = 0; i < SP_ARRAY_SIZE(new_maps); i++) {
			uint32_t id = map_id(dataplane_map_fd(new, new_maps[i]));
			_cleanup_close_
			int fd = -1;

			snprintf(path, sizeof(path), OLD "/maps/%s", new_maps[i]);
			fd = bpf_obj_get(path);
			assert_true(fd >= 0);
			assert_int_equal(map_id(fd), id);
			assert_true(!again || ids[i] == id);
			ids[i] = id;
		}
		assert_int_equal(dataplane_machine_begin(
					 new, 63, &(struct sp_machine){.flags = SP_M_PINNED}),
				 0);
	}
	assert_int_equal(dataplane_destroy(&options), 0);
}

/* A pin of `machines` that cannot be mapped into memory is none of ours. */
static void test_machines_not_mappable(void **state)
{
	const struct dataplane_options options = {
		.bpffs = NET_BPFFS, .pin_dir = "unmapped", .max_ports = 64};
	const char *path = NET_BPFFS "/unmapped/v1/maps/machines";
	_cleanup_(dataplane_closep) struct dataplane *other = NULL;
	_cleanup_free_
	char *error = NULL;
	_cleanup_close_
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "machines", 4, sizeof(struct sp_machine), 64,
				NULL);

	assert_int_equal(dataplane_open(&options, &other, NULL), 0);
	dataplane_close(TAKE_PTR(other));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	assert_int_equal(dataplane_open(&options, &other, &error), -EUCLEAN);
	assert_non_null(strstr(error, path));
	assert_int_equal(dataplane_destroy(&options), 0);
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

static int see_address(const struct sp_address_key *key, const struct sp_address *value, void *arg)
{
	static const uint8_t addr[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};

	++*(unsigned int *)arg;
	return key->segment == 9 && memcmp(key->addr, addr, 16) == 0 && value->port == 5 ? 0
											 : -EBADMSG;
}

static void test_addresses(void **state)
{
	const struct sp_address value = {.port = 5, .mac = {2, 0, 0, 0, 0, 1}};
	uint8_t addr[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
	unsigned int n = 0;

	assert_int_equal(dataplane_address_set(dp, 9, addr, &(struct sp_address){.port = 5}),
			 -EINVAL); /* of no MAC */
	assert_int_equal(dataplane_address_set(dp, 9, addr, &value), 0);
	assert_int_equal(dataplane_each_address(dp, see_address, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(dataplane_address_del(dp, 9, addr), 0);
	assert_int_equal(dataplane_address_del(dp, 9, addr), 0); /* gone is fine */
	n = 0;
	assert_int_equal(dataplane_each_address(dp, see_address, &n), 0);
	assert_int_equal(n, 0);
	for (uint32_t i = 0; i < BINDINGS; i++) {
		memcpy(addr + 12, &i, sizeof(i));
		assert_int_equal(dataplane_address_set(dp, 9, addr, &value), 0);
	}
	addr[0] = 1;
	assert_int_equal(dataplane_address_set(dp, 9, addr, &value), -ENOSPC);
	for (uint32_t i = 0; i < BINDINGS; i++) {
		addr[0] = 0;
		memcpy(addr + 12, &i, sizeof(i));
		assert_int_equal(dataplane_address_del(dp, 9, addr), 0);
	}
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
	for (unsigned int r = 0; r < SP_REASON_SLOTS + 2; r++) {
		assert_int_equal(strcmp(sp_reason_name(r), "?") != 0, sp_reason_exists(r));
		assert_int_equal(strcmp(sp_reason_text(r), "?") != 0, sp_reason_exists(r));
	}
	assert_true(sp_reason_exists(_SP_R_MAX - 1));
	assert_false(sp_reason_exists(_SP_R_MAX));
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
	const struct sp_port machine = {
		.port = 3, .segment = 1, .kind = SP_PORT_MACHINE, .max_len = 1514};
	const uint8_t frame[60] = {2, [11] = 1, [12] = 8, [14] = 0x45, [17] = 46};
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
		r = dataplane_notices_drain(mine, NULL, NULL);
	if (r == 0)
		r = dataplane_attach(mine, ifindex, &machine);
	if (r == 0 && dataplane_replay(mine, 1, frame, sizeof(frame)) != -ENOENT)
		r = -EBADMSG;
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
		cmocka_unit_test(test_foreign_pin),
		cmocka_unit_test(test_other_size),
		cmocka_unit_test(test_half_made),
		cmocka_unit_test(test_foreign_config),
		cmocka_unit_test(test_old_pins),
		cmocka_unit_test(test_machines_not_mappable),
		cmocka_unit_test(test_no_bpffs),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_no_group_entries),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_capabilities),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("pins", tests, setup, teardown);
}
