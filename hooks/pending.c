/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does an answer get from a thread to OpenVPN, whoever of the two ends first? */
#include "hooks/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/request.h"
#include "lib/cleanup.h"

/* Owned by its thread. */
struct pending_auth {
	char *socket;
	char *reason;
	char *control;
	json_t *request;
};

static void pending_auth_free(struct pending_auth *a)
{
	if (!a)
		return;
	request_free(&a->request);
	free(a->socket);
	free(a->reason);
	free(a->control);
	free(a);
}

static void pending_auth_freep(struct pending_auth **a)
{
	pending_auth_free(*a);
}

/* A copy of S, NULL for NULL; false: no memory. */
static bool copy(char **ret, const char *s)
{
	*ret = s ? strdup(s) : NULL;
	return !s || *ret;
}

static void run_auth(void *arg, const atomic_bool *stop)
{
	struct pending_auth *a = arg;
	struct auth_answer answer;

	call_auth(a->socket, a->request, stop, &answer);
	/* A file that is gone belonged to a client that is gone. */
	(void)auth_publish(&answer, a->reason, a->control);
	pending_auth_free(a);
}

int pending_auth_start(struct jobs *j, const char *socket, json_t **request, const char *reason,
		       const char *control)
{
	_cleanup_(pending_auth_freep) struct pending_auth *a = calloc(1, sizeof(*a));
	int r;

	if (!a || !copy(&a->socket, socket) || !copy(&a->reason, reason) ||
	    !copy(&a->control, control))
		return -ENOMEM;
	a->request = *request;
	r = jobs_start(j, run_auth, a);
	if (r < 0) {
		a->request = NULL;
		return r;
	}
	/* From here on the thread's alone. */
	a = NULL;
	*request = NULL;
	return 0;
}

enum state { RUNNING, DONE, ABANDONED };

/*
 * Shared by the thread and the client's context until one of them finds that the other has let go:
 * the one that makes STATE leave RUNNING gives up its share, the other frees.
 */
struct pending_connect {
	_Atomic(enum state) state;
	atomic_bool stop; /* for the thread: the client is gone */
	char *socket;
	struct connect_call call;
	/* Written by the thread before DONE. */
	int result;
	struct connect_answer answer;
};

static void pending_connect_free(struct pending_connect *p)
{
	if (!p)
		return;
	closep(&p->call.fd);
	json_decref(p->call.request);
	free(p->answer.config);
	free(p->socket);
	free(p);
}

static void pending_connect_freep(struct pending_connect **p)
{
	pending_connect_free(*p);
}

/*
 * The jobs' own stop flag is not looked at: OpenVPN destroys every client's context before it
 * closes the plugin, and that sets ours.
 */
static void run_connect(void *arg, const atomic_bool *stop)
{
	struct pending_connect *p = arg;
	enum state was = RUNNING;

	(void)stop;
	p->result = connect_finish(&p->call, &p->answer);
	closep(&p->call.fd);
	p->call.fd = -1;
	if (atomic_compare_exchange_strong(&p->state, &was, DONE))
		return;
	/* Whether accepted, or not yet answered: the daemon learns that nobody is there. */
	if (p->result != 0 || p->answer.accept)
		connect_undo(&p->call);
	pending_connect_free(p);
}

int pending_connect_start(struct jobs *j, struct connect_call *c, struct pending_connect **ret)
{
	_cleanup_(pending_connect_freep) struct pending_connect *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->call = *c;
	p->call.fd = -1;
	/* Of its own: reference counts of one object in two threads would be a race. */
	p->call.request = json_deep_copy(c->request);
	if (!p->call.request || !copy(&p->socket, c->socket))
		return -ENOMEM;
	p->call.socket = p->socket;
	p->call.stop = &p->stop;
	p->call.fd = c->fd;
	r = jobs_start(j, run_connect, p);
	if (r < 0) {
		p->call.fd = -1;
		return r;
	}
	c->fd = -1;
	*ret = TAKE_PTR(p);
	return 0;
}

bool pending_connect_done(struct pending_connect *p)
{
	return atomic_load(&p->state) == DONE;
}

int pending_connect_take(struct pending_connect *p, struct connect_answer *ret)
{
	int r = p->result;

	*ret = p->answer;
	p->answer.config = NULL;
	pending_connect_free(p);
	return r;
}

bool pending_connect_abandon(struct pending_connect *p, json_t **ret_undo)
{
	enum state was = RUNNING;
	bool undo;

	/* Before the state: with ABANDONED, the thread may free it at any moment. */
	atomic_store(&p->stop, true);
	if (atomic_compare_exchange_strong(&p->state, &was, ABANDONED))
		return false;
	undo = p->result == 0 && p->answer.accept && request_undo(p->call.request, ret_undo) == 0;
	pending_connect_free(p);
	return undo;
}
