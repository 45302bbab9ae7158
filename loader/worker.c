/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads for calls that block: a queue in for each lane, one out, an eventfd to wake the loop. */
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

struct queue {
	struct job *head, **tail;
	size_t length;
};

/*
 * Everything below `lock` is guarded by it. The threads touch nothing else of the daemon: a job
 * carries all that it needs.
 */
struct workers {
	sd_event_source *source;
	int wake_fd;
	struct store *stores[_WORKER_KINDS];
	pthread_t *threads;
	size_t n_threads, lane_threads[_WORKER_KINDS];

	pthread_mutex_t lock;
	pthread_cond_t work[_WORKER_KINDS];
	struct queue in[_WORKER_KINDS];
	struct queue out;
	bool stopping;
};

struct thread_start {
	struct workers *workers;
	enum worker_kind kind;
};

static void queue_init(struct queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
	q->length = 0;
}

static void queue_push(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->tail = job;
	q->tail = &job->next;
	q->length++;
}

static struct job *queue_pop(struct queue *q)
{
	struct job *job = q->head;

	if (!job)
		return NULL;
	q->head = job->next;
	if (!q->head)
		q->tail = &q->head;
	q->length--;
	return job;
}

static void *thread_main(void *arg)
{
	struct thread_start start = *(struct thread_start *)arg;
	struct workers *w = start.workers;
	struct job *job;

	free(arg);
	/* Hashing burns whole cores: the loop, which holds OpenVPN's thread, comes first. */
	if (start.kind == WORKER_CPU)
		setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!(job = queue_pop(&w->in[start.kind])) && !w->stopping)
			pthread_cond_wait(&w->work[start.kind], &w->lock);
		if (!job)
			break;
		pthread_mutex_unlock(&w->lock);
		job->run(job, w->stores[start.kind]);
		pthread_mutex_lock(&w->lock);
		queue_push(&w->out, job);
		eventfd_write(w->wake_fd, 1);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void finish_all(struct workers *w)
{
	for (;;) {
		struct job *job;

		pthread_mutex_lock(&w->lock);
		job = queue_pop(&w->out);
		pthread_mutex_unlock(&w->lock);
		if (!job)
			return;
		job->done(job);
	}
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	eventfd_t n;

	eventfd_read(fd, &n);
	finish_all(arg);
	return 0;
}

static int start_thread(struct workers *w, enum worker_kind kind)
{
	struct thread_start *start = malloc(sizeof(*start));
	int r;

	if (!start)
		return -ENOMEM;
	*start = (struct thread_start){w, kind};
	r = pthread_create(&w->threads[w->n_threads], NULL, thread_main, start);
	if (r) {
		free(start);
		return -r;
	}
	w->n_threads++;
	w->lane_threads[kind]++;
	return 0;
}

/* Signals are the event loop's: no thread takes one. */
static int start_threads(struct workers *w, const unsigned int n[_WORKER_KINDS])
{
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV); /* a fault is reported where it happens */
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (int kind = 0; kind < _WORKER_KINDS; kind++)
		for (unsigned int i = 0; r == 0 && i < n[kind]; i++)
			r = start_thread(w, kind);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int workers_new(sd_event *event, const struct workers_config *config, struct workers **ret)
{
	const unsigned int n[_WORKER_KINDS] = {
		[WORKER_STORE] = 1,
		[WORKER_CLAIM] = config->claims != NULL,
		[WORKER_CPU] = config->n_cpu,
		[WORKER_VIRT] = config->n_virt,
		[WORKER_SWIFT] = config->n_swift,
	};
	struct workers *w = calloc(1, sizeof(*w));
	size_t total = 0;
	int r;

	if (!w)
		return -ENOMEM;
	w->stores[WORKER_STORE] = config->store;
	w->stores[WORKER_CLAIM] = config->claims;
	pthread_mutex_init(&w->lock, NULL);
	for (int i = 0; i < _WORKER_KINDS; i++) {
		pthread_cond_init(&w->work[i], NULL);
		queue_init(&w->in[i]);
		total += n[i];
	}
	queue_init(&w->out);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->threads = calloc(total, sizeof(*w->threads));
	r = w->wake_fd < 0 ? -errno : w->threads ? 0 : -ENOMEM;
	if (r == 0)
		r = sd_event_add_io(event, &w->source, w->wake_fd, EPOLLIN, on_done, w);
	if (r >= 0)
		r = start_threads(w, n);
	if (r < 0) {
		workers_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct workers *workers_free(struct workers *w)
{
	if (!w)
		return NULL;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	for (int i = 0; i < _WORKER_KINDS; i++)
		pthread_cond_broadcast(&w->work[i]);
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	finish_all(w);
	sd_event_source_disable_unref(w->source);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	for (int i = 0; i < _WORKER_KINDS; i++)
		pthread_cond_destroy(&w->work[i]);
	pthread_mutex_destroy(&w->lock);
	free(w->threads);
	free(w);
	return NULL;
}

int workers_submit(struct workers *w, enum worker_kind kind, struct job *job)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (w->stopping)
		r = -ESHUTDOWN;
	else if (w->lane_threads[kind] == 0)
		r = -EOPNOTSUPP;
	else if (w->in[kind].length >= WORKER_QUEUE_MAX)
		r = -EAGAIN;
	else
		queue_push(&w->in[kind], job);
	if (r == 0)
		pthread_cond_signal(&w->work[kind]);
	pthread_mutex_unlock(&w->lock);
	return r;
}
