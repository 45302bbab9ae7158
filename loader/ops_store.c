/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What operators ask of users, workloads and the audit trail: each a job on the store's thread,
 * answered when the database has committed (I8).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "daemon.h"
#include "ends.h"
#include "lib/cleanup.h"
#include "lib/mac.h"
#include "log.h"
#include "ops.h"
#include "password.h"
#include "session.h"
#include "views.h"
#include "workload.h"

/* Items of a list as text: a tenth of what they take as JSON objects. */
struct texts {
	char **v;
	size_t n, room, next;
};

static int texts_add(struct texts *t, json_t *item)
{
	char *text = json_dumps(item, JSON_COMPACT);

	json_decref(item);
	if (text && t->n == t->room) {
		size_t room = 2 * t->room + 64;
		char **grown = reallocarray(t->v, room, sizeof(*grown));

		if (grown) {
			t->v = grown;
			t->room = room;
		}
	}
	if (!text || t->n == t->room) {
		free(text);
		return -ENOMEM;
	}
	t->v[t->n++] = text;
	return 0;
}

static char *texts_next(void *source)
{
	struct texts *t = source;
	char *text;

	if (t->next == t->n)
		return NULL;
	text = TAKE_PTR(t->v[t->next]);
	t->next++;
	return text;
}

static void texts_free(void *source)
{
	struct texts *t = source;

	for (size_t i = t ? t->next : 0; t && i < t->n; i++)
		free(t->v[i]);
	if (t)
		free(t->v);
	free(t);
}

struct store_job {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	/* The work, on the store's thread: fills `r`, `reply` or `items`. */
	int (*work)(struct store_job *j, struct store *store);
	/* On the loop, when it succeeded: what follows in the daemon. May be NULL. */
	void (*after)(struct store_job *j);
	json_t *args; /* a reference */
	json_t *reply;
	struct texts *items;
	struct store_user user;
	struct store_workload workload;
	bool audited; /* a change, not a look */
	char what[32], object[2 * SP_NAME_MAX + 2];
	char *error;
	int r;
};

static void job_free(struct store_job *j)
{
	json_decref(j->args);
	json_decref(j->reply);
	texts_free(j->items);
	free(j->error);
	explicit_bzero(&j->user, sizeof(j->user));
	free(j);
}

static void store_run(struct job *job, struct store *store)
{
	struct store_job *j = (struct store_job *)job;

	j->r = j->work(j, store);
	if (j->r < 0)
		j->error = strdup(store_error(store));
}

static void fail_request(struct store_job *j)
{
	static const struct {
		int r;
		const char *text;
	} texts[] = {
		{-ENOENT, "there is no such thing"},
		{-EEXIST, "it exists already, or clashes with one that does"},
		{-EBUSY, "it is in use"},
	};
	const char *text = NULL;

	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++)
		if (texts[i].r == j->r)
			text = texts[i].text;
	/* EBUSY is also a lock that was held for too long: the database's words tell. */
	if (!text || (j->r == -EBUSY && strstr(j->error ? j->error : "", "locked")))
		text = j->error ? j->error : strerror(-j->r);
	request_fail(j->request, j->r, NULL, "%s %s: %s", j->what, j->object, text);
}

static bool is_store_trouble(int r)
{
	return r == -EIO || r == -ENOSPC || r == -EUCLEAN || r == -EACCES || r == -EROFS ||
	       r == -ENOMEM || r == -EPERM || r == -ETIMEDOUT || r == -ENOTCONN;
}

static void store_done(struct job *job)
{
	struct store_job *j = (struct store_job *)job;

	daemon_store_state(j->daemon, is_store_trouble(j->r) ? j->error : NULL);
	if (j->r == 0 && j->after)
		j->after(j);
	if (j->audited)
		daemon_audit(j->daemon, request_uid(j->request), j->what, j->object,
			     j->r < 0 ? strerror(-j->r) : NULL);
	if (j->r < 0)
		fail_request(j);
	else if (j->items)
		request_finish_items(j->request, NULL, texts_next, texts_free, TAKE_PTR(j->items));
	else
		request_finish(j->request, json_incref(j->reply));
	job_free(j);
}

static void submit(struct daemon *d, void *request, const json_t *args, const char *what,
		   bool audited, int (*work)(struct store_job *j, struct store *store),
		   void (*after)(struct store_job *j))
{
	struct store_job *j = calloc(1, sizeof(*j));
	const char *user = arg_string(args, "user", NULL), *name = arg_string(args, "name", "");

	if (!j) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	j->job.run = store_run;
	j->job.done = store_done;
	j->daemon = d;
	j->request = request;
	j->work = work;
	j->after = after;
	j->args = json_incref((json_t *)args);
	j->audited = audited;
	snprintf(j->what, sizeof(j->what), "%s", what);
	snprintf(j->object, sizeof(j->object), "%s%s%s", user ? user : "", user ? "/" : "", name);
	ends_flush(d->ends); /* a user whose sessions have all ended is not in use */
	if (workers_submit(d->workers, WORKER_STORE, &j->job) < 0) {
		request_fail(request, -EAGAIN, NULL, "%s: the store has too much to do; try again",
			     what);
		job_free(j);
	}
}

