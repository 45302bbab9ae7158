/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the driver of MySQL and MariaDB share. */
#ifndef SALLYPORT_LOADER_MYSQL_INTERNAL_H
#define SALLYPORT_LOADER_MYSQL_INTERNAL_H

#include <mysql.h>

#include "store_internal.h"

/* Both client libraries are meant: where they differ, it is said here and in mysql_connect.c. */
#ifdef MARIADB_BASE_VERSION
typedef my_bool mysql_bool;
#else
typedef bool mysql_bool;
#endif

struct mysql_host {
	char *name; /* NULL: the socket */
	unsigned int port;
	char words[STORE_HOST_MAX + 16]; /* for messages */
};

struct mysql_store {
	struct store base;
	MYSQL *my;		  /* NULL: not connected */
	unsigned int connections; /* so far: a statement of an earlier one is prepared again */
	struct mysql_host hosts[STORE_HOSTS_MAX];
	size_t n_hosts, current;
	char *socket, *user, *database, *password_file, *password_credential;
	char *tls_ca, *tls_cert, *tls_key;
	bool tls;
	bool is_maria;
	bool knows_uuid; /* every host must hold this store */
	uint8_t uuid[16];
	struct watchdog *watchdog;
	bool struck; /* by the watchdog, since it was last armed */
};

static inline struct mysql_store *mysql_of(struct store *s)
{
	return (struct mysql_store *)s;
}

/* --- mysql_connect.c --- */

int mysql_store_new(const struct store_options *o, struct mysql_store **ret, char **ret_error);
void mysql_store_free(struct store *s);
/* Connected, as far as that can be known without asking. In a transaction: the same as before. */
int mysql_ready(struct mysql_store *s);
/* This connection is of no use any more. NEXT: begin with the next host. */
void mysql_drop(struct mysql_store *s, bool next);
/* Words and errno of the connection's last failure. */
int mysql_failed(struct mysql_store *s);
/* A constant text, or one of our own numbers and names. */
int mysql_plain(struct mysql_store *s, const char *sql);
const char *mysql_where(const struct mysql_store *s);

/* Between the two the connection is shut down when the call's deadline passes. */
void mysql_arm(struct mysql_store *s);
/* True: it was, since it was last armed. */
bool mysql_disarm(struct mysql_store *s);
/* The deadline passed: drops the connection; -ETIMEDOUT with words. */
int mysql_late(struct mysql_store *s, const char *words);

/* --- mysql_error.c --- */

/* What the server's error number means, as negative errno. WORDS: its message. */
int mysql_error_of(unsigned int error, const char *words);
/* All was undone, or nothing done: try again at once. */
bool mysql_error_is_transient(unsigned int error);
/* The connection is gone, or of no use. */
bool mysql_error_is_loss(unsigned int error);
/* Certainly nothing was done: the statement did not reach the server, or was not begun. */
bool mysql_error_is_undone(unsigned int error);
/* Put WORDS into store_error, printable, with the host before it; returns R. */
int mysql_say(struct mysql_store *s, int r, const char *words);
/*
 * The end of a statement that failed with ERROR: the connection is dropped where it is lost, and
 * base.again is set where it may be tried again; HARMLESS: even if it was done.
 */
int mysql_conclude(struct mysql_store *s, unsigned int error, const char *words, bool harmless);

/* --- mysql_watchdog.c --- */

int watchdog_new(struct watchdog **ret);
void watchdog_free(struct watchdog *w);
/* Shut FD down at DEADLINE_US, unless disarmed before. */
void watchdog_arm(struct watchdog *w, int fd, uint64_t deadline_us);
bool watchdog_disarm(struct watchdog *w);

/* --- mysql_stmt.c --- */

extern const struct sql_driver mysql_driver;

/* --- mysql_schema.c --- */

/*
 * A table as CREATE TABLE has it: columns ("name TYPE [NOT NULL] ..."), keys and constraints, each
 * with its name. What is in the database is compared with it.
 */
struct mysql_table {
	const char *name;
	const char *const *parts; /* ended by NULL */
};

struct mysql_schema {
	int first, last; /* versions */
	/*
	 * steps[0] leads from the first version to the next: statements, ended by NULL. Tables that
	 * are missing are made before.
	 */
	const char *const *const *steps;
	const struct mysql_table *tables; /* of the last version, ended by name NULL */
	const char *view;
};
extern const struct mysql_schema mysql_schema;

/* -ENODATA, -ENOTUNIQ, -EPROTONOSUPPORT, -EUCLEAN as store_open; the words are in base.error. */
int mysql_schema_check(struct mysql_store *s, const struct mysql_schema *schema);
int mysql_schema_make(struct mysql_store *s, const struct mysql_schema *schema);
int mysql_schema_migrate(struct mysql_store *s, const struct mysql_schema *schema, int *ret_from);
/* Version and identity of the store at this host. -ENODATA: none. */
int mysql_schema_version(struct mysql_store *s, int *ret_version, uint8_t ret_uuid[16]);

/* --- mysql_compare.c --- */

int mysql_compare(struct mysql_store *s, const struct mysql_schema *schema);

#endif
