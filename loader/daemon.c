/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's life: set up, take down. What a reload changes: reload.c */
#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "ends.h"
#include "instance.h"
#include "lease.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "machine/admission.h"
#include "machine/machine.h"
#include "monitor.h"
#include "ops.h"
#include "reconcile.h"
#include "session.h"
#include "trace/http.h"
#include "trace/metrics.h"
#include "trace/trace.h"
#include "virt/virt.h"
#include "workload.h"

void daemon_store_state(struct daemon *d, const char *error)
{
	if (error)
		metrics_note(d->metrics, METRICS_STORE_ERROR);
	else
		ends_flush(d->ends);
	if (!error == !d->store_error)
		return;
	free(d->store_error);
	d->store_error = error ? strdup(error) : NULL;
	log_event(error ? LOG_ERR : LOG_NOTICE,
		  error ? "the store fails: new logins are put off" : "the store works again",
		  "ERROR", error ? error : "", NULL);
}

/* --- audit --- */

struct audit_job {
	struct job job;
	struct daemon *daemon;
	char who[32], what[32];
	char object[2 * SP_NAME_MAX + 2];
	char *detail;
	int r;
};

static void audit_run(struct job *job, struct store *store)
{
	struct audit_job *a = (struct audit_job *)job;

	a->r = store_audit_add(store, a->who, a->what, a->object, a->detail);
}

static void audit_done(struct job *job)
{
	struct audit_job *a = (struct audit_job *)job;

	if (a->r < 0)
		log_event(LOG_ERR, "the audit line was not stored", "WHAT", a->what, "OBJECT",
			  a->object, "ERROR", strerror(-a->r), NULL);
	free(a->detail);
	free(a);
}

void daemon_audit(struct daemon *d, uid_t uid, const char *what, const char *object,
		  const char *detail)
{
	struct audit_job *a = calloc(1, sizeof(*a));

	log_event(LOG_INFO, "operator", "WHAT", what, "OBJECT", object, "DETAIL",
		  detail ? detail : "", NULL);
	if (!a)
		return;
	a->job.run = audit_run;
	a->job.done = audit_done;
	a->daemon = d;
	snprintf(a->who, sizeof(a->who), "uid:%u", uid);
	snprintf(a->what, sizeof(a->what), "%s", what);
	snprintf(a->object, sizeof(a->object), "%s", object);
	a->detail = detail ? strdup(detail) : NULL;
	if (workers_submit(d->workers, WORKER_STORE, &a->job) < 0) {
		a->r = -EAGAIN;
		audit_done(&a->job);
	}
}

/* --- set up --- */

static int open_store(struct daemon *d)
{
	struct store_options o;
	_cleanup_free_
	char *error = NULL;
	int r;

	config_store_options(d->config, &o);
	r = store_open(&o, &d->store, &error);
	if (r == 0 && store_is_shared(d->store))
		r = store_open(&o, &d->claims, &error);
	if (r < 0) {
		log_event(LOG_ERR, "the store cannot be opened", "ERROR",
			  error ? error : strerror(-r), NULL);
		return r;
	}
	d->store_name = strdup(store_describe(d->store));
	log_event(LOG_INFO, "store", "STORE", store_describe(d->store), NULL);
	return d->store_name ? 0 : -ENOMEM;
}

static int open_dataplane(struct daemon *d)
{
	const struct config *c = d->config;
	const struct dataplane_options o = {
		.bpffs = c->bpffs,
		.pin_dir = c->pin_dir,
		.max_bindings = c->max_bindings,
		.max_ports = c->max_ports,
		.sampling = c->sampling,
		.sample_ns = (uint64_t)c->sample_ms * 1000000,
	};
	_cleanup_free_
	char *error = NULL;
	int r = dataplane_open(&o, &d->dp, &error);

	if (r < 0) {
		log_event(LOG_ERR, "the dataplane cannot be opened", "ERROR",
			  error ? error : strerror(-r), NULL);
		return r;
	}
	log_event(LOG_INFO, "dataplane", "TC", dataplane_features(d->dp)->tcx ? "tcx" : "clsact",
		  NULL);
	d->portnums = portnum_new(c->max_ports);
	return d->portnums ? 0 : -ENOMEM;
}

