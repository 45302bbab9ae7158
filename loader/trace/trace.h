/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where did the time go between a login and the first answer of a machine? One trace for each
 * session, begun at its login, with an id that also stands in the log; the last ones are kept. How
 * long each stage took goes into a histogram as well.
 */
#ifndef SALLYPORT_LOADER_TRACE_H
#define SALLYPORT_LOADER_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "sallyport/limits.h"

struct traces;

/*
 * Of one trace. The first TRACE_EVENTS_HEAD stay, the rest is room for the latest: of a session
 * that lasts for days its login and the last time that a machine was woken can be seen. What was
 * between is counted, not kept.
 */
#define TRACE_EVENTS_MAX 128
#define TRACE_EVENTS_HEAD 64
#define TRACE_OBJECTS_MAX 63 /* names in one trace: events of others are counted, not kept */
#define TRACES_KEPT 1024

/*
 * X(NAME, "name", "meaning", measured from). Stages that have an object name the machine
 * ("user/name") or the MAC. FROM: the stage whose last mark of the same object, or else without
 * one, begins what the histogram measures; it begins one measure at most. NONE: not measured.
 */
#define TRACE_STAGES(X)                                                                            \
	X(AUTH, "auth", "OpenVPN asked whether the password is right", NONE)                       \
	X(AUTH_STORE, "auth-store", "the database answered", AUTH)                                 \
	X(AUTH_DONE, "auth-done", "the password was right", AUTH_STORE)                            \
	X(MACHINE_WANTED, "machine-wanted", "the machine shall run", NONE)                         \
	X(MACHINE_QUEUED, "machine-queued", "it waits for room on the host", NONE)                 \
	X(PORT_UP, "port-up", "its tap is there, behind the programs", MACHINE_WANTED)             \
	X(DOMAIN_CALL, "domain-call", "libvirt was asked to start, restore or resume it",          \
	  MACHINE_WANTED)                                                                          \
	X(DOMAIN_UP, "domain-up", "libvirt has done it", DOMAIN_CALL)                              \
	X(MACHINE_SPOKE, "machine-spoke", "its first frame", DOMAIN_UP)                            \
	X(CONNECT, "connect", "OpenVPN asked for the session's network", AUTH_DONE)                \
	X(CONNECT_STORE, "connect-store", "the database has the session", CONNECT)                 \
	X(CONNECTED, "connected", "the session is programmed", CONNECT_STORE)                      \
	X(FIRST_MAC, "first-mac", "OpenVPN asked for the session's first MAC", CONNECTED)          \
	X(FIRST_FRAME, "first-frame", "the first frame to the machine", CONNECTED)                 \
	X(FIRST_ANSWER, "first-answer", "the machine's first frame after that", FIRST_FRAME)

#define TRACE_ENUM(id, name, text, from) TRACE_##id,
enum trace_stage { TRACE_STAGES(TRACE_ENUM) _TRACE_STAGES_MAX };
#undef TRACE_ENUM

/*
 * X(NAME, "name", "meaning", from, to): from one stage to another over those between, measured by
 * the same rule: quantiles of a whole cannot be had from those of its parts.
 */
#define TRACE_SPANS(X)                                                                             \
	X(LOGIN, "login", "from the question for the password to the programmed session", AUTH,    \
	  CONNECTED)                                                                               \
	X(WAKE, "wake", "from the wish for a machine to libvirt having done it", MACHINE_WANTED,   \
	  DOMAIN_UP)

#define TRACE_ENUM(id, name, text, from, to) TRACE_SPAN_##id,
enum trace_span { TRACE_SPANS(TRACE_ENUM) _TRACE_SPANS_MAX };
#undef TRACE_ENUM

int traces_new(struct traces **ret);
struct traces *traces_free(struct traces *t);

/*
 * A login begins: returns the id of a new trace, random, never 0 (0: out of memory: then nothing is
 * traced, and every call below takes it). Where TRACES_KEPT are there, the oldest login that came
 * to nothing gives way, or else the oldest trace. PORT 0: not known. Texts are copied, and cut
 * where they are too long.
 */
uint64_t trace_begin(struct traces *t, const char *user, const char *instance,
		     const char *common_name, const char *ip, uint16_t port, uint64_t now_us);
/*
 * The trace that a login from there began, at most SP_TRACE_PENDING_S ago, without a session yet;
 * 0. COMMON_NAME is the login's or its user's name, which takes its place in OpenVPN with
 * username-as-common-name. A login whose port was not known is found by its address.
 */
uint64_t trace_of_login(struct traces *t, const char *instance, const char *common_name,
			const char *ip, uint16_t port, uint64_t now_us);
/* It has become this session, which has no trace yet. */
void trace_session(struct traces *t, uint64_t id, uint64_t session);

/* NOW_US, here and above: CLOCK_MONOTONIC. OBJECT may be NULL. Unknown ids are passed over. */
void trace_mark(struct traces *t, uint64_t id, enum trace_stage stage, const char *object,
		uint64_t now_us);

/* Is this stage marked already (of this object; NULL: of any or none)? */
bool trace_has(struct traces *t, uint64_t id, enum trace_stage stage, const char *object);

/*
 * By its own id as 16 hexadecimal digits, or, where ID is NULL, by session: the trace of
 * docs/control.md. NULL: there is none. A new reference.
 */
json_t *trace_view(struct traces *t, uint64_t session, const char *id);
/*
 * A list: each span's and each stage's count, sum, p50, p90, p99 in ms, of those that were
 * measured: for `status`. A new reference.
 */
json_t *trace_summary(struct traces *t);

const struct histogram *trace_stage_histogram(const struct traces *t, enum trace_stage stage);
const struct histogram *trace_span_histogram(const struct traces *t, enum trace_span span);
/* Is it measured at all? */
bool trace_stage_is_measured(enum trace_stage stage);

const char *trace_stage_name(enum trace_stage stage);
const char *trace_span_name(enum trace_span span);
/* As 16 hexadecimal digits; 0: "". */
void trace_format_id(uint64_t id, char ret[17]);

#endif
