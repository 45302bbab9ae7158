/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/neighbor.h"

#include <linux/if_arp.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "addresses.h"
#include "checksum.h"

#define IP4_MIN 20
#define IP6 40
#define ARP_LEN (ETH_HLEN + 28)
#define SOLICITATION 32 /* with the option that says who asks */

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static bool is_unicast4(const uint8_t ip[4])
{
	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};

	memcpy(mapped + 12, ip, 4);
	return address_is_unicast(mapped);
}

static size_t ask_arp(const uint8_t *frame, uint8_t *ret)
{
	const uint8_t *ip = frame + ETH_HLEN;
	uint8_t *arp = ret + ETH_HLEN;

	if (!is_unicast4(ip + 12) || !is_unicast4(ip + 16))
		return 0;
	put16(ret + 12, ETHERTYPE_ARP);
	put16(arp, ARPHRD_ETHER);
	put16(arp + 2, ETHERTYPE_IP);
	arp[4] = ETH_ALEN;
	arp[5] = 4;
	put16(arp + 6, ARPOP_REQUEST);
	memcpy(arp + 8, frame + ETH_ALEN, ETH_ALEN);
	memcpy(arp + 14, ip + 12, 4);
	memset(arp + 18, 0, ETH_ALEN);
	memcpy(arp + 24, ip + 16, 4);
	return ARP_LEN;
}

static size_t ask_nd(const uint8_t *frame, uint8_t *ret)
{
	const uint8_t *from = frame + ETH_HLEN + 8, *to = from + 16;
	uint8_t *ip = ret + ETH_HLEN, *nd = ip + IP6;

	if (!address_is_unicast(from) || !address_is_unicast(to))
		return 0;
	put16(ret + 12, ETHERTYPE_IPV6);
	ip[0] = 6 << 4;
	put16(ip + 4, SOLICITATION);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = 255; /* RFC 4861, 7.1.1 */
	memcpy(ip + 8, from, 32);
	nd[0] = ND_NEIGHBOR_SOLICIT;
	put16(nd + 2, checksum_pseudo(ip + 8, 32, SOLICITATION, IPPROTO_ICMPV6));
	memcpy(nd + 8, to, 16);
	nd[24] = ND_OPT_SOURCE_LINKADDR;
	nd[25] = 1;
	memcpy(nd + 26, frame + ETH_ALEN, ETH_ALEN);
	return ETH_HLEN + IP6 + SOLICITATION;
}

size_t neighbor_question(const uint8_t *frame, size_t len, uint8_t ret[NEIGHBOR_LEN])
{
	uint16_t type = len < ETH_HLEN ? 0 : (uint16_t)(frame[12] << 8 | frame[13]);

	memset(ret, 0, NEIGHBOR_LEN);
	if (len >= ETH_HLEN)
		memcpy(ret, frame, 2 * (size_t)ETH_ALEN);
	if (type == ETHERTYPE_IP && len >= ETH_HLEN + IP4_MIN)
		return ask_arp(frame, ret);
	if (type == ETHERTYPE_IPV6 && len >= ETH_HLEN + IP6)
		return ask_nd(frame, ret);
	return 0;
}
