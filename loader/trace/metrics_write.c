/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which numbers are there, under which names? docs/metrics.md says the same in words. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon.h"
#include "exposition.h"
#include "instance.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "metrics_internal.h"
#include "process.h"
#include "session.h"
#include "trace.h"
#include "workload.h"

#define LABEL(name, value) (&(const struct label){name, value})

static void put_daemon(const struct metrics *m, FILE *f)
{
	const struct daemon *d = m->daemon;
	char abi[12];

	snprintf(abi, sizeof(abi), "%d", SP_ABI_VERSION);
	exposition_family(f, "sallyport_build_info", "gauge",
			  "Always 1; the labels say what runs.");
	exposition_count(f, "sallyport_build_info",
			 (const struct label[]){{"version", SP_VERSION}, {"abi", abi}}, 2, 1);
	exposition_family(f, "sallyport_uptime_seconds", "gauge", "Since the daemon started.");
	exposition_real(f, "sallyport_uptime_seconds", NULL, 0,
			(double)(client_now_us() - d->started_us) / 1e6);
}

/* --- instances --- */

static void put_instance_states(const struct daemon *d, FILE *f)
{
	unsigned int n[INSTANCE_UP + 1] = {0};
	const struct instance *i;

	exposition_family(f, "sallyport_instances", "gauge", "OpenVPN instances by state.");
	DL_FOREACH(d->instances, i)
	n[i->state]++;
	for (unsigned int state = 0; state < SP_ARRAY_SIZE(n); state++)
		exposition_count(f, "sallyport_instances",
				 LABEL("state", instance_state_name(state)), 1, n[state]);
}

static void put_vids(const struct daemon *d, FILE *f)
{
	static const char *const names[] = {"used", "resting", "free"};
	const struct instance *i;

	exposition_family(f, "sallyport_vids", "gauge",
			  "VLAN ids of an instance in VLAN mode, by what they do.");
	DL_FOREACH(d->instances, i)
	{
		struct vids_count c;

		if (!i->config->vlan_mode)
			continue;
		vids_count(i->vids, client_now_us(), &c);
		for (unsigned int k = 0; k < SP_ARRAY_SIZE(names); k++)
			exposition_count(
				f, "sallyport_vids",
				(const struct label[]){{"openvpn", i->name}, {"state", names[k]}},
				2,
				k == 0	 ? c.used
				: k == 1 ? c.resting
					 : c.free);
	}
}

static void put_sessions(const struct daemon *d, FILE *f)
{
	const struct instance *i;

	exposition_family(f, "sallyport_sessions", "gauge", "Live sessions by OpenVPN instance.");
	DL_FOREACH(d->instances, i)
	exposition_count(f, "sallyport_sessions", LABEL("openvpn", i->name), 1, i->n_sessions);
}

/* --- what is behind them --- */

static void put_workloads(const struct daemon *d, FILE *f)
{
	unsigned int up = 0, bindings = 0;

	for (const struct workload *w = d->workloads; w; w = w->hh.next) {
		up += w->up;
		bindings += w->member.n_bindings;
	}
	for (const struct session *s = d->sessions_by_id; s; s = s->hh_id.next)
		bindings += s->member.n_bindings;
	exposition_family(f, "sallyport_workloads", "gauge", "Workloads by state.");
	exposition_count(f, "sallyport_workloads", LABEL("state", "up"), 1, up);
	exposition_count(f, "sallyport_workloads", LABEL("state", "waiting"), 1,
			 HASH_CNT(hh, d->workloads) - up);
	exposition_family(f, "sallyport_bindings", "gauge",
			  "MAC addresses that are bound to a session or workload.");
	exposition_count(f, "sallyport_bindings", NULL, 0, bindings);
}

static void put_machines(const struct metrics *m, FILE *f)
{
	struct metrics_state states[METRICS_STATES_MAX];
	size_t n = m->machines ? m->machines->states(m->daemon, states, SP_ARRAY_SIZE(states)) : 0;

	exposition_family(f, "sallyport_machines", "gauge", "Virtual machines by state.");
	for (size_t i = 0; i < n; i++)
		exposition_count(f, "sallyport_machines", LABEL("state", states[i].name), 1,
				 states[i].n);
}

/* --- traffic --- */

