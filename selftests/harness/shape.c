/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bytes are the frame that a row of a table tells of? */
#include "shape.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETH 14
#define IP4 20
#define IP6 40

struct out {
	uint8_t *p;
	size_t n;
};

static void put(struct out *o, const void *data, size_t n)
{
	if (o->n + n > SHAPE_MAX) {
		fprintf(stderr, "shape: longer than %d bytes\n", SHAPE_MAX);
		exit(1);
	}
	memcpy(o->p + o->n, data, n);
	o->n += n;
}

static void put8(struct out *o, unsigned int v)
{
	uint8_t b = (uint8_t)v;

	put(o, &b, 1);
}

static void put16(struct out *o, unsigned int v)
{
	put8(o, v >> 8);
	put8(o, v & 0xff);
}

static void put32(struct out *o, uint32_t v)
{
	put16(o, v >> 16);
	put16(o, v & 0xffff);
}

static void set16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static bool is_ip6(const char *text)
{
	return strchr(text, ':') != NULL;
}

void shape_address(const char *text, uint8_t ret[16])
{
	memset(ret, 0, 16);
	ret[10] = ret[11] = 0xff;
	if (inet_pton(is_ip6(text) ? AF_INET6 : AF_INET, text, is_ip6(text) ? ret : ret + 12) == 1)
		return;
	fprintf(stderr, "shape: '%s': expected an IP address\n", text);
	exit(1);
}

static void put_address(struct out *o, const char *text)
{
	uint8_t a[16];

	shape_address(text, a);
	put(o, is_ip6(text) ? a : a + 12, is_ip6(text) ? 16 : 4);
}

