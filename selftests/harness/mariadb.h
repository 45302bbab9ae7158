/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A MariaDB of the test's own: on a private socket, in a directory of its own, gone with the test.
 */
#ifndef SALLYPORT_SELFTESTS_MARIADB_H
#define SALLYPORT_SELFTESTS_MARIADB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mariadb {
	char dir[48];	 /* below /dev/shm: certificates and the like may be put there */
	char data[80];	 /* the data directory */
	char socket[80]; /* where root needs no password */
	pid_t pid;	 /* 0: it does not run */
	int alive; /* held open while we live: the directory goes when we do, however that is */
	pid_t guardian;
	char *args[16]; /* what mariadbd is given besides, ended by NULL */
};

/* Make the directory and what mariadb-install-db makes. 0, or -errno with words on stderr. */
int mariadb_new(struct mariadb *m);
/* Start it and wait until it says that it is ready. */
int mariadb_start(struct mariadb *m);
/* Let it end as it does when told; or kill it. */
void mariadb_stop(struct mariadb *m);
void mariadb_kill(struct mariadb *m);
/* It hangs, until it is resumed. */
void mariadb_pause(struct mariadb *m);
void mariadb_resume(struct mariadb *m);
/* Stop, and remove all. */
void mariadb_free(struct mariadb *m);

/* Run SQL (statements with ; between) as root in DATABASE, which may be NULL; ends on a failure. */
void mariadb_sql(const struct mariadb *m, const char *database, const char *sql);
/* The number that SQL gives. */
long long mariadb_number(const struct mariadb *m, const char *database, const char *sql);
/* End every connection to DATABASE, and wait until they are gone. */
void mariadb_kill_connections(const struct mariadb *m, const char *database);

#endif
