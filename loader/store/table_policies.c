/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firewall of each machine: which text, and which one in the order of its changes? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "store_internal.h"

/* A row stays when its text is taken away, so that no generation is ever given twice. */
static int read_rules(struct sql *q, struct store_rules *ret)
{
	*ret = (struct store_rules){.machine_id = (uint32_t)sql_int(q, 1, UINT32_MAX),
				    .generation = (uint64_t)sql_int(q, 1, INT64_MAX)};
	sql_long_text(q, &ret->text);
	return sql_row(q, "policy");
}

int rules_get(struct store *s, uint32_t machine_id, uint64_t *ret_generation, char **ret_text)
{
	_cleanup_sql_ struct sql *q = NULL;
	struct store_rules got = {0};
	_cleanup_free_
	char *text = NULL;
	int r = sql_prepare(
		s, "SELECT machine_id, generation, text FROM policy WHERE machine_id = ?", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, machine_id);
	r = sql_step(q);
	r = r > 0 ? read_rules(q, &got) : r;
	if (r == 0 && got.text) {
		text = strdup(got.text);
		r = text ? 0 : -ENOMEM;
	}
	if (r == 0) {
		*ret_generation = got.generation;
		*ret_text = TAKE_PTR(text);
	}
	return r;
}

int rules_each(struct store *s, int (*cb)(const struct store_rules *rules, void *arg), void *arg)
{
	_cleanup_sql_ struct sql *q = NULL;
	struct store_rules rules;
	int r = sql_prepare(s,
			    "SELECT p.machine_id, p.generation, p.text FROM policy p "
			    "JOIN machine m ON m.id = p.machine_id WHERE m.server_id = {own} "
			    "ORDER BY p.machine_id",
			    &q);

	while (r == 0 && (r = sql_step(q)) > 0)
		r = read_rules(q, &rules) ?: cb(&rules, arg);
	return r;
}

/* --- changing --- */

struct change {
	uint32_t machine_id;
	uint64_t expected, generation;
	const char *text;
};

/* Ours, and nobody removes it meanwhile. */
static int hold_machine(struct store *s, uint32_t id)
{
	_cleanup_sql_ struct sql *q = NULL;
	int64_t server;
	int r = sql_prepare(s, "SELECT server_id FROM machine WHERE id = ?{lock}", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, id);
	r = sql_step(q);
	if (r <= 0)
		return r ?: sql_fail(s, -ENOENT, "there is no such machine");
	server = sql_int(q, 1, INT64_MAX);
	r = sql_row(q, "machine");
	return r ?: server_check_own(s, server, "machine");
}

static int current(struct store *s, uint32_t machine_id, int64_t *ret)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(s, "SELECT generation FROM policy WHERE machine_id = ?{lock}", &q);

	if (r < 0)
		return r;
	sql_bind_int(q, machine_id);
	return sql_number(q, 0, ret);
}

static int write_row(struct store *s, const struct change *c, bool there)
{
	_cleanup_sql_ struct sql *q = NULL;
	int r = sql_prepare(
		s,
		there ? "UPDATE policy SET generation = ?, text = ? WHERE machine_id = ?"
		      : "INSERT INTO policy (generation, text, machine_id) "
			"VALUES (?, ?, ?)",
		&q);

	if (r < 0)
		return r;
	sql_bind_int(q, (int64_t)c->generation);
	sql_bind_text(q, c->text);
	sql_bind_int(q, c->machine_id);
	return there ? sql_change(q) : sql_run(q);
}

static int set_body(struct store *s, void *arg)
{
	struct change *c = arg;
	int64_t now = 0;
	int r = hold_machine(s, c->machine_id);

	r = r ?: current(s, c->machine_id, &now);
	if (r < 0)
		return r;
	if (c->expected != STORE_ANY_GENERATION && c->expected != (uint64_t)now)
		return sql_fail(s, -ESTALE,
				"somebody has changed the policy meanwhile: its generation is %lld",
				(long long)now);
	if (now == INT64_MAX)
		return sql_fail(s, -EOVERFLOW, "the policy was changed too often");
	c->generation = (uint64_t)now + 1;
	return write_row(s, c, now > 0);
}

int rules_set(struct store *s, uint32_t machine_id, const char *text, uint64_t expected,
	      uint64_t *ret_generation)
{
	struct change c = {.machine_id = machine_id, .expected = expected, .text = text};
	int r;

	if (text && strlen(text) > SP_POLICY_MAX)
		return sql_fail(s, -EINVAL, "a policy of %zu bytes: expected at most %d",
				strlen(text), SP_POLICY_MAX);
	r = sql_transaction(s, set_body, &c);
	if (r == 0)
		*ret_generation = c.generation;
	return r;
}
