/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the traces share; nobody else includes it. */
#ifndef SALLYPORT_LOADER_TRACE_INTERNAL_H
#define SALLYPORT_LOADER_TRACE_INTERNAL_H

#include <uthash.h>

#include "trace.h"

#define TRACE_NONE _TRACE_STAGES_MAX
#define TRACE_EVENTS_TAIL (TRACE_EVENTS_MAX - TRACE_EVENTS_HEAD)
/* For a trace's names: "user/machine" and MACs, each with its NUL. */
#define TRACE_POOL_SIZE 1024

struct trace_event {
	uint64_t us : 48; /* since the login: nine years */
	uint64_t stage : 8;
	uint64_t object : 8; /* its place in `objects`, from 1 on; 0: none */
};

/* Zeroed before it is filled: compared byte by byte. */
struct trace_login {
	char instance[SP_INSTANCE_MAX];
	char ip[SP_ADDR_STRLEN];
	uint16_t port;
	uint8_t pad[6];
};

struct trace {
	uint64_t id, session, begun_us;
	int64_t begun; /* seconds since the epoch */
	struct trace_login login;
	char user[SP_NAME_MAX], common_name[SP_CN_MAX];
	uint32_t stages;   /* a bit for each that was ever marked */
	uint64_t n_events; /* that were put into `events` */
	uint64_t lost;	   /* that were not */
	unsigned int n_objects, pool_used;
	uint16_t objects[TRACE_OBJECTS_MAX]; /* where in `pool` each begins */
	struct trace_event events[TRACE_EVENTS_MAX];
	char pool[TRACE_POOL_SIZE];
	struct trace *prev, *next;		    /* of one of the two lists below */
	UT_hash_handle hh_id, hh_login, hh_session; /* .tbl NULL: not in it */
};

struct traces {
	struct trace *by_id, *by_login, *by_session;
	struct trace *logins, *sessions; /* lists, utlist: the oldest first */
	unsigned int n;
	struct histogram stages[_TRACE_STAGES_MAX], spans[_TRACE_SPANS_MAX];
};

/* How many events can still be seen, and the I-th of them by time. */
size_t trace_events(const struct trace *t);
const struct trace_event *trace_event_at(const struct trace *t, size_t i);
/* Events between TRACE_EVENTS_HEAD and the latest, or of too many objects. */
uint64_t trace_events_lost(const struct trace *t);
const char *trace_object_name(const struct trace *t, unsigned int object);

/*
 * From the last mark of FROM to a mark of STAGE, of OBJECT, at US, which comes behind the first N
 * events. False: there is none, or it was measured before.
 */
bool trace_measure(const struct trace *t, size_t n, enum trace_stage from, enum trace_stage stage,
		   unsigned int object, uint64_t us, uint64_t *ret_us);

/* Where STAGE is measured from; TRACE_NONE. */
enum trace_stage trace_from(enum trace_stage stage);

struct trace *trace_find(const struct traces *t, uint64_t id);
struct trace *trace_find_session(const struct traces *t, uint64_t session);

#endif
