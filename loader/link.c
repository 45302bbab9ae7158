// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which devices are there, and how are ours made? Taps through /dev/net/tun, all else through
 * rtnetlink. A device that exists already is never believed to be ours: its kind is checked.
 */
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lib/cleanup.h"
#include "link_internal.h"

#define NETNS_DIR "/run/netns/"

int link_nl_errno(int error)
{
	static const int map[] = {
		[NLE_INTR] = EINTR,
		[NLE_BAD_SOCK] = EBADF,
		[NLE_AGAIN] = EAGAIN,
		[NLE_NOMEM] = ENOMEM,
		[NLE_EXIST] = EEXIST,
		[NLE_INVAL] = EINVAL,
		[NLE_RANGE] = ERANGE,
		[NLE_MSGSIZE] = EMSGSIZE,
		[NLE_OPNOTSUPP] = EOPNOTSUPP,
		[NLE_AF_NOSUPPORT] = EAFNOSUPPORT,
		[NLE_OBJ_NOTFOUND] = ENOENT,
		[NLE_NOATTR] = ENODATA,
		[NLE_PROTO_MISMATCH] = EPROTO,
		[NLE_NOACCESS] = EACCES,
		[NLE_PERM] = EPERM,
		[NLE_BUSY] = EBUSY,
		[NLE_NODEV] = ENODEV,
	};
	size_t n = error < 0 ? (size_t)-error : 0;

	if (error >= 0)
		return 0;
	return n < SP_ARRAY_SIZE(map) && map[n] ? -map[n] : -EIO;
}

static void nl_socket_freep(struct nl_sock **sk)
{
	nl_socket_free(*sk); /* takes NULL */
}

static void nl_msg_freep(struct nl_msg **msg)
{
	nlmsg_free(*msg);
}

static void rtnl_link_putp(struct rtnl_link **link)
{
	rtnl_link_put(*link);
}

static int route_socket(struct nl_sock **ret)
{
	_cleanup_(nl_socket_freep) struct nl_sock *sk = nl_socket_alloc();
	int r;

	if (!sk)
		return -ENOMEM;
	r = nl_connect(sk, NETLINK_ROUTE); /* close-on-exec */
	if (r < 0)
		return link_nl_errno(r);
	*ret = TAKE_PTR(sk);
	return 0;
}

/* Device names as the kernel takes them, less '%', which would be a pattern to it. */
static bool name_ok(const char *name)
{
	size_t n = strnlen(name, IFNAMSIZ);

	if (n == 0 || n >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || strchr("/:%", *name))
			return false;
	return true;
}

/* --- one link message --- */

static int parse_linkinfo(struct nlattr *info, struct link_info *ret, struct link_tun *ret_tun)
{
	struct nlattr *outer[IFLA_INFO_MAX + 1], *tun[IFLA_TUN_MAX + 1];

	if (nla_parse_nested(outer, IFLA_INFO_MAX, info, NULL) < 0)
		return -EBADMSG;
	if (!outer[IFLA_INFO_KIND])
		return 0;
	nla_strlcpy(ret->kind, outer[IFLA_INFO_KIND], sizeof(ret->kind));
	if (!ret_tun || strcmp(ret->kind, "tun") != 0 || !outer[IFLA_INFO_DATA])
		return 0;
	if (nla_parse_nested(tun, IFLA_TUN_MAX, outer[IFLA_INFO_DATA], NULL) < 0)
		return -EBADMSG;
#define U8(a) (tun[a] && nla_len(tun[a]) >= 1 ? nla_get_u8(tun[a]) : 0)
#define ID(a) (tun[a] && nla_len(tun[a]) >= 4 ? (int64_t)nla_get_u32(tun[a]) : -1)
	ret_tun->tap = U8(IFLA_TUN_TYPE) == IFF_TAP;
	ret_tun->persistent = U8(IFLA_TUN_PERSIST);
	ret_tun->multi_queue = U8(IFLA_TUN_MULTI_QUEUE);
	ret_tun->vnet_hdr = U8(IFLA_TUN_VNET_HDR);
	ret_tun->owner = ID(IFLA_TUN_OWNER);
	ret_tun->group = ID(IFLA_TUN_GROUP);
#undef U8
#undef ID
	return 0;
}

