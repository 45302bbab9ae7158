/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The next step of a machine's life: from what it is to what it shall be, one call to libvirt at a
 * time, with patience where a call fails.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "admission.h"
#include "daemon.h"
#include "lib/client.h"
#include "log.h"
#include "machine.h"
#include "monitor.h"
#include "trace/trace.h"
#include "waiter.h"

#define US 1000000ULL
#define RETRY_FIRST_US (2 * US)
#define RETRY_LAST_US (300 * US)
#define STABLE_US (60 * US)    /* up that long, what failed before is forgotten */
#define OURS_US (2 * US)       /* events of a call of ours come within */
#define ASK_AGAIN_US (10 * US) /* a guest that boots does not hear ACPI */

static void mark(struct machine *m, enum trace_stage stage)
{
	char label[2 * SP_NAME_MAX];

	trace_mark(m->daemon->traces, m->owner->trace, stage, machine_label(m, label),
		   client_now_us());
}

static void set_text(char **field, const char *text)
{
	free(*field);
	*field = text && text[0] ? strdup(text) : NULL;
}

/* --- what it shall be --- */

bool machine_is_wakeable(const struct machine *m)
{
	if (m->removing || m->let_be || m->row.policy.start == START_MANUAL)
		return false;
	if (m->row.held && m->row.want != LEVEL_RUN)
		return false;
	/* While its user is there; for the grace as well: that is what it is for. */
	return presence_is_there(m->owner, client_now_us()) ||
	       client_now_us() < m->owner->left_us + machine_grace_us(m);
}

static void fill_in(const struct machine *m, uint64_t now, struct decide_in *in)
{
	struct sp_machine seen = {0};

	if (m->joined)
		dataplane_machine_get(m->daemon->dp, m->member.dst.port, &seen);
	*in = (struct decide_in){
		.now_us = now,
		.start = m->row.policy.start,
		.ladder = &m->ladder,
		.grace_us = machine_grace_us(m),
		.idle_us = machine_idle_us(m),
		.min_up_us = machine_min_up_us(m),
		.held = m->row.held,
		.held_level = m->row.want,
		.present = presence_is_there(m->owner, now),
		.arrived_us = m->owner->arrived_us,
		.left_us = m->owner->left_us,
		.running = m->info.state == VIRT_RUNNING || m->info.state == VIRT_STOPPING,
		.woken = m->woken,
		.let_be = m->let_be,
		.up_us = m->up_us,
		.active_us = seen.active_ns / 1000,
	};
}

/*
 * It was left running when nobody was there, and the host was restarted under it: it comes up
 * again, once. What its policy lets sleep by now stays asleep.
 */
static enum level revive(struct machine *m, enum level level)
{
	if (!m->revive || !m->looked)
		return level;
	m->revive = false;
	if (level <= LEVEL_SHRINK && decide_depth(&m->info) > LEVEL_PAUSE)
		m->reviving = true;
	return level;
}

static enum level wanted(struct machine *m, const struct decide_in *in, uint64_t *ret_next)
{
	enum level level = revive(m, decide_level(in, ret_next));

	if (m->reviving && decide_depth(&m->info) <= LEVEL_SHRINK)
		m->reviving = false;
	return m->reviving && level <= LEVEL_SHRINK ? LEVEL_RUN : level;
}

/* What stands in the store is what a restart begins with: "it ran" is what matters (revive). */
static void remember(struct machine *m)
{
	enum level depth = decide_depth(&m->info);

	if (m->row.held || !m->looked || depth == LEVEL_KEEP || depth == m->row.want)
		return;
	m->row.want = depth;
	machine_store_want(m);
}

/* --- after a call --- */

/* What it is decides what it holds, whatever the limits say. */
static void account(struct machine *m)
{
	switch (m->info.state) {
	case VIRT_RUNNING:
	case VIRT_STOPPING:
	case VIRT_CRASHED:
		admission_adopt(m, true);
		break;
	case VIRT_PAUSED:
		admission_adopt(m, false);
		break;
	case VIRT_OFF:
	case VIRT_SAVED:
	case VIRT_ABSENT:
		admission_release(m);
		break;
	default:
		break;
	}
}

static void failed(struct machine *m, const char *why)
{
	uint64_t wait = RETRY_FIRST_US;

	for (unsigned int i = 0; i < m->failures && wait < RETRY_LAST_US; i++)
		wait *= 2;
	if (wait > RETRY_LAST_US)
		wait = RETRY_LAST_US;
	m->failures++;
	m->retry_us = client_now_us() + wait;
	set_text(&m->trouble, why);
	log_event(LOG_ERR, "machine", "USER", m->row.user, "MACHINE", m->row.name, "VERB",
		  virt_verb_name(m->verb), "ERROR", why, NULL);
}

