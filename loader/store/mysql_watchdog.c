/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ends a wait for a server that does not answer? The client library counts in seconds, for
 * each read anew, and a server that trickles is never late. So a thread of our own shuts the
 * connection down at the call's deadline, and the library finds its end.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "mysql_internal.h"

struct watchdog {
	pthread_t thread;
	pthread_mutex_t lock;
	int timer, stop;
	int fd; /* -1: not armed */
	uint64_t deadline_us;
	bool struck;
};

static void strike(struct watchdog *w)
{
	pthread_mutex_lock(&w->lock);
	if (w->fd >= 0 && store_now_us() >= w->deadline_us) {
		shutdown(w->fd, SHUT_RDWR);
		w->struck = true;
		w->fd = -1;
	}
	pthread_mutex_unlock(&w->lock);
}

static void *watch(void *arg)
{
	struct watchdog *w = arg;
	struct pollfd fds[] = {{.fd = w->timer, .events = POLLIN},
			       {.fd = w->stop, .events = POLLIN}};
	uint64_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		if (read(w->timer, &n, sizeof(n)) == sizeof(n))
			strike(w);
	}
}

/* Signals are the main thread's. */
static int start(struct watchdog *w)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int watchdog_new(struct watchdog **ret)
{
	struct watchdog *w = calloc(1, sizeof(*w));
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->fd = -1;
	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	w->stop = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&w->lock, NULL);
	if (w->timer < 0 || w->stop < 0)
		r = -errno;
	r = r ?: start(w);
	if (r < 0) {
		closep(&w->timer);
		closep(&w->stop);
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void watchdog_free(struct watchdog *w)
{
	uint64_t one = 1;

	if (!w)
		return;
	if (write(w->stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(w->thread, NULL);
	close(w->timer);
	close(w->stop);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void watchdog_arm(struct watchdog *w, int fd, uint64_t deadline_us)
{
	struct itimerspec t = {.it_value = {.tv_sec = (time_t)(deadline_us / 1000000),
					    .tv_nsec = (long)(deadline_us % 1000000 * 1000)}};

	pthread_mutex_lock(&w->lock);
	w->fd = fd;
	w->deadline_us = deadline_us;
	w->struck = false;
	pthread_mutex_unlock(&w->lock);
	timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* The timer is left to run: if nobody is armed when it strikes, nothing happens. */
bool watchdog_disarm(struct watchdog *w)
{
	bool struck;

	pthread_mutex_lock(&w->lock);
	struck = w->struck;
	w->fd = -1;
	w->struck = false;
	pthread_mutex_unlock(&w->lock);
	return struck;
}
