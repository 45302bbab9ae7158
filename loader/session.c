/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions from connect to disconnect. */
#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "budget.h"
#include "daemon.h"
#include "ends.h"
#include "instance.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "log.h"
#include "machine/presence.h"
#include "monitor.h"
#include "trace/metrics.h"
#include "trace/trace.h"

void session_key_set(struct session_key *k, const char *instance, const char *common_name,
		     const char *ip, uint16_t port, int64_t time_unix)
{
	memset(k, 0, sizeof(*k));
	snprintf(k->instance, sizeof(k->instance), "%s", instance);
	snprintf(k->common_name, sizeof(k->common_name), "%s", common_name);
	snprintf(k->ip, sizeof(k->ip), "%s", ip);
	k->port = port;
	k->time_unix = time_unix;
}

struct session *session_find(struct daemon *d, const struct session_key *key)
{
	struct session *s;

	HASH_FIND(hh_key, d->sessions_by_key, key, sizeof(*key), s);
	return s;
}

struct session *session_find_id(struct daemon *d, uint64_t id)
{
	struct session *s;

	HASH_FIND(hh_id, d->sessions_by_id, &id, sizeof(id), s);
	return s;
}

int session_new(struct daemon *d, struct instance *i, const struct session_key *key,
		struct session **ret)
{
	struct session *s;

	if (session_find(d, key))
		return -EEXIST;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->daemon = d;
	s->instance = i;
	s->key = *key;
	HASH_ADD(hh_key, d->sessions_by_key, key, sizeof(s->key), s);
	*ret = s;
	return 0;
}

void session_drop(struct session *s)
{
	HASH_DELETE(hh_key, s->daemon->sessions_by_key, s);
	free(s);
}

/* --- programming --- */

static int take_port(struct daemon *d, uint32_t wanted, uint32_t *ret)
{
	if (wanted && portnum_take(d->portnums, wanted) == 0) {
		*ret = wanted;
		return 0;
	}
	*ret = portnum_get(d->portnums);
	if (!*ret)
		return -ENOSPC;
	return dataplane_counter_clear(d->dp, *ret); /* D3 */
}

static int set_rate(struct session *s)
{
	const struct config *c = s->daemon->config;
	struct dataplane_rate rate = {.bytes_per_s = c->rate_bytes,
				      .bytes_burst = c->burst_bytes,
				      .frames_per_s = c->rate_frames,
				      .frames_burst = c->burst_frames};
	int r = budget_port(s->daemon, s->member.segment, &rate.user);

	return r ?: dataplane_police_set(s->daemon->dp, s->member.dst.port, &rate);
}

void session_set_rate(struct session *s)
{
	int r = set_rate(s);

	if (r < 0)
		log_event(LOG_ERR, "a session's rate could not be set", "USER", s->user, "ERROR",
			  strerror(-r), NULL);
}

void session_set_rates(struct daemon *d)
{
	for (struct session *s = d->sessions_by_id; s; s = s->hh_id.next)
		session_set_rate(s);
}

static int program(struct session *s)
{
	struct member *m = &s->member;
	struct sp_vid vid = {
		.segment = m->segment, .port = m->dst.port, .generation = m->generation};
	int r = set_rate(s);

	if (r == 0)
		r = segment_join(s->daemon, m);
	if (r < 0 || !m->dst.vid)
		return r;
	r = dataplane_vid_set(s->daemon->dp, m->dst.ifindex, m->dst.vid, &vid);
	if (r < 0)
		segment_leave(s->daemon, m);
	return r;
}

int session_activate(struct session *s, const struct store_session *row, uint32_t port,
		     unsigned int max_macs)
{
	struct instance *i = s->instance;
	struct member *m = &s->member;
	int r;

	*m = (struct member){
		.segment = row->segment,
		.generation = row->id,
		.session = s,
		.unicast_copies = !i->config->vlan_mode,
		.dst = {.ifindex = i->link.ifindex,
			.max_len = (uint16_t)(i->config->mtu + 14),
			.kind = SP_PORT_VPN},
	};
	m->dst.vid = row->vid;
	r = take_port(s->daemon, port, &m->dst.port);
	if (r == 0)
		r = program(s);
	if (r < 0) {
		portnum_put(s->daemon->portnums, m->dst.port);
		return r;
	}
	s->state = SESSION_LIVE;
	s->id = row->id;
	s->user_id = row->user_id;
	s->index = row->index;
	s->started = row->started;
	s->daemon_pid = row->daemon_pid;
	s->max_macs = max_macs;
	memcpy(s->user, row->user, sizeof(s->user));
	HASH_ADD(hh_id, s->daemon->sessions_by_id, id, sizeof(s->id), s);
	i->n_sessions++;
	s->daemon->n_sessions++;
	presence_session(s->daemon, s->user_id, s->trace, true);
	return 0;
}