static void put_ports(const struct metrics *m, FILE *f)
{
	static const unsigned int kinds[] = {SP_PORT_VPN, SP_PORT_NETNS, SP_PORT_MACHINE};
	static const struct {
		const char *name, *help;
		size_t rx, tx;
	} families[] = {
		{"sallyport_port_frames_total",
		 "Frames that came in by ports of a kind and were forwarded (rx), or left by them "
		 "(tx).",
		 offsetof(struct sp_counter, rx_frames), offsetof(struct sp_counter, tx_frames)},
		{"sallyport_port_bytes_total", "The bytes of those frames.",
		 offsetof(struct sp_counter, rx_bytes), offsetof(struct sp_counter, tx_bytes)},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(families); i++) {
		exposition_family(f, families[i].name, "counter", families[i].help);
		for (size_t k = 0; k < SP_ARRAY_SIZE(kinds); k++) {
			const char *c = (const char *)&m->told[kinds[k]];
			struct label labels[] = {{"kind", sp_port_kind_name(kinds[k])},
						 {"direction", "rx"}};

			exposition_count(f, families[i].name, labels, 2,
					 *(const __u64 *)(c + families[i].rx));
			labels[1].value = "tx";
			exposition_count(f, families[i].name, labels, 2,
					 *(const __u64 *)(c + families[i].tx));
		}
	}
}

static void put_drops(const struct daemon *d, FILE *f)
{
	struct sp_reason_count c[_SP_R_MAX] = {0};

	for (unsigned int n = 1; n < _SP_R_MAX; n++)
		dataplane_reason_get(d->dp, n, &c[n]);
	exposition_family(f, "sallyport_drops_total", "counter",
			  "Frames that were dropped, by reason, since the dataplane was made.");
	for (unsigned int n = 1; n < _SP_R_MAX; n++)
		if (sp_reason_exists(n))
			exposition_count(f, "sallyport_drops_total",
					 LABEL("reason", sp_reason_name(n)), 1, c[n].frames);
	exposition_family(f, "sallyport_drop_bytes_total", "counter", "The bytes of those frames.");
	for (unsigned int n = 1; n < _SP_R_MAX; n++)
		if (sp_reason_exists(n))
			exposition_count(f, "sallyport_drop_bytes_total",
					 LABEL("reason", sp_reason_name(n)), 1, c[n].bytes);
}

/* --- flows --- */

static void put_flows(const struct daemon *d, FILE *f)
{
	struct sp_collector c = {0};
	struct slots_sum s;

	slots_sum(d, &s);
	exposition_family(f, "sallyport_flows", "gauge",
			  "Connections that are tracked at machines' ports.");
	exposition_count(f, "sallyport_flows", NULL, 0, s.flows);
	exposition_family(f, "sallyport_flows_max", "gauge",
			  "The budgets of all segments that have machines up, together.");
	exposition_count(f, "sallyport_flows_max", NULL, 0, s.flows_max);
	exposition_family(f, "sallyport_flow_tables", "gauge",
			  "Segments that have tables for flows.");
	exposition_count(f, "sallyport_flow_tables", NULL, 0, s.slots);
	exposition_family(f, "sallyport_flows_opened_total", "counter", "Flows that began.");
	exposition_count(f, "sallyport_flows_opened_total", NULL, 0, s.opened);
	exposition_family(f, "sallyport_flows_expired_total", "counter",
			  "Flows whose time ran out, and that were collected.");
	exposition_count(f, "sallyport_flows_expired_total", NULL, 0, s.expired);
	exposition_family(f, "sallyport_flows_refused_total", "counter",
			  "Frames that would have begun a flow and were over a segment's budget.");
	exposition_count(f, "sallyport_flows_refused_total", LABEL("why", "full"), 1, s.full);
	exposition_count(f, "sallyport_flows_refused_total", LABEL("why", "rate"), 1, s.over_rate);
	if (dataplane_collector_get(d->dp, &c) < 0)
		return;
	exposition_family(f, "sallyport_flow_collection_seconds_total", "counter",
			  "CPU time of the collection of flows, in the kernel.");
	exposition_real(f, "sallyport_flow_collection_seconds_total", NULL, 0,
			(double)c.total_ns / 1e9);
	exposition_family(f, "sallyport_flow_collection_longest_seconds", "gauge",
			  "The longest that one piece of it took.");
	exposition_real(f, "sallyport_flow_collection_longest_seconds", NULL, 0,
			(double)c.longest_ns / 1e9);
}

/* --- what was decided --- */

static void put_decisions(const struct metrics *m, FILE *f)
{
	static const struct {
		const char *name, *help, *result;
		enum metrics_event event;
	} rows[] = {
		{"sallyport_auth_total",
		 "Logins by result; a renewed key counts as one. retry: the client was told to "
		 "come again.",
		 "accept", METRICS_AUTH_ACCEPT},
		{NULL, NULL, "reject", METRICS_AUTH_REJECT},
		{NULL, NULL, "retry", METRICS_AUTH_RETRY},
		{"sallyport_connects_total", "Sessions that were asked for, by result.", "accept",
		 METRICS_CONNECT_ACCEPT},
		{NULL, NULL, "refuse", METRICS_CONNECT_REFUSE},
		{"sallyport_macs_total",
		 "MAC addresses that were asked for, by result; what the plugin refuses from "
		 "memory is not in it.",
		 "allow", METRICS_MAC_ALLOW},
		{NULL, NULL, "refuse", METRICS_MAC_REFUSE},
	};
	const char *name = NULL;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		if (rows[i].name) {
			name = rows[i].name;
			exposition_family(f, name, "counter", rows[i].help);
		}
		exposition_count(f, name, LABEL("result", rows[i].result), 1,
				 m->events[rows[i].event]);
	}
}

