/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files through which OpenVPN takes a deferred answer. OpenVPN made them and removes them: one
 * that is gone means that nobody waits any more, and none is ever created here.
 */
#ifndef SALLYPORT_HOOKS_CONTROL_FILE_H
#define SALLYPORT_HOOKS_CONTROL_FILE_H

#include <stdbool.h>

/* Replace the content of PATH by TEXT, whole. -ENOENT, -ELOOP, -EINVAL (not a regular file), ... */
int control_file_text(const char *path, const char *text);

/*
 * Put VERDICT ('0', '1', '2') into PATH by one write and without truncating first: OpenVPN, which
 * polls the file, sees the old verdict or the new one and never an empty file.
 */
int control_file_verdict(const char *path, char verdict);

/* The whole answer, in the order that OpenVPN needs: the text (NULL: none), then the verdict. */
int control_file_answer(const char *text_path, const char *text, const char *verdict_path,
			char verdict);

/* Is somebody still waiting for PATH? */
bool control_file_wanted(const char *path);

#endif
