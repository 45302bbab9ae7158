// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Are our devices made as they should be, what is not ours left alone, and every change seen?
 * On real devices, in network and mount namespaces of the test's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "link.h"
#include "selftests/harness/net.h"

static const uint8_t mac[6] = {0x02, 0, 0, 0, 0, 0x51};

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

static int setup(void **state)
{
	int r = geteuid() == 0 ? net_isolate() : -EPERM;

	if (r < 0)
		print_message("own namespaces: %s\n", strerror(-r));
	return r;
}

/* A tun device as somebody else would make it. */
static int tun(const char *name, int flags, bool persist)
{
	struct ifreq req = {.ifr_flags = (short)flags};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	assert_true(fd >= 0);
	strcpy(req.ifr_name, name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &req), 0);
	if (persist) {
		assert_int_equal(ioctl(fd, TUNSETPERSIST, 1UL), 0);
		close(TAKE_FD(fd));
	}
	return fd;
}

static int flags_of(const char *name)
{
	_cleanup_close_
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {};

	strcpy(req.ifr_name, name);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &req), 0);
	return req.ifr_flags;
}

static void sleep_ms(unsigned int ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static void test_tap(void **state)
{
	struct link_info a, b;
	int fd;

	assert_int_equal(link_get("sp-t1", &a), -ENODEV);
	assert_int_equal(link_tap_make("sp-t1", 65534, 65533, 1400, &a), 0);
	assert_string_equal(a.name, "sp-t1");
	assert_string_equal(a.kind, "tun");
	assert_int_equal(a.mtu, 1400);
	assert_true(a.ifindex > 0);
	assert_false(a.up);
	assert_int_equal(flags_of("sp-t1") & (IFF_NOARP | IFF_MULTICAST), IFF_NOARP);

	/* Made again: the same device, up as it was. */
	assert_int_equal(link_set_up(a.ifindex, true), 0);
	assert_int_equal(link_tap_make("sp-t1", 65534, 65533, 1500, &b), 0);
	assert_int_equal(b.ifindex, a.ifindex);
	assert_int_equal(b.mtu, 1500);
	assert_memory_equal(b.mac, a.mac, 6);
	assert_true(b.up);
	assert_false(b.carrier);

	/* Somebody has it open: carrier. It is taken over all the same, but cannot change owner. */
	fd = net_tap_open("sp-t1");
	assert_true(fd >= 0);
	assert_int_equal(link_get_index(a.ifindex, &b), 0);
	assert_true(b.carrier);
	assert_int_equal(link_tap_make("sp-t1", 65534, 65533, 1500, &b), 0);
	assert_int_equal(b.ifindex, a.ifindex);
	assert_true(b.carrier);
	assert_int_equal(link_tap_make("sp-t1", 1, 65533, 1500, &b), -EBUSY);
	close(fd);
	assert_int_equal(link_tap_make("sp-t1", 1, 2, 1500, &b), 0);
	assert_int_equal(b.ifindex, a.ifindex);
	assert_int_equal(link_set_up(a.ifindex, false), 0);
	assert_int_equal(link_get_index(a.ifindex, &b), 0);
	assert_false(b.up);

	assert_int_equal(link_tap_remove("sp-t1"), 0);
	assert_int_equal(link_get("sp-t1", &b), -ENODEV);
	assert_int_equal(link_get_index(a.ifindex, &b), -ENODEV);
	assert_int_equal(link_tap_remove("sp-t1"), 0);
	assert_int_equal(link_set_up(a.ifindex, true), -ENODEV);
}

static void test_tap_foreign(void **state)
{
	struct link_info info;
	int fd;

	fd = tun("sp-mortal", IFF_TAP | IFF_NO_PI, false);
	assert_int_equal(link_tap_make("sp-mortal", 0, 0, 1500, &info), -EEXIST);
	assert_int_equal(link_tap_remove("sp-mortal"), -EEXIST);
	close(fd);
	assert_int_equal(link_get("sp-mortal", &info), -ENODEV);

	tun("sp-l3", IFF_TUN | IFF_NO_PI, true);
	assert_int_equal(link_tap_make("sp-l3", 0, 0, 1500, &info), -EEXIST);
	tun("sp-queues", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, true);
	assert_int_equal(link_tap_make("sp-queues", 0, 0, 1500, &info), -EEXIST);
	assert_int_equal(link_tap_make("lo", 0, 0, 1500, &info), -EEXIST);
	assert_int_equal(link_tap_remove("lo"), -EEXIST);
	assert_int_equal(link_get("lo", &info), 0);

	/* What an administrator made by `ip tuntap add` is taken. */
	tun("sp-ip", IFF_TAP | IFF_NO_PI, true);
	assert_int_equal(link_tap_make("sp-ip", 0, 0, 1500, &info), 0);
	assert_int_equal(flags_of("sp-ip") & (IFF_NOARP | IFF_MULTICAST), IFF_NOARP);
	assert_int_equal(link_tap_remove("sp-ip"), 0);
}

/* --- machines' taps --- */

/* Open it as libvirt does; -errno. */
static int open_tap(const char *name, int flags)
{
	struct ifreq req = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	assert_true(fd >= 0);
	strcpy(req.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &req) == 0)
		return fd;
	close(fd);
	return -errno;
}

