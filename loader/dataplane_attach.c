/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How do the programs get onto a device, and off it? TCX and XDP links, pinned so that they outlive
 * us; clsact filters where the kernel has no TCX, which live on the device by themselves.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "dataplane_internal.h"
#include "lib/cleanup.h"

/* uapi/linux/bpf.h of 6.6: the headers of Debian 12 are older. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS ((enum bpf_attach_type)47)

/* Our place in the clsact chain of a device that is ours alone. */
#define CLSACT_HANDLE 1
#define CLSACT_PRIORITY 1

/* Pins are named by the device's number and the place. */
static const char *const place_names[_DP_PLACES] = {
	[DP_AT_XDP] = "guard",
	[DP_AT_INGRESS] = "ingress",
	[DP_AT_EGRESS] = "egress",
};

/* Which program is at PLACE of a port of this kind? */
static int prog_at(const struct dataplane *dp, enum dataplane_place place, unsigned int kind)
{
	switch (place) {
	case DP_AT_XDP:
		return dp->prog_fd[DP_GUARD];
	case DP_AT_INGRESS:
		return dp->prog_fd[kind == SP_PORT_MACHINE ? DP_STEER_MACHINE : DP_STEER];
	default:
		return dp->prog_fd[DP_EGRESS];
	}
}

static void link_pin(const struct dataplane *dp, uint32_t ifindex, enum dataplane_place place,
		     char *ret, size_t size)
{
	snprintf(ret, size, "%s/links/%u-%s", dp->dir, ifindex, place_names[place]);
}

/* Keep a link alive without a pin. Takes FD. */
static int keep_link(struct dataplane *dp, int fd)
{
	int *fds = realloc(dp->link_fds, (dp->n_links + 1) * sizeof(*fds));

	if (!fds) {
		close(fd);
		return -ENOMEM;
	}
	dp->link_fds = fds;
	fds[dp->n_links++] = fd;
	return 0;
}

static int create_link(int prog_fd, uint32_t ifindex, enum dataplane_place place,
		       uint32_t xdp_flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = xdp_flags);
	static const enum bpf_attach_type types[_DP_PLACES] = {
		[DP_AT_XDP] = BPF_XDP,
		[DP_AT_INGRESS] = TCX_INGRESS,
		[DP_AT_EGRESS] = TCX_EGRESS,
	};

	return bpf_link_create(prog_fd, (int)ifindex, types[place], &opts);
}

