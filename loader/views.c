/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How do the daemon's objects look from outside? */
#include "views.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon.h"
#include "instance.h"
#include "lib/client.h"
#include "lib/mac.h"
#include "machine/admission.h"
#include "machine/machine.h"
#include "session.h"
#include "trace/trace.h"
#include "virt/virt.h"
#include "workload.h"

json_t *view_counters(const struct sp_counter *c)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "rx_frames", (json_int_t)c->rx_frames,
			 "rx_bytes", (json_int_t)c->rx_bytes, "tx_frames", (json_int_t)c->tx_frames,
			 "tx_bytes", (json_int_t)c->tx_bytes, "drops", (json_int_t)c->drops,
			 "drop_bytes", (json_int_t)c->drop_bytes);
}

static json_t *counters_of(struct daemon *d, uint32_t port)
{
	struct sp_counter c = {0};

	dataplane_counter_get(d->dp, port, &c);
	return view_counters(&c);
}

json_t *view_user(const struct store_user *u)
{
	return json_pack(
		"{s:I, s:s, s:I, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:I, s:I, s:b}",
		"id", (json_int_t)u->id, "name", u->name, "segment", (json_int_t)u->segment,
		"disabled", u->disabled, "address", u->address, "address6", u->address6,
		"max_sessions", (json_int_t)u->max_sessions, "max_macs", (json_int_t)u->max_macs,
		"max_machines", (json_int_t)u->max_machines, "max_memory_mib",
		(json_int_t)u->max_memory_mib, "max_vcpus", (json_int_t)u->max_vcpus, "rate_bytes",
		(json_int_t)u->rate_bytes, "rate_frames", (json_int_t)u->rate_frames,
		"max_user_macs", (json_int_t)u->max_user_macs, "max_flows",
		(json_int_t)u->max_flows, "new_flows", (json_int_t)u->new_flows, "created",
		(json_int_t)u->created, "has_password", u->hash[0] != '\0');
}

/* Common names are bytes from a certificate: what is not UTF-8 is shown as '?'. */
json_t *view_text(const char *s)
{
	json_t *j = json_string(s);
	char copy[SP_CN_MAX];

	if (j)
		return j;
	snprintf(copy, sizeof(copy), "%s", s);
	for (char *p = copy; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(copy);
}

json_t *view_session(struct daemon *d, const struct session *s)
{
	char remote[SP_ADDR_STRLEN + 8], mac[MAC_STRLEN], trace[17];
	json_t *macs = json_array(), *j;

	snprintf(remote, sizeof(remote), strchr(s->key.ip, ':') ? "[%s]:%u" : "%s:%u", s->key.ip,
		 s->key.port);
	for (const struct binding *b = s->member.bindings; b; b = b->owner_next)
		json_array_append_new(macs, json_string(mac_format(b->mac, mac)));
	j = json_pack("{s:I, s:s, s:I, s:s, s:o, s:s, s:I, s:I, s:i, s:I, s:o, s:s, s:s, s:o}",
		      "id", (json_int_t)s->id, "user", s->user, "segment",
		      (json_int_t)s->member.segment, "instance", s->instance->name, "common_name",
		      view_text(s->key.common_name), "remote", remote, "time_unix",
		      (json_int_t)s->key.time_unix, "started", (json_int_t)s->started, "vid",
		      s->member.dst.vid, "port", (json_int_t)s->member.dst.port, "macs", macs,
		      "address", s->address, "address6", s->address6, "counters",
		      counters_of(d, s->member.dst.port));
	trace_format_id(s->trace, trace);
	if (s->trace)
		json_object_set_new(j, "trace", json_string(trace));
	return j;
}

json_t *view_workload(struct daemon *d, const struct workload *w)
{
	char mac[MAC_STRLEN];
	json_t *j =
		json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "user", w->row.user,
			  "name", w->row.name, "segment", (json_int_t)w->row.segment, "netns",
			  w->row.netns, "ifname", w->row.ifname, "mac", mac_format(w->row.mac, mac),
			  "state", w->up ? "up" : "waiting", "device", w->link.name, "ifindex",
			  (json_int_t)w->link.ifindex, "port", (json_int_t)w->member.dst.port);

	if (w->reason)
		json_object_set_new(j, "reason", json_string(w->reason));
	return j;
}

