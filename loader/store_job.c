/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does a request get through the store and back? */
#include "store_job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "ends.h"
#include "lib/cleanup.h"

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
	};
	const char *text = NULL;

	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++)
		if (texts[i].r == j->r)
			text = texts[i].text;
	/* Of what keeps it busy, or what else is wrong, the store's words tell. */
	if (!text)
		text = j->error ? j->error : strerror(-j->r);
	request_fail(j->request, j->r, NULL, "%s %s: %s", j->what, j->object, text);
}

bool store_is_trouble(int r)
{
	return r == -EIO || r == -ENOSPC || r == -EUCLEAN || r == -EACCES || r == -EROFS ||
	       r == -ENOMEM || r == -EPERM || r == -ETIMEDOUT || r == -ENOTCONN;
}

static void answer(struct store_job *j)
{
	if (j->r < 0)
		fail_request(j);
	else if (j->items)
		request_finish_items(j->request, NULL, texts_next, texts_free, TAKE_PTR(j->items));
	else
		request_finish(j->request, json_incref(j->reply));
}

static void store_done(struct job *job)
{
	struct store_job *j = (struct store_job *)job;

	daemon_store_state(j->daemon, store_is_trouble(j->r) ? j->error : NULL);
	if (j->r == 0 && j->after)
		j->after(j);
	if (j->request) {
		if (j->audited)
			daemon_audit(j->daemon, request_uid(j->request), j->what, j->object,
				     j->r < 0 ? strerror(-j->r) : NULL);
		answer(j);
	}
	job_free(j);
}

static struct store_job *job_new(struct daemon *d, struct request *request, const json_t *args,
				 const char *what,
				 int (*work)(struct store_job *j, struct store *store))
{
	const char *user = arg_string(args, "user", NULL), *name = arg_string(args, "name", "");
	struct store_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->daemon = d;
	j->request = request;
	j->work = work;
	j->args = json_incref((json_t *)args);
	snprintf(j->what, sizeof(j->what), "%s", what);
	snprintf(j->object, sizeof(j->object), "%s%s%s", user ? user : "", user ? "/" : "", name);
	return j;
}

int store_job_continue(struct store_job *j)
{
	j->job.run = store_run;
	j->job.done = store_done;
	ends_flush(j->daemon->ends); /* a user whose sessions have all ended is not in use */
	return workers_submit(j->daemon->workers, WORKER_STORE, &j->job);
}

void store_job_fail(struct store_job *j, int r, const char *field, const char *message)
{
	request_fail(j->request, r, field, "%s: %s", j->what, message);
	job_free(j);
}

struct store_job *store_job_new(struct daemon *d, struct request *request, const json_t *args,
				const char *what, bool audited,
				int (*work)(struct store_job *j, struct store *store),
				void (*after)(struct store_job *j))
{
	struct store_job *j = job_new(d, request, args, what, work);

	if (!j) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return NULL;
	}
	j->after = after;
	j->audited = audited;
	return j;
}

void store_job_start(struct store_job *j)
{
	if (store_job_continue(j) < 0)
		store_job_fail(j, -EAGAIN, NULL, "the store has too much to do; try again");
}

void store_job_submit(struct daemon *d, struct request *request, const json_t *args,
		      const char *what, bool audited,
		      int (*work)(struct store_job *j, struct store *store),
		      void (*after)(struct store_job *j))
{
	struct store_job *j = store_job_new(d, request, args, what, audited, work, after);

	if (j)
		store_job_start(j);
}

int store_job_submit_first(struct daemon *d, struct request *request, const json_t *args,
			   const char *what, void (*run)(struct job *, struct store *),
			   void (*done)(struct job *),
			   int (*work)(struct store_job *j, struct store *store))
{
	struct store_job *j = job_new(d, request, args, what, work);
	int r;

	if (!j)
		return -ENOMEM;
	j->job.run = run;
	j->job.done = done;
	j->audited = true;
	r = workers_submit(d->workers, WORKER_CPU, &j->job);
	if (r < 0)
		job_free(j);
	return r;
}

int store_job_list(struct store_job *j)
{
	if (!j->items)
		j->items = calloc(1, sizeof(*j->items));
	return j->items ? 0 : -ENOMEM;
}

int store_job_item(struct store_job *j, json_t *item)
{
	int r = store_job_list(j);

	if (r == 0)
		return texts_add(j->items, item);
	json_decref(item);
	return r;
}
