/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver of MySQL and MariaDB: how is a statement run there? Prepared on the server, once for
 * each connection. The whole result is taken at once, so that a caller's callback may ask anything
 * meanwhile, and a connection that is lost takes no row with it.
 */
#include <errno.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#include "mysql_internal.h"

#define COLUMNS_MAX 24
#define VALUE_MAX (1U << 20) /* bytes of a value that is read: none of ours is as long */
#define RESULT_KEPT 65536    /* bytes of an emptied result that stay for the next */

struct cell {
	enum sql_type type;
	int64_t number;
	size_t at, size; /* in `bytes` */
};

struct result {
	struct cell *cells;
	size_t n_cells, cells_room;
	char *bytes;
	size_t n_bytes, bytes_room;
	size_t row, n_columns;
};

struct prepared {
	MYSQL_STMT *stmt;
	unsigned int connection; /* whose statement it is; 0: none's */
	struct result result;
	uint64_t changed, last_id;
};

/* --- preparing --- */

static int prepare(struct sql *q)
{
	q->impl = calloc(1, sizeof(struct prepared)); /* on the server when it first runs */
	return q->impl ? 0 : -ENOMEM;
}

static void forget(struct prepared *p)
{
	if (p->stmt)
		mysql_stmt_close(TAKE_PTR(p->stmt));
	p->connection = 0;
}

/* What the last call of the library on this statement failed with. */
static int failed(struct mysql_store *s, struct sql *q, struct prepared *p)
{
	unsigned int error = mysql_stmt_errno(p->stmt);
	char words[512];

	snprintf(words, sizeof(words), "%s", mysql_stmt_error(p->stmt));
	if (error == 0) { /* of a fetch the connection alone knows, in one of the libraries */
		error = mysql_errno(s->my);
		snprintf(words, sizeof(words), "%s", mysql_error(s->my));
	}
	if (mysql_error_is_transient(error))
		forget(p);
	return mysql_conclude(s, error, words, q->reads);
}

static int late(struct mysql_store *s, const struct sql *q)
{
	return mysql_late(s, q->reads || s->base.in_transaction
				     ? "no answer within the deadline"
				     : "no answer within the deadline: it may have been done");
}

static int make_ready(struct mysql_store *s, struct sql *q, struct prepared *p)
{
	if (p->connection == s->connections)
		return 0;
	forget(p);
	p->stmt = mysql_stmt_init(s->my);
	if (!p->stmt)
		return -ENOMEM;
	if (mysql_stmt_prepare(p->stmt, q->sql, strlen(q->sql)) != 0) {
		/* Nothing ran: whatever failed may be tried again. */
		bool reads = q->reads;
		int r;

		q->reads = true;
		r = failed(s, q, p);
		q->reads = reads;
		return r;
	}
	p->connection = s->connections;
	return 0;
}

/* --- parameters --- */

static void bind_one(MYSQL_BIND *b, const struct sql_value *v)
{
	switch (v->type) {
	case SQL_INT:
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = (void *)&v->number;
		break;
	case SQL_TEXT: /* bytes to us: no character set has a say */
	case SQL_BLOB:
	case SQL_BYTES:
	case SQL_CHARS:
		b->buffer_type = v->type == SQL_CHARS ? MYSQL_TYPE_STRING : MYSQL_TYPE_BLOB;
		b->buffer = (void *)v->data;
		b->buffer_length = (unsigned long)v->size;
		break;
	default:
		b->buffer_type = MYSQL_TYPE_NULL;
		break;
	}
}

static int execute(struct mysql_store *s, struct sql *q, struct prepared *p)
{
	MYSQL_BIND params[SQL_PARAMS_MAX] = {0};

	if (mysql_stmt_param_count(p->stmt) != q->n_params)
		return sql_fail(&s->base, -EINVAL, "%u parameters for: %s", q->n_params, q->text);
	for (unsigned int i = 0; i < q->n_params; i++)
		bind_one(&params[i], &q->params[i]);
	if ((q->n_params && mysql_stmt_bind_param(p->stmt, params)) ||
	    mysql_stmt_execute(p->stmt) != 0)
		return failed(s, q, p);
	p->changed = mysql_stmt_affected_rows(p->stmt);
	p->last_id = mysql_stmt_insert_id(p->stmt);
	return 0;
}

/* --- results --- */

