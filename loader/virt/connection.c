/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is libvirt there? Opens the connection, notices its end, opens it again, a little later each
 * time and not at the same moment as everybody else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "virt/accel.h"
#include "virt/console.h"
#include "virt/event.h"
#include "virt/virt_internal.h"

#define RETRY_MIN_US (250 * 1000ULL)
#define RETRY_MAX_US (10 * 1000 * 1000ULL)
/* Intervals of the keepalive without an answer, after which nobody is there. */
#define SILENCE_MAX 3
/* Its thread ends as soon as a connection is hung up, unless it waits for DNS or TCP. */
#define THREAD_WAIT_MS 1000

static void close_line(struct virt *v, const char *why);

/* --- trying again --- */

/* Between 3/4 and 5/4 of US. */
static uint64_t jitter(uint64_t us)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = UINT32_MAX / 2;
	return us * 3 / 4 + us / 2 * random / UINT32_MAX;
}

static void retry_later(struct virt *v)
{
	if (v->stopping)
		return;
	sd_event_source_set_time_relative(v->retry, jitter(v->retry_us));
	sd_event_source_set_enabled(v->retry, SD_EVENT_ONESHOT);
	v->retry_us = v->retry_us * 2 < RETRY_MAX_US ? v->retry_us * 2 : RETRY_MAX_US;
}

/* --- what the line's threads tell --- */

static void on_opened(struct virt *v)
{
	struct line *l = v->line;

	if (l->error < 0) {
		close_line(v, v->late ? NULL : l->why);
		return;
	}
	v->up = true;
	v->life++;
	v->retry_us = RETRY_MIN_US;
	v->trouble[0] = '\0';
	memcpy(v->describe, l->describe, sizeof(v->describe));
	accel_begin(v);
	v->tried = true;
	v->callbacks.up(v->arg);
	virt_settle(v);
}

static const char *close_reason(const struct line *l)
{
	switch (__atomic_load_n(&l->closed, __ATOMIC_ACQUIRE) - 1) {
	case VIR_CONNECT_CLOSE_REASON_EOF:
		return "libvirt closed the connection";
	case VIR_CONNECT_CLOSE_REASON_CLIENT:
		return "the connection to libvirt was closed";
	default:
		return "the connection to libvirt broke";
	}
}

static int on_wake(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct virt *v = arg;
	struct line *l = v->line;
	eventfd_t ignored;

	eventfd_read(fd, &ignored);
	if (!v->up && line_is_opened(l))
		on_opened(v);
	if (v->line == l && v->up && line_is_closed(l))
		close_line(v, close_reason(l));
	return 0;
}

/* --- opening and closing --- */

static uint64_t silence_us(const struct virt *v)
{
	return (uint64_t)v->keepalive_s * SILENCE_MAX * 1000000;
}

/* When there can have been no answer for too long, at the earliest. */
static void look_again(struct virt *v)
{
	uint64_t heard = __atomic_load_n(&v->line->heard_us, __ATOMIC_ACQUIRE);

	sd_event_source_set_time(v->pulse, heard + silence_us(v));
	sd_event_source_set_enabled(v->pulse, SD_EVENT_ONESHOT);
}

static void open_line(struct virt *v)
{
	int r = line_new(v, &v->line);

	v->late = false;
	if (r == 0)
		r = sd_event_add_io(v->event, &v->wake, v->line->wake_fd, EPOLLIN, on_wake, v);
	if (r < 0) {
		snprintf(v->trouble, sizeof(v->trouble), "no connection to libvirt can be made: %s",
			 strerror(-r));
		close_line(v, NULL);
		return;
	}
	look_again(v);
	/* What the thread said before the source was there. */
	eventfd_write(v->line->wake_fd, 1);
}

static void let_go(struct virt *v)
{
	struct line *l = TAKE_PTR(v->line);

	v->wake = sd_event_source_disable_unref(v->wake);
	if (!l)
		return;
	line_abandon(l, 0);
	l->virt = NULL;
	/* The other half of it may be well: to close that politely is a round trip. */
	virt_event_hang_up();
	line_unuse(l);
}

static void close_line(struct virt *v, const char *why)
{
	bool was_up = v->up;

	v->up = false;
	sd_event_source_set_enabled(v->pulse, SD_EVENT_OFF);
	if (why)
		snprintf(v->trouble, sizeof(v->trouble), "%s", why);
	let_go(v);
	accel_lost(v);
	consoles_lost(v);
	retry_later(v);
	if (v->stopping)
		return;
	v->tried = true;
	if (was_up)
		v->callbacks.down(v->trouble, v->arg);
	virt_settle(v);
}

