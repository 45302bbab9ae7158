/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GET /metrics on a loopback address, for Prometheus: libmicrohttpd on our own event loop, without
 * a thread of its own. Whoever may open a connection on this host may read: there are no names of
 * users in it.
 */
#ifndef SALLYPORT_LOADER_HTTP_H
#define SALLYPORT_LOADER_HTTP_H

#include <stdbool.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

struct http;
struct metrics;

#define HTTP_CONNECTIONS_MAX 16

/*
 * "127.0.0.1:9469" (any of 127.0.0.0/8) or "[::1]:9469". False: it is no loopback address with a
 * port from 1 to 65535.
 */
bool http_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len);

/* LISTEN: as above. -EADDRINUSE and the like; -EINVAL: not an address. */
int http_new(sd_event *event, struct metrics *m, const char *listen, struct http **ret);
/* Before the metrics. Connections are cut off. */
struct http *http_free(struct http *h);

#endif
