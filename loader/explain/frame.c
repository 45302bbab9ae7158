// SPDX-License-Identifier: GPL-2.0-or-later
/* What does the frame look like that is asked about? */
#include "explain/frame.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "checksum.h"

#define ETH 14
#define IP4 20
#define IP6 40
#define TTL 64
#define TCP_WINDOW 64240

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static bool is_ip4(const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

static uint16_t sum16(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* --- what is behind the IP header; its checksum's place is *RET_SUM, 0: it has none --- */

static size_t write_tcp(const struct frame_text *t, uint8_t *p, size_t *ret_sum)
{
	put16(p, t->sport);
	put16(p + 2, t->dport);
	put32(p + 4, t->seq);
	put32(p + 8, t->ack);
	p[12] = 5 << 4;
	p[13] = t->flags;
	put16(p + 14, TCP_WINDOW);
	*ret_sum = 16;
	return 20;
}

static size_t write_udp(const struct frame_text *t, uint8_t *p, size_t *ret_sum)
{
	put16(p, t->sport);
	put16(p + 2, t->dport);
	put16(p + 4, 8);
	*ret_sum = 6;
	return 8;
}

static size_t write_icmp(const struct frame_text *t, uint8_t *p, size_t *ret_sum)
{
	p[0] = t->type;
	p[1] = t->code;
	put16(p + 4, t->sport);
	*ret_sum = 2;
	return 8;
}

static size_t write_upper(const struct frame_text *t, uint8_t *p, size_t *ret_sum)
{
	*ret_sum = 0;
	switch (t->proto) {
	case IPPROTO_TCP:
		return write_tcp(t, p, ret_sum);
	case IPPROTO_UDP:
		return write_udp(t, p, ret_sum);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return write_icmp(t, p, ret_sum);
	default:
		return 8;
	}
}

/* --- the IP header --- */

static void write_ip4(const struct frame_text *t, uint8_t *ip, size_t upper)
{
	ip[0] = 4 << 4 | IP4 / 4;
	put16(ip + 2, (uint16_t)(IP4 + upper));
	ip[6] = 0x40; /* do not fragment */
	ip[8] = TTL;
	ip[9] = t->proto;
	memcpy(ip + 12, t->src + 12, 4);
	memcpy(ip + 16, t->dst + 12, 4);
	put16(ip + 10, sum16(ip, IP4));
}

static void write_ip6(const struct frame_text *t, uint8_t *ip, size_t upper)
{
	ip[0] = 6 << 4;
	put16(ip + 4, (uint16_t)upper);
	ip[6] = t->proto;
	ip[7] = TTL;
	memcpy(ip + 8, t->src, 16);
	memcpy(ip + 24, t->dst, 16);
}

size_t frame_write(const struct frame_text *t, uint8_t ret[FRAME_MAX])
{
	bool four = is_ip4(t->src);
	size_t header = four ? IP4 : IP6, upper, sum;
	uint8_t *ip = ret + ETH;

	memset(ret, 0, FRAME_MAX);
	memcpy(ret, t->dst_mac, SP_MAC_LEN);
	memcpy(ret + SP_MAC_LEN, t->src_mac, SP_MAC_LEN);
	put16(ret + 12, four ? 0x0800 : 0x86dd);
	upper = write_upper(t, ip + header, &sum);
	if (four)
		write_ip4(t, ip, upper);
	else
		write_ip6(t, ip, upper);
	if (sum && t->proto == IPPROTO_ICMP) /* over the message alone: RFC 792 */
		put16(ip + header + sum, sum16(ip + header, upper));
	else if (sum)
		put16(ip + header + sum,
		      checksum_pseudo(ip + (four ? 12 : 8), four ? 8 : 32, upper, t->proto));
	checksum_complete(ret, ETH + header + upper);
	upper += ETH + header;
	return upper < SP_EXPLAIN_MIN ? SP_EXPLAIN_MIN : upper;
}
