/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does KVM boot a guest here? Found out once, by booting one. */
#ifndef SALLYPORT_LOADER_VIRT_ACCEL_H
#define SALLYPORT_LOADER_VIRT_ACCEL_H

#include "virt/virt_internal.h"

/* WANTED: "auto", "kvm", "tcg" (NULL: auto). -EINVAL: none of these. */
int accel_new(struct virt *v, const char *wanted);
void accel_free(struct virt *v);

/* A connection is there. */
void accel_begin(struct virt *v);
/* It is gone, and the domain with it: the next one begins anew. */
void accel_lost(struct virt *v);

/* It is being found out. */
bool accel_is_asked(const struct virt *v);

/* Is that the domain that is booted for it? Nobody else need know of it. */
bool accel_is_probe(const struct virt *v, const uint8_t uuid[SP_UUID_LEN]);

#endif
