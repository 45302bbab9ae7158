/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces on veths. */
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"
#include "trace/metrics.h"

static void set_reason(struct workload *w, const char *reason)
{
	free(w->reason);
	w->reason = reason ? strdup(reason) : NULL;
}

static void device_name(const struct workload *w, char ret[16])
{
	snprintf(ret, 16, "spw%u", w->id);
}

/* After a restart the veth is there, and so are its programs: keep its port number. */
static uint32_t known_port(const struct workload *w)
{
	struct sp_port port;

	return dataplane_port_get(w->daemon->dp, w->link.ifindex, &port) == 0 ? port.port : 0;
}

static int get_port(struct workload *w, uint32_t *ret)
{
	struct portnum *p = w->daemon->portnums;
	uint32_t n = known_port(w);

	if (n && portnum_take(p, n) == 0) {
		*ret = n;
		return 0;
	}
	*ret = portnum_get(p);
	return *ret ? dataplane_counter_clear(w->daemon->dp, *ret) : -ENOSPC;
}

/* D2: programs first, then up. D1: the binding last. */
static int program(struct workload *w)
{
	struct daemon *d = w->daemon;
	struct member *m = &w->member;
	struct sp_port port = {
		.segment = w->row.segment, .kind = SP_PORT_NETNS, .max_len = WORKLOAD_MTU + 14};
	int r = get_port(w, &port.port);

	if (r < 0)
		return r;
	*m = (struct member){
		.segment = w->row.segment,
		.generation = w->id,
		.workload = w,
		.dst = {.ifindex = w->link.ifindex,
			.port = port.port,
			.max_len = WORKLOAD_MTU + 14,
			.kind = SP_PORT_NETNS},
	};
	r = dataplane_attach(d->dp, w->link.ifindex, &port);
	if (r == 0)
		r = segment_join(d, m);
	if (r == 0)
		segment_evict(d, m, w->row.mac);
	if (r == 0) {
		r = segment_bind(d, m, w->row.mac, 0);
		if (r < 0)
			segment_leave(d, m);
	}
	if (r == 0) {
		w->up = true;
		r = link_set_up(w->link.ifindex, true);
	}
	if (r < 0 && !w->up) {
		link_set_up(w->link.ifindex, false); /* D2: it may have been up before a restart */
		dataplane_detach(d->dp, w->link.ifindex);
		portnum_put(d->portnums, port.port);
	}
	return r;
}

static void unprogram(struct workload *w)
{
	if (!w->up)
		return;
	segment_leave(w->daemon, &w->member);
	dataplane_detach(w->daemon->dp, w->link.ifindex);
	metrics_port_gone(w->daemon->metrics, SP_PORT_NETNS, w->member.dst.port);
	portnum_put(w->daemon->portnums, w->member.dst.port);
	w->up = false;
}

static int find_or_make(struct workload *w)
{
	char name[16];
	int r;

	device_name(w, name);
	r = link_get(name, &w->link);
	if (r == 0 && strcmp(w->link.kind, "veth") != 0)
		return -EEXIST;
	if (r == -ENODEV)
		r = link_veth_make(name, w->row.netns, w->row.ifname, w->row.mac, WORKLOAD_MTU,
				   &w->link);
	return r;
}

int workload_try(struct workload *w)
{
	int r;

	if (w->up)
		return 0;
	r = find_or_make(w);
	if (r == -ENOENT) {
		set_reason(w, "its namespace is not there");
		return 0;
	}
	if (r == 0)
		r = program(w);
	set_reason(w, r < 0 ? strerror(-r) : NULL);
	log_event(r < 0 ? LOG_ERR : LOG_INFO, r < 0 ? "workload cannot come up" : "workload up",
		  "USER", w->row.user, "WORKLOAD", w->row.name, "NETNS", w->row.netns, "REASON",
		  r < 0 ? strerror(-r) : "", NULL);
	return r;
}

int workload_new(struct daemon *d, const struct store_workload *row, struct workload **ret)
{
	struct workload *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->daemon = d;
	w->row = *row;
	w->id = row->id;
	HASH_ADD(hh, d->workloads, id, sizeof(w->id), w);
	workload_try(w);
	if (ret)
		*ret = w;
	return 0;
}

void workload_free(struct workload *w)
{
	HASH_DEL(w->daemon->workloads, w);
	free(w->reason);
	free(w);
}

void workload_remove(struct workload *w)
{
	uint32_t ifindex = w->link.ifindex;
	bool was_up = w->up;

	unprogram(w);
	if (was_up)
		link_remove(ifindex);
	log_event(LOG_INFO, "workload removed", "USER", w->row.user, "WORKLOAD", w->row.name, NULL);
	workload_free(w);
}

struct workload *workload_find_id(struct daemon *d, uint32_t id)
{
	struct workload *w;

	HASH_FIND(hh, d->workloads, &id, sizeof(id), w);
	return w;
}

struct workload *workload_find(struct daemon *d, const char *user, const char *name)
{
	for (struct workload *w = d->workloads; w; w = w->hh.next)
		if (strcmp(w->row.user, user) == 0 && strcmp(w->row.name, name) == 0)
			return w;
	return NULL;
}

void workload_link_gone(struct daemon *d, uint32_t ifindex)
{
	for (struct workload *w = d->workloads; w; w = w->hh.next) {
		if (!w->up || w->link.ifindex != ifindex)
			continue;
		unprogram(w);
		memset(&w->link, 0, sizeof(w->link));
		log_event(LOG_WARNING, "workload's device is gone", "USER", w->row.user, "WORKLOAD",
			  w->row.name, NULL);
		/* The namespace may be there still: somebody deleted the veth only. */
		workload_try(w);
	}
}

void workload_look_again(struct daemon *d)
{
	for (struct workload *w = d->workloads; w; w = w->hh.next) {
		struct link_info info;

		if (w->up && link_get_index(w->link.ifindex, &info) == -ENODEV)
			workload_link_gone(d, w->link.ifindex);
	}
}

static int on_mounts(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *d = arg;

	/* Which one it was does not matter: those that wait are few. */
	for (struct workload *w = d->workloads; w; w = w->hh.next)
		workload_try(w);
	return 0;
}

/*
 * A namespace gets its name by a mount on a file of /run/netns (ip-netns(8)), and only the table of
 * mounts tells when that is done: proc(5), mountinfo, POLLPRI.
 */
int workload_watch(struct daemon *d)
{
	d->netns_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (d->netns_fd < 0)
		return -errno;
	return sd_event_add_io(d->event, &d->netns_source, d->netns_fd, EPOLLPRI, on_mounts, d);
}