/* Make a link, or put our program behind the pinned one that is there. */
static int attach_link(struct dataplane *dp, uint32_t ifindex, enum dataplane_place place,
		       int prog_fd, uint32_t xdp_flags)
{
	_cleanup_close_
	int fd = -1;
	char path[DP_PATH_MAX];

	if (dp->dir[0]) {
		link_pin(dp, ifindex, place, path, sizeof(path));
		fd = bpf_obj_get(path);
		if (fd >= 0) {
			int r = bpf_link_update(fd, prog_fd, NULL);

			if (r != -ENOLINK)
				return r;
			/* The device that had this number is gone, and so is its link. */
			unlink(path);
			closep(&fd);
		}
	}
	fd = create_link(prog_fd, ifindex, place, xdp_flags);
	if (fd < 0)
		return fd;
	if (!dp->dir[0])
		return keep_link(dp, TAKE_FD(fd));
	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

static int attach_clsact(uint32_t ifindex, enum dataplane_place place, int prog_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY,
		    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	if (r < 0 && r != -EEXIST)
		return r;
	hook.attach_point = place == DP_AT_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS;
	return bpf_tc_attach(&hook, &opts);
}

static int attach_tc(struct dataplane *dp, uint32_t ifindex, enum dataplane_place place,
		     unsigned int kind)
{
	int prog_fd = prog_at(dp, place, kind);

	return dp->features.tcx ? attach_link(dp, ifindex, place, prog_fd, 0)
				: attach_clsact(ifindex, place, prog_fd);
}

/* Native XDP where the driver has it. */
static int attach_guard(struct dataplane *dp, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int prog_fd = prog_at(dp, DP_AT_XDP, SP_PORT_VPN);
	int r = attach_link(dp, ifindex, DP_AT_XDP, prog_fd, XDP_FLAGS_DRV_MODE);

	if (r == -EOPNOTSUPP || r == -EINVAL)
		r = attach_link(dp, ifindex, DP_AT_XDP, prog_fd, XDP_FLAGS_SKB_MODE);
	/* Ask: a pinned link that was updated may be of either mode. */
	if (r == 0 && bpf_xdp_query((int)ifindex, XDP_FLAGS_DRV_MODE, &query) == 0)
		dp->features.xdp_native = query.attach_mode == XDP_ATTACHED_DRV;
	return r;
}

static int detach_link(struct dataplane *dp, uint32_t ifindex, enum dataplane_place place)
{
	char path[DP_PATH_MAX];

	/* An explicit detach works at once, even while somebody else holds the link open. */
	if (dp->dir[0]) {
		_cleanup_close_
		int fd = -1;

		link_pin(dp, ifindex, place, path, sizeof(path));
		fd = bpf_obj_get(path);
		if (fd >= 0)
			bpf_link_detach(fd);
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

static void detach_clsact(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	/* The device is ours alone, so the qdisc goes with all that hangs on it. */
	bpf_tc_hook_destroy(&hook);
}

int dataplane_detach(struct dataplane *dp, uint32_t ifindex)
{
	int r = 0;

	for (int place = 0; place < _DP_PLACES; place++) {
		int q = detach_link(dp, ifindex, place);

		r = r ?: q;
	}
	if (!dp->features.tcx)
		detach_clsact(ifindex);
	if (dp->map_fd[DP_PORTS] >= 0 && bpf_map_delete_elem(dp->map_fd[DP_PORTS], &ifindex) < 0 &&
	    errno != ENOENT)
		r = r ?: -errno;
	return r;
}

int dataplane_attach(struct dataplane *dp, uint32_t ifindex, const struct sp_port *port)
{
	struct sp_port old;
	bool known = dataplane_port_get(dp, ifindex, &old) == 0;
	int r = attach_tc(dp, ifindex, DP_AT_EGRESS, port->kind);

	if (r == 0)
		r = attach_tc(dp, ifindex, DP_AT_INGRESS, port->kind);
	if (r == 0) /* the guard knows VPN taps only: it goes where the kind has changed */
		r = port->kind == SP_PORT_VPN ? attach_guard(dp, ifindex)
					      : detach_link(dp, ifindex, DP_AT_XDP);
	if (r == 0 && bpf_map_update_elem(dp->map_fd[DP_PORTS], &ifindex, port, BPF_ANY) < 0)
		r = errno == E2BIG ? -ENOSPC : -errno;
	if (r < 0 && !known)
		dataplane_detach(dp, ifindex);
	return r;
}

/* --- taking over what an earlier start left --- */

/* "<ifindex>-<place>": which place is it? -EINVAL: not a name of ours. */
static int parse_link_name(const char *name, uint32_t *ret_ifindex)
{
	unsigned long ifindex;
	char *end;

	if (name[0] < '1' || name[0] > '9')
		return -EINVAL;
	errno = 0;
	ifindex = strtoul(name, &end, 10);
	if (errno || ifindex > INT32_MAX || *end != '-')
		return -EINVAL;
	for (int place = 0; place < _DP_PLACES; place++)
		if (strcmp(end + 1, place_names[place]) == 0) {
			*ret_ifindex = (uint32_t)ifindex;
			return place;
		}
	return -EINVAL;
}

static int relink_cb(struct dataplane *dp, const char *name, uint32_t ifindex,
		     enum dataplane_place place, void *arg)
{
	/* Without an entry it is of an attach that was cut short: nothing is bound there yet. */
	struct sp_port port = {0};
	_cleanup_close_
	int fd = -1;
	char path[DP_PATH_MAX];
	int r;

	dataplane_port_get(dp, ifindex, &port);

	snprintf(path, sizeof(path), "%s/links/%s", dp->dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	r = bpf_link_update(fd, prog_at(dp, place, port.kind), NULL);
	/* Of a device that is gone: reconcile removes it. */
	return r == -ENOLINK ? 0 : r;
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Calls CB for each link pin; stops at the first negative answer. */
static int each_link(const struct dataplane *dp,
		     int (*cb)(struct dataplane *dp, const char *name, uint32_t ifindex,
			       enum dataplane_place place, void *arg),
		     void *arg)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[DP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/links", dp->dir);
	dir = opendir(path);
	if (!dir)
		return -errno;
	for (struct dirent *d; (d = readdir(dir));) {
		uint32_t ifindex;
		int p = parse_link_name(d->d_name, &ifindex);
		int r = p < 0 ? 0 : cb((struct dataplane *)dp, d->d_name, ifindex, p, arg);

		if (r < 0)
			return r;
	}
	return 0;
}

static int reclsact_cb(uint32_t ifindex, const struct sp_port *port, void *arg)
{
	struct dataplane *dp = arg;
	char name[IF_NAMESIZE];
	int r;

	if (!if_indextoname(ifindex, name))
		return 0; /* the device is gone: reconcile removes the entry */
	r = attach_tc(dp, ifindex, DP_AT_EGRESS, port->kind);
	return r < 0 ? r : attach_tc(dp, ifindex, DP_AT_INGRESS, port->kind);
}

int dataplane_relink(struct dataplane *dp)
{
	int r = each_link(dp, relink_cb, NULL);

	if (r == 0 && !dp->features.tcx)
		r = dataplane_each_port(dp, reclsact_cb, dp);
	return r;
}

/* --- ports, as the map and the link pins know them --- */

struct port_call {
	int (*cb)(uint32_t ifindex, const struct sp_port *port, void *arg);
	void *arg;
};

static int orphan_link_cb(struct dataplane *dp, const char *name, uint32_t ifindex,
			  enum dataplane_place place, void *arg)
{
	const struct port_call *call = arg;
	struct sp_port none = {0};

	return dataplane_port_get(dp, ifindex, &none) == 0 ? 0
							   : call->cb(ifindex, &none, call->arg);
}

int dataplane_each_port(struct dataplane *dp,
			int (*cb)(uint32_t ifindex, const struct sp_port *port, void *arg),
			void *arg)
{
	struct port_call call = {cb, arg};
	int fd = dp->map_fd[DP_PORTS];
	uint32_t key, next;
	bool more = bpf_map_get_next_key(fd, NULL, &next) == 0;

	while (more) {
		struct sp_port port;
		int r = 0;

		key = next;
		more = bpf_map_get_next_key(fd, &key, &next) == 0;
		if (bpf_map_lookup_elem(fd, &key, &port) == 0)
			r = cb(key, &port, arg);
		if (r < 0)
			return r;
	}
	/* An attach that was cut short left a link without an entry. */
	return dp->dir[0] ? each_link(dp, orphan_link_cb, &call) : 0;
}

/* --- the end of it all --- */

static int remove_dir(const char *dir, const char *below)
{
	_cleanup_(closedirp) DIR *d = NULL;
	char path[DP_PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s%s", dir, below);
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0) < 0 &&
		    errno != EISDIR && errno != EPERM)
			r = r ?: -errno;
	}
	if (rmdir(path) < 0)
		r = r ?: -errno;
	return r;
}

static int detach_cb(uint32_t ifindex, const struct sp_port *port, void *arg)
{
	detach_clsact(ifindex);
	return dataplane_detach(arg, ifindex);
}

/*
 * Not by way of dataplane_open: what it would refuse must be removable, and what ends need not be
 * made first.
 */
int dataplane_destroy(const struct dataplane_options *o)
{
	static const char *const below[] = {"/links", "/progs", "/flows", "/policies", "/maps", ""};
	struct dataplane dp = {.features.tcx = true};
	char path[DP_PATH_MAX];
	int r = dataplane_dir(o, dp.dir);

	if (r < 0)
		return r;
	if (access(dp.dir, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	snprintf(path, sizeof(path), "%s/maps/ports", dp.dir);
	dp.map_fd[DP_PORTS] = bpf_obj_get(path);
	/* Without a usable `ports` the links are still known by their pins. */
	r = dataplane_each_port(&dp, detach_cb, &dp);
	if (r == -ENOENT || r == -EBADF)
		r = 0;
	for (size_t i = 0; i < SP_ARRAY_SIZE(below); i++) {
		int q = remove_dir(dp.dir, below[i]);

		r = r ?: q;
	}
	closep(&dp.map_fd[DP_PORTS]);
	return r;
}
