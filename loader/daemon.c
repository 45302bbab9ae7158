/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's life: set up, reload, take down. */
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
	const struct store_options o = {.path = d->config->store_path,
					.timeout_ms = d->config->store_timeout_ms};
	_cleanup_free_
	char *error = NULL;
	int r = store_open(&o, &d->store, &error);

	if (r < 0)
		log_event(LOG_ERR, "the store cannot be opened", "ERROR",
			  error ? error : strerror(-r), NULL);
	return r;
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

/*
 * A door for looking in, not for users: where it cannot be opened the daemon goes on without, says
 * so in its log and in `status`, and tries again on reload.
 */
static void open_http(struct daemon *d)
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
		open_http(d);
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
	free(d);
	return NULL;
}

/* --- reload --- */

static struct config_instance *find_config(const struct config *c, const char *name)
{
	for (size_t n = 0; n < c->n_instances; n++)
		if (strcmp(c->instances[n].name, name) == 0)
			return &c->instances[n];
	return NULL;
}

static bool same_tap(const struct config_instance *a, const struct config_instance *b)
{
	return strcmp(a->tap, b->tap) == 0 && a->vlan_mode == b->vlan_mode && a->mtu == b->mtu;
}

/* Instances that went, or whose tap is another. */
static void drop_instances(struct daemon *d, const struct config *next)
{
	struct instance *i, *tmp;

	DL_FOREACH_SAFE(d->instances, i, tmp)
	{
		struct config_instance *c = find_config(next, i->name);

		if (!c || !same_tap(i->config, c))
			instance_free(i, i->link.ifindex != 0);
		else
			i->config = c;
	}
}

static void add_instances(struct daemon *d)
{
	for (size_t n = 0; n < d->config->n_instances; n++) {
		struct config_instance *c = &d->config->instances[n];
		struct instance *i = instance_find(d, c->name);

		if (i)
			instance_retry(i);
		else if (instance_new(d, c, &i) < 0)
			i = NULL;
		if (i)
			instance_start(i);
		if (i)
			vids_set_rest(i->vids, (uint64_t)d->config->vid_rest_s * 1000000);
	}
}

static void warn_restart(const struct config *a, const struct config *b)
{
	const struct {
		const char *name;
		bool same;
	} checks[] = {
		{"[daemon] socket", strcmp(a->socket, b->socket) == 0},
		{"[daemon] workers", a->workers == b->workers},
		{"[store] path", strcmp(a->store_path, b->store_path) == 0},
		{"[store] timeout", a->store_timeout_ms == b->store_timeout_ms},
		{"[dataplane] max-bindings", a->max_bindings == b->max_bindings},
		{"[dataplane] max-ports", a->max_ports == b->max_ports},
		{"[dataplane] sampling", a->sampling == b->sampling},
		{"[dataplane] sample-interval", a->sample_ms == b->sample_ms},
		{"[machines] uri", strcmp(a->virt_uri, b->virt_uri) == 0},
		{"[machines] accel", strcmp(a->accel, b->accel) == 0},
		{"[machines] probe-kernel", strcmp(a->probe_kernel, b->probe_kernel) == 0},
		{"[machines] calls", a->virt_calls == b->virt_calls},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(checks); i++)
		if (!checks[i].same)
			log_event(LOG_WARNING, "changed, and takes a restart", "OPTION",
				  checks[i].name, NULL);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void apply(struct daemon *d, struct config *next)
{
	struct config *old = d->config;
	bool listens = same_text(old->metrics_listen, next->metrics_listen) && !d->http_error;

	warn_restart(old, next);
	drop_instances(d, next);
	d->config = next;
	log_set_level(next->log_level);
	control_set_admin_gid(d->control, next->admin_gid);
	add_instances(d);
	session_set_rates(d);
	machine_reload_all(d);
	if (!listens) {
		d->http = http_free(d->http);
		open_http(d);
	}
	config_free(old);
	log_event(LOG_INFO, "reloaded", NULL);
}

/* Reading looks up users and groups, which may ask a network: on a worker. */
struct reload_job {
	struct job job;
	struct daemon *daemon;
	char *path, *errors;
	struct config *next;
	int r;
	void (*done)(int error, void *arg);
	void *arg;
};

static void reload_run(struct job *job, struct store *store)
{
	struct reload_job *j = (struct reload_job *)job;
	size_t size = 0;
	FILE *errors = open_memstream(&j->errors, &size);

	j->r = errors ? config_load(j->path, &j->next, errors) : -ENOMEM;
	if (errors)
		fclose(errors);
}

static void reload_done(struct job *job)
{
	struct reload_job *j = (struct reload_job *)job;
	char *line, *save = NULL;

	for (line = j->errors ? strtok_r(j->errors, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		log_event(j->r < 0 ? LOG_ERR : LOG_WARNING, line, NULL);
	if (j->r < 0)
		log_event(LOG_ERR, "not reloaded: the old configuration stays", "ERROR",
			  strerror(-j->r), NULL);
	else
		apply(j->daemon, j->next);
	if (j->done)
		j->done(j->r, j->arg);
	free(j->path);
	free(j->errors);
	free(j);
}

void daemon_reload(struct daemon *d, void (*done)(int error, void *arg), void *arg)
{
	struct reload_job *j = calloc(1, sizeof(*j));
	int r = -ENOMEM;

	if (j) {
		*j = (struct reload_job){.job = {reload_run, reload_done, NULL},
					 .daemon = d,
					 .path = strdup(d->config->path),
					 .done = done,
					 .arg = arg};
		r = j->path ? workers_submit(d->workers, WORKER_CPU, &j->job) : -ENOMEM;
	}
	if (r == 0)
		return;
	if (j)
		free(j->path);
	free(j);
	if (done)
		done(r, arg);
}
