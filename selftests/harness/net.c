/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where does a test do its networking without touching the machine's? */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define NETNS_DIR "/run/netns"
#define MACS 12 /* both addresses: what stands before a tag */
#define TAG 4

int net_isolate(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	if (mkdir("/run", 0755) < 0 && errno != EEXIST)
		return -errno;
	if (mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 || mkdir(NETNS_DIR, 0755) < 0 ||
	    mkdir(NET_BPFFS, 0700) < 0 || mount("bpf", NET_BPFFS, "bpf", 0, NULL) < 0)
		return -errno;
	/* The old /sys would show the old namespace's devices; nothing here reads it. */
	return 0;
}

void net_no_ipv6(void)
{
	static const char *const files[] = {
		"/proc/sys/net/ipv6/conf/all/disable_ipv6",
		"/proc/sys/net/ipv6/conf/default/disable_ipv6",
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(files); i++) {
		_cleanup_fclose_ FILE *f = fopen(files[i], "we");

		if (f) /* else this kernel has no IPv6 at all */
			fputs("1\n", f);
	}
}

int net_netns_add(const char *name)
{
	char path[128];
	int old, r = 0;

	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	{
		_cleanup_close_
		int mount_point = open(path, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0);

		if (mount_point < 0)
			return -errno;
	}
	old = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (old < 0)
		return -errno;
	if (unshare(CLONE_NEWNET) < 0 || mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0)
		r = -errno;
	net_leave(old);
	return r;
}

int net_enter(const char *name)
{
	char path[128];
	int old = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_
	int fd = -1;

	if (old < 0)
		return -errno;
	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
		int r = -errno;

		close(old);
		return r;
	}
	return old;
}

void net_leave(int old)
{
	if (old < 0)
		return;
	if (setns(old, CLONE_NEWNET) < 0)
		perror("setns"); /* what follows would run in the wrong namespace */
	close(old);
}

int net_tap_open(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	_cleanup_close_
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int net_vnet_open(const char *name, int queue)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | queue)};
	_cleanup_close_
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

ssize_t net_vnet_send(int fd, const struct virtio_net_hdr *header, const uint8_t *frame, size_t n)
{
	const struct virtio_net_hdr none = {.flags = 0};
	struct iovec iov[2] = {{(void *)(header ? header : &none), sizeof(none)},
			       {(void *)frame, n}};
	ssize_t r = writev(fd, iov, 2);

	return r < 0 ? -errno : r - (ssize_t)sizeof(none);
}

static int packet_open(const char *ifname)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_ALL),
				   .sll_ifindex = (int)if_nametoindex(ifname)};
	int on = 1, room = 64 << 20;
	_cleanup_close_
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (addr.sll_ifindex == 0)
		return -ENODEV;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int net_packet_open(const char *netns, const char *ifname)
{
	int old = netns ? net_enter(netns) : -1;
	int fd;

	if (netns && old < 0)
		return old;
	fd = packet_open(ifname);
	net_leave(old);
	return fd;
}

int net_packet_vnet_open(const char *netns, const char *ifname)
{
	_cleanup_close_
	int fd = net_packet_open(netns, ifname);
	int on = 1;

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* -EAGAIN when nothing came in time. */
static int wait_for(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r = timeout_ms > 0 ? poll(&p, 1, timeout_ms) : 1;

	return r < 0 ? -errno : r == 0 ? -EAGAIN : 0;
}

/* Put back the tag that the kernel keeps beside the frame: its new length. */
static ssize_t untake_tag(struct msghdr *msg, uint8_t *buf, size_t size, ssize_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct tpacket_auxdata aux;
		uint16_t tag[2];

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			continue;
		if ((size_t)n + TAG > size || n < MACS)
			return -EMSGSIZE;
		tag[0] = htons(aux.tp_vlan_tpid);
		tag[1] = htons(aux.tp_vlan_tci);
		memmove(buf + MACS + TAG, buf + MACS, (size_t)n - MACS);
		memcpy(buf + MACS, tag, TAG);
		return n + TAG;
	}
	return n;
}

ssize_t net_packet_recv(int fd, uint8_t *buf, size_t size, int timeout_ms)
{
	for (;;) {
		char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		struct sockaddr_ll from;
		struct iovec iov = {buf, size};
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t n = wait_for(fd, timeout_ms);

		if (n < 0)
			return n;
		n = recvmsg(fd, &msg, 0);
		if (n < 0)
			return -errno;
		if (from.sll_pkttype != PACKET_OUTGOING)
			return untake_tag(&msg, buf, size, n);
	}
}

ssize_t net_tap_recv(int fd, uint8_t *buf, size_t size, int timeout_ms)
{
	ssize_t n = wait_for(fd, timeout_ms);

	if (n < 0)
		return n;
	n = read(fd, buf, size);
	return n < 0 ? -errno : n;
}

ssize_t net_vnet_recv(int fd, struct virtio_net_hdr *header, uint8_t *buf, size_t size,
		      int timeout_ms)
{
	struct virtio_net_hdr ignored;
	struct iovec iov[2] = {{header ? header : &ignored, sizeof(ignored)}, {buf, size}};
	ssize_t n = wait_for(fd, timeout_ms);

	if (n < 0)
		return n;
	n = readv(fd, iov, 2);
	if (n < 0)
		return -errno;
	return n < (ssize_t)sizeof(ignored) ? -EBADMSG : n - (ssize_t)sizeof(ignored);
}

ssize_t net_packet_vnet_recv(int fd, struct virtio_net_hdr *header, uint8_t *buf, size_t size,
			     int timeout_ms)
{
	for (;;) {
		struct iovec iov[2] = {{header, sizeof(*header)}, {buf, size}};
		struct sockaddr_ll from;
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = iov,
				     .msg_iovlen = 2};
		ssize_t n = wait_for(fd, timeout_ms);

		if (n < 0)
			return n;
		n = recvmsg(fd, &msg, 0);
		if (n < 0)
			return -errno;
		if (from.sll_pkttype != PACKET_OUTGOING)
			return n - (ssize_t)sizeof(*header);
	}
}
