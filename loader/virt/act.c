/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doing something to a domain: one verb, then a look at how the domain is. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "virt/info.h"
#include "virt/save.h"

#define QUOTA_MIN_US 1000 /* the kernel's (min_cfs_quota_period) */

struct act {
	struct virt_call call;
	uint8_t uuid[SP_UUID_LEN];
	enum virt_verb verb;
	struct virt_shrink shrink;
	struct save *save;
	struct virt_info info;
	virt_done done;
	void *arg;
};

static bool is_active(virDomainPtr dom)
{
	return virDomainIsActive(dom) == 1;
}

static int state_now(virDomainPtr dom)
{
	int state = VIR_DOMAIN_NOSTATE;

	virDomainGetState(dom, &state, NULL, 0);
	return state;
}

/* --- starting --- */

/*
 * libvirt throws an image that it cannot read away and boots instead: what was running is lost
 * without a word. So it is read first.
 */
static int check_image(struct virt_call *c, virConnectPtr conn, virDomainPtr dom, bool *ret_gone)
{
	char *xml, why[160];

	if (virDomainHasManagedSaveImage(dom, 0) != 1)
		return 0;
	xml = virDomainManagedSaveGetXMLDesc(dom, 0);
	if (xml) {
		free(xml);
		return 0;
	}
	if (call_fail(c, conn) == -ENOTCONN)
		return c->error;
	if (c->error == -ESRCH || c->error == -ENOENT) {
		*ret_gone = true; /* libvirt remembers one, and there is none */
		call_forget(c);
		return 0;
	}
	virt_words(c->message, why, sizeof(why));
	return call_fail_with(c, -EUCLEAN,
			      "its saved image cannot be read (%s): discard it to boot anew", why);
}

/* What it had in memory is read after the header was: QEMU may still find that it makes no sense.
 */
static int start_failed(struct virt_call *c, virConnectPtr conn, virDomainPtr dom, bool saved)
{
	char why[160];

	if (call_fail(c, conn) == -ENOTCONN)
		return c->error;
	if (is_active(dom))
		return call_fail_with(c, -EALREADY, "it runs already");
	if (!saved || c->error != -EIO)
		return c->error;
	virt_words(c->message, why, sizeof(why));
	return call_fail_with(c, -EUCLEAN,
			      "its saved image cannot be restored (%s): discard it to boot anew",
			      why);
}

static int start(struct virt_call *c, virConnectPtr conn, virDomainPtr dom)
{
	bool saved, gone = false;

	if (is_active(dom))
		return call_fail_with(c, -EALREADY, "it runs already");
	if (check_image(c, conn, dom, &gone) < 0)
		return c->error;
	saved = !gone && virDomainHasManagedSaveImage(dom, 0) == 1;
	if (virDomainCreateWithFlags(dom, 0) < 0)
		return start_failed(c, conn, dom, saved);
	/* One that was saved while it was paused comes back so. */
	if (saved && state_now(dom) == VIR_DOMAIN_PAUSED && virDomainResume(dom) < 0)
		return call_fail(c, conn);
	return gone ? call_fail_with(c, 0, "its saved image was gone: it has been booted anew") : 0;
}

/* --- running and not --- */

static int resume(struct virt_call *c, virConnectPtr conn, virDomainPtr dom)
{
	int state = state_now(dom);

	if (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED)
		return 0;
	if ((state == VIR_DOMAIN_PMSUSPENDED ? virDomainPMWakeup(dom, 0) : virDomainResume(dom)) <
		    0 &&
	    call_fail(c, conn) != -ENOTCONN && state_now(dom) == VIR_DOMAIN_RUNNING)
		call_forget(c); /* it was being restored, which is done */
	return c->error;
}

static int suspend(struct virt_call *c, virConnectPtr conn, virDomainPtr dom)
{
	int state = state_now(dom);

	if (state == VIR_DOMAIN_PAUSED || state == VIR_DOMAIN_PMSUSPENDED)
		return 0;
	return virDomainSuspend(dom) < 0 ? call_fail(c, conn) : 0;
}