int link_parse(struct nlmsghdr *header, struct link_info *ret, struct link_tun *ret_tun)
{
	struct nlattr *tb[IFLA_MAX + 1];
	struct link_info info = {};
	struct link_tun tun = {.owner = -1, .group = -1};
	const struct ifinfomsg *ifi;
	int r = 0;

	if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK)
		return -EBADMSG;
	if (nlmsg_parse(header, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0)
		return -EBADMSG;
	ifi = nlmsg_data(header);
	/* A bridge tells of its ports in the same group: DELLINK then is no device's end. */
	if (ifi->ifi_family != AF_UNSPEC)
		return -ENODATA;
	if (ifi->ifi_index <= 0 || !tb[IFLA_IFNAME])
		return -EBADMSG;

	info.ifindex = (uint32_t)ifi->ifi_index;
	info.up = ifi->ifi_flags & IFF_UP;
	info.carrier = ifi->ifi_flags & IFF_LOWER_UP;
	nla_strlcpy(info.name, tb[IFLA_IFNAME], sizeof(info.name));
	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == sizeof(info.mac))
		memcpy(info.mac, nla_data(tb[IFLA_ADDRESS]), sizeof(info.mac));
	if (tb[IFLA_MTU] && nla_len(tb[IFLA_MTU]) >= 4)
		info.mtu = nla_get_u32(tb[IFLA_MTU]);
	/* Not IFF_LOWER_UP, which a device that is down never has. */
	tun.open =
		tb[IFLA_CARRIER] && nla_len(tb[IFLA_CARRIER]) >= 1 && nla_get_u8(tb[IFLA_CARRIER]);
	if (tb[IFLA_LINKINFO])
		r = parse_linkinfo(tb[IFLA_LINKINFO], &info, &tun);
	if (r < 0)
		return r;
	*ret = info;
	if (ret_tun)
		*ret_tun = tun;
	return 0;
}

/* --- asking --- */

struct get_result {
	struct link_info info;
	struct link_tun tun;
	int error;
};

static int on_link(struct nl_msg *msg, void *arg)
{
	struct get_result *g = arg;

	g->error = link_parse(nlmsg_hdr(msg), &g->info, &g->tun);
	return NL_OK;
}

/* By index, or by NAME where that is not NULL. */
static int get(uint32_t ifindex, const char *name, struct link_info *ret, struct link_tun *ret_tun)
{
	_cleanup_(nl_socket_freep) struct nl_sock *sk = NULL;
	_cleanup_(nl_msg_freep) struct nl_msg *msg = NULL;
	struct ifinfomsg ifi = {.ifi_index = (int)ifindex};
	struct get_result g = {.error = -EBADMSG};
	int r;

	r = route_socket(&sk);
	if (r < 0)
		return r;
	msg = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST);
	if (!msg || nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ||
	    (name && nla_put_string(msg, IFLA_IFNAME, name) < 0) ||
	    nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0)
		return -ENOMEM;
	/* Without an ack the answer, or the error in its place, is the one message that comes. */
	nl_socket_disable_auto_ack(sk);
	nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_link, &g);
	r = nl_send_auto(sk, msg);
	if (r >= 0)
		r = nl_recvmsgs_default(sk);
	if (r < 0)
		return link_nl_errno(r);
	if (g.error < 0)
		return g.error;
	*ret = g.info;
	if (ret_tun)
		*ret_tun = g.tun;
	return 0;
}

static int get_name(const char *name, struct link_info *ret, struct link_tun *ret_tun)
{
	if (!name_ok(name))
		return -EINVAL;
	return get(0, name, ret, ret_tun);
}

int link_get(const char *name, struct link_info *ret)
{
	return get_name(name, ret, NULL);
}

int link_get_index(uint32_t ifindex, struct link_info *ret)
{
	if (ifindex == 0 || ifindex > INT32_MAX)
		return -ENODEV;
	return get(ifindex, NULL, ret, NULL);
}

/* --- changing --- */

static int change(uint32_t ifindex, struct rtnl_link *to)
{
	_cleanup_(nl_socket_freep) struct nl_sock *sk = NULL;
	_cleanup_(rtnl_link_putp) struct rtnl_link *link = rtnl_link_alloc();
	int r;

	if (!link)
		return -ENOMEM;
	if (ifindex == 0 || ifindex > INT32_MAX)
		return -ENODEV;
	r = route_socket(&sk);
	if (r < 0)
		return r;
	rtnl_link_set_ifindex(link, (int)ifindex);
	return link_nl_errno(rtnl_link_change(sk, link, to, 0));
}

/*
 * What the host itself would send on a port is noise at best and a leak at worst; the egress
 * guard drops it (I4), and this keeps it from being made: no ARP, no multicast, no IPv6
 * link-local address.
 */
static int quiet(uint32_t ifindex, uint32_t mtu)
{
	_cleanup_(rtnl_link_putp) struct rtnl_link *flags = rtnl_link_alloc();
	_cleanup_(rtnl_link_putp) struct rtnl_link *gen = rtnl_link_alloc();
	int r;

	if (!flags || !gen)
		return -ENOMEM;
	rtnl_link_set_flags(flags, IFF_NOARP);
	rtnl_link_unset_flags(flags, IFF_MULTICAST);
	rtnl_link_set_mtu(flags, mtu);
	r = change(ifindex, flags);
	if (r < 0)
		return r;
	r = rtnl_link_inet6_set_addr_gen_mode(gen, IN6_ADDR_GEN_MODE_NONE);
	if (r < 0)
		return link_nl_errno(r);
	r = change(ifindex, gen);
	/* No IPv6 in the kernel, or none on this device (an MTU below 1280): nothing to silence. */
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r;
}

