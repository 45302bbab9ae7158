/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How do the daemon's objects look from outside? The JSON of docs/control.md. */
#ifndef SALLYPORT_LOADER_VIEWS_H
#define SALLYPORT_LOADER_VIEWS_H

#include <jansson.h>

#include "store/store.h"

struct daemon;
struct instance;
struct machine;
struct session;
struct sp_counter;
struct workload;

/* Each returns a new reference, NULL on lack of memory. */
json_t *view_text(const char *s); /* any bytes, shorter than SP_CN_MAX */
json_t *view_counters(const struct sp_counter *c);
json_t *view_user(const struct store_user *u);
json_t *view_session(struct daemon *d, const struct session *s);
json_t *view_workload(struct daemon *d, const struct workload *w);
json_t *view_instance(struct daemon *d, const struct instance *i);
json_t *view_status(struct daemon *d);
json_t *view_reasons(struct daemon *d);
json_t *view_instance_port(struct daemon *d, const struct instance *i);
json_t *view_workload_port(struct daemon *d, const struct workload *w);
json_t *view_machine_port(struct daemon *d, const struct machine *m);
json_t *view_session_port(struct daemon *d, const struct session *s);

#endif
