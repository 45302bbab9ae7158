// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which links came, changed or went? rtnetlink's link group on the event loop. The kernel drops
 * messages that we are too slow to read, and says so: then everything is to be looked at again.
 */
#include <errno.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "link.h"
#include "link_internal.h"

/* The kernel counts whole pages for a message of some 1.5 KiB: room for about 500 changes. */
#define RECEIVE_BUFFER (2 * 1024 * 1024)
/* Datagrams read before other sources of the loop get their turn. */
#define BURST 64

struct link_watch {
	struct nl_sock *sk;
	sd_event_source *source;
	void (*cb)(const struct link_info *info, bool gone, void *arg);
	void *arg;
};

static int on_message(struct nl_msg *msg, void *arg)
{
	struct link_watch *w = arg;
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct link_info info;

	if (link_parse(h, &info, NULL) < 0)
		return NL_OK;
	if (h->nlmsg_type == RTM_DELLINK)
		info.up = info.carrier = false;
	w->cb(&info, h->nlmsg_type == RTM_DELLINK, w->arg);
	return NL_OK;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct link_watch *w = arg;
	bool overrun = false;
	int r = 0;

	for (int i = 0; i < BURST && r >= 0; i++) {
		r = nl_recvmsgs_default(w->sk);
		/* libnl's word for ENOBUFS. What was queued before the loss is still there. */
		if (r == -NLE_NOMEM) {
			overrun = true;
			r = 0;
		}
	}
	if (r < 0 && r != -NLE_AGAIN && r != -NLE_INTR)
		overrun = true; /* a datagram that libnl could not read may have been anything */
	if (overrun)
		w->cb(NULL, false, w->arg);
	return 0;
}

struct link_watch *link_watch_free(struct link_watch *w)
{
	if (!w)
		return NULL;
	sd_event_source_disable_unref(w->source);
	nl_socket_free(w->sk);
	free(w);
	return NULL;
}

static void link_watch_freep(struct link_watch **w)
{
	link_watch_free(*w);
}

int link_watch_new(sd_event *event, void (*cb)(const struct link_info *info, bool gone, void *arg),
		   void *arg, struct link_watch **ret)
{
	_cleanup_(link_watch_freep) struct link_watch *w = calloc(1, sizeof(*w));
	const int size = RECEIVE_BUFFER;
	int r;

	if (!w)
		return -ENOMEM;
	w->cb = cb;
	w->arg = arg;
	w->sk = nl_socket_alloc();
	if (!w->sk)
		return -ENOMEM;
	nl_socket_disable_seq_check(w->sk);
	r = nl_socket_modify_cb(w->sk, NL_CB_VALID, NL_CB_CUSTOM, on_message, w);
	if (r >= 0)
		r = nl_connect(w->sk, NETLINK_ROUTE);
	if (r >= 0)
		r = nl_socket_set_nonblocking(w->sk);
	if (r >= 0)
		r = nl_socket_add_membership(w->sk, RTNLGRP_LINK);
	if (r < 0)
		return link_nl_errno(r);
	/* Above rmem_max with CAP_NET_ADMIN; a smaller buffer only means more overruns. */
	setsockopt(nl_socket_get_fd(w->sk), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	r = sd_event_add_io(event, &w->source, nl_socket_get_fd(w->sk), EPOLLIN, on_readable, w);
	if (r < 0)
		return r;
	sd_event_source_set_description(w->source, "link-watch");
	*ret = TAKE_PTR(w);
	return 0;
}