json_t *view_instance(struct daemon *d, const struct instance *i)
{
	struct vids_count c;
	json_t *j;

	vids_count(i->vids, client_now_us(), &c);
	j = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:i, s:i, s:i, s:i}", "name", i->name, "mode",
		      i->config->vlan_mode ? "vlan" : "mac", "tap", i->config->tap, "ifindex",
		      (json_int_t)i->link.ifindex, "state", instance_state_name(i->state),
		      "management",
		      !i->config->management	       ? "none"
		      : i->mgmt && mgmt_is_up(i->mgmt) ? "connected"
						       : "disconnected",
		      "sessions", i->n_sessions, "vids_used", c.used, "vids_resting", c.resting,
		      "vids_free", c.free);
	if (i->reason)
		json_object_set_new(j, "reason", json_string(i->reason));
	if (i->openvpn_pid)
		json_object_set_new(j, "openvpn_pid", json_integer(i->openvpn_pid));
	return j;
}

static json_t *view_libvirt(struct daemon *d)
{
	static const char *const accels[] = {"unknown", "kvm", "tcg"};
	const char *why = "";
	enum virt_accel accel;

	if (!d->virt)
		return json_pack("{s:s, s:s}", "uri", d->config->virt_uri, "state",
				 "not asked yet");
	accel = virt_accel(d->virt, &why);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "uri", d->config->virt_uri, "state",
			 virt_is_up(d->virt) ? "connected" : "disconnected", "what",
			 virt_describe(d->virt), "error", virt_trouble(d->virt), "accel",
			 accels[accel], "accel_why", why ? why : "", "orphans",
			 (json_int_t)machine_virt_orphans(d));
}

static json_t *view_resources(const struct resources *r)
{
	return json_pack("{s:I, s:I, s:I}", "machines", (json_int_t)r->machines, "memory_mib",
			 (json_int_t)r->memory_mib, "vcpus", (json_int_t)r->vcpus);
}

static json_t *view_machines(struct daemon *d)
{
	json_t *states = json_object();
	struct resources held, max;

	for (const struct machine *m = d->machines; m; m = m->hh_id.next) {
		const char *state = machine_state_text(m);
		json_int_t n = json_integer_value(json_object_get(states, state));

		json_object_set_new(states, state, json_integer(n + 1));
	}
	admission_held(d, &held);
	admission_limits(d, &max);
	return json_pack("{s:I, s:o, s:I, s:o, s:o}", "total",
			 (json_int_t)HASH_CNT(hh_id, d->machines), "states", states, "queued",
			 (json_int_t)admission_waiting(d), "held", view_resources(&held), "limits",
			 view_resources(&max));
}

static json_t *view_http(const struct daemon *d)
{
	json_t *j = json_pack("{s:s}", "listen", d->config->metrics_listen);

	if (j && d->http_error)
		json_object_set_new(j, "error", json_string(d->http_error));
	return j;
}

static json_t *view_flows(const struct daemon *d)
{
	struct slots_sum s;

	slots_sum(d, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "segments", (json_int_t)s.slots,
			 "in_use", (json_int_t)s.flows, "max", (json_int_t)s.flows_max, "opened",
			 (json_int_t)s.opened, "expired", (json_int_t)s.expired, "refused_full",
			 (json_int_t)s.full, "refused_rate", (json_int_t)s.over_rate);
}

