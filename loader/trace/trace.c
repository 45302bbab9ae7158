/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which stage was when, in which session? All is found by a hash; a mark writes one event and looks
 * through those of its own trace, TRACE_EVENTS_MAX at most.
 */
/* Without memory for the table an element is left out of it, and its tbl is NULL. */
#define HASH_NONFATAL_OOM 1
#include "trace_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <utlist.h>

#define PENDING_US (SP_TRACE_PENDING_S * 1000000ULL)
#define EVENT_US_MAX ((1ULL << 48) - 1)

static_assert(_TRACE_STAGES_MAX <= 32, "trace.stages has a bit for each");
static_assert(sizeof(struct trace_event) == 8, "trace_event");
static_assert(TRACE_OBJECTS_MAX < 256, "trace_event.object");

static const enum trace_stage measured_from[] = {
#define FROM(id, name, text, from) [TRACE_##id] = TRACE_##from,
	TRACE_STAGES(FROM)
#undef FROM
};

static const struct {
	enum trace_stage from, to;
} spans[] = {
#define SPAN(id, name, text, from, to) [TRACE_SPAN_##id] = {TRACE_##from, TRACE_##to},
	TRACE_SPANS(SPAN)
#undef SPAN
};

enum trace_stage trace_from(enum trace_stage stage)
{
	return measured_from[stage];
}

/* --- a trace's events --- */

size_t trace_events(const struct trace *t)
{
	return t->n_events < TRACE_EVENTS_MAX ? (size_t)t->n_events : TRACE_EVENTS_MAX;
}

/* Behind the head the places are taken in turn. */
static size_t place_of(uint64_t n)
{
	return n < TRACE_EVENTS_HEAD
		       ? (size_t)n
		       : TRACE_EVENTS_HEAD + (size_t)((n - TRACE_EVENTS_HEAD) % TRACE_EVENTS_TAIL);
}

const struct trace_event *trace_event_at(const struct trace *t, size_t i)
{
	uint64_t skipped = t->n_events - trace_events(t);

	return &t->events[place_of(i < TRACE_EVENTS_HEAD ? i : skipped + i)];
}

uint64_t trace_events_lost(const struct trace *t)
{
	return t->lost + t->n_events - trace_events(t);
}

const char *trace_object_name(const struct trace *t, unsigned int object)
{
	return object ? t->pool + t->objects[object - 1] : NULL;
}

/* 0: not known. */
static unsigned int find_object(const struct trace *t, const char *name)
{
	for (unsigned int i = 0; i < t->n_objects; i++)
		if (strcmp(t->pool + t->objects[i], name) == 0)
			return i + 1;
	return 0;
}

/* The same, and it is remembered; 0: there is no room for another. */
static unsigned int get_object(struct trace *t, const char *name)
{
	unsigned int i = find_object(t, name);
	size_t size = strlen(name) + 1;

	if (i || t->n_objects == TRACE_OBJECTS_MAX || size > sizeof(t->pool) - t->pool_used)
		return i;
	memcpy(t->pool + t->pool_used, name, size);
	t->objects[t->n_objects++] = (uint16_t)t->pool_used;
	t->pool_used += (unsigned int)size;
	return t->n_objects;
}

bool trace_measure(const struct trace *t, size_t n, enum trace_stage from, enum trace_stage stage,
		   unsigned int object, uint64_t us, uint64_t *ret_us)
{
	const struct trace_event *begin = NULL;

	for (size_t i = n; i-- > 0;) {
		const struct trace_event *e = trace_event_at(t, i);

		if (e->stage == stage && e->object == object)
			break; /* what is before began that one */
		if (e->stage != from)
			continue;
		if (e->object == object) {
			begin = e;
			break;
		}
		if (!e->object && !begin)
			begin = e;
	}
	if (!begin)
		return false;
	*ret_us = us > begin->us ? us - begin->us : 0;
	return true;
}

static void measure(struct traces *t, const struct trace *r, const struct trace_event *e)
{
	size_t n = trace_events(r);
	uint64_t us;

	if (measured_from[e->stage] != TRACE_NONE &&
	    trace_measure(r, n, measured_from[e->stage], e->stage, e->object, e->us, &us))
		histogram_add(&t->stages[e->stage], us);
	for (int i = 0; i < _TRACE_SPANS_MAX; i++)
		if (spans[i].to == e->stage &&
		    trace_measure(r, n, spans[i].from, e->stage, e->object, e->us, &us))
			histogram_add(&t->spans[i], us);
}

void trace_mark(struct traces *t, uint64_t id, enum trace_stage stage, const char *object,
		uint64_t now_us)
{
	struct trace *r = trace_find(t, id);
	struct trace_event e = {.stage = stage};
	uint64_t us;

	if (!r)
		return;
	us = now_us > r->begun_us ? now_us - r->begun_us : 0;
	e.us = us < EVENT_US_MAX ? us : EVENT_US_MAX;
	e.object = object ? get_object(r, object) : 0;
	if (object && !e.object) {
		r->lost++; /* under no other's name */
		return;
	}
	measure(t, r, &e);
	r->events[place_of(r->n_events++)] = e;
	r->stages |= 1U << stage;
}

