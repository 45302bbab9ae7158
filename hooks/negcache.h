/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which MACs did the daemon refuse to which session a moment ago? OpenVPN asks again for every
 * single frame of a refused MAC; this answers without asking the daemon.
 *
 * Two tables of fixed size, each look-up touches one set of each: O(1), no memory is allocated
 * after negcache_new, no system call. What does not fit pushes out what ends first: then the
 * daemon is asked, never is a frame let through (I4). A session is named by a 64-bit number, keyed
 * hash of its key: a client cannot aim at another's entries.
 */
#ifndef SALLYPORT_HOOKS_NEGCACHE_H
#define SALLYPORT_HOOKS_NEGCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "hooks/env.h"

/* Sessions and MACs that it remembers at once. */
#define NEGCACHE_SESSIONS 4096
#define NEGCACHE_MACS 16384

struct negcache;

/* NULL: no memory, or no random numbers. */
struct negcache *negcache_new(void);
void negcache_free(struct negcache *n);

/* The number of a session; never 0. */
uint64_t negcache_session(const struct negcache *n, const struct hook_session *s);

/* Was this MAC refused, or every MAC of the session, until later than NOW_US? */
bool negcache_refused(const struct negcache *n, uint64_t session, const uint8_t mac[6],
		      uint16_t vid, uint64_t now_us);

void negcache_add(struct negcache *n, uint64_t session, const uint8_t mac[6], uint16_t vid,
		  uint64_t now_us, uint64_t until_us);

/* Refuse every MAC of the session. */
void negcache_add_session(struct negcache *n, uint64_t session, uint64_t now_us, uint64_t until_us);

/* The session is over: forget all of it. */
void negcache_drop(struct negcache *n, uint64_t session);

#endif
