/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which sessions' ends are still to be stored? */
#include "ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "log.h"

struct ends {
	struct daemon *daemon;
	sd_event_source *source; /* deferred flush */
	uint64_t *ids;
	size_t n, room;
};

struct end_job {
	struct job job;
	struct ends *ends;
	uint64_t *ids;
	size_t n;
	int r;
	char *error;
};

static void end_run(struct job *job, struct store *store)
{
	struct end_job *e = (struct end_job *)job;

	e->r = store_session_end_many(store, e->ids, e->n, time(NULL));
	if (e->r < 0)
		e->error = strdup(store_error(store));
}

static int append(struct ends *e, const uint64_t *ids, size_t n)
{
	if (e->n + n > e->room) {
		size_t room = 2 * (e->n + n);
		uint64_t *grown = reallocarray(e->ids, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		e->ids = grown;
		e->room = room;
	}
	memcpy(e->ids + e->n, ids, n * sizeof(*ids));
	e->n += n;
	return 0;
}

static void end_done(struct job *job)
{
	struct end_job *e = (struct end_job *)job;

	if (e->r < 0) {
		log_event(LOG_ERR, "ends of sessions are not stored yet", "ERROR", e->error, NULL);
		if (append(e->ends, e->ids, e->n) < 0)
			log_event(LOG_ERR, "out of memory: the next start ends them", NULL);
	}
	/* Where the store works again, this flushes what had failed before. */
	daemon_store_state(e->ends->daemon, e->r < 0 ? e->error : NULL);
	free(e->error);
	free(e->ids);
	free(e);
}

void ends_flush(struct ends *e)
{
	struct end_job *job;

	if (e->n == 0)
		return;
	job = calloc(1, sizeof(*job));
	if (!job)
		return;
	*job = (struct end_job){
		.job = {end_run, end_done, NULL}, .ends = e, .ids = e->ids, .n = e->n};
	if (workers_submit(e->daemon->workers, WORKER_STORE, &job->job) < 0) {
		free(job); /* the queue is full: the next completion comes by here */
		return;
	}
	e->ids = NULL;
	e->n = e->room = 0;
}

static int on_defer(sd_event_source *source, void *arg)
{
	ends_flush(arg);
	return 0;
}

void ends_add(struct ends *e, uint64_t id)
{
	if (append(e, &id, 1) < 0)
		log_event(LOG_ERR, "out of memory: the next start ends a session's row", NULL);
	sd_event_source_set_enabled(e->source, SD_EVENT_ONESHOT);
}

int ends_new(struct daemon *d, struct ends **ret)
{
	struct ends *e = calloc(1, sizeof(*e));
	int r = e ? sd_event_add_defer(d->event, &e->source, on_defer, e) : -ENOMEM;

	if (r >= 0)
		r = sd_event_source_set_enabled(e->source, SD_EVENT_OFF);
	if (r < 0) {
		free(e);
		return r;
	}
	e->daemon = d;
	*ret = e;
	return 0;
}

struct ends *ends_free(struct ends *e)
{
	if (!e)
		return NULL;
	sd_event_source_disable_unref(e->source);
	free(e->ids);
	free(e);
	return NULL;
}
