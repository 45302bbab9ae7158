/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who wants to know what happens? */
#include "monitor.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon.h"
#include "lib/mac.h"
#include "machine/machine.h"
#include "session.h"
#include "views.h"

/* A subscriber that has this much unread loses events, and is told. */
#define BACKLOG_LIMIT (256UL * 1024)

struct subscriber {
	struct monitor *monitor;
	struct request *request;
	bool drops, changes;
	uint64_t lost;
	struct subscriber *prev, *next;
};

struct monitor {
	struct daemon *daemon;
	sd_event_source *source;
	struct subscriber *subscribers;
};

static void deliver(struct subscriber *s, json_t *event)
{
	if (request_backlog(s->request) > BACKLOG_LIMIT) {
		s->lost++;
		return;
	}
	if (s->lost) {
		request_send(s->request, json_pack("{s:{s:s, s:I}}", "event", "type", "lost",
						   "count", (json_int_t)s->lost));
		s->lost = 0;
	}
	request_send(s->request, json_pack("{s:O}", "event", event));
}

/* EVENT is taken. */
static void publish(struct monitor *m, json_t *event, bool drop)
{
	struct subscriber *s, *next;

	DL_FOREACH_SAFE(m->subscribers, s, next)
	{
		if (event && (drop ? s->drops : s->changes))
			deliver(s, event);
	}
	json_decref(event);
}

static json_t *hex(const uint8_t *data, size_t n)
{
	char text[2 * SP_EVENT_SNAP + 1];

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", data[i]);
	text[2 * n] = '\0';
	return json_string(text);
}

/* A frame that was dropped, or that a rule logs. */
static void on_frame(const struct sp_event *e, void *arg)
{
	bool logged = e->hook == SP_HOOK_IN || e->hook == SP_HOOK_OUT;
	struct monitor *m = arg;
	char name[IF_NAMESIZE] = "?";

	if (!m->subscribers)
		return;
	if_indextoname(e->ifindex, name);
	publish(m,
		json_pack("{s:s, s:o*, s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:I, s:o}", "type",
			  logged ? "log" : "drop", "rule", logged ? json_integer(e->rule) : NULL,
			  "time_ns", (json_int_t)e->time_ns, "reason", sp_reason_name(e->reason),
			  "hook", sp_hook_name(e->hook), "device", name, "ifindex",
			  (json_int_t)e->ifindex, "port", (json_int_t)e->port, "segment",
			  (json_int_t)e->segment, "vid", e->vid, "len", (json_int_t)e->len, "data",
			  hex(e->data, e->caplen)),
		true);
}

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct monitor *m = arg;

	dataplane_events_drain(m->daemon->dp, on_frame, m);
	return 0;
}

int monitor_new(struct daemon *d, struct monitor **ret)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int fd = m ? dataplane_events_fd(d->dp) : -ENOMEM;
	int r;

	if (fd < 0) {
		free(m);
		return fd;
	}
	m->daemon = d;
	r = sd_event_add_io(d->event, &m->source, fd, EPOLLIN, on_events, m);
	if (r < 0) {
		free(m);
		return r;
	}
	/* Samples are for those who look; everything else comes first. */
	sd_event_source_set_priority(m->source, SD_EVENT_PRIORITY_IDLE);
	*ret = m;
	return 0;
}

static void on_gone(struct request *r, void *arg)
{
	struct subscriber *s = arg;

	DL_DELETE(s->monitor->subscribers, s);
	free(s);
	request_finish(r, NULL);
}

struct monitor *monitor_free(struct monitor *m)
{
	if (!m)
		return NULL;
	sd_event_source_disable_unref(m->source);
	free(m);
	return NULL;
}

int monitor_subscribe(struct daemon *d, struct request *r, bool drops, bool changes)
{
	struct subscriber *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (struct subscriber){
		.monitor = d->monitor, .request = r, .drops = drops, .changes = changes};
	request_on_gone(r, on_gone, s);
	DL_APPEND(d->monitor->subscribers, s);
	request_send(r, NULL);
	return 0;
}

void monitor_session(struct daemon *d, const struct session *s, bool start)
{
	if (!d->monitor || !d->monitor->subscribers)
		return;
	publish(d->monitor,
		json_pack("{s:s, s:o}", "type", start ? "session-start" : "session-end", "session",
			  view_session(d, s)),
		false);
}

void monitor_mac(struct daemon *d, const char *type, uint64_t session, const uint8_t mac[6],
		 uint16_t vid, const char *reason)
{
	char text[MAC_STRLEN];
	json_t *event;

	if (!d->monitor || !d->monitor->subscribers)
		return;
	event = json_pack("{s:s, s:I, s:s, s:i}", "type", type, "session", (json_int_t)session,
			  "mac", mac_format(mac, text), "vid", vid);
	if (reason)
		json_object_set_new(event, "reason", json_string(reason));
	publish(d->monitor, event, false);
}

void monitor_machine(struct daemon *d, const struct machine *m)
{
	char label[2 * SP_NAME_MAX];

	if (d->monitor && d->monitor->subscribers)
		publish(d->monitor,
			json_pack("{s:s, s:s, s:s, s:s}", "type", "machine", "name",
				  machine_label(m, label), "state", machine_state_text(m), "want",
				  level_name(m->want)),
			false);
}

void monitor_instance(struct daemon *d, const char *name, const char *state)
{
	if (d->monitor && d->monitor->subscribers)
		publish(d->monitor,
			json_pack("{s:s, s:s, s:s}", "type", "instance", "name", name, "state",
				  state),
			false);
}
