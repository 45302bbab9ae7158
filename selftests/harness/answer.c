/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must a sender be told whose frame was rejected? */
#include "answer.h"

#include <stdbool.h>
#include <string.h>

#include "shape.h"

#define ETH 14

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void set16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void set32(uint8_t *p, uint32_t v)
{
	set16(p, v >> 16);
	set16(p + 2, v & 0xffff);
}

static size_t ip_header(const uint8_t *frame, unsigned int proto, size_t upper, uint8_t *ip)
{
	const uint8_t *old = frame + ETH;

	if (frame[12] == 0x08) {
		memset(ip, 0, 20);
		ip[0] = 0x45;
		set16(ip + 2, (unsigned int)(20 + upper));
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = (uint8_t)proto;
		memcpy(ip + 12, old + 16, 4);
		memcpy(ip + 16, old + 12, 4);
		set16(ip + 10, shape_checksum(ip, 20, 0));
		return 20;
	}
	memset(ip, 0, 8);
	ip[0] = 0x60;
	set16(ip + 4, (unsigned int)upper);
	ip[6] = (uint8_t)proto;
	ip[7] = 64;
	memcpy(ip + 8, old + 24, 16);
	memcpy(ip + 24, old + 8, 16);
	return 40;
}

/* The sum that TCP and ICMPv6 begin with. */
static uint32_t pseudo(const uint8_t *ip, bool six, unsigned int proto, size_t upper)
{
	const uint8_t *addresses = six ? ip + 8 : ip + 12;
	uint32_t sum = proto + (uint32_t)upper;

	for (size_t i = 0; i < (six ? 32 : 8); i += 2)
		sum += (uint32_t)addresses[i] << 8 | addresses[i + 1];
	return sum;
}

static size_t reset(const uint8_t *frame, size_t len, size_t l4, uint8_t *ret)
{
	const uint8_t *old = frame + l4;
	bool six = frame[12] == 0x86;
	size_t end = six ? ETH + 40U + (size_t)(frame[ETH + 4] << 8 | frame[ETH + 5])
			 : ETH + (size_t)(frame[ETH + 2] << 8 | frame[ETH + 3]);
	uint32_t data = (uint32_t)(end - l4 - (old[12] >> 4) * 4U);
	uint8_t *ip = ret + ETH, *tcp = ip + ip_header(frame, 6, 20, ip);

	memset(tcp, 0, 20);
	memcpy(tcp, old + 2, 2);
	memcpy(tcp + 2, old, 2);
	tcp[12] = 0x50;
	if (old[13] & 0x10) {
		set32(tcp + 4, get32(old + 8));
		tcp[13] = 0x04;
	} else {
		set32(tcp + 8, get32(old + 4) + data + !!(old[13] & 2) + !!(old[13] & 1));
		tcp[13] = 0x14;
	}
	set16(tcp + 16, shape_checksum(tcp, 20, pseudo(ip, six, 6, 20)));
	return (size_t)(tcp + 20 - ret);
}

static size_t prohibited(const uint8_t *frame, size_t len, uint8_t *ret)
{
	bool six = frame[12] == 0x86;
	size_t n = six ? 40U + (size_t)(frame[ETH + 4] << 8 | frame[ETH + 5])
		       : (size_t)(frame[ETH + 2] << 8 | frame[ETH + 3]);
	size_t most = six ? 1280 - 48 : 576 - 28;
	unsigned int proto = six ? 58 : 1;
	uint8_t *ip = ret + ETH, *icmp;

	n = (n > most ? most : n) / 4 * 4;
	icmp = ip + ip_header(frame, proto, 8 + n, ip);
	memset(icmp, 0, 8);
	icmp[0] = six ? 1 : 3;
	icmp[1] = six ? 1 : 13;
	memcpy(icmp + 8, frame + ETH, n);
	set16(icmp + 2, shape_checksum(icmp, 8 + n, six ? pseudo(ip, true, 58, 8 + n) : 0));
	return (size_t)(icmp + 8 + n - ret);
}

size_t answer_bytes(const uint8_t *frame, size_t len, size_t l4, unsigned int proto,
		    uint8_t ret[ANSWER_MAX])
{
	memcpy(ret, frame + 6, 6);
	memcpy(ret + 6, frame, 6);
	memcpy(ret + 12, frame + 12, 2);
	return proto == 6 ? reset(frame, len, l4, ret) : prohibited(frame, len, ret);
}
