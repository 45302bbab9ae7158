/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the store share: the store itself, and what each table offers the others. */
#ifndef SALLYPORT_LOADER_STORE_INTERNAL_H
#define SALLYPORT_LOADER_STORE_INTERNAL_H

#include "sql.h"
#include "store.h"

#define STORE_SCHEMA_VERSION STORE_VERSION
#define STORE_APPLICATION_ID 0x53616c6c /* "Sall" */

/*
 * The steps from each version to the next, in SQLite's SQL: schema[0] makes version 1 out of
 * nothing. Run in one transaction, so that an old file is either whole or untouched.
 */
extern const char *const store_schema[STORE_SCHEMA_VERSION];

struct mapping;

/* The first member of a driver's own struct. */
struct store {
	const struct sql_driver *driver;
	struct sql *statements[SQL_STATEMENTS];
	char error[512]; /* of the last failure: the database forgets its own */
	char description[192];
	unsigned int timeout_ms;
	uint64_t deadline_us; /* CLOCK_MONOTONIC; of the call that runs */
	bool again;	      /* the last failure undid all: try once more */
	bool in_transaction;
	/* Other nodes commit what this one's locks do not hold off: what decides must be written.
	 */
	bool cluster;
	char server[SP_SERVER_MAX];
	int64_t server_id;	 /* 0: a tool */
	struct mapping *mapping; /* NULL: users are ours */
};

int sqlite_open(const struct store_options *o, struct store **ret, char **ret_error);
int sqlite_init(const struct store_options *o, char **ret_error);
/* The rows of a version that knew no servers become those of SERVER. */
int sqlite_migrate(const struct store_options *o, const char *server, int *ret_from,
		   char **ret_error);
int mysql_open(const struct store_options *o, struct store **ret, char **ret_error);
int mysql_init_schema(const struct store_options *o, char **ret_error);
int mysql_migrate(const struct store_options *o, int *ret_from, char **ret_error);

uint64_t store_now_us(void);
/* A call begins: its deadline counts from here. */
void store_enter(struct store *s);
/* Set *RET_ERROR, if nothing is there yet, to "WHERE: WHY"; returns R. */
int store_open_failed(char **ret_error, int r, const char *where, const char *why);

/* --- tables. Each is described in store.h, under the same name with "store_". --- */

int user_add(struct store *s, struct store_user *user);
/* Whoever knows the users: user_get or mapping_user_get. */
int user_find(struct store *s, const char *name, struct store_user *ret);
int user_get(struct store *s, const char *name, struct store_user *ret);
int user_set_hash(struct store *s, const char *name, const char *hash);
int user_set_disabled(struct store *s, const char *name, bool disabled);
int user_update(struct store *s, const struct store_user *user);
int user_delete(struct store *s, const char *name);
int user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg), void *arg);
/* Within a transaction: hold off others that decide by this user. -ENOENT gone, -EACCES disabled.
 */
int user_lock(struct store *s, uint32_t id);

/* What a user's row says, for those that read it beside another table's. */
#define USER_COLUMNS                                                                               \
	"u.user_id, u.username, u.password, u.disabled, u.max_sessions, u.max_macs, u.ip_addr, "   \
	"u.ip6_addr, u.created, u.max_machines, u.max_memory_mib, u.max_vcpus, "                   \
	"coalesce((SELECT b.rate_bytes FROM budget b WHERE b.user_id = u.user_id), 0), "           \
	"coalesce((SELECT b.rate_frames FROM budget b WHERE b.user_id = u.user_id), 0), "          \
	"coalesce((SELECT b.max_macs FROM budget b WHERE b.user_id = u.user_id), 0), "             \
	"coalesce((SELECT b.max_flows FROM budget b WHERE b.user_id = u.user_id), 0), "            \
	"coalesce((SELECT b.new_flows FROM budget b WHERE b.user_id = u.user_id), 0)"