/* Not through an agent inside: that is waited for. */
static int shut_down(struct virt_call *c, virConnectPtr conn, virDomainPtr dom)
{
	if (!is_active(dom))
		return 0;
	if (virDomainShutdownFlags(dom, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) == 0)
		return 0;
	if (call_fail(c, conn) != -EOPNOTSUPP && c->error != -EINVAL)
		return c->error;
	call_forget(c); /* a driver that knows one way only */
	return virDomainShutdown(dom) < 0 ? call_fail(c, conn) : 0;
}

static int destroy(struct virt_call *c, virConnectPtr conn, virDomainPtr dom)
{
	if (!is_active(dom))
		return 0;
	if (virDomainDestroyFlags(dom, 0) < 0 && call_fail(c, conn) == -ESRCH)
		call_forget(c); /* it was quicker */
	return c->error;
}

static int discard(struct virt_call *c, virConnectPtr conn, virDomainPtr dom)
{
	if (virDomainHasManagedSaveImage(dom, 0) == 0)
		return 0;
	if (virDomainManagedSaveRemove(dom, 0) < 0 && call_fail(c, conn) == -ENOENT)
		call_forget(c); /* somebody was before us */
	return c->error;
}

/* --- smaller and back --- */

static int set_quota(virDomainPtr dom, const struct info_quota *q)
{
	virTypedParameterPtr params = NULL;
	int n = 0, room = 0, r;

	r = virTypedParamsAddULLong(&params, &n, &room, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD,
				    q->period_us);
	if (r == 0)
		r = virTypedParamsAddLLong(&params, &n, &room, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA,
					   q->quota_us);
	if (r == 0)
		r = virDomainSetSchedulerParametersFlags(dom, params, n, VIR_DOMAIN_AFFECT_LIVE);
	virTypedParamsFree(params, n);
	return r;
}

/* As described, or PERCENT of a CPU where that is less. */
static int change_cpu(struct virt_call *c, virConnectPtr conn, virDomainPtr dom,
		      unsigned int percent)
{
	struct info_quota q, live;
	long long limit;

	if (info_quota(dom, VIR_DOMAIN_AFFECT_CONFIG, &q) < 0 ||
	    info_quota(dom, VIR_DOMAIN_AFFECT_LIVE, &live) < 0)
		return percent ? call_fail_with(c, -EOPNOTSUPP,
						"libvirt cannot limit its CPU time here")
			       : 0;
	if (percent) {
		limit = (long long)(q.period_us * percent / 100);
		if (limit < QUOTA_MIN_US)
			limit = QUOTA_MIN_US;
		if (q.quota_us == INFO_NO_QUOTA || q.quota_us > limit)
			q.quota_us = limit;
	}
	if (live.quota_us == q.quota_us && live.period_us == q.period_us)
		return 0;
	return set_quota(dom, &q) < 0 ? call_fail(c, conn) : 0;
}

/* The balloon is asked; the guest follows when it can. */
static int change_memory(struct virt_call *c, virConnectPtr conn, virDomainPtr dom,
			 unsigned int percent)
{
	uint64_t kib;

	if (info_described_kib(dom, &kib) < 0)
		return call_fail(c, conn);
	if (virDomainSetMemoryFlags(dom, (unsigned long)(kib * percent / 100),
				    VIR_DOMAIN_AFFECT_LIVE) < 0)
		return call_fail(c, conn);
	return 0;
}

/* Both are tried; the first that failed is told. CPU_PERCENT 0: as described. The CPU first: a
 * guest that takes memory back needs it. */
static int change_size(struct virt_call *c, virConnectPtr conn, virDomainPtr dom,
		       unsigned int memory_percent, unsigned int cpu_percent)
{
	struct virt_call other = {};

	if (!is_active(dom))
		return call_fail_with(c, -ESRCH, "it does not run");
	change_cpu(c, conn, dom, cpu_percent);
	change_memory(&other, conn, dom, memory_percent);
	if (c->error == 0 && other.error < 0)
		call_fail_with(c, other.error, "%s", other.message);
	return c->error;
}

