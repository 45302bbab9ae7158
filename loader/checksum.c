// SPDX-License-Identifier: GPL-2.0-or-later
/* Which sixteen bits did the sender leave to its device? */
#include "checksum.h"

#include <netinet/in.h>

#define ETH 14
#define IP4_MIN 20
#define IP6 40
#define CHAIN_MAX 8 /* extension headers that are followed */

/* The transport header and what its checksum is over. */
struct transport {
	uint8_t *at;
	size_t len;
	uint8_t proto;
	const uint8_t *addresses; /* source and destination, next to each other */
	size_t addresses_len;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t sum_up(const uint8_t *p, size_t n, uint32_t sum)
{
	for (; n >= 2; p += 2, n -= 2)
		sum += get16(p);
	return n ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static bool find_ip4(uint8_t *ip, size_t len, struct transport *ret)
{
	size_t header, total;

	if (len < IP4_MIN)
		return false;
	header = (ip[0] & 0xfU) * 4;
	total = get16(ip + 2);
	/* In fragments nothing is left to a device. */
	if (ip[0] >> 4 != 4 || header < IP4_MIN || total < header || total > len ||
	    (get16(ip + 6) & 0x3fff))
		return false;
	*ret = (struct transport){.at = ip + header,
				  .len = total - header,
				  .proto = ip[9],
				  .addresses = ip + 12,
				  .addresses_len = 8};
	return true;
}

static bool find_ip6(uint8_t *ip, size_t len, struct transport *ret)
{
	size_t at = IP6, end;
	uint8_t next;

	if (len < IP6 || ip[0] >> 4 != 6)
		return false;
	end = IP6 + get16(ip + 4);
	next = ip[6];
	if (end > len)
		return false;
	for (int i = 0;
	     next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS; i++) {
		if (i == CHAIN_MAX || at + 8 > end)
			return false;
		next = ip[at];
		at += (ip[at + 1] + 1U) * 8;
		if (at > end)
			return false;
	}
	*ret = (struct transport){.at = ip + at,
				  .len = end - at,
				  .proto = next,
				  .addresses = ip + 8,
				  .addresses_len = 32};
	return true;
}

/* Where in the transport header the checksum is; 0: not a protocol of ours, or too short. */
static size_t place_of(const struct transport *t)
{
	switch (t->proto) {
	case IPPROTO_TCP:
		return t->len >= 20 ? 16 : 0;
	case IPPROTO_UDP:
		return t->len >= 8 && get16(t->at + 4) == t->len ? 6 : 0;
	case IPPROTO_ICMPV6:
		return t->len >= 4 && t->addresses_len == 32 ? 2 : 0;
	default:
		return 0;
	}
}

uint16_t checksum_pseudo(const uint8_t *addresses, size_t n, size_t len, uint8_t proto)
{
	return fold(sum_up(addresses, n, (uint32_t)len + proto));
}

bool checksum_complete(uint8_t *frame, size_t len)
{
	struct transport t;
	uint16_t check;
	size_t place;
	bool found = false;

	if (len >= ETH && get16(frame + 12) == 0x0800)
		found = find_ip4(frame + ETH, len - ETH, &t);
	else if (len >= ETH && get16(frame + 12) == 0x86dd)
		found = find_ip6(frame + ETH, len - ETH, &t);
	place = found ? place_of(&t) : 0;
	if (!place)
		return false;
	if (get16(t.at + place) != checksum_pseudo(t.addresses, t.addresses_len, t.len, t.proto))
		return false;
	/* The pseudo-header's sum is in its place already: the sum over all is the checksum's. */
	check = (uint16_t)~fold(sum_up(t.at, t.len, 0));
	if (check == 0 && t.proto == IPPROTO_UDP) /* RFC 768: 0 is "none" */
		check = 0xffff;
	t.at[place] = (uint8_t)(check >> 8);
	t.at[place + 1] = (uint8_t)check;
	return true;
}
