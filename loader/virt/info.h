/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a domain? To be asked on a worker. */
#ifndef SALLYPORT_LOADER_VIRT_INFO_H
#define SALLYPORT_LOADER_VIRT_INFO_H

#include "virt/virt_internal.h"

/* State ABSENT where libvirt does not know it (any more). Negative errno: *ret is untouched. */
int info_look(virDomainPtr dom, struct virt_info *ret);

/* What each vCPU may have of a CPU: QUOTA of each PERIOD. */
struct info_quota {
	unsigned long long period_us;
	long long quota_us;
};
#define INFO_NO_QUOTA (-1LL)
#define INFO_PERIOD_US 100000ULL /* the kernel's default */
/* Above it is "no limit", as some versions of libvirt write it. */
#define INFO_QUOTA_MAX_US 1000000000LL

/* FLAGS: VIR_DOMAIN_AFFECT_LIVE or _CONFIG. -EOPNOTSUPP: no such thing here. */
int info_quota(virDomainPtr dom, unsigned int flags, struct info_quota *ret);
/* Memory that its description gives it at the start. */
int info_described_kib(virDomainPtr dom, uint64_t *ret);

#endif
