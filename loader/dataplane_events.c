/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frames were dropped? The reader of the ring buffer of samples. */
#include <errno.h>

#include "dataplane_internal.h"

static int on_sample(void *arg, void *data, size_t size)
{
	struct dataplane *dp = arg;
	const struct sp_event *e = data;

	if (size >= sizeof(*e) && e->caplen <= SP_EVENT_SNAP && dp->event_cb)
		dp->event_cb(e, dp->event_arg);
	return 0;
}

int dataplane_events_fd(struct dataplane *dp)
{
	if (!dp->ring)
		dp->ring = ring_buffer__new(dp->map_fd[DP_EVENTS], on_sample, dp, NULL);
	return dp->ring ? ring_buffer__epoll_fd(dp->ring) : -errno;
}

int dataplane_events_drain(struct dataplane *dp,
			   void (*cb)(const struct sp_event *event, void *arg), void *arg)
{
	int r = dataplane_events_fd(dp);

	if (r < 0)
		return r;
	dp->event_cb = cb;
	dp->event_arg = arg;
	r = ring_buffer__consume(dp->ring);
	dp->event_cb = NULL;
	return r;
}
