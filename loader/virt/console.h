/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Consoles and the life of the connection that they go over. */
#ifndef SALLYPORT_LOADER_VIRT_CONSOLE_H
#define SALLYPORT_LOADER_VIRT_CONSOLE_H

struct virt;

int consoles_new(struct virt *v);
/* The connection is gone: each is told of its end. */
void consoles_lost(struct virt *v);
/* The end of everything: nobody is told. */
void consoles_free(struct virt *v);

#endif
