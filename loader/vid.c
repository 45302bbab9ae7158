/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VLAN ids of one instance: a queue of free ones, the longest rested in front. */
#include "vid.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct vids {
	uint64_t rest_us;
	bool used[SP_VID_MAX + 1];
	uint64_t freed_us[SP_VID_MAX + 1]; /* 0: never used */
	/* A ring of the free ids. An id that vids_take took out of order stays in it and is
	 * skipped. */
	uint16_t ring[SP_VID_MAX + 1];
	unsigned int head, length;
	bool queued[SP_VID_MAX + 1];
};

static void push(struct vids *v, uint16_t vid)
{
	v->ring[(v->head + v->length) % (SP_VID_MAX + 1)] = vid;
	v->length++;
	v->queued[vid] = true;
}

struct vids *vids_new(uint64_t rest_us)
{
	struct vids *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->rest_us = rest_us;
	for (uint16_t vid = SP_VID_MIN; vid <= SP_VID_MAX; vid++)
		push(v, vid);
	return v;
}

struct vids *vids_free(struct vids *v)
{
	free(v);
	return NULL;
}

void vids_set_rest(struct vids *v, uint64_t rest_us)
{
	v->rest_us = rest_us;
}

static bool rested(const struct vids *v, uint16_t vid, uint64_t now_us)
{
	return v->freed_us[vid] == 0 || now_us >= v->freed_us[vid] + v->rest_us;
}

uint16_t vids_get(struct vids *v, uint64_t now_us)
{
	while (v->length > 0) {
		uint16_t vid = v->ring[v->head];

		if (!v->used[vid] && !rested(v, vid, now_us))
			return 0; /* those behind it were freed later */
		v->head = (v->head + 1) % (SP_VID_MAX + 1);
		v->length--;
		v->queued[vid] = false;
		if (v->used[vid])
			continue;
		v->used[vid] = true;
		return vid;
	}
	return 0;
}

int vids_take(struct vids *v, uint16_t vid)
{
	if (vid < SP_VID_MIN || vid > SP_VID_MAX)
		return -ERANGE;
	if (v->used[vid])
		return -EEXIST;
	v->used[vid] = true;
	return 0;
}

/* Out of the ring, wherever it is: it goes to the end, by the time it was freed. */
static void unqueue(struct vids *v, uint16_t vid)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < v->length; i++) {
		uint16_t x = v->ring[(v->head + i) % (SP_VID_MAX + 1)];

		if (x != vid)
			v->ring[(v->head + kept++) % (SP_VID_MAX + 1)] = x;
	}
	v->length = kept;
	v->queued[vid] = false;
}

void vids_put(struct vids *v, uint16_t vid, uint64_t when_us)
{
	if (vid < SP_VID_MIN || vid > SP_VID_MAX)
		return;
	v->used[vid] = false;
	v->freed_us[vid] = when_us ? when_us : 1;
	if (v->queued[vid])
		unqueue(v, vid);
	push(v, vid);
}

void vids_count(const struct vids *v, uint64_t now_us, struct vids_count *ret)
{
	*ret = (struct vids_count){0};
	for (uint16_t vid = SP_VID_MIN; vid <= SP_VID_MAX; vid++) {
		if (v->used[vid])
			ret->used++;
		else if (!rested(v, vid, now_us))
			ret->resting++;
		else
			ret->free++;
	}
}
