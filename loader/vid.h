/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which VLAN id does the next session of an instance get? One that nothing of an old session can
 * still name: a freed id rests, and the one that has rested longest comes first.
 */
#ifndef SALLYPORT_LOADER_VID_H
#define SALLYPORT_LOADER_VID_H

#include <stdint.h>

#include "sallyport/limits.h"

struct vids;

/* REST_US: how long a freed id is left alone. */
struct vids *vids_new(uint64_t rest_us);
struct vids *vids_free(struct vids *v);
void vids_set_rest(struct vids *v, uint64_t rest_us);

/* NOW_US: CLOCK_MONOTONIC. Returns the id, or 0: all are in use or resting (I4). */
uint16_t vids_get(struct vids *v, uint64_t now_us);
/* A particular one, after a restart. -EEXIST, -ERANGE. */
int vids_take(struct vids *v, uint16_t vid);
/* It was freed at WHEN_US; ids are given back in the order of time. */
void vids_put(struct vids *v, uint16_t vid, uint64_t when_us);

struct vids_count {
	unsigned int used, resting, free;
};
void vids_count(const struct vids *v, uint64_t now_us, struct vids_count *ret);

#endif