/* --- users --- */

/* The limits and addresses that were given; the rest stays. -EINVAL with the field at fault. */
static int take_limits(struct store_user *u, const json_t *args, const char **ret_field)
{
	char probe[SP_ADDR_STRLEN];

	snprintf(u->address, sizeof(u->address), "%s", arg_string(args, "address", u->address));
	snprintf(u->address6, sizeof(u->address6), "%s", arg_string(args, "address6", u->address6));
	u->max_sessions = (uint32_t)arg_int(args, "max_sessions", u->max_sessions);
	u->max_macs = (uint32_t)arg_int(args, "max_macs", u->max_macs);
	*ret_field = "address";
	if (strchr(u->address, ':') || session_address(u->address, 0, probe) < 0)
		return -EINVAL;
	*ret_field = "address6";
	if ((u->address6[0] && !strchr(u->address6, ':')) ||
	    session_address(u->address6, 0, probe) < 0)
		return -EINVAL;
	return 0;
}

static bool limits_are_fit(void *request, const json_t *args)
{
	struct store_user probe = {0};
	const char *field;

	if (take_limits(&probe, args, &field) == 0)
		return true;
	request_fail(request, -EINVAL, field,
		     "%s: '%s': expected an address with prefix length, as %s", field,
		     arg_string(args, field, ""),
		     strcmp(field, "address") == 0 ? "10.8.0.10/24" : "fd00::10/64");
	return false;
}

static int work_user_add(struct store_job *j, struct store *store)
{
	const char *field;
	int r = take_limits(&j->user, j->args, &field);

	snprintf(j->user.name, sizeof(j->user.name), "%s", arg_string(j->args, "name", ""));
	r = r ?: store_user_add(store, &j->user);
	if (r == 0)
		j->reply = json_pack("{s:o}", "user", view_user(&j->user));
	return r;
}

static int work_user_passwd(struct store_job *j, struct store *store)
{
	return store_user_set_hash(store, arg_string(j->args, "name", ""), j->user.hash);
}

/* Hash first, on a thread for slow work; then the same job goes to the store. */
static void hash_run(struct job *job, struct store *store)
{
	struct store_job *j = (struct store_job *)job;
	const char *password = arg_string(j->args, "password", NULL);

	j->r = password ? password_hash(password, j->user.hash, sizeof(j->user.hash)) : 0;
}

static void hash_done(struct job *job)
{
	struct store_job *j = (struct store_job *)job;
	int r;

	j->job.run = store_run;
	j->job.done = store_done;
	/* Once it is submitted, the job is the store thread's: it may have its result already. */
	r = j->r ?: workers_submit(j->daemon->workers, WORKER_STORE, &j->job);
	if (r < 0) {
		request_fail(j->request, r, "password", "%s: the password could not be hashed: %s",
			     j->what, strerror(-r));
		job_free(j);
	}
}

static void submit_hashed(struct daemon *d, void *request, const json_t *args, const char *what,
			  int (*work)(struct store_job *j, struct store *store))
{
	struct store_job *j = calloc(1, sizeof(*j));
	int r = j ? 0 : -ENOMEM;

	if (j) {
		*j = (struct store_job){.job = {hash_run, hash_done, NULL},
					.daemon = d,
					.request = request,
					.work = work,
					.audited = true,
					.args = json_incref((json_t *)args)};
		snprintf(j->what, sizeof(j->what), "%s", what);
		snprintf(j->object, sizeof(j->object), "%s", arg_string(args, "name", ""));
		r = workers_submit(d->workers, WORKER_CPU, &j->job);
	}
	if (r < 0) {
		request_fail(request, r, NULL, "%s: too much to do; try again", what);
		if (j)
			job_free(j);
	}
}

void op_user_add(void *context, void *request, const json_t *args)
{
	if (limits_are_fit(request, args))
		submit_hashed(context, request, args, "user-add", work_user_add);
}

void op_user_passwd(void *context, void *request, const json_t *args)
{
	submit_hashed(context, request, args, "user-passwd", work_user_passwd);
}

static int work_user_set(struct store_job *j, struct store *store)
{
	const char *field;
	int r = store_user_get(store, arg_string(j->args, "name", ""), &j->user);

	r = r ?: take_limits(&j->user, j->args, &field);
	r = r ?: store_user_update(store, &j->user);
	if (r == 0)
		j->reply = json_pack("{s:o}", "user", view_user(&j->user));
	return r;
}

void op_user_set(void *context, void *request, const json_t *args)
{
	if (limits_are_fit(request, args))
		submit(context, request, args, "user-set", true, work_user_set, NULL);
}

static int work_user_disable(struct store_job *j, struct store *store)
{
	const char *name = arg_string(j->args, "name", "");
	int r = store_user_get(store, name, &j->user);

	return r ?: store_user_set_disabled(store, name, arg_bool(j->args, "disabled", true));
}

