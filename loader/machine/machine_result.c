/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has become of a machine? By a call of ours, by itself, by others' hands: what is known of it
 * afterwards, and with how much patience it is tried again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "admission.h"
#include "daemon.h"
#include "lib/client.h"
#include "log.h"
#include "machine.h"
#include "trace/trace.h"

#define US 1000000ULL
#define RETRY_LAST_US (300 * US)
#define STABLE_US (60 * US) /* up that long, what failed before is forgotten */

void machine_set_text(char **field, const char *text)
{
	free(*field);
	*field = text && text[0] ? strdup(text) : NULL;
}

void machine_fail(struct machine *m, enum virt_verb verb, const char *why)
{
	uint64_t wait = MACHINE_RETRY_US;

	for (unsigned int i = 0; i < m->failures && wait < RETRY_LAST_US; i++)
		wait *= 2;
	if (wait > RETRY_LAST_US)
		wait = RETRY_LAST_US;
	m->failures++;
	m->failed_verb = verb;
	m->retry_us = client_now_us() + wait;
	machine_set_text(&m->trouble, why);
	log_event(LOG_ERR, "machine", "USER", m->row.user, "MACHINE", m->row.name, "VERB",
		  virt_verb_name(verb), "ERROR", why, NULL);
}

/* Up long enough: what went wrong before says nothing of the next time. */
void machine_forget_failures(struct machine *m)
{
	if (m->failures && m->info.state == VIRT_RUNNING && client_now_us() > m->up_us + STABLE_US)
		m->failures = 0;
}

/* --- how it is --- */

/* What stands in the store is what a restart begins with: "it ran" is what matters (revive). */
static void remember(struct machine *m)
{
	enum level depth = decide_depth(&m->info);

	if (m->row.held || !m->looked || depth == LEVEL_KEEP || depth == m->row.want)
		return;
	m->row.want = depth;
	machine_store_want(m);
}

void machine_account(struct machine *m)
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

static bool is_io_error(const struct virt_info *info)
{
	return info->state == VIRT_PAUSED && info->io_error;
}

/*
 * It sleeps, and not because we wanted it to: somebody else's hand, or its host's disk. A guest
 * that panics is seen like that as well, for a moment: libvirt does not know yet why it was
 * stopped.
 */
static void notice_pause(struct machine *m, const struct virt_info *before)
{
	if (m->info.state != VIRT_PAUSED)
		return;
	if (m->info.io_error && (!is_io_error(before) || machine_wakes(m->verb)))
		machine_fail(m, VIRT_RESUME,
			     "paused by an error of its host's disk, which may be full");
	else if (m->foreign && !m->info.io_error && !m->info.unexplained)
		leave_alone(m, "paused by another of libvirt's users");
	m->foreign = false;
}

/* A frame that came while it was put down counts for what is next. */
static void went_down(struct machine *m)
{
	m->woken = m->n_parked > 0;
	m->unreachable = false;
	m->spoke = false;
	m->stop = (struct decide_stop){0};
}

/* M8's other half: who boots knows nothing of connections. */
static void went_off(struct machine *m)
{
	went_down(m);
	number_end_flows(m);
}

static void take_info(struct machine *m, const struct virt_info *info)
{
	struct virt_info before = m->info;

	m->info = *info;
	if (info->state != VIRT_UNKNOWN)
		m->looked = true;
	if (info->state == VIRT_OFF && before.state != VIRT_OFF)
		went_off(m);
	notice_pause(m, &before);
	if (info->state == VIRT_RUNNING) {
		m->alive = true;
		m->let_be = false;
		if (m->want <= LEVEL_SHRINK)
			machine_set_text(&m->trouble, NULL); /* somebody else has mended it */
	}
	machine_account(m);
	remember(m);
	log_change(m, before.state, client_now_us() - m->call_us);
}

/* --- after a call --- */

static void came_up(struct machine *m, enum virt_state before)
{
	m->up_us = client_now_us();
	m->shutdown_us = 0;
	m->foreign = false;
	machine_mark(m, TRACE_DOMAIN_UP);
	/* What was saved or paused is awake at once; what boots is when it is heard of. */
	m->spoke = before != VIRT_OFF;
	if (!m->spoke && m->joined)
		dataplane_machine_watch(m->daemon->dp, m->member.dst.port, SP_WATCH_FROM);
}

/*
 * M2: what a verb that succeeded means for the port. What was tried in vain before works now; but
 * one that comes up has yet to stay so.
 */
static void succeeded(struct machine *m, enum virt_state before)
{
	if (machine_is_like(m->failed_verb, m->verb)) {
		machine_set_text(&m->trouble, NULL);
		m->failures = machine_wakes(m->verb) ? m->failures : 0;
		m->retry_us = 0;
	}
	if (machine_wakes(m->verb))
		came_up(m, before);
	else if (m->verb == VIRT_SUSPEND || m->verb == VIRT_SAVE || m->verb == VIRT_DESTROY)
		went_down(m);
}

