/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does KVM boot a guest here? Where /dev/kvm is there and libvirt would use it, that does not
 * follow: under some nested hypervisors firmware runs and a 64-bit kernel does not. So a kernel of
 * our own (probe/probe.S) is started as a transient domain, paused, so that its console is open
 * before it speaks; then it has a few seconds to say that it got to long mode.
 *
 *   ASK -> OPEN -> RUN -> decided; a lost connection goes back to before ASK.
 */
#include "virt/accel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virt/domain_internal.h"
#include "virt/probe/mark.h"

/* Under KVM it takes a tenth of a second; a busy host may take its time. */
#define PROBE_S 10

struct accel {
	struct virt *virt;
	enum virt_accel kind;
	char why[256];
	unsigned int turn; /* grows with each connection: what comes late belongs to another */
	bool asked, probing;
	uint8_t uuid[SP_UUID_LEN];
	struct virt_console *console;
	sd_event_source *deadline;
	size_t matched; /* bytes of the mark */
};

static void decide(struct accel *a, enum virt_accel kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void ignore(const struct virt_result *result, void *arg)
{
}

/* The domain would go with the connection at the latest. */
static void stop(struct accel *a)
{
	struct virt_console *c = TAKE_PTR(a->console);

	sd_event_source_set_enabled(a->deadline, SD_EVENT_OFF);
	if (c)
		virt_console_close(c);
	if (a->probing)
		virt_do(a->virt, a->uuid, VIRT_DESTROY, NULL, ignore, NULL);
}

static void decide(struct accel *a, enum virt_accel kind, const char *format, ...)
{
	va_list ap;

	stop(a);
	a->probing = false;
	a->kind = kind;
	va_start(ap, format);
	vsnprintf(a->why, sizeof(a->why), format, ap);
	va_end(ap);
	a->asked = false;
	virt_settle(a->virt);
}

/* --- the probe's console --- */

static void on_data(const void *data, size_t size, void *arg)
{
	static const char mark[] = PROBE_MARK;
	struct accel *a = arg;

	for (const char *c = data; size > 0; c++, size--) {
		if (*c == '\r') /* the line's other end adds it */
			continue;
		a->matched = *c == mark[a->matched] ? a->matched + 1 : *c == mark[0];
		if (!mark[a->matched]) {
			decide(a, VIRT_ACCEL_KVM, "a kernel started by KVM reached 64-bit mode");
			return;
		}
	}
}

static void on_end(const char *why, void *arg)
{
	struct accel *a = arg;

	a->console = NULL;
	if (a->probing && a->virt->up)
		decide(a, VIRT_ACCEL_TCG,
		       "a kernel started by KVM ended before it reached 64-bit mode");
}

static int on_deadline(sd_event_source *source, uint64_t us, void *arg)
{
	decide(arg, VIRT_ACCEL_TCG,
	       "a kernel started by KVM did not reach 64-bit mode within %d s: KVM does not work "
	       "on this host",
	       PROBE_S);
	return 0;
}

static void on_resumed(const struct virt_result *result, void *arg)
{
	struct accel *a = arg;

	if (result->error < 0 && result->error != -ENOTCONN && a->probing)
		decide(a, VIRT_ACCEL_TCG, "a guest under KVM does not run: %.160s",
		       result->message);
}

static void on_console(int error, const char *message, struct virt_console *console, void *arg)
{
	struct accel *a = arg;

	if (error < 0) {
		if (error != -ENOTCONN && a->probing)
			decide(a, VIRT_ACCEL_TCG, "a guest under KVM has no console: %.160s",
			       message);
		return;
	}
	if (!a->probing) { /* decided meanwhile: it had no time left */
		virt_console_close(console);
		return;
	}
	a->console = console;
	a->matched = 0;
	virt_do(a->virt, a->uuid, VIRT_RESUME, NULL, on_resumed, a);
}

/* --- starting it --- */

struct ask {
	struct virt_call call;
	struct accel *accel;
	unsigned int turn;
	char kernel[SP_PATH_MAX];
	uint8_t uuid[SP_UUID_LEN];
};

static void start_probe(struct ask *a, virConnectPtr conn)
{
	_cleanup_domain_ virDomainPtr dom = NULL;
	_cleanup_free_
	char *xml = NULL;

	if (domain_build_probe(a->kernel, a->uuid, &xml) < 0) {
		call_fail_with(&a->call, -ENOMEM, "out of memory");
		return;
	}
	/* Whatever becomes of us, it goes with the connection. */
	dom = virDomainCreateXML(conn, xml, VIR_DOMAIN_START_PAUSED | VIR_DOMAIN_START_AUTODESTROY);
	if (!dom)
		call_fail(&a->call, conn);
}

static void ask_run(struct virt_call *c, virConnectPtr conn)
{
	char *caps = virConnectGetDomainCapabilities(conn, NULL, "x86_64", "q35", "kvm", 0);

	if (!caps)
		call_fail(c, conn);
	else
		start_probe((struct ask *)c, conn);
	free(caps);
}

static void run_probe(struct accel *a)
{
	struct virt_console_callbacks callbacks = {.data = on_data, .end = on_end};

	sd_event_source_set_time_relative(a->deadline, PROBE_S * 1000000ULL);
	sd_event_source_set_enabled(a->deadline, SD_EVENT_ONESHOT);
	virt_console_open(a->virt, a->uuid, true, &callbacks, a, on_console);
}

static void ask_finish(struct virt_call *c)
{
	struct ask *ask = (struct ask *)c;
	struct accel *a = ask->accel;

	if (ask->turn == a->turn && a->virt->up && !a->virt->stopping) {
		a->probing = c->error == 0;
		if (c->error < 0 && c->error != -ENOTCONN)
			decide(a, VIRT_ACCEL_TCG, "no guest starts under KVM: %.180s", c->message);
		else if (a->probing)
			run_probe(a);
	}
	free(ask);
}

/* --- the outside --- */

void accel_begin(struct virt *v)
{
	struct accel *a = v->accel;
	struct ask *ask;

	a->turn++;
	if (a->kind != VIRT_ACCEL_UNKNOWN)
		return;
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return;
	ask->call.run = ask_run;
	ask->call.finish = ask_finish;
	ask->accel = a;
	ask->turn = a->turn;
	snprintf(ask->kernel, sizeof(ask->kernel), "%s", v->probe_kernel);
	/* Known before its first event comes. */
	if (uuid_new(a->uuid) == 0)
		memcpy(ask->uuid, a->uuid, sizeof(ask->uuid));
	a->asked = call_submit(v, LINE_SLOW, &ask->call) == 0;
	if (!a->asked)
		free(ask);
}

void accel_lost(struct virt *v)
{
	struct accel *a = v->accel;

	a->turn++;
	a->asked = a->probing = false;
	sd_event_source_set_enabled(a->deadline, SD_EVENT_OFF);
}

bool accel_is_asked(const struct virt *v)
{
	return v->accel->asked;
}

bool accel_is_probe(const struct virt *v, const uint8_t uuid[SP_UUID_LEN])
{
	return memcmp(v->accel->uuid, uuid, SP_UUID_LEN) == 0;
}

enum virt_accel virt_accel(const struct virt *v, const char **ret_why)
{
	*ret_why = v->accel->why;
	return v->accel->kind;
}

int accel_new(struct virt *v, const char *wanted)
{
	struct accel *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	v->accel = a;
	a->virt = v;
	r = sd_event_add_time(v->event, &a->deadline, CLOCK_MONOTONIC, 0, 0, on_deadline, a);
	if (r >= 0)
		r = sd_event_source_set_enabled(a->deadline, SD_EVENT_OFF);
	if (r < 0)
		return r;
	snprintf(a->why, sizeof(a->why), "not found out yet");
	if (!wanted || strcmp(wanted, "auto") == 0)
		return 0;
	a->kind = strcmp(wanted, "kvm") == 0   ? VIRT_ACCEL_KVM
		  : strcmp(wanted, "tcg") == 0 ? VIRT_ACCEL_TCG
					       : VIRT_ACCEL_UNKNOWN;
	snprintf(a->why, sizeof(a->why), "as configured");
	return a->kind == VIRT_ACCEL_UNKNOWN ? -EINVAL : 0;
}

void accel_free(struct virt *v)
{
	if (!v->accel)
		return;
	sd_event_source_disable_unref(v->accel->deadline);
	free(v->accel);
	v->accel = NULL;
}