static void after_user_disable(struct store_job *j)
{
	if (arg_bool(j->args, "disabled", true))
		session_end_user(j->daemon, j->user.id, "the user was disabled");
}

void op_user_disable(void *context, void *request, const json_t *args)
{
	submit(context, request, args,
	       arg_bool(args, "disabled", true) ? "user-disable" : "user-enable", true,
	       work_user_disable, after_user_disable);
}

static int work_user_delete(struct store_job *j, struct store *store)
{
	return store_user_delete(store, arg_string(j->args, "name", ""));
}

/* The rows went with the user's; their veths go now. */
static void after_user_delete(struct store_job *j)
{
	const char *name = arg_string(j->args, "name", "");
	struct workload *w, *next;

	HASH_ITER(hh, j->daemon->workloads, w, next)
	if (strcmp(w->row.user, name) == 0)
		workload_remove(w);
}

void op_user_delete(void *context, void *request, const json_t *args)
{
	submit(context, request, args, "user-delete", true, work_user_delete, after_user_delete);
}

static int add_user(const struct store_user *u, void *arg)
{
	return texts_add(arg, view_user(u));
}

static int work_user_list(struct store_job *j, struct store *store)
{
	const char *name = arg_string(j->args, "name", NULL);
	int r;

	j->items = calloc(1, sizeof(*j->items));
	if (!j->items)
		return -ENOMEM;
	if (!name)
		return store_user_each(store, add_user, j->items);
	r = store_user_get(store, name, &j->user);
	return r ?: add_user(&j->user, j->items);
}

void op_user_list(void *context, void *request, const json_t *args)
{
	submit(context, request, args, "user-list", false, work_user_list, NULL);
}

/* --- workloads --- */

/* A locally administered unicast address out of the kernel's random numbers. */
static int random_mac(uint8_t mac[6])
{
	if (getrandom(mac, 6, 0) != 6)
		return -EIO;
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
	return 0;
}

static int work_workload_add(struct store_job *j, struct store *store)
{
	struct store_workload *w = &j->workload;
	const char *mac = arg_string(j->args, "mac", NULL);
	int r = mac ? mac_parse(mac, w->mac) : random_mac(w->mac);

	snprintf(w->user, sizeof(w->user), "%s", arg_string(j->args, "user", ""));
	snprintf(w->name, sizeof(w->name), "%s", arg_string(j->args, "name", ""));
	snprintf(w->netns, sizeof(w->netns), "%s", arg_string(j->args, "netns", ""));
	snprintf(w->ifname, sizeof(w->ifname), "%s", arg_string(j->args, "ifname", "eth0"));
	return r ?: store_workload_add(store, w);
}

static void after_workload_add(struct store_job *j)
{
	struct workload *w;

	j->r = workload_new(j->daemon, &j->workload, &w);
	if (j->r == 0)
		j->reply = json_pack("{s:o}", "workload", view_workload(j->daemon, w));
}

void op_workload_add(void *context, void *request, const json_t *args)
{
	const char *text = arg_string(args, "mac", NULL);
	uint8_t mac[6];

	if (text &&
	    (mac_parse(text, mac) < 0 || !mac_is_unicast(mac) || segment_is_reserved(context, mac)))
		request_fail(request, -EINVAL, "mac",
			     "mac: '%s': expected a unicast address that is neither reserved nor a "
			     "device's "
			     "of this host",
			     text);
	else
		submit(context, request, args, "workload-add", true, work_workload_add,
		       after_workload_add);
}

static int work_workload_remove(struct store_job *j, struct store *store)
{
	return store_workload_delete(store, arg_string(j->args, "user", ""),
				     arg_string(j->args, "name", ""));
}

static void after_workload_remove(struct store_job *j)
{
	struct workload *w = workload_find(j->daemon, arg_string(j->args, "user", ""),
					   arg_string(j->args, "name", ""));

	if (w)
		workload_remove(w);
}

void op_workload_remove(void *context, void *request, const json_t *args)
{
	submit(context, request, args, "workload-remove", true, work_workload_remove,
	       after_workload_remove);
}

/* --- audit --- */

static int add_audit(int64_t when, const char *who, const char *what, const char *object,
		     const char *detail, void *arg)
{
	return texts_add(arg,
			 json_pack("{s:I, s:s, s:s, s:s, s:s?}", "when", (json_int_t)when, "who",
				   who, "what", what, "object", object, "detail", detail));
}

static int work_audit_list(struct store_job *j, struct store *store)
{
	j->items = calloc(1, sizeof(*j->items));
	if (!j->items)
		return -ENOMEM;
	return store_audit_each(store, (size_t)arg_int(j->args, "limit", 100), add_audit, j->items);
}

void op_audit_list(void *context, void *request, const json_t *args)
{
	submit(context, request, args, "audit-list", false, work_audit_list, NULL);
}
