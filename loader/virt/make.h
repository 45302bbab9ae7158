/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What making a machine's domain and undoing it have in common; on a worker. */
#ifndef SALLYPORT_LOADER_VIRT_MAKE_H
#define SALLYPORT_LOADER_VIRT_MAKE_H

#include "virt/domain_internal.h"
#include "virt/virt_internal.h"

/* The sentence of a domain_* function becomes the call's; it is freed. Returns ERROR. */
int make_complain(struct virt_call *c, int error, char *sentence);
/* -EBUSY: it runs. -EINVAL: its description does not last. */
int make_check_rests(struct virt_call *c, virDomainPtr dom);
/* -EBUSY: it has a saved image. */
int make_check_unsaved(struct virt_call *c, virDomainPtr dom);
int make_define(struct virt_call *c, virConnectPtr conn, const char *xml);

#endif
