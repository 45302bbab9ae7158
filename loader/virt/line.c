/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One life of the connection to libvirt: opened on a thread of its own, because to open it can
 * take as long as it likes and nobody could be joined with that; then used by the workers, while
 * its thread asks now and then whether somebody is still there.
 *
 *   L1  the connections live as long as there are users: its thread, the loop, each call under
 *       way. The last one to go closes them. The memory lives on until libvirt has dropped its
 *       callbacks, which hold a reference each.
 *   L2  `virt` belongs to the loop. libvirt's events run there, the closing of a connection is told
 *       on any thread: that sets `closed` and wakes the loop.
 *   L3  not libvirt's own keepalive: where several threads wait on a connection when it gives that
 *       up, libvirt 9.0 ends one of them, leaves the others waiting for ever, and one of those
 *       writes to the stack of the first when the socket stirs again. A socket that is shut down
 *       under them ends them all, one after the other.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "virt/accel.h"

static void line_ref(struct line *l)
{
	__atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
}

static void line_unref(void *arg)
{
	struct line *l = arg;

	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (int i = 0; i < _LINES; i++) {
		pthread_mutex_destroy(&l->gates[i].lock);
		pthread_cond_destroy(&l->gates[i].left);
	}
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->changed);
	closep(&l->wake_fd);
	free(l->uri);
	free(l);
}

struct line *line_use(struct line *l)
{
	__atomic_add_fetch(&l->users, 1, __ATOMIC_RELAXED);
	return l;
}

