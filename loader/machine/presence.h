/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a user there? Of each user who has machines on this host: how many sessions are live, whether
 * a login is on its way, since when nobody is there. A second device changes nothing, a blip
 * neither: what follows from it is the machines' business.
 */
#ifndef SALLYPORT_LOADER_MACHINE_PRESENCE_H
#define SALLYPORT_LOADER_MACHINE_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <uthash.h>

#include "sallyport/limits.h"

struct daemon;
struct machine;
struct store_user;

struct resources {
	uint32_t machines, memory_mib, vcpus;
};

struct presence {
	struct daemon *daemon;
	uint32_t user_id;
	char user[SP_NAME_MAX];
	unsigned int sessions;	    /* live */
	uint64_t expected_until_us; /* a login was right, its session has not come yet; 0: none */
	uint64_t arrived_us;	    /* since when somebody is there */
	uint64_t left_us;	    /* since when nobody is */
	uint64_t trace;		    /* of the login that came last */
	sd_event_source *timer;	    /* the end of what is expected */
	struct machine *machines;   /* list by owner_next */
	struct resources max;	    /* 0: the configuration's */
	struct resources held;	    /* admission.h */
	UT_hash_handle hh;
};

/* The user's, made where there is none. NULL: out of memory. */
struct presence *presence_get(struct daemon *d, uint32_t user_id, const char *user);
/* NULL: the user has no machines here. */
struct presence *presence_find(struct daemon *d, uint32_t user_id);
/* What the store says of the user's limits; nothing where the user has no machines here. */
void presence_set_limits(struct daemon *d, const struct store_user *u);
/* Forget it, when its last machine has gone. */
void presence_free(struct presence *p);

/* Somebody is there, or is about to be. */
bool presence_is_there(const struct presence *p, uint64_t now_us);

/* A password was right: a session will follow within OpenVPN's hand-window. Machines begin to
 * start. */
void presence_login(struct daemon *d, uint32_t user_id, uint64_t trace);
/* A session of the user began (also when it was taken over at start), or ended. */
void presence_session(struct daemon *d, uint32_t user_id, uint64_t trace, bool began);

#endif
