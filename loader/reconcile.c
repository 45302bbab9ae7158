/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is, what should be, and the difference. */
#include "reconcile.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "budget.h"
#include "daemon.h"
#include "instance.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "machine/machine.h"
#include "session.h"
#include "workload.h"

/* Keys of entries to delete, collected while a map is walked. */
struct doomed {
	struct daemon *daemon;
	unsigned int n;
};

/* --- what the maps say of sessions --- */

/* A session's port number, by its generation: from `vids`, or from its bindings in MAC mode. */
struct pinned {
	struct {
		uint64_t generation; /* a session's and a workload's may be the same number */
		uint64_t ifindex;
	} key;
	uint32_t port;
	UT_hash_handle hh;
};

static struct pinned *find_pinned(struct pinned *table, uint64_t generation, uint32_t ifindex)
{
	struct pinned *p, probe = {.key = {generation, ifindex}};

	HASH_FIND(hh, table, &probe.key, sizeof(probe.key), p);
	return p;
}

static int note(struct pinned **table, uint64_t generation, uint32_t ifindex, uint32_t port)
{
	struct pinned *p;

	if (find_pinned(*table, generation, ifindex))
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->key.generation = generation;
	p->key.ifindex = ifindex;
	p->port = port;
	HASH_ADD(hh, *table, key, sizeof(p->key), p);
	return 0;
}

static int note_vid(const struct sp_vid_key *key, const struct sp_vid *value, void *arg)
{
	return note(arg, value->generation, key->ifindex, value->port);
}

static int note_binding(const struct sp_bind_key *key, const struct sp_bind *value, void *arg)
{
	/* In VLAN mode `vids` has it. */
	return key->vid ? 0 : note(arg, value->generation, key->ifindex, value->port);
}

static void free_pinned(struct pinned *table)
{
	struct pinned *p, *next;

	HASH_ITER(hh, table, p, next)
	{
		HASH_DEL(table, p);
		free(p);
	}
}

/* --- port numbers --- */

static int reserve_port(uint32_t ifindex, const struct sp_port *port, void *arg)
{
	portnum_reserve(arg, port->port);
	return 0;
}

static int reserve_vid(const struct sp_vid_key *key, const struct sp_vid *value, void *arg)
{
	portnum_reserve(arg, value->port);
	return 0;
}

static int reserve_binding(const struct sp_bind_key *key, const struct sp_bind *value, void *arg)
{
	portnum_reserve(arg, value->port);
	return 0;
}

int reconcile_reserve(struct daemon *d)
{
	int r = dataplane_each_port(d->dp, reserve_port, d->portnums);

	r = r ?: dataplane_each_vid(d->dp, reserve_vid, d->portnums);
	r = r ?: dataplane_each_binding(d->dp, reserve_binding, d->portnums);
	return r ?: numbers_reserve(d);
}

/* --- sessions --- */

struct sessions {
	struct daemon *daemon;
	struct pinned *pinned;
	uint64_t *gone; /* live in the store only */
	size_t n_gone, room;
};

/*
 * Carrier says that somebody has the tap open. Whether it is the same process, the management
 * interface says within milliseconds, and ends what is not its own; where there is none, we look
 * for the process ourselves.
 */
static bool process_lives(const struct instance *i, int64_t pid)
{
	if (!i->link.carrier || pid <= 0)
		return false;
	return i->config->management || kill((pid_t)pid, 0) == 0 || errno == EPERM;
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
		budget_set(s->daemon, &u);
		explicit_bzero(u.hash, sizeof(u.hash));
	}
}

static int adopt(struct sessions *x, struct instance *i, const struct store_session *row)
{
	struct pinned *p = find_pinned(x->pinned, row->id, i->link.ifindex);
	struct daemon *d = x->daemon;
	struct session_key key;
	struct session *s;
	int r;

	session_key_set(&key, row->instance, row->common_name, row->trusted_ip, row->trusted_port,
			row->time_unix);
	if (i->config->vlan_mode != (row->vid != 0))
		return -EINVAL; /* the instance's mode was changed */
	r = row->vid ? vids_take(i->vids, row->vid) : 0;
	if (r == 0)
		r = session_new(d, i, &key, &s);
	if (r < 0)
		return r;
	r = session_activate(s, row, p ? p->port : 0, d->config->max_macs);
	if (r < 0) {
		session_drop(s);
		return r;
	}
	restore_addresses(s, d->store);
	i->openvpn_pid = row->daemon_pid; /* rows come in the order of time */
	return 0;
}

