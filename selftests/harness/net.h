/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network of a test's own: namespaces, a bpffs, taps held as OpenVPN holds them, raw sockets at
 * far ends. Nothing here needs another program, and all of it ends with the process. Functions
 * that return an int return a negative errno on failure.
 */
#ifndef SALLYPORT_SELFTESTS_NET_H
#define SALLYPORT_SELFTESTS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NET_BPFFS "/run/bpf"

/* Own network and mount namespaces, an empty /run, a bpffs at NET_BPFFS. Needs root. */
int net_isolate(void);

/* No IPv6 on devices made from now on in this namespace, so that nothing speaks unasked. */
void net_no_ipv6(void);

/* Make the namespace /run/netns/NAME. */
int net_netns_add(const char *name);

/* Step into a namespace; returns a descriptor of the one left, for net_leave, which closes it. */
int net_enter(const char *name);
void net_leave(int old);

/* A tap, made or taken over, non-blocking as OpenVPN has it; gone when closed. */
int net_tap_open(const char *name);

/*
 * The same with a virtio header before each frame, as QEMU has it; QUEUE: IFF_MULTI_QUEUE or 0. The
 * device takes checksums and segments that are left to it.
 */
int net_vnet_open(const char *name, int queue);

/* A raw socket on a device of namespace NETNS (NULL: this one), with a large buffer. */
int net_packet_open(const char *netns, const char *ifname);

/* One whose frames have a virtio header before them, so that they need not be cut up or summed. */
int net_packet_vnet_open(const char *netns, const char *ifname);

/*
 * One frame, without waiting more than TIMEOUT_MS: its length; -EAGAIN: none. A tag that the kernel
 * has taken off is put back. Frames that this host sent are skipped.
 */
ssize_t net_packet_recv(int fd, uint8_t *buf, size_t size, int timeout_ms);
ssize_t net_tap_recv(int fd, uint8_t *buf, size_t size, int timeout_ms);

/*
 * One frame and its header, which may be NULL: plain out, ignored in. Headers are in this machine's
 * byte order. Sockets send by net_vnet_send as well.
 */
struct virtio_net_hdr;
ssize_t net_vnet_send(int fd, const struct virtio_net_hdr *header, const uint8_t *frame, size_t n);
ssize_t net_packet_vnet_recv(int fd, struct virtio_net_hdr *header, uint8_t *buf, size_t size,
			     int timeout_ms);
ssize_t net_vnet_recv(int fd, struct virtio_net_hdr *header, uint8_t *buf, size_t size,
		      int timeout_ms);

#endif
