/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the schema on the server what mysql_schema.c says? Each column, key and constraint of ours is
 * looked for in information_schema; what an operator added (an index, say) is left alone, but not a
 * column, which our rows would have to fill.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mysql_internal.h"

#define TEXT_MAX 512

static int differs(struct mysql_store *s, const char *table, const char *part, const char *found)
{
	return sql_fail(&s->base, -EUCLEAN, "table %s: expected '%s', found %s%s%s", table, part,
			*found ? "'" : "", *found ? found : "none", *found ? "'" : "");
}

/* A question about TABLE, and about NAME in it where that is not NULL. */
static int ask(struct mysql_store *s, const char *text, const char *table, const char *name,
	       struct sql **ret)
{
	int r = sql_prepare(&s->base, text, ret);

	if (r < 0)
		return r;
	store_enter(&s->base); /* they are many: each has its own time */
	sql_bind_chars(*ret, table);
	if (name)
		sql_bind_chars(*ret, name);
	return sql_step(*ret);
}

/* --- columns --- */

/* Lower case, and no width behind whole numbers, which only some servers tell. */
static void normalise_type(char *type)
{
	char *open, *close;

	for (char *c = type; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	open = strstr(type, "int(");
	close = open ? strchr(open, ')') : NULL;
	if (close)
		memmove(open + 3, close + 1, strlen(close + 1) + 1);
}

/* Each server writes an expression in its own way; without spaces, quotes and parentheses alike. */
static void normalise_expression(char *text)
{
	char *to = text;

	for (const char *c = text; *c; c++)
		if (!strchr(" `()\t\n", *c))
			*to++ = (char)tolower((unsigned char)*c);
	*to = '\0';
}

struct column {
	char name[64], type[64], nullable[8], extra[64], expression[TEXT_MAX];
};

/* "name TYPE [UNSIGNED] [NOT NULL] ..." */
static void expect(const char *part, struct column *ret)
{
	static const char *const ends[] = {" NOT NULL", " DEFAULT ", " GENERATED "};
	const char *type = strchr(part, ' ') + 1, *end = type + strlen(type);
	const char *as = strstr(part, " AS ");

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < SP_ARRAY_SIZE(ends); i++) {
		const char *found = strstr(type, ends[i]);

		if (found && found < end)
			end = found;
	}
	snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(type - 1 - part), part);
	snprintf(ret->type, sizeof(ret->type), "%.*s", (int)(end - type), type);
	normalise_type(ret->type);
	strcpy(ret->nullable, strstr(part, " NOT NULL") ? "NO" : "YES");
	if (strstr(part, " AUTO_INCREMENT"))
		strcpy(ret->extra, "auto_increment");
	if (as) {
		strcpy(ret->extra, "STORED GENERATED");
		snprintf(ret->expression, sizeof(ret->expression), "%.*s",
			 (int)(strstr(as, " STORED") - as - 4), as + 4);
		normalise_expression(ret->expression);
	}
}

static int read_column(struct mysql_store *s, struct sql *q, struct column *ret)
{
	memset(ret, 0, sizeof(*ret));
	sql_text(q, ret->name, sizeof(ret->name));
	sql_text(q, ret->type, sizeof(ret->type));
	sql_text(q, ret->nullable, sizeof(ret->nullable));
	sql_text(q, ret->extra, sizeof(ret->extra));
	sql_text(q, ret->expression, sizeof(ret->expression));
	normalise_type(ret->type);
	normalise_expression(ret->expression);
	if (strcmp(ret->extra, "auto_increment") != 0 &&
	    strcmp(ret->extra, "STORED GENERATED") != 0)
		ret->extra[0] = '\0'; /* DEFAULT_GENERATED and the like */
	return sql_row(q, "information_schema.columns");
}

static bool is_column(const char *part)
{
	static const char *const others[] = {"PRIMARY ", "UNIQUE ", "KEY ", "CONSTRAINT "};

	for (size_t i = 0; i < SP_ARRAY_SIZE(others); i++)
		if (strncmp(part, others[i], strlen(others[i])) == 0)
			return false;
	return true;
}

/* In their order, these and no others. */
static int compare_columns(struct mysql_store *s, const struct mysql_table *t)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = ask(s,
		    "SELECT column_name, column_type, is_nullable, extra, "
		    "coalesce(generation_expression, '') FROM information_schema.columns "
		    "WHERE table_schema = database() AND table_name = ? ORDER BY ordinal_position",
		    t->name, NULL, &q);

	for (const char *const *part = t->parts; *part; part++) {
		struct column want, got;

		if (!is_column(*part))
			continue;
		if (r <= 0)
			return r ?: differs(s, t->name, *part, "");
		expect(*part, &want);
		r = read_column(s, q, &got);
		if (r < 0)
			return r;
		if (strcmp(want.name, got.name) != 0 || strcmp(want.type, got.type) != 0 ||
		    strcmp(want.nullable, got.nullable) != 0 || strcmp(want.extra, got.extra) != 0)
			return differs(s, t->name, *part, got.name);
		if (strcmp(want.expression, got.expression) != 0)
			return differs(s, t->name, want.expression, got.expression);
		r = sql_step(q);
	}
	if (r > 0)
		return sql_fail(&s->base, -EUCLEAN, "table %s: a column more than there should be",
				t->name);
	return r;
}

/* --- keys and constraints --- */