static void came_up(struct machine *m, enum virt_state before)
{
	struct daemon *d = m->daemon;

	m->up_us = client_now_us();
	mark(m, TRACE_DOMAIN_UP);
	/* What was saved or paused is awake at once; what boots is when it is heard of. */
	m->spoke = before != VIRT_OFF;
	if (!m->spoke && m->joined)
		dataplane_machine_watch(d->dp, m->member.dst.port, SP_WATCH_FROM);
}

/* A frame that came while it was put down counts for what is next. */
static void went_down(struct machine *m)
{
	m->woken = m->n_parked > 0;
	m->unreachable = false;
	m->spoke = false;
	m->stop = (struct decide_stop){0};
}

/* M2: what a verb that succeeded means for the port. */
static void succeeded(struct machine *m, enum virt_state before)
{
	if (m->verb != VIRT_LOOK) {
		set_text(&m->trouble, NULL);
		m->failures = 0;
		m->retry_us = 0;
	}
	if (m->verb == VIRT_START || m->verb == VIRT_RESUME)
		came_up(m, before);
	else if (m->verb == VIRT_SUSPEND || m->verb == VIRT_SAVE || m->verb == VIRT_DESTROY)
		went_down(m);
}

static void log_change(const struct machine *m, enum virt_state before, uint64_t took_us)
{
	char ms[24];

	if (m->info.state == before)
		return;
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)(took_us / 1000));
	log_event(LOG_INFO, "machine", "USER", m->row.user, "MACHINE", m->row.name, "STATE",
		  virt_state_name(m->info.state), "WAS", virt_state_name(before), "VERB",
		  virt_verb_name(m->verb), "MS", ms, NULL);
}

/* Subscribers hear of whatever `machine show` would call by another name than before. */
static void tell(struct machine *m)
{
	const char *state = machine_state_text(m);

	if (m->told_state && strcmp(m->told_state, state) == 0 && m->told_want == m->want)
		return;
	m->told_state = state;
	m->told_want = m->want;
	monitor_machine(m->daemon, m);
}

/* Not by us: it stays so until its user comes again or an operator says otherwise. */
static void leave_alone(struct machine *m, const char *why)
{
	m->let_be = true;
	m->let_be_why = why;
	if (m->row.held && m->row.want == LEVEL_RUN) {
		m->row.held = false;
		machine_store_want(m);
	}
}

/*
 * Somebody else's hand: it was paused, and neither by us nor for want of a disk.
 */
static void notice_foreign(struct machine *m)
{
	if (!m->foreign)
		return;
	m->foreign = false;
	if (m->info.state == VIRT_PAUSED && !m->info.io_error)
		leave_alone(m, "paused by another of libvirt's users");
}

static void take_info(struct machine *m, const struct virt_info *info)
{
	enum virt_state before = m->info.state;

	m->info = *info;
	if (info->state != VIRT_UNKNOWN)
		m->looked = true;
	if (info->state == VIRT_OFF && before != VIRT_OFF)
		went_down(m);
	notice_foreign(m);
	account(m);
	remember(m);
	log_change(m, before, client_now_us() - m->call_us);
}

static void on_called(const struct virt_result *result, void *arg)
{
	struct machine *m = arg;
	enum virt_state before = m->info.state;

	m->busy = m->aborting = m->need_look = false;
	m->called_us = client_now_us();
	if (m->gone) { /* it was removed meanwhile */
		if (m->tap == TAP_NONE)
			machine_free(m);
		return;
	}
	if (result->error == 0 || result->error == -EALREADY)
		succeeded(m, before);
	else if (result->error == -ENOTCONN)
		m->retry_us = 0; /* asked again when the connection is back */
	else if (result->error != -ECANCELED)
		failed(m, result->message);
	take_info(m, &result->info);
	machine_advance(m);
	if (machine_is_awake(m))
		machine_replay(m);
}

/* --- the call --- */

static void tap_failed(struct machine *m, int r)
{
	char text[128];

	snprintf(text, sizeof(text), "its tap: %s", strerror(-r));
	failed(m, text);
}

/* What must be there before a domain is started or goes on (M1). False: not now. */
static bool prepare(struct machine *m, enum virt_verb verb)
{
	char *why = NULL;
	int r = admission_run(m, &why);

	set_text(&m->refusal, why);
	free(why);
	if (r == -EAGAIN)
		mark(m, TRACE_MACHINE_QUEUED);
	if (r < 0)
		return false;
	if (verb != VIRT_START)
		return true;
	r = machine_port_raise(m);
	if (r == -EAGAIN)
		return false; /* machine_on_tap comes back to it */
	if (r < 0) {
		m->verb = verb;
		tap_failed(m, r);
		account(m);
		return false;
	}
	return true;
}