static int on_row(const struct store_session *row, void *arg)
{
	struct sessions *x = arg;
	struct instance *i = instance_find(x->daemon, row->instance);

	if (row->ended) {
		rest_vid(x->daemon, row);
		return 0;
	}
	if (i && i->link.ifindex && process_lives(i, row->daemon_pid) && adopt(x, i, row) == 0)
		return 0;
	if (x->n_gone == x->room) {
		size_t room = 2 * x->room + 64;
		uint64_t *grown = reallocarray(x->gone, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		x->gone = grown;
		x->room = room;
	}
	x->gone[x->n_gone++] = row->id;
	if (i && row->vid)
		vids_put(i->vids, row->vid, client_now_us());
	return 0;
}

/* Of two OpenVPN processes that used one tap, the later one is there. */
static void end_older(struct daemon *d)
{
	struct instance *i;

	DL_FOREACH(d->instances, i)
	session_end_instance(i, i->openvpn_pid, "OpenVPN was restarted");
}

static int adopt_sessions(struct daemon *d)
{
	struct sessions x = {.daemon = d};
	int r = dataplane_each_vid(d->dp, note_vid, &x.pinned);

	r = r ?: dataplane_each_binding(d->dp, note_binding, &x.pinned);
	r = r
		    ?: store_session_each_since(
			       d->store, time(NULL) - (int64_t)d->config->vid_rest_s, on_row, &x);
	if (r == 0 && x.n_gone)
		r = store_session_end_many(d->store, x.gone, x.n_gone, time(NULL));
	if (x.n_gone)
		log_printf(LOG_INFO, "%zu sessions ended while nobody looked", x.n_gone);
	free(x.gone);
	free_pinned(x.pinned);
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

	if (segment_exists(x->daemon, segment))
		return 0;
	x->n++;
	return dataplane_flood_set(x->daemon->dp, segment, NULL, 0);
}

static bool is_ours(const struct link_info *l)
{
	if (strcmp(l->kind, "veth") == 0)
		return strncmp(l->name, "spw", 3) == 0;
	return strcmp(l->kind, "tun") == 0 &&
	       strncmp(l->name, MACHINE_TAP_PREFIX, strlen(MACHINE_TAP_PREFIX)) == 0;
}

static int drop_address(const struct sp_address_key *key, const struct sp_address *value, void *arg)
{
	struct doomed *x = arg;
	const struct machine *m = machine_find_port(x->daemon, value->port);

	if (m && m->joined && m->row.segment == key->segment)
		return 0;
	x->n++;
	return dataplane_address_del(x->daemon->dp, key->segment, key->addr);
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
	for (struct machine *m = x->daemon->machines; m; m = m->hh_id.next)
		if (m->joined && m->link.ifindex == ifindex)
			return 0;
	x->n++;
	/*
	 * A veth of a workload, a tap of a machine that is no more; an instance's tap stays, down:
	 * OpenVPN may hold it.
	 */
	if (link_get_index(ifindex, &info) == 0) {
		link_set_up(ifindex, false);
		if (is_ours(&info))
			link_remove(ifindex);
	}
	return dataplane_detach(x->daemon->dp, ifindex);
}

int reconcile(struct daemon *d)
{
	struct doomed x = {.daemon = d};
	int r = adopt_sessions(d), strays, entries;

	r = r ?: dataplane_each_binding(d->dp, adopt_binding, d);
	end_older(d);
	d->restoring = false;
	segment_write_floods(d); /* each in one step, the same where nothing changed (I5) */
	r = r ?: dataplane_each_binding(d->dp, drop_binding, &x); /* D1: what lets in goes first */
	r = r ?: dataplane_each_vid(d->dp, drop_vid, &x);
	r = r ?: dataplane_each_fdb(d->dp, drop_fdb, &x);
	r = r ?: dataplane_each_flood(d->dp, drop_flood, &x);
	r = r ?: dataplane_each_address(d->dp, drop_address, &x);
	r = r ?: dataplane_each_port(d->dp, drop_port, &x);
	strays = r < 0 ? r : rules_drop_strays(d);
	entries = strays < 0 ? strays : numbers_drop_strays(d);
	strays = entries < 0 ? entries : strays + entries;
	r = strays < 0 ? strays : r;
	portnum_release(d->portnums);
	budget_reload(d);
	log_printf(LOG_INFO,
		   "reconciled: %u sessions adopted, %u entries that belonged to nobody removed",
		   d->n_sessions, x.n + (unsigned int)(strays > 0 ? strays : 0));
	return r;
}
