/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values on the command line. Strict: the whole text is the value, or it is -EINVAL. */
#ifndef SALLYPORT_CTL_PARSE_H
#define SALLYPORT_CTL_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARSE_MS_MIN 100
#define PARSE_MS_MAX 3600000

/* A decimal number from MIN to MAX: digits only, no sign, no leading zeros. */
int parse_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* "1", "0.5": seconds with at most three decimals, PARSE_MS_MIN to PARSE_MS_MAX in ms. */
int parse_seconds_ms(const char *s, uint64_t *ret_ms);

/*
 * "10.8.0.10/24" or "fd00::10/64": an address of a host with its prefix length. Group, loopback and
 * unspecified addresses are refused, and of IPv4 the network's own and its broadcast address.
 */
int parse_address(const char *s, bool v6);

/* A user's, workload's, instance's or namespace's name: [A-Za-z0-9_.@-], no leading '.' or '-',
 * shorter than MAX. */
int parse_name(const char *s, size_t max);

#endif
