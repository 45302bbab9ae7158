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

#include "sallyport/limits.h"

struct traces;

#define TRACE_EVENTS_MAX 128 /* of one trace; what comes later is counted, not kept */
#define TRACES_KEPT 1024

/*
 * X(NAME, "name", "meaning", measured from). Stages that have an object name the machine
 * ("user/name") or the MAC. FROM: the stage whose first mark of the same object, or else without
 * one, begins what the histogram measures; BEGIN: the login. NONE: not measured.
 */
#define TRACE_STAGES(X)                                                                            \
	X(AUTH, "auth", "OpenVPN asked whether the password is right", NONE)                       \
	X(AUTH_STORE, "auth-store", "the database answered", AUTH)                                 \
	X(AUTH_DONE, "auth-done", "the password was right", AUTH_STORE)                            \
	X(MACHINE_WANTED, "machine-wanted", "the machine shall run", NONE)                         \
	X(MACHINE_QUEUED, "machine-queued", "it waits for room on the host", NONE)                 \
	X(PORT_UP, "port-up", "its tap is there, behind the programs", MACHINE_WANTED)             \
	X(DOMAIN_CALL, "domain-call", "libvirt was asked to start, restore or resume it", PORT_UP) \
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

int traces_new(struct traces **ret);
struct traces *traces_free(struct traces *t);

/*
 * A login begins: returns the id of a new trace, random, never 0 (0: out of memory: then nothing is
 * traced, and every call below takes it). The oldest trace gives way.
 */
uint64_t trace_begin(struct traces *t, const char *user, const char *instance,
		     const char *common_name, const char *ip, uint16_t port, uint64_t now_us);
/* The trace that a login from there began, at most SP_TRACE_PENDING_S ago, without a session yet;
 * 0. */
uint64_t trace_of_login(struct traces *t, const char *instance, const char *common_name,
			const char *ip, uint16_t port, uint64_t now_us);
/* It has become this session. */
void trace_session(struct traces *t, uint64_t id, uint64_t session);

/* NOW_US, here and above: CLOCK_MONOTONIC. OBJECT may be NULL. Unknown ids are passed over. */
void trace_mark(struct traces *t, uint64_t id, enum trace_stage stage, const char *object,
		uint64_t now_us);

/* Is this stage marked already (of this object)? */
bool trace_has(struct traces *t, uint64_t id, enum trace_stage stage, const char *object);

/* By session, or by its own id as 16 hexadecimal digits. NULL: there is none. A new reference. */
json_t *trace_view(struct traces *t, uint64_t session, const char *id);
/* Each stage's count, sum, p50, p90, p99 in ms: for `status`. A new reference. */
json_t *trace_summary(struct traces *t);

const char *trace_stage_name(enum trace_stage stage);
void trace_format_id(uint64_t id, char ret[17]);

#endif
