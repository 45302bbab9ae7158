/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network devices: the taps that we make for OpenVPN, the veths of netns workloads, and a watch
 * on links that come, go and lose carrier. rtnetlink through libnl; every call is a short round
 * trip to the kernel. Negative errno on failure.
 */
#ifndef SALLYPORT_LOADER_LINK_H
#define SALLYPORT_LOADER_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct link_info {
	uint32_t ifindex;
	char name[16];
	uint8_t mac[6];
	uint32_t mtu;
	bool up;       /* IFF_UP */
	bool carrier;  /* IFF_LOWER_UP: on a tap, somebody has it open */
	char kind[16]; /* "tun", "veth", "" */
};

/* -ENODEV. */
int link_get(const char *name, struct link_info *ret);
int link_get_index(uint32_t ifindex, struct link_info *ret);

/*
 * Make a persistent tap that is down, owned by UID and GID, without an IPv6 link-local address, ARP
 * or multicast chatter of the host's; or take over one that exists and is a persistent tap (its
 * owner and MTU are set, its up state left alone). -EEXIST: a device of this name is something
 * else.
 */
int link_tap_make(const char *name, uid_t uid, gid_t gid, uint32_t mtu, struct link_info *ret);
/*
 * The same for a machine: root's, with a virtio header (IFF_VNET_HDR), and fit for several queues
 * where QUEUES is above one. How many it gets is decided by who opens it, but a tap for one and a
 * tap for several differ: libvirt refuses the one that is not as the domain's description says. One
 * that exists and is open is left as it is (RET tells its MTU); one that is of the other sort is
 * made anew, or -EBUSY if it is open. -EEXIST as above.
 */
int link_machine_tap_make(const char *name, unsigned int queues, uint32_t mtu,
			  struct link_info *ret);
/* Remove a persistent tap. */
int link_tap_remove(const char *name);

/*
 * Make a veth pair: NAME here, PEER in the namespace /run/netns/NETNS with PEER_MAC; both down,
 * the near end quiet as a tap of ours. -ENOENT: no such namespace. -EEXIST: NAME or PEER exists.
 */
int link_veth_make(const char *name, const char *netns, const char *peer, const uint8_t peer_mac[6],
		   uint32_t mtu, struct link_info *ret);
/* 0 also where it is gone already. */
int link_remove(uint32_t ifindex);

int link_set_up(uint32_t ifindex, bool up);

/*
 * Watch links on an event loop: CB for each change (gone: the link was deleted; INFO then has
 * ifindex and name only). After an overrun of the socket CB is called with INFO NULL: look again
 * at everything.
 */
struct link_watch;
int link_watch_new(sd_event *event, void (*cb)(const struct link_info *info, bool gone, void *arg),
		   void *arg, struct link_watch **ret);
struct link_watch *link_watch_free(struct link_watch *w);

#endif
