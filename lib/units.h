/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Amounts as people write them: in the configuration file and on the command line. */
#ifndef SALLYPORT_LIB_UNITS_H
#define SALLYPORT_LIB_UNITS_H

#include <stdint.h>

/* "512M", "16G", "1T"; without a letter: MiB. *ret_mib in MiB. -EINVAL. */
int memory_parse(const char *text, uint64_t *ret_mib);

/* "90s", "10m", "2h", "1d", "0": seconds. -EINVAL; -ERANGE: above 32 bits. */
int duration_parse(const char *text, uint32_t *ret_s);

/* The shortest of these that says the same: "10m" for 600. Returns RET. */
const char *duration_format(uint32_t s, char ret[16]);

#endif