static int make_instances(struct daemon *d)
{
	for (size_t n = 0; n < d->config->n_instances; n++) {
		struct instance *i;
		int r = instance_new(d, &d->config->instances[n], &i);

		if (r < 0)
			return r;
	}
	return 0;
}

static int make_workload(const struct store_workload *row, void *arg)
{
	return workload_new(arg, row, NULL);
}

/* One that cannot be taken over is said, and stops nothing else. */
static int make_machine(const struct store_machine *row, void *arg)
{
	struct machine *m;
	int r = machine_new(arg, row, &m);

	if (r < 0)
		return r;
	r = machine_port_adopt(m);
	if (r < 0)
		log_event(LOG_ERR, "a machine's port could not be taken over", "USER", row->user,
			  "MACHINE", row->name, "ERROR", strerror(-r), NULL);
	return 0;
}

static void on_link(const struct link_info *info, bool gone, void *arg)
{
	instance_link_changed(arg, info, gone);
}

static bool is_hook_uid(void *context, uid_t uid)
{
	struct daemon *d = context;
	struct instance *i;

	DL_FOREACH(d->instances, i)
	if (i->config->uid == uid)
		return true;
	return false;
}

/*
 * The first thing that is taken: it is also what keeps a second daemon away from the maps. Callers
 * wait in its backlog until we are ready.
 */
static int listen_on(struct daemon *d)
{
	int fd = control_listen(d->config->socket);

	if (fd < 0)
		log_event(LOG_ERR, "the control socket cannot be made", "PATH", d->config->socket,
			  "ERROR",
			  fd == -EADDRINUSE ? "another sallyportd answers there" : strerror(-fd),
			  NULL);
	return fd;
}

static int open_control(struct daemon *d, int listen_fd)
{
	const struct control_config c = {.ops = daemon_ops,
					 .context = d,
					 .admin_gid = d->config->admin_gid,
					 .is_hook_uid = is_hook_uid};

	return control_new(d->event, listen_fd, &c, &d->control);
}

/* The store is still this thread's. */
static int read_limits(struct daemon *d)
{
	struct store_user u;
	int r = 0;

	for (struct presence *p = d->presences; p && r == 0; p = p->hh.next) {
		r = store_user_get(d->store, p->user, &u);
		if (r == 0)
			presence_set_limits(d, &u);
		explicit_bzero(u.hash, sizeof(u.hash));
		r = r == -ENOENT ? 0 : r;
	}
	return r;
}

/* What is, before anything new: the store and the device maps are still this thread's. */
static int restore(struct daemon *d)
{
	int r = reconcile_reserve(d);

	r = r ?: ends_new(d, &d->ends);
	r = r ?: admission_new(d, &d->admission);
	d->restoring = true;
	r = r ?: link_watch_new(d->event, on_link, d, &d->links);
	r = r ?: make_instances(d);
	r = r ?: workload_watch(d);
	r = r < 0 ? r : store_workload_each(d->store, make_workload, d);
	r = r ?: store_machine_each(d->store, make_machine, d);
	r = r ?: read_limits(d);
	return r ?: reconcile(d);
}

/* Resumes and the like: milliseconds each, so that a few threads do for many machines. */
#define SWIFT_THREADS 4

/* From here on the stores are the workers'. */
static int start_workers(struct daemon *d)
{
	const struct workers_config c = {.store = d->store,
					 .claims = d->claims,
					 .n_cpu = d->config->workers,
					 .n_virt = d->config->virt_calls,
					 .n_swift = SWIFT_THREADS};

	return workers_new(d->event, &c, &d->workers);
}

/* libvirt is asked for nothing where there is no machine. */
static int start_machines(struct daemon *d)
{
	struct machine *m, *next;
	int r = d->machines ? machine_virt_start(d) : 0;

	HASH_ITER(hh_id, d->machines, m, next)
	machine_advance(m);
	return r;
}

void daemon_open_http(struct daemon *d)
{
	const char *listen = d->config->metrics_listen;
	int r = listen ? http_new(d->event, d->metrics, listen, &d->http) : 0;

	free(TAKE_PTR(d->http_error));
	if (r == 0)
		return;
	d->http_error = strdup(strerror(-r));
	log_event(LOG_ERR, "the metrics listener cannot be opened", "LISTEN", listen, "ERROR",
		  strerror(-r), NULL);
}

