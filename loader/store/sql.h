/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A statement, whatever the database: prepared once by its text, bound, stepped, its columns
 * checked; transactions. The tables (table_*.c) are written on this, and two drivers are below it.
 *
 * SQL is a constant, or a text of the store's own; what callers give is bound, never pasted. Within
 * it {now} stands for the database's clock in seconds since the epoch, {lock} at the end of a
 * SELECT for locking the rows until the transaction ends, {lease} for how long a server lives
 * unheard of, and {own} for this server's id.
 */
#ifndef SALLYPORT_LOADER_SQL_H
#define SALLYPORT_LOADER_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h"

struct store;

#define SQL_PARAMS_MAX 24  /* of one statement */
#define SQL_STATEMENTS 128 /* of one store: more than there are texts, nested ones counted */

enum sql_type {
	SQL_NULL,
	SQL_INT,
	SQL_TEXT,  /* bytes, compared as bytes */
	SQL_BLOB,  /* the same, where the database tells them from text */
	SQL_CHARS, /* a parameter for somebody else's column: characters in UTF-8, compared by its
		      collation */
	SQL_BYTES, /* a column: text or blob, the database does not tell */
	SQL_OTHER, /* a column: none of these, or too long */
};

struct sql_value {
	enum sql_type type;
	int64_t number;
	const void *data; /* a column's: until the next step */
	size_t size;
};

/* One statement of a store that somebody uses. */
struct sql {
	struct store *store;
	const char *text; /* by which it is found again */
	char *sql;	  /* what the database is given */
	bool busy, ran, reads;
	unsigned int n_params, column;
	const char *bad; /* why the row that is read cannot be believed, or NULL */
	struct sql_value params[SQL_PARAMS_MAX];
	void *impl; /* the driver's */
};

/* What a database has to do. Negative errno, with the words in store->error. */
struct sql_driver {
	const char *now, *lock;
	char quote;		/* around a name */
	const char *as_text[2]; /* before and behind an expression: its bytes in UTF-8 */
	const char *self_check; /* a question that is answered by "ok", or what is wrong; or NULL */
	bool shared;
	int (*prepare)(struct sql *q);
	/* Run it from the start: 1 a row, 0 the end. */
	int (*run)(struct sql *q);
	int (*next)(struct sql *q);
	void (*column)(struct sql *q, unsigned int column, struct sql_value *ret);
	/* Back to where `run` starts: the result is forgotten. */
	void (*reset)(struct sql *q);
	void (*free)(struct sql *q);
	uint64_t (*changed)(struct sql *q); /* rows that the last run found and wrote */
	uint64_t (*last_id)(struct sql *q);
	int (*begin)(struct store *s, bool snapshot); /* snapshot: to read, all of one moment */
	int (*commit)(struct store *s);
	void (*rollback)(struct store *s);
	int (*attempt)(struct store *s); /* a change that alters nothing */
	/* The highest id that TABLE ever gave; and make it so in an empty one. */
	int (*get_last)(struct store *s, const char *table, uint64_t *ret);
	int (*set_last)(struct store *s, const char *table, uint64_t last);
	void (*close)(struct store *s);
};

/* *ret is the store's: release it, or let _cleanup_sql_ do it. -ENOBUFS: too many at once. */
int sql_prepare(struct store *s, const char *text, struct sql **ret);
void sql_releasep(struct sql **q);
#define _cleanup_sql_ _cleanup_(sql_releasep)
/* Ready to be bound and run again. */
void sql_again(struct sql *q);
void sql_forget(struct store *s);

/* The parameters in their order. Text and bytes are borrowed until the statement ran. */
void sql_bind_int(struct sql *q, int64_t v);
void sql_bind_text(struct sql *q, const char *text); /* NULL: SQL's NULL */
void sql_bind_chars(struct sql *q, const char *text);
void sql_bind_blob(struct sql *q, const void *data, size_t size);
void sql_bind(struct sql *q, const struct sql_value *v);

/* 1: a row; 0: the end; negative errno. */
int sql_step(struct sql *q);
/* A statement that gives no rows. */
int sql_run(struct sql *q);
/* A change of one row. -ENOENT: there is none. */
int sql_change(struct sql *q);
/* The one number that a statement gives; FALLBACK where there is no row. */
int sql_number(struct sql *q, int64_t fallback, int64_t *ret);
uint64_t sql_changed(struct sql *q);
uint64_t sql_last_id(struct sql *q);

/*
 * The columns of a row in their order, each checked: a value that is not what was asked for makes
 * the row bad, and the result of the read is zero. sql_row tells, after the last column.
 */
int64_t sql_int(struct sql *q, int64_t min, int64_t max);
int64_t sql_id(struct sql *q, int64_t max); /* 0: SQL's NULL */
void sql_text(struct sql *q, char *ret, size_t size);
void sql_blob(struct sql *q, void *ret, size_t size);
/* Text of any length, without NUL; *ret NULL: SQL's NULL. Until the next step. */
void sql_long_text(struct sql *q, const char **ret);
void sql_value(struct sql *q, struct sql_value *ret);
/* 0, or -EUCLEAN with words that name TABLE. */
int sql_row(struct sql *q, const char *table);

/*
 * Run BODY in a write transaction: committed where it returns 0, else rolled back. BODY is run
 * again where the database asks for it (deadlock, certification, a server that was lost before
 * COMMIT was sent): it must not depend on an earlier run. Within a transaction: a part of it.
 */
int sql_transaction(struct store *s, int (*body)(struct store *s, void *arg), void *arg);

/* Words for store_error; returns R. */
int sql_fail(struct store *s, int r, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
