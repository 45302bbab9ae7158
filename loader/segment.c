/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds which MAC address, and where do a segment's frames go? */
#include "segment.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "budget.h"
#include "daemon.h"
#include "instance.h"
#include "lib/mac.h"
#include "log.h"
#include "machine/machine.h"
#include "workload.h"

/* --- flood lists --- */

static size_t flood_entries(const struct member *m)
{
	if (m->dst.flags & SP_F_ASLEEP)
		return 0;
	return m->unicast_copies ? m->n_bindings : 1;
}

/* Write the flood list of a segment as its members are now. -E2BIG: more than a list holds. */
static int flood_write(struct daemon *d, uint32_t id, const struct segment *s)
{
	struct sp_dst list[SP_FLOOD_MAX];
	const struct member *m;
	size_t n = 0;

	for (m = s ? s->members : NULL; m; m = m->next) {
		if (n + flood_entries(m) > SP_FLOOD_MAX)
			return -E2BIG;
		if (!flood_entries(m))
			continue;
		if (!m->unicast_copies)
			list[n++] = m->dst;
		/* I3: OpenVPN would send a group frame to everybody, so each MAC gets its own. */
		for (const struct binding *b = m->bindings; m->unicast_copies && b;
		     b = b->owner_next) {
			list[n] = m->dst;
			memcpy(list[n++].mac, b->mac, SP_MAC_LEN);
		}
	}
	return d->restoring ? 0 : dataplane_flood_set(d->dp, id, list, n);
}

static struct segment *segment_get(struct daemon *d, uint32_t id)
{
	struct segment *s;

	HASH_FIND(hh, d->segments, &id, sizeof(id), s);
	return s;
}

static void flood_rewrite(struct daemon *d, uint32_t id)
{
	int r = flood_write(d, id, segment_get(d, id));

	if (r < 0)
		log_event(LOG_ERR, "a flood list could not be written", "ERROR", strerror(-r),
			  NULL);
}

void segment_write_floods(struct daemon *d)
{
	struct segment *s, *next;

	HASH_ITER(hh, d->segments, s, next)
	flood_rewrite(d, s->id);
}

bool segment_exists(struct daemon *d, uint32_t id)
{
	return segment_get(d, id) != NULL;
}

struct member *segment_members(struct daemon *d, uint32_t id)
{
	struct segment *s = segment_get(d, id);

	return s ? s->members : NULL;
}

/* Its last member has gone. */
static void segment_end(struct daemon *d, struct segment *s)
{
	HASH_DEL(d->segments, s);
	budget_idle(d, s->id);
	free(s);
}

int segment_join(struct daemon *d, struct member *m)
{
	struct segment *s = segment_get(d, m->segment);
	int r;

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->id = m->segment;
		HASH_ADD(hh, d->segments, id, sizeof(s->id), s);
	}
	DL_APPEND(s->members, m);
	r = flood_write(d, s->id, s);
	if (r < 0) {
		DL_DELETE(s->members, m);
		if (!s->members)
			segment_end(d, s);
	}
	return r;
}

void segment_leave(struct daemon *d, struct member *m)
{
	struct segment *s = segment_get(d, m->segment);

	while (m->bindings)
		segment_unbind(d, m->bindings);
	if (!s)
		return;
	DL_DELETE(s->members, m);
	flood_rewrite(d, s->id);
	if (!s->members)
		segment_end(d, s);
}

/* --- the table of MACs --- */

struct binding *segment_find(struct daemon *d, uint32_t segment, const uint8_t mac[SP_MAC_LEN])
{
	struct binding *b;

	HASH_FIND(hh, d->bindings, mac, SP_MAC_LEN, b);
	while (b && b->owner->segment != segment)
		b = b->same_mac;
	return b;
}

struct binding *member_find(const struct member *m, const uint8_t mac[SP_MAC_LEN])
{
	struct binding *b = m->bindings;

