/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users whom somebody else's table knows: who is there, and what does our own row add? Names are
 * compared as bytes, whatever the table's collation: what it finds besides is not the user.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "store_internal.h"

struct mapping {
	bool address, address6; /* the table has them */
	char *get, *all;	/* SQL */
};

/* What the table says of one. */
struct known {
	char name[SP_NAME_MAX];
	char hash[STORE_HASH_MAX];
	char address[SP_ADDR_STRLEN], address6[SP_ADDR_STRLEN];
	bool disabled;
};

void mapping_free(struct mapping *m)
{
	if (!m)
		return;
	free(m->get);
	free(m->all);
	free(m);
}

/* --- the statements --- */

bool store_mapping_is_name(const char *s, bool dotted)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
	size_t n = strspn(s, letters);

	if (n == 0 || n > STORE_IDENTIFIER_MAX)
		return false;
	if (dotted && s[n] == '.')
		return store_mapping_is_name(s + n + 1, false);
	return s[n] == '\0';
}

/* An expression for a column of the table, or FALLBACK. The name was checked. */
static void put_column(FILE *f, const struct store *s, const char *name, const char *fallback)
{
	if (name)
		fprintf(f, "m.%c%s%c", s->driver->quote, name, s->driver->quote);
	else
		fputs(fallback, f);
}

static void put_table(FILE *f, const struct store *s, const char *name)
{
	const char *dot = strchr(name, '.');
	char quote = s->driver->quote;

	if (dot)
		fprintf(f, "%c%.*s%c.", quote, (int)(dot - name), name, quote);
	fprintf(f, "%c%s%c", quote, dot ? dot + 1 : name, quote);
}