bool trace_has(struct traces *t, uint64_t id, enum trace_stage stage, const char *object)
{
	const struct trace *r = trace_find(t, id);
	unsigned int number;

	if (!r || !(r->stages & 1U << stage))
		return false;
	if (!object)
		return true;
	number = find_object(r, object);
	for (size_t i = number ? trace_events(r) : 0; i-- > 0;) {
		const struct trace_event *e = trace_event_at(r, i);

		if (e->stage == stage && e->object == number)
			return true;
	}
	return false;
}

/* --- all of them --- */

struct trace *trace_find(const struct traces *t, uint64_t id)
{
	struct trace *r;

	HASH_FIND(hh_id, t->by_id, &id, sizeof(id), r);
	return r;
}

struct trace *trace_find_session(const struct traces *t, uint64_t session)
{
	struct trace *r;

	HASH_FIND(hh_session, t->by_session, &session, sizeof(session), r);
	return r;
}

static void forget_login(struct traces *t, struct trace *r)
{
	if (r->hh_login.tbl)
		HASH_DELETE(hh_login, t->by_login, r);
	r->hh_login.tbl = NULL;
}

/* Out of everything; its memory is the caller's. */
static void take_out(struct traces *t, struct trace *r)
{
	forget_login(t, r);
	if (r->hh_session.tbl)
		HASH_DELETE(hh_session, t->by_session, r);
	if (r->hh_id.tbl)
		HASH_DELETE(hh_id, t->by_id, r);
	if (r->session)
		DL_DELETE(t->sessions, r);
	else
		DL_DELETE(t->logins, r);
	t->n--;
}

static bool is_pending(const struct trace *r, uint64_t now_us)
{
	return !r->session && now_us <= r->begun_us + PENDING_US;
}

/* Room for one more: that of the trace which gives way. NULL: out of memory. */
static struct trace *make_room(struct traces *t, uint64_t now_us)
{
	struct trace *r = t->logins;

	if (t->n < TRACES_KEPT)
		return calloc(1, sizeof(*r));
	if (!r || (t->sessions && is_pending(r, now_us) && t->sessions->begun_us <= r->begun_us))
		r = t->sessions;
	take_out(t, r);
	memset(r, 0, sizeof(*r));
	return r;
}

static uint64_t random_id(const struct traces *t)
{
	uint64_t id;

	do {
		if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != (ssize_t)sizeof(id))
			return 0; /* a machine that has just booted */
	} while (id == 0 || trace_find(t, id));
	return id;
}

static void set_login(struct trace_login *l, const char *instance, const char *ip, uint16_t port)
{
	memset(l, 0, sizeof(*l));
	snprintf(l->instance, sizeof(l->instance), "%s", instance);
	snprintf(l->ip, sizeof(l->ip), "%s", ip);
	l->port = port;
}

static struct trace *find_login(const struct traces *t, const struct trace_login *l)
{
	struct trace *r;

	HASH_FIND(hh_login, t->by_login, l, sizeof(*l), r);
	return r;
}

uint64_t trace_begin(struct traces *t, const char *user, const char *instance,
		     const char *common_name, const char *ip, uint16_t port, uint64_t now_us)
{
	uint64_t id = random_id(t);
	struct trace *r = id ? make_room(t, now_us) : NULL, *before;

	if (!r)
		return 0;
	r->id = id;
	r->begun_us = now_us;
	r->begun = time(NULL);
	snprintf(r->user, sizeof(r->user), "%s", user);
	snprintf(r->common_name, sizeof(r->common_name), "%s", common_name);
	set_login(&r->login, instance, ip, port);
	HASH_ADD(hh_id, t->by_id, id, sizeof(r->id), r);
	if (!r->hh_id.tbl) {
		free(r);
		return 0;
	}
	before = find_login(t, &r->login);
	if (before)
		forget_login(t, before);
	HASH_ADD(hh_login, t->by_login, login, sizeof(r->login), r);
	DL_APPEND(t->logins, r);
	t->n++;
	return id;
}

uint64_t trace_of_login(struct traces *t, const char *instance, const char *common_name,
			const char *ip, uint16_t port, uint64_t now_us)
{
	struct trace_login l;
	struct trace *r;

	set_login(&l, instance, ip, port);
	r = find_login(t, &l);
	if (!r) {
		l.port = 0;
		r = find_login(t, &l);
	}
	if (!r || !is_pending(r, now_us) ||
	    (strcmp(r->common_name, common_name) != 0 && strcmp(r->user, common_name) != 0))
		return 0;
	return r->id;
}

void trace_session(struct traces *t, uint64_t id, uint64_t session)
{
	struct trace *r = trace_find(t, id);

	if (!r || r->session || !session || trace_find_session(t, session))
		return;
	forget_login(t, r);
	r->session = session;
	DL_DELETE(t->logins, r);
	DL_APPEND(t->sessions, r);
	HASH_ADD(hh_session, t->by_session, session, sizeof(r->session), r);
}

int traces_new(struct traces **ret)
{
	struct traces *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*ret = t;
	return 0;
}

static void free_list(struct trace *list)
{
	struct trace *r, *next;

	DL_FOREACH_SAFE(list, r, next)
	free(r);
}

struct traces *traces_free(struct traces *t)
{
	if (!t)
		return NULL;
	HASH_CLEAR(hh_id, t->by_id);
	HASH_CLEAR(hh_login, t->by_login);
	HASH_CLEAR(hh_session, t->by_session);
	free_list(t->logins);
	free_list(t->sessions);
	free(t);
	return NULL;
}