void user_read(struct sql *q, struct store_user *u);

int workload_add(struct store *s, struct store_workload *w);
int workload_delete(struct store *s, const char *user, const char *name);
int workload_each(struct store *s, int (*cb)(const struct store_workload *w, void *arg), void *arg);
/* Within a transaction: all of a user's, on every server. */
int workload_delete_all(struct store *s, uint32_t user_id);

int machine_add(struct store *s, struct store_machine *m);
int machine_get(struct store *s, const char *user, const char *name, struct store_machine *ret);
int machine_update(struct store *s, const struct store_machine *m);
int machine_set_addresses(struct store *s, uint32_t id, const char *addresses);
int machine_set_leases(struct store *s, uint32_t id, const char *leases);
int machine_set_want(struct store *s, uint32_t id, uint8_t want, bool held);
int machine_delete(struct store *s, const char *user, const char *name);
int machine_each(struct store *s, int (*cb)(const struct store_machine *m, void *arg), void *arg);

int rules_get(struct store *s, uint32_t machine_id, uint64_t *ret_generation, char **ret_text);
int rules_set(struct store *s, uint32_t machine_id, const char *text, uint64_t expected,
	      uint64_t *ret_generation);
int rules_each(struct store *s, int (*cb)(const struct store_rules *rules, void *arg), void *arg);

int session_begin(struct store *s, struct store_session *session, uint32_t max_sessions);
int session_end_many(struct store *s, const uint64_t *ids, size_t n, int64_t when);
int session_each_since(struct store *s, int64_t ended_since,
		       int (*cb)(const struct store_session *session, void *arg), void *arg);
/* How many sessions of a user are live on servers that are. */
int session_count_live(struct store *s, uint32_t user_id, int64_t *ret);

/* SQL, of a row `v` of server: does it live? Our own always does. */
#define SERVER_LIVES "(v.id = {own} OR abs({now} - v.seen) < {lease})"
/* Find or make this server's row. ADOPT: take over the only one there is. */
int server_enter(struct store *s, const char *name, bool adopt);
int server_adopt(struct store *s, const char *name);
int server_alive(struct store *s);
int server_each(struct store *s, int (*cb)(const struct store_server *server, void *arg),
		void *arg);
/* -EXDEV with words: WHAT is on the server with this id, not on this one. 0: it is ours. */
int server_check_own(struct store *s, int64_t id, const char *what);

int mac_claim(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session,
	      uint64_t *ret_from);
int mac_release(struct store *s, uint32_t scope, const uint8_t mac[6], uint64_t session);

/* Who has a MAC: exactly one of session, workload and machine; or, with user_id 0, all workloads
 * that have it together. */
struct mac_holder {
	uint32_t user_id;
	uint64_t session;
	uint32_t workload, machine;
};
/* Within a transaction. A session's claim that is dead is taken over. -EEXIST. */
int mac_hold(struct store *s, uint32_t scope, const uint8_t mac[6], const struct mac_holder *h);
/* Within a transaction: one workload less has it. */
int mac_unshare(struct store *s, const uint8_t mac[6]);

int audit_add(struct store *s, const char *who, const char *what, const char *object,
	      const char *detail);
int audit_each(struct store *s, size_t limit,
	       int (*cb)(int64_t when, const char *who, const char *what, const char *object,
			 const char *detail, void *arg),
	       void *arg);

/* --- users whom somebody else's table knows: mapping.c --- */

int mapping_new(struct store *s, const struct store_mapping *m, char **ret_error);
void mapping_free(struct mapping *m);
int mapping_user_get(struct store *s, const char *name, struct store_user *ret);
int mapping_user_update(struct store *s, const struct store_user *user);
int mapping_user_delete(struct store *s, const char *name);
int mapping_user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg),
		      void *arg);
/* -ENOENT gone there, -EACCES disabled there. */
int mapping_check(struct store *s, const char *name);

#endif
