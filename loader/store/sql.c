/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a statement run, what did it say, and can what it read be believed? Any database. */
#include "sql.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sallyport/limits.h"
#include "store_internal.h"

/* Of a transaction that the database undid. Each waits a little longer than the one before. */
#define ATTEMPTS 12

int sql_fail(struct store *s, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->error, sizeof(s->error), format, ap);
	va_end(ap);
	return r;
}

/* --- texts --- */

/* TEXT as this database is given it; to be freed. NULL: no memory. */
static char *translate(const struct store *s, const char *text)
{
	char own[24], lease[24];
	const struct {
		const char *word, *stands_for;
	} words[] = {{"{now}", s->driver->now},
		     {"{lock}", s->driver->lock},
		     {"{own}", own},
		     {"{lease}", lease}};
	char *sql = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&sql, &size);

	if (!f)
		return NULL;
	snprintf(own, sizeof(own), "%lld", (long long)s->server_id);
	snprintf(lease, sizeof(lease), "%d", SP_SERVER_LEASE_S);
	while (*text) {
		size_t n = 0;

		for (size_t i = 0; *text == '{' && n == 0 && i < SP_ARRAY_SIZE(words); i++)
			if (strncmp(text, words[i].word, strlen(words[i].word)) == 0) {
				n = strlen(words[i].word);
				fputs(words[i].stands_for, f);
			}
		if (n == 0)
			fputc(*text, f);
		text += n ? n : 1;
	}
	if (fclose(f) == 0)
		return sql;
	free(sql);
	return NULL;
}

static void free_statement(struct sql *q)
{
	if (q->impl)
		q->store->driver->free(q);
	free(q->sql);
	free(q);
}

static int new_statement(struct store *s, const char *text, struct sql **ret)
{
	struct sql *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	q->store = s;
	q->text = text;
	q->sql = translate(s, text);
	if (!q->sql) {
		free(q);
		return -ENOMEM;
	}
	/* What only reads may be asked again when nobody answered. */
	q->reads = strncmp(text, "SELECT", 6) == 0 && !strstr(text, "{lock}");
	r = s->driver->prepare(q);
	if (r < 0) {
		free_statement(q);
		return r;
	}
	*ret = q;
	return 0;
}

int sql_prepare(struct store *s, const char *text, struct sql **ret)
{
	for (size_t i = 0; i < SQL_STATEMENTS; i++) {
		struct sql *q = s->statements[i];
		int r = q ? 0 : new_statement(s, text, &s->statements[i]);

		if (r < 0)
			return r;
		if (q && (q->busy || strcmp(q->text, text) != 0))
			continue; /* in use: a caller's callback asks the same again */
		q = s->statements[i];
		q->busy = true;
		*ret = q;
		return 0;
	}
	return sql_fail(s, -ENOBUFS, "too many statements at once");
}

void sql_again(struct sql *q)
{
	if (q->ran)
		q->store->driver->reset(q);
	q->ran = false;
	q->n_params = 0;
	q->column = 0;
	q->bad = NULL;
}

void sql_releasep(struct sql **q)
{
	if (!*q)
		return;
	sql_again(*q);
	(*q)->busy = false;
}

void sql_forget(struct store *s)
{
	for (size_t i = 0; i < SQL_STATEMENTS; i++)
		if (s->statements[i])
			free_statement(s->statements[i]);
	memset(s->statements, 0, sizeof(s->statements));
}

/* --- parameters --- */

void sql_bind(struct sql *q, const struct sql_value *v)
{
	if (q->n_params < SQL_PARAMS_MAX)
		q->params[q->n_params] = *v;
	q->n_params++; /* one too many is an error when it runs */
}

void sql_bind_int(struct sql *q, int64_t v)
{
	sql_bind(q, &(struct sql_value){.type = SQL_INT, .number = v});
}

void sql_bind_text(struct sql *q, const char *text)
{
	sql_bind(q, text ? &(struct sql_value){.type = SQL_TEXT, .data = text, .size = strlen(text)}
			 : &(struct sql_value){.type = SQL_NULL});
}

void sql_bind_chars(struct sql *q, const char *text)
{
	sql_bind(q, &(struct sql_value){.type = SQL_CHARS, .data = text, .size = strlen(text)});
}

void sql_bind_blob(struct sql *q, const void *data, size_t size)
{
	sql_bind(q, &(struct sql_value){.type = SQL_BLOB, .data = data, .size = size});
}

/* --- running --- */

static void wait_a_little(unsigned int attempt)
{
	uint64_t most = (attempt < 6 ? 1ULL << attempt : 64) * 1000000; /* 1 to 64 ms */
	/* Not the same for two that met, which is all that is asked of it. */
	uint64_t any = store_now_us() * 0x9e3779b97f4a7c15ULL >> 32;
	struct timespec t = {.tv_nsec = (long)(any % most)};

	nanosleep(&t, NULL);
}

