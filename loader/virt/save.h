/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A save on its way, which an abort can meet at any point. */
#ifndef SALLYPORT_LOADER_VIRT_SAVE_H
#define SALLYPORT_LOADER_VIRT_SAVE_H

#include "virt/virt_internal.h"

/* Shared by the save's call and by those that abort it. NULL: no memory. */
struct save *save_new(struct virt *v, const uint8_t uuid[SP_UUID_LEN]);
/* On the loop: the one of this domain that is on its way, with a reference; NULL: none. */
struct save *save_find(struct virt *v, const uint8_t uuid[SP_UUID_LEN]);
/* On the loop: its call is over. */
void save_forget(struct virt *v, struct save *s);
void save_unref(struct save *s);

/* On a worker. */
int save_run(struct virt_call *c, virConnectPtr conn, virDomainPtr dom, struct save *s);
/* S NULL: of a save that is somebody else's. */
int save_abort(struct virt_call *c, virConnectPtr conn, virDomainPtr dom, struct save *s);

#endif
