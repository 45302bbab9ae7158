/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose MAC address is that? What learn-address asks; answered from memory and maps alone. */
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

static json_t *learn_reply(enum learn_verdict v, const char *reason)
{
	if (!reason)
		return json_pack("{s:b}", "allow", 1);
	return json_pack("{s:b, s:s, s:s, s:i}", "allow", 0, "reason", reason, "scope",
			 v == LEARN_LIMIT ? "session" : "mac", "retry_ms", REFUSAL_MS);
}

/* NULL: done. Otherwise why not. */
static const char *learn(struct daemon *d, struct session *s, const uint8_t mac[6], uint64_t now_us,
			 enum learn_verdict *ret)
{
	struct binding *from, *b;
	int r;

	*ret = segment_may_learn(d, &s->member, mac, s->max_macs, &from);
	switch (*ret) {
	case LEARN_KNOWN:
		b = member_find(&s->member, mac);
		b->learned_us = now_us; /* a late delete of before is not of this one */
		return NULL;
	case LEARN_OK:
	case LEARN_TAKEOVER:
		r = segment_bind(d, &s->member, mac, now_us);
		if (r < 0)
			return r == -ENOSPC || r == -E2BIG ? "no room for another MAC"
							   : strerror(-r);
		if (from)
			segment_unbind(d, from);
		return NULL;
	default:
		return learn_verdict_text(*ret);
	}
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

void op_hook_learn(void *context, void *request, const json_t *args)
{
	struct daemon *d = context;
	struct instance *i = hook_living_instance(d, request, args);
	const char *text = arg_string(args, "mac", ""), *reason;
	enum learn_verdict verdict = LEARN_OK;
	struct session_key key;
	struct session *s;
	uint8_t mac[6];

	if (!i)
		return;
	hook_key(i, args, &key);
	s = session_find(d, &key);
	if (s && !trace_has(d->traces, s->trace, TRACE_FIRST_MAC, NULL))
		trace_mark(d->traces, s->trace, TRACE_FIRST_MAC, text, client_now_us());
	if (hook_expired(args)) {
		request_fail(request, -ETIMEDOUT, NULL,
			     "nothing was done: the deadline has passed");
		return;
	}
	mac_parse(text, mac);
	if (!s || s->state != SESSION_LIVE)
		reason = "there is no such session";
	else if (arg_int(args, "vid", 0) != s->member.dst.vid)
		reason = "not the session's VLAN id";
	else
		reason = learn(d, s, mac, client_now_us(), &verdict);
	metrics_note(d->metrics, reason ? METRICS_MAC_REFUSE : METRICS_MAC_ALLOW);
	log_learn(i, s, text, verdict, reason);
	monitor_mac(d, reason ? "refuse" : "learn", s ? s->id : 0, mac,
		    (uint16_t)arg_int(args, "vid", 0), reason);
	request_finish(request, learn_reply(verdict, reason));
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
		segment_unbind(d, b);
	}
	request_finish(request, NULL);
}
