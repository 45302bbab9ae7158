/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a start: what is in the maps and in the store, and what should be? */
#ifndef SALLYPORT_LOADER_RECONCILE_H
#define SALLYPORT_LOADER_RECONCILE_H

struct daemon;

/* Before anything new is made: keep port numbers that pinned entries name for their owners (D3). */
int reconcile_reserve(struct daemon *d);

/*
 * Adopt the sessions whose OpenVPN still runs, without touching what is right (I5); remove every
 * entry that belongs to nobody. Instances and workloads exist already; the store is still ours
 * alone.
 */
int reconcile(struct daemon *d);

#endif
