/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose MAC address is that? What learn-address asks; answered from memory and maps alone, unless
 * other servers share the store: then their common table has the last word (I6).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "lib/client.h"
#include "lib/mac.h"
#include "log.h"
#include "monitor.h"
#include "ops_hook.h"
#include "trace/metrics.h"
#include "trace/trace.h"

#define REFUSAL_MS 2000 /* how long a refused MAC stays refused without asking again */
#define TROUBLE_MS 500	/* the same, where it is the store's trouble and not the client's */
#define ANSWER_US                                                                                  \
	10000 /* how long before the caller's deadline an answer is sent at the latest             \
	       */

static json_t *learn_reply(enum learn_verdict v, const char *reason, int retry_ms)
{
	if (!reason)
		return json_pack("{s:b}", "allow", 1);
	return json_pack("{s:b, s:s, s:s, s:i}", "allow", 0, "reason", reason, "scope",
			 v == LEARN_LIMIT || v == LEARN_USER_LIMIT ? "session" : "mac", "retry_ms",
			 retry_ms);
}

/* Refusals come as fast as a client can send frames: one line a second tells enough. */
static void log_learn(struct instance *i, struct session *s, const char *mac,
		      enum learn_verdict verdict, const char *reason)
{
	const char *user = s && s->state == SESSION_LIVE ? s->user : "";
	unsigned int missed = 0;
	char more[16];

	if (!reason) {
		log_event(LOG_DEBUG, "MAC learned", "MAC", mac, "USER", user, "INSTANCE", i->name,
			  "HOW", learn_verdict_text(verdict), NULL);
		return;
	}
	if (!log_allows(s ? &s->refusals : &i->refusals, client_now_us(), &missed))
		return;
	snprintf(more, sizeof(more), "%u", missed);
	log_event(LOG_NOTICE, "MAC refused", "MAC", mac, "USER", user, "INSTANCE", i->name,
		  "REASON", reason, "NOT_LOGGED_BEFORE", more, NULL);
}

/* Log it, tell who watches, answer. REASON NULL: it is allowed. REQUEST is taken. */
static void conclude(struct request *request, struct instance *i, struct session *s,
		     const uint8_t mac[6], uint16_t vid, enum learn_verdict v, const char *reason,
		     int retry_ms)
{
	char text[MAC_STRLEN];

	metrics_note(i->daemon->metrics, reason ? METRICS_MAC_REFUSE : METRICS_MAC_ALLOW);
	log_learn(i, s, mac_format(mac, text), v, reason);
	monitor_mac(i->daemon, reason ? "refuse" : "learn", s ? s->id : 0, mac, vid, reason);
	request_finish(request, learn_reply(v, reason, retry_ms));
}

/* The last step. NULL: done; otherwise why not. */
static const char *bind_mac(struct daemon *d, struct session *s, const uint8_t mac[6],
			    uint64_t now_us, struct binding *from)
{
	int r = segment_bind(d, &s->member, mac, now_us);

	if (r < 0)
		return r == -ENOSPC || r == -E2BIG ? "no room for another MAC" : strerror(-r);
	if (from)
		segment_unbind(d, from);
	return NULL;
}

/* --- where other servers write to the store as well: claimed there before it is bound here --- */

struct claim_job {
	struct job job;
	struct daemon *daemon;
	struct request *request; /* NULL: answered already, by the deadline */
	sd_event_source *timer;
	uint64_t session;
	uint32_t scope;
	uint8_t mac[6];
	uint16_t vid;
	char instance[SP_INSTANCE_MAX];
	uint64_t from; /* a session that had it before */
	int r;
	char *error;
};

static void claim_run(struct job *job, struct store *store)
{
	struct claim_job *c = (struct claim_job *)job;

	c->r = store_mac_claim(store, c->scope, c->mac, c->session, &c->from);
	if (c->r < 0)
		c->error = strdup(store_error(store));
}

