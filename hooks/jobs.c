/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who finishes what takes long, while OpenVPN's only thread serves its clients? */
#include "hooks/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned int running; /* under lock */
	bool owned;	      /* under lock: jobs_stop has not been called */
	atomic_bool stop;
};

struct job {
	struct jobs *jobs;
	void (*run)(void *arg, const atomic_bool *stop);
	void *arg;
};

struct jobs *jobs_new(void)
{
	struct jobs *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (!j)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->idle, &attr);
	pthread_condattr_destroy(&attr);
	j->owned = true;
	return j;
}

/* Called with the lock held; the last one out frees. */
static void unlock_and_free(struct jobs *j)
{
	bool last = j->running == 0 && !j->owned;

	pthread_mutex_unlock(&j->lock);
	if (!last)
		return;
	pthread_cond_destroy(&j->idle);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

static void *thread_main(void *arg)
{
	struct job job = *(struct job *)arg;

	free(arg);
	job.run(job.arg, &job.jobs->stop);
	pthread_mutex_lock(&job.jobs->lock);
	if (--job.jobs->running == 0)
		pthread_cond_broadcast(&job.jobs->idle);
	unlock_and_free(job.jobs);
	return NULL;
}

static int start_thread(struct job *job)
{
	pthread_attr_t attr;
	sigset_t before;
	sigset_t all;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -EAGAIN;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, JOBS_STACK);
	/* Inherited: there is no moment at which a signal of OpenVPN's could land in the thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, &attr, thread_main, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return r == 0 ? 0 : -EAGAIN;
}

int jobs_start(struct jobs *j, void (*run)(void *arg, const atomic_bool *stop), void *arg)
{
	struct job *job = malloc(sizeof(*job));
	bool room;
	int r;

	if (!job)
		return -EAGAIN;
	*job = (struct job){.jobs = j, .run = run, .arg = arg};
	pthread_mutex_lock(&j->lock);
	room = j->running < JOBS_MAX;
	j->running += room;
	pthread_mutex_unlock(&j->lock);
	r = room ? start_thread(job) : -EAGAIN;
	if (r == 0)
		return 0;
	free(job);
	if (room) {
		pthread_mutex_lock(&j->lock);
		j->running--;
		pthread_mutex_unlock(&j->lock);
	}
	return r;
}

void jobs_stop(struct jobs *j, unsigned int wait_ms)
{
	struct timespec until;

	if (!j)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	atomic_store(&j->stop, true);
	pthread_mutex_lock(&j->lock);
	while (j->running > 0 && pthread_cond_timedwait(&j->idle, &j->lock, &until) == 0)
		;
	j->owned = false;
	unlock_and_free(j);
}
