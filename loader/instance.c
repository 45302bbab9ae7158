/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An OpenVPN server process and its tap. */
#include "instance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "machine/machine.h"
#include "monitor.h"
#include "ovpnconf.h"
#include "session.h"
#include "trace/metrics.h"
#include "workload.h"

const char *instance_state_name(enum instance_state state)
{
	static const char *const names[] = {"refused", "idle", "up"};

	return names[state];
}

struct instance *instance_find(struct daemon *d, const char *name)
{
	struct instance *i;

	DL_FOREACH(d->instances, i)
	if (strcmp(i->name, name) == 0)
		return i;
	return NULL;
}

static void set_state(struct instance *i, enum instance_state state, const char *reason)
{
	free(i->reason);
	i->reason = reason ? strdup(reason) : NULL;
	if (i->state == state && state != INSTANCE_REFUSED)
		return;
	i->state = state;
	log_event(state == INSTANCE_REFUSED ? LOG_ERR : LOG_INFO, "instance", "INSTANCE", i->name,
		  "STATE", instance_state_name(state), "REASON", reason ? reason : "", NULL);
	monitor_instance(i->daemon, i->name, instance_state_name(state));
}

/* Check what OpenVPN is told; each finding is a line of the log. 0: it may run behind our tap. */
static int check_config(struct instance *i)
{
	const struct ovpnconf_expect expect = {
		.tap = i->config->tap,
		.vlan_mode = i->config->vlan_mode,
		.management = i->config->management,
		.mtu = i->config->mtu,
	};
	_cleanup_free_
	char *text = NULL;
	char *line, *save = NULL;
	size_t size = 0;
	FILE *report = open_memstream(&text, &size);
	int r;

	if (!report)
		return -ENOMEM;
	r = ovpnconf_check(i->config->openvpn_config, &expect, report);
	fclose(report);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool warning = strstr(line, ": warning:") != NULL;

		log_event(warning ? LOG_WARNING : LOG_ERR, line, "INSTANCE", i->name, NULL);
		if (r < 0 && !warning && i->state == INSTANCE_REFUSED && !i->reason)
			i->reason = strdup(line);
	}
	return r;
}

static int attach(struct instance *i)
{
	struct daemon *d = i->daemon;
	struct sp_port old, port = {
				    .kind = SP_PORT_VPN,
				    .flags = i->config->vlan_mode ? SP_F_VLAN_MODE : 0,
				    .max_len = (uint16_t)(i->config->mtu + 14),
			    };
	int r;

	if (dataplane_port_get(d->dp, i->link.ifindex, &old) == 0 &&
	    portnum_take(d->portnums, old.port) == 0)
		i->port = old.port;
	if (!i->port) {
		i->port = portnum_get(d->portnums);
		if (!i->port)
			return -ENOSPC;
		r = dataplane_counter_clear(d->dp, i->port);
		if (r < 0)
			return r;
	}
	port.port = i->port;
	return dataplane_attach(d->dp, i->link.ifindex, &port);
}

/* Make the tap and bring it up behind its programs (D2). */
static int make_tap(struct instance *i)
{
	struct config_instance *c = i->config;
	int r = link_tap_make(c->tap, c->uid, c->gid, c->mtu, &i->link);

	if (r == 0)
		r = attach(i);
	if (r == 0)
		r = link_set_up(i->link.ifindex, true);
	if (r == 0)
		r = link_get_index(i->link.ifindex, &i->link);
	return r;
}

/*
 * Refused at a restart, over a tap that was programmed before: what is live stays, nothing new
 * comes in (I4).
 */
static void keep_programmed(struct instance *i)
{
	struct sp_port port;

	if (link_get(i->config->tap, &i->link) == 0 &&
	    dataplane_port_get(i->daemon->dp, i->link.ifindex, &port) == 0 &&
	    portnum_take(i->daemon->portnums, port.port) == 0)
		i->port = port.port;
	else
		memset(&i->link, 0, sizeof(i->link));
}

static int bring_up(struct instance *i)
{
	char reason[128];
	int r = check_config(i);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		_cleanup_free_
		char *why = i->reason;

		i->reason = NULL;
		keep_programmed(i);
		set_state(i, INSTANCE_REFUSED, why ? why : "its OpenVPN configuration is not fit");
		return 0;
	}
	r = make_tap(i);
	if (r < 0) {
		snprintf(reason, sizeof(reason), "tap %s: %s", i->config->tap, strerror(-r));
		set_state(i, INSTANCE_REFUSED, reason);
		return 0;
	}
	set_state(i, i->link.carrier ? INSTANCE_UP : INSTANCE_IDLE, NULL);
	return 0;
}