static void claim_answer(struct claim_job *c, enum learn_verdict v, const char *reason,
			 int retry_ms)
{
	struct instance *i = instance_find(c->daemon, c->instance);
	struct request *r = c->request;

	if (!r)
		return;
	c->request = NULL;
	request_on_gone(r, NULL, NULL);
	if (i)
		conclude(r, i, session_find_id(c->daemon, c->session), c->mac, c->vid, v, reason,
			 retry_ms);
	else
		request_finish(r, learn_reply(v, "the instance was removed", REFUSAL_MS));
}

/* It is ours; is what was so when it was asked for still so? */
static const char *claimed(struct claim_job *c, enum learn_verdict *ret)
{
	struct session *s = session_find_id(c->daemon, c->session);
	struct binding *from;

	if (!s)
		return "the session has ended";
	*ret = segment_may_learn(c->daemon, &s->member, c->mac, s->max_macs, &from);
	if (*ret == LEARN_KNOWN)
		return NULL;
	if (*ret != LEARN_OK && *ret != LEARN_TAKEOVER)
		return learn_verdict_text(*ret);
	return bind_mac(c->daemon, s, c->mac, client_now_us(), from);
}

static void claim_done(struct job *job)
{
	struct claim_job *c = (struct claim_job *)job;
	enum learn_verdict v = LEARN_OK;
	bool trouble = c->r < 0 && c->r != -EEXIST && c->r != -ENOENT;
	const char *reason;

	daemon_store_state(c->daemon, trouble ? c->error : NULL);
	sd_event_source_disable_unref(c->timer);
	/* One that was answered by the deadline stays claimed: the session will ask again. */
	if (c->request) {
		if (c->r == -EEXIST)
			v = LEARN_OTHER_USER;
		reason = c->r == -EEXIST   ? learn_verdict_text(v)
			 : c->r == -ENOENT ? "the session has ended"
			 : c->r < 0	   ? "the user database does not answer"
					   : claimed(c, &v);
		claim_answer(c, v, reason, trouble ? TROUBLE_MS : REFUSAL_MS);
	}
	free(c->error);
	free(c);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *arg)
{
	struct claim_job *c = arg;

	claim_answer(c, LEARN_OK, "the user database does not answer in time", TROUBLE_MS);
	return 0;
}

static void on_claim_gone(struct request *r, void *arg)
{
	struct claim_job *c = arg;

	c->request = NULL;
	request_finish(r, NULL);
}

static void claim(struct daemon *d, struct request *request, struct session *s,
		  const uint8_t mac[6], uint64_t deadline_us)
{
	struct claim_job *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (c) {
		*c = (struct claim_job){.job = {claim_run, claim_done, NULL},
					.daemon = d,
					.request = request,
					.session = s->id,
					.scope = s->member.unicast_copies ? STORE_EVERYWHERE
									  : s->member.segment,
					.vid = s->member.dst.vid};
		memcpy(c->mac, mac, sizeof(c->mac));
		memcpy(c->instance, s->instance->name, sizeof(c->instance));
		request_on_gone(request, on_claim_gone, c);
		sd_event_add_time(d->event, &c->timer, CLOCK_MONOTONIC, deadline_us - ANSWER_US,
				  500, on_deadline, c);
		r = workers_submit(d->workers, WORKER_CLAIM, &c->job);
	}
	if (r == 0)
		return;
	if (c) {
		request_on_gone(request, NULL, NULL);
		sd_event_source_disable_unref(c->timer);
		free(c);
	}
	conclude(request, s->instance, s, mac, s->member.dst.vid, LEARN_OK,
		 "the user database has too much to do", TROUBLE_MS);
}

struct release_job {
	struct job job;
	uint64_t session;
	uint32_t scope;
	uint8_t mac[6];
};

static void release_run(struct job *job, struct store *store)
{
	struct release_job *x = (struct release_job *)job;

	/* What fails is released with the session's end. */
	store_mac_release(store, x->scope, x->mac, x->session);
}

static void release_done(struct job *job)
{
	free(job);
}

