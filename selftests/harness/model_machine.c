/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may a machine say, and who speaks for it while it sleeps? */
#include "model_machine.h"

#include <string.h>

#include "model_firewall.h"
#include "model_packet.h"
#include "shape.h"

static const uint8_t unspecified[16];

static bool starts(const uint8_t *a, const char *prefix, size_t n)
{
	return memcmp(a, prefix, n) == 0;
}

/* --- whose address --- */

static const struct world_address *listed(uint32_t segment, const uint8_t addr[16])
{
	for (size_t i = 0; i < world_n_addresses; i++) {
		uint8_t a[16];

		shape_address(world_addresses[i].text, a);
		if (world_addresses[i].segment == segment && memcmp(a, addr, 16) == 0)
			return &world_addresses[i];
	}
	return NULL;
}

static bool is_own(const struct world_machine *m, const uint8_t addr[16])
{
	const struct world_address *a = listed(m->segment, addr);
	bool link_local = addr[0] == 0xfe && addr[1] >= 0x80 && addr[1] <= 0xbf;

	if (a)
		return a->port == m->port;
	return !(m->flags & SP_M_PINNED) || link_local;
}

static bool is_of_a_host(const uint8_t a[16])
{
	static const uint8_t loopback[16] = {[15] = 1};

	if (starts(a, MODEL_MAPPED, 12))
		return a[12] != 127 && a[12] < 224 && (a[12] || a[13] || a[14] || a[15]);
	return a[0] != 0xff && memcmp(a, unspecified, 16) != 0 && memcmp(a, loopback, 16) != 0;
}

/* In an IPv6 packet. */
static bool is_of_a_host6(const uint8_t a[16])
{
	return !starts(a, MODEL_MAPPED, 12) && is_of_a_host(a);
}

void model_notice(const struct world *w, uint32_t port, uint32_t bit, const uint8_t *addr,
		  struct model_result *ret)
{
	struct model_notice *n = &ret->notices[ret->n_notices];

	if (!(w->watch[port] & bit))
		return;
	ret->n_notices++;
	memset(n, 0, sizeof(*n));
	n->kind = bit == SP_WATCH_TO	 ? SP_NOTICE_TO
		  : bit == SP_WATCH_FROM ? SP_NOTICE_FROM
					 : SP_NOTICE_ADDRESS;
	n->port = port;
	if (addr)
		memcpy(n->addr, addr, 16);
}

static void says_own(const struct world *w, const struct world_machine *m, const uint8_t addr[16],
		     struct model_result *ret)
{
	if (!listed(m->segment, addr))
		model_notice(w, m->port, SP_WATCH_ADDRESS, addr, ret);
}

/* --- what a machine may send --- */

static enum sp_reason guard_arp(const struct world *w, const struct world_machine *m,
				const uint8_t *b, struct model_result *ret)
{
	static const uint8_t form[6] = {0, 1, 8, 0, 6, 4};
	const uint8_t *arp = b + MODEL_ETH;
	unsigned int op = model_get16(arp + 6);
	uint8_t sender[16];

	if (memcmp(arp, form, sizeof(form)) != 0 || op < 1 || op > 2)
		return SP_R_BAD_HEADERS;
	if (memcmp(arp + 8, b + SP_MAC_LEN, SP_MAC_LEN) != 0)
		return SP_R_SPOOF_ARP;
	memcpy(sender, MODEL_MAPPED, 12);
	memcpy(sender + 12, arp + 14, 4);
	if (memcmp(arp + 14, "\0\0\0", 4) == 0)
		return op == 1 ? SP_R_NONE : SP_R_SPOOF_ARP;
	if (!is_of_a_host(sender) || !is_own(m, sender))
		return SP_R_SPOOF_ARP;
	says_own(w, m, sender, ret);
	return SP_R_NONE;
}

static enum sp_reason guard4(const struct world_machine *m, const struct told *t)
{
	bool router = m->flags & SP_M_ROUTER;
	bool discover = t->proto == 17 && !t->fragment && t->sport == 68 && t->dport == 67;
	bool nothing = memcmp(t->src + 12, "\0\0\0", 4) == 0;

	if (!router && !(is_of_a_host(t->src) && is_own(m, t->src)) && !(nothing && discover))
		return SP_R_SPOOF_IP;
	if (!(m->flags & SP_M_DHCP) && t->proto == 17 && t->dport == 68)
		return SP_R_DHCP_GUARD;
	if (!router && t->proto == 1 && !t->later && (t->type == 5 || t->type == 9))
		return SP_R_RA_GUARD;
	return SP_R_NONE;
}

static bool is_solicited_node(const uint8_t *a)
{
	return starts(a, "\xff\x02\0\0\0\0\0\0\0\0\0\x01\xff", 13);
}

