/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the hooks' operations share: who speaks, for which instance, about which session? */
#ifndef SALLYPORT_LOADER_OPS_HOOK_H
#define SALLYPORT_LOADER_OPS_HOOK_H

#include "instance.h"
#include "ops.h"
#include "session.h"

/* The instance, if the caller may speak for it; else R was answered. */
struct instance *hook_instance(struct daemon *d, struct request *r, const json_t *args);
/* The same for what only a living OpenVPN may ask. */
struct instance *hook_living_instance(struct daemon *d, struct request *r, const json_t *args);
/* Has the caller given up by now? */
bool hook_expired(const json_t *args);
void hook_key(const struct instance *i, const json_t *args, struct session_key *ret);

#endif