	while (b && memcmp(b->mac, mac, SP_MAC_LEN) != 0)
		b = b->owner_next;
	return b;
}

static void table_add(struct daemon *d, struct binding *b)
{
	struct binding *first;

	HASH_FIND(hh, d->bindings, b->mac, SP_MAC_LEN, first);
	if (first) {
		b->same_mac = first->same_mac;
		first->same_mac = b;
	} else {
		HASH_ADD(hh, d->bindings, mac, SP_MAC_LEN, b);
	}
	LL_PREPEND2(b->owner->bindings, b, owner_next);
	b->owner->n_bindings++;
}

static void table_remove(struct daemon *d, struct binding *b)
{
	struct binding *first;

	HASH_FIND(hh, d->bindings, b->mac, SP_MAC_LEN, first);
	if (first == b) {
		HASH_DEL(d->bindings, b);
		if (b->same_mac)
			HASH_ADD(hh, d->bindings, mac, SP_MAC_LEN, b->same_mac);
	} else {
		LL_DELETE2(first, b, same_mac);
	}
	LL_DELETE2(b->owner->bindings, b, owner_next);
	b->owner->n_bindings--;
}

/* The last step: frames are let in, if there is a device that they can come by. */
static int let_in(struct daemon *d, const struct member *m, const uint8_t mac[SP_MAC_LEN])
{
	const struct sp_bind value = {
		.segment = m->segment, .port = m->dst.port, .generation = m->generation};

	return m->dst.ifindex ? dataplane_bind(d->dp, m->dst.ifindex, m->dst.vid, mac, &value) : 0;
}

int segment_bind(struct daemon *d, struct member *m, const uint8_t mac[SP_MAC_LEN],
		 uint64_t learned_us)
{
	struct binding *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	memcpy(b->mac, mac, SP_MAC_LEN);
	b->owner = m;
	b->learned_us = learned_us;
	table_add(d, b);
	r = dataplane_fdb_set(d->dp, m->segment, mac, &m->dst);
	if (r == 0 && m->unicast_copies)
		r = flood_write(d, m->segment, segment_get(d, m->segment));
	if (r == 0)
		r = let_in(d, m, mac);
	if (r < 0)
		segment_unbind(d, b);
	return r;
}

int segment_move(struct daemon *d, struct member *m, const struct sp_dst *dst)
{
	bool moved = m->dst.ifindex != dst->ifindex || m->dst.vid != dst->vid;
	int r = 0;

	for (struct binding *b = m->bindings; moved && m->dst.ifindex && b; b = b->owner_next)
		r = r ?: dataplane_unbind(d->dp, m->dst.ifindex, m->dst.vid, b->mac);
	if (r < 0)
		return r;
	m->dst = *dst;
	for (struct binding *b = m->bindings; b; b = b->owner_next)
		r = r ?: dataplane_fdb_set(d->dp, m->segment, b->mac, &m->dst);
	r = r ?: flood_write(d, m->segment, segment_get(d, m->segment));
	for (struct binding *b = m->bindings; moved && b; b = b->owner_next)
		r = r ?: let_in(d, m, b->mac);
	return r;
}

void segment_unbind(struct daemon *d, struct binding *b)
{
	struct member *m = b->owner;
	const struct member *other;
	const struct binding *o;
	int r = 0, q;

	table_remove(d, b);
	/*
	 * In a takeover two sessions hold it for a moment. The one that stays keeps the FDB entry;
	 * in MAC mode on one tap both have the same key, and the binding is the other's by now.
	 */
	o = segment_find(d, m->segment, b->mac);
	other = o ? o->owner : NULL;
	if (!other || other->dst.ifindex != m->dst.ifindex || other->dst.vid != m->dst.vid)
		r = dataplane_unbind(d->dp, m->dst.ifindex, m->dst.vid, b->mac);
	q = other ? dataplane_fdb_set(d->dp, m->segment, b->mac, &other->dst)
		  : dataplane_fdb_del(d->dp, m->segment, b->mac);
	r = r ?: q;
	if (m->unicast_copies)
		flood_rewrite(d, m->segment);
	if (r < 0)
		log_event(LOG_ERR, "a binding could not be removed", "ERROR", strerror(-r), NULL);
	free(b);
}