/* Room for N more of SIZE each. */
static int grow(void **array, size_t *room, size_t used, size_t n, size_t size)
{
	size_t want = *room ? *room : 64;
	void *grown;

	if (used + n <= *room)
		return 0;
	while (want < used + n)
		want *= 2;
	grown = reallocarray(*array, want, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = want;
	return 0;
}

/* The columns as the server describes them: whole numbers, and all else as bytes. */
struct columns {
	unsigned int n;
	MYSQL_BIND binds[COLUMNS_MAX];
	long long numbers[COLUMNS_MAX];
	unsigned long lengths[COLUMNS_MAX];
	mysql_bool nulls[COLUMNS_MAX], errors[COLUMNS_MAX];
};

static bool is_number(enum enum_field_types type)
{
	switch (type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
	case MYSQL_TYPE_YEAR:
		return true;
	default:
		return false;
	}
}

static void describe(struct columns *c, MYSQL_RES *meta)
{
	const MYSQL_FIELD *fields = mysql_fetch_fields(meta);

	for (unsigned int i = 0; i < c->n; i++) {
		MYSQL_BIND *b = &c->binds[i];

		b->is_null = &c->nulls[i];
		b->error = &c->errors[i];
		b->length = &c->lengths[i];
		b->buffer_type = MYSQL_TYPE_BLOB; /* of no room: fetched when its length is known */
		if (!is_number(fields[i].type))
			continue;
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = &c->numbers[i];
		b->buffer_length = sizeof(c->numbers[i]);
		b->is_unsigned = (fields[i].flags & UNSIGNED_FLAG) != 0;
	}
}

static int take_bytes(struct prepared *p, unsigned int column, size_t size, struct cell *cell)
{
	struct result *x = &p->result;
	unsigned long length = 0;
	mysql_bool null = 0, error = 0;
	MYSQL_BIND b = {.buffer_type = MYSQL_TYPE_BLOB,
			.buffer_length = (unsigned long)size,
			.length = &length,
			.is_null = &null,
			.error = &error};
	int r;

	if (size > VALUE_MAX) {
		cell->type = SQL_OTHER;
		return 0;
	}
	r = grow((void **)&x->bytes, &x->bytes_room, x->n_bytes, size + 1, 1);
	if (r < 0)
		return r;
	b.buffer = x->bytes + x->n_bytes;
	if (size > 0 && mysql_stmt_fetch_column(p->stmt, &b, column, 0) != 0)
		return -EIO;
	cell->type = SQL_BYTES;
	cell->at = x->n_bytes;
	cell->size = size;
	x->bytes[x->n_bytes + size] = '\0';
	x->n_bytes += size + 1;
	return 0;
}

static int take_row(struct prepared *p, const struct columns *c)
{
	struct result *x = &p->result;
	int r = grow((void **)&x->cells, &x->cells_room, x->n_cells, c->n, sizeof(*x->cells));

	for (unsigned int i = 0; r == 0 && i < c->n; i++) {
		struct cell cell = {.type = SQL_NULL};
		const MYSQL_BIND *b = &c->binds[i];

		if (!c->nulls[i] && b->buffer_type == MYSQL_TYPE_LONGLONG) {
			cell.number = c->numbers[i];
			cell.type = b->is_unsigned && cell.number < 0 ? SQL_OTHER : SQL_INT;
		} else if (!c->nulls[i]) {
			r = take_bytes(p, i, c->lengths[i], &cell);
		}
		x->cells[x->n_cells++] = cell;
	}
	return r;
}

static int take_rows(struct mysql_store *s, struct sql *q, struct prepared *p, struct columns *c)
{
	int r = 0, got;

	if (mysql_stmt_bind_result(p->stmt, c->binds))
		return failed(s, q, p);
	do {
		got = mysql_stmt_fetch(p->stmt);
		if (got == 0 || got == MYSQL_DATA_TRUNCATED)
			r = take_row(p, c);
	} while (r == 0 && got != MYSQL_NO_DATA && got != 1);
	return r == 0 && got == 1 ? failed(s, q, p) : r;
}

static int take_result(struct mysql_store *s, struct sql *q, struct prepared *p)
{
	struct columns c = {.n = mysql_stmt_field_count(p->stmt)};
	MYSQL_RES *meta;
	int r;

	p->result.n_columns = c.n;
	if (c.n == 0)
		return 0;
	if (c.n > COLUMNS_MAX)
		return sql_fail(&s->base, -E2BIG, "more than %d columns", COLUMNS_MAX);
	meta = mysql_stmt_result_metadata(p->stmt);
	if (!meta)
		return failed(s, q, p);
	describe(&c, meta);
	mysql_free_result(meta);
	r = take_rows(s, q, p, &c);
	if (p->stmt && s->my)
		mysql_stmt_free_result(p->stmt);
	return r;
}

static void reset(struct sql *q)
{
	struct prepared *p = q->impl;
	struct result *x = &p->result;

	if (x->bytes)
		explicit_bzero(x->bytes, x->n_bytes); /* hashes are among it */
	if (x->bytes_room > RESULT_KEPT || x->cells_room > RESULT_KEPT / sizeof(*x->cells)) {
		free(x->bytes);
		free(x->cells);
		*x = (struct result){0};
	}
	x->n_bytes = x->n_cells = x->row = 0;
}

static int next(struct sql *q)
{
	struct result *x = &((struct prepared *)q->impl)->result;

	if (x->n_columns == 0 || x->row * x->n_columns >= x->n_cells)
		return 0;
	x->row++;
	return 1;
}

static int run(struct sql *q)
{
	struct mysql_store *s = mysql_of(q->store);
	struct prepared *p = q->impl;
	int r = mysql_ready(s);

	if (r < 0)
		return r;
	reset(q);
	mysql_arm(s);
	r = make_ready(s, q, p);
	r = r ?: execute(s, q, p);
	r = r ?: take_result(s, q, p);
	if (mysql_disarm(s))
		r = late(s, q);
	return r ?: next(q);
}

static void column(struct sql *q, unsigned int column, struct sql_value *ret)
{
	const struct result *x = &((struct prepared *)q->impl)->result;
	const struct cell *cell;

	*ret = (struct sql_value){.type = SQL_OTHER};
	if (column >= x->n_columns || x->row == 0)
		return;
	cell = &x->cells[(x->row - 1) * x->n_columns + column];
	ret->type = cell->type;
	ret->number = cell->number;
	if (cell->type == SQL_BYTES) {
		ret->data = x->bytes + cell->at;
		ret->size = cell->size;
	}
}

static void release(struct sql *q)
{
	struct prepared *p = q->impl;

	reset(q);
	forget(p);
	free(p->result.bytes);
	free(p->result.cells);
	free(p);
}

static uint64_t changed(struct sql *q)
{
	return ((struct prepared *)q->impl)->changed;
}

static uint64_t last_id(struct sql *q)
{
	return ((struct prepared *)q->impl)->last_id;
}

/* --- transactions --- */

static int begin(struct store *base, bool snapshot)
{
	struct mysql_store *s = mysql_of(base);
	int r = mysql_ready(s);

	if (r == 0 && snapshot)
		r = mysql_plain(s, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
	r = r
		    ?: mysql_plain(s, snapshot ? "START TRANSACTION WITH CONSISTENT SNAPSHOT"
					       : "START TRANSACTION");
	if (r == -ENOTCONN)
		base->again = true; /* nothing was begun */
	return r;
}

/* Of an answer that never came, nobody knows what it would have been. */
static int not_acknowledged(struct mysql_store *s, int r)
{
	char words[300];

	snprintf(words, sizeof(words),
		 "%.150s; COMMIT was sent and not acknowledged: it may have "
		 "been done",
		 s->base.error);
	s->base.again = false;
	return sql_fail(&s->base, r, "%s", words);
}

static int commit(struct store *base)
{
	struct mysql_store *s = mysql_of(base);
	unsigned int error = 0;
	int r = mysql_ready(s);

	if (r < 0)
		return r;
	mysql_arm(s);
	if (mysql_query(s->my, "COMMIT") != 0)
		error = mysql_errno(s->my);
	if (mysql_disarm(s))
		return not_acknowledged(s, mysql_late(s, "no answer within the deadline"));
	if (!error)
		return 0;
	r = mysql_failed(s);
	if (mysql_error_is_transient(error) || mysql_error_is_undone(error))
		return r;
	base->again = false;
	return s->my && r != -ETIMEDOUT ? r : not_acknowledged(s, r);
}

static void rollback(struct store *base)
{
	struct mysql_store *s = mysql_of(base);
	char words[sizeof(base->error)];

	if (!s->my)
		return;
	memcpy(words, base->error, sizeof(words));
	if (mysql_plain(s, "ROLLBACK") < 0)
		mysql_drop(s, false);
	memcpy(base->error, words, sizeof(words));
}

/* --- the rest --- */

/* A change that nobody reads: what is the same as before would not be written at all. */
static int attempt(struct store *s)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "UPDATE server SET changes = changes + 1 WHERE id = {own}", &q);

	return r < 0 ? r : sql_run(q);
}

