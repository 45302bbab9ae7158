/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a domain? Its state in our words, and whether it runs with less than is described. */
#include "virt/info.h"

#include <errno.h>
#include <string.h>

#include "virt/domain_internal.h"

#define PARAMS_MAX 16 /* the protocol's own bound; libvirt 9 knows 9 */

static enum virt_state paused_state(int reason, struct virt_info *info)
{
	info->io_error = reason == VIR_DOMAIN_PAUSED_IOERROR;
	info->unexplained = reason == VIR_DOMAIN_PAUSED_UNKNOWN;
	switch (reason) {
	case VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
		return VIRT_STOPPING;
	case VIR_DOMAIN_PAUSED_CRASHED:
		return VIRT_CRASHED;
	default:
		return VIRT_PAUSED;
	}
}

static enum virt_state state_of(virDomainPtr dom, int state, int reason, struct virt_info *info)
{
	switch (state) {
	case VIR_DOMAIN_RUNNING:
	case VIR_DOMAIN_BLOCKED:
		return VIRT_RUNNING;
	case VIR_DOMAIN_PAUSED:
		return paused_state(reason, info);
	case VIR_DOMAIN_PMSUSPENDED: /* by the guest itself; a resume wakes it */
		return VIRT_PAUSED;
	case VIR_DOMAIN_SHUTDOWN:
		return VIRT_STOPPING;
	case VIR_DOMAIN_CRASHED:
		return VIRT_CRASHED;
	case VIR_DOMAIN_SHUTOFF:
		return virDomainHasManagedSaveImage(dom, 0) == 1 ? VIRT_SAVED : VIRT_OFF;
	default:
		return VIRT_UNKNOWN;
	}
}

/* --- shrunk --- */

int info_quota(virDomainPtr dom, unsigned int flags, struct info_quota *ret)
{
	virTypedParameter params[PARAMS_MAX] = {};
	int n = PARAMS_MAX;
	unsigned long long period = 0;
	long long quota = 0;
	bool known;

	if (virDomainGetSchedulerParametersFlags(dom, params, &n, flags) < 0)
		return -EOPNOTSUPP;
	known = virTypedParamsGetULLong(params, n, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, &period) ==
			1 &&
		virTypedParamsGetLLong(params, n, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, &quota) == 1;
	virTypedParamsClear(params, n);
	if (!known)
		return -EOPNOTSUPP;
	/* Not set in the description: 0; no limit in force: below 0, or more than there is. */
	ret->period_us = period ? period : INFO_PERIOD_US;
	ret->quota_us = quota > 0 && quota < INFO_QUOTA_MAX_US ? quota : INFO_NO_QUOTA;
	return 0;
}

static double share_of(const struct info_quota *q)
{
	return q->quota_us == INFO_NO_QUOTA ? 1e9 : (double)q->quota_us / (double)q->period_us;
}

static bool has_less_cpu(virDomainPtr dom)
{
	struct info_quota live, described;

	return info_quota(dom, VIR_DOMAIN_AFFECT_LIVE, &live) == 0 &&
	       info_quota(dom, VIR_DOMAIN_AFFECT_CONFIG, &described) == 0 &&
	       share_of(&live) < share_of(&described);
}

int info_described_kib(virDomainPtr dom, uint64_t *ret)
{
	char *xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
	int r = xml ? domain_current_kib(xml, ret) : -EIO;

	free(xml);
	return r;
}

static bool is_shrunk(virDomainPtr dom, uint64_t now_kib)
{
	uint64_t described;

	if (info_described_kib(dom, &described) == 0 && now_kib < described)
		return true;
	return has_less_cpu(dom);
}

/* --- the look --- */

int info_look(virDomainPtr dom, struct virt_info *ret)
{
	struct virt_info info = {};
	virDomainInfo basic;
	int state, reason;

	if (virDomainGetState(dom, &state, &reason, 0) < 0 || virDomainGetInfo(dom, &basic) < 0) {
		const virError *e = virGetLastError();

		if (!e || e->code != VIR_ERR_NO_DOMAIN)
			return e ? virt_errno(e) : -EIO;
		ret->state = VIRT_ABSENT;
		return 0;
	}
	info.state = state_of(dom, state, reason, &info);
	info.max_kib = basic.maxMem;
	info.now_kib = basic.memory;
	info.vcpus = basic.nrVirtCpu;
	if (info.state == VIRT_RUNNING || info.state == VIRT_PAUSED)
		info.shrunk = is_shrunk(dom, info.now_kib);
	*ret = info;
	return 0;
}