/* --- the end --- */

void session_end(struct session *s, const char *reason)
{
	struct daemon *d = s->daemon;
	struct member *m = &s->member;
	char id[24], trace[17];

	snprintf(id, sizeof(id), "%llu", (unsigned long long)s->id);
	segment_leave(d, m);
	if (m->dst.vid) {
		dataplane_vid_del(d->dp, m->dst.ifindex, m->dst.vid);
		vids_put(s->instance->vids, m->dst.vid, client_now_us());
	}
	metrics_port_gone(d->metrics, SP_PORT_VPN, m->dst.port);
	portnum_put(d->portnums, m->dst.port);
	trace_format_id(s->trace, trace);
	log_event(LOG_INFO, "session ended", "USER", s->user, "SESSION", id, "INSTANCE",
		  s->instance->name, "REASON", reason, "TRACE", trace, NULL);
	monitor_session(d, s, false);
	ends_add(d->ends, s->id);
	s->instance->n_sessions--;
	d->n_sessions--;
	HASH_DELETE(hh_id, d->sessions_by_id, s);
	HASH_DELETE(hh_key, d->sessions_by_key, s);
	presence_session(d, s->user_id, 0, false);
	free(s);
}

void session_end_instance(struct instance *i, int64_t pid, const char *reason)
{
	struct session *s, *next;

	HASH_ITER(hh_key, i->daemon->sessions_by_key, s, next)
	{
		if (s->instance != i || (pid && s->daemon_pid == pid))
			continue;
		if (s->state == SESSION_LIVE)
			session_end(s, reason);
		else
			s->cancelled = true;
	}
}

void session_end_user(struct daemon *d, uint32_t user_id, const char *reason)
{
	struct session *s, *next;

	HASH_ITER(hh_id, d->sessions_by_id, s, next)
	{
		if (s->user_id != user_id)
			continue;
		if (s->instance->mgmt)
			mgmt_kill(s->instance->mgmt, s->key.ip, s->key.port, s->key.time_unix, NULL,
				  NULL);
		session_end(s, reason);
	}
}

/* --- addresses --- */

/* Add N to the number in BYTES; false: it leaves the prefix of BITS, or becomes its last address.
 */
static bool add_within(uint8_t *bytes, size_t size, unsigned int bits, uint32_t n)
{
	uint8_t was[16];
	uint64_t carry = n;

	memcpy(was, bytes, size);
	for (size_t i = size; i-- > 0 && carry;) {
		carry += bytes[i];
		bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
	for (unsigned int b = 0; b < bits; b++)
		if ((was[b / 8] ^ bytes[b / 8]) & (0x80 >> (b % 8)))
			return false;
	return carry == 0;
}

int session_address(const char *base, uint32_t n, char ret[SP_ADDR_STRLEN])
{
	char copy[SP_ADDR_STRLEN], text[INET6_ADDRSTRLEN], *slash, *end;
	uint8_t bytes[16];
	unsigned long bits;
	int family = strchr(base, ':') ? AF_INET6 : AF_INET;
	size_t size = family == AF_INET ? 4 : 16;

	ret[0] = '\0';
	if (base[0] == '\0')
		return 0;
	if (strlen(base) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, base);
	slash = strchr(copy, '/');
	if (!slash || slash[1] < '0' || slash[1] > '9')
		return -EINVAL;
	*slash = '\0';
	bits = strtoul(slash + 1, &end, 10);
	if (*end || bits < 1 || bits > size * 8 || inet_pton(family, copy, bytes) != 1)
		return -EINVAL;
	if (!add_within(bytes, size, (unsigned int)bits, n))
		return -ERANGE;
	inet_ntop(family, bytes, text, sizeof(text));
	snprintf(ret, SP_ADDR_STRLEN, "%s/%lu", text, bits);
	return 0;
}
