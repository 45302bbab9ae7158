/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon without devices, for unit tests. */
#include "host.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "lib/client.h"
#include "loader/ends.h"
#include "loader/log.h"
#include "loader/machine/admission.h"
#include "loader/machine/machine.h"
#include "loader/monitor.h"
#include "loader/trace/metrics.h"
#include "loader/trace/trace.h"
#include "loader/vid.h"

#define JOIN_US 5000000

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "host: %s: %s\n", what, strerror(-r));
	abort();
}

static void configure(struct host *h)
{
	static const char *const names[] = {"vlan", "mac", "mac2"};
	struct config *c = &h->config;

	c->admin_gid = HOST_ADMIN_GID;
	c->workers = 2;
	c->max_sessions = 4;
	c->max_macs = 3;
	c->max_ports = 4096;
	c->flows = c->max_flows = SP_FLOWS_MIN;
	for (int i = 0; i < _CONFIG_TIMEOUTS; i++)
		c->timeout_s[i] = 60;
	c->max_bindings = 4096;
	c->vid_rest_s = SP_VID_REST_S;
	memcpy(h->reserved[0], "\x02\0\0\0\0\xfe", 6);
	c->reserved = h->reserved;
	c->n_reserved = 1;
	c->store_path = h->db;
	c->ladder = (char *)"pause 10m then save";
	c->grace_s = 60;
	c->instances = h->configs;
	c->n_instances = HOST_INSTANCES;
	for (int i = 0; i < HOST_INSTANCES; i++) {
		struct config_instance *x = &h->configs[i];

		snprintf(x->name, sizeof(x->name), "%s", names[i]);
		snprintf(x->tap, sizeof(x->tap), "tap-%s", names[i]);
		x->vlan_mode = i == HOST_VLAN;
		x->uid = HOST_HOOK_UID;
		x->mtu = 1500;
	}
}

static void add_instance(struct host *h, int n)
{
	struct instance *i = calloc(1, sizeof(*i));

	i->daemon = &h->d;
	i->config = &h->configs[n];
	memcpy(i->name, i->config->name, sizeof(i->name));
	i->state = INSTANCE_UP;
	i->link = (struct link_info){
		.ifindex = HOST_IFINDEX + (uint32_t)n, .up = true, .carrier = true};
	memcpy(i->link.mac, "\x0a\0\0\0\0", 5);
	i->link.mac[5] = (uint8_t)n;
	i->vids = vids_new((uint64_t)SP_VID_REST_S * 1000000);
	DL_APPEND(h->d.instances, i);
	h->instances[n] = i;
}

int host_setup(void **state)
{
	const struct dataplane_options o = {
		.unpinned = true, .max_bindings = 4096, .max_ports = 4096};
	struct host *h = calloc(1, sizeof(*h));
	struct store_options so;
	struct daemon *d = &h->d;

	log_set_level(LOG_CRIT); /* what fails on purpose is not for the reader */
	strcpy(h->dir, "/tmp/sallyport-host-XXXXXX");
	if (!mkdtemp(h->dir) || chmod(h->dir, 0755) < 0)
		return -1;
	snprintf(h->db, sizeof(h->db), "%s/db", h->dir);
	snprintf(h->socket, sizeof(h->socket), "%s/socket", h->dir);
	configure(h);
	d->config = &h->config;
	so = (struct store_options){.path = h->db, .timeout_ms = 1000};
	must(sd_event_new(&d->event), "event loop");
	must(store_open(&so, &d->store, NULL), "store");
	must(dataplane_open(&o, &d->dp, NULL), "dataplane");
	must(traces_new(&d->traces), "traces");
	must(metrics_new(d, &d->metrics), "metrics");
	must(ends_new(d, &d->ends), "ends");
	must(monitor_new(d, &d->monitor), "monitor");
	must(admission_new(d, &d->admission), "admission");
	must(workers_new(d->event,
			 &(struct workers_config){.store = d->store, .n_cpu = 2, .n_swift = 1},
			 &d->workers),
	     "workers");
	d->portnums = portnum_new(4096);
	must(slots_set_timeouts(d), "timeouts");
	must(slots_adopt(d), "slots");
	d->netns_fd = -1;
	for (int n = 0; n < HOST_INSTANCES; n++)
		add_instance(h, n);
	*state = h;
	return 0;
}

int host_teardown(void **state)
{
	struct host *h = *state;
	struct daemon *d = &h->d;
	char command[128];

	for (int n = 0; n < HOST_INSTANCES; n++)
		session_end_instance(h->instances[n], 0, "the test is over");
	ends_flush(d->ends);
	workers_free(d->workers);
	d->workers = NULL;
	ends_free(d->ends);
	d->metrics = metrics_free(d->metrics);
	control_free(d->control);
	monitor_free(d->monitor);
	while (d->machines)
		machine_remove(d->machines);
	d->admission = admission_free(d->admission);
	while (d->instances)
		instance_free(d->instances, false);
	slots_forget(d);
	portnum_free(d->portnums);
	dataplane_close(d->dp);
	store_close(d->store);
	traces_free(d->traces);
	sd_event_unref(d->event);
	free(d->store_error);
	snprintf(command, sizeof(command), "rm -rf %s", h->dir);
	if (system(command) != 0)
		return -1;
	free(h);
	return 0;
}

/* --- the store's thread owns the store: ask it there, and wait --- */

struct ask {
	struct job job;
	struct store_user user;
	struct store_session row;
	int r;
	bool done;
};

static void ask_user(struct job *job, struct store *store)
{
	struct ask *a = (struct ask *)job;

	a->r = store_user_get(store, a->user.name, &a->user);
	if (a->r == -ENOENT)
		a->r = store_user_add(store, &a->user);
}

