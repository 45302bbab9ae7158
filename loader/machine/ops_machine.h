/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What operators ask of machines: the handlers' common ground. docs/control.md. */
#ifndef SALLYPORT_LOADER_MACHINE_OPS_MACHINE_H
#define SALLYPORT_LOADER_MACHINE_OPS_MACHINE_H

#include <jansson.h>

#include "control.h"
#include "machine.h"

/* A policy's fields as they are given to `machine-add` and `machine-policy`. */
struct policy_args {
	struct store_policy policy;
	char addresses[SP_ADDRESSES_MAX];
	enum store_pinned pinned;
	bool router, dhcp_server;
};

/*
 * Put what ARGS give into P; the rest stays. False: something is not fit, and the request was
 * answered.
 */
bool policy_take(struct request *request, const json_t *args, struct policy_args *p);
/* Put all of P into ROW. */
void policy_put(const struct policy_args *p, struct store_machine *row);

/* The machine that "user" and "name" of ARGS name; NULL: there is none, and the request was
 * answered. */
struct machine *machine_of(struct daemon *d, struct request *request, const json_t *args);

/* A new reference. */
json_t *view_machine(const struct machine *m);

#endif