int instance_retry(struct instance *i)
{
	return i->state == INSTANCE_REFUSED ? bring_up(i) : 0;
}

int instance_new(struct daemon *d, struct config_instance *config, struct instance **ret)
{
	struct instance *i = calloc(1, sizeof(*i));
	int r;

	if (!i)
		return -ENOMEM;
	i->daemon = d;
	i->config = config;
	i->state = INSTANCE_REFUSED;
	snprintf(i->name, sizeof(i->name), "%s", config->name);
	i->vids = vids_new((uint64_t)d->config->vid_rest_s * 1000000);
	r = i->vids ? bring_up(i) : -ENOMEM;
	if (r < 0) {
		vids_free(i->vids);
		free(i);
		return r;
	}
	DL_APPEND(d->instances, i);
	*ret = i;
	return 0;
}

void instance_free(struct instance *i, bool remove)
{
	struct daemon *d = i->daemon;

	i->mgmt = mgmt_free(i->mgmt);
	sd_event_source_disable_unref(i->recheck);
	if (remove) {
		session_end_instance(i, 0, "the instance was removed");
		link_set_up(i->link.ifindex, false);
		dataplane_detach(d->dp, i->link.ifindex);
		metrics_port_gone(d->metrics, SP_PORT_VPN, i->port);
		portnum_put(d->portnums, i->port);
	}
	DL_DELETE(d->instances, i);
	vids_free(i->vids);
	free(i->reason);
	free(i);
}

/* --- is OpenVPN there, and is it the one we know? --- */

/* A hook that was deferred may speak for this long after its OpenVPN is gone. */
#define RETIRED_US (2ULL * SP_DEFER_MAX_MS * 1000)

static void retire(struct instance *i, int64_t pid)
{
	unsigned int n = i->next_retired++ % INSTANCE_RETIRED;

	i->retired[n].pid = pid;
	i->retired[n].until_us = client_now_us() + RETIRED_US;
}

static bool is_retired(const struct instance *i, int64_t pid)
{
	for (unsigned int n = 0; n < INSTANCE_RETIRED; n++)
		if (i->retired[n].pid == pid && client_now_us() < i->retired[n].until_us)
			return true;
	return false;
}

static void set_pid(struct instance *i, int64_t pid)
{
	if (i->openvpn_pid)
		retire(i, i->openvpn_pid);
	i->openvpn_pid = pid;
	/* kill -9 of the old process fired no hook: whatever it served is gone. */
	session_end_instance(i, pid, "OpenVPN was restarted");
}

bool instance_saw_pid(struct instance *i, int64_t pid)
{
	if (pid <= 0 || pid == i->openvpn_pid)
		return true;
	if (is_retired(i, pid))
		return false;
	set_pid(i, pid);
	if (i->mgmt)
		mgmt_poke(i->mgmt);
	return true;
}

static bool is_client(const struct mgmt_client *c, const struct session_key *k)
{
	return c->time_unix == k->time_unix && strcmp(c->common_name, k->common_name) == 0;
}

static void end_missing(struct instance *i, const struct mgmt_client *clients, size_t n)
{
	struct session *s, *next;

	HASH_ITER(hh_id, i->daemon->sessions_by_id, s, next)
	{
		bool found = false;

		if (s->instance != i || s->daemon_pid != i->openvpn_pid)
			continue;
		for (size_t k = 0; k < n && !found; k++)
			found = is_client(&clients[k], &s->key);
		if (!found)
			session_end(s, "OpenVPN does not have it");
	}
}

/* OpenVPN's hand-window: a client that is younger may still be logging in. */
#define YOUNG_S 60

static bool is_known(const struct instance *i, const struct mgmt_client *c)
{
	for (struct session *s = i->daemon->sessions_by_key; s; s = s->hh_key.next)
		if (s->instance == i && is_client(c, &s->key))
			return true;
	return false;
}

static void on_status(int error, const struct mgmt_client *clients, size_t n, void *arg);

