/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What operators ask of a machine's firewall: how a new policy comes into force.
 *
 *   text    may be longer than a message: then it comes in pieces (policy-put), on one connection
 *   check   read, compiled, and its expectations tried: on a worker
 *   row     in the store (I8), if nobody has changed it meanwhile
 *   force   in force at the port, if there is one now; flows that it does not allow end
 *
 * Where the last step fails, the policy of before is in force (M5), and is put back into the store.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "log.h"
#include "ops.h"
#include "ops_machine.h"
#include "policy/policy.h"
#include "rules_apply.h"
#include "store_job.h"

struct rules_change {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	uint32_t id; /* the machine's */
	char label[2 * SP_NAME_MAX];
	bool holds;    /* the machine, for itself: no other change meanwhile */
	bool fallback; /* back to the host's default */
	bool dry_run;
	enum rules_strict strict;
	uint64_t expected; /* the generation that it replaces, or STORE_ANY_GENERATION */
	char *text;
	size_t size, wanted; /* bytes that are there, and that shall be */
	char *before;	     /* the machine's; while it is checked, the host's if there is none */
	/* What was found out. */
	int r;
	char error[512];
	const char *field;
	size_t n_rules, n_expects;
	bool takes_away;
	uint64_t generation;
	/* What came of it. */
	bool in_force, looked;
	unsigned int ended;
	struct rules_change *prev, *next; /* whose text is not whole */
};

static void change_free(struct rules_change *c)
{
	free(c->text);
	free(c->before);
	free(c);
}

static struct machine *machine_for(struct rules_change *c)
{
	struct machine *m = machine_find_id(c->daemon, c->id);

	return m && !m->gone ? m : NULL;
}

static void change_end(struct rules_change *c)
{
	struct machine *m = machine_for(c);

	if (m && c->holds)
		m->rules.changing = false;
	if (!c->dry_run)
		daemon_audit(c->daemon, request_uid(c->request), "policy-set", c->label,
			     c->r < 0	   ? c->error
			     : c->fallback ? "default"
					   : NULL);
	if (c->r < 0)
		request_fail(c->request, c->r, c->field, "policy-set %s: %s", c->label, c->error);
	else
		request_finish(c->request,
			       json_pack("{s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:I}", "generation",
					 (json_int_t)c->generation, "rules", (json_int_t)c->n_rules,
					 "expectations", (json_int_t)c->n_expects, "dry_run",
					 c->dry_run, "takes_away", c->takes_away, "in_force",
					 c->in_force, "strict", c->looked, "ended_flows",
					 (json_int_t)c->ended));
	change_free(c);
}

static void __attribute__((format(printf, 4, 5)))
change_fail(struct rules_change *c, int r, const char *field, const char *format, ...)
{
	va_list ap;

	c->r = r;
	c->field = field;
	va_start(ap, format);
	vsnprintf(c->error, sizeof(c->error), format, ap);
	va_end(ap);
	change_end(c);
}

static void change_submit(struct rules_change *c, enum worker_kind kind,
			  void (*run)(struct job *, struct store *), void (*done)(struct job *))
{
	int r;

	c->job.run = run;
	c->job.done = done;
	r = workers_submit(c->daemon->workers, kind, &c->job);
	if (r < 0)
		change_fail(c, r, NULL, "there is too much to do; try again");
}

/* --- back into the store, what is in force --- */

static void restore_run(struct job *job, struct store *store)
{
	struct rules_change *c = (struct rules_change *)job;
	int r = store_rules_set(store, c->id, c->before, c->generation, &c->generation);

	if (r < 0)
		log_event(LOG_ERR,
			  "the store has a policy that is not in force: set it again, or another",
			  "MACHINE", c->label, "ERROR", store_error(store), NULL);
	else
		c->in_force = true; /* what is there is what is in force */
}

