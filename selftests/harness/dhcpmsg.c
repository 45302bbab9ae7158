/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DHCP and DHCPv6 messages as tests write them. */
#include "dhcpmsg.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define ETH 14
#define IP4 20
#define IP6 40
#define UDP 8

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* The lengths that depend on how long it is by now. */
static void seal(struct dhcpmsg *m)
{
	if (m->frame[13] == 0) {
		put16(m->frame + ETH + 2, m->len - ETH);
		put16(m->frame + ETH + IP4 + 4, m->len - ETH - IP4);
	} else {
		put16(m->frame + ETH + 4, m->len - ETH - IP6);
		put16(m->frame + ETH + IP6 + 4, m->len - ETH - IP6);
	}
}

static void append(struct dhcpmsg *m, const void *p, size_t n)
{
	assert(m->len + n <= sizeof(m->frame));
	if (n)
		memcpy(m->frame + m->len, p, n);
	m->len += n;
	seal(m);
}

void dhcpmsg_v4(struct dhcpmsg *m, uint8_t type, uint32_t xid, const uint8_t mac[6],
		const char *ciaddr, const char *yiaddr)
{
	int server = type == 2 || type == 5 || type == 6;
	uint8_t *ip = m->frame + ETH, *udp = ip + IP4, *b = udp + UDP;

	*m = (struct dhcpmsg){.len = ETH + IP4 + UDP + 240};
	put16(m->frame + 12, 0x0800);
	memset(m->frame, 0xff, 6);
	ip[0] = 0x45;
	ip[8] = 64;
	ip[9] = 17;
	put16(udp, server ? 67 : 68);
	put16(udp + 2, server ? 68 : 67);
	b[0] = server ? 2 : 1;
	b[1] = 1;
	b[2] = 6;
	put32(b + 4, xid);
	if (ciaddr)
		inet_pton(AF_INET, ciaddr, b + 12);
	if (yiaddr)
		inet_pton(AF_INET, yiaddr, b + 16);
	memcpy(b + 28, mac, 6);
	memcpy(b + 236, "\x63\x82\x53\x63", 4);
	dhcpmsg_option(m, 53, &type, 1);
}

void dhcpmsg_option(struct dhcpmsg *m, uint8_t code, const void *value, size_t n)
{
	const uint8_t head[2] = {code, (uint8_t)n};

	append(m, head, code == 0 || code == 255 ? 1 : 2);
	append(m, value, n);
}

void dhcpmsg_option_addr(struct dhcpmsg *m, uint8_t code, const char *addr)
{
	uint8_t v[4];

	inet_pton(AF_INET, addr, v);
	dhcpmsg_option(m, code, v, sizeof(v));
}

void dhcpmsg_option_u32(struct dhcpmsg *m, uint8_t code, uint32_t value)
{
	uint8_t v[4];

	put32(v, value);
	dhcpmsg_option(m, code, v, sizeof(v));
}

void dhcpmsg_v6(struct dhcpmsg *m, uint8_t type, uint32_t xid)
{
	int server = type == 2 || type == 7 || type == 10;
	uint8_t *ip = m->frame + ETH, *udp = ip + IP6;

	*m = (struct dhcpmsg){.len = ETH + IP6 + UDP + 4};
	put16(m->frame + 12, 0x86dd);
	ip[0] = 0x60;
	ip[6] = 17;
	ip[7] = 1;
	put16(udp, server ? 547 : 546);
	put16(udp + 2, server ? 546 : 547);
	put32(udp + UDP, xid);
	udp[UDP] = type;
	seal(m);
}

void dhcpmsg_option6(struct dhcpmsg *m, uint16_t code, const void *value, size_t n)
{
	uint8_t head[4];

	put16(head, code);
	put16(head + 2, n);
	append(m, head, sizeof(head));
	append(m, value, n);
}

void dhcpmsg_ia(struct dhcpmsg *m, const char *addr, uint32_t valid, uint16_t status)
{
	uint8_t v[12 + 28 + 6] = {[3] = 1};
	size_t n = 12;

	if (addr) {
		put16(v + n, 5);
		put16(v + n + 2, 24);
		inet_pton(AF_INET6, addr, v + n + 4);
		put32(v + n + 20, valid / 2);
		put32(v + n + 24, valid);
		n += 28;
	}
	if (status) {
		put16(v + n, 13);
		put16(v + n + 2, 2);
		put16(v + n + 4, status);
		n += 6;
	}
	dhcpmsg_option6(m, 3, v, n);
}