static bool may_try_again(struct store *s, unsigned int attempt)
{
	if (!s->again || attempt >= ATTEMPTS || store_now_us() >= s->deadline_us)
		return false;
	if (attempt > 0) /* the first at once: most often the other one is through by then */
		wait_a_little(attempt);
	return true;
}

static int run(struct sql *q)
{
	struct store *s = q->store;
	int r;

	if (q->n_params > SQL_PARAMS_MAX)
		return sql_fail(s, -E2BIG, "too many parameters");
	for (unsigned int attempt = 0;; attempt++) {
		s->again = false;
		r = s->driver->run(q);
		/* Within a transaction it is the whole that is run again. */
		if (r >= 0 || s->in_transaction || !may_try_again(s, attempt))
			return r;
		s->driver->reset(q);
	}
}

int sql_step(struct sql *q)
{
	bool first = !q->ran;

	q->ran = true;
	q->column = 0;
	q->bad = NULL;
	return first ? run(q) : q->store->driver->next(q);
}

int sql_run(struct sql *q)
{
	int r = sql_step(q);

	return r > 0 ? sql_fail(q->store, -EIO, "an unexpected row") : r;
}

int sql_change(struct sql *q)
{
	int r = sql_run(q);

	if (r < 0)
		return r;
	return sql_changed(q) == 1 ? 0 : sql_fail(q->store, -ENOENT, "there is no such row");
}

int sql_number(struct sql *q, int64_t fallback, int64_t *ret)
{
	int r = sql_step(q);
	int64_t v;

	if (r < 0)
		return r;
	v = r > 0 ? sql_int(q, INT64_MIN, INT64_MAX) : fallback;
	r = r > 0 ? sql_row(q, "a number") : 0;
	if (r == 0)
		*ret = v;
	return r;
}

uint64_t sql_changed(struct sql *q)
{
	return q->store->driver->changed(q);
}

uint64_t sql_last_id(struct sql *q)
{
	return q->store->driver->last_id(q);
}

/* --- columns --- */

static void bad(struct sql *q, const char *why)
{
	if (!q->bad)
		q->bad = why;
}

void sql_value(struct sql *q, struct sql_value *ret)
{
	q->store->driver->column(q, q->column++, ret);
}

static int64_t number_of(struct sql *q, const struct sql_value *v, int64_t min, int64_t max)
{
	if (v->type == SQL_INT && v->number >= min && v->number <= max)
		return v->number;
	bad(q, v->type == SQL_INT ? "a number out of its range" : "no number where one belongs");
	return 0;
}

int64_t sql_int(struct sql *q, int64_t min, int64_t max)
{
	struct sql_value v;

	sql_value(q, &v);
	return number_of(q, &v, min, max);
}

int64_t sql_id(struct sql *q, int64_t max)
{
	struct sql_value v;

	sql_value(q, &v);
	return v.type == SQL_NULL ? 0 : number_of(q, &v, 1, max);
}

static bool is_text(const struct sql_value *v)
{
	return (v->type == SQL_TEXT || v->type == SQL_BYTES) && !memchr(v->data, '\0', v->size);
}

void sql_text(struct sql *q, char *ret, size_t size)
{
	struct sql_value v;

	ret[0] = '\0';
	sql_value(q, &v);
	if (!is_text(&v)) {
		bad(q, "no text where one belongs");
	} else if (v.size >= size) {
		bad(q, "a text that is too long");
	} else {
		memcpy(ret, v.data, v.size);
		ret[v.size] = '\0';
	}
}

void sql_long_text(struct sql *q, const char **ret)
{
	struct sql_value v;

	sql_value(q, &v);
	*ret = is_text(&v) ? v.data : NULL; /* both drivers end it with NUL */
	if (!*ret && v.type != SQL_NULL)
		bad(q, "no text where one belongs");
}

void sql_blob(struct sql *q, void *ret, size_t size)
{
	struct sql_value v;

	sql_value(q, &v);
	if ((v.type == SQL_BLOB || v.type == SQL_BYTES) && v.size == size) {
		memcpy(ret, v.data, size);
		return;
	}
	memset(ret, 0, size);
	bad(q, "not the bytes that belong there");
}

int sql_row(struct sql *q, const char *table)
{
	if (!q->bad)
		return 0;
	return sql_fail(q->store, -EUCLEAN, "table %s: a row is not what the schema promises: %s",
			table, q->bad);
}

/* --- transactions --- */

static int end(struct store *s, int r)
{
	if (r == 0)
		r = s->driver->commit(s);
	if (r < 0) {
		bool again = s->again;

		s->driver->rollback(s);
		s->again = again;
	}
	return r;
}

int sql_transaction(struct store *s, int (*body)(struct store *s, void *arg), void *arg)
{
	int r;

	if (s->in_transaction)
		return body(s, arg);
	for (unsigned int attempt = 0;; attempt++) {
		s->again = false;
		r = s->driver->begin(s, false);
		if (r == 0) {
			s->in_transaction = true;
			r = body(s, arg);
			r = end(s, r);
			s->in_transaction = false;
		}
		if (r >= 0 || !may_try_again(s, attempt))
			return r;
	}
}
