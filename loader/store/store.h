/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users, workloads, sessions and the audit trail on disk. One interface, one implementation for
 * each database. Every call may block: they run on worker threads, never on the event loop. A
 * struct store is used by one thread at a time.
 *
 * A call that changes something has committed durably when it returns 0 (I8), or has changed
 * nothing. Errors: -ENOENT no such row, -EEXIST a constraint says it is there, -EBUSY locked
 * beyond the deadline, -ENOSPC disk full, -EIO and others as the database met them, -EUCLEAN the
 * file is not our schema. store_error() has the database's words for the last failure.
 */
#ifndef SALLYPORT_LOADER_STORE_H
#define SALLYPORT_LOADER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/limits.h"

struct store;

#define STORE_HASH_MAX 384 /* crypt(5): CRYPT_OUTPUT_SIZE */

struct store_user {
	uint32_t id;
	uint32_t segment; /* unique, never reused, never 0 */
	char name[SP_NAME_MAX];
	char hash[STORE_HASH_MAX]; /* never leaves the daemon */
	bool disabled;
	uint32_t max_sessions;	      /* 0: the configuration's default */
	uint32_t max_macs;	      /* for each session; 0: the default */
	char address[SP_ADDR_STRLEN]; /* "10.8.0.10/24" or "": the first session's; the n-th gets +n
				       */
	char address6[SP_ADDR_STRLEN]; /* "fd00::10/64" or "" */
	int64_t created;	       /* seconds since the epoch */
};

struct store_workload {
	uint32_t id;
	uint32_t user_id;
	char user[SP_NAME_MAX];	 /* out only: the owner's name */
	uint32_t segment;	 /* out only: the owner's segment */
	char name[SP_NAME_MAX];	 /* unique for each user */
	char netns[SP_NAME_MAX]; /* a name below /run/netns */
	char ifname[16];	 /* of the end inside the namespace */
	uint8_t mac[6];		 /* unique within the segment */
};

struct store_session {
	uint64_t id; /* also the generation: never reused, grows */
	uint32_t user_id;
	uint32_t segment; /* out only */
	char user[SP_NAME_MAX];
	char instance[SP_INSTANCE_MAX];
	char common_name[SP_CN_MAX];
	char trusted_ip[SP_ADDR_STRLEN];
	uint16_t trusted_port;
	int64_t time_unix;
	int64_t daemon_pid;	/* OpenVPN's */
	uint16_t vid;		/* 0 in MAC mode */
	uint32_t index;		/* which of the user's addresses it holds */
	int64_t started, ended; /* seconds since the epoch; ended 0: live */
};

struct store_options {
	const char *path;	 /* SQLite file */
	unsigned int timeout_ms; /* longest wait for a lock */
};

/*
 * Open, create the schema where there is none, migrate an older one step by step in one
 * transaction. -EPROTONOSUPPORT: made by a newer version. *ret_error: a sentence, to be freed.
 */
int store_open(const struct store_options *options, struct store **ret, char **ret_error);
void store_close(struct store *s);
void store_closep(struct store **s);
const char *store_error(const struct store *s);

/* Read one page: is the database there and ours? */
int store_check(struct store *s);

/* Could a change be committed now? Commits one that alters nothing. Errors as of any change. */
int store_try(struct store *s);

/* id, segment and created are chosen by the store and written back. */
int store_user_add(struct store *s, struct store_user *user);
int store_user_get(struct store *s, const char *name, struct store_user *ret);
int store_user_set_hash(struct store *s, const char *name, const char *hash);
int store_user_set_disabled(struct store *s, const char *name, bool disabled);
/* Everything but id, segment, name, hash and created. */
int store_user_update(struct store *s, const struct store_user *user);
/* Also deletes the user's workloads. -EBUSY while a live session exists. */
int store_user_delete(struct store *s, const char *name);
int store_user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg),
		    void *arg);

int store_workload_add(struct store *s, struct store_workload *w);
int store_workload_delete(struct store *s, const char *user, const char *name);
int store_workload_each(struct store *s, int (*cb)(const struct store_workload *w, void *arg),
			void *arg);

/*
 * Record a session; id is written back. One transaction: -EACCES where the user is disabled,
 * -ENOENT where it is gone, -EDQUOT where MAX_SESSIONS sessions of the user are live already.
 * `index` is the lowest one that no live session of the user holds.
 */
int store_session_begin(struct store *s, struct store_session *session, uint32_t max_sessions);
/* Idempotent: ending an ended or unknown session is 0. */
int store_session_end(struct store *s, uint64_t id, int64_t when);
/* The same for N of them in one transaction. */
int store_session_end_many(struct store *s, const uint64_t *ids, size_t n, int64_t when);
/* Sessions that are live, and those that ended at ENDED_SINCE or later. */
int store_session_each_since(struct store *s, int64_t ended_since,
			     int (*cb)(const struct store_session *session, void *arg), void *arg);
int store_session_each_live(struct store *s,
			    int (*cb)(const struct store_session *session, void *arg), void *arg);

/* WHO did WHAT to WHICH object, and how it ended. `detail` may be NULL. */
int store_audit_add(struct store *s, const char *who, const char *what, const char *object,
		    const char *detail);
int store_audit_each(struct store *s, size_t limit,
		     int (*cb)(int64_t when, const char *who, const char *what, const char *object,
			       const char *detail, void *arg),
		     void *arg);

#endif
