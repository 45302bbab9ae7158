/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt as a whole: its connection comes, goes, and tells of domains; which machine is that? */
#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "control.h"
#include "daemon.h"
#include "lib/cleanup.h"
#include "log.h"
#include "machine.h"
#include "monitor.h"

#define KEEPALIVE_S 5

static void on_event(const uint8_t uuid[SP_UUID_LEN], enum virt_event event, void *arg)
{
	struct machine *m = machine_find_uuid(arg, uuid);

	if (m)
		machine_on_event(m, event);
}

/* Its domain carries our mark, and no row of ours knows it: a store that was put back, for
 * instance. */
static void note_orphan(struct daemon *d, const struct virt_domain *v)
{
	if (strcmp(v->owner, store_server(d->store)) != 0)
		return;
	d->n_orphans++;
	log_event(LOG_WARNING,
		  "a domain is marked as a machine of ours, and the store has no such machine: "
		  "it is left alone",
		  "DOMAIN", v->name, "STATE", virt_state_name(v->info.state), NULL);
}

/* Nobody is started before all that is up is accounted for: admission counts it. */
static void on_listed(const struct virt_domain *domains, int n, const char *error, void *arg)
{
	static const struct virt_info absent = {.state = VIRT_ABSENT};
	struct daemon *d = arg;
	struct machine *m, *next;

	if (n < 0)
		log_event(LOG_ERR, "libvirt does not tell its domains", "ERROR", error, NULL);
	d->n_orphans = 0;
	for (int i = 0; i < n; i++) {
		m = machine_find_uuid(d, domains[i].uuid);
		if (!m) {
			note_orphan(d, &domains[i]);
			continue;
		}
		m->listed = true;
		machine_on_listed(m, &domains[i].info);
	}
	d->machines_listed = virt_is_up(d->virt);
	HASH_ITER(hh_id, d->machines, m, next)
	{
		if (!m->listed && n >= 0)
			machine_on_listed(m, &absent);
		m->listed = false;
	}
	HASH_ITER(hh_id, d->machines, m, next)
	machine_advance(m);
}

static void on_up(void *arg)
{
	struct daemon *d = arg;
	int r;

	log_event(LOG_INFO, "libvirt is there", "WHAT", virt_describe(d->virt), NULL);
	r = virt_list(d->virt, on_listed, d);
	if (r < 0)
		log_event(LOG_ERR, "libvirt cannot be asked for its domains", "ERROR", strerror(-r),
			  NULL);
}

static void on_down(const char *why, void *arg)
{
	struct daemon *d = arg;
	struct machine *m, *next;

	log_event(LOG_WARNING, "libvirt is not there: machines stay as they are", "ERROR", why,
		  NULL);
	d->machines_listed = false;
	HASH_ITER(hh_id, d->machines, m, next)
	machine_on_down(m);
}

/* --- requests that wait until it is known --- */

struct held_request {
	struct held_request *prev, *next;
	struct request *request;
	json_t *args;
	void (*op)(void *context, void *request, const json_t *args);
};

static void begin_held(struct daemon *d, struct held_request *h)
{
	h->op(d, h->request, h->args);
}

static void refuse_held(struct daemon *d, struct held_request *h)
{
	request_fail(h->request, -ESHUTDOWN, NULL, "sallyportd stops");
}

static void let_go(struct daemon *d, void (*to)(struct daemon *, struct held_request *))
{
	struct held_request *held = TAKE_PTR(d->held), *h, *tmp;

	DL_FOREACH_SAFE(held, h, tmp)
	{
		to(d, h);
		json_decref(h->args);
		free(h);
	}
}

static void on_settled(void *arg)
{
	let_go(arg, begin_held);
}

void machine_virt_stop(struct daemon *d)
{
	let_go(d, refuse_held);
}

/* --- the start --- */

int machine_virt_start(struct daemon *d)
{
	static const struct virt_callbacks callbacks = {on_up, on_down, on_event, on_settled};
	const struct config *c = d->config;
	const struct virt_options o = {.uri = c->virt_uri,
				       .probe_kernel = c->probe_kernel,
				       .accel = c->accel,
				       .keepalive_s = KEEPALIVE_S};

	return d->virt ? 0 : virt_new(d->event, d->workers, &o, &callbacks, d, &d->virt);
}

bool machine_virt_ready(struct daemon *d, struct request *request, const json_t *args,
			const char *what,
			void (*op)(void *context, void *request, const json_t *args))
{
	int r = machine_virt_start(d);
	struct held_request *h;

	if (r == 0 && virt_is_up(d->virt) && virt_is_settled(d->virt))
		return true;
	h = r == 0 && !virt_is_settled(d->virt) ? calloc(1, sizeof(*h)) : NULL;
	if (h) {
		*h = (struct held_request){
			.request = request, .args = json_incref((json_t *)args), .op = op};
		DL_APPEND(d->held, h);
	} else {
		request_fail(request, r < 0 ? r : -ENOTCONN, NULL,
			     "%s: no connection to libvirt at %s: %s", what, d->config->virt_uri,
			     r < 0 ? strerror(-r) : virt_trouble(d->virt));
	}
	return false;
}

size_t machine_virt_orphans(const struct daemon *d)
{
	return d->n_orphans;
}