int link_set_up(uint32_t ifindex, bool up)
{
	_cleanup_(rtnl_link_putp) struct rtnl_link *to = rtnl_link_alloc();

	if (!to)
		return -ENOMEM;
	if (up)
		rtnl_link_set_flags(to, IFF_UP);
	else
		rtnl_link_unset_flags(to, IFF_UP);
	return change(ifindex, to);
}

int link_remove(uint32_t ifindex)
{
	_cleanup_(nl_socket_freep) struct nl_sock *sk = NULL;
	_cleanup_(rtnl_link_putp) struct rtnl_link *link = rtnl_link_alloc();
	int r;

	if (!link)
		return -ENOMEM;
	if (ifindex == 0 || ifindex > INT32_MAX)
		return 0;
	r = route_socket(&sk);
	if (r < 0)
		return r;
	rtnl_link_set_ifindex(link, (int)ifindex);
	r = link_nl_errno(rtnl_link_delete(sk, link));
	return r == -ENODEV ? 0 : r;
}

/* --- taps --- */

/*
 * Open the tap NAME, which has FLAGS from then on. With IFF_TUN_EXCL it must not exist (-EEXIST),
 * else it must be free (-EBUSY), or it gets one queue more where it can have several.
 */
static int tun_open(const char *name, unsigned int flags, int *ret_fd)
{
	_cleanup_close_
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq req = {};

	if (fd < 0)
		return -errno;
	req.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags);
	memcpy(req.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &req) < 0)
		return flags & IFF_TUN_EXCL && errno == EBUSY ? -EEXIST : -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int tun_own(int fd, uid_t uid, gid_t gid)
{
	if (uid != (uid_t)-1 && ioctl(fd, TUNSETOWNER, (unsigned long)uid) < 0)
		return -errno;
	if (gid != (gid_t)-1 && ioctl(fd, TUNSETGROUP, (unsigned long)gid) < 0)
		return -errno;
	return 0;
}

static int tap_new(const char *name, unsigned int flags, uid_t uid, gid_t gid, uint32_t mtu,
		   struct link_info *ret)
{
	_cleanup_close_
	int fd = -1;
	struct link_info info;
	int r;

	r = tun_open(name, flags | IFF_TUN_EXCL, &fd);
	if (r < 0)
		return r;
	r = tun_own(fd, uid, gid);
	if (r < 0)
		return r;
	r = get_name(name, &info, NULL);
	if (r < 0)
		return r;
	r = quiet(info.ifindex, mtu);
	if (r < 0)
		return r;
	r = get_name(name, &info, NULL);
	if (r < 0)
		return r;
	/* Last: until here closing the descriptor removes the device. */
	if (ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		return -errno;
	*ret = info;
	return 0;
}

/* OpenVPN may have it open and be forwarding (I5): nothing is touched that is right already. */
static int tap_take(const struct link_info *old, const struct link_tun *tun, uid_t uid, gid_t gid,
		    uint32_t mtu, struct link_info *ret)
{
	_cleanup_close_
	int fd = -1;
	int r;

	/* Through a second queue somebody else could read and send beside OpenVPN. */
	if (strcmp(old->kind, "tun") != 0 || !tun->tap || !tun->persistent || tun->multi_queue)
		return -EEXIST;
	if ((uid != (uid_t)-1 && tun->owner != (int64_t)uid) ||
	    (gid != (gid_t)-1 && tun->group != (int64_t)gid)) {
		r = tun_open(old->name, 0, &fd);
		if (r < 0)
			return r;
		r = tun_own(fd, uid, gid);
		if (r < 0)
			return r;
	}
	r = quiet(old->ifindex, mtu);
	if (r < 0)
		return r;
	return link_get_index(old->ifindex, ret);
}

int link_tap_make(const char *name, uid_t uid, gid_t gid, uint32_t mtu, struct link_info *ret)
{
	struct link_info old;
	struct link_tun tun;
	int r;

	r = get_name(name, &old, &tun);
	if (r == -ENODEV)
		return tap_new(name, 0, uid, gid, mtu, ret); /* OpenVPN knows no virtio header */
	if (r < 0)
		return r;
	return tap_take(&old, &tun, uid, gid, mtu, ret);
}

/* Nobody has it open: what is not as it should be is set right. */
static int machine_tap_take(const struct link_info *old, const struct link_tun *tun,
			    unsigned int flags, uint32_t mtu, struct link_info *ret)
{
	_cleanup_close_
	int fd = -1;
	int r = 0;

	if (!tun->vnet_hdr || tun->owner != 0)
		r = tun_open(old->name, flags, &fd);
	if (r == 0 && tun->owner != 0)
		r = tun_own(fd, 0, (gid_t)-1);
	if (r == 0)
		r = quiet(old->ifindex, mtu);
	return r < 0 ? r : link_get_index(old->ifindex, ret);
}

int link_machine_tap_make(const char *name, unsigned int queues, uint32_t mtu,
			  struct link_info *ret)
{
	unsigned int flags = IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
	struct link_info old;
	struct link_tun tun;
	int r;

