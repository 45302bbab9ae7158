/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which port numbers are free? They are dense: indices into the maps by port. */
#ifndef SALLYPORT_LOADER_PORTNUM_H
#define SALLYPORT_LOADER_PORTNUM_H

#include <stdint.h>

struct portnum;

/* Numbers 1 to MAX - 1. */
struct portnum *portnum_new(uint32_t max);
struct portnum *portnum_free(struct portnum *p);

/* A free number, the one that was freed longest ago or never used; 0: none. */
uint32_t portnum_get(struct portnum *p);
/* Do not hand N out until portnum_release: it is in a pinned map, its owner may come for it. */
void portnum_reserve(struct portnum *p, uint32_t n);
/* Free what was reserved and never taken. */
void portnum_release(struct portnum *p);
/* Take a particular one, after a restart. -EEXIST, -ERANGE. */
int portnum_take(struct portnum *p, uint32_t n);
void portnum_put(struct portnum *p, uint32_t n);

#endif