static void call(struct machine *m, enum virt_verb verb, uint64_t now)
{
	const struct config *c = m->daemon->config;
	const struct virt_shrink shrink = {c->shrink_memory, c->shrink_cpu};
	int r;

	if ((verb == VIRT_START || verb == VIRT_RESUME) && !prepare(m, verb))
		return;
	if (verb == VIRT_SHUTDOWN) {
		m->stop.first_us = m->stop.first_us ? m->stop.first_us : now;
		m->stop.asked_us = m->shutdown_us = now;
	}
	if (verb == VIRT_START || verb == VIRT_RESUME)
		mark(m, TRACE_DOMAIN_CALL);
	m->verb = verb;
	m->call_us = now;
	m->busy = true;
	/* M2: frames are held back before it sleeps, so that none is lost in between. */
	if (verb == VIRT_SUSPEND || verb == VIRT_SAVE)
		machine_port_sync(m);
	r = virt_do(m->daemon->virt, m->row.uuid, verb, &shrink, on_called, m);
	if (r < 0) {
		m->busy = false;
		m->retry_us = now + RETRY_FIRST_US;
	}
}

static void on_aborted(const struct virt_result *result, void *arg)
{
	/* How the save ended is told by its own call. */
}

/* A save that is on its way, and its user came back: better to break it off than to wait for it. */
static void break_off(struct machine *m)
{
	if (!m->busy || m->verb != VIRT_SAVE || m->aborting || m->want != LEVEL_RUN)
		return;
	m->aborting =
		virt_do(m->daemon->virt, m->row.uuid, VIRT_ABORT, NULL, on_aborted, NULL) == 0;
}

/* --- the step --- */

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct machine *m = arg;

	m->timer = sd_event_source_disable_unref(m->timer);
	machine_advance(m);
	return 0;
}

static void arm(struct machine *m, uint64_t when_us)
{
	m->timer = sd_event_source_disable_unref(m->timer);
	if (when_us != DECIDE_NEVER)
		sd_event_add_time(m->daemon->event, &m->timer, CLOCK_MONOTONIC, when_us, 100000,
				  on_timer, m);
}

