/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of OpenVPN's management interface on a unix socket, on the event loop, never blocking.
 * It tells us who is connected (after a restart of ours), ends a client, and is the quickest sign
 * that the process died: kill -9 fires no hook, but it closes this socket.
 */
#ifndef SALLYPORT_LOADER_MGMT_H
#define SALLYPORT_LOADER_MGMT_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "sallyport/limits.h"

struct mgmt;

struct mgmt_client {
	char common_name[SP_CN_MAX];
	char username[SP_NAME_MAX];
	char ip[SP_ADDR_STRLEN]; /* real address, without port, as inet_ntop writes it */
	uint16_t port;		 /* 0: not said (OpenVPN 2.6 leaves it out for IPv6) */
	int64_t time_unix;	 /* connected since */
	uint64_t cid;
};

struct mgmt_callbacks {
	/* Connected, and OpenVPN said its pid. */
	void (*up)(struct mgmt *m, int64_t pid, void *arg);
	/* The socket closed: OpenVPN ended or is restarting. Reconnects by itself (with backoff,
	 * and at once when mgmt_poke is called). */
	void (*down)(struct mgmt *m, void *arg);
};

/*
 * PATH is copied. Starts connecting at once. Lines that are too long or make no sense are skipped
 * and counted, never trusted.
 */
int mgmt_new(sd_event *event, const char *path, const struct mgmt_callbacks *callbacks, void *arg,
	     struct mgmt **ret);
struct mgmt *mgmt_free(struct mgmt *m);

bool mgmt_is_up(const struct mgmt *m);
int64_t mgmt_pid(const struct mgmt *m); /* 0 while down */
/* Lines that were too long or made no sense, since mgmt_new. */
uint64_t mgmt_skipped(const struct mgmt *m);
/* Something says that OpenVPN is there (a hook called): connect now. */
void mgmt_poke(struct mgmt *m);

/*
 * "status 3": DONE is called exactly once, with the clients or with error < 0 (-ENOTCONN when it is
 * or goes down, -ETIMEDOUT after 5 s, -EBADMSG), never before this returned. CLIENTS is valid
 * during the call only. -ENOBUFS, -ENOMEM: nothing was asked, DONE is not called.
 */
int mgmt_status(struct mgmt *m,
		void (*done)(int error, const struct mgmt_client *clients, size_t n, void *arg),
		void *arg);

/*
 * End the client that matches ip, port and time_unix: looked up by status, then client-kill CID.
 * DONE (may be NULL): 0, -ENOENT, -ENOTUNIQ (OpenVPN names no ports and several match), or as
 * above. -EINVAL: IP is not an address.
 */
int mgmt_kill(struct mgmt *m, const char *ip, uint16_t port, int64_t time_unix,
	      void (*done)(int error, void *arg), void *arg);

/*
 * End a client that a status named; a process of OpenVPN never gives a client id twice. DONE as
 * above; where it is NULL, nobody waits and there is no timeout.
 */
int mgmt_kill_cid(struct mgmt *m, uint64_t cid, void (*done)(int error, void *arg), void *arg);

#endif