/* L1 */
void line_unuse(struct line *l)
{
	if (__atomic_sub_fetch(&l->users, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (int i = 0; i < _LINES; i++) {
		if (l->conns[i])
			virConnectClose(l->conns[i]);
	}
	line_unref(l);
}

bool line_is_closed(const struct line *l)
{
	return __atomic_load_n(&l->closed, __ATOMIC_ACQUIRE) != 0;
}

uint64_t line_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Until something changes, at most until then; the lock is held. False: it is then. */
static bool wait_until(struct line *l, uint64_t us)
{
	struct timespec until = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

	return pthread_cond_timedwait(&l->changed, &l->lock, &until) == 0;
}

void line_abandon(struct line *l, unsigned int ms)
{
	uint64_t until = line_now_us() + (uint64_t)ms * 1000;

	pthread_mutex_lock(&l->lock);
	l->abandoned = true;
	pthread_cond_broadcast(&l->changed);
	while (!l->over && line_now_us() < until)
		wait_until(l, until);
	pthread_mutex_unlock(&l->lock);
}

bool line_is_opened(struct line *l)
{
	bool opened;

	pthread_mutex_lock(&l->lock);
	opened = l->opened;
	pthread_mutex_unlock(&l->lock);
	return opened;
}

/* L2 */
static void on_closed(virConnectPtr conn, int reason, void *arg)
{
	struct line *l = arg;
	int none = 0;

	if (__atomic_compare_exchange_n(&l->closed, &none, reason + 1, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED))
		eventfd_write(l->wake_fd, 1);
}

/* --- events --- */

static int event_of(int event, int detail)
{
	switch (event) {
	case VIR_DOMAIN_EVENT_DEFINED:
		return VIRT_EV_DEFINED;
	case VIR_DOMAIN_EVENT_UNDEFINED:
		return VIRT_EV_UNDEFINED;
	case VIR_DOMAIN_EVENT_STARTED:
		return detail == VIR_DOMAIN_EVENT_STARTED_WAKEUP ? VIRT_EV_RESUMED
								 : VIRT_EV_STARTED;
	case VIR_DOMAIN_EVENT_SUSPENDED: /* what was saved while it was paused comes up so */
		return detail == VIR_DOMAIN_EVENT_SUSPENDED_RESTORED ? VIRT_EV_STARTED
								     : VIRT_EV_SUSPENDED;
	case VIR_DOMAIN_EVENT_PMSUSPENDED:
		return VIRT_EV_SUSPENDED;
	case VIR_DOMAIN_EVENT_RESUMED:
		return VIRT_EV_RESUMED;
	case VIR_DOMAIN_EVENT_SHUTDOWN: /* by a signal: not by the guest */
		return detail == VIR_DOMAIN_EVENT_SHUTDOWN_HOST ? VIRT_EV_STOPPED
								: VIRT_EV_SHUTDOWN;
	case VIR_DOMAIN_EVENT_STOPPED:
		return detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED ||
				       detail == VIR_DOMAIN_EVENT_STOPPED_FAILED
			       ? VIRT_EV_CRASHED
			       : VIRT_EV_STOPPED;
	case VIR_DOMAIN_EVENT_CRASHED:
		return VIRT_EV_CRASHED;
	default:
		return -1;
	}
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr dom, int event, int detail, void *arg)
{
	struct line *l = arg;
	struct virt *v = l->virt;
	uint8_t uuid[SP_UUID_LEN];
	int e = event_of(event, detail);

	/* Before `up` everything is looked at anew anyway. */
	if (e >= 0 && v && v->up && !v->stopping && virDomainGetUUID(dom, uuid) == 0 &&
	    !accel_is_probe(v, uuid))
		v->callbacks.event(uuid, (enum virt_event)e, v->arg);
	return 0;
}

/* --- opening: on its thread --- */

static int refuse(struct line *l, const char *what)
{
	const virError *e = virGetLastError();
	char words[200];

	virt_words(e && e->message ? e->message : "no reason was given", words, sizeof(words));
	snprintf(l->why, sizeof(l->why), "%s: %s", what, words);
	return e ? virt_errno(e) : -EIO;
}

static int open_one(struct line *l, enum line_kind kind)
{
	virConnectPtr conn = virConnectOpen(l->uri);

	if (!conn)
		return refuse(l, "no connection to libvirt");
	l->conns[kind] = conn;
	line_ref(l); /* a driver that lives in this process has no such thing */
	if (virConnectRegisterCloseCallback(conn, on_closed, l, line_unref) < 0) {
		virResetLastError();
		line_unref(l);
	}
	return 0;
}

static int register_events(struct line *l)
{
	line_ref(l);
	if (virConnectDomainEventRegisterAny(
		    l->conns[LINE_SWIFT], NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
		    VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), l, line_unref) < 0) {
		line_unref(l);
		return refuse(l, "libvirt tells of no events");
	}
	return 0;
}

static int describe(struct line *l)
{
	const char *type = virConnectGetType(l->conns[LINE_SWIFT]);
	unsigned long kind = 0, lib = 0;

	if (!type || virConnectGetVersion(l->conns[LINE_SWIFT], &kind) < 0 ||
	    virConnectGetLibVersion(l->conns[LINE_SWIFT], &lib) < 0)
		return refuse(l, "libvirt does not say what it is");
	snprintf(l->describe, sizeof(l->describe), "%.40s %lu.%lu.%lu, libvirt %lu.%lu.%lu", type,
		 kind / 1000000, kind / 1000 % 1000, kind % 1000, lib / 1000000, lib / 1000 % 1000,
		 lib % 1000);
	return 0;
}

static bool is_abandoned(struct line *l)
{
	bool abandoned;

	pthread_mutex_lock(&l->lock);
	abandoned = l->abandoned;
	pthread_mutex_unlock(&l->lock);
	return abandoned;
}

static int open_all(struct line *l)
{
	int r = 0;

	for (int i = 0; r == 0 && i < _LINES; i++) {
		r = open_one(l, (enum line_kind)i);
		if (r == 0 && is_abandoned(l))
			r = -ECANCELED;
	}
	if (r == 0)
		r = register_events(l);
	return r < 0 ? r : describe(l);
}

static void tell_opened(struct line *l, int error)
{
	__atomic_store_n(&l->heard_us, line_now_us(), __ATOMIC_RELEASE);
	pthread_mutex_lock(&l->lock);
	l->error = error;
	l->opened = true;
	pthread_mutex_unlock(&l->lock);
	eventfd_write(l->wake_fd, 1);
}

/* --- watching --- */

/* A call that libvirtd answers from what it knows, on a thread that it keeps for such calls. */
static bool ask(struct line *l)
{
	unsigned long version;

	for (int i = 0; i < _LINES; i++) {
		if (virConnectGetLibVersion(l->conns[i], &version) < 0)
			return false;
	}
	__atomic_store_n(&l->heard_us, line_now_us(), __ATOMIC_RELEASE);
	return true;
}

/* Every interval, until it is abandoned or does not answer: whether that takes too long is seen by
 * the loop. */
static void watch(struct line *l)
{
	uint64_t next = line_now_us();
	bool go_on = true;

	while (go_on) {
		next += (uint64_t)l->keepalive_s * 1000000;
		pthread_mutex_lock(&l->lock);
		while (!l->abandoned && wait_until(l, next))
			;
		go_on = !l->abandoned;
		pthread_mutex_unlock(&l->lock);
		go_on = go_on && ask(l);
	}
}

/* --- its thread --- */

static void *line_main(void *arg)
{
	struct line *l = arg;
	int r = open_all(l);

	tell_opened(l, r);
	if (r == 0)
		watch(l);
	pthread_mutex_lock(&l->lock);
	l->over = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	line_unuse(l);
	return NULL;
}

/* Signals are the event loop's: no thread takes one. */
static int start_thread(struct line *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int r;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV); /* a fault is reported where it happens */
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	line_use(l);
	r = pthread_create(&thread, &attr, line_main, l);
	if (r)
		line_unuse(l);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int line_new(struct virt *v, struct line **ret)
{
	struct line *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;
	int r;

	if (!l)
		return -ENOMEM;
	l->refs = l->users = 1;
	l->virt = v;
	l->keepalive_s = v->keepalive_s;
	for (int i = 0; i < _LINES; i++) {
		pthread_mutex_init(&l->gates[i].lock, NULL);
		pthread_cond_init(&l->gates[i].left, NULL);
	}
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
	l->heard_us = line_now_us();
	l->uri = strdup(v->uri);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = l->wake_fd < 0 ? -errno : l->uri ? start_thread(l) : -ENOMEM;
	if (r < 0) {
		line_unuse(l);
		return r;
	}
	*ret = l;
	return 0;
}