static void set_want(struct machine *m, enum level want)
{
	if (want == m->want)
		return;
	if (want == LEVEL_RUN && decide_depth(&m->info) != LEVEL_RUN)
		mark(m, TRACE_MACHINE_WANTED);
	if (want != LEVEL_STOP)
		m->stop = (struct decide_stop){0};
	m->want = want;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Up long enough: what went wrong before says nothing of the next time. */
static void forget_failures(struct machine *m, uint64_t now)
{
	if (m->failures && m->info.state == VIRT_RUNNING && now > m->up_us + STABLE_US)
		m->failures = 0;
}

static void step(struct machine *m, uint64_t now, uint64_t *next)
{
	uint64_t verb_next;
	int verb;

	m->stop.now_us = now;
	m->stop.again_us = ASK_AGAIN_US;
	m->stop.timeout_us = m->daemon->config->stop_timeout_s * US;
	verb = decide_verb(&m->info, m->want, &m->stop, &verb_next);
	if (m->unreachable && m->info.state != VIRT_ABSENT && decide_depth(&m->info) <= LEVEL_PAUSE)
		verb = VIRT_DESTROY;
	if (m->need_look)
		verb = VIRT_LOOK;
	else if (verb == VIRT_SHUTDOWN && m->pull_plug)
		verb = VIRT_DESTROY;
	*next = sooner(*next, verb_next);
	if (verb != VIRT_START && verb != VIRT_RESUME)
		admission_withdraw(m);
	if (m->busy || verb < 0 || !m->daemon->virt || !virt_is_up(m->daemon->virt))
		return;
	if (now < m->retry_us) {
		*next = sooner(*next, m->retry_us);
		return;
	}
	call(m, (enum virt_verb)verb, now);
	if (!m->busy && m->retry_us > now)
		*next = sooner(*next, m->retry_us);
}

void machine_advance(struct machine *m)
{
	uint64_t now = client_now_us(), next;
	struct decide_in in;
	int r;

	if (m->removing || m->gone)
		return;
	fill_in(m, now, &in);
	set_want(m, wanted(m, &in, &next));
	forget_failures(m, now);
	break_off(m);
	step(m, now, &next);
	r = machine_port_sync(m);
	if (r < 0)
		log_event(LOG_ERR, "a machine's port is not as it should be", "USER", m->row.user,
			  "MACHINE", m->row.name, "ERROR", strerror(-r), NULL);
	arm(m, next);
	tell(m);
	waiters_look(m);
}

/* --- what is said to it --- */

static void fresh(struct machine *m)
{
	m->let_be = false;
	m->failures = 0;
	m->retry_us = 0;
	set_text(&m->refusal, NULL);
}

void machine_user_arrived(struct machine *m)
{
	const struct presence *p = m->owner;

	if (m->joined)
		dataplane_machine_watch(m->daemon->dp, m->member.dst.port,
					SP_WATCH_TO | SP_WATCH_ANSWER);
	/* Back from a blip: nothing of what was decided meanwhile is another matter now. */
	if (p->arrived_us < p->left_us + machine_grace_us(m))
		return;
	fresh(m);
	if (m->row.held && m->row.policy.start != START_MANUAL) {
		m->row.held = false;
		machine_store_want(m);
	}
}

void machine_hold(struct machine *m, enum level level)
{
	fresh(m);
	m->row.held = level != LEVEL_KEEP;
	if (m->row.held)
		m->row.want = level;
	m->woken = level == LEVEL_RUN;
	machine_advance(m);
}

void machine_wake(struct machine *m)
{
	if (!machine_is_wakeable(m)) {
		machine_drop_parked(m);
		return;
	}
	if (m->woken)
		return;
	m->woken = true;
	machine_advance(m);
}

/* --- what happens to it --- */

/* One that runs and cannot be reached is of no use: it is stopped, and tried again later. */
void machine_on_tap(struct machine *m, int r)
{
	if (m->gone) {
		if (!m->busy && m->tap == TAP_NONE)
			machine_free(m);
		return;
	}
	if (r < 0) {
		tap_failed(m, r);
		m->unreachable = true;
	} else if (m->tap == TAP_READY) {
		mark(m, TRACE_PORT_UP);
	}
	machine_advance(m);
	if (machine_is_awake(m))
		machine_replay(m);
}

void machine_on_event(struct machine *m, enum virt_event event)
{
	uint64_t now = client_now_us();
	bool ours = m->busy || now < m->called_us + OURS_US;

	switch (event) {
	case VIRT_EV_SHUTDOWN:
		/* We asked for it, some time ago: that is no wish of the guest's. */
		if (m->shutdown_us &&
		    now < m->shutdown_us + m->daemon->config->stop_timeout_s * US + STABLE_US)
			break;
		leave_alone(m, "its guest powered itself off");
		break;
	case VIRT_EV_STOPPED:
		if (ours)
			break;
		leave_alone(m, "stopped by another of libvirt's users");
		break;
	case VIRT_EV_SUSPENDED:
		m->foreign = !ours;
		break;
	case VIRT_EV_CRASHED:
		if (!m->busy)
			failed(m, "its guest or its process crashed");
		break;
	default:
		break;
	}
	if (m->busy)
		return; /* the call ends with a look */
	m->need_look = true;
	machine_advance(m);
}

void machine_on_down(struct machine *m)
{
	m->info.state = VIRT_UNKNOWN;
	m->looked = false;
}

void machine_on_listed(struct machine *m, const struct virt_info *info)
{
	if (m->busy)
		return;
	m->call_us = client_now_us();
	m->verb = VIRT_LOOK;
	if (m->up_us == 0 && info->state == VIRT_RUNNING)
		m->up_us = client_now_us();
	take_info(m, info);
	machine_advance(m);
}

const char *machine_state_text(const struct machine *m)
{
	static const char *const doing[_VIRT_VERBS] = {
		[VIRT_START] = "starting",   [VIRT_RESUME] = "resuming",
		[VIRT_SUSPEND] = "pausing",  [VIRT_SAVE] = "saving",
		[VIRT_DESTROY] = "stopping", [VIRT_SHUTDOWN] = "stopping",
	};

	if (m->busy && doing[m->verb])
		return doing[m->verb];
	if (m->waiting)
		return "queued";
	if (m->stop.asked_us && m->info.state == VIRT_RUNNING)
		return "stopping";
	if (m->want == LEVEL_RUN && m->trouble && decide_depth(&m->info) > LEVEL_SHRINK)
		return "failed";
	if (m->info.state == VIRT_RUNNING && m->info.shrunk)
		return "shrunk";
	return virt_state_name(m->info.state);
}

void machine_poke(struct machine *m)
{
	arm(m, client_now_us());
}
