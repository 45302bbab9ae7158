/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who wants to know what happens? Sampled drops and changes, to the subscribers of the op
 * `monitor`. */
#ifndef SALLYPORT_LOADER_MONITOR_H
#define SALLYPORT_LOADER_MONITOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct machine;
struct monitor;
struct request;
struct session;

int monitor_new(struct daemon *d, struct monitor **ret);
struct monitor *monitor_free(struct monitor *m);

/* Takes R, which is answered with a stream until its caller goes away. */
int monitor_subscribe(struct daemon *d, struct request *r, bool drops, bool changes);

void monitor_session(struct daemon *d, const struct session *s, bool start);
/* TYPE: "learn", "forget" or "refuse". REASON may be NULL. */
void monitor_mac(struct daemon *d, const char *type, uint64_t session, const uint8_t mac[6],
		 uint16_t vid, const char *reason);
/* It is in another state. */
void monitor_machine(struct daemon *d, const struct machine *m);
void monitor_instance(struct daemon *d, const char *name, const char *state);

#endif
