/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does an ARP message say, and how is one answered in a machine's name? RFC 826. */
#ifndef SALLYPORT_BPF_ARP_H
#define SALLYPORT_BPF_ARP_H

#include "packet.h"

#define ARP_ETHERNET 1 /* uapi/linux/if_arp.h */
#define ARP_REQUEST 1
#define ARP_REPLY 2

/* IPv4 over Ethernet: the only kind there is here. */
struct arp_packet {
	__be16 htype, ptype;
	__u8 hlen, plen;
	__be16 op;
	__u8 sha[SP_MAC_LEN], spa[4];
	__u8 tha[SP_MAC_LEN], tpa[4];
};

static __always_inline __be32 arp_sender(const struct arp_packet *a)
{
	__be32 ip;

	__builtin_memcpy(&ip, a->spa, sizeof(ip));
	return ip;
}

static __always_inline __be32 arp_target(const struct arp_packet *a)
{
	__be32 ip;

	__builtin_memcpy(&ip, a->tpa, sizeof(ip));
	return ip;
}

/* False: it is not what ARP over Ethernet for IPv4 looks like, or neither a request nor a reply. */
static __always_inline bool read_arp(struct __sk_buff *skb, struct arp_packet *ret)
{
	if (bpf_skb_load_bytes(skb, ETH_HLEN, ret, sizeof(*ret)))
		return false;
	return ret->htype == bpf_htons(ARP_ETHERNET) && ret->ptype == bpf_htons(ETH_P_IP) &&
	       ret->hlen == SP_MAC_LEN && ret->plen == 4 &&
	       (ret->op == bpf_htons(ARP_REQUEST) || ret->op == bpf_htons(ARP_REPLY));
}

/* Turn the request, read into ARP, into the reply of MAC to the sender. */
static __always_inline bool write_arp_reply(struct __sk_buff *skb, const struct frame *f,
					    struct arp_packet *arp, const __u8 mac[SP_MAC_LEN])
{
	struct {
		struct ethhdr eth;
		struct arp_packet arp;
	} out;

	__builtin_memcpy(out.eth.h_dest, f->src, SP_MAC_LEN);
	__builtin_memcpy(out.eth.h_source, mac, SP_MAC_LEN);
	out.eth.h_proto = bpf_htons(ETH_P_ARP);
	out.arp.htype = arp->htype;
	out.arp.ptype = arp->ptype;
	out.arp.hlen = arp->hlen;
	out.arp.plen = arp->plen;
	out.arp.op = bpf_htons(ARP_REPLY);
	__builtin_memcpy(out.arp.sha, mac, SP_MAC_LEN);
	__builtin_memcpy(out.arp.spa, arp->tpa, sizeof(out.arp.spa));
	__builtin_memcpy(out.arp.tha, arp->sha, SP_MAC_LEN);
	__builtin_memcpy(out.arp.tpa, arp->spa, sizeof(out.arp.tpa));
	return !bpf_skb_change_tail(skb, sizeof(out), 0) &&
	       !bpf_skb_store_bytes(skb, 0, &out, sizeof(out), BPF_F_INVALIDATE_HASH);
}

#endif