/* The two begin alike; our own row stands beside the table's, where there is one. */
static char *make_sql(const struct store *s, const struct store_mapping *m, bool one)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputs("SELECT ", f);
	fputs(s->driver->as_text[0], f);
	put_column(f, s, m->name, "");
	fputs(s->driver->as_text[1], f);
	fputs(", ", f);
	put_column(f, s, m->password, "");
	fputs(", ", f);
	put_column(f, s, m->disabled, "0");
	fputs(", ", f);
	put_column(f, s, m->address, "NULL");
	fputs(", ", f);
	put_column(f, s, m->address6, "NULL");
	fputs(", u.user_id IS NOT NULL, " USER_COLUMNS " FROM ", f);
	put_table(f, s, m->table);
	fprintf(f, " m LEFT JOIN user u ON u.username = %s", s->driver->as_text[0]);
	put_column(f, s, m->name, "");
	fprintf(f, "%s%s", s->driver->as_text[1], one ? " WHERE " : " ORDER BY ");
	put_column(f, s, m->name, "");
	fputs(one ? " = ?" : "", f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static int check_names(const struct store_mapping *m, char **ret_error)
{
	const char *const columns[] = {m->name, m->password, m->disabled, m->address, m->address6};

	if (!m->name || !m->password)
		return store_open_failed(ret_error, -EINVAL, m->table,
					 "user-name-column and user-password-column are needed");
	if (!store_mapping_is_name(m->table, true))
		return store_open_failed(ret_error, -EINVAL, m->table, "not the name of a table");
	for (size_t i = 0; i < SP_ARRAY_SIZE(columns); i++)
		if (columns[i] && !store_mapping_is_name(columns[i], false))
			return store_open_failed(ret_error, -EINVAL, columns[i],
						 "not the name of a column");
	return 0;
}

/* Are table and columns there, and may we read them? A name that nobody has is looked for. */
static int try_it(struct store *s)
{
	struct store_user u;
	int r = mapping_user_get(s, "-", &u);

	return r == -ENOENT ? 0 : r;
}

int mapping_new(struct store *s, const struct store_mapping *m, char **ret_error)
{
	int r = check_names(m, ret_error);

	if (r < 0)
		return r;
	s->mapping = calloc(1, sizeof(*s->mapping));
	if (!s->mapping)
		return -ENOMEM;
	s->mapping->address = m->address;
	s->mapping->address6 = m->address6;
	s->mapping->get = make_sql(s, m, true);
	s->mapping->all = make_sql(s, m, false);
	if (!s->mapping->get || !s->mapping->all)
		return -ENOMEM;
	r = try_it(s);
	return r < 0 ? store_open_failed(ret_error, r, m->table, s->error) : 0;
}

/* --- what the table says --- */

/* Text that fits, else none: what cannot be a hash or an address lets nobody in. */
static bool take_text(struct sql *q, char *ret, size_t size)
{
	struct sql_value v;

	ret[0] = '\0';
	sql_value(q, &v);
	if ((v.type != SQL_TEXT && v.type != SQL_BYTES) || v.size >= size ||
	    memchr(v.data, '\0', v.size))
		return false;
	memcpy(ret, v.data, v.size);
	ret[v.size] = '\0';
	return true;
}

/* A number, a text that is one, a bit. What is none of these disables. */
static bool take_flag(struct sql *q)
{
	struct sql_value v;
	const char *text;

	sql_value(q, &v);
	if (v.type == SQL_NULL)
		return false;
	if (v.type == SQL_INT)
		return v.number != 0;
	if (v.type != SQL_TEXT && v.type != SQL_BYTES)
		return true;
	text = v.data;
	for (size_t i = 0; i < v.size; i++)
		if (text[i] != '0' && text[i] != '\0')
			return true;
	return false;
}

/* The row's two halves. *ret_own: ours is there. False: no user can have that name. */
static bool read_both(struct sql *q, struct known *k, struct store_user *u, bool *ret_own)
{
	bool possible = take_text(q, k->name, sizeof(k->name)) && k->name[0];

	take_text(q, k->hash, sizeof(k->hash));
	k->disabled = take_flag(q);
	take_text(q, k->address, sizeof(k->address));
	take_text(q, k->address6, sizeof(k->address6));
	*ret_own = sql_int(q, 0, 1);
	if (*ret_own)
		user_read(q, u);
	return possible;
}

static void merge(const struct mapping *m, const struct known *k, struct store_user *u)
{
	memcpy(u->name, k->name, sizeof(u->name));
	memcpy(u->hash, k->hash, sizeof(u->hash));
	u->disabled = u->disabled || k->disabled;
	if (m->address)
		memcpy(u->address, k->address, sizeof(u->address));
	if (m->address6)
		memcpy(u->address6, k->address6, sizeof(u->address6));
}

static int look_up(struct store *s, const char *name, struct known *ret, struct store_user *own,
		   bool *ret_own)
{
	_cleanup_sql_ struct sql *q = NULL;
	unsigned int found = 0;
	int r = sql_prepare(s, s->mapping->get, &q);

	if (r < 0)
		return r;
	sql_bind_chars(q, name);
	while ((r = sql_step(q)) > 0) {
		struct store_user u = {0};
		struct known k;
		bool has;

		if (!read_both(q, &k, &u, &has) || strcmp(k.name, name) != 0)
			continue;
		r = sql_row(q, "user");
		if (r < 0)
			return r;
		if (found++)
			return sql_fail(s, -EUCLEAN, "the user table has more than one '%s'", name);
		*ret = k;
		*own = u;
		*ret_own = has;
	}
	if (r < 0 && r != -EILSEQ) /* not a name that anybody there could have */
		return r;
	return found ? 0 : sql_fail(s, -ENOENT, "there is no such user");
}

/* --- the calls --- */

static int make_own(struct store *s, const char *name, struct store_user *ret)
{
	struct store_user u = {0};
	int r;

	snprintf(u.name, sizeof(u.name), "%s", name);
	r = user_add(s, &u);
	if (r == -EEXIST) /* another server saw the user at the same time */
		return user_get(s, name, ret);
	if (r == 0)
		*ret = u;
	return r;
}

int mapping_user_get(struct store *s, const char *name, struct store_user *ret)
{
	struct store_user u;
	struct known k;
	bool own;
	int r = look_up(s, name, &k, &u, &own);

	if (r == 0 && !own)
		r = make_own(s, name, &u);
	if (r == 0) {
		merge(s->mapping, &k, &u);
		*ret = u;
	}
	explicit_bzero(k.hash, sizeof(k.hash));
	return r;
}

int mapping_check(struct store *s, const char *name)
{
	struct store_user u;
	struct known k;
	bool own;
	int r = look_up(s, name, &k, &u, &own);

	explicit_bzero(k.hash, sizeof(k.hash));
	if (r < 0)
		return r;
	return k.disabled ? sql_fail(s, -EACCES, "the user is disabled") : 0;
}

/* What was not changed stays ours: the table's "disabled" must not become our own. */
int mapping_user_update(struct store *s, const struct store_user *user)
{
	struct mapping *m = s->mapping;
	struct store_user next = *user, now, own;
	int r = mapping_user_get(s, user->name, &now);

	r = r ?: user_get(s, user->name, &own);
	explicit_bzero(now.hash, sizeof(now.hash));
	if (r < 0)
		return r;
	if ((m->address && strcmp(now.address, user->address) != 0) ||
	    (m->address6 && strcmp(now.address6, user->address6) != 0))
		return sql_fail(s, -EOPNOTSUPP,
				"users are those of another table ([store] user-table): change the "
				"address there");
	if (user->disabled == now.disabled)
		next.disabled = own.disabled;
	if (m->address)
		memcpy(next.address, own.address, sizeof(next.address));
	if (m->address6)
		memcpy(next.address6, own.address6, sizeof(next.address6));
	return user_update(s, &next);
}

int mapping_user_delete(struct store *s, const char *name)
{
	struct store_user u;
	struct known k;
	bool own;
	int r = look_up(s, name, &k, &u, &own);

	explicit_bzero(k.hash, sizeof(k.hash));
	if (r == -ENOENT)
		return user_delete(s, name); /* what is left of one who is gone there */
	return r
		       ?: sql_fail(s, -EOPNOTSUPP,
				   "users are those of another table ([store] user-table): delete "
				   "the "
				   "user there first");
}

int mapping_user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg),
		      void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, s->mapping->all, &q);

	while (r == 0 && (r = sql_step(q)) > 0) {
		struct store_user u = {0};
		struct known k;
		bool own;

		r = 0;
		if (!read_both(q, &k, &u, &own))
			continue;
		r = sql_row(q, "user");
		merge(s->mapping, &k, &u);
		r = r ?: cb(&u, arg);
	}
	return r;
}
