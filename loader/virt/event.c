/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How do libvirt's file descriptors and timers get their turn on our loop?
 *
 *   E1  libvirt adds, changes and removes from any thread, also from within its callbacks: the
 *       lists are guarded by `lock`, which is never held while one of libvirt's functions runs.
 *   E2  its callbacks run on the loop's thread only, so does the freeing of what was removed: a
 *       handle that is removed while its callback runs stays in memory until that has returned.
 *   E3  a handle that waits for nothing is not in the epoll: a hang-up would be reported for ever
 *       while a worker, which holds the socket, is the one to read it.
 *
 * There are a handful of each: two for a connection, one for each open console.
 */
#include "event.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "lib/cleanup.h"

/* At most so many in one turn of the loop: others have theirs, too. */
#define TURN_MAX 16
/* What epoll says of descriptors of our own; ids of libvirt's are above 0. */
#define EPOLL_TIMER 0ULL
#define EPOLL_WAKE UINT64_MAX

struct handle {
	struct handle *prev, *next;
	int id, fd;
	int own;    /* the same file under a number that nobody else closes */
	int events; /* VIR_EVENT_HANDLE_* */
	bool watched, dead;
	virEventHandleCallback call;
	virFreeCallback release;
	void *arg;
};

struct timer {
	struct timer *prev, *next;
	int id, interval_ms; /* below 0: off */
	uint64_t due_us;
	bool dead;
	virEventTimeoutCallback call;
	virFreeCallback release;
	void *arg;
};

static struct {
	pthread_mutex_t lock;
	struct handle *handles;
	struct timer *timers;
	int last_id;
	int epoll_fd, timer_fd, wake_fd; /* for the life of the process */
	bool registered;
	sd_event_source *source;
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoll_fd = -1, .timer_fd = -1, .wake_fd = -1};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint32_t to_epoll(int events)
{
	return (events & VIR_EVENT_HANDLE_READABLE ? EPOLLIN : 0U) |
	       (events & VIR_EVENT_HANDLE_WRITABLE ? EPOLLOUT : 0U);
}

static int from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? VIR_EVENT_HANDLE_READABLE : 0) |
	       (events & EPOLLOUT ? VIR_EVENT_HANDLE_WRITABLE : 0) |
	       (events & EPOLLERR ? VIR_EVENT_HANDLE_ERROR : 0) |
	       (events & EPOLLHUP ? VIR_EVENT_HANDLE_HANGUP : 0);
}

static int next_id(void)
{
	loop.last_id = loop.last_id == INT32_MAX ? 1 : loop.last_id + 1;
	return loop.last_id;
}

/* --- file descriptors; the lock is held --- */

static struct handle *find_handle(int id)
{
	struct handle *h;

	DL_SEARCH_SCALAR(loop.handles, h, id, id);
	return h && !h->dead ? h : NULL;
}

/* E3 */
static int watch(struct handle *h, int events)
{
	struct epoll_event e = {.events = to_epoll(events), .data.u64 = (uint64_t)h->id};
	int op = !events ? EPOLL_CTL_DEL : h->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	h->events = events;
	if (!events && !h->watched)
		return 0;
	if (epoll_ctl(loop.epoll_fd, op, h->own, &e) < 0)
		return -errno;
	h->watched = events != 0;
	return 0;
}

/* --- timers; the lock is held --- */

static struct timer *find_timer(int id)
{
	struct timer *t;

	DL_SEARCH_SCALAR(loop.timers, t, id, id);
	return t && !t->dead ? t : NULL;
}

