/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses that only this host reaches. */
#ifndef SALLYPORT_LIB_LOOPBACK_H
#define SALLYPORT_LIB_LOOPBACK_H

#include <stdbool.h>
#include <sys/socket.h>

/*
 * "127.0.0.1:9469" (any of 127.0.0.0/8) or "[::1]:9469". False: it is no loopback address with a
 * port from 1 to 65535.
 */
bool loopback_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len);

#endif