static bool source6_ok(const struct world_machine *m, const struct told *t)
{
	if (memcmp(t->src, unspecified, 16) != 0)
		return is_of_a_host6(t->src) && is_own(m, t->src);
	if (t->proto != 58 || t->fragment || t->dst[0] != 0xff)
		return false;
	if (t->type == 135)
		return is_solicited_node(t->dst);
	return t->type == 133 || t->type == 131 || t->type == 132 || t->type == 143;
}

static enum sp_reason guard_nd_options(const struct told *t)
{
	static const size_t fixed[] = {8, 16, 24, 24, 40}; /* from RS on */
	size_t at = fixed[t->type - 133];
	int n = 0;

	if (t->upper_len < at)
		return SP_R_BAD_HEADERS;
	for (; at < t->upper_len; n++) {
		const uint8_t *o = t->upper + at;

		if (n == 16 || t->upper_len - at < 8 || o[1] == 0)
			return SP_R_BAD_HEADERS;
		if ((o[0] == 1 || o[0] == 2) &&
		    (o[1] != 1 || memcmp(o + 2, t->b + SP_MAC_LEN, SP_MAC_LEN) != 0 ||
		     memcmp(t->src, unspecified, 16) == 0))
			return SP_R_SPOOF_ND;
		at += o[1] * 8U;
	}
	return at > t->upper_len ? SP_R_BAD_HEADERS : SP_R_NONE;
}

static enum sp_reason guard_nd(const struct world *w, const struct world_machine *m,
			       const struct told *t, struct model_result *ret)
{
	enum sp_reason r = SP_R_NONE;

	if ((t->type == 134 || t->type == 137) && !(m->flags & SP_M_ROUTER))
		return SP_R_RA_GUARD;
	if (t->fragment)
		return SP_R_BAD_HEADERS;
	if (t->hops != 255 || !source6_ok(m, t))
		return SP_R_SPOOF_ND;
	if (t->type != 137)
		r = guard_nd_options(t);
	if (r)
		return r;
	if (t->type == 136) {
		if (!is_of_a_host6(t->upper + 8) || !is_own(m, t->upper + 8))
			return SP_R_SPOOF_ND;
		says_own(w, m, t->upper + 8, ret);
	} else if (memcmp(t->src, unspecified, 16) != 0) {
		says_own(w, m, t->src, ret);
	}
	return SP_R_NONE;
}

static enum sp_reason guard6(const struct world *w, const struct world_machine *m,
			     const struct told *t, struct model_result *ret)
{
	if (model_is_nd(t))
		return guard_nd(w, m, t, ret);
	if (!(m->flags & SP_M_ROUTER) && !source6_ok(m, t))
		return SP_R_SPOOF_IP;
	if (t->proto == 17 && t->dport == 546) {
		if (!(m->flags & SP_M_DHCP))
			return SP_R_DHCP_GUARD;
		if (t->fragment)
			return SP_R_BAD_HEADERS;
	}
	return SP_R_NONE;
}

enum sp_reason model_guard_machine(const struct world *w, const struct world_machine *m,
				   const struct model_frame *f, struct model_result *ret)
{
	uint8_t b[SHAPE_MAX];
	size_t n = model_bytes(f, b);
	struct told t;

	if (f->proto == 0x0806)
		return guard_arp(w, m, b, ret);
	t = model_read(f, b, n);
	if (t.bad)
		return SP_R_BAD_HEADERS;
	return t.version == 4 ? guard4(m, &t) : guard6(w, m, &t, ret);
}

/* --- answers in a machine's name --- */

/* Only of one that has SP_M_PROXY; SLEEPER NULL: of any. */
static const struct world_address *answered(uint32_t segment, const uint8_t target[16],
					    const struct world_machine *sleeper, uint32_t asker)
{
	const struct world_address *a = listed(segment, target);
	const struct world_machine *m = a ? world_machine_of(a->port) : NULL;

	if (!a || a->port == asker)
		return NULL;
	if (sleeper && a->port != sleeper->port)
		return NULL;
	return m->flags & SP_M_PROXY ? a : NULL;
}

static void answer_arp(const uint8_t *b, const struct world_address *a, struct model_result *ret)
{
	uint8_t *out = ret->answer;
	const uint8_t *mac = world_mac[a->mac];

	memcpy(out, b + 6, 6);
	memcpy(out + 6, mac, 6);
	memcpy(out + 12, "\x08\x06\0\x01\x08\0\x06\x04\0\x02", 10);
	memcpy(out + 22, mac, 6);
	memcpy(out + 28, b + 38, 4);
	memcpy(out + 32, b + 22, 10);
	ret->answer_len = 42;
}