/* --- may it? --- */

bool segment_is_reserved(struct daemon *d, const uint8_t mac[SP_MAC_LEN])
{
	struct instance *i;
	struct workload *w;
	struct machine *m;

	for (size_t n = 0; n < d->config->n_reserved; n++)
		if (memcmp(d->config->reserved[n], mac, SP_MAC_LEN) == 0)
			return true;
	DL_FOREACH(d->instances, i)
	if (memcmp(i->link.mac, mac, SP_MAC_LEN) == 0)
		return true;
	for (w = d->workloads; w; w = w->hh.next)
		if (w->link.ifindex && memcmp(w->link.mac, mac, SP_MAC_LEN) == 0)
			return true;
	HASH_FIND(hh_device, d->machine_devices, mac, SP_MAC_LEN, m);
	return m != NULL;
}

/* What stays where it is put: no session moves its addresses away. */
static bool is_fixed(const struct member *m)
{
	return m->workload || m->machine;
}

/* MAC mode: a MAC is one owner's on the whole host; VLAN mode: within its segment. */
static bool conflicts(const struct member *m, const struct member *other)
{
	if (other->segment == m->segment)
		return other != m;
	return m->unicast_copies && (is_fixed(other) || other->unicast_copies);
}

void segment_evict(struct daemon *d, const struct member *w, const uint8_t mac[SP_MAC_LEN])
{
	struct binding *b, *next;

	HASH_FIND(hh, d->bindings, mac, SP_MAC_LEN, b);
	for (; b; b = next) {
		next = b->same_mac;
		if (b->owner->session && conflicts(b->owner, w))
			segment_unbind(d, b);
	}
}

enum learn_verdict segment_may_learn(struct daemon *d, const struct member *m,
				     const uint8_t mac[SP_MAC_LEN], unsigned int limit,
				     struct binding **ret_from)
{
	struct binding *b;

	*ret_from = NULL;
	if (!mac_is_unicast(mac))
		return LEARN_GROUP;
	if (member_find(m, mac))
		return LEARN_KNOWN;
	if (segment_is_reserved(d, mac))
		return LEARN_RESERVED;
	/* Also one that sleeps, and is on no segment now. */
	if (machine_find_mac(d, mac))
		return LEARN_WORKLOAD;
	HASH_FIND(hh, d->bindings, mac, SP_MAC_LEN, b);
	for (; b; b = b->same_mac) {
		if (!conflicts(m, b->owner))
			continue;
		if (is_fixed(b->owner))
			return LEARN_WORKLOAD;
		if (b->owner->segment != m->segment)
			return LEARN_OTHER_USER;
		*ret_from = b;
	}
	if (m->n_bindings >= limit)
		return LEARN_LIMIT;
	if (*ret_from)
		return LEARN_TAKEOVER;
	return budget_macs(d, m->segment) >= budget_max_macs(d, m->segment) ? LEARN_USER_LIMIT
									    : LEARN_OK;
}

const char *learn_verdict_text(enum learn_verdict v)
{
	static const char *const texts[] = {
		[LEARN_OK] = "new",
		[LEARN_KNOWN] = "known",
		[LEARN_TAKEOVER] = "moved from another session of the user",
		[LEARN_GROUP] = "a group or zero address",
		[LEARN_RESERVED] = "reserved: a gateway or a device of the host",
		[LEARN_WORKLOAD] = "a workload or a machine has it",
		[LEARN_OTHER_USER] = "another user has it",
		[LEARN_LIMIT] = "the session is at its limit of MACs",
		[LEARN_USER_LIMIT] = "the user is at the limit of MACs of all sessions together",
	};

	return texts[v];
}