	r = get_name(name, &old, &tun);
	if (r < 0 && r != -ENODEV)
		return r;
	if (r == 0) {
		if (strcmp(old.kind, "tun") != 0 || !tun.tap || !tun.persistent)
			return -EEXIST;
		if (tun.multi_queue == (queues > 1)) {
			if (!tun.open)
				return machine_tap_take(&old, &tun, flags, mtu, ret);
			if (tun.owner != 0)
				return -EBUSY;
			*ret = old; /* a machine runs on it (I5) */
			return 0;
		}
		/* The kernel cannot change that, and a machine must not lose its device. */
		r = tun.open ? -EBUSY : link_remove(old.ifindex);
		if (r < 0)
			return r;
	}
	/* Without an owner everybody who may open /dev/net/tun may have it: root's. */
	return tap_new(name, flags, 0, (gid_t)-1, mtu, ret);
}

int link_tap_remove(const char *name)
{
	struct link_info info;
	struct link_tun tun;
	int r;

	r = get_name(name, &info, &tun);
	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	if (strcmp(info.kind, "tun") != 0 || !tun.tap || !tun.persistent)
		return -EEXIST;
	return link_remove(info.ifindex);
}

/* --- veths --- */

static int netns_open(const char *netns, int *ret_fd)
{
	_cleanup_close_
	int path_fd = -1, fd = -1;
	char path[sizeof(NETNS_DIR) + NAME_MAX];
	struct statfs fs;

	if (!*netns || strnlen(netns, NAME_MAX + 1) > NAME_MAX || strchr(netns, '/') ||
	    !strcmp(netns, ".") || !strcmp(netns, ".."))
		return -EINVAL;
	snprintf(path, sizeof(path), NETNS_DIR "%s", netns);
	/*
	 * The mount point outlives its mount, as an empty file that cannot even be opened without
	 * CAP_DAC_OVERRIDE: the namespace is not there (yet).
	 */
	path_fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (path_fd < 0)
		return -errno;
	if (fstatfs(path_fd, &fs) < 0)
		return -errno;
	if (fs.f_type != NSFS_MAGIC)
		return -ENOENT;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return -ENOENT;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int veth_add(const char *name, int netns_fd, const char *peer, const uint8_t peer_mac[6],
		    uint32_t mtu)
{
	_cleanup_(nl_socket_freep) struct nl_sock *sk = NULL;
	_cleanup_(rtnl_link_putp) struct rtnl_link *link = rtnl_link_veth_alloc();
	struct nl_addr *addr;
	struct rtnl_link *far;
	int r;

	if (!link)
		return -ENOMEM;
	r = route_socket(&sk);
	if (r < 0)
		return r;
	rtnl_link_set_name(link, name);
	rtnl_link_set_mtu(link, mtu);
	far = rtnl_link_veth_get_peer(link); /* a reference of its own */
	addr = nl_addr_build(AF_LLC, peer_mac, 6);
	if (addr) {
		rtnl_link_set_name(far, peer);
		rtnl_link_set_mtu(far, mtu);
		rtnl_link_set_addr(far, addr);
		rtnl_link_set_ns_fd(far, netns_fd);
		/* One request: the far end never is in the host's namespace (I2). */
		r = link_nl_errno(rtnl_link_add(sk, link, NLM_F_CREATE | NLM_F_EXCL));
	} else {
		r = -ENOMEM;
	}
	nl_addr_put(addr);
	rtnl_link_put(far);
	return r;
}

int link_veth_make(const char *name, const char *netns, const char *peer, const uint8_t peer_mac[6],
		   uint32_t mtu, struct link_info *ret)
{
	_cleanup_close_
	int fd = -1;
	struct link_info info;
	int r;

	if (!name_ok(name) || !name_ok(peer))
		return -EINVAL;
	r = netns_open(netns, &fd);
	if (r < 0)
		return r;
	r = veth_add(name, fd, peer, peer_mac, mtu);
	if (r < 0)
		return r;
	r = get_name(name, &info, NULL);
	if (r < 0)
		return r;
	r = quiet(info.ifindex, mtu);
	if (r >= 0)
		r = link_get_index(info.ifindex, ret);
	if (r < 0)
		link_remove(info.ifindex);
	return r;
}
