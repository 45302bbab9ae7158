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

/* LISTEN: as lib/loopback.h. -EADDRINUSE and the like; -EINVAL: not an address. */
int http_new(sd_event *event, struct metrics *m, const char *listen, struct http **ret);
/* Before the metrics. Connections are cut off. */
struct http *http_free(struct http *h);

#endif
