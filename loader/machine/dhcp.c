/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses does a DHCP or DHCPv6 message ask for, give, or give back? */
#include "dhcp.h"

#include <errno.h>
#include <string.h>

#include "addresses.h"

#define ETH_HLEN 14
#define UDP_HLEN 8
#define PROTO_UDP 17

/* Bytes that are left to read. */
struct span {
	const uint8_t *p;
	size_t n;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* The first N bytes of S, which goes on behind them; NULL: there are less. */
static const uint8_t *take(struct span *s, size_t n)
{
	const uint8_t *p = s->p;

	if (s->n < n)
		return NULL;
	s->p += n;
	s->n -= n;
	return p;
}

static bool is_unset(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static int add(struct dhcp_message *m, const uint8_t addr[16], uint32_t seconds)
{
	if (!address_is_unicast(addr))
		return -EBADMSG;
	for (size_t i = 0; i < m->n; i++)
		if (memcmp(m->addresses[i].addr, addr, 16) == 0)
			return -EBADMSG;
	if (m->n == SP_ADDRESSES_N)
		return -E2BIG;
	memcpy(m->addresses[m->n].addr, addr, 16);
	m->addresses[m->n++].seconds = seconds;
	return 0;
}

/* --- DHCP: RFC 2131 --- */

#define OPT_PAD 0
#define OPT_REQUESTED 50
#define OPT_LEASE_TIME 51
#define OPT_OVERLOAD 52
#define OPT_TYPE 53
#define OPT_SERVER 54
#define OPT_RAPID_COMMIT 80 /* RFC 4039 */
#define OPT_END 255

enum { DISCOVER = 1, REQUEST = 3, DECLINE = 4, ACK = 5, NAK = 6, RELEASE = 7 };

struct bootp {
	uint8_t op, htype, hlen, hops;
	uint8_t xid[4], secs[2], flags[2];
	uint8_t ciaddr[4], yiaddr[4], siaddr[4], giaddr[4];
	uint8_t chaddr[16];
	uint8_t sname[64], file[128];
	uint8_t cookie[4];
};

/* What we look for: where it is; NULL: it was not there. */
struct options {
	const uint8_t *requested, *lease_time, *overload, *type, *server;
	bool rapid_commit;
};

static int note_option(struct options *o, uint8_t code, const uint8_t *value, size_t len)
{
	const struct {
		uint8_t code;
		size_t len;
		const uint8_t **where;
	} known[] = {
		{OPT_REQUESTED, 4, &o->requested}, {OPT_LEASE_TIME, 4, &o->lease_time},
		{OPT_OVERLOAD, 1, &o->overload},   {OPT_TYPE, 1, &o->type},
		{OPT_SERVER, 4, &o->server},
	};

	if (code == OPT_RAPID_COMMIT)
		o->rapid_commit = true;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (known[i].code != code)
			continue;
		/* RFC 3396: two of them would be one that is too long. */
		if (len != known[i].len || *known[i].where)
			return -EBADMSG;
		*known[i].where = value;
	}
	return 0;
}

static int read_options(struct span s, struct options *o)
{
	while (s.n > 0) {
		uint8_t code = *take(&s, 1);
		const uint8_t *len, *value;
		int r;

		if (code == OPT_PAD)
			continue;
		if (code == OPT_END)
			break;
		len = take(&s, 1);
		value = len ? take(&s, *len) : NULL;
		if (!value)
			return -EBADMSG;
		r = note_option(o, code, value, *len);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Options may go on in the fields for names: RFC 2132, 9.3. */
static int read_all_options(const struct bootp *b, struct span rest, struct options *o)
{
	int r = read_options(rest, o);
	uint8_t overload = r == 0 && o->overload ? *o->overload : 0;

	if (overload & 1)
		r = read_options((struct span){b->file, sizeof(b->file)}, o);
	if (r == 0 && (overload & 2))
		r = read_options((struct span){b->sname, sizeof(b->sname)}, o);
	return r;
}

static int add4(struct dhcp_message *m, const uint8_t addr[4], uint32_t seconds)
{
	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};

	memcpy(mapped + 12, addr, 4);
	return add(m, mapped, seconds);
}

static int read_client4(const struct bootp *b, const struct options *o, struct dhcp_message *m)
{
	const uint8_t *addr = !is_unset(b->ciaddr, 4) ? b->ciaddr : o->requested;

	switch (*o->type) {
	case DISCOVER:
		m->kind = DHCP_ASKS;
		return o->rapid_commit ? 0 : -ENOMSG;
	case REQUEST:
		m->kind = DHCP_ASKS;
		return addr ? add4(m, addr, 0) : 0;
	case DECLINE:
	case RELEASE:
		m->kind = DHCP_RETURNS;
		return addr ? add4(m, addr, 0) : -EBADMSG;
	default:
		return -ENOMSG;
	}
}

static int read_server4(const struct bootp *b, const struct options *o, struct dhcp_message *m)
{
	switch (*o->type) {
	case ACK:
		m->kind = DHCP_GIVES;
		if (is_unset(b->yiaddr, 4)) /* to DHCPINFORM */
			return -ENOMSG;
		return o->lease_time ? add4(m, b->yiaddr, get32(o->lease_time)) : -EBADMSG;
	case NAK:
		m->kind = DHCP_REFUSES;
		return 0;
	default:
		return -ENOMSG;
	}
}

static int parse4(struct span s, bool to_server, struct dhcp_message *m)
{
	static const uint8_t cookie[4] = {99, 130, 83, 99};
	struct options o = {.type = NULL};
	struct bootp b;
	const uint8_t *p = take(&s, sizeof(b));
	int r;

	if (!p)
		return -EBADMSG;
	memcpy(&b, p, sizeof(b));
	if (b.op != (to_server ? 1 : 2) || b.htype != 1 || b.hlen != 6 ||
	    memcmp(b.cookie, cookie, sizeof(cookie)) != 0)
		return -ENOMSG;
	r = read_all_options(&b, s, &o);
	if (r < 0)
		return r;
	if (!o.type) /* BOOTP */
		return -ENOMSG;
	m->xid = get32(b.xid);
	memcpy(m->chaddr, b.chaddr, sizeof(m->chaddr));
	if (o.server)
		memcpy(m->server, o.server, sizeof(m->server));
	return to_server ? read_client4(&b, &o, m) : read_server4(&b, &o, m);
}

/* --- DHCPv6: RFC 8415 --- */

#define OPT6_IA_NA 3
#define OPT6_IA_TA 4
#define OPT6_IAADDR 5
#define OPT6_STATUS 13
#define OPT6_RAPID_COMMIT 14

enum { SOLICIT = 1, REQUEST6 = 3, RENEW = 5, REBIND = 6, REPLY = 7, RELEASE6 = 8, DECLINE6 = 9 };

struct option6 {
	uint16_t code;
	struct span value;
};

/* The next option: 1; 0 at the end. */
static int next_option6(struct span *s, struct option6 *ret)
{
	const uint8_t *head, *value;

	if (s->n == 0)
		return 0;
	head = take(s, 4);
	value = head ? take(s, get16(head + 2)) : NULL;
	if (!value)
		return -EBADMSG;
	*ret = (struct option6){get16(head), {value, get16(head + 2)}};
	return 1;
}

/* Does a status among these options say that it was not done? Negative: they cannot be read. */
static int has_failed(struct span s)
{
	struct option6 o;
	int r;

	while ((r = next_option6(&s, &o)) > 0) {
		if (o.code != OPT6_STATUS)
			continue;
		if (o.value.n < 2)
			return -EBADMSG;
		if (get16(o.value.p))
			return 1;
	}
	return r;
}

static int read_iaaddr(struct span s, struct dhcp_message *m)
{
	const uint8_t *p = take(&s, 24);
	int r = p ? has_failed(s) : -EBADMSG;

	if (r < 0)
		return r;
	/* The valid lifetime: until then packets may have it as their source. */
	return r > 0 ? 0 : add(m, p, get32(p + 20));
}

/* FIXED: the bytes before its options. */
static int read_ia(struct span s, size_t fixed, struct dhcp_message *m)
{
	struct option6 o;
	int r = take(&s, fixed) ? has_failed(s) : -EBADMSG;

	if (r != 0)
		return r < 0 ? r : 0;
	while ((r = next_option6(&s, &o)) > 0)
		if (o.code == OPT6_IAADDR) {
			r = read_iaaddr(o.value, m);
			if (r < 0)
				return r;
		}
	return r;
}

/* Of IA_PD nothing: a prefix is for who routes, and no address to send by. */
static int read_options6(struct span s, struct dhcp_message *m, bool *ret_rapid)
{
	struct option6 o;
	int r;

	while ((r = next_option6(&s, &o)) > 0) {
		if (o.code == OPT6_RAPID_COMMIT)
			*ret_rapid = true;
		if (o.code == OPT6_IA_NA)
			r = read_ia(o.value, 12, m);
		if (o.code == OPT6_IA_TA)
			r = read_ia(o.value, 4, m);
		if (r < 0)
			return r;
	}
	return r;
}

/* What it says, if it says it of addresses. */
static int kind6(uint8_t type, bool rapid, const struct dhcp_message *m)
{
	switch (type) {
	case SOLICIT:
		return rapid ? DHCP_ASKS : -ENOMSG;
	case REQUEST6:
	case RENEW:
	case REBIND:
		return DHCP_ASKS;
	case RELEASE6:
	case DECLINE6:
		return m->n ? DHCP_RETURNS : -ENOMSG;
	case REPLY:
		return m->n ? DHCP_GIVES : -ENOMSG;
	default:
		return -ENOMSG;
	}
}

static int parse6(struct span s, bool to_server, struct dhcp_message *m)
{
	const uint8_t *p = take(&s, 4);
	bool rapid = false;
	int r;

	if (!p)
		return -EBADMSG;
	if ((p[0] == REPLY) == to_server || p[0] > DECLINE6) /* relays' are of another form */
		return -ENOMSG;
	m->v6 = true;
	m->xid = get32(p) & 0xffffff;
	r = has_failed(s);
	if (r != 0)
		return r < 0 ? r : -ENOMSG;
	r = read_options6(s, m, &rapid);
	r = r < 0 ? r : kind6(p[0], rapid, m);
	if (r < 0)
		return r;
	m->kind = (enum dhcp_kind)r;
	if (m->kind == DHCP_ASKS) /* what it would like: nothing that we compare */
		m->n = 0;
	return 0;
}

/* --- frames --- */

/* S is an IPv4 packet: what is in it, without padding. */
static int enter_ip4(struct span *s)
{
	size_t header, total;

	if (s->n < 20)
		return -EBADMSG;
	header = (s->p[0] & 0xf) * 4U;
	total = get16(s->p + 2);
	if (s->p[0] >> 4 != 4 || header < 20 || total < header || total > s->n)
		return -EBADMSG;
	if (s->p[9] != PROTO_UDP || (get16(s->p + 6) & 0x3fff))
		return -ENOMSG;
	*s = (struct span){s->p + header, total - header};
	return 0;
}

/* Without extension headers: DHCPv6 has none. */
static int enter_ip6(struct span *s)
{
	if (s->n < 40 || s->p[0] >> 4 != 6 || get16(s->p + 4) > s->n - 40)
		return -EBADMSG;
	if (s->p[6] != PROTO_UDP)
		return -ENOMSG;
	*s = (struct span){s->p + 40, get16(s->p + 4)};
	return 0;
}

static int enter_udp(struct span *s, uint16_t *ret_port)
{
	size_t len;

	if (s->n < UDP_HLEN)
		return -EBADMSG;
	len = get16(s->p + 4);
	if (len < UDP_HLEN || len > s->n)
		return -EBADMSG;
	*ret_port = get16(s->p + 2);
	*s = (struct span){s->p + UDP_HLEN, len - UDP_HLEN};
	return 0;
}

int dhcp_parse(const uint8_t *frame, size_t len, struct dhcp_message *ret)
{
	struct span s = {frame, len};
	struct dhcp_message m = {.n = 0};
	const uint8_t *eth = take(&s, ETH_HLEN);
	uint16_t type, port = 0;
	int r;

	if (!eth)
		return -EBADMSG;
	type = get16(eth + 12);
	r = type == 0x0800 ? enter_ip4(&s) : type == 0x86dd ? enter_ip6(&s) : -ENOMSG;
	r = r ?: enter_udp(&s, &port);
	if (r < 0)
		return r;
	if (type == 0x0800)
		r = port == 67 || port == 68 ? parse4(s, port == 67, &m) : -ENOMSG;
	else
		r = port == 546 || port == 547 ? parse6(s, port == 547, &m) : -ENOMSG;
	if (r == 0)
		*ret = m;
	return r;
}
