/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is every row what the schema promises, does each refer to what is there, has each MAC one owner?
 * The database's own constraints say so already; here it is looked at, for they can be switched
 * off.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/mac.h"
#include "rows.h"
#include "store_internal.h"

struct verify {
	struct store *store;
	void (*report)(const char *sentence, void *arg);
	void *arg;
	uint64_t n;
};

static void __attribute__((format(printf, 2, 3))) tell(struct verify *v, const char *format, ...)
{
	char sentence[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	v->n++;
	if (v->report)
		v->report(sentence, v->arg);
}

/* --- rows --- */

static int check_page(struct verify *v, const struct table_info *t, int64_t *last, uint64_t *ret_n)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = rows_select(v->store, t, *last, &q);

	store_enter(v->store);
	while (r == 0 && (r = sql_step(q)) > 0) {
		struct row row;
		char name[128];

		row_read(q, t, &row);
		row_name(&row, name);
		if (row.bad)
			tell(v, "%s: column %s %s", name, row.bad_column, row.bad);
		*last = row.values[0].number;
		(*ret_n)++;
		r = 0;
	}
	return r;
}

static int check_rows(struct verify *v, const struct table_info *t)
{
	uint64_t n = 0, before;
	int64_t last = INT64_MIN; /* ids that cannot be, too */
	int r;

	do {
		before = n;
		r = check_page(v, t, &last, &n);
	} while (r == 0 && t->paged && n - before == ROWS_PAGE);
	return r;
}

/* --- references --- */

/* Each gives the ids of rows of which TEXT is true. */
static const struct {
	const char *sql, *table, *text;
} references[] = {
	{"SELECT w.id FROM workload w LEFT JOIN user u ON u.user_id = w.user_id "
	 "WHERE u.user_id IS NULL",
	 "workload", "its user is not there"},
	{"SELECT w.id FROM workload w LEFT JOIN server v ON v.id = w.server_id WHERE v.id IS NULL",
	 "workload", "its server is not there"},
	{"SELECT m.id FROM machine m LEFT JOIN user u ON u.user_id = m.user_id "
	 "WHERE u.user_id IS NULL",
	 "machine", "its user is not there"},
	{"SELECT m.id FROM machine m LEFT JOIN server v ON v.id = m.server_id WHERE v.id IS NULL",
	 "machine", "its server is not there"},
	{"SELECT p.machine_id FROM policy p LEFT JOIN machine m ON m.id = p.machine_id "
	 "WHERE m.id IS NULL",
	 "policy", "its machine is not there"},
	{"SELECT b.user_id FROM budget b LEFT JOIN user u ON u.user_id = b.user_id "
	 "WHERE u.user_id IS NULL",
	 "budget", "its user is not there"},
	{"SELECT l.machine_id FROM lease l LEFT JOIN machine m ON m.id = l.machine_id AND "
	 "m.pinned = 1 WHERE m.id IS NULL",
	 "lease", "its machine is not there, or not pinned"},
	{"SELECT x.id FROM session x LEFT JOIN server v ON v.id = x.server_id WHERE v.id IS NULL",
	 "session", "its server is not there"},
	{"SELECT w.id FROM workload w LEFT JOIN mac m ON m.scope = w.user_id AND "
	 "m.mac_addr = w.mac_addr AND m.workload_id = w.id WHERE m.scope IS NULL",
	 "workload", "its MAC address is not claimed in its segment"},
	{"SELECT w.id FROM workload w LEFT JOIN mac m ON m.scope = 0 AND m.mac_addr = w.mac_addr "
	 "AND m.user_id IS NULL WHERE m.scope IS NULL",
	 "workload", "its MAC address is not held against others everywhere"},
	{"SELECT x.id FROM machine x LEFT JOIN mac m ON m.scope = x.user_id AND "
	 "m.mac_addr = x.mac_addr AND m.machine_id = x.id WHERE m.scope IS NULL",
	 "machine", "its MAC address is not claimed in its segment"},
	{"SELECT x.id FROM machine x LEFT JOIN mac m ON m.scope = 0 AND m.mac_addr = x.mac_addr "
	 "AND m.machine_id = x.id WHERE m.scope IS NULL",
	 "machine", "its MAC address is not claimed everywhere"},
};