static int on_retry(sd_event_source *source, uint64_t us, void *arg)
{
	struct virt *v = arg;

	if (!v->line)
		open_line(v);
	return 0;
}

/*
 * No answer: neither to the opening nor, since then, to any question. What waits for one is told
 * so and ends; a thread that does not, because it waits for a name or for TCP, is left to itself:
 * there is one such thread.
 */
static int on_pulse(sd_event_source *source, uint64_t us, void *arg)
{
	struct virt *v = arg;
	uint64_t heard = __atomic_load_n(&v->line->heard_us, __ATOMIC_ACQUIRE);

	if (line_now_us() < heard + silence_us(v)) {
		look_again(v);
		return 0;
	}
	if (v->up) {
		close_line(v, "libvirt did not answer any more");
		return 0;
	}
	snprintf(v->trouble, sizeof(v->trouble), "libvirt at %.160s did not answer within %u s",
		 v->uri, v->keepalive_s * SILENCE_MAX);
	v->late = true;
	virt_event_hang_up();
	return 0;
}

/* --- the outside --- */

bool virt_is_up(const struct virt *v)
{
	return v->up;
}

bool virt_is_settled(const struct virt *v)
{
	return v->tried && !(v->up && accel_is_asked(v));
}

void virt_settle(struct virt *v)
{
	if (v->callbacks.settled && virt_is_settled(v))
		v->callbacks.settled(v->arg);
}

const char *virt_trouble(const struct virt *v)
{
	return v->trouble;
}

const char *virt_describe(const struct virt *v)
{
	return v->describe;
}

static void no_words(void *arg, virErrorPtr e)
{
	/* libvirt prints errors where nobody takes them; ours are in the calls' results. */
}

static int add_timer(struct virt *v, sd_event_source **ret, sd_event_time_handler_t on_time)
{
	int r = sd_event_add_time(v->event, ret, CLOCK_MONOTONIC, 0, 0, on_time, v);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int virt_new(sd_event *event, struct workers *workers, const struct virt_options *options,
	     const struct virt_callbacks *callbacks, void *arg, struct virt **ret)
{
	struct virt *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->event = sd_event_ref(event);
	v->workers = workers;
	v->callbacks = *callbacks;
	v->arg = arg;
	v->retry_us = RETRY_MIN_US;
	v->keepalive_s = options->keepalive_s ? options->keepalive_s : 5;
	snprintf(v->trouble, sizeof(v->trouble), "not connected to libvirt yet");
	v->uri = strdup(options->uri);
	v->probe_kernel = strdup(options->probe_kernel ? options->probe_kernel : "");
	r = v->uri && v->probe_kernel ? accel_new(v, options->accel) : -ENOMEM;
	if (r == 0 && virInitialize() < 0)
		r = -EIO;
	virSetErrorFunc(NULL, no_words);
	if (r == 0)
		r = virt_event_attach(event);
	v->attached = r >= 0;
	if (r >= 0)
		r = add_timer(v, &v->retry, on_retry);
	if (r >= 0)
		r = add_timer(v, &v->pulse, on_pulse);
	if (r >= 0)
		r = consoles_new(v);
	if (r < 0) {
		virt_free(v);
		return r;
	}
	*ret = v;
	/* At the next turn of the loop: nothing is called from here. */
	sd_event_source_set_time(v->retry, 0);
	sd_event_source_set_enabled(v->retry, SD_EVENT_ONESHOT);
	return 0;
}

void virt_shutdown(struct virt *v)
{
	v->stopping = true;
	sd_event_source_set_enabled(v->retry, SD_EVENT_OFF);
	virt_event_hang_up();
	if (!v->line)
		return;
	line_abandon(v->line, THREAD_WAIT_MS);
	close_line(v, "shutting down");
}

struct virt *virt_free(struct virt *v)
{
	if (!v)
		return NULL;
	v->stopping = true;
	consoles_free(v);
	let_go(v);
	accel_free(v);
	sd_event_source_disable_unref(v->retry);
	sd_event_source_disable_unref(v->pulse);
	sd_event_source_disable_unref(v->send);
	if (v->attached)
		virt_event_detach();
	sd_event_unref(v->event);
	free(v->uri);
	free(v->probe_kernel);
	free(v);
	return NULL;
}
