/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that others chose: which of its bytes are UTF-8? */
#ifndef SALLYPORT_LIB_UTF8_H
#define SALLYPORT_LIB_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * The code point at S, a C string, and the bytes it takes in *RET_LEN; -1 (and 1) where it is not
 * UTF-8 as RFC 3629 has it: overlong forms and surrogates are not.
 */
int32_t utf8_decode(const char *s, size_t *ret_len);

#endif
