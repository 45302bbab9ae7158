/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit trail on SQLite: who did what, and when? */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "sqlite_internal.h"

int sqlite_audit_add(struct store *base, const char *who, const char *what, const char *object,
		     const char *detail)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "INSERT INTO audit (time, who, what, object, detail) "
			       "VALUES (?, ?, ?, ?, ?)",
			       &st);

	if (r < 0)
		return r;
	sqlite3_bind_int64(st, 1, time(NULL));
	sqlite3_bind_text(st, 2, who, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, what, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, object, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, detail, -1, SQLITE_STATIC); /* NULL: SQL's NULL */
	return sqlite_run(s, st);
}

/* Text of any length, but whole: no NUL within. NULL: it is not that. */
static const char *text_of(sqlite3_stmt *st, int column)
{
	const char *text = (const char *)sqlite3_column_text(st, column);

	return text && strlen(text) == (size_t)sqlite3_column_bytes(st, column) ? text : NULL;
}

int sqlite_audit_each(struct store *base, size_t limit,
		      int (*cb)(int64_t when, const char *who, const char *what, const char *object,
				const char *detail, void *arg),
		      void *arg)
{
	struct sqlite_store *s = sqlite_of(base);
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = sqlite_prepare(s,
			       "SELECT time, who, what, object, detail FROM audit "
			       "ORDER BY id DESC LIMIT ?",
			       &st);

	if (r == 0)
		sqlite3_bind_int64(st, 1, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
	while (r == 0 && (r = sqlite_step(s, st)) > 0) {
		const char *who = text_of(st, 1), *what = text_of(st, 2), *object = text_of(st, 3);
		bool has_detail = sqlite3_column_type(st, 4) != SQLITE_NULL;
		const char *detail = has_detail ? text_of(st, 4) : NULL;
		int64_t when = 0;

		r = sqlite_int(st, 0, INT64_MIN, INT64_MAX, &when);
		if (!who || !what || !object || (has_detail && !detail))
			r = -EUCLEAN;
		r = r ? sqlite_row(s, "audit", r) : cb(when, who, what, object, detail, arg);
	}
	return r;
}