static int tun_flags(int fd)
{
	struct ifreq req = {};

	assert_int_equal(ioctl(fd, TUNGETIFF, &req), 0);
	return (unsigned short)req.ifr_flags;
}

static void test_machine_tap(void **state)
{
	struct link_info a, b;
	int fd;

	assert_int_equal(link_machine_tap_make("sp-m1", 1, 1500, &a), 0);
	assert_string_equal(a.kind, "tun");
	assert_false(a.up);
	assert_int_equal(a.mtu, 1500);
	assert_int_equal(flags_of("sp-m1") & (IFF_NOARP | IFF_MULTICAST), IFF_NOARP);
	/* For one queue: the second finds it busy, and who wants several is told no. */
	assert_int_equal(open_tap("sp-m1", IFF_VNET_HDR | IFF_MULTI_QUEUE), -EINVAL);
	fd = open_tap("sp-m1", IFF_VNET_HDR);
	assert_true(fd >= 0);
	assert_int_equal(open_tap("sp-m1", IFF_VNET_HDR), -EBUSY);

	/* Open, and down: it is left as it is, its MTU included, or told to be busy. */
	assert_int_equal(link_machine_tap_make("sp-m1", 1, 1400, &b), 0);
	assert_int_equal(b.ifindex, a.ifindex);
	assert_int_equal(b.mtu, 1500);
	assert_int_equal(link_machine_tap_make("sp-m1", 2, 1500, &b), -EBUSY);
	assert_true(tun_flags(fd) & IFF_VNET_HDR);
	assert_int_equal(link_set_up(a.ifindex, true), 0);
	assert_int_equal(link_machine_tap_make("sp-m1", 2, 1500, &b), -EBUSY);
	assert_int_equal(link_machine_tap_make("sp-m1", 1, 1500, &b), 0);
	assert_true(b.up && b.carrier);
	close(fd);

	/* Closed: taken over, and set right. */
	assert_int_equal(link_machine_tap_make("sp-m1", 1, 1400, &b), 0);
	assert_int_equal(b.ifindex, a.ifindex);
	assert_int_equal(b.mtu, 1400);
	assert_true(b.up);
	close(open_tap("sp-m1", 0)); /* its header is gone */
	assert_int_equal(link_machine_tap_make("sp-m1", 1, 1400, &b), 0);
	assert_int_equal(b.ifindex, a.ifindex);

	/* Of the other sort: made anew. */
	assert_int_equal(link_machine_tap_make("sp-m1", 4, 1500, &b), 0);
	assert_int_not_equal(b.ifindex, a.ifindex);
	assert_int_equal(open_tap("sp-m1", IFF_VNET_HDR), -EINVAL);
	fd = open_tap("sp-m1", IFF_VNET_HDR | IFF_MULTI_QUEUE);
	assert_true(fd >= 0);
	close(open_tap("sp-m1", IFF_VNET_HDR | IFF_MULTI_QUEUE));
	assert_int_equal(link_machine_tap_make("sp-m1", 1, 1500, &a), -EBUSY);
	assert_int_equal(link_machine_tap_make("sp-m1", 2, 1500, &a), 0);
	assert_int_equal(a.ifindex, b.ifindex);
	close(fd);
	assert_int_equal(link_machine_tap_make("sp-m1", 1, 1500, &a), 0);
	assert_int_not_equal(b.ifindex, a.ifindex);
	assert_int_equal(link_tap_remove("sp-m1"), 0);
}

