/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the four hook programs have in common: their options, their errors, going on in secret. */
#ifndef SALLYPORT_HOOKS_PROGRAM_H
#define SALLYPORT_HOOKS_PROGRAM_H

#include "hooks/env.h"

/*
 * Parse the options. True: go on with *ret. False: exit with *ret_code: 0 after --help or
 * --version, FAILURE after an error, which has been reported.
 */
bool program_start(int argc, char **argv, const char *appended, int failure, struct hook_args *ret,
		   int *ret_code);

/* One line to stderr, which OpenVPN takes into its log. OBJECT may be NULL. */
void program_error(const char *what, const char *object, int error);

/*
 * Become a process that OpenVPN neither waits for nor shares a descriptor with: its own session,
 * stdio on /dev/null, everything closed but KEEP_FD (-1: none). 0 in the child, 1 in the parent,
 * a negative errno when there is no child.
 */
int program_background(int keep_fd);

#endif
