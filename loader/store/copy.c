/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From one database to another: every row, then a look whether they are the same. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "rows.h"
#include "store_internal.h"

struct copy {
	struct store *from, *to;
	void (*progress)(const char *table, uint64_t rows, void *arg);
	void *arg;
	char **ret_error;
};

static int failed(struct copy *c, int r, const struct store *where, const char *what)
{
	return store_open_failed(c->ret_error, r, what, where->error);
}

/* Each page has the time of a call. */
static void go_on(struct copy *c)
{
	store_enter(c->from);
	store_enter(c->to);
}

/* --- is there room? --- */

static int count(struct store *s, const struct table_info *t, int64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, t->count, &q);

	return r < 0 ? r : sql_number(q, 0, ret);
}

static int check_empty(struct copy *c)
{
	for (const struct table_info *t = store_tables; t->name; t++) {
		int64_t n = 0;
		int r = count(c->to, t, &n);

		if (r < 0)
			return failed(c, r, c->to, "to");
		if (n > 0)
			return store_open_failed(c->ret_error, -ENOTEMPTY, t->name,
						 "the store to copy to has rows in this table");
	}
	return 0;
}

/* No id that was ever given is given again, though its row may be gone. */
static int copy_ids(struct copy *c)
{
	for (const struct table_info *t = store_tables; t->name; t++) {
		uint64_t last = 0;
		int r = t->numbered ? c->from->driver->get_last(c->from, t->name, &last) : 0;

		if (r < 0)
			return failed(c, r, c->from, t->name);
		r = last ? c->to->driver->set_last(c->to, t->name, last) : 0;
		if (r < 0)
			return failed(c, r, c->to, t->name);
	}
	return 0;
}

/* --- rows --- */

static int insert(struct copy *c, const struct row *row)
{
	_cleanup_sql_ struct sql *q = NULL;
	char name[128];
	int r;

	row_name(row, name);
	if (row->bad) {
		sql_fail(c->from, 0, "column %s %s", row->bad_column, row->bad);
		return failed(c, -EUCLEAN, c->from, name);
	}
	r = sql_prepare(c->to, row->table->insert, &q);
	for (unsigned int i = 0; r == 0 && i < row->n; i++)
		sql_bind(q, &row->values[i]);
	r = r ?: sql_run(q);
	return r < 0 ? failed(c, r, c->to, name) : 0;
}

/* *last: the id of the last row; *ret_n: how many. */
static int copy_page(struct copy *c, const struct table_info *t, int64_t *last, uint64_t *ret_n)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = rows_select(c->from, t, *last, &q);

	go_on(c);
	while (r == 0 && (r = sql_step(q)) > 0) {
		struct row row;

		row_read(q, t, &row);
		r = insert(c, &row);
		if (r < 0)
			return r;
		*last = row.values[0].number;
		(*ret_n)++;
	}
	return r < 0 ? failed(c, r, c->from, t->name) : 0;
}

static int copy_table(struct copy *c, const struct table_info *t)
{
	uint64_t n = 0, before;
	int64_t last = 0;
	int r;

	do {
		before = n;
		r = copy_page(c, t, &last, &n);
		if (r == 0 && c->progress && (n != before || n == 0))
			c->progress(t->name, n, c->arg);
	} while (r == 0 && t->paged && n - before == ROWS_PAGE);
	return r;
}

/* --- the same? --- */

static bool same_value(const struct sql_value *a, const struct sql_value *b)
{
	if (a->type != b->type || a->type == SQL_NULL)
		return a->type == b->type;
	return a->type == SQL_INT ? a->number == b->number
				  : a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static bool same_row(const struct row *a, const struct row *b)
{
	for (unsigned int i = 0; i < a->n; i++)
		if (!same_value(&a->values[i], &b->values[i]))
			return false;
	return !a->bad && !b->bad;
}

static int differs(struct copy *c, const struct row *row)
{
	char name[128];

	row_name(row, name);
	return store_open_failed(c->ret_error, -EIO, name, "the copy is not what was copied");
}

/* *ret_more: there was a row. */
static int compare_page(struct copy *c, const struct table_info *t, int64_t *last, bool *ret_more)
{
	_cleanup_sql_ struct sql *from = NULL;
	_cleanup_sql_ struct sql *to = NULL;
	int r = rows_select(c->from, t, *last, &from);

	*ret_more = false;
	go_on(c);
	r = r ?: rows_select(c->to, t, *last, &to);
	while (r == 0) {
		struct row a = {.table = t}, b = {.table = t};
		int more = sql_step(from), other = sql_step(to);

		if (more < 0)
			return failed(c, more, c->from, t->name);
		if (other < 0)
			return failed(c, other, c->to, t->name);
		if (more == 0 && other == 0)
			return 0;
		if (more)
			row_read(from, t, &a);
		if (other)
			row_read(to, t, &b);
		if (more != other || !same_row(&a, &b))
			return differs(c, more ? &a : &b);
		*last = a.values[0].number;
		*ret_more = true;
	}
	return failed(c, r, c->to, t->name);
}

static int compare_table(struct copy *c, const struct table_info *t)
{
	int64_t last = 0;
	bool more = true;
	int r = 0;

	while (r == 0 && more) {
		r = compare_page(c, t, &last, &more);
		more = more && t->paged;
	}
	return r;
}

/* --- all of it --- */

static int copy_all(struct copy *c)
{
	int r = 0;

	for (const struct table_info *t = store_tables; r == 0 && t->name; t++)
		r = copy_table(c, t);
	for (const struct table_info *t = store_tables; r == 0 && t->name; t++)
		r = compare_table(c, t);
	if (r < 0)
		return r;
	go_on(c);
	r = c->to->driver->commit(c->to);
	return r < 0 ? failed(c, r, c->to, "to") : 0;
}

static int begin(struct copy *c)
{
	int r = c->from->driver->begin(c->from, true);

	if (r < 0)
		return failed(c, r, c->from, "from");
	c->from->in_transaction = true;
	r = c->to->driver->begin(c->to, false);
	if (r < 0)
		return failed(c, r, c->to, "to");
	c->to->in_transaction = true;
	return 0;
}

static void end(struct store *s)
{
	if (s->in_transaction)
		s->driver->rollback(s); /* of what was committed there is nothing left to undo */
	s->in_transaction = false;
}

int store_copy(struct store *from, struct store *to,
	       void (*progress)(const char *table, uint64_t rows, void *arg), void *arg,
	       char **ret_error)
{
	struct copy c = {from, to, progress, arg, ret_error};
	int r;

	if (ret_error)
		*ret_error = NULL;
	go_on(&c);
	r = check_empty(&c);
	r = r ?: copy_ids(&c);
	r = r ?: begin(&c);
	r = r ?: copy_all(&c);
	end(to);
	end(from);
	return r;
}