static int get_last(struct store *s, const char *table, uint64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t next_id = 1;
	int r = sql_prepare(s,
			    "SELECT auto_increment FROM information_schema.tables "
			    "WHERE table_schema = database() AND table_name = ? "
			    "AND auto_increment IS NOT NULL",
			    &q);

	if (r < 0)
		return r;
	sql_bind_chars(q, table);
	r = sql_number(q, 1, &next_id);
	if (r == 0)
		*ret = (uint64_t)(next_id > 0 ? next_id - 1 : 0);
	return r;
}

static int set_last(struct store *base, const char *table, uint64_t last)
{
	struct mysql_store *s = mysql_of(base);
	char sql[96];
	int r = mysql_ready(s);

	snprintf(sql, sizeof(sql), "ALTER TABLE %s AUTO_INCREMENT = %llu", table,
		 (unsigned long long)last + 1);
	return r ?: mysql_plain(s, sql);
}

const struct sql_driver mysql_driver = {
	.now = "CAST(unix_timestamp() AS SIGNED)",
	.lock = " FOR UPDATE",
	.quote = '`',
	.as_text = {"CAST(CONVERT(", " USING utf8mb4) AS BINARY)"},
	.shared = true,
	.prepare = prepare,
	.run = run,
	.next = next,
	.column = column,
	.reset = reset,
	.free = release,
	.changed = changed,
	.last_id = last_id,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.attempt = attempt,
	.get_last = get_last,
	.set_last = set_last,
	.close = mysql_store_free,
};
