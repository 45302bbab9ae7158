/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit trail: who did what, and when? */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "store_internal.h"

int audit_add(struct store *s, const char *who, const char *what, const char *object,
	      const char *detail)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "INSERT INTO audit (time, who, what, object, detail) "
			    "VALUES (?, ?, ?, ?, ?)",
			    &q);

	if (r < 0)
		return r;
	sql_bind_int(q, time(NULL));
	sql_bind_text(q, who);
	sql_bind_text(q, what);
	sql_bind_text(q, object);
	sql_bind_text(q, detail);
	return sql_run(q);
}

int audit_each(struct store *s, size_t limit,
	       int (*cb)(int64_t when, const char *who, const char *what, const char *object,
			 const char *detail, void *arg),
	       void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s,
			    "SELECT time, who, what, object, detail FROM audit "
			    "ORDER BY id DESC LIMIT ?",
			    &q);

	if (r == 0)
		sql_bind_int(q, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
	while (r == 0 && (r = sql_step(q)) > 0) {
		const char *who, *what, *object, *detail;
		int64_t when = sql_int(q, INT64_MIN, INT64_MAX);

		sql_long_text(q, &who);
		sql_long_text(q, &what);
		sql_long_text(q, &object);
		sql_long_text(q, &detail);
		r = sql_row(q, "audit");
		if (r == 0 && (!who || !what || !object))
			r = sql_fail(s, -EUCLEAN,
				     "table audit: a row is not what the schema "
				     "promises: no text where one belongs");
		r = r ?: cb(when, who, what, object, detail, arg);
	}
	return r;
}
