/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's IP addresses: as text in the store, as 16 bytes in the maps. */
#ifndef SALLYPORT_LOADER_MACHINE_ADDRESSES_H
#define SALLYPORT_LOADER_MACHINE_ADDRESSES_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/limits.h"

struct addresses {
	size_t n;
	uint8_t v[SP_ADDRESSES_N][16]; /* network order, IPv4 as ::ffff:a.b.c.d */
};

/*
 * Read "10.8.0.7 fd00::7": unicast addresses, spaces or commas between, at most SP_ADDRESSES_N.
 * -EINVAL, -E2BIG: *ret_bad (may be NULL) is the first word that is not one, within TEXT.
 */
int addresses_parse(const char *text, struct addresses *ret, const char **ret_bad);
void addresses_format(const struct addresses *a, char ret[SP_ADDRESSES_MAX]);

bool addresses_have(const struct addresses *a, const uint8_t addr[16]);
/* -E2BIG: there are as many as can be. 0 also where it is there already. */
int addresses_add(struct addresses *a, const uint8_t addr[16]);

/* Of one host, and no other's: not unspecified, loopback, multicast or broadcast. */
bool address_is_unicast(const uint8_t addr[16]);
/* One as text, shorter form. Returns RET. */
const char *address_format(const uint8_t addr[16], char ret[INET6_ADDRSTRLEN]);

#endif