static uint32_t sum_up(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

uint16_t shape_checksum(const uint8_t *p, size_t n, uint32_t sum)
{
	return (uint16_t)~fold(sum_up(p, n, sum));
}

/* --- ARP --- */

static void put_arp(struct out *o, const struct shape *s)
{
	static const uint8_t nobody[6];

	put16(o, s->how & SHAPE_OPTIONS ? 6 : 1);
	put16(o, s->how & SHAPE_VERSION ? 0x86dd : 0x0800);
	put8(o, s->how & SHAPE_ZERO_OPTION ? 8 : 6);
	put8(o, 4);
	put16(o, s->a);
	put(o, s->lla, 6);
	put_address(o, s->src);
	put(o, s->tha ? s->tha : nobody, 6);
	put_address(o, s->dst);
}

/* --- the upper layer --- */

static void put_data(struct out *o, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put8(o, (unsigned int)(i * 7 + 3));
}

static unsigned int icmp_type(const struct shape *s)
{
	switch (s->kind) {
	case SHAPE_RS:
		return 133;
	case SHAPE_RA:
		return 134;
	case SHAPE_NS:
		return 135;
	case SHAPE_NA:
		return 136;
	case SHAPE_REDIRECT:
		return 137;
	default:
		return s->a;
	}
}

static bool is_nd(const struct shape *s)
{
	return s->kind >= SHAPE_RS && s->kind <= SHAPE_REDIRECT;
}

static void put_nonce(struct out *o)
{
	static const uint8_t nonce[8] = {14, 1, 1, 2, 3, 4, 5, 6};

	put(o, nonce, sizeof(nonce));
}

static void put_nd_options(struct out *o, const struct shape *s)
{
	static const uint8_t more[8];
	bool of_target = s->kind == SHAPE_NA || s->kind == SHAPE_REDIRECT;

	for (int i = 0; s->how & SHAPE_MANY_OPTIONS && i < 17; i++)
		put_nonce(o);
	if (s->how & SHAPE_NONCE)
		put_nonce(o);
	if (s->how & SHAPE_ZERO_OPTION)
		put(o, more, sizeof(more));
	if (s->lla) {
		put8(o, s->lla_type ? s->lla_type : of_target ? 2 : 1);
		put8(o, s->how & SHAPE_LLA_LONG ? 2 : s->how & SHAPE_OPTION_PAST ? 3 : 1);
		put(o, s->lla, 6);
		if (s->how & SHAPE_LLA_LONG)
			put(o, more, sizeof(more));
	}
}

static void put_nd(struct out *o, const struct shape *s)
{
	put8(o, icmp_type(s));
	put8(o, s->b);
	put16(o, 0);
	put32(o, s->kind == SHAPE_NA ? (uint32_t)s->nd_flags << 24 : 0);
	if (s->kind == SHAPE_RA)
		put_data(o, 8);
	else if (s->kind != SHAPE_RS)
		put_address(o, s->target);
	if (s->kind == SHAPE_REDIRECT)
		put_address(o, s->dst);
	put_nd_options(o, s);
}

static unsigned int protocol(const struct shape *s)
{
	switch (s->kind) {
	case SHAPE_UDP:
		return 17;
	case SHAPE_TCP:
		return 6;
	case SHAPE_OTHER:
		return s->a;
	default:
		return is_ip6(s->src) ? 58 : 1;
	}
}

/* Where its checksum is; 0: it has none. */
static size_t checksum_place(unsigned int proto)
{
	return proto == 6 ? 16 : proto == 17 ? 6 : proto == 1 || proto == 58 ? 2 : 0;
}

static void put_upper(struct out *o, const struct shape *s)
{
	static const uint8_t sequence[8] = {0, 0, 0, 1, 0, 0, 0, 0};

	switch (s->kind) {
	case SHAPE_UDP:
		put16(o, s->a);
		put16(o, s->b);
		put16(o, 8U + s->data + (s->how & SHAPE_UDP_LONG ? 1000 : 0));
		put16(o, 0);
		break;
	case SHAPE_TCP:
		put16(o, s->a);
		put16(o, s->b);
		put(o, sequence, sizeof(sequence));
		put16(o, s->how & SHAPE_IHL ? 0x4002 : 0x5002); /* SYN */
		put16(o, 65535);
		put32(o, 0);
		break;
	case SHAPE_ICMP:
		put8(o, s->a);
		put8(o, s->b);
		put16(o, 0);
		put32(o, 0x12340001);
		break;
	case SHAPE_OTHER:
		put_data(o, 8);
		break;
	default:
		put_nd(o, s);
		break;
	}
	put_data(o, s->data);
}

/* What TCP, UDP and ICMPv6 sum up besides themselves. */
static uint32_t pseudo_sum(const uint8_t *addresses, size_t n, unsigned int proto, size_t len)
{
	return sum_up(addresses, n, proto + (uint32_t)len);
}

static void set_checksum(uint8_t *upper, size_t n, unsigned int proto, uint32_t pseudo,
			 bool partial)
{
	size_t place = checksum_place(proto);
	uint16_t check;

	if (!place)
		return;
	set16(upper + place, 0);
	if (proto == 1)
		pseudo = 0;
	check = partial ? fold(pseudo) : shape_checksum(upper, n, pseudo);
	if (proto == 17 && check == 0)
		check = 0xffff;
	set16(upper + place, check);
}

/* --- IPv4 --- */

static unsigned int fragment4(const struct shape *s)
{
	if (s->how & SHAPE_FIRST)
		return 0x2000;
	if (s->how & SHAPE_TINY)
		return 1;
	return s->how & SHAPE_LATER ? 1480 / 8 : 0x4000;
}

static void put_ip4(struct out *o, const struct shape *s)
{
	static const uint8_t options[4] = {1, 1, 1, 0};
	uint8_t *ip = o->p + o->n;
	size_t header = s->how & SHAPE_OPTIONS ? 24 : 20, total;
	uint8_t *upper = ip + header;

	put8(o,
	     (s->how & SHAPE_VERSION ? 0x50U : 0x40U) |
		     (s->how & SHAPE_IHL && s->kind != SHAPE_TCP ? 4U : (unsigned int)header / 4));
	put8(o, 0);
	put16(o, 0);
	put16(o, 0x4242);
	put16(o, fragment4(s));
	put8(o, s->hops ? s->hops : 64);
	put8(o, protocol(s));
	put16(o, 0);
	put_address(o, s->src);
	put_address(o, s->dst);
	if (header > IP4)
		put(o, options, sizeof(options));
	put_upper(o, s);
	total = (size_t)(o->p + o->n - ip);
	set_checksum(upper, total - header, protocol(s),
		     pseudo_sum(ip + 12, 8, protocol(s), total - header), s->how & SHAPE_PARTIAL);
	if (!(s->how & SHAPE_NO_LENGTH))
		set16(ip + 2, (unsigned int)total + !!(s->how & SHAPE_LENGTH_PLUS));
	set16(ip + 10, shape_checksum(ip, header, 0));
}

/* --- IPv6 --- */

/* The extension headers, and what is behind them: each names the next. */
static void put_chain(struct out *o, const struct shape *s, uint8_t *next)
{
	static const uint8_t alert[6] = {5, 2, 0, 0, 1, 0}, padding[6] = {1, 4, 0, 0, 0, 0};
	static const uint8_t auth[14] = {0, 0, 0, 0, 1, 0, 0, 0, 1};
	int fragments = s->how & SHAPE_FRAGMENT_TWICE			      ? 2
			: s->how & (SHAPE_FIRST | SHAPE_LATER | SHAPE_ATOMIC) ? 1
									      : 0;
	int paddings = s->how & SHAPE_LONG_CHAIN ? 9 : s->how & SHAPE_DST_OPTIONS ? 1 : 0;

	if (s->how & SHAPE_HOP) {
		*next = 0;
		next = o->p + o->n;
		put16(o, 0);
		put(o, alert, sizeof(alert));
	}
	for (int i = 0; i < fragments; i++) {
		*next = 44;
		next = o->p + o->n;
		put16(o, 0);
		put16(o, (s->how & SHAPE_LATER ? 1480U : 0) | !!(s->how & SHAPE_FIRST));
		put32(o, 0x42424242);
	}
	for (int i = 0; i < paddings; i++) {
		*next = 60;
		next = o->p + o->n;
		put16(o, 0);
		put(o, padding, sizeof(padding));
	}
	if (s->how & SHAPE_AUTH) {
		*next = 51;
		next = o->p + o->n;
		put8(o, 0);
		put8(o, 2); /* 16 bytes */
		put(o, auth, sizeof(auth));
	}
	*next = (uint8_t)protocol(s);
}

static unsigned int hops6(const struct shape *s)
{
	if (s->hops)
		return s->hops;
	if (is_nd(s))
		return 255;
	return s->kind == SHAPE_ICMP && (s->a == 131 || s->a == 132 || s->a == 143) ? 1 : 64;
}

static void put_ip6(struct out *o, const struct shape *s)
{
	uint8_t *ip = o->p + o->n, *upper;
	size_t payload, len;

	put32(o, s->how & SHAPE_VERSION ? 0x50000000 : 0x60000000);
	put16(o, 0);
	put8(o, 0);
	put8(o, hops6(s));
	put_address(o, s->src);
	put_address(o, s->dst);
	put_chain(o, s, ip + 6);
	upper = o->p + o->n;
	put_upper(o, s);
	len = (size_t)(o->p + o->n - upper);
	payload = (size_t)(o->p + o->n - ip) - IP6;
	set_checksum(upper, len, protocol(s), pseudo_sum(ip + 8, 32, protocol(s), len),
		     s->how & SHAPE_PARTIAL);
	if (!(s->how & SHAPE_NO_LENGTH))
		set16(ip + 4, (unsigned int)payload + !!(s->how & SHAPE_LENGTH_PLUS));
}

size_t shape_bytes(const struct shape *s, const uint8_t dst[6], const uint8_t src[6],
		   uint8_t buf[SHAPE_MAX])
{
	struct out o = {.p = buf};

	put(&o, dst, 6);
	put(&o, src, 6);
	put16(&o, s->kind == SHAPE_ARP ? 0x0806 : is_ip6(s->src) ? 0x86dd : 0x0800);
	if (s->kind == SHAPE_ARP)
		put_arp(&o, s);
	else if (is_ip6(s->src))
		put_ip6(&o, s);
	else
		put_ip4(&o, s);
	return o.n;
}

/* --- the other way --- */

int shape_checksums_right(const uint8_t *frame, size_t len)
{
	bool six = frame[12] == 0x86;
	const uint8_t *ip = frame + ETH, *upper;
	size_t n, header = six ? IP6 : (ip[0] & 15U) * 4;
	unsigned int proto = six ? ip[6] : ip[9];
	uint32_t pseudo;

	if (len < ETH + header)
		return 0;
	n = six ? (size_t)(ip[4] << 8 | ip[5]) : (size_t)(ip[2] << 8 | ip[3]) - header;
	if (ETH + header + n > len)
		return 0;
	upper = ip + header;
	pseudo = six ? pseudo_sum(ip + 8, 32, proto, n) : pseudo_sum(ip + 12, 8, proto, n);
	if (!six && shape_checksum(ip, header, 0) != 0)
		return 0;
	return !checksum_place(proto) || shape_checksum(upper, n, proto == 1 ? 0 : pseudo) == 0;
}
