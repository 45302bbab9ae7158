/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which sessions' ends are still to be stored? They are collected and written together: thousands
 * end at once when an OpenVPN process dies. None is forgotten while the store does not answer.
 */
#ifndef SALLYPORT_LOADER_ENDS_H
#define SALLYPORT_LOADER_ENDS_H

#include <stdint.h>

struct daemon;
struct ends;

int ends_new(struct daemon *d, struct ends **ret);
struct ends *ends_free(struct ends *e);

/* Session ID is over: to be written when the loop has nothing better to do. */
void ends_add(struct ends *e, uint64_t id);

/* Give what is collected to the store's thread now: what is submitted later comes after it. */
void ends_flush(struct ends *e);

#endif
