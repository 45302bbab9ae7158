/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Do the objects load, attach and stay on this kernel? On a tap and a veth of a namespace of its
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "loader/dataplane.h"

static char bpffs[64];

/* A network namespace and a bpffs that end with the process. */
static int setup(void **state)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "tap0"};
	int fd;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	snprintf(bpffs, sizeof(bpffs), "/tmp/sp-load-%d", getpid());
	if (mkdir(bpffs, 0700) < 0 || mount("bpf", bpffs, "bpf", 0, NULL) < 0)
		return -1;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	umount2(bpffs, MNT_DETACH);
	return rmdir(bpffs);
}

static void load_and_attach(bool force_clsact)
{
	const struct dataplane_options o = {.bpffs = bpffs,
					    .max_bindings = 64,
					    .max_ports = 64,
					    .sampling = true,
					    .force_clsact = force_clsact};
	const struct sp_port port = {
		.port = 1, .kind = SP_PORT_VPN, .flags = SP_F_VLAN_MODE, .max_len = 1514};
	uint32_t ifindex = if_nametoindex("tap0");
	struct sp_port got;

	/* Twice: the second takes over what the first has left. */
	for (int i = 0; i < 2; i++) {
		_cleanup_(dataplane_closep) struct dataplane *dp = NULL;
		_cleanup_free_
		char *error = NULL;
		int r = dataplane_open(&o, &dp, &error);

		if (r < 0)
			fail_msg("dataplane_open: %s: %s", strerror(-r), error ? error : "");
		if (force_clsact)
			assert_false(dataplane_features(dp)->tcx);
		assert_int_equal(dataplane_attach(dp, ifindex, &port), 0);
		assert_int_equal(dataplane_port_get(dp, ifindex, &got), 0);
		assert_memory_equal(&got, &port, sizeof(port));
	}
	assert_int_equal(dataplane_destroy(&o), 0);
}

static void test_native(void **state)
{
	load_and_attach(false);
}

static void test_clsact(void **state)
{
	load_and_attach(true);
}

static void test_no_device(void **state)
{
	const struct dataplane_options o = {.unpinned = true, .max_bindings = 64, .max_ports = 64};
	const struct sp_port port = {.port = 1, .kind = SP_PORT_NETNS, .max_len = 1514};
	_cleanup_(dataplane_closep) struct dataplane *dp = NULL;
	struct sp_port got;

	assert_int_equal(dataplane_open(&o, &dp, NULL), 0);
	assert_true(dataplane_attach(dp, 4711, &port) < 0);
	/* Nothing of it stays. */
	assert_int_equal(dataplane_port_get(dp, 4711, &got), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_native),
		cmocka_unit_test(test_clsact),
		cmocka_unit_test(test_no_device),
	};

	return cmocka_run_group_tests_name("load", tests, setup, teardown);
}
