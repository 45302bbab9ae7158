/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users, workloads, machines, sessions and the audit trail in a database. One interface, one
 * implementation for each database. Every call may block: they run on worker threads, never on the
 * event loop. A struct store is used by one thread at a time.
 *
 * A call that changes something has committed durably when it returns 0 (I8), or has changed
 * nothing. Of one failure that cannot be known: a server that was lost after COMMIT was sent,
 * before it answered. Then the words say so.
 *
 * Errors: -ENOENT no such row (or what it refers to), -EEXIST a constraint says it is there,
 * -EINVAL a value that the schema refuses, -EBUSY locked beyond the deadline, or in use, -ENOSPC
 * disk full, -EROFS the server takes no changes, -EPERM the database lets us not in, or its
 * certificate is not what it must be (never -EACCES, which is said of users), -ETIMEDOUT no answer
 * within the deadline, -ENOTCONN no server can be reached, -EUCLEAN it is not our schema, or a row
 * is not what the schema promises, -EIO and others as the database met them. store_error() has the
 * database's words for the last failure; no secret is in them.
 */
#ifndef SALLYPORT_LOADER_STORE_H
#define SALLYPORT_LOADER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/limits.h"

struct store;

#define STORE_VERSION 4 /* of the schema */

#define STORE_HASH_MAX 384 /* crypt(5): CRYPT_OUTPUT_SIZE */