static int start(struct daemon *d, int *listen_fd)
{
	struct instance *i;
	int r = 0;

	if (*listen_fd < 0)
		*listen_fd = r = listen_on(d);
	r = r < 0 ? r : traces_new(&d->traces);
	r = r ?: metrics_new(d, &d->metrics);
	r = r ?: open_store(d);
	r = r ?: open_dataplane(d);
	r = r ?: restore(d);
	r = r ?: monitor_new(d, &d->monitor);
	r = r ?: start_workers(d);
	if (r == 0 && d->claims)
		r = lease_new(d, &d->lease);
	r = r ?: machine_notice_watch(d);
	machine_metrics(d);
	r = r ?: start_machines(d);
	DL_FOREACH(d->instances, i)
	r = r ?: instance_start(i);
	r = r ?: open_control(d, TAKE_FD(*listen_fd));
	if (r == 0)
		daemon_open_http(d);
	return r;
}

int daemon_new(struct config *config, int listen_fd, struct daemon **ret)
{
	struct daemon *d = calloc(1, sizeof(*d));
	_cleanup_close_
	int fd = listen_fd;
	int r;

	if (!d)
		return -ENOMEM;
	d->config = config;
	d->netns_fd = -1;
	d->started_us = client_now_us();
	r = sd_event_default(&d->event);
	if (r >= 0)
		r = start(d, &fd);
	if (r < 0) {
		d->config = NULL; /* still the caller's */
		daemon_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

int daemon_run(struct daemon *d)
{
	return loop_run(d->event, &d->loop);
}

static void free_sessions(struct daemon *d)
{
	struct session *s, *next;

	HASH_ITER(hh_key, d->sessions_by_key, s, next)
	{
		while (s->member.bindings) {
			struct binding *b = s->member.bindings;

			s->member.bindings = b->owner_next;
			free(b);
		}
		HASH_DELETE(hh_key, d->sessions_by_key, s);
		free(s);
	}
}

static void free_tables(struct daemon *d)
{
	struct segment *g, *gnext;
	struct workload *w, *wnext;
	struct machine *m, *mnext;

	HASH_CLEAR(hh, d->bindings);
	HASH_CLEAR(hh_id, d->sessions_by_id);
	free_sessions(d);
	HASH_ITER(hh, d->workloads, w, wnext)
	{
		while (w->member.bindings) {
			struct binding *b = w->member.bindings;

			w->member.bindings = b->owner_next;
			free(b);
		}
		workload_free(w);
	}
	HASH_ITER(hh_id, d->machines, m, mnext)
	{
		m->busy = false;
		machine_free(m);
	}
	HASH_ITER(hh, d->segments, g, gnext)
	{
		HASH_DEL(d->segments, g);
		free(g);
	}
}

struct daemon *daemon_free(struct daemon *d)
{
	if (!d)
		return NULL;
	/* First what still answers, then what is answered from. */
	if (d->workers)
		ends_flush(d->ends);
	if (d->virt)
		virt_shutdown(d->virt);
	d->workers = workers_free(d->workers);
	d->virt = virt_free(d->virt);
	machine_notice_unwatch(d);
	machine_virt_stop(d);
	d->lease = lease_free(d->lease);
	d->ends = ends_free(d->ends);
	d->http = http_free(d->http);
	d->metrics = metrics_free(d->metrics);
	d->control = control_free(d->control);
	d->monitor = monitor_free(d->monitor);
	free_tables(d);
	d->admission = admission_free(d->admission);
	while (d->instances)
		instance_free(d->instances, false);
	link_watch_free(d->links);
	sd_event_source_disable_unref(d->netns_source);
	if (d->netns_fd >= 0)
		close(d->netns_fd);
	portnum_free(d->portnums);
	dataplane_close(d->dp);
	store_close(d->store);
	store_close(d->claims);
	sd_event_unref(d->event);
	config_free(d->config);
	traces_free(d->traces);
	free(d->store_error);
	free(d->http_error);
	free(d->store_name);
	free(d);
	return NULL;
}
