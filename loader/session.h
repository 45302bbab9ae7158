/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is connected? Sessions from connect to disconnect, by key and by generation, never by name
 * alone. */
#ifndef SALLYPORT_LOADER_SESSION_H
#define SALLYPORT_LOADER_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "log.h"
#include "segment.h"
#include "store/store.h"

struct daemon;
struct instance;

/* Zeroed before it is filled: compared byte by byte. */
struct session_key {
	char instance[SP_INSTANCE_MAX];
	char common_name[SP_CN_MAX];
	char ip[SP_ADDR_STRLEN];
	int64_t time_unix;
	uint16_t port;
	uint8_t pad[6];
};

enum session_state {
	SESSION_PENDING, /* its row is being written */
	SESSION_LIVE,	 /* programmed */
};

struct session {
	struct daemon *daemon;
	struct instance *instance;
	struct session_key key;
	enum session_state state;
	bool cancelled; /* pending, and already gone */
	uint64_t id;	/* also the generation */
	uint64_t trace; /* id; 0: none, as after a restart */
	uint32_t user_id, index;
	char user[SP_NAME_MAX];
	char address[SP_ADDR_STRLEN], address6[SP_ADDR_STRLEN]; /* of this session, with prefix */
	int64_t started, daemon_pid;
	unsigned int max_macs;
	struct log_limit refusals; /* of MACs */
	struct member member;	   /* its port, segment and MACs */
	UT_hash_handle hh_key, hh_id;
};

void session_key_set(struct session_key *k, const char *instance, const char *common_name,
		     const char *ip, uint16_t port, int64_t time_unix);

/* A session that is pending: known by its key only. -EEXIST. */
int session_new(struct daemon *d, struct instance *i, const struct session_key *key,
		struct session **ret);

/*
 * Program a pending session: port number, rates, segment, VLAN id. ROW has what the store knows;
 * its VLAN id is taken already, and stays the caller's on failure. PORT: the number it had before a
 * restart, where it is free; 0: a new one. On failure
 * the session is still pending: -ENOSPC, -E2BIG: a map or the segment is full.
 */
int session_activate(struct session *s, const struct store_session *row, uint32_t port,
		     unsigned int max_macs);

/* The configuration's rates and the user's, on one session; what fails is logged. */
void session_set_rate(struct session *s);
/* The same on every session that is live. */
void session_set_rates(struct daemon *d);

/* Forget a pending one. */
void session_drop(struct session *s);

/*
 * End a live session: its entries go at once, then its row on the store's thread. REASON is logged.
 * The session is gone.
 */
void session_end(struct session *s, const char *reason);

/* Every session of an instance, or only those of another OpenVPN process than PID (0: all). */
void session_end_instance(struct instance *i, int64_t pid, const char *reason);
void session_end_user(struct daemon *d, uint32_t user_id, const char *reason);

struct session *session_find(struct daemon *d, const struct session_key *key);
struct session *session_find_id(struct daemon *d, uint64_t id);

/* The N-th address from BASE "a.b.c.d/len" or "x::y/len"; "" from "". -ERANGE: outside the prefix.
 */
int session_address(const char *base, uint32_t n, char ret[SP_ADDR_STRLEN]);

#endif
