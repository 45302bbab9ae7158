/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's tap: m->tap says how far it is, m->link what the kernel knows of it. Taps come with
 * their domain (M1) and go after it (M3); machine_port.c says when.
 */
#ifndef SALLYPORT_LOADER_MACHINE_TAP_H
#define SALLYPORT_LOADER_MACHINE_TAP_H

struct link_info;
struct machine;

/* As libvirt knows it, too. */
void tap_name(const struct machine *m, char ret[16]);
/* A device, down: nothing passes. A negative errno of the kernel's. */
int tap_make(struct machine *m);
/*
 * On a worker: behind its programs, then up; machine_on_tap is called then, with m->tap TAP_READY
 * or TAP_FAILED. The caller has set TAP_RAISING. -ENOMEM.
 */
int tap_raise(struct machine *m);
/*
 * On a worker: it goes, if it is there and nothing of that kind is on its way; machine_on_tap is
 * called then, with m->tap TAP_NONE. The segment's entries have let go of it (D1).
 */
void tap_remove(struct machine *m);

/* What the kernel knows of it; LINK is copied. */
void tap_set_link(struct machine *m, const struct link_info *link);
void tap_forget_link(struct machine *m);

#endif
