/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of libvirt's host, through its storage pools: images that are shared, overlays of them. */
#ifndef SALLYPORT_LOADER_VIRT_STORAGE_H
#define SALLYPORT_LOADER_VIRT_STORAGE_H

#include "virt/virt_internal.h"

struct storage_file {
	char format[16]; /* as found: "raw" is whatever is nothing else */
	uint64_t bytes;	 /* as a guest would see it */
};

/*
 * All on a worker; negative errno is in C, too.
 *
 * Is the file at PATH there, and what is it? -ENOENT. -EOPNOTSUPP: this libvirt has no storage.
 */
int storage_look(struct virt_call *c, virConnectPtr conn, const char *path,
		 struct storage_file *ret);
/* Make the overlay NAME in DIR (a pool is made for it, and stays), on BASE. -EEXIST. */
int storage_overlay(struct virt_call *c, virConnectPtr conn, const char *dir, const char *name,
		    uint64_t bytes, const char *base, const char *base_format);
/* 0 also where it is gone. */
int storage_delete(struct virt_call *c, virConnectPtr conn, const char *path);

#endif