static int on_recheck(sd_event_source *source, uint64_t usec, void *arg)
{
	struct instance *i = arg;

	i->recheck = sd_event_source_disable_unref(i->recheck);
	if (i->mgmt)
		mgmt_status(i->mgmt, on_status, i);
	return 0;
}

/* What OpenVPN has and we do not cannot send a frame; it is ended, so that it comes again. */
static void kill_unknown(struct instance *i, const struct mgmt_client *clients, size_t n)
{
	bool young = false;

	for (size_t k = 0; k < n; k++) {
		if (is_known(i, &clients[k]))
			continue;
		if (clients[k].time_unix > time(NULL) - YOUNG_S) {
			young = true;
			continue;
		}
		log_event(LOG_WARNING, "client without a session: killed", "INSTANCE", i->name,
			  "COMMON_NAME", clients[k].common_name, NULL);
		mgmt_kill_cid(i->mgmt, clients[k].cid, NULL, NULL);
	}
	if (young && !i->recheck)
		sd_event_add_time_relative(i->daemon->event, &i->recheck, CLOCK_MONOTONIC,
					   (YOUNG_S + 1) * 1000000ULL, 1000000, on_recheck, i);
}

static void on_status(int error, const struct mgmt_client *clients, size_t n, void *arg)
{
	struct instance *i = arg;

	if (error < 0)
		return;
	end_missing(i, clients, n);
	kill_unknown(i, clients, n);
}

static void on_mgmt_up(struct mgmt *m, int64_t pid, void *arg)
{
	struct instance *i = arg;

	/* First hand: this one is alive, whatever its number was before. */
	if (pid > 0 && pid != i->openvpn_pid)
		set_pid(i, pid);
	mgmt_status(m, on_status, i);
}

static void lost(struct instance *i)
{
	struct link_info info;

	/* A management socket that closed alone, or a tap that is held still, is not the end. */
	if (link_get_index(i->link.ifindex, &info) == 0 && info.carrier)
		return;
	session_end_instance(i, 0, "OpenVPN is gone");
	if (i->state == INSTANCE_UP)
		set_state(i, INSTANCE_IDLE, NULL);
}

static void on_mgmt_down(struct mgmt *m, void *arg)
{
	lost(arg);
}

int instance_start(struct instance *i)
{
	static const struct mgmt_callbacks callbacks = {on_mgmt_up, on_mgmt_down};

	if (i->state == INSTANCE_REFUSED || !i->config->management || i->mgmt)
		return 0;
	return mgmt_new(i->daemon->event, i->config->management, &callbacks, i, &i->mgmt);
}

static void link_changed(struct instance *i, const struct link_info *info)
{
	i->link = *info;
	if (!info->up && i->state != INSTANCE_REFUSED) {
		/* Somebody took it down: that says nothing of OpenVPN, which the next event tells.
		 */
		log_event(LOG_WARNING, "the tap was set down: up again", "INSTANCE", i->name, NULL);
		link_set_up(i->link.ifindex, true);
		return;
	}
	if (!info->carrier) {
		lost(i);
	} else if (i->state == INSTANCE_IDLE) {
		set_state(i, INSTANCE_UP, NULL);
		if (i->mgmt)
			mgmt_poke(i->mgmt);
	}
}

static void tap_gone(struct instance *i)
{
	log_event(LOG_WARNING, "the tap was deleted: made anew", "INSTANCE", i->name, NULL);
	session_end_instance(i, 0, "the tap was deleted");
	dataplane_detach(i->daemon->dp, i->link.ifindex);
	metrics_port_gone(i->daemon->metrics, SP_PORT_VPN, i->port);
	portnum_put(i->daemon->portnums, i->port);
	i->port = 0;
	bring_up(i);
}

void instance_link_changed(struct daemon *d, const struct link_info *info, bool gone)
{
	struct instance *i;

	DL_FOREACH(d->instances, i)
	{
		struct link_info now;
		int r;

		if (!i->link.ifindex || (info && info->ifindex != i->link.ifindex))
			continue;
		/* What was told is of some time ago; what counts is how it is. */
		r = gone ? -ENODEV : link_get_index(i->link.ifindex, &now);
		if (r == -ENODEV)
			tap_gone(i);
		else if (r == 0)
			link_changed(i, &now);
	}
	if (!info) {
		workload_look_again(d);
	} else if (gone) {
		workload_link_gone(d, info->ifindex);
		machine_port_link_gone(d, info->ifindex);
	}
}