static void release(struct daemon *d, const struct session *s, const uint8_t mac[6])
{
	struct release_job *x = d->claims ? calloc(1, sizeof(*x)) : NULL;

	if (!x)
		return;
	*x = (struct release_job){.job = {release_run, release_done, NULL},
				  .session = s->id,
				  .scope = s->member.unicast_copies ? STORE_EVERYWHERE
								    : s->member.segment};
	memcpy(x->mac, mac, sizeof(x->mac));
	if (workers_submit(d->workers, WORKER_CLAIM, &x->job) < 0)
		free(x);
}

/* --- the question --- */

/* True: answered, or it will be. False: *ret_reason says why not, NULL: it may. */
static bool learn(struct daemon *d, struct request *request, struct session *s,
		  const uint8_t mac[6], uint64_t deadline_us, enum learn_verdict *ret,
		  const char **ret_reason)
{
	struct binding *from;

	*ret_reason = NULL;
	*ret = segment_may_learn(d, &s->member, mac, s->max_macs, &from);
	switch (*ret) {
	case LEARN_KNOWN: /* a late delete of before is not of this one */
		member_find(&s->member, mac)->learned_us = client_now_us();
		return false;
	case LEARN_OK:
	case LEARN_TAKEOVER:
		if (d->claims) {
			claim(d, request, s, mac, deadline_us);
			return true;
		}
		*ret_reason = bind_mac(d, s, mac, client_now_us(), from);
		return false;
	default:
		*ret_reason = learn_verdict_text(*ret);
		return false;
	}
}

void op_hook_learn(void *context, void *request, const json_t *args)
{
	uint16_t vid = (uint16_t)arg_int(args, "vid", 0);
	struct daemon *d = context;
	struct instance *i = hook_living_instance(d, request, args);
	enum learn_verdict verdict = LEARN_OK;
	const char *reason;
	struct session_key key;
	struct session *s;
	uint8_t mac[6];

	if (!i)
		return;
	hook_key(i, args, &key);
	s = session_find(d, &key);
	if (s && !trace_has(d->traces, s->trace, TRACE_FIRST_MAC, NULL))
		trace_mark(d->traces, s->trace, TRACE_FIRST_MAC, arg_string(args, "mac", ""),
			   client_now_us());
	if (hook_expired(args)) {
		request_fail(request, -ETIMEDOUT, NULL,
			     "nothing was done: the deadline has passed");
		return;
	}
	mac_parse(arg_string(args, "mac", ""), mac);
	if (!s || s->state != SESSION_LIVE)
		reason = "there is no such session";
	else if (vid != s->member.dst.vid)
		reason = "not the session's VLAN id";
	else if (learn(d, request, s, mac, (uint64_t)arg_int(args, "deadline_us", 0), &verdict,
		       &reason))
		return;
	conclude(request, i, s, mac, vid, verdict, reason, REFUSAL_MS);
}

/*
 * OpenVPN says that nobody owns MAC@VID any more, up to minutes late and without a name. It means a
 * binding of before the hook began; one that was learned since stays.
 */
void op_hook_forget(void *context, void *request, const json_t *args)
{
	uint64_t when = (uint64_t)arg_int(args, "time_us", 0);
	struct daemon *d = context;
	struct instance *i = hook_instance(d, request, args);
	struct binding *b, *next;
	uint8_t mac[6];

	if (!i)
		return;
	mac_parse(arg_string(args, "mac", ""), mac);
	HASH_FIND(hh, d->bindings, mac, SP_MAC_LEN, b);
	for (; b; b = next) {
		const struct session *s = b->owner->session;

		next = b->same_mac;
		if (!s || s->instance != i || b->learned_us >= when ||
		    b->owner->dst.vid != arg_int(args, "vid", 0))
			continue;
		monitor_mac(d, "forget", s->id, mac, b->owner->dst.vid, NULL);
		release(d, s, mac);
		segment_unbind(d, b);
	}
	request_finish(request, NULL);
}