/* What the device has while nobody holds it, as sysfs of this namespace tells. */
static unsigned int tun_flags_idle(const char *name)
{
	char path[64], text[32] = "";
	ssize_t n;
	int fd;

	if (access("/run/sys/class", F_OK) != 0) {
		assert_int_equal(mkdir("/run/sys", 0700), 0);
		assert_int_equal(mount("sysfs", "/run/sys", "sysfs", 0, NULL), 0);
	}
	snprintf(path, sizeof(path), "/run/sys/class/net/%s/tun_flags", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n > 0);
	return (unsigned int)strtoul(text, NULL, 16);
}

static void test_machine_tap_header(void **state)
{
	struct link_info info;

	tun("sp-mh", IFF_TAP | IFF_NO_PI, true); /* as an administrator may have made it */
	assert_false(tun_flags_idle("sp-mh") & IFF_VNET_HDR);
	assert_int_equal(link_machine_tap_make("sp-mh", 1, 1500, &info), 0);
	assert_true(tun_flags_idle("sp-mh") & IFF_VNET_HDR);
	assert_int_equal(link_tap_remove("sp-mh"), 0);
	assert_int_equal(link_machine_tap_make("sp-mh", 2, 1500, &info), 0);
	assert_true(tun_flags_idle("sp-mh") & IFF_VNET_HDR);
	assert_true(tun_flags_idle("sp-mh") & IFF_MULTI_QUEUE);
	assert_int_equal(link_tap_remove("sp-mh"), 0);
}

/* On a machine that lets everybody open /dev/net/tun, as many do. */
static int take_as_nobody(const char *name)
{
	struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(req.ifr_name, name);
	if (fd < 0 || setresuid(65534, 65534, 65534) < 0)
		return ENOSYS;
	return ioctl(fd, TUNSETIFF, &req) < 0 ? errno : 0;
}

