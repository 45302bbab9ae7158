/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What link.c and link_watch.c share: rtnetlink errors and one link message taken apart. */
#ifndef SALLYPORT_LOADER_LINK_INTERNAL_H
#define SALLYPORT_LOADER_LINK_INTERNAL_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "link.h"

/* What the kernel says of a tun device, and libnl 3.7 does not pass on. */
struct link_tun {
	bool tap;
	bool persistent;
	bool multi_queue;
	bool vnet_hdr;	      /* as the last who opened it wanted */
	bool open;	      /* somebody holds it, be it up or down */
	int64_t owner, group; /* -1: none */
};

/*
 * An RTM_NEWLINK or RTM_DELLINK message. TUN (may be NULL) is filled where the kind is "tun".
 * -ENODATA: a message about something else (a bridge port, say); -EBADMSG: not a link message.
 */
int link_parse(struct nlmsghdr *header, struct link_info *ret, struct link_tun *ret_tun);

/* libnl's negative error as a negative errno. */
int link_nl_errno(int error);

#endif
