/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a neighbor discovery message say, and how is one answered in a machine's name? RFC
 * 4861, 4862.
 */
#ifndef SALLYPORT_BPF_ND_H
#define SALLYPORT_BPF_ND_H

#include "packet.h"

#define ND_RS 133
#define ND_RA 134
#define ND_NS 135
#define ND_NA 136
#define ND_REDIRECT 137
#define MLD_REPORT 131 /* RFC 2710 */
#define MLD_DONE 132
#define MLD2_REPORT 143 /* RFC 3810 */

#define ND_HOPS 255 /* came over no router */

#define ND_OPT_SOURCE_MAC 1
#define ND_OPT_TARGET_MAC 2
#define ND_OPTIONS_MAX 16 /* SEND's five, or a router's dozen */

#define NA_ROUTER 0x80
#define NA_SOLICITED 0x40
#define NA_OVERRIDE 0x20

#define ND_TARGET 8 /* where NS, NA and Redirect have it */

static __always_inline bool is_nd(const struct packet *p)
{
	return p->version == 6 && p->proto == PROTO_ICMP6 && p->icmp_type >= ND_RS &&
	       p->icmp_type <= ND_REDIRECT;
}

/* ff02::1:ff00:0/104: RFC 4291, 2.7.1. */
static __always_inline bool is_solicited_node(const union addr *a)
{
	return a->w[0] == bpf_htonl(0xff020000) && !a->w[1] && a->w[2] == bpf_htonl(1) &&
	       a->b[12] == 0xff;
}

static __always_inline bool read_nd_target(struct __sk_buff *skb, const struct packet *p,
					   union addr *ret)
{
	return p->l4_len >= ND_TARGET + sizeof(*ret) &&
	       !bpf_skb_load_bytes(skb, p->l4 + ND_TARGET, ret, sizeof(*ret));
}

/* --- options --- */

/* The fixed part of a message. */
static __always_inline __u32 nd_fixed(__u8 type)
{
	switch (type) {
	case ND_RS:
		return 8;
	case ND_RA:
		return 16;
	case ND_REDIRECT:
		return 40;
	default:
		return 24;
	}
}

struct options {
	struct __sk_buff *skb;
	__u32 at, end;
	__u8 mac[SP_MAC_LEN]; /* that link-layer addresses must be */
	bool no_mac;	      /* none may be there */
	enum sp_reason reason;
};

static long judge_option(__u32 i, void *arg)
{
	struct options *o = arg;
	__u8 opt[8]; /* the least, and a link-layer address whole */

	if (o->at == o->end)
		return 1;
	if (o->at + sizeof(opt) > o->end || bpf_skb_load_bytes(o->skb, o->at, opt, sizeof(opt)) ||
	    !opt[1]) {
		o->reason = SP_R_BAD_HEADERS;
		return 1;
	}
	if ((opt[0] == ND_OPT_SOURCE_MAC || opt[0] == ND_OPT_TARGET_MAC) &&
	    (o->no_mac || opt[1] != 1 || !mac_equal(opt + 2, o->mac))) {
		o->reason = SP_R_SPOOF_ND;
		return 1;
	}
	o->at += opt[1] * 8;
	return 0;
}

/*
 * Every link-layer address in the message must be MAC, and there may be none where the source is
 * unspecified (RFC 4861, 4.1, 4.3). All options are read to the message's end, or it is dropped.
 */
static __always_inline enum sp_reason
judge_nd_options(struct __sk_buff *skb, const struct packet *p, const __u8 mac[SP_MAC_LEN])
{
	__u32 fixed = nd_fixed(p->icmp_type);
	struct options o = {.skb = skb, .no_mac = addr_is_unspecified(&p->src)};

	if (p->l4_len < fixed)
		return SP_R_BAD_HEADERS;
	o.at = p->l4 + fixed;
	o.end = p->l4 + p->l4_len;
	__builtin_memcpy(o.mac, mac, SP_MAC_LEN);
	bpf_loop(ND_OPTIONS_MAX, judge_option, &o, 0);
	if (!o.reason && o.at != o.end)
		return SP_R_BAD_HEADERS;
	return o.reason;
}

/* --- a neighbor advertisement --- */

/* Behind the Ethernet header. */
struct advertisement {
	struct ip6_header ip;
	__u8 type, code;
	__u16 check;
	__u8 flags, reserved[3];
	union addr target;
	__u8 opt_type, opt_len;
	__u8 opt_mac[SP_MAC_LEN];
};

#define NA_LEN (sizeof(struct advertisement) - sizeof(struct ip6_header))

/* Over the pseudo-header and the message, which follow each other in ADV. */
static __always_inline __u16 na_checksum(struct advertisement *adv)
{
	__u32 sum = bpf_htonl(NA_LEN) + bpf_htonl(PROTO_ICMP6);
	__s64 r = bpf_csum_diff(NULL, 0, adv->ip.src.w, 2 * sizeof(union addr) + NA_LEN, sum);

	sum = r;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/*
 * Is it a solicitation that a node must answer (RFC 4861, 7.1.1)? *RET: for whom it asks. Options
 * are nothing to us: the answer goes to where the frame came from.
 */
static __always_inline bool read_solicitation(struct __sk_buff *skb, const struct packet *p,
					      union addr *ret)
{
	bool group = is_solicited_node(&p->dst);

	if (!is_nd(p) || p->icmp_type != ND_NS || p->icmp_code || p->fragment ||
	    p->hops != ND_HOPS || !read_nd_target(skb, p, ret) || !addr_is_host6(ret))
		return false;
	if (addr_is_unspecified(&p->src))
		return group;
	return addr_is_host6(&p->src) && (group || addr_equal(&p->dst, ret));
}

/*
 * Turn the solicitation P for TARGET into MAC's advertisement to the Ethernet source. To who has no
 * address yet it says to all nodes, in an Ethernet frame to it alone (RFC 6085): on a tap in MAC
 * mode a group frame would reach everybody (I3).
 */
static __always_inline bool write_advertisement(struct __sk_buff *skb, const struct frame *f,
						const struct packet *p, const union addr *target,
						const __u8 mac[SP_MAC_LEN], bool router)
{
	struct advertisement adv = {.type = ND_NA, .opt_type = ND_OPT_TARGET_MAC, .opt_len = 1};
	struct ethhdr eth;

	__builtin_memcpy(eth.h_dest, f->src, SP_MAC_LEN);
	__builtin_memcpy(eth.h_source, mac, SP_MAC_LEN);
	eth.h_proto = bpf_htons(ETH_P_IPV6);
	adv.ip.version_class = 0x60;
	adv.ip.payload_len = bpf_htons(NA_LEN);
	adv.ip.next = PROTO_ICMP6;
	adv.ip.hops = ND_HOPS;
	adv.ip.src = *target;
	adv.ip.dst = p->src;
	adv.flags = NA_OVERRIDE | NA_SOLICITED;
	if (addr_is_unspecified(&p->src)) {
		adv.ip.dst.w[0] = bpf_htonl(0xff020000);
		adv.ip.dst.w[3] = bpf_htonl(1);
		adv.flags = NA_OVERRIDE;
	}
	if (router)
		adv.flags |= NA_ROUTER;
	adv.target = *target;
	__builtin_memcpy(adv.opt_mac, mac, SP_MAC_LEN);
	adv.check = na_checksum(&adv);
	return !bpf_skb_change_tail(skb, sizeof(eth) + sizeof(adv), 0) &&
	       !bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), BPF_F_INVALIDATE_HASH) &&
	       !bpf_skb_store_bytes(skb, sizeof(eth), &adv, sizeof(adv), 0);
}

#endif
