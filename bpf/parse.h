/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a frame say of itself? Parse into one small struct, the same for XDP and tc, so that
 * one set of rules judges both.
 */
#ifndef SALLYPORT_BPF_PARSE_H
#define SALLYPORT_BPF_PARSE_H

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sallyport/abi.h"

/* uapi/linux/if_ether.h, if_vlan.h: macros, so BTF does not have them */
#define ETH_HLEN 14
#define VLAN_HLEN 4
#define VLAN_VID_MASK 0x0fff
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_P_QINQ1 0x9100 /* pre-standard double tagging */

/* The least that each protocol's fixed header takes: RFC 791, 826 (over Ethernet), 8200. */
#define IPV4_MIN 20
#define ARP_MIN 28
#define IPV6_MIN 40

struct frame {
	union {
		struct {
			__u8 dst[SP_MAC_LEN];
			__u8 src[SP_MAC_LEN];
		};
		__u32 macs[3]; /* both, to copy: a key whose words were stored whole is hashed
				  sooner */
	};
	__u32 ifindex;
	__u32 len;	/* Ethernet header and all behind, outer tag not counted */
	__be16 proto;	/* behind the outer tag */
	__be16 tag;	/* the outer tag's protocol; 0: untagged */
	__u16 vid;	/* of the outer tag */
	__u16 gso_size; /* 0: one frame on the wire */
};

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words of keys are put together for little-endian hosts (join, map_ip4, key_end)"
#endif

/* Two halves of a word, as they stand in memory. */
static __always_inline __u32 join(__u16 first, __u16 second)
{
	return first | (__u32)second << 16;
}

/* Both addresses; three loads, which need not be aligned. */
static __always_inline void copy_macs(struct frame *f, const struct ethhdr *eth)
{
	const __u32 *macs = (const void *)eth;

	f->macs[0] = macs[0];
	f->macs[1] = macs[1];
	f->macs[2] = macs[2];
}

static __always_inline bool mac_is_group(const __u8 *mac)
{
	return mac[0] & 1;
}

static __always_inline bool mac_is_zero(const __u8 *mac)
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) |
		 (a[5] ^ b[5]));
}

/* 01-80-C2-00-00-00 to -0F: IEEE 802.1Q table 8-1, never forwarded by a bridge. */
static __always_inline bool mac_is_reserved(const __u8 *mac)
{
	return mac[0] == 0x01 && mac[1] == 0x80 && mac[2] == 0xc2 && !mac[3] && !mac[4] &&
	       (mac[5] & 0xf0) == 0;
}

/* The tag and the protocol by themselves: what can be said before any look-up. */
static __always_inline enum sp_reason judge_form(const struct frame *f)
{
	__u32 need;

	if (f->tag) {
		if (f->tag != bpf_htons(ETH_P_8021Q))
			return SP_R_TAG_PROTO;
		if (!f->vid)
			return SP_R_TAG_PRIORITY;
	}
	switch (f->proto) {
	case bpf_htons(ETH_P_IP):
		need = ETH_HLEN + IPV4_MIN;
		break;
	case bpf_htons(ETH_P_ARP):
		need = ETH_HLEN + ARP_MIN;
		break;
	case bpf_htons(ETH_P_IPV6):
		need = ETH_HLEN + IPV6_MIN;
		break;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
	case bpf_htons(ETH_P_QINQ1):
		return SP_R_INNER_TAG;
	default:
		return SP_R_ETHERTYPE;
	}
	return f->len < need ? SP_R_RUNT : SP_R_NONE;
}

/* tc: the kernel has taken the outer tag into metadata (skb_vlan_untag). */
static __always_inline enum sp_reason parse_skb(struct __sk_buff *skb, struct frame *f)
{
	const struct ethhdr *eth = (void *)(long)skb->data;

	f->ifindex = skb->ifindex;
	f->len = skb->len;
	f->gso_size = skb->gso_size;
	f->tag = 0;
	f->vid = 0;
	if (skb->vlan_present) {
		f->tag = skb->vlan_proto;
		f->vid = skb->vlan_tci & VLAN_VID_MASK;
	}
	if ((void *)(eth + 1) > (void *)(long)skb->data_end) {
		/* Nothing that we know sends a header in fragments: pull it rather than guess. */
		if (bpf_skb_pull_data(skb, ETH_HLEN))
			return SP_R_RUNT;
		eth = (void *)(long)skb->data;
		if ((void *)(eth + 1) > (void *)(long)skb->data_end)
			return SP_R_RUNT;
	}
	copy_macs(f, eth);
	f->proto = eth->h_proto;
	return judge_form(f);
}

/* XDP: the outer tag is in the frame. */
static __always_inline enum sp_reason parse_xdp(struct xdp_md *xdp, struct frame *f)
{
	void *end = (void *)(long)xdp->data_end;
	const struct ethhdr *eth = (void *)(long)xdp->data;
	const struct vlan_hdr *vlan = (const void *)(eth + 1);

	f->ifindex = xdp->ingress_ifindex;
	f->len = end - (void *)eth;
	f->gso_size = 0;
	f->tag = 0;
	f->vid = 0;
	if ((void *)(eth + 1) > end)
		return SP_R_RUNT;
	copy_macs(f, eth);
	f->proto = eth->h_proto;
	if (f->proto == bpf_htons(ETH_P_8021Q) || f->proto == bpf_htons(ETH_P_8021AD)) {
		if ((void *)(vlan + 1) > end)
			return SP_R_RUNT;
		f->tag = f->proto;
		f->vid = bpf_ntohs(vlan->h_vlan_TCI) & VLAN_VID_MASK;
		f->proto = vlan->h_vlan_encapsulated_proto;
		f->len -= VLAN_HLEN;
	}
	return judge_form(f);
}

#endif