static void crashed(struct machine *m)
{
	m->alive = false;
	machine_forget_failures(m);
	machine_fail(m, VIRT_START, "its guest or its process crashed");
}

static void judge(struct machine *m, const struct virt_result *result)
{
	enum virt_state is = result->info.state;
	int r = result->error;

	if (r == 0 && machine_wakes(m->verb))
		m->woken_us = result->libvirt_us;
	if (r == 0 || r == -EALREADY)
		succeeded(m, m->info.state);
	else if (r == -ENOTCONN)
		m->retry_us = 0; /* asked again when the connection is back */
	else if (r != -ECANCELED)
		machine_fail(m, m->verb, result->message);
	/* Before that was told: its event, if there was one, has come too early. */
	if (r == 0 && machine_wakes(m->verb) && (is == VIRT_OFF || is == VIRT_CRASHED))
		crashed(m);
}

bool machine_end_call(struct machine *m)
{
	m->busy = m->aborting = false;
	if (!m->gone)
		return true;
	if (m->tap == TAP_NONE)
		machine_free(m);
	return false;
}

void machine_on_called(const struct virt_result *result, void *arg)
{
	struct machine *m = arg;

	if (!machine_end_call(m)) /* it was removed meanwhile */
		return;
	judge(m, result);
	take_info(m, &result->info);
	machine_advance(m);
	if (machine_is_awake(m))
		machine_replay(m);
}

/* --- what happens to it --- */

void machine_set_unreachable(struct machine *m, int r)
{
	machine_tap_failed(m, r);
	m->unreachable = true;
}

void machine_on_tap(struct machine *m, int r)
{
	if (m->gone) {
		if (!m->busy && m->tap == TAP_NONE)
			machine_free(m);
		return;
	}
	if (r < 0)
		machine_set_unreachable(m, r);
	else if (m->tap == TAP_READY)
		machine_mark(m, TRACE_PORT_UP);
	machine_advance(m);
	if (machine_is_awake(m))
		machine_replay(m);
}

void machine_tap_failed(struct machine *m, int r)
{
	char text[128];

	snprintf(text, sizeof(text), "its tap: %s", strerror(-r));
	machine_fail(m, VIRT_START, text);
}

/* Comes with a call of this kind, whose result tells of it as well. */
static bool is_expected(enum virt_verb verb, enum virt_event event)
{
	switch (verb) {
	case VIRT_START:
		return event == VIRT_EV_STARTED || event == VIRT_EV_RESUMED;
	case VIRT_RESUME:
		return event == VIRT_EV_RESUMED;
	case VIRT_SUSPEND:
		return event == VIRT_EV_SUSPENDED;
	case VIRT_SAVE: /* one that fails, too */
		return event == VIRT_EV_SUSPENDED || event == VIRT_EV_STOPPED ||
		       event == VIRT_EV_RESUMED;
	case VIRT_DESTROY:
		return event == VIRT_EV_STOPPED;
	default:
		return false;
	}
}

/*
 * Whose hand was it? What comes with a call of ours comes before its result, or so shortly after
 * that it changes nothing that is known of the machine any more.
 */
static bool is_foreign(const struct machine *m, enum virt_event event)
{
	uint64_t patience = m->daemon->config->stop_timeout_s * US + STABLE_US;
	bool running = m->info.state == VIRT_RUNNING, paused = m->info.state == VIRT_PAUSED;

	if (m->busy && m->verb != VIRT_LOOK)
		return false;
	/* Asked to shut down a while ago, a guest that does is doing as we said. */
	if (event != VIRT_EV_SUSPENDED && m->shutdown_us &&
	    client_now_us() < m->shutdown_us + patience)
		return false;
	return running || (paused && event != VIRT_EV_SUSPENDED);
}

void machine_on_event(struct machine *m, enum virt_event event)
{
	bool foreign = is_foreign(m, event);

	switch (event) {
	case VIRT_EV_SHUTDOWN:
		if (foreign)
			leave_alone(m, "its guest powered itself off");
		break;
	case VIRT_EV_STOPPED:
		if (foreign && !m->let_be)
			leave_alone(m, "stopped by another of libvirt's users");
		break;
	case VIRT_EV_SUSPENDED:
		m->foreign = foreign;
		break;
	case VIRT_EV_RESUMED:
		m->foreign = false;
		break;
	case VIRT_EV_CRASHED: /* of a start that fails its call tells */
		if (m->alive)
			crashed(m);
		break;
	case VIRT_EV_DEFINED:
		m->described = false;
		break;
	default:
		break;
	}
	if (m->busy && is_expected(m->verb, event))
		return; /* the call ends with a look */
	m->need_look = true;
	machine_advance(m);
}

void machine_on_down(struct machine *m)
{
	m->info.state = VIRT_UNKNOWN;
	m->looked = false;
	machine_advance(m);
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
}