struct store_user {
	uint32_t id;
	uint32_t segment; /* unique, never reused, never 0 */
	char name[SP_NAME_MAX];
	char hash[STORE_HASH_MAX]; /* never leaves the daemon */
	bool disabled;
	uint32_t max_sessions; /* 0: the configuration's default */
	uint32_t max_macs;     /* for each session; 0: the default */
	/* "10.8.0.10/24" or "": the first session's; the n-th gets +n. */
	char address[SP_ADDR_STRLEN];
	char address6[SP_ADDR_STRLEN]; /* "fd00::10/64" or "" */
	int64_t created;	       /* seconds since the epoch */
	/* Of the machines that run or are paused at once; 0: the configuration's default. */
	uint32_t max_machines, max_memory_mib, max_vcpus;
	/* Of all sessions and machines together (loader/budget.h); 0: the configuration's. */
	uint64_t rate_bytes;
	uint32_t rate_frames, max_user_macs;
	uint32_t max_flows, new_flows; /* on the segment at once, and in a second */
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

/* Stable numbers: they are in the store. */
enum store_origin {
	ORIGIN_DOMAIN = 1, /* a domain that was there before */
	ORIGIN_IMAGE = 2,  /* made by us, on an overlay of a disk image */
	ORIGIN_KERNEL = 3, /* made by us, from a kernel and an initrd */
};

enum store_start {
	START_CONNECT = 1, /* when its user logs in */
	START_TRAFFIC = 2, /* at the first frame for it, while its user is there */
	START_MANUAL = 3,  /* when it is told to */
};

/* Which IP addresses may a machine send with? */
enum store_pinned {
	PINNED_NO, /* any that nobody else has */
	PINNED_LIST,
	PINNED_DHCP, /* the list, and what it has leased */
};

#define STORE_DEFAULT (-1) /* of a number of a policy: what the configuration says */

/* A machine's policy: when it runs, and what becomes of it when nobody needs it. */
struct store_policy {
	enum store_start start;
	char ladder[SP_LADDER_MAX]; /* loader/machine/ladder.h; "": the configuration's */
	int32_t grace_s;	    /* after the last session ended */
	int32_t idle_s;		    /* without unicast frames; 0: never idle */
	int32_t min_up_s;	    /* since it was last started or resumed */
};

struct store_machine {
	uint32_t id;
	uint32_t user_id;
	char user[SP_NAME_MAX];	    /* the owner's name */
	uint32_t segment;	    /* out only: the owner's segment */
	char name[SP_NAME_MAX];	    /* unique for each user */
	char server[SP_SERVER_MAX]; /* out only: whose libvirt has it: the store's own at add */
	char domain[SP_DOMAIN_MAX]; /* libvirt's name for it, unique for each server */
	uint8_t uuid[SP_UUID_LEN];  /* libvirt's, unique */
	uint8_t mac[6];		    /* unique among all machines and MACs learned anywhere */
	enum store_origin origin;
	uint32_t memory_mib, vcpus; /* what admission counts for it */
	struct store_policy policy;
	char addresses[SP_ADDRESSES_MAX]; /* "10.8.0.7 fd00::7": known or learned */
	enum store_pinned pinned;
	char leases[SP_LEASES_MAX]; /* loader/machine/leases.h; "" unless PINNED_DHCP */
	/* What it may be to its segment; if not, what only such a one may say is dropped (I6). */
	bool router, dhcp_server;
	/* What it was last told to be (enum level of loader/machine/ladder.h), and whether by hand.
	 */
	uint8_t want;
	bool held;
};

/*
 * Where a MAC address is unique: within one segment (VLAN mode), or everywhere (MAC mode). A
 * machine's is claimed in both.
 */
#define STORE_EVERYWHERE 0U

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

/* How to reach MySQL or MariaDB. Strings are borrowed; NULL: the client library's default. */
struct store_mysql {
	const char
		*hosts; /* "a:3306, b": at most 16, tried in turn, of one cluster; NULL: `socket` */
	const char *socket; /* a unix socket */
	const char *user, *database;
	/* Where the password is: one line, read at each connect. At most one of the two. */
	const char *password_file;
	const char *password_credential; /* a name below $CREDENTIALS_DIRECTORY */
	const char *tls_ca, *tls_cert, *tls_key;
	/* Refuse what is not encrypted and verified against tls_ca (NULL: the system's). */
	bool tls;
};

#define STORE_HOSTS_MAX 16
#define STORE_HOST_MAX 256
#define STORE_MYSQL_PORT 3306
/*
 * The next host of a list, and *CURSOR behind it: 1; 0 at the end; -EINVAL. An IPv6 address stands
 * in brackets.
 */
int store_host_next(const char **cursor, char ret_host[STORE_HOST_MAX], unsigned int *ret_port);

/*
 * Users that somebody else's table knows: who is there, with which crypt(5) hash. Letters, digits
 * and '_'; the table may be "database.table". NULL: no such column. Then:
 *   store_user_get makes our own row (id, segment, limits) when it first sees a user; a user whom
 *   the table does not have is -ENOENT, whatever our row says. An empty or NULL password, or one
 *   that is too long, lets nobody in. Disabled in either is disabled.
 *   store_user_add, store_user_set_hash: -EOPNOTSUPP. store_user_delete too, unless the user is
 * gone there: then what is left here is removed. store_user_update: -EOPNOTSUPP where it would
 * change an address that the table has. store_user_each: id and segment are 0 of a user who was not
 * seen yet.
 */
struct store_mapping {
	const char *table;	     /* NULL: users are ours */
	const char *name, *password; /* needed */
	const char *disabled;	     /* 0, "0", "" or NULL: not disabled; all else is */
	const char *address, *address6;
};

#define STORE_IDENTIFIER_MAX 63
/* Can it be the name of a column, or (DOTTED) of a table, with its database before it? */
bool store_mapping_is_name(const char *s, bool dotted);

struct store_options {
	const char *path; /* SQLite file; NULL: MySQL */
	/*
	 * SQLite: longest wait for a lock. MySQL: the longest that a call takes, all its
	 * statements, hosts and repetitions together (connecting counts in whole seconds, one at
	 * least).
	 */
	unsigned int timeout_ms;
	/* This server's name among those that share the store; NULL: the host's. */
	const char *server;
	/* A look from outside: no server of its own, makes no schema, migrates none. */
	bool tool;
	/* SQLite: nobody else may have the file open, until it is closed. -EBUSY: somebody has. */
	bool exclusive;
	struct store_mysql mysql;
	struct store_mapping mapping;
};

/*
 * Open. SQLite: create the schema where there is none, migrate an older one step by step in one
 * transaction. MySQL, where others may be at work on it, and tools: -ENODATA where there is no
 * schema, -ENOTUNIQ where it is an older one; store_init and store_migrate do that when an operator
 * says so. -EPROTONOSUPPORT: made by a newer version. *ret_error: a sentence, to be freed.
 *
 * A server that the store has not seen before is entered, and lives; one that it knows lives again
 * from its first store_alive. A SQLite file that knows one server only takes this one for it: hosts
 * are given other names.
 */
int store_open(const struct store_options *options, struct store **ret, char **ret_error);

/* Make the schema in a database that has none of our tables. -EEXIST: it has. */
int store_init(const struct store_options *options, char **ret_error);
/* Bring the schema up to date. *ret_from: the version it had. 0 also where nothing was to be done.
 */
int store_migrate(const struct store_options *options, int *ret_from, char **ret_error);
/*
 * Copy every row of FROM, as it was at one moment, to TO, which has a schema and no rows, in one
 * transaction; then compare. Ids, segments and generations stay what they are, and none that was
 * ever given is given again. -ENOTEMPTY: TO has rows. PROGRESS (may be NULL) is told now and then.
 */
int store_copy(struct store *from, struct store *to,
	       void (*progress)(const char *table, uint64_t rows, void *arg), void *arg,
	       char **ret_error);

/* This server's name, as the store has it. Stays the same; may be asked by any thread. */
const char *store_server(const struct store *s);

/* Do other servers write to it as well? Then a MAC must be claimed before it is bound. */
bool store_is_shared(const struct store *s);
/* "SQLite 3.40.1, /var/lib/..." or "MariaDB 10.11.6 at db1:3306, TLS": for status and doctor. */
const char *store_describe(struct store *s);

/*
 * Say that this server lives; to be said again within SP_SERVER_LEASE_S. Sessions of a server that
 * has not are as good as ended: their MACs can be claimed and they fill no quota.
 */
int store_alive(struct store *s);

struct store_server {
	char name[SP_SERVER_MAX];
	int64_t seen_s; /* seconds since it last said that it lives, by the database's clock */
	bool alive;
};
int store_server_each(struct store *s, int (*cb)(const struct store_server *server, void *arg),
		      void *arg);

/*
 * Is every row what the schema promises, does each refer to what is there, has each MAC one owner?
 * REPORT is told each thing that is wrong in a sentence; *ret_n is how many. An error is one of
 * looking. May run while servers are at work: what they change meanwhile may be told.
 */
int store_verify(struct store *s, void (*report)(const char *sentence, void *arg), void *arg,
		 uint64_t *ret_n);

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
/* Also deletes the user's workloads. -EBUSY while a live session, or a machine, exists. */
int store_user_delete(struct store *s, const char *name);
int store_user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg),
		    void *arg);