static void put_store(const struct metrics *m, FILE *f)
{
	exposition_family(f, "sallyport_store_up", "gauge",
			  "Whether the last call of the store went well.");
	exposition_count(f, "sallyport_store_up", NULL, 0, !m->daemon->store_error);
	exposition_family(f, "sallyport_store_errors_total", "counter",
			  "Calls of the store that failed.");
	exposition_count(f, "sallyport_store_errors_total", NULL, 0,
			 m->events[METRICS_STORE_ERROR]);
}

/* --- how long it took --- */

static void put_times(const struct traces *t, FILE *f)
{
	exposition_family(f, "sallyport_stage_seconds", "histogram",
			  "How long a stage of a login or of a machine's start took.");
	for (unsigned int i = 0; i < _TRACE_STAGES_MAX; i++)
		if (trace_stage_is_measured(i))
			exposition_histogram(f, "sallyport_stage_seconds",
					     LABEL("stage", trace_stage_name(i)),
					     trace_stage_histogram(t, i));
	exposition_family(f, "sallyport_span_seconds", "histogram",
			  "How long several stages together took.");
	for (unsigned int i = 0; i < _TRACE_SPANS_MAX; i++)
		exposition_histogram(f, "sallyport_span_seconds", LABEL("span", trace_span_name(i)),
				     trace_span_histogram(t, i));
}

/* --- the daemon itself --- */

static void put_loop(const struct daemon *d, FILE *f)
{
	exposition_family(f, "sallyport_control_clients", "gauge",
			  "Connections to the control socket.");
	exposition_count(f, "sallyport_control_clients", NULL, 0, control_clients(d->control));
	exposition_family(f, "sallyport_loop_longest_seconds", "gauge",
			  "The longest turn of the event loop in the last one to two minutes.");
	exposition_real(f, "sallyport_loop_longest_seconds", NULL, 0,
			(double)loop_longest_ns(&d->loop, loop_now_ns()) / 1e9);
	exposition_family(f, "sallyport_loop_busy_seconds_total", "counter",
			  "Time that the event loop was not waiting.");
	exposition_real(f, "sallyport_loop_busy_seconds_total", NULL, 0,
			(double)d->loop.busy_ns / 1e9);
	exposition_family(f, "sallyport_loop_turns_total", "counter", "Turns of the event loop.");
	exposition_count(f, "sallyport_loop_turns_total", NULL, 0, d->loop.turns);
}

/* Under the names that Prometheus's own libraries give them. */
static void put_process(const struct metrics *m, FILE *f)
{
	struct process_stats p;

	process_look(&p);
	exposition_family(f, "process_resident_memory_bytes", "gauge",
			  "Memory of the daemon that is not swapped out.");
	exposition_count(f, "process_resident_memory_bytes", NULL, 0, p.resident_bytes);
	exposition_family(f, "process_cpu_seconds_total", "counter",
			  "User and system time of the daemon.");
	exposition_real(f, "process_cpu_seconds_total", NULL, 0, (double)p.cpu_us / 1e6);
	exposition_family(f, "process_open_fds", "gauge", "Descriptors that are open.");
	exposition_count(f, "process_open_fds", NULL, 0, p.open_fds);
	exposition_family(f, "process_max_fds", "gauge", "Descriptors that may be open.");
	exposition_count(f, "process_max_fds", NULL, 0, p.max_fds);
	exposition_family(f, "process_start_time_seconds", "gauge",
			  "When the daemon started, since the epoch.");
	exposition_real(f, "process_start_time_seconds", NULL, 0, m->started);
}

void metrics_write(struct metrics *m, FILE *f)
{
	const struct daemon *d = m->daemon;

	put_daemon(m, f);
	put_instance_states(d, f);
	put_vids(d, f);
	put_sessions(d, f);
	put_workloads(d, f);
	put_machines(m, f);
	put_ports(m, f);
	put_drops(d, f);
	put_flows(d, f);
	put_decisions(m, f);
	put_store(m, f);
	put_times(d->traces, f);
	put_loop(d, f);
	put_process(m, f);
}
