/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's event loop, inside ours: its file descriptors in an epoll of their own, which is one
 * source of the sd-event loop. libvirt has one such implementation for the life of a process.
 */
#ifndef SALLYPORT_LOADER_VIRT_EVENT_H
#define SALLYPORT_LOADER_VIRT_EVENT_H

#include <systemd/sd-event.h>

/* Before the first connection. -EBUSY: attached to a loop already. */
int virt_event_attach(sd_event *event);
/* After the last one; frees what libvirt gave up. */
void virt_event_detach(void);

/*
 * Shut down every socket that libvirt watches: each call that waits for an answer, on whatever
 * thread, ends with an error. Also one that is still opening its connection.
 */
void virt_event_hang_up(void);

#endif