/* --- the call --- */

static int act(struct act *a, virConnectPtr conn, virDomainPtr dom)
{
	struct virt_call *c = &a->call;

	switch (a->verb) {
	case VIRT_LOOK:
		return 0;
	case VIRT_START:
		return start(c, conn, dom);
	case VIRT_RESUME:
		return resume(c, conn, dom);
	case VIRT_SUSPEND:
		return suspend(c, conn, dom);
	case VIRT_SAVE:
		return save_run(c, conn, dom, a->save);
	case VIRT_SHUTDOWN:
		return shut_down(c, conn, dom);
	case VIRT_DESTROY:
		return destroy(c, conn, dom);
	case VIRT_SHRINK:
		return change_size(c, conn, dom, a->shrink.memory_percent, a->shrink.cpu_percent);
	case VIRT_GROW:
		return change_size(c, conn, dom, 100, 0);
	case VIRT_ABORT:
		return save_abort(c, conn, dom, a->save);
	case VIRT_DISCARD:
		return discard(c, conn, dom);
	default:
		return call_fail_with(c, -EINVAL, "verb %d: no such thing", (int)a->verb);
	}
}

static void act_run(struct virt_call *c, virConnectPtr conn)
{
	struct act *a = (struct act *)c;
	_cleanup_domain_ virDomainPtr dom = NULL;

	if (call_find(c, conn, a->uuid, &dom) < 0) {
		if (c->error != -ENODEV)
			return;
		a->info.state = VIRT_ABSENT;
		if (a->verb == VIRT_LOOK)
			call_forget(c);
		return;
	}
	act(a, conn, dom);
	info_look(dom, &a->info);
}

static void act_finish(struct virt_call *c)
{
	struct act *a = (struct act *)c;
	struct virt_result result = {
		.error = c->error, .info = a->info, .libvirt_us = c->libvirt_us};

	if (a->verb == VIRT_SAVE)
		save_forget(c->virt, a->save);
	else
		save_unref(a->save);
	memcpy(result.message, c->message, sizeof(result.message));
	a->done(&result, a->arg);
	free(a);
}

static enum line_kind lane_of(enum virt_verb verb)
{
	switch (verb) {
	case VIRT_LOOK:
	case VIRT_RESUME:
	case VIRT_SUSPEND:
	case VIRT_ABORT:
	case VIRT_GROW:
		return LINE_SWIFT;
	default:
		return LINE_SLOW;
	}
}

static bool is_sane(enum virt_verb verb, const struct virt_shrink *s)
{
	return verb < _VIRT_VERBS &&
	       (verb != VIRT_SHRINK || (s && s->memory_percent >= 10 && s->memory_percent <= 100 &&
					s->cpu_percent >= 1 && s->cpu_percent <= 100));
}

int virt_do(struct virt *v, const uint8_t uuid[SP_UUID_LEN], enum virt_verb verb,
	    const struct virt_shrink *shrink, virt_done done, void *arg)
{
	struct act *a;
	int r;

	if (!is_sane(verb, shrink))
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->call.run = act_run;
	a->call.finish = act_finish;
	a->verb = verb;
	a->done = done;
	a->arg = arg;
	memcpy(a->uuid, uuid, SP_UUID_LEN);
	if (verb == VIRT_SHRINK)
		a->shrink = *shrink;
	if (verb == VIRT_ABORT)
		a->save = save_find(v, uuid);
	if (verb == VIRT_SAVE)
		a->save = save_new(v, uuid);
	r = verb == VIRT_SAVE && !a->save ? -ENOMEM : call_submit(v, lane_of(verb), &a->call);
	if (r < 0) {
		if (verb == VIRT_SAVE)
			save_forget(v, a->save);
		else
			save_unref(a->save);
		free(a);
	}
	return r;
}