/* The descriptor wakes at the first that is due. */
static void arm(void)
{
	struct itimerspec at = {};
	uint64_t first = UINT64_MAX;
	struct timer *t;

	DL_FOREACH(loop.timers, t)
	{
		if (!t->dead && t->interval_ms >= 0 && t->due_us < first)
			first = t->due_us;
	}
	if (first != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)(first / 1000000);
		at.it_value.tv_nsec = (long)(first % 1000000) * 1000;
	}
	timerfd_settime(loop.timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void set_interval(struct timer *t, int interval_ms)
{
	t->interval_ms = interval_ms;
	t->due_us = now_us() + (interval_ms > 0 ? (uint64_t)interval_ms * 1000 : 0);
	arm();
}

/* --- what libvirt calls --- */

static int add_handle(int fd, int events, virEventHandleCallback call, void *arg,
		      virFreeCallback release)
{
	struct handle *h = calloc(1, sizeof(*h));
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int id = -1;

	if (!h || own < 0)
		goto fail;
	*h = (struct handle){.fd = fd, .own = own, .call = call, .release = release, .arg = arg};
	pthread_mutex_lock(&loop.lock);
	h->id = next_id();
	if (watch(h, events) == 0) {
		DL_APPEND(loop.handles, h);
		id = h->id;
	}
	pthread_mutex_unlock(&loop.lock);
	if (id > 0)
		return id;
fail:
	if (own >= 0)
		close(own);
	free(h);
	return -1;
}

static void update_handle(int id, int events)
{
	struct handle *h;

	pthread_mutex_lock(&loop.lock);
	h = find_handle(id);
	if (h)
		watch(h, events);
	pthread_mutex_unlock(&loop.lock);
}

/* The loop frees it: libvirt forbids to call `release` from here. */
static int remove_handle(int id)
{
	struct handle *h;

	pthread_mutex_lock(&loop.lock);
	h = find_handle(id);
	if (h) {
		watch(h, 0);
		close(TAKE_FD(h->own));
		h->dead = true;
		eventfd_write(loop.wake_fd, 1);
	}
	pthread_mutex_unlock(&loop.lock);
	return h ? 0 : -1;
}

static int add_timer(int interval_ms, virEventTimeoutCallback call, void *arg,
		     virFreeCallback release)
{
	struct timer *t = calloc(1, sizeof(*t));
	int id;

	if (!t)
		return -1;
	*t = (struct timer){.call = call, .release = release, .arg = arg};
	pthread_mutex_lock(&loop.lock);
	id = t->id = next_id();
	DL_APPEND(loop.timers, t);
	set_interval(t, interval_ms);
	pthread_mutex_unlock(&loop.lock);
	return id;
}

static void update_timer(int id, int interval_ms)
{
	struct timer *t;

	pthread_mutex_lock(&loop.lock);
	t = find_timer(id);
	if (t)
		set_interval(t, interval_ms);
	pthread_mutex_unlock(&loop.lock);
}

static int remove_timer(int id)
{
	struct timer *t;

	pthread_mutex_lock(&loop.lock);
	t = find_timer(id);
	if (t) {
		t->dead = true;
		arm();
		eventfd_write(loop.wake_fd, 1);
	}
	pthread_mutex_unlock(&loop.lock);
	return t ? 0 : -1;
}

/* --- on the loop --- */

static void run_handle(int id, uint32_t revents)
{
	struct handle *h;
	int fd = -1;

	pthread_mutex_lock(&loop.lock);
	h = find_handle(id);
	if (h && h->events)
		fd = h->fd;
	pthread_mutex_unlock(&loop.lock);
	if (fd >= 0) /* E2: it stays */
		h->call(id, fd, from_epoll(revents), h->arg);
}

/* The first that is due by NOW; its next time is set. */
static struct timer *take_due(uint64_t now)
{
	struct timer *t, *found = NULL;

	pthread_mutex_lock(&loop.lock);
	DL_FOREACH(loop.timers, t)
	{
		if (!t->dead && t->interval_ms >= 0 && t->due_us <= now) {
			/* Once in this turn, also where it is due all the time. */
			t->due_us = now + (t->interval_ms ? (uint64_t)t->interval_ms * 1000 : 1);
			found = t;
			break;
		}
	}
	arm();
	pthread_mutex_unlock(&loop.lock);
	return found;
}

static void run_timers(void)
{
	uint64_t now = now_us();
	struct timer *t;

	while ((t = take_due(now)))
		t->call(t->id, t->arg);
}

static void reap_handles(void)
{
	struct handle *h, *next, *dead = NULL;

	pthread_mutex_lock(&loop.lock);
	DL_FOREACH_SAFE(loop.handles, h, next)
	{
		if (h->dead) {
			DL_DELETE(loop.handles, h);
			DL_APPEND(dead, h);
		}
	}
	pthread_mutex_unlock(&loop.lock);
	DL_FOREACH_SAFE(dead, h, next)
	{
		if (h->release)
			h->release(h->arg);
		free(h);
	}
}

static void reap_timers(void)
{
	struct timer *t, *next, *dead = NULL;

	pthread_mutex_lock(&loop.lock);
	DL_FOREACH_SAFE(loop.timers, t, next)
	{
		if (t->dead) {
			DL_DELETE(loop.timers, t);
			DL_APPEND(dead, t);
		}
	}
	pthread_mutex_unlock(&loop.lock);
	DL_FOREACH_SAFE(dead, t, next)
	{
		if (t->release)
			t->release(t->arg);
		free(t);
	}
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct epoll_event events[TURN_MAX];
	int n = epoll_wait(fd, events, TURN_MAX, 0);
	eventfd_t ignored;

	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == EPOLL_TIMER)
			run_timers();
		else if (events[i].data.u64 == EPOLL_WAKE)
			eventfd_read(loop.wake_fd, &ignored);
		else
			run_handle((int)events[i].data.u64, events[i].events);
	}
	reap_handles();
	reap_timers();
	return 0;
}

static int add_own(int fd, uint64_t id)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = id};

	return fd < 0 || epoll_ctl(loop.epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int set_up(void)
{
	int r;

	if (loop.registered)
		return 0;
	loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	loop.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = loop.epoll_fd < 0 ? -errno : add_own(loop.timer_fd, EPOLL_TIMER);
	if (r == 0)
		r = add_own(loop.wake_fd, EPOLL_WAKE);
	if (r < 0) {
		closep(&loop.epoll_fd);
		closep(&loop.timer_fd);
		closep(&loop.wake_fd);
		return r;
	}
	virEventRegisterImpl(add_handle, update_handle, remove_handle, add_timer, update_timer,
			     remove_timer);
	loop.registered = true;
	return 0;
}

int virt_event_attach(sd_event *event)
{
	int r = loop.source ? -EBUSY : set_up();

	if (r < 0)
		return r;
	return sd_event_add_io(event, &loop.source, loop.epoll_fd, EPOLLIN, on_ready, NULL);
}

void virt_event_detach(void)
{
	loop.source = sd_event_source_disable_unref(loop.source);
	reap_handles();
	reap_timers();
}

void virt_event_hang_up(void)
{
	struct handle *h;

	pthread_mutex_lock(&loop.lock);
	DL_FOREACH(loop.handles, h)
	{
		if (!h->dead)
			shutdown(h->own, SHUT_RDWR);
	}
	pthread_mutex_unlock(&loop.lock);
}