static void restore_done(struct job *job)
{
	struct rules_change *c = (struct rules_change *)job;
	struct machine *m = machine_for(c);

	if (m && c->in_force) {
		free(m->rules.text);
		m->rules.text = TAKE_PTR(c->before);
		m->rules.generation = m->rules.applied = c->generation;
		free(TAKE_PTR(m->rules.trouble));
		m->rules.error = 0;
	}
	change_end(c);
}

/* --- in force --- */

static void on_forced(const struct rules_result *result, void *arg)
{
	struct rules_change *c = arg;

	c->in_force = result->in_force;
	c->looked = result->strict;
	c->ended = result->ended;
	if (result->r == 0) {
		change_end(c);
		return;
	}
	c->r = result->r;
	snprintf(c->error, sizeof(c->error), "%s; the policy of before is in force", result->error);
	if (result->r == -ENOENT)
		change_end(c);
	else
		change_submit(c, WORKER_STORE, restore_run, restore_done);
}

/* --- the row --- */

static void row_run(struct job *job, struct store *store)
{
	struct rules_change *c = (struct rules_change *)job;

	c->r = store_rules_set(store, c->id, c->fallback ? NULL : c->text, c->expected,
			       &c->generation);
	if (c->r < 0)
		snprintf(c->error, sizeof(c->error), "%s", store_error(store));
}

static void row_done(struct job *job)
{
	struct rules_change *c = (struct rules_change *)job;
	struct machine *m = machine_for(c);

	daemon_store_state(c->daemon, store_is_trouble(c->r) ? c->error : NULL);
	if (c->r == -ESTALE)
		c->field = "generation";
	if (c->r == 0 && !m)
		change_fail(c, -ENOENT, NULL, "the machine was removed meanwhile");
	else if (c->r < 0)
		change_end(c);
	else {
		rules_replace(m, c->fallback ? NULL : TAKE_PTR(c->text), c->generation, c->strict,
			      on_forced, c);
	}
}

/* --- the check --- */

static void note_expectation(unsigned int line, const char *sentence, void *arg)
{
	struct rules_change *c = arg;

	if (!c->error[0])
		snprintf(c->error, sizeof(c->error), "line %u: %.400s", line, sentence);
}

static int check(struct rules_change *c)
{
	_cleanup_(policy_freep) struct policy *now = NULL;
	_cleanup_(policy_freep) struct policy *next = NULL;
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	char error[RULES_ERROR_MAX];
	int r = rules_parse(c->text, &next, error);

	if (r == 0)
		r = policy_compile(next, 0, policy_digest(c->text, c->size), &rows, error);
	if (r < 0) {
		snprintf(c->error, sizeof(c->error), "%s", error);
		return r;
	}
	c->n_rules = next->n_rules;
	c->n_expects = next->n_expects;
	if (policy_test(next, note_expectation, c) > 0)
		return -EINVAL;
	c->takes_away = rules_parse(c->before, &now, error) < 0 || policy_takes_away(now, next);
	return 0;
}

static void check_run(struct job *job, struct store *store)
{
	struct rules_change *c = (struct rules_change *)job;

	c->r = check(c);
	if (c->r < 0)
		c->field = "text";
}

/* No other change comes between, from here on. */
static bool take_hold(struct rules_change *c, struct machine *m)
{
	if (m->rules.changing) {
		change_fail(c, -EBUSY, NULL, "another policy is being put in force; try again");
		return false;
	}
	free(c->before);
	c->before = m->rules.text ? strdup(m->rules.text) : NULL;
	if (!c->before != !m->rules.text) {
		change_fail(c, -ENOMEM, NULL, "out of memory");
		return false;
	}
	m->rules.changing = c->holds = true;
	return true;
}

static void check_done(struct job *job)
{
	struct rules_change *c = (struct rules_change *)job;
	struct machine *m = machine_for(c);

	if (c->r < 0 || c->dry_run)
		change_end(c);
	else if (!m)
		change_fail(c, -ENOENT, NULL, "the machine was removed meanwhile");
	else if (take_hold(c, m))
		change_submit(c, WORKER_STORE, row_run, row_done);
}