/* "(a, b)" behind HEAD, as "a,b". */
static void columns_of(const char *part, const char *head, char ret[TEXT_MAX])
{
	const char *open = strchr(strstr(part, head), '('), *close = strchr(open, ')');
	size_t n = 0;

	for (const char *c = open + 1; c < close; c++)
		if (*c != ' ')
			ret[n++] = *c;
	ret[n] = '\0';
}

/* "UNIQUE KEY name (a, b)", "KEY name (a)", "PRIMARY KEY (a)" */
static int compare_key(struct mysql_store *s, const char *table, const char *part)
{
	_cleanup_sql_ struct sql *q = NULL;
	char name[64] = "PRIMARY", want[TEXT_MAX], got[TEXT_MAX] = "";
	bool unique = strncmp(part, "KEY ", 4) != 0;
	int64_t non_unique;
	int r;

	if (sscanf(part, "UNIQUE KEY %63s", name) != 1)
		(void)sscanf(part, "KEY %63s", name);
	columns_of(part, "KEY", want);
	r = ask(s,
		"SELECT min(non_unique), group_concat(column_name ORDER BY seq_in_index) "
		"FROM information_schema.statistics WHERE table_schema = database() AND "
		"table_name = ? AND index_name = ? GROUP BY index_name",
		table, name, &q);
	if (r <= 0)
		return r ?: differs(s, table, part, "");
	non_unique = sql_int(q, 0, 1);
	sql_text(q, got, sizeof(got));
	r = sql_row(q, "information_schema.statistics");
	if (r == 0 && (strcmp(want, got) != 0 || unique == non_unique))
		r = differs(s, table, part, got);
	return r;
}

static int compare_foreign_key(struct mysql_store *s, const char *table, const char *name,
			       const char *part)
{
	_cleanup_sql_ struct sql *q = NULL;
	char target[64] = "", want[64] = "", rule[32] = "";
	bool cascade = strstr(part, "ON DELETE CASCADE") != NULL;
	int r;

	(void)sscanf(strstr(part, "REFERENCES "), "REFERENCES %63s", want);
	r = ask(s,
		"SELECT referenced_table_name, delete_rule "
		"FROM information_schema.referential_constraints "
		"WHERE constraint_schema = database() AND table_name = ? AND constraint_name = ?",
		table, name, &q);
	if (r <= 0)
		return r ?: differs(s, table, part, "");
	sql_text(q, target, sizeof(target));
	sql_text(q, rule, sizeof(rule));
	r = sql_row(q, "information_schema.referential_constraints");
	if (r == 0 && (strcmp(target, want) != 0 || (strcmp(rule, "CASCADE") == 0) != cascade))
		r = differs(s, table, part, rule);
	return r;
}

static int compare_check(struct mysql_store *s, const char *table, const char *name,
			 const char *part)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = ask(s,
		    "SELECT 1 FROM information_schema.table_constraints WHERE "
		    "constraint_schema = database() AND table_name = ? AND constraint_name = ? "
		    "AND constraint_type = 'CHECK'",
		    table, name, &q);

	return r == 0 ? differs(s, table, part, "") : r < 0 ? r : 0;
}

static int compare_part(struct mysql_store *s, const char *table, const char *part)
{
	char name[64];

	if (is_column(part))
		return 0;
	if (sscanf(part, "CONSTRAINT %63s", name) != 1)
		return compare_key(s, table, part);
	return strstr(part, "FOREIGN KEY") ? compare_foreign_key(s, table, name, part)
					   : compare_check(s, table, name, part);
}

/* --- tables --- */

static int compare_engine(struct mysql_store *s, const char *table)
{
	_cleanup_sql_ struct sql *q = NULL;
	char engine[64];
	int r = ask(s,
		    "SELECT coalesce(engine, 'none') FROM information_schema.tables "
		    "WHERE table_schema = database() AND table_name = ?",
		    table, NULL, &q);

	if (r <= 0)
		return r ?: sql_fail(&s->base, -EUCLEAN, "table '%s' is missing", table);
	sql_text(q, engine, sizeof(engine));
	r = sql_row(q, "information_schema.tables");
	if (r == 0 && strcmp(engine, "InnoDB") != 0)
		r = differs(s, table, "ENGINE = InnoDB", engine);
	return r;
}

static int compare_view(struct mysql_store *s)
{
	static const char want[] = "user_id,username,password,mac_addr,ip_addr";
	_cleanup_sql_ struct sql *q = NULL;
	char got[TEXT_MAX] = "";
	int r = ask(s,
		    "SELECT coalesce(group_concat(column_name ORDER BY ordinal_position), '') "
		    "FROM information_schema.columns WHERE table_schema = database() AND "
		    "table_name = ?",
		    "users", NULL, &q);

	if (r < 0)
		return r;
	sql_text(q, got, sizeof(got));
	r = sql_row(q, "information_schema.columns");
	return r ?: strcmp(got, want) == 0 ? 0 : differs(s, "users", want, got);
}

int mysql_compare(struct mysql_store *s, const struct mysql_schema *schema)
{
	int r = 0;

	for (const struct mysql_table *t = schema->tables; r == 0 && t->name; t++) {
		r = compare_engine(s, t->name);
		r = r ?: compare_columns(s, t);
		for (const char *const *part = t->parts; r == 0 && *part; part++)
			r = compare_part(s, t->name, *part);
	}
	return r ?: compare_view(s);
}