static void answer_nd(const struct told *t, const struct world_address *a, struct model_result *ret)
{
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
	bool dad = memcmp(t->src, unspecified, 16) == 0;
	const uint8_t *mac = world_mac[a->mac];
	uint8_t *out = ret->answer, *na = out + 54;
	uint16_t sum;

	memset(out, 0, MODEL_ANSWER_MAX);
	memcpy(out, t->b + 6, 6);
	memcpy(out + 6, mac, 6);
	memcpy(out + 12, "\x86\xdd\x60\0\0\0\0\x20\x3a\xff", 10);
	memcpy(out + 22, t->upper + 8, 16);
	memcpy(out + 38, dad ? all_nodes : t->src, 16);
	na[0] = 136;
	na[4] = dad ? 0x20 : 0x60;
	if (world_machine_of(a->port)->flags & SP_M_ROUTER)
		na[4] |= 0x80;
	memcpy(na + 8, t->upper + 8, 16);
	na[24] = 2;
	na[25] = 1;
	memcpy(na + 26, mac, 6);
	sum = 0;
	for (int i = 22; i < 54; i += 2) {
		uint32_t s = (uint32_t)sum + model_get16(out + i);

		sum = (uint16_t)(s + (s >> 16));
	}
	sum = shape_checksum(na, 32, (uint32_t)sum + 32 + 58);
	na[2] = (uint8_t)(sum >> 8);
	na[3] = (uint8_t)sum;
	ret->answer_len = 86;
}

static bool ask_arp(const struct model_frame *f, const uint8_t *b, uint32_t segment,
		    const struct world_machine *sleeper, struct model_result *ret)
{
	const struct world_address *a;
	uint8_t target[16];

	if (f->gso_size || memcmp(b + 14, "\0\x01\x08\0\x06\x04\0\x01", 8) != 0)
		return false;
	memcpy(target, MODEL_MAPPED, 12);
	memcpy(target + 12, b + 38, 4);
	a = answered(segment, target, sleeper, ret->charged);
	if (a)
		answer_arp(b, a, ret);
	return a != NULL;
}

static bool ask_nd(const struct model_frame *f, const struct told *t, uint32_t segment,
		   const struct world_machine *sleeper, struct model_result *ret)
{
	const struct world_address *a;
	const uint8_t *target = t->upper + 8;
	bool group;

	if (f->gso_size || !model_is_nd(t) || t->type != 135 || t->code || t->fragment ||
	    t->hops != 255 || t->upper_len < 24 || !is_of_a_host6(target))
		return false;
	group = is_solicited_node(t->dst);
	if (memcmp(t->src, unspecified, 16) == 0) {
		if (!group)
			return false;
	} else if (!is_of_a_host6(t->src) || (!group && memcmp(t->dst, target, 16) != 0)) {
		return false;
	}
	a = answered(segment, target, sleeper, ret->charged);
	if (a)
		answer_nd(t, a, ret);
	return a != NULL;
}

bool model_answer_group(const struct model_frame *f, uint32_t segment, struct model_result *ret)
{
	uint8_t b[SHAPE_MAX];
	size_t n = model_bytes(f, b);
	struct told t;

	if (f->proto == 0x0806)
		return ask_arp(f, b, segment, NULL, ret);
	if (f->proto != 0x86dd || memcmp(f->dst, "\x33\x33\xff", 3) != 0)
		return false;
	t = model_read(f, b, n);
	return !t.bad && ask_nd(f, &t, segment, NULL, ret);
}

bool model_answer_one(const struct model_frame *f, uint32_t segment, const struct world_machine *m,
		      struct model_result *ret)
{
	uint8_t b[SHAPE_MAX];
	size_t n = model_bytes(f, b);
	struct told t;

	if (m == NULL || !(m->flags & SP_M_PROXY) || f->proto == 0x0800)
		return false;
	if (f->proto == 0x0806)
		return ask_arp(f, b, segment, m, ret);
	t = model_read(f, b, n);
	return !t.bad && ask_nd(f, &t, segment, m, ret);
}

void model_to_sleeper(const struct world *w, const struct model_frame *f, uint32_t segment,
		      const struct world_machine *m, struct model_result *ret)
{
	struct model_notice *notice = &ret->notices[ret->n_notices];
	uint8_t b[SHAPE_MAX];
	size_t n = model_bytes(f, b);
	struct told t;

	if (f->proto == 0x0806) {
		if (!ask_arp(f, b, segment, m, ret))
			ret->reason = SP_R_ASLEEP;
		return;
	}
	t = model_read(f, b, n);
	if (t.bad) {
		ret->reason = SP_R_BAD_HEADERS;
	} else if (model_is_nd(&t)) {
		if (!ask_nd(f, &t, segment, m, ret))
			ret->reason = SP_R_ASLEEP;
	} else if (f->gso_size || n > SP_PARK_LEN) {
		ret->reason = SP_R_ASLEEP;
	} else if (w->parked[m->port] >= m->park_max) {
		ret->reason = SP_R_PARK_FULL;
	} else if (ret->reason = model_firewall(
			   f, segment, world_machine_of(ret->charged) ? ret->charged : 0, m->port),
		   ret->reason == SP_R_NONE) {
		ret->parked = true;
		ret->n_notices++;
		memset(notice, 0, sizeof(*notice));
		notice->kind = SP_NOTICE_PARKED;
		notice->port = m->port;
		notice->from_port = ret->charged;
	}
}
