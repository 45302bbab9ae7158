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
#include "lib/mac.h"
#include "log.h"
#include "machine.h"
#include "monitor.h"
#include "tap.h"
#include "trace/trace.h"
#include "waiter.h"

#define US 1000000ULL
#define ASK_AGAIN_US (10 * US) /* a guest that boots does not hear ACPI */

void machine_mark(struct machine *m, enum trace_stage stage)
{
	char label[2 * SP_NAME_MAX];

	trace_mark(m->daemon->traces, m->owner->trace, stage, machine_label(m, label),
		   client_now_us());
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

/* --- the call --- */

/* What somebody has made of its description is no machine of ours: it would be past the programs.
 */
static bool is_ours(struct machine *m, const struct virt_port *port)
{
	char tap[16], is[MAC_STRLEN], was[MAC_STRLEN], text[256];

	tap_name(m, tap);
	if (strcmp(tap, port->tap) == 0 && memcmp(m->row.mac, port->mac, sizeof(port->mac)) == 0)
		return true;
	snprintf(
		text, sizeof(text),
		"its interface is %s with MAC %s, expected %s with %s: mend it with virsh edit, or "
		"remove the machine and add it again",
		port->tap, mac_format(port->mac, is), tap, mac_format(m->row.mac, was));
	machine_fail(m, VIRT_START, text);
	return false;
}

static void on_described(const struct virt_port *port, void *arg)
{
	struct machine *m = arg;

	if (!machine_end_call(m))
		return;
	if (port->error == 0 && is_ours(m, port)) {
		m->queues = port->queues;
		m->described = true;
	} else {
		if (port->error < 0 && port->error != -ENOTCONN)
			machine_fail(m, VIRT_START, port->message);
		m->need_look = true;
		machine_account(m);
	}
	machine_advance(m);
}

/* Before a start: with how many queues is its tap to be made, and is the description ours still? */
static void ask_description(struct machine *m)
{
	m->verb = VIRT_START;
	m->call_us = client_now_us();
	m->busy = true;
	if (virt_look_port(m->daemon->virt, m->row.uuid, on_described, m) < 0) {
		m->busy = false;
		m->failed_verb = VIRT_START;
		m->retry_us = m->call_us + MACHINE_RETRY_US;
	}
}

/* What must be there before a domain is started or goes on (M1). False: not now. */
static bool prepare(struct machine *m, enum virt_verb verb)
{
	char *why = NULL;
	int r = admission_run(m, &why);

	machine_set_text(&m->refusal, why);
	free(why);
	if (r == -EAGAIN)
		machine_mark(m, TRACE_MACHINE_QUEUED);
	if (r < 0)
		return false;
	if (verb != VIRT_START)
		return true;
	if (!m->described) {
		ask_description(m);
		return false;
	}
	r = machine_port_raise(m);
	if (r == -EAGAIN)
		return false; /* machine_on_tap comes back to it */
	if (r < 0) {
		machine_tap_failed(m, r);
		machine_account(m);
		return false;
	}
	return true;
}

static void call(struct machine *m, enum virt_verb verb, uint64_t now)
{
	const struct config *c = m->daemon->config;
	const struct virt_shrink shrink = {c->shrink_memory, c->shrink_cpu};
	int r;

	if (machine_wakes(verb) && !prepare(m, verb))
		return;
	if (verb == VIRT_SHUTDOWN) {
		m->stop.first_us = m->stop.first_us ? m->stop.first_us : now;
		m->stop.asked_us = m->shutdown_us = now;
	}
	if (machine_wakes(verb))
		machine_mark(m, TRACE_DOMAIN_CALL);
	m->verb = verb;
	m->call_us = now;
	m->busy = true;
	m->need_look = false; /* each call ends with one */
	/* M2: frames are held back before it sleeps, so that none is lost in between. */
	if (verb == VIRT_SUSPEND || verb == VIRT_SAVE)
		machine_port_sync(m);
	r = virt_do(m->daemon->virt, m->row.uuid, verb, &shrink, machine_on_called, m);
	if (r < 0) {
		m->busy = false;
		m->failed_verb = verb;
		m->retry_us = now + MACHINE_RETRY_US;
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
		machine_mark(m, TRACE_MACHINE_WANTED);
	if (want != LEVEL_STOP)
		m->stop = (struct decide_stop){0};
	m->want = want;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
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
	if (verb < 0 || !machine_wakes((enum virt_verb)verb))
		admission_withdraw(m);
	if (verb < 0 && m->want != LEVEL_KEEP && m->info.state != VIRT_ABSENT)
		machine_set_text(&m->trouble, NULL); /* it is as it shall be */
	if (m->busy || verb < 0 || !m->daemon->virt || !virt_is_up(m->daemon->virt))
		return;
	if (machine_wakes((enum virt_verb)verb) && !m->daemon->machines_listed)
		return; /* it is looked at again then */
	/* What did not work is tried again with patience; something else is another matter. */
	if (now < m->retry_us && machine_is_like(m->failed_verb, (enum virt_verb)verb)) {
		*next = sooner(*next, m->retry_us);
		return;
	}
	call(m, (enum virt_verb)verb, now);
	if (!m->busy && m->retry_us > now)
		*next = sooner(*next, m->retry_us);
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

void machine_advance(struct machine *m)
{
	uint64_t now = client_now_us(), next;
	struct decide_in in;
	int r;

	if (m->removing || m->gone)
		return;
	fill_in(m, now, &in);
	set_want(m, wanted(m, &in, &next));
	machine_forget_failures(m);
	break_off(m);
	r = machine_port_go_on(m);
	if (r < 0)
		machine_set_unreachable(m, r);
	step(m, now, &next);
	r = machine_port_sync(m);
	if (r < 0)
		log_event(LOG_ERR, "a machine's port is not as it should be", "USER", m->row.user,
			  "MACHINE", m->row.name, "ERROR", strerror(-r), NULL);
	arm(m, sooner(next, machine_port_next(m)));
	tell(m);
	waiters_look(m);
}

/* --- what is said to it --- */

static void fresh(struct machine *m)
{
	m->let_be = false;
	m->failures = 0;
	m->retry_us = 0;
	machine_set_text(&m->refusal, NULL);
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
