/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may a machine say, who speaks for it while it sleeps, and what does the firewall let pass?
 *
 * It stays simple: model_knows says which frames it does not judge. Those are TCP other than one
 * SYN (states and windows: test_conntrack.c), and first fragments: which of them the program still
 * remembers is a matter of its places and of 30 s (flow_rows.h, test_conntrack.c). No flow ends by
 * time, no policy is there but the default, and no error quotes what was sent (flow_rows.h).
 */
#include "model_machine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shape.h"

#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff"
static const uint8_t unspecified[16];

/* --- a packet, read as plainly as can be --- */

struct told {
	const uint8_t *b; /* the frame */
	size_t n;
	bool bad; /* cannot be read to its end */
	int version;
	uint8_t src[16], dst[16];
	unsigned int hops, proto;
	bool fragment, later, more;
	const uint8_t *upper;
	size_t upper_len;
	unsigned int sport, dport, type, code;
};

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static bool starts(const uint8_t *a, const char *prefix, size_t n)
{
	return memcmp(a, prefix, n) == 0;
}

static void read_upper(struct told *t)
{
	static const struct {
		int version; /* 0: both */
		unsigned int proto;
		size_t least;
		bool ports;
	} known[] = {
		{0, 6, 20, true},  {0, 17, 8, true}, {0, 136, 8, true}, {0, 132, 12, true},
		{0, 33, 12, true}, {4, 1, 8, false}, {6, 58, 8, false},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known) && !t->later; i++) {
		const uint8_t *u = t->upper;

		if (known[i].proto != t->proto ||
		    (known[i].version && known[i].version != t->version))
			continue;
		if (t->upper_len < known[i].least) {
			t->bad = true;
			return;
		}
		if (!known[i].ports) {
			t->type = u[0];
			t->code = u[1];
			return;
		}
		t->sport = get16(u);
		t->dport = get16(u + 2);
		if (t->proto == 6)
			t->bad = (u[12] >> 4) < 5 || (size_t)(u[12] >> 4) * 4 > t->upper_len;
		if (t->proto == 17)
			t->bad = get16(u + 4) < 8 || (!t->fragment && get16(u + 4) > t->upper_len);
	}
}

/* The length that the header says; one of a frame to be cut up may say nothing. */
static size_t length(unsigned int stated, size_t there, const struct model_frame *f)
{
	return stated == 0 && f->gso_size ? there : stated;
}

static void read4(struct told *t, const struct model_frame *f)
{
	const uint8_t *ip = t->b + MODEL_ETH;
	size_t there = t->n - MODEL_ETH;
	size_t header = (ip[0] % 16U) * 4, total = length(get16(ip + 2), there, f);

	t->version = 4;
	if (ip[0] / 16 != 4 || header < 20 || total < header || total > there) {
		t->bad = true;
		return;
	}
	memcpy(t->src, MAPPED, 12);
	memcpy(t->dst, MAPPED, 12);
	memcpy(t->src + 12, ip + 12, 4);
	memcpy(t->dst + 12, ip + 16, 4);
	t->hops = ip[8];
	t->proto = ip[9];
	t->later = get16(ip + 6) % 0x2000 != 0;
	t->more = ip[6] & 0x20;
	t->fragment = t->later || t->more;
	t->upper = ip + header;
	t->upper_len = total - header;
	if (t->proto == 6 && get16(ip + 6) % 0x2000 == 1)
		t->bad = true;
	else
		read_upper(t);
}

static bool has_next(unsigned int proto)
{
	static const uint8_t headers[] = {0, 43, 44, 51, 60, 135, 139, 140};

	return memchr(headers, (int)proto, sizeof(headers)) != NULL;
}

static void read6(struct told *t, const struct model_frame *f)
{
	const uint8_t *ip = t->b + MODEL_ETH, *at = ip + 40;
	size_t there = t->n - MODEL_ETH - 40, payload = length(get16(ip + 4), there, f);
	size_t left = payload;
	int walked = 0;

	t->version = 6;
	if (ip[0] / 16 != 6 || payload > there) {
		t->bad = true;
		return;
	}
	memcpy(t->src, ip + 8, 16);
	memcpy(t->dst, ip + 24, 16);
	t->hops = ip[7];
	t->proto = ip[6];
	while (has_next(t->proto) && !t->later) {
		size_t len;

		if (++walked > 8 || left < 8 || (t->proto == 44 && t->fragment)) {
			t->bad = true;
			return;
		}
		len = t->proto == 44 ? 8 : t->proto == 51 ? (at[1] + 2U) * 4 : (at[1] + 1U) * 8;
		if (t->proto == 44) {
			t->fragment = true;
			t->later = get16(at + 2) >= 8;
			t->more = at[3] & 1;
		}
		if (len > left) {
			t->bad = true;
			return;
		}
		t->proto = at[0];
		at += len;
		left -= len;
	}
	t->upper = at;
	t->upper_len = left;
	if (t->proto == 253 || t->proto == 254)
		t->bad = true;
	else
		read_upper(t);
}

/* B is long enough for a header of its ethertype. */
static struct told read_packet(const struct model_frame *f, const uint8_t *b, size_t n)
{
	struct told t = {.b = b, .n = n};

	if (f->proto == 0x0800)
		read4(&t, f);
	else
		read6(&t, f);
	return t;
}

static bool is_nd(const struct told *t)
{
	return t->version == 6 && t->proto == 58 && t->type >= 133 && t->type <= 137;
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

	if (starts(a, MAPPED, 12))
		return a[12] != 127 && a[12] < 224 && (a[12] || a[13] || a[14] || a[15]);
	return a[0] != 0xff && memcmp(a, unspecified, 16) != 0 && memcmp(a, loopback, 16) != 0;
}

/* In an IPv6 packet. */
static bool is_of_a_host6(const uint8_t a[16])
{
	return !starts(a, MAPPED, 12) && is_of_a_host(a);
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
	unsigned int op = get16(arp + 6);
	uint8_t sender[16];

	if (memcmp(arp, form, sizeof(form)) != 0 || op < 1 || op > 2)
		return SP_R_BAD_HEADERS;
	if (memcmp(arp + 8, b + SP_MAC_LEN, SP_MAC_LEN) != 0)
		return SP_R_SPOOF_ARP;
	memcpy(sender, MAPPED, 12);
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
	if (is_nd(t))
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
	t = read_packet(f, b, n);
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
		uint32_t s = (uint32_t)sum + get16(out + i);

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
	memcpy(target, MAPPED, 12);
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

	if (f->gso_size || !is_nd(t) || t->type != 135 || t->code || t->fragment ||
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
	t = read_packet(f, b, n);
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
	t = read_packet(f, b, n);
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
	t = read_packet(f, b, n);
	if (t.bad) {
		ret->reason = SP_R_BAD_HEADERS;
	} else if (is_nd(&t)) {
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

/* --- the firewall --- */

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
	t = read_packet(f, bytes, model_bytes(f, bytes));
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

bool model_readable(const struct model_frame *f)
{
	uint8_t bytes[SHAPE_MAX];

	return f->proto == 0x0806 || !read_packet(f, bytes, model_bytes(f, bytes)).bad;
}

bool model_knows(const struct model_frame *f)
{
	static const uint8_t syn[12] = {0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff};
	uint8_t bytes[SHAPE_MAX];
	struct told t;

	if (f->proto != 0x0800 && f->proto != 0x86dd)
		return true;
	t = read_packet(f, bytes, model_bytes(f, bytes));
	if (t.bad || t.later)
		return true;
	return !t.more && (t.proto != 6 || memcmp(t.upper + 4, syn, sizeof(syn)) == 0);
}