json_t *view_status(struct daemon *d)
{
	const struct dataplane_features *f = dataplane_features(d->dp);
	json_t *instances = json_array(), *store, *j;
	unsigned int bindings = 0;
	uint32_t rules, max_rules;
	struct session *s;
	struct instance *i;

	DL_FOREACH(d->instances, i)
	json_array_append_new(instances, view_instance(d, i));
	for (s = d->sessions_by_id; s; s = s->hh_id.next)
		bindings += s->member.n_bindings;
	for (struct workload *w = d->workloads; w; w = w->hh.next)
		bindings += w->member.n_bindings;
	store = json_pack("{s:s, s:s?, s:s?, s:b}", "type",
			  d->config->store_mysql ? "mysql" : "sqlite", "description", d->store_name,
			  "path", d->config->store_mysql ? NULL : d->config->store_path, "ok",
			  !d->store_error);
	if (d->store_error)
		json_object_set_new(store, "error", json_string(d->store_error));
	j = json_pack("{s:s, s:i, s:i, s:I, s:i, s:i, s:i, s:{s:b, s:b}, s:o, s:o, s:o, s:o, s:o}",
		      "version", SP_VERSION, "abi", SP_ABI_VERSION, "pid", (int)getpid(),
		      "uptime_s", (json_int_t)((client_now_us() - d->started_us) / 1000000),
		      "sessions", d->n_sessions, "workloads", HASH_CNT(hh, d->workloads),
		      "bindings", bindings, "features", "tcx", f->tcx, "xdp_native", f->xdp_native,
		      "store", store, "libvirt", view_libvirt(d), "machines", view_machines(d),
		      "instances", instances, "stages", trace_summary(d->traces));
	dataplane_rules_used(d->dp, &rules, &max_rules);
	json_object_set_new(
		j, "rules",
		json_pack("{s:I, s:I}", "used", (json_int_t)rules, "max", (json_int_t)max_rules));
	json_object_set_new(j, "flows", view_flows(d));
	if (d->config->metrics_listen)
		json_object_set_new(j, "metrics", view_http(d));
	return j;
}

json_t *view_reasons(struct daemon *d)
{
	json_t *list = json_array();

	for (unsigned int n = 1; n < _SP_R_MAX; n++) {
		struct sp_reason_count c = {0};

		if (!sp_reason_exists(n))
			continue;
		dataplane_reason_get(d->dp, n, &c);
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "name",
						      sp_reason_name(n), "text", sp_reason_text(n),
						      "frames", (json_int_t)c.frames, "bytes",
						      (json_int_t)c.bytes, "sampled",
						      (json_int_t)c.sampled));
	}
	return list;
}

static json_t *port(struct daemon *d, uint32_t n, unsigned int kind, const char *name,
		    const char *user, uint32_t segment, const char *device)
{
	return json_pack("{s:I, s:s, s:s, s:s, s:I, s:s, s:o}", "port", (json_int_t)n, "kind",
			 sp_port_kind_name(kind), "name", name, "user", user, "segment",
			 (json_int_t)segment, "device", device, "counters", counters_of(d, n));
}

json_t *view_instance_port(struct daemon *d, const struct instance *i)
{
	return port(d, i->port, SP_PORT_VPN, i->name, "", 0, i->config->tap);
}

json_t *view_workload_port(struct daemon *d, const struct workload *w)
{
	char name[2 * SP_NAME_MAX];

	snprintf(name, sizeof(name), "%s/%s", w->row.user, w->row.name);
	return port(d, w->member.dst.port, SP_PORT_NETNS, name, w->row.user, w->row.segment,
		    w->link.name);
}

json_t *view_machine_port(struct daemon *d, const struct machine *m)
{
	char name[2 * SP_NAME_MAX];

	return port(d, m->member.dst.port, SP_PORT_MACHINE, machine_label(m, name), m->row.user,
		    m->row.segment, m->link.name);
}

json_t *view_session_port(struct daemon *d, const struct session *s)
{
	char name[SP_NAME_MAX + 24];

	snprintf(name, sizeof(name), "%s#%llu", s->user, (unsigned long long)s->id);
	return port(d, s->member.dst.port, SP_PORT_VPN, name, s->user, s->member.segment,
		    s->instance->config->tap);
}
