/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ownership that a reader can check within one function: a resource is released when its
 * variable leaves scope, unless TAKE_* moved it out.
 */
#ifndef SALLYPORT_LIB_CLEANUP_H
#define SALLYPORT_LIB_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Release with FUNC(&variable) at the end of the scope. */
#define _cleanup_(func) __attribute__((__cleanup__(func)))

/* Move a pointer out of its variable, which becomes NULL. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		typeof(p) *_p = &(p);                                                              \
		typeof(p) _v = *_p;                                                                \
		*_p = NULL;                                                                        \
		_v;                                                                                \
	})

/* Move a file descriptor out of its variable, which becomes -1. */
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_fd = &(fd);                                                                  \
		int _v = *_fd;                                                                     \
		*_fd = -1;                                                                         \
		_v;                                                                                \
	})

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)

#define SP_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