/* The text is whole. */
static void begin(struct rules_change *c)
{
	struct machine *m = machine_for(c);

	if (!m) {
		change_fail(c, -ENOENT, NULL, "the machine was removed meanwhile");
		return;
	}
	if (c->fallback) {
		c->text = strdup(rules_default(c->daemon));
		c->size = c->text ? strlen(c->text) : 0;
	}
	c->before = strdup(m->rules.text ? m->rules.text : rules_default(c->daemon));
	if (!c->text || !c->before)
		change_fail(c, -ENOMEM, NULL, "out of memory");
	else
		change_submit(c, WORKER_CPU, check_run, check_done);
}

/* --- a text in pieces --- */

static void on_caller_gone(struct request *r, void *arg)
{
	struct rules_change *c = arg;

	DL_DELETE(c->daemon->rules_changes, c);
	request_finish(r, NULL);
	change_free(c);
}

static struct rules_change *find_change(struct daemon *d, const struct request *request)
{
	struct rules_change *c;

	DL_FOREACH(d->rules_changes, c)
	if (request_same_caller(c->request, request))
		return c;
	return NULL;
}

void op_policy_put(void *context, void *request, const json_t *args)
{
	struct rules_change *c = find_change(context, request);
	const char *piece = arg_string(args, "text", "");
	size_t n = strlen(piece);

	if (!c) {
		request_fail(request, -ENOTCONN, NULL,
			     "policy-put: no policy-set on this connection waits for a text");
		return;
	}
	if (n > c->wanted - c->size) {
		request_fail(request, -E2BIG, "text",
			     "policy-put: %zu bytes: expected at most %zu more", n,
			     c->wanted - c->size);
		return;
	}
	memcpy(c->text + c->size, piece, n);
	c->size += n;
	c->text[c->size] = '\0';
	request_finish(request, json_pack("{s:I}", "bytes", (json_int_t)c->size));
	if (c->size < c->wanted)
		return;
	DL_DELETE(c->daemon->rules_changes, c);
	request_on_gone(c->request, NULL, NULL);
	begin(c);
}

/* --- the request --- */

static bool take_text(struct rules_change *c, const json_t *args)
{
	const char *text = arg_string(args, "text", NULL);
	const json_t *bytes = json_object_get(args, "bytes");
	int given = (text != NULL) + (bytes != NULL) + c->fallback;

	if (given != 1) {
		change_fail(c, -EINVAL, "text", "expected one of text, bytes and default");
		return false;
	}
	c->wanted = text ? strlen(text) : (size_t)arg_int(args, "bytes", 0);
	if (c->fallback)
		return true;
	c->text = text ? strdup(text) : calloc(1, c->wanted + 1);
	c->size = text ? c->wanted : 0;
	if (!c->text)
		change_fail(c, -ENOMEM, NULL, "out of memory");
	return c->text != NULL;
}

static enum rules_strict strict_of(const json_t *args)
{
	if (!json_object_get(args, "strict"))
		return RULES_STRICT_AUTO;
	return arg_bool(args, "strict", false) ? RULES_STRICT_YES : RULES_STRICT_NO;
}

void op_policy_set(void *context, void *request, const json_t *args)
{
	struct machine *m = machine_of(context, request, args);
	struct daemon *d = context;
	struct rules_change *c;
	int64_t generation = arg_int(args, "generation", -1);

	if (!m)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	c->daemon = d;
	c->request = request;
	c->id = m->id;
	machine_label(m, c->label);
	c->fallback = arg_bool(args, "default", false);
	c->dry_run = arg_bool(args, "dry_run", false);
	c->strict = strict_of(args);
	c->expected = generation < 0 ? STORE_ANY_GENERATION : (uint64_t)generation;
	if (!take_text(c, args))
		return;
	if (c->fallback || c->size == c->wanted) {
		begin(c);
		return;
	}
	if (find_change(d, request)) {
		change_fail(c, -EBUSY, NULL,
			    "another policy-set on this connection waits for its text");
		return;
	}
	DL_APPEND(d->rules_changes, c);
	request_on_gone(request, on_caller_gone, c);
}
