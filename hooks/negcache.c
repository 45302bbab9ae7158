/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Can a frame be refused without asking the daemon? */
#include "hooks/negcache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WAYS 4

/*
 * MACs belong to a session's entry by its serial number, which is never used twice: dropping the
 * session's entry makes all of them unreachable at once.
 */
struct session_entry {
	uint64_t session; /* 0: empty */
	uint64_t serial;
	uint64_t all_until; /* every MAC is refused until then */
	uint64_t last;	    /* of its entries, when the last one ends */
};

struct mac_entry {
	uint64_t serial; /* 0: empty */
	uint64_t key;	 /* MAC and VLAN id */
	uint64_t until;
};

struct negcache {
	uint64_t seed[2];
	uint64_t next_serial;
	struct session_entry sessions[NEGCACHE_SESSIONS];
	struct mac_entry macs[NEGCACHE_MACS];
};

/* One round of mixing; the seed keeps where things land from whoever chooses MACs and names. */
static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	return h ^ (h >> 29);
}

static uint64_t mix_text(uint64_t h, const char *s)
{
	size_t len = strlen(s);

	h = mix(h, len);
	while (len > 0) {
		size_t n = len < 8 ? len : 8;
		uint64_t v = 0;

		memcpy(&v, s, n);
		h = mix(h, v);
		s += n;
		len -= n;
	}
	return h;
}

struct negcache *negcache_new(void)
{
	struct negcache *n = calloc(1, sizeof(*n));

	if (n && getrandom(n->seed, sizeof(n->seed), 0) != (ssize_t)sizeof(n->seed)) {
		free(n);
		return NULL;
	}
	return n;
}

void negcache_free(struct negcache *n)
{
	free(n);
}

uint64_t negcache_session(const struct negcache *n, const struct hook_session *s)
{
	uint64_t h = mix_text(n->seed[0], s->common_name);

	h = mix_text(h, s->trusted_ip);
	h = mix(h, s->trusted_port);
	h = mix(h, (uint64_t)s->time_unix);
	h = mix(h, n->seed[1]);
	return h ? h : 1;
}

static size_t session_set(uint64_t session)
{
	return session % (NEGCACHE_SESSIONS / WAYS) * WAYS;
}

static uint64_t mac_key(const uint8_t mac[6], uint16_t vid)
{
	uint64_t key = vid;

	for (size_t i = 0; i < 6; i++)
		key = key << 8 | mac[i];
	return key;
}

static size_t mac_set(const struct negcache *n, uint64_t serial, uint64_t key)
{
	return mix(mix(n->seed[1], serial), key) % (NEGCACHE_MACS / WAYS) * WAYS;
}

static const struct session_entry *find_session(const struct negcache *n, uint64_t session)
{
	const struct session_entry *set = &n->sessions[session_set(session)];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].session == session)
			return &set[i];
	return NULL;
}

/* The session's entry, made where there is none. */
static struct session_entry *take_session(struct negcache *n, uint64_t session, uint64_t now_us)
{
	struct session_entry *found = (struct session_entry *)find_session(n, session);
	struct session_entry *set = &n->sessions[session_set(session)];

	if (found)
		return found;
	found = set;
	for (size_t i = 0; i < WAYS && found->session != 0 && found->last > now_us; i++)
		if (set[i].session == 0 || set[i].last < found->last)
			found = &set[i];
	*found = (struct session_entry){.session = session, .serial = ++n->next_serial};
	return found;
}

bool negcache_refused(const struct negcache *n, uint64_t session, const uint8_t mac[6],
		      uint16_t vid, uint64_t now_us)
{
	const struct session_entry *s = find_session(n, session);
	const struct mac_entry *set;
	uint64_t key;

	if (!s || s->last <= now_us)
		return false;
	if (s->all_until > now_us)
		return true;
	key = mac_key(mac, vid);
	set = &n->macs[mac_set(n, s->serial, key)];
	for (size_t i = 0; i < WAYS; i++)
		if (set[i].serial == s->serial && set[i].key == key)
			return set[i].until > now_us;
	return false;
}

void negcache_add(struct negcache *n, uint64_t session, const uint8_t mac[6], uint16_t vid,
		  uint64_t now_us, uint64_t until_us)
{
	struct session_entry *s;
	struct mac_entry *victim;
	struct mac_entry *set;
	uint64_t key = mac_key(mac, vid);

	if (until_us <= now_us)
		return;
	s = take_session(n, session, now_us);
	if (until_us > s->last)
		s->last = until_us;
	set = &n->macs[mac_set(n, s->serial, key)];
	victim = set;
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].serial == s->serial && set[i].key == key) {
			victim = &set[i];
			break;
		}
		if (set[i].until < victim->until)
			victim = &set[i];
	}
	*victim = (struct mac_entry){.serial = s->serial, .key = key, .until = until_us};
}

void negcache_add_session(struct negcache *n, uint64_t session, uint64_t now_us, uint64_t until_us)
{
	struct session_entry *s;

	if (until_us <= now_us)
		return;
	s = take_session(n, session, now_us);
	s->all_until = until_us;
	if (until_us > s->last)
		s->last = until_us;
}

void negcache_drop(struct negcache *n, uint64_t session)
{
	struct session_entry *s = (struct session_entry *)find_session(n, session);

	if (s)
		*s = (struct session_entry){0};
}
