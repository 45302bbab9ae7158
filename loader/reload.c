/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changes when the configuration is read again, and what takes a restart? */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "budget.h"
#include "control.h"
#include "daemon.h"
#include "instance.h"
#include "lib/cleanup.h"
#include "log.h"
#include "machine/machine.h"
#include "session.h"
#include "trace/http.h"
#include "vid.h"

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
		{"[dataplane] max-rules", a->max_rules == b->max_rules},
		{"[firewall] max-flows", a->max_flows == b->max_flows},
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

static void apply(struct daemon *d, struct config *next)
{
	struct config *old = d->config;
	_cleanup_free_
	char *rules = strdup(rules_default(d));
	bool listens = same_text(old->metrics_listen, next->metrics_listen) && !d->http_error;

	warn_restart(old, next);
	drop_instances(d, next);
	d->config = next;
	log_set_level(next->log_level);
	control_set_admin_gid(d->control, next->admin_gid);
	add_instances(d);
	budget_reload(d);
	session_set_rates(d);
	machine_reload_all(d);
	slots_set_budgets(d);
	if (slots_set_timeouts(d) < 0)
		log_event(LOG_ERR, "how long flows live could not be changed", NULL);
	if (rules)
		rules_default_changed(d, rules);
	if (!listens) {
		d->http = http_free(d->http);
		daemon_open_http(d);
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