static void test_machine_tap_foreign(void **state)
{
	struct link_info info;
	pid_t pid;
	int fd, status;

	tun("sp-ml3", IFF_TUN | IFF_NO_PI, true);
	assert_int_equal(link_machine_tap_make("sp-ml3", 1, 1500, &info), -EEXIST);
	fd = tun("sp-mm", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, false);
	assert_int_equal(link_machine_tap_make("sp-mm", 1, 1500, &info), -EEXIST);
	close(fd);
	assert_int_equal(link_machine_tap_make("lo", 1, 1500, &info), -EEXIST);
	assert_int_equal(link_machine_tap_make("a/b", 1, 1500, &info), -EINVAL);

	/* One that anybody may have becomes root's. */
	tun("sp-mo", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
	pid = fork();
	if (pid == 0)
		_exit(take_as_nobody("sp-mo"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0); /* or the next would prove nothing */
	fd = open_tap("sp-mo", IFF_VNET_HDR);
	assert_int_equal(link_machine_tap_make("sp-mo", 1, 1500, &info), -EBUSY);
	close(fd);
	assert_int_equal(link_machine_tap_make("sp-mo", 1, 1500, &info), 0);
	pid = fork();
	if (pid == 0)
		_exit(take_as_nobody("sp-mo"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EPERM);
	assert_int_equal(link_tap_remove("sp-mo"), 0);
	assert_int_equal(link_tap_remove("sp-ml3"), -EEXIST);
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"",	    ".",    "..",  "a/b", "a b", "a:0", "t%d", "\n", "0123456789abcdef",
		"\xc3\xa9", "a\tb", "../x"};
	struct link_info info;

	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		assert_int_equal(link_get(bad[i], &info), -EINVAL);
		assert_int_equal(link_tap_make(bad[i], 0, 0, 1500, &info), -EINVAL);
		assert_int_equal(link_veth_make(bad[i], "ns", "eth0", mac, 1500, &info), -EINVAL);
		assert_int_equal(link_veth_make("v", "ns", bad[i], mac, 1500, &info), -EINVAL);
	}
	assert_int_equal(link_tap_make("0123456789abcde", 0, 0, 1500, &info), 0);
	assert_int_equal(link_tap_remove("0123456789abcde"), 0);
	assert_int_equal(link_get_index(0, &info), -ENODEV);
	assert_int_equal(link_get_index(UINT32_MAX, &info), -ENODEV);
}

/* How many frames does this host send on a tap within MS? */
static unsigned int chatter(const char *name, unsigned int ms)
{
	int fd = net_tap_open(name);
	struct link_info info;
	unsigned int n = 0;
	uint8_t buf[2048];

	assert_true(fd >= 0);
	assert_int_equal(link_get(name, &info), 0);
	assert_int_equal(link_set_up(info.ifindex, true), 0);
	for (unsigned int i = 0; i < ms / 50; i++) {
		sleep_ms(50);
		while (read(fd, buf, sizeof(buf)) > 0)
			n++;
	}
	close(fd);
	return n;
}

static void test_quiet(void **state)
{
	struct link_info info;

	if (access("/proc/sys/net/ipv6", F_OK) != 0)
		skip();
	/* What an ordinary tap does, or else the next line would prove nothing. */
	tun("sp-loud", IFF_TAP | IFF_NO_PI, true);
	assert_true(chatter("sp-loud", 1500) > 0);
	assert_int_equal(link_tap_make("sp-quiet", 0, 0, 1500, &info), 0);
	assert_int_equal(chatter("sp-quiet", 1500), 0);
	link_tap_remove("sp-loud");
	link_tap_remove("sp-quiet");
	/* Below 1280 there is no IPv6 to silence. */
	assert_int_equal(link_tap_make("sp-small", 0, 0, 576, &info), 0);
	link_tap_remove("sp-small");
}

static void test_veth(void **state)
{
	struct link_info info, far;
	int old;

	assert_int_equal(net_netns_add("ns1"), 0);
	assert_int_equal(link_veth_make("sp-v1", "ns1", "eth0", mac, 1450, &info), 0);
	assert_string_equal(info.name, "sp-v1");
	assert_string_equal(info.kind, "veth");
	assert_int_equal(info.mtu, 1450);
	assert_false(info.up);
	assert_int_equal(flags_of("sp-v1") & (IFF_NOARP | IFF_MULTICAST), IFF_NOARP);
	assert_int_equal(link_get("eth0", &far), -ENODEV);

	old = net_enter("ns1");
	assert_true(old >= 0);
	assert_int_equal(link_get("eth0", &far), 0);
	assert_memory_equal(far.mac, mac, 6);
	assert_int_equal(far.mtu, 1450);
	assert_false(far.up);
	assert_int_equal(flags_of("eth0") & IFF_NOARP, 0); /* the workload's end speaks */
	net_leave(old);

	assert_int_equal(link_veth_make("sp-v1", "ns1", "eth1", mac, 1500, &far), -EEXIST);
	assert_int_equal(link_veth_make("sp-v2", "ns1", "eth0", mac, 1500, &far), -EEXIST);
	assert_int_equal(link_get("sp-v2", &far), -ENODEV);
	assert_int_equal(link_remove(info.ifindex), 0);
	assert_int_equal(link_remove(info.ifindex), 0);
	assert_int_equal(link_get("sp-v1", &far), -ENODEV);
	assert_int_equal(link_veth_make("sp-v1", "ns1", "eth0", mac, 1500, &info), 0);
	assert_int_equal(link_remove(info.ifindex), 0);
}

static void test_veth_netns(void **state)
{
	struct link_info info;

	assert_int_equal(link_veth_make("sp-v", "none", "eth0", mac, 1500, &info), -ENOENT);
	/* The file that stays when a namespace is gone; one that never was one. */
	close(open("/run/netns/stale", O_CREAT | O_EXCL | O_CLOEXEC | O_RDONLY, 0));
	assert_int_equal(link_veth_make("sp-v", "stale", "eth0", mac, 1500, &info), -ENOENT);
	assert_int_equal(symlink("/proc/self/ns/net", "/run/netns/link"), 0);
	assert_true(link_veth_make("sp-v", "link", "eth0", mac, 1500, &info) < 0);
	assert_int_equal(link_veth_make("sp-v", "", "eth0", mac, 1500, &info), -EINVAL);
	assert_int_equal(link_veth_make("sp-v", "..", "eth0", mac, 1500, &info), -EINVAL);
	assert_int_equal(link_veth_make("sp-v", "../netns/ns1", "eth0", mac, 1500, &info), -EINVAL);
	assert_int_equal(link_get("sp-v", &info), -ENODEV);
}

/* Everything that changes devices, as the service runs: CAP_NET_ADMIN alone. */
static int as_service(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {};
	struct link_info info;
	int r;

	d[0].effective = d[0].permitted = 1U << CAP_NET_ADMIN;
	if (syscall(SYS_capset, &h, d) < 0)
		return 10;
	r = link_tap_make("sp-cap", 65534, 65534, 1500, &info);
	r = r ?: link_set_up(info.ifindex, true);
	r = r ?: link_tap_make("sp-cap", 65534, 65534, 1400, &info);
	r = r ?: link_machine_tap_make("sp-capm", 2, 1500, &info);
	r = r ?: link_machine_tap_make("sp-capm", 1, 1500, &info);
	r = r ?: link_tap_remove("sp-capm");
	if (r < 0)
		return 11;
	r = link_veth_make("sp-capv", "ns1", "eth7", mac, 1500, &info);
	r = r ?: link_remove(info.ifindex);
	if (r < 0)
		return 12;
	if (link_veth_make("sp-capv", "stale", "eth7", mac, 1500, &info) != -ENOENT)
		return 13;
	return link_tap_remove("sp-cap") < 0 ? 14 : 0;
}

static void test_capabilities(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(as_service());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- the watch --- */

struct seen {
	unsigned int changes, gone, overruns;
	uint32_t ifindex; /* the one looked for */
	struct link_info last;
};

static void on_link(const struct link_info *info, bool gone, void *arg)
{
	struct seen *s = arg;

	if (!info) {
		s->overruns++;
		return;
	}
	if (info->ifindex != s->ifindex && strcmp(info->name, "sp-w") != 0)
		return;
	if (gone)
		s->gone++;
	else
		s->changes++;
	s->last = *info;
}

static void turn(sd_event *e)
{
	for (int i = 0; i < 200; i++)
		if (sd_event_run(e, 2000) <= 0 && i > 5)
			break;
}

static void test_watch(void **state)
{
	struct link_watch *w = NULL;
	struct link_info info;
	struct seen s = {};
	sd_event *e = NULL;
	int fd;

	assert_true(sd_event_new(&e) >= 0);
	assert_int_equal(link_watch_new(e, on_link, &s, &w), 0);
	assert_int_equal(link_tap_make("sp-w", 0, 0, 1500, &info), 0);
	s.ifindex = info.ifindex;
	turn(e);
	assert_true(s.changes > 0);
	assert_int_equal(s.last.ifindex, info.ifindex);
	assert_false(s.last.up);

	assert_int_equal(link_set_up(info.ifindex, true), 0);
	fd = net_tap_open("sp-w");
	sleep_ms(100); /* carrier changes are told from a work queue */
	turn(e);
	assert_true(s.last.up);
	assert_true(s.last.carrier);
	close(fd);
	/* The quickest sign that OpenVPN is gone, with kill -9 too. The kernel tells it a second
	 * after the last change at the latest. */
	sleep_ms(1200);
	turn(e);
	assert_true(s.last.up);
	assert_false(s.last.carrier);
	assert_int_equal(s.gone, 0);

	assert_int_equal(link_tap_remove("sp-w"), 0);
	turn(e);
	assert_int_equal(s.gone, 1);
	assert_int_equal(s.last.ifindex, info.ifindex);
	assert_int_equal(s.overruns, 0);
	link_watch_free(w);
	sd_event_unref(e);
}

static void test_watch_overrun(void **state)
{
	struct link_watch *w = NULL;
	struct link_info info;
	struct seen s = {};
	sd_event *e = NULL;

	assert_true(sd_event_new(&e) >= 0);
	assert_int_equal(link_tap_make("sp-w", 0, 0, 1500, &info), 0);
	s.ifindex = info.ifindex;
	assert_int_equal(link_watch_new(e, on_link, &s, &w), 0);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(link_set_up(info.ifindex, i % 2), 0);
	turn(e);
	assert_true(s.overruns > 0);
	assert_true(s.changes > 0);

	/* And it goes on seeing. */
	s.overruns = 0;
	assert_int_equal(link_tap_remove("sp-w"), 0);
	turn(e);
	assert_int_equal(s.gone, 1);
	assert_int_equal(s.overruns, 0);
	link_watch_free(w);
	sd_event_unref(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tap),
		cmocka_unit_test(test_tap_foreign),
		cmocka_unit_test(test_machine_tap),
		cmocka_unit_test(test_machine_tap_header),
		cmocka_unit_test(test_machine_tap_foreign),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_veth),
		cmocka_unit_test(test_veth_netns),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_overrun),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