/* The same of claims, by scope and MAC. */
static const struct {
	const char *sql, *text;
} claims[] = {
	{"SELECT m.scope, m.mac_addr FROM mac m LEFT JOIN user u ON u.user_id = m.user_id "
	 "WHERE m.user_id IS NOT NULL AND u.user_id IS NULL",
	 "its user is not there"},
	{"SELECT m.scope, m.mac_addr FROM mac m LEFT JOIN session x ON x.id = m.session_id "
	 "WHERE m.session_id IS NOT NULL AND (x.id IS NULL OR x.ended <> 0)",
	 "its session has ended"},
	{"SELECT m.scope, m.mac_addr FROM mac m JOIN session x ON x.id = m.session_id "
	 "WHERE x.user_id <> m.user_id",
	 "its session is another user's"},
	{"SELECT m.scope, m.mac_addr FROM mac m LEFT JOIN workload w ON w.id = m.workload_id "
	 "WHERE m.workload_id IS NOT NULL AND (w.id IS NULL OR w.user_id <> m.user_id OR "
	 "w.user_id <> m.scope OR w.mac_addr <> m.mac_addr)",
	 "its workload is not there, or has another"},
	{"SELECT m.scope, m.mac_addr FROM mac m LEFT JOIN machine x ON x.id = m.machine_id "
	 "WHERE m.machine_id IS NOT NULL AND (x.id IS NULL OR x.user_id <> m.user_id OR "
	 "m.scope NOT IN (0, x.user_id) OR x.mac_addr <> m.mac_addr)",
	 "its machine is not there, or has another"},
	{"SELECT m.scope, m.mac_addr FROM mac m WHERE m.user_id IS NULL AND m.holders <> "
	 "(SELECT count(*) FROM workload w WHERE w.mac_addr = m.mac_addr)",
	 "it is not as many workloads that share it as it says"},
	{"SELECT m.scope, m.mac_addr FROM mac m WHERE (m.user_id IS NULL AND m.scope <> 0) OR "
	 "(m.user_id IS NOT NULL) <> (m.session_id IS NOT NULL) + (m.workload_id IS NOT NULL) + "
	 "(m.machine_id IS NOT NULL)",
	 "it has not one holder"},
};

static int check_references(struct verify *v, size_t i)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(v->store, references[i].sql, &q);

	store_enter(v->store);
	while (r == 0 && (r = sql_step(q)) > 0) {
		tell(v, "table %s, row %lld: %s", references[i].table,
		     (long long)sql_int(q, INT64_MIN, INT64_MAX), references[i].text);
		r = 0;
	}
	return r;
}

static int check_claims(struct verify *v, size_t i)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(v->store, claims[i].sql, &q);

	store_enter(v->store);
	while (r == 0 && (r = sql_step(q)) > 0) {
		char text[MAC_STRLEN];
		uint8_t mac[6];
		long long scope = sql_int(q, INT64_MIN, INT64_MAX);

		sql_blob(q, mac, sizeof(mac));
		mac_format(mac, text);
		tell(v, "table mac, row %lld %s: %s", scope, text, claims[i].text);
		r = 0;
	}
	return r;
}

/* --- the database's own look at itself --- */

static int check_file(struct verify *v)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = v->store->driver->self_check
			? sql_prepare(v->store, v->store->driver->self_check, &q)
			: 0;

	while (q && r == 0 && (r = sql_step(q)) > 0) {
		const char *text;

		sql_long_text(q, &text);
		if (!text || strcmp(text, "ok") != 0)
			tell(v, "the file is damaged: %s", text ? text : "");
		r = 0;
	}
	return r;
}

int store_verify(struct store *s, void (*report)(const char *sentence, void *arg), void *arg,
		 uint64_t *ret_n)
{
	struct verify v = {.store = s, .report = report, .arg = arg};
	int r;

	store_enter(s);
	r = check_file(&v);
	for (const struct table_info *t = store_tables; r == 0 && t->name; t++)
		r = check_rows(&v, t);
	for (size_t i = 0; r == 0 && i < SP_ARRAY_SIZE(references); i++)
		r = check_references(&v, i);
	for (size_t i = 0; r == 0 && i < SP_ARRAY_SIZE(claims); i++)
		r = check_claims(&v, i);
	if (r == 0)
		*ret_n = v.n;
	return r;
}
