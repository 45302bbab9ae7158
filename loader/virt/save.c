/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving a domain, and thinking better of it. An abort may come before the save's call has had its
 * turn, before libvirt has begun with it, in the middle and too late; whatever it meets, when it
 * returns the save is over.
 */
#include "virt/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "lib/cleanup.h"

/* Between the call of virDomainManagedSave and its job in libvirtd nothing tells of it. */
#define TRY_AGAIN_MS 10
/* After an abort that libvirt has taken. It ended within 0.1 s in all tests. */
#define ABORTED_WITHIN_MS 20000

struct save {
	struct save *prev, *next; /* of virt's */
	unsigned int refs;	  /* atomic */
	uint8_t uuid[SP_UUID_LEN];
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	enum { SAVE_WAITS, SAVE_RUNS, SAVE_OVER } phase;
	bool aborted;
};

struct save *save_new(struct virt *v, const uint8_t uuid[SP_UUID_LEN])
{
	struct save *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	s->refs = 1;
	memcpy(s->uuid, uuid, SP_UUID_LEN);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	DL_APPEND(v->saves, s);
	return s;
}

struct save *save_find(struct virt *v, const uint8_t uuid[SP_UUID_LEN])
{
	struct save *s;

	DL_FOREACH(v->saves, s)
	{
		if (memcmp(s->uuid, uuid, SP_UUID_LEN) == 0) {
			__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
			return s;
		}
	}
	return NULL;
}

void save_unref(struct save *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}

void save_forget(struct virt *v, struct save *s)
{
	if (!s)
		return;
	DL_DELETE(v->saves, s);
	save_unref(s);
}

/* --- the save --- */

/* False: it was aborted before it began. */
static bool begin(struct save *s)
{
	bool go;

	pthread_mutex_lock(&s->lock);
	go = !s->aborted;
	s->phase = go ? SAVE_RUNS : SAVE_OVER;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return go;
}

/* Was it aborted? */
static bool end(struct save *s)
{
	bool aborted;

	pthread_mutex_lock(&s->lock);
	aborted = s->aborted;
	s->phase = SAVE_OVER;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return aborted;
}

int save_run(struct virt_call *c, virConnectPtr conn, virDomainPtr dom, struct save *s)
{
	int r;

	if (!begin(s))
		return call_fail_with(c, -ECANCELED, "the save was aborted before it began");
	/* Not VIR_DOMAIN_SAVE_RUNNING: where the save fails, that resumes one that was paused. */
	r = virDomainManagedSave(dom, 0);
	if (r < 0)
		call_fail(c, conn);
	if (end(s) && r < 0 && c->error != -ENOTCONN)
		c->error = -ECANCELED;
	return c->error;
}

/* --- the abort --- */

/* What libvirt does with the domain just now; VIR_DOMAIN_JOB_OPERATION_UNKNOWN: nothing. */
static int operation(virDomainPtr dom)
{
	virTypedParameterPtr params = NULL;
	int type = 0, n = 0, value = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

	if (virDomainGetJobStats(dom, &type, &params, &n, 0) < 0)
		return value;
	if (type != VIR_DOMAIN_JOB_NONE)
		virTypedParamsGetInt(params, n, VIR_DOMAIN_JOB_OPERATION, &value);
	virTypedParamsFree(params, n);
	return value;
}

/* Until the phase is another, at most MS. Returns the phase. */
static int wait_phase(struct save *s, int phase, unsigned int ms)
{
	struct timespec until;
	int now;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&s->lock);
	while ((int)s->phase == phase && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
		;
	now = (int)s->phase;
	pthread_mutex_unlock(&s->lock);
	return now;
}

/* A migration or a backup is not ours to end. */
static int abort_job(struct virt_call *c, virConnectPtr conn, virDomainPtr dom)
{
	if (operation(dom) != VIR_DOMAIN_JOB_OPERATION_SAVE)
		return -EAGAIN;
	return virDomainAbortJob(dom) < 0 ? call_fail(c, conn) : 0;
}

static int mark_aborted(struct save *s)
{
	int phase;

	pthread_mutex_lock(&s->lock);
	s->aborted = true;
	phase = (int)s->phase;
	pthread_mutex_unlock(&s->lock);
	return phase;
}

int save_abort(struct virt_call *c, virConnectPtr conn, virDomainPtr dom, struct save *s)
{
	int r = 0;

	if (!s) {
		r = abort_job(c, conn, dom);
		return r == -EAGAIN ? call_fail_with(c, -ESRCH, "no save is on its way") : r;
	}
	if (mark_aborted(s) != SAVE_RUNS)
		return 0; /* it will not begin, or it is over */
	do {
		c->error = 0;
		r = abort_job(c, conn, dom);
	} while (r < 0 && r != -ENOTCONN && wait_phase(s, SAVE_RUNS, TRY_AGAIN_MS) == SAVE_RUNS);
	if (r == -ENOTCONN)
		return r;
	call_forget(c);
	if (wait_phase(s, SAVE_RUNS, ABORTED_WITHIN_MS) == SAVE_RUNS)
		return call_fail_with(c, -ETIMEDOUT, "libvirt has not ended the save within %d s",
				      ABORTED_WITHIN_MS / 1000);
	return 0;
}
