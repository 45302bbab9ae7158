/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does the firewall let pass?
 *
 * It stays simple: model_knows says which frames it does not judge. Those are TCP other than one
 * SYN (states and windows: test_conntrack.c), and first fragments: which of them the program still
 * remembers is a matter of its places and of 30 s (flow_rows.h, test_conntrack.c). No flow ends by
 * time, no policy is there but the default, and no error quotes what was sent (flow_rows.h).
 */
#include "model_firewall.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_packet.h"
#include "shape.h"

/* What has begun between two ports; nothing of it ends while a test runs. */
struct begun {
	uint32_t segment, ports[2]; /* machines, 0: others; by end */
	unsigned int proto, key[2];
	uint8_t addr[2][16];
	/* Where a router is at an end, what comes by it twice has begun twice: by end, or 0. */
	uint8_t mac[2][SP_MAC_LEN];
};

#define BEGUN_MAX 16384 /* more than is drawn: find_begun ends the run if it is not so */

static struct begun begun[BEGUN_MAX];
static size_t n_begun;

/* In place of ports: the first fragment of a datagram has passed; all have the same identifier. */
#define FRAGMENTED 0x10000

/* Of fragments is known what was. */
void model_forget_flows(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < n_begun; i++)
		if (begun[i].key[0] == FRAGMENTED)
			begun[kept++] = begun[i];
	n_begun = kept;
}

static bool is_icmp(const struct told *t)
{
	return t->proto == (t->version == 6 ? 58 : 1);
}

/* The request that an ICMP message is, or answers; 0: neither. */
static unsigned int asked(const struct told *t, bool *ret_answer)
{
	static const struct {
		int version;
		unsigned int request, answer;
	} known[] = {{4, 8, 0},	  {4, 13, 14},	 {4, 15, 16},
		     {4, 17, 18}, {6, 128, 129}, {6, 139, 140}};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		*ret_answer = t->type == known[i].answer;
		if (t->version == known[i].version &&
		    (t->type == known[i].request || t->type == known[i].answer))
			return known[i].request;
	}
	return 0;
}

static bool is_icmp_error(const struct told *t)
{
	return t->version == 6 ? t->type >= 1 && t->type <= 4
			       : (t->type >= 3 && t->type <= 5) || t->type == 11 || t->type == 12;
}

static bool is_same_way(const struct begun *a, const struct begun *b)
{
	return memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 ||
	       (memcmp(a->mac[0], b->mac[1], SP_MAC_LEN) == 0 &&
		memcmp(a->mac[1], b->mac[0], SP_MAC_LEN) == 0);
}

static bool is_same_key(const struct begun *a, const struct begun *b)
{
	bool icmp = a->proto == 1 || a->proto == 58;

	if (a->segment != b->segment || a->proto != b->proto || !is_same_way(a, b))
		return false;
	if (memcmp(a->key, b->key, sizeof(a->key)) == 0 &&
	    memcmp(a->addr, b->addr, sizeof(a->addr)) == 0)
		return true;
	return !icmp && a->key[0] == b->key[1] && a->key[1] == b->key[0] &&
	       a->key[0] != FRAGMENTED && memcmp(a->addr[0], b->addr[1], 16) == 0 &&
	       memcmp(a->addr[1], b->addr[0], 16) == 0;
}

/* Is it there, or may it begin? Ends are by who called. */
static bool find_begun(const struct begun *b, bool may_begin)
{
	for (size_t i = 0; i < n_begun; i++)
		if (memcmp(&begun[i], b, sizeof(*b)) == 0)
			return true;
	if (!may_begin)
		return false;
	/* It takes the place of one that other machines had, whichever of its ends has begun it. */
	for (size_t i = 0; i < n_begun; i++)
		if (is_same_key(&begun[i], b)) {
			begun[i] = *b;
			return true;
		}
	if (n_begun == BEGUN_MAX) {
		fputs("the model remembers no more: BEGUN_MAX\n", stderr);
		abort();
	}
	begun[n_begun++] = *b;
	return true;
}

static bool routes(uint32_t port)
{
	const struct world_machine *m = world_machine_of(port);

	return m && (m->flags & SP_M_ROUTER);
}

static struct begun begun_of(const struct told *t, uint32_t segment, uint32_t from, uint32_t to,
			     bool turn)
{
	struct begun b;

	memset(&b, 0, sizeof(b));
	b.segment = segment;
	b.proto = t->proto;
	b.ports[turn] = from;
	b.ports[!turn] = to;
	b.key[turn] = t->sport;
	b.key[!turn] = t->dport;
	memcpy(b.addr[turn], t->src, 16);
	memcpy(b.addr[!turn], t->dst, 16);
	if (routes(from) || routes(to)) {
		memcpy(b.mac[turn], t->b + SP_MAC_LEN, SP_MAC_LEN);
		memcpy(b.mac[!turn], t->b, SP_MAC_LEN);
	}
	return b;
}

/* That the first fragment of a datagram passed; it knows ports, and no ways. */
static struct begun fragments_of(const struct told *t, uint32_t segment, uint32_t from, uint32_t to)
{
	struct begun b = begun_of(t, segment, from, to, false);

	b.key[0] = b.key[1] = FRAGMENTED;
	memset(b.mac, 0, sizeof(b.mac));
	return b;
}

enum sp_reason model_firewall(const struct model_frame *f, uint32_t segment, uint32_t from,
			      uint32_t to)
{
	bool answer = false, same;
	uint8_t bytes[SHAPE_MAX];
	unsigned int request;
	struct begun b, back, fragments;
	struct told t;

	if (f->proto == 0x0806)
		return SP_R_NONE;
	t = model_read(f, bytes, model_bytes(f, bytes));
	if (t.bad)
		return SP_R_BAD_HEADERS;
	fragments = fragments_of(&t, segment, from, to);
	if (t.later)
		return find_begun(&fragments, false) ? SP_R_NONE : SP_R_FRAGMENT;
	if (t.proto == 58 && t.version == 6 && ((t.type >= 130 && t.type <= 137) || t.type == 143))
		return SP_R_NONE;
	same = memcmp(t.src, t.dst, 16) == 0;
	if (is_icmp(&t)) {
		if (is_icmp_error(&t)) /* what is drawn quotes nothing that was sent */
			return SP_R_RELATED;
		request = asked(&t, &answer);
		if (!request)
			return SP_R_FLOW_INVALID;
		b = begun_of(&t, segment, from, to, answer);
		b.key[0] = request << 8 | t.code;
		b.key[1] = (unsigned int)(t.upper[4] << 8 | t.upper[5]);
		if (!find_begun(&b, !answer && !same))
			return SP_R_FLOW_INVALID;
		if (t.more)
			find_begun(&fragments, true);
		return SP_R_NONE;
	}
	if (t.more && !same)
		find_begun(&fragments, true);
	back = begun_of(&t, segment, from, to, true);
	if (find_begun(&back, false))
		return SP_R_NONE;
	b = begun_of(&t, segment, from, to, false);
	return find_begun(&b, !same) ? SP_R_NONE : SP_R_FLOW_INVALID;
}

bool model_knows(const struct model_frame *f)
{
	static const uint8_t syn[12] = {0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff};
	uint8_t bytes[SHAPE_MAX];
	struct told t;

	if (f->proto != 0x0800 && f->proto != 0x86dd)
		return true;
	t = model_read(f, bytes, model_bytes(f, bytes));
	if (t.bad || t.later)
		return true;
	return !t.more && (t.proto != 6 || memcmp(t.upper + 4, syn, sizeof(syn)) == 0);
}
