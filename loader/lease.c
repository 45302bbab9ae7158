/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does this server live, as the others that share the store see it? */
#include "lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "lib/client.h"

#define AGAIN_US (SP_SERVER_LEASE_S * 1000000ULL / 3)

struct lease {
	struct daemon *daemon;
	sd_event_source *timer;
	bool busy; /* one is on its way: a store that hangs is not asked again meanwhile */
};

struct lease_job {
	struct job job;
	struct lease *lease;
	int r;
	char *error;
};

static void lease_run(struct job *job, struct store *store)
{
	struct lease_job *j = (struct lease_job *)job;

	j->r = store_alive(store);
	if (j->r < 0)
		j->error = strdup(store_error(store));
}

static void lease_done(struct job *job)
{
	struct lease_job *j = (struct lease_job *)job;

	j->lease->busy = false;
	daemon_store_state(j->lease->daemon, j->r < 0 ? j->error : NULL);
	free(j->error);
	free(j);
}

static void say(struct lease *l)
{
	struct lease_job *j = l->busy ? NULL : calloc(1, sizeof(*j));

	if (!j)
		return;
	*j = (struct lease_job){.job = {lease_run, lease_done, NULL}, .lease = l};
	l->busy = workers_submit(l->daemon->workers, WORKER_CLAIM, &j->job) == 0;
	if (!l->busy)
		free(j);
}

static int on_time(sd_event_source *source, uint64_t usec, void *arg)
{
	struct lease *l = arg;

	say(l);
	sd_event_source_set_time_relative(source, AGAIN_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int lease_new(struct daemon *d, struct lease **ret)
{
	struct lease *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->daemon = d;
	r = sd_event_add_time_relative(d->event, &l->timer, CLOCK_MONOTONIC, AGAIN_US, 1000000,
				       on_time, l);
	if (r < 0) {
		free(l);
		return r;
	}
	say(l);
	*ret = l;
	return 0;
}

struct lease *lease_free(struct lease *l)
{
	if (!l)
		return NULL;
	sd_event_source_disable_unref(l->timer);
	free(l);
	return NULL;
}
