/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is, what should be, and the difference. */
#include "reconcile.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "daemon.h"
#include "instance.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "session.h"
#include "workload.h"

/* Keys of entries to delete, collected while a map is walked. */
struct doomed {
	struct daemon *daemon;
	unsigned int n;
};

/* --- what the maps say of a session --- */

struct port_of {
	uint64_t generation;
	uint32_t ifindex, port;
};

static int find_in_vids(const struct sp_vid_key *key, const struct sp_vid *value, void *arg)
{
	struct port_of *p = arg;

	if (value->generation == p->generation && key->ifindex == p->ifindex)
		p->port = value->port;
	return 0;
}

static int find_in_bindings(const struct sp_bind_key *key, const struct sp_bind *value, void *arg)
{
	struct port_of *p = arg;

	if (value->generation == p->generation && key->ifindex == p->ifindex)
		p->port = value->port;
	return 0;
}

/* --- sessions --- */

static bool process_lives(const struct instance *i, int64_t pid)
{
	/* EPERM: it is there, and not ours to signal. A pid used again by something else is told
	 * apart by the tap's carrier and by the management interface, which comes next. */
	return i->link.carrier && pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static void rest_vid(struct daemon *d, const struct store_session *row)
{
	struct instance *i = instance_find(d, row->instance);
	uint64_t age = (uint64_t)(time(NULL) - row->ended) * 1000000, now = client_now_us();

	if (i && row->vid)
		vids_put(i->vids, row->vid, now > age ? now - age : 1);
}

static void restore_addresses(struct session *s, struct store *store)
{
	struct store_user u;

	if (store_user_get(store, s->user, &u) == 0) {
		session_address(u.address, s->index, s->address);
		session_address(u.address6, s->index, s->address6);
		s->max_macs = u.max_macs ? u.max_macs : s->max_macs;
		explicit_bzero(u.hash, sizeof(u.hash));
	}
}

static int adopt(struct daemon *d, struct instance *i, const struct store_session *row)
{
	struct port_of p = {.generation = row->id, .ifindex = i->link.ifindex};
	struct session_key key;
	struct session *s;
	int r;

	session_key_set(&key, row->instance, row->common_name, row->trusted_ip, row->trusted_port,
			row->time_unix);
	if (i->config->vlan_mode != (row->vid != 0))
		return -EINVAL; /* the instance's mode was changed */
	r = row->vid ? dataplane_each_vid(d->dp, find_in_vids, &p)
		     : dataplane_each_binding(d->dp, find_in_bindings, &p);
	if (r == 0 && row->vid)
		r = vids_take(i->vids, row->vid);
	if (r == 0)
		r = session_new(d, i, &key, &s);
	if (r < 0)
		return r;
	r = session_activate(s, row, p.port, d->config->max_macs);
	if (r < 0) {
		session_drop(s);
		return r;
	}
	restore_addresses(s, d->store);
	i->openvpn_pid = row->daemon_pid;
	return 0;
}

struct gone {
	uint64_t *ids;
	size_t n;
	struct daemon *daemon;
};

static int on_row(const struct store_session *row, void *arg)
{
	struct gone *g = arg;
	struct instance *i = instance_find(g->daemon, row->instance);
	uint64_t *ids;

	if (row->ended) {
		rest_vid(g->daemon, row);
		return 0;
	}
	if (i && i->state != INSTANCE_REFUSED && process_lives(i, row->daemon_pid) &&
	    adopt(g->daemon, i, row) == 0)
		return 0;
	ids = realloc(g->ids, (g->n + 1) * sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	g->ids = ids;
	ids[g->n++] = row->id;
	if (i && row->vid)
		vids_put(i->vids, row->vid, client_now_us());
	return 0;
}

static int adopt_sessions(struct daemon *d)
{
	struct gone gone = {.daemon = d};
	int r = store_session_each_since(d->store, time(NULL) - (int64_t)d->config->vid_rest_s,
					 on_row, &gone);

	for (size_t n = 0; r == 0 && n < gone.n; n++)
		r = store_session_end(d->store, gone.ids[n], time(NULL));
	if (gone.n)
		log_printf(LOG_INFO, "%zu sessions ended while nobody looked", gone.n);
	free(gone.ids);
	return r;
}

/* --- MACs: the kernel's table is the record --- */

static int adopt_binding(const struct sp_bind_key *key, const struct sp_bind *value, void *arg)
{
	struct daemon *d = arg;
	struct session *s = session_find_id(d, value->generation);

	if (!s || s->member.dst.ifindex != key->ifindex || s->member.dst.vid != key->vid ||
	    value->port != s->member.dst.port || member_find(&s->member, key->mac))
		return 0;
	return segment_bind(d, &s->member, key->mac, 0);
}

/* --- what belongs to nobody --- */

static int drop_binding(const struct sp_bind_key *key, const struct sp_bind *value, void *arg)
{
	struct doomed *x = arg;
	const struct binding *b = segment_find(x->daemon, value->segment, key->mac);

	if (b && b->owner->dst.ifindex == key->ifindex && b->owner->dst.vid == key->vid &&
	    b->owner->dst.port == value->port)
		return 0;
	x->n++;
	return dataplane_unbind(x->daemon->dp, key->ifindex, key->vid, key->mac);
}

static int drop_fdb(const struct sp_fdb_key *key, const struct sp_dst *value, void *arg)
{
	struct doomed *x = arg;

	if (segment_find(x->daemon, key->segment, key->mac))
		return 0;
	x->n++;
	return dataplane_fdb_del(x->daemon->dp, key->segment, key->mac);
}

static int drop_vid(const struct sp_vid_key *key, const struct sp_vid *value, void *arg)
{
	struct doomed *x = arg;
	const struct session *s = session_find_id(x->daemon, value->generation);

	if (s && s->member.dst.ifindex == key->ifindex && s->member.dst.vid == key->vid)
		return 0;
	x->n++;
	return dataplane_vid_del(x->daemon->dp, key->ifindex, key->vid);
}

static int drop_flood(uint32_t segment, const struct sp_flood *value, void *arg)
{
	struct doomed *x = arg;
	struct segment *s;

	HASH_FIND(hh, x->daemon->segments, &segment, sizeof(segment), s);
	if (s)
		return 0;
	x->n++;
	return dataplane_flood_set(x->daemon->dp, segment, NULL, 0);
}

static int drop_port(uint32_t ifindex, const struct sp_port *port, void *arg)
{
	struct doomed *x = arg;
	struct instance *i;
	struct link_info info;

	DL_FOREACH(x->daemon->instances, i)
	if (i->link.ifindex == ifindex)
		return 0;
	for (struct workload *w = x->daemon->workloads; w; w = w->hh.next)
		if (w->up && w->link.ifindex == ifindex)
			return 0;
	x->n++;
	/* A veth of a workload that is no more; a tap stays, down: OpenVPN may hold it. */
	if (link_get_index(ifindex, &info) == 0) {
		link_set_up(ifindex, false);
		if (strcmp(info.kind, "veth") == 0 && strncmp(info.name, "spw", 3) == 0)
			link_remove(ifindex);
	}
	return dataplane_detach(x->daemon->dp, ifindex);
}

int reconcile(struct daemon *d)
{
	struct doomed x = {.daemon = d};
	int r = adopt_sessions(d);

	r = r ?: dataplane_each_binding(d->dp, adopt_binding, d);
	r = r ?: dataplane_each_binding(d->dp, drop_binding, &x); /* D1: what lets in goes first */
	r = r ?: dataplane_each_vid(d->dp, drop_vid, &x);
	r = r ?: dataplane_each_fdb(d->dp, drop_fdb, &x);
	r = r ?: dataplane_each_flood(d->dp, drop_flood, &x);
	r = r ?: dataplane_each_port(d->dp, drop_port, &x);
	log_printf(LOG_INFO,
		   "reconciled: %u sessions adopted, %u entries that belonged to nobody removed",
		   d->n_sessions, x.n);
	return r;
}
