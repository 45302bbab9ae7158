/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses has a machine leased, and until when? */
#include "leases.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US 1000000ULL

static struct lease_entry *find(struct leases *l, const uint8_t addr[16])
{
	for (size_t i = 0; i < l->n; i++)
		if (memcmp(l->v[i].addr, addr, 16) == 0)
			return &l->v[i];
	return NULL;
}

bool leases_remove(struct leases *l, const uint8_t addr[16])
{
	struct lease_entry *e = find(l, addr);

	if (!e)
		return false;
	*e = l->v[--l->n];
	return true;
}

static void drop(struct leases *l, const uint8_t addr[16], struct leases_change *c)
{
	uint8_t copy[16]; /* ADDR may be in L */

	memcpy(copy, addr, sizeof(copy));
	if (leases_remove(l, copy))
		addresses_add(&c->removed, copy);
}

/* --- questions --- */

static void ask(struct leases *l, const struct dhcp_message *msg, uint64_t now_us)
{
	struct lease_question *q = NULL;

	/* It asks again and again with one number (RFC 2131, 4.1): one question. */
	for (size_t i = 0; i < LEASES_ASKED && !q; i++)
		if (l->asked[i].open && l->asked[i].v6 == msg->v6 && l->asked[i].xid == msg->xid)
			q = &l->asked[i];
	if (!q) {
		q = &l->asked[l->next];
		l->next = (l->next + 1) % LEASES_ASKED;
	}
	*q = (struct lease_question){.open = true,
				     .v6 = msg->v6,
				     .xid = msg->xid,
				     .has_addr = msg->n > 0,
				     .when_us = now_us};
	memcpy(q->server, msg->server, sizeof(q->server));
	if (msg->n)
		memcpy(q->addr, msg->addresses[0].addr, sizeof(q->addr));
}

static struct lease_question *answered(struct leases *l, const struct dhcp_message *msg,
				       uint64_t now_us)
{
	for (size_t i = 0; i < LEASES_ASKED; i++) {
		struct lease_question *q = &l->asked[i];

		if (q->open && q->v6 == msg->v6 && q->xid == msg->xid &&
		    now_us - q->when_us <= LEASES_ASKED_US)
			return q;
	}
	return NULL;
}

/* --- messages --- */

static bool is_own(const struct dhcp_message *msg, const uint8_t mac[6])
{
	return msg->v6 || memcmp(msg->chaddr, mac, 6) == 0;
}

void leases_sent(struct leases *l, const struct dhcp_message *msg, const uint8_t mac[6],
		 uint64_t now_us, struct leases_change *ret)
{
	*ret = (struct leases_change){.renewed = false};
	if (!is_own(msg, mac))
		return;
	if (msg->kind == DHCP_ASKS)
		ask(l, msg, now_us);
	for (size_t i = 0; msg->kind == DHCP_RETURNS && i < msg->n; i++)
		drop(l, msg->addresses[i].addr, ret);
}

static void grant(struct leases *l, const struct dhcp_address *a, uint64_t now_us,
		  struct leases_change *c)
{
	uint64_t until = a->seconds == DHCP_FOR_EVER ? LEASE_FOR_EVER : now_us + a->seconds * US;
	struct lease_entry *e = find(l, a->addr);

	if (a->seconds == 0) {
		drop(l, a->addr, c);
	} else if (e) {
		e->until_us = until;
		c->renewed = true;
	} else if (l->n < SP_ADDRESSES_N) {
		memcpy(l->v[l->n].addr, a->addr, 16);
		l->v[l->n++].until_us = until;
		addresses_add(&c->added, a->addr);
	} else {
		c->full = true;
	}
}

/* Did it name one? */
static bool names_server(const struct lease_question *q)
{
	static const uint8_t none[4];

	return memcmp(q->server, none, sizeof(none)) != 0;
}

int leases_got(struct leases *l, const struct dhcp_message *msg, const uint8_t mac[6],
	       uint64_t now_us, struct leases_change *ret)
{
	struct lease_question *q = answered(l, msg, now_us);

	*ret = (struct leases_change){.renewed = false};
	if (msg->kind != DHCP_GIVES && msg->kind != DHCP_REFUSES)
		return -EPERM;
	if (!q)
		return -ENOENT;
	if (!is_own(msg, mac) ||
	    (names_server(q) && memcmp(q->server, msg->server, sizeof(q->server)) != 0))
		return -EPERM;
	if (msg->kind == DHCP_REFUSES && q->has_addr)
		drop(l, q->addr, ret);
	for (size_t i = 0; msg->kind == DHCP_GIVES && i < msg->n; i++)
		grant(l, &msg->addresses[i], now_us, ret);
	return 0;
}

/* --- time --- */

void leases_expire(struct leases *l, uint64_t now_us, struct leases_change *ret)
{
	*ret = (struct leases_change){.renewed = false};
	for (size_t i = 0; i < l->n;)
		if (l->v[i].until_us <= now_us)
			drop(l, l->v[i].addr, ret);
		else
			i++;
}

uint64_t leases_next_us(const struct leases *l)
{
	uint64_t next = LEASE_FOR_EVER;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].until_us < next)
			next = l->v[i].until_us;
	return next;
}

/* --- text --- */

/* "ADDRESS@SECONDS" of N bytes. */
static int parse_word(const char *word, size_t n, uint64_t now_us, int64_t real_s, struct leases *l)
{
	const char *at = memchr(word, '@', n);
	char address[INET6_ADDRSTRLEN];
	struct addresses a;
	char *end;
	long long until;

	if (!at || at == word || (size_t)(at - word) >= sizeof(address) || at[1] < '0' ||
	    at[1] > '9' || l->n == SP_ADDRESSES_N)
		return -EINVAL;
	memcpy(address, word, (size_t)(at - word));
	address[at - word] = '\0';
	errno = 0;
	until = strtoll(at + 1, &end, 10);
	if (errno || end != word + n || addresses_parse(address, &a, NULL) < 0 || a.n != 1 ||
	    find(l, a.v[0]) || until > real_s + (int64_t)UINT32_MAX)
		return -EINVAL;
	memcpy(l->v[l->n].addr, a.v[0], 16);
	l->v[l->n++].until_us = until == 0	  ? LEASE_FOR_EVER
				: until <= real_s ? 0 /* it has run out */
						  : now_us + (uint64_t)(until - real_s) * US;
	return 0;
}

int leases_parse(const char *text, uint64_t now_us, int64_t real_s, struct leases *ret)
{
	struct leases l = {.n = 0};

	for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");
		int r = parse_word(p, n, now_us, real_s, &l);

		if (r < 0)
			return r;
		p += n;
	}
	*ret = l;
	return 0;
}

void leases_format(const struct leases *l, uint64_t now_us, int64_t real_s, char ret[SP_LEASES_MAX])
{
	char text[INET6_ADDRSTRLEN];
	size_t at = 0;

	static_assert(SP_ADDRESSES_N * (INET6_ADDRSTRLEN + 22) <= SP_LEASES_MAX,
		      "leases do not fit their text");
	ret[0] = '\0';
	for (size_t i = 0; i < l->n; i++) {
		uint64_t until = l->v[i].until_us;
		int64_t left = until > now_us ? (int64_t)((until - now_us + US - 1) / US) : 0;

		at += (size_t)snprintf(ret + at, SP_LEASES_MAX - at, "%s%s@%" PRId64, i ? " " : "",
				       address_format(l->v[i].addr, text),
				       until == LEASE_FOR_EVER ? 0 : real_s + left);
	}
}
