/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this server live, as the others that share the store see it? A word in the store every third
 * of the lease; without it our sessions' MACs could be claimed by others.
 */
#ifndef SALLYPORT_LOADER_LEASE_H
#define SALLYPORT_LOADER_LEASE_H

struct daemon;
struct lease;

/* Says it at once, too. Only where the store is shared. */
int lease_new(struct daemon *d, struct lease **ret);
struct lease *lease_free(struct lease *l);

#endif