/*
 * Claims its MAC in the owner's segment; -EEXIST: the name, the device or the MAC is taken. Other
 * users' workloads may have the MAC too; a machine, or a session on an instance in MAC mode, not.
 */
int store_workload_add(struct store *s, struct store_workload *w);
/* -EXDEV: another server has it. */
int store_workload_delete(struct store *s, const char *user, const char *name);
/* Of this server. */
int store_workload_each(struct store *s, int (*cb)(const struct store_workload *w, void *arg),
			void *arg);

/*
 * id, segment and server are written back. Claims its MAC in the owner's segment and everywhere.
 * -EEXIST: the name, the domain, the UUID or the MAC is taken.
 */
int store_machine_add(struct store *s, struct store_machine *m);
int store_machine_get(struct store *s, const char *user, const char *name,
		      struct store_machine *ret);
/* Policy, addresses, pinned, leases, router, dhcp_server, memory_mib, vcpus; by id. */
int store_machine_update(struct store *s, const struct store_machine *m);
/* addresses alone, as the machine was heard to use them; by id. -ENOENT also where it is pinned. */
int store_machine_set_addresses(struct store *s, uint32_t id, const char *addresses);
/* leases alone; by id. -ENOENT also where the machine is not PINNED_DHCP any more. */
int store_machine_set_leases(struct store *s, uint32_t id, const char *leases);
/* want and held; by id. */
int store_machine_set_want(struct store *s, uint32_t id, uint8_t want, bool held);
/* -EXDEV: another server has it. */
int store_machine_delete(struct store *s, const char *user, const char *name);
/* Of this server. */
int store_machine_each(struct store *s, int (*cb)(const struct store_machine *m, void *arg),
		       void *arg);

/*
 * The firewall policy of a machine, by its id: a text, checked by whoever writes it. The generation
 * counts its changes, also when the text is taken away: none is given twice while the machine is.
 */
struct store_rules {
	uint32_t machine_id;
	uint64_t generation; /* 0: there never was one */
	const char *text;    /* NULL: the host's default */
};
#define STORE_ANY_GENERATION UINT64_MAX
/* *ret_text: to be freed, or NULL. 0 also where there never was one: generation 0. */
int store_rules_get(struct store *s, uint32_t machine_id, uint64_t *ret_generation,
		    char **ret_text);
/*
 * TEXT NULL: none any more. EXPECTED: the generation that it replaces. -ESTALE: it is another by
 * now. -ENOENT: there is no such machine; -EXDEV: another server has it. -EINVAL: above
 * SP_POLICY_MAX.
 */
int store_rules_set(struct store *s, uint32_t machine_id, const char *text, uint64_t expected,
		    uint64_t *ret_generation);
/* Of this server's machines. RULES are valid during the call only. */
int store_rules_each(struct store *s, int (*cb)(const struct store_rules *rules, void *arg),
		     void *arg);

/*
 * Claim MAC in SCOPE for a live session: from now on no other server's session can have it there.
 * 0 also where it has it already. From another session of the same user, from one that has ended
 * and from one of a server that is not alive it is taken over: *ret_from is that session, else 0.
 * -EEXIST: another user's session, a workload or a machine has it. -ENOENT: SESSION is not live.
 */
int store_mac_claim(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session,
		    uint64_t *ret_from);
/*
 * Only if SESSION has it: releasing what it has not is 0. store_session_end_many releases all of a
 * session's.
 */
int store_mac_release(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session);

/*
 * Record a session; id is written back. One transaction: -EACCES where the user is disabled,
 * -ENOENT where it is gone, -EDQUOT where MAX_SESSIONS sessions of the user are live already, on
 * this server and all that live. `index` is the lowest one that no live session of the user holds.
 * -EEXIST: a live session of this server's instance has the VLAN id.
 */
int store_session_begin(struct store *s, struct store_session *session, uint32_t max_sessions);
/* Idempotent: ending an ended or unknown session is 0. */
int store_session_end(struct store *s, uint64_t id, int64_t when);
/* The same for N of them in one transaction. */
int store_session_end_many(struct store *s, const uint64_t *ids, size_t n, int64_t when);
/* This server's sessions that are live, and those that ended at ENDED_SINCE or later. */
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
