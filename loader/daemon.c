/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's life: set up, reload, take down. */
#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "ends.h"
#include "instance.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "monitor.h"
#include "ops.h"
#include "reconcile.h"
#include "session.h"
#include "workload.h"

void daemon_store_state(struct daemon *d, const char *error)
{
	if (!error)
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

/* What is, before anything new: the store and the device maps are still this thread's. */
static int restore(struct daemon *d)
{
	int r = reconcile_reserve(d);

	r = r ?: ends_new(d, &d->ends);
	d->restoring = true;
	r = r ?: link_watch_new(d->event, on_link, d, &d->links);
	r = r ?: make_instances(d);
	r = r ?: workload_watch(d);
	r = r < 0 ? r : store_workload_each(d->store, make_workload, d);
	return r ?: reconcile(d);
}

/* From here on the store is a worker's. */
static int start_workers(struct daemon *d)
{
	const struct workers_config c = {.store = d->store, .n_cpu = d->config->workers};

	return workers_new(d->event, &c, &d->workers);
}

static int start(struct daemon *d, int *listen_fd)
{
	struct instance *i;
	int r = 0;

	if (*listen_fd < 0)
		*listen_fd = r = listen_on(d);
	r = r < 0 ? r : open_store(d);
	r = r ?: open_dataplane(d);
	r = r ?: restore(d);
	r = r ?: monitor_new(d, &d->monitor);
	r = r ?: start_workers(d);
	DL_FOREACH(d->instances, i)
	r = r ?: instance_start(i);
	return r ?: open_control(d, TAKE_FD(*listen_fd));
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
	d->workers = workers_free(d->workers);
	d->ends = ends_free(d->ends);
	d->control = control_free(d->control);
	d->monitor = monitor_free(d->monitor);
	free_tables(d);
	while (d->instances)
		instance_free(d->instances, false);
	link_watch_free(d->links);
	sd_event_source_disable_unref(d->netns_source);
	if (d->netns_fd >= 0)
		close(d->netns_fd);
	portnum_free(d->portnums);
	dataplane_close(d->dp);
	store_close(d->store);
	sd_event_unref(d->event);
	config_free(d->config);
	free(d->store_error);
	free(d->store_name);
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

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Which server, and as whom; not the password, which is read at each connect. */
static bool same_database(const struct config *a, const struct config *b)
{
	return same_text(a->store_hosts, b->store_hosts) &&
	       same_text(a->store_socket, b->store_socket) &&
	       same_text(a->store_user, b->store_user) &&
	       same_text(a->store_database, b->store_database) &&
	       same_text(a->store_password_file, b->store_password_file) &&
	       same_text(a->store_password_credential, b->store_password_credential);
}

static bool same_tls(const struct config *a, const struct config *b)
{
	return a->store_tls == b->store_tls && same_text(a->store_tls_ca, b->store_tls_ca) &&
	       same_text(a->store_tls_cert, b->store_tls_cert) &&
	       same_text(a->store_tls_key, b->store_tls_key);
}

static bool same_mapping(const struct config *a, const struct config *b)
{
	return same_text(a->map_table, b->map_table) && same_text(a->map_name, b->map_name) &&
	       same_text(a->map_password, b->map_password) &&
	       same_text(a->map_disabled, b->map_disabled) &&
	       same_text(a->map_address, b->map_address) &&
	       same_text(a->map_address6, b->map_address6);
}

static void warn_restart(const struct config *a, const struct config *b)
{
	const struct {
		const char *name;
		bool same;
	} checks[] = {
		{"[daemon] socket", strcmp(a->socket, b->socket) == 0},
		{"[daemon] workers", a->workers == b->workers},
		{"[store] type", a->store_mysql == b->store_mysql},
		{"[store] path", strcmp(a->store_path, b->store_path) == 0},
		{"[store] server", same_text(a->store_server, b->store_server)},
		{"[store] hosts, socket, user, database, password-file, password-credential",
		 same_database(a, b)},
		{"[store] tls, tls-ca, tls-cert, tls-key", same_tls(a, b)},
		{"[store] user-table and its columns", same_mapping(a, b)},
		{"[store] timeout", a->store_timeout_ms == b->store_timeout_ms},
		{"[dataplane] max-bindings", a->max_bindings == b->max_bindings},
		{"[dataplane] max-ports", a->max_ports == b->max_ports},
		{"[dataplane] sampling", a->sampling == b->sampling},
		{"[dataplane] sample-interval", a->sample_ms == b->sample_ms},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(checks); i++)
		if (!checks[i].same)
			log_event(LOG_WARNING, "changed, and takes a restart", "OPTION",
				  checks[i].name, NULL);
}

static void apply(struct daemon *d, struct config *next)
{
	struct config *old = d->config;

	warn_restart(old, next);
	drop_instances(d, next);
	d->config = next;
	log_set_level(next->log_level);
	control_set_admin_gid(d->control, next->admin_gid);
	add_instances(d);
	session_set_rates(d);
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