static void ask_session(struct job *job, struct store *store)
{
	struct ask *a = (struct ask *)job;

	a->r = store_session_begin(store, &a->row, 32);
}

static void on_asked(struct job *job)
{
	((struct ask *)job)->done = true;
}

static void ask(struct host *h, struct ask *a, void (*run)(struct job *job, struct store *store))
{
	a->job.run = run;
	a->job.done = on_asked;
	must(workers_submit(h->d.workers, WORKER_STORE, &a->job), "store thread");
	while (!a->done)
		must(sd_event_run(h->d.event, UINT64_MAX), "loop");
	must(a->r, "store");
}

uint32_t host_user(struct host *h, const char *name)
{
	struct ask a = {0};

	snprintf(a.user.name, sizeof(a.user.name), "%s", name);
	ask(h, &a, ask_user);
	return a.user.id;
}

/* --- */

struct session *host_session(struct host *h, enum host_instance n, const char *user, int64_t time)
{
	struct instance *i = h->instances[n];
	struct session_key key;
	struct session *s;
	struct ask a = {.row = {.user_id = host_user(h, user), .daemon_pid = HOST_PID}};

	session_key_set(&key, i->name, user, "192.0.2.1", 1194, time);
	snprintf(a.row.user, sizeof(a.row.user), "%s", user);
	memcpy(a.row.instance, key.instance, sizeof(key.instance));
	memcpy(a.row.common_name, key.common_name, sizeof(key.common_name));
	memcpy(a.row.trusted_ip, key.ip, sizeof(key.ip));
	a.row.trusted_port = key.port;
	a.row.time_unix = time;
	a.row.segment = a.row.user_id;
	a.row.vid = i->config->vlan_mode ? vids_get(i->vids, 1) : 0;
	ask(h, &a, ask_session);
	must(session_new(&h->d, i, &key, &s), "session");
	must(session_activate(s, &a.row, 0, h->config.max_macs), "activate");
	return s;
}

struct workload *host_workload(struct host *h, const char *user, const uint8_t mac[6],
			       const uint8_t device_mac[6])
{
	static uint32_t id;
	struct workload *w = calloc(1, sizeof(*w));

	w->daemon = &h->d;
	w->id = w->row.id = ++id;
	w->row.segment = host_user(h, user);
	snprintf(w->row.user, sizeof(w->row.user), "%s", user);
	memcpy(w->row.mac, mac, 6);
	w->link.ifindex = HOST_IFINDEX + 1000 + id;
	memcpy(w->link.mac, device_mac, 6);
	w->member = (struct member){
		.segment = w->row.segment,
		.generation = id,
		.workload = w,
		.dst = {.ifindex = w->link.ifindex,
			.port = portnum_get(h->d.portnums),
			.max_len = 1514,
			.kind = SP_PORT_NETNS},
	};
	HASH_ADD(hh, h->d.workloads, id, sizeof(w->id), w);
	must(segment_join(&h->d, &w->member), "join");
	segment_evict(&h->d, &w->member, mac);
	must(segment_bind(&h->d, &w->member, mac, 0), "bind");
	return w;
}

void host_remove(struct host *h, struct workload *w)
{
	segment_leave(&h->d, &w->member);
	portnum_put(h->d.portnums, w->member.dst.port);
	workload_free(w);
}

/* --- what the maps say --- */

bool host_has_binding(struct host *h, uint32_t ifindex, uint16_t vid, const uint8_t mac[6],
		      uint64_t generation)
{
	struct sp_bind_key key = {.ifindex = ifindex, .vid = vid};
	struct sp_bind value;

	memcpy(key.mac, mac, 6);
	return bpf_map_lookup_elem(dataplane_map_fd(h->d.dp, "bindings"), &key, &value) == 0 &&
	       value.generation == generation;
}

uint32_t host_fdb_port(struct host *h, uint32_t segment, const uint8_t mac[6])
{
	struct sp_fdb_key key = {.segment = segment};
	struct sp_dst value;

	memcpy(key.mac, mac, 6);
	return bpf_map_lookup_elem(dataplane_map_fd(h->d.dp, "fdb"), &key, &value) == 0 ? value.port
											: 0;
}

int host_flood_count(struct host *h, uint32_t segment)
{
	struct sp_flood value;

	return bpf_map_lookup_elem(dataplane_map_fd(h->d.dp, "flood"), &segment, &value) == 0
		       ? (int)value.count
		       : -1;
}

void host_settle(struct host *h, unsigned int ms)
{
	while (sd_event_run(h->d.event, ms * 1000ULL) > 0)
		;
}

/* --- machines --- */

struct machine *host_machine(struct host *h, const char *user, const char *name,
			     uint32_t memory_mib, uint32_t vcpus)
{
	static uint8_t next;
	struct store_machine row = {
		.id = ++next,
		.user_id = host_user(h, user),
		.memory_mib = memory_mib,
		.vcpus = vcpus,
		.mac = {0x52, 0x54, 0, 0, 0, next},
		.uuid = {next},
		.policy = {.start = START_CONNECT,
			   .grace_s = STORE_DEFAULT,
			   .idle_s = STORE_DEFAULT,
			   .min_up_s = STORE_DEFAULT},
	};
	struct machine *m;

	row.segment = row.user_id;
	snprintf(row.user, sizeof(row.user), "%s", user);
	snprintf(row.name, sizeof(row.name), "%s", name);
	must(machine_new(&h->d, &row, &m), "machine");
	return m;
}

void host_join(struct host *h, struct machine *m)
{
	uint64_t from = client_now_us();

	must(machine_port_sync(m), "port");
	while (!m->joined && client_now_us() - from < JOIN_US)
		sd_event_run(h->d.event, 20000);
	must(m->joined ? 0 : -ETIMEDOUT, "port");
}
