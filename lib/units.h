/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Amounts as people write them: in the configuration file and on the command line. */
#ifndef SALLYPORT_LIB_UNITS_H
#define SALLYPORT_LIB_UNITS_H

#include <stdint.h>

/* "512M", "16G", "1T"; without a letter: MiB. *ret_mib in MiB. -EINVAL. */
int memory_parse(const char *text, uint64_t *ret_mib);

/* "1500", "10K", "5M", "1G": decimal multiples. -EINVAL. */
int size_parse(const char *text, uint64_t *ret);

#define DURATION_MAX 16 /* of the text, its NUL included */

/* "90s", "10m", "2h", "1d", "0": seconds. -EINVAL; -ERANGE: UINT32_MAX and more. */
int duration_parse(const char *text, uint32_t *ret_s);

/* In the largest unit that divides it: "10m" for 600, "0" for 0. Returns RET. */
const char *duration_format(uint32_t s, char ret[DURATION_MAX]);

#endif
