/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a new password comes from. Never from the command line: others can read that. */
#ifndef SALLYPORT_CTL_PASSWORD_H
#define SALLYPORT_CTL_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

#include "sallyport/limits.h"

/*
 * Make a password of the SIZE bytes in BUF, in place: one line end is taken off. -EINVAL: empty, or
 * with a NUL or a line end inside; -E2BIG: SP_PASSWORD_MAX or longer.
 */
int password_finish(char *buf, size_t size);

/*
 * Read one: from FILE, or from standard input with FROM_STDIN, else from the terminal, twice and
 * without showing it. On failure *RET_WHY is a sentence. -ENOTTY: there is no terminal to ask at.
 */
int password_read(const char *file, bool from_stdin, char ret[SP_PASSWORD_MAX],
		  const char **ret_why);

#endif
