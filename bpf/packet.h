/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does an IPv4 or IPv6 packet say of itself? Addresses, protocol, ports, fragment, ICMP: read
 * once into one struct, for all who judge by them.
 *
 * Headers are read by bpf_skb_load_bytes: a machine decides by its virtio header how much of a
 * frame is linear, and offsets that vary need no proof for the verifier. What cannot be read to the
 * end of the upper layer's fixed header is an error (I1): a receiver might read it in another way.
 */
#ifndef SALLYPORT_BPF_PACKET_H
#define SALLYPORT_BPF_PACKET_H

#include "parse.h"

/* uapi/linux/in.h, ipv6.h: IANA's numbers */
#define PROTO_HOP_OPTIONS 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_DCCP 33
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_AUTH 51
#define PROTO_ICMP6 58
#define PROTO_DST_OPTIONS 60
#define PROTO_SCTP 132
#define PROTO_MOBILITY 135
#define PROTO_UDPLITE 136
#define PROTO_HIP 139
#define PROTO_SHIM6 140
#define PROTO_TEST1 253 /* RFC 3692: may be an extension header or not */
#define PROTO_TEST2 254

/* Extension headers in a row that are followed; nobody sends half as many (RFC 8504, 5.3). */
#define PACKET_CHAIN_MAX 8

/* An IP address; IPv4 as ::ffff:a.b.c.d, as in struct sp_address_key. */
union addr {
	__u8 b[16];
	__be32 w[4];
	__u64 d[2];
};

/* struct packet, fragment */
#define FRAGMENT_ANY 1	 /* a fragment, be it the only one (RFC 6946) */
#define FRAGMENT_LATER 2 /* not the first: there is no upper-layer header in it */
#define FRAGMENT_MORE 4	 /* not the last: others belong to it */

struct packet {
	union addr src, dst;
	__u32 fragment_id;
	__u32 l4_len;	/* bytes of the upper layer in this packet, as the IP header has it */
	__u32 seq, ack; /* TCP */
	__be16 sport,
		dport;	/* TCP, UDP, UDP-Lite, SCTP, DCCP; 0 elsewhere and in later fragments */
	__be16 icmp_id; /* of an ICMP query or echo; 0 elsewhere */
	__u16 win;	/* TCP, as it is in the header */
	__u16 l4;	/* where the upper layer begins, from the Ethernet header on */
	__u16 offset;	/* of a fragment, in bytes */
	__u16 begin;	/* of a fragment: where offset 0 of its datagram is in the first one */
	__u8 version;	/* 4, 6 */
	__u8 proto;	/* of the upper layer: the last of the chain */
	__u8 hops;	/* TTL or hop limit */
	__u8 fragment;	/* FRAGMENT_* */
	__u8 icmp_type, icmp_code;
	__u8 tcp_flags; /* byte 13 of the header: CWR to FIN */
	__u8 tcp_len;	/* header with options */
	__u8 proven;	/* who sends it may use the source address: its flow says so */
	__u8 pad;
};

struct ip4_header { /* RFC 791 */
	__u8 version_ihl, tos;
	__be16 tot_len, id, frag_off;
	__u8 ttl, proto;
	__be16 check;
	__be32 src, dst;
};

struct ip6_header { /* RFC 8200 */
	__u8 version_class;
	__u8 class_flow[3];
	__be16 payload_len;
	__u8 next, hops;
	union addr src, dst;
};

struct tcp_header { /* RFC 9293 */
	__be16 sport, dport;
	__be32 seq, ack;
	__u8 offset, flags;
	__be16 win, check, urgent;
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_OFFSET_MASK 0x1fff
#define IP6_OFFSET_MASK 0xfff8
#define IP6_MORE_FRAGMENTS 0x0001

#define ICMP_HEADER 8 /* of a query or an error: what it quotes is behind */

/* --- addresses --- */

static __always_inline void map_ip4(union addr *to, __be32 from)
{
	to->d[0] = 0;
	to->d[1] = bpf_htonl(0xffff) | (__u64)from << 32; /* whole, as it is read soon */
}

static __always_inline bool addr_is_unspecified(const union addr *a)
{
	return !(a->d[0] | a->d[1]);
}

static __always_inline bool addr_is_multicast(const union addr *a)
{
	return a->b[0] == 0xff;
}

static __always_inline bool addr_is_link_local(const union addr *a)
{
	return (a->w[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* ::ffff:0:0/96: never on a wire, and an IPv4 address in our keys. */
static __always_inline bool addr_is_mapped(const union addr *a)
{
	return !a->d[0] && a->w[2] == bpf_htonl(0xffff);
}

static __always_inline bool addr_equal(const union addr *a, const union addr *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

/* An IPv4 address (as ::ffff:a.b.c.d) that can be a host's own. */
static __always_inline bool addr_is_host4(const union addr *a)
{
	return a->b[12] != 127 && a->b[12] < 224 && a->w[3];
}

static __always_inline bool addr_is_host6(const union addr *a)
{
	bool loopback = !a->d[0] && a->d[1] == bpf_cpu_to_be64(1);

	return !addr_is_unspecified(a) && !addr_is_multicast(a) && !addr_is_mapped(a) && !loopback;
}

/* --- the upper layer --- */

/* The least that the protocol's header takes; 0: we do not look into it. */
static __always_inline __u32 upper_min(const struct packet *p)
{
	switch (p->proto) {
	case PROTO_TCP:
		return 20;
	case PROTO_SCTP:
	case PROTO_DCCP:
		return 12;
	case PROTO_UDP:
	case PROTO_UDPLITE:
		return 8;
	case PROTO_ICMP: /* in IPv6 it is nobody's, as ICMPv6 is in IPv4 */
		return p->version == 4 ? 8 : 0;
	case PROTO_ICMP6:
		return p->version == 6 ? 8 : 0;
	default:
		return 0;
	}
}

static __always_inline bool icmp_has_id(const struct packet *p)
{
	if (p->version == 6) /* Node Information (RFC 4620) has its Qtype there, in both ways */
		return p->icmp_type == 128 || p->icmp_type == 129 || p->icmp_type == 139 ||
		       p->icmp_type == 140;
	/* Echo; timestamp, information, address mask: RFC 792, 950. */
	return p->icmp_type == 0 || p->icmp_type == 8 || (p->icmp_type >= 13 && p->icmp_type <= 18);
}

static __always_inline bool icmp_is_error(const struct packet *p)
{
	if (p->version == 6)
		return p->icmp_type >= 1 && p->icmp_type <= 4;
	return (p->icmp_type >= 3 && p->icmp_type <= 5) || p->icmp_type == 11 || p->icmp_type == 12;
}

static __always_inline void read_icmp(struct packet *p, const __u8 *h)
{
	p->icmp_type = h[0];
	p->icmp_code = h[1];
	if (icmp_has_id(p))
		__builtin_memcpy(&p->icmp_id, h + 4, sizeof(p->icmp_id));
}

/* False: the header is not whole. */
static __always_inline bool read_tcp(struct __sk_buff *skb, struct packet *p)
{
	struct tcp_header t;

	if (bpf_skb_load_bytes(skb, p->l4, &t, sizeof(t)))
		return false;
	p->sport = t.sport;
	p->dport = t.dport;
	p->seq = bpf_ntohl(t.seq);
	p->ack = bpf_ntohl(t.ack);
	p->win = bpf_ntohs(t.win);
	p->tcp_len = (t.offset >> 4) * 4;
	p->tcp_flags = t.flags;
	return p->tcp_len >= sizeof(t) && p->tcp_len <= p->l4_len;
}

/* P's addresses, proto, l4, l4_len and fragment are known. */
static __always_inline enum sp_reason read_upper(struct __sk_buff *skb, struct packet *p)
{
	__u32 need = upper_min(p);
	__u8 h[8];
	__u16 len;

	if ((p->fragment & FRAGMENT_LATER) || !need)
		return SP_R_NONE;
	if (p->l4_len < need)
		return SP_R_BAD_HEADERS;
	if (p->proto == PROTO_TCP)
		return read_tcp(skb, p) ? SP_R_NONE : SP_R_BAD_HEADERS;
	if (bpf_skb_load_bytes(skb, p->l4, h, sizeof(h)))
		return SP_R_BAD_HEADERS;
	if (p->proto == PROTO_ICMP || p->proto == PROTO_ICMP6) {
		read_icmp(p, h);
		return SP_R_NONE;
	}
	__builtin_memcpy(&p->sport, h, sizeof(p->sport));
	__builtin_memcpy(&p->dport, h + 2, sizeof(p->dport));
	if (p->proto == PROTO_UDP) {
		len = h[4] << 8 | h[5];
		if (len < need || (len > p->l4_len && !p->fragment))
			return SP_R_BAD_HEADERS;
	}
	return SP_R_NONE;
}

/* Of a packet that an ICMP error quotes there are eight bytes of the upper layer: RFC 792. */
static __always_inline enum sp_reason read_quoted_upper(struct __sk_buff *skb, struct packet *p)
{
	__be32 seq;
	__u8 h[8];

	if (p->fragment & FRAGMENT_LATER)
		return SP_R_BAD_HEADERS;
	if (!upper_min(p))
		return SP_R_NONE;
	if (bpf_skb_load_bytes(skb, p->l4, h, sizeof(h)))
		return SP_R_BAD_HEADERS;
	if (p->proto == PROTO_ICMP || p->proto == PROTO_ICMP6) {
		read_icmp(p, h);
		return SP_R_NONE;
	}
	__builtin_memcpy(&p->sport, h, sizeof(p->sport));
	__builtin_memcpy(&p->dport, h + 2, sizeof(p->dport));
	__builtin_memcpy(&seq, h + 4, sizeof(seq));
	p->seq = bpf_ntohl(seq);
	return SP_R_NONE;
}

/* --- IPv4 --- */

/* Where a packet is in a frame, and how much of it there can be. */
struct place {
	__u32 at, room;
	bool quoted; /* in an ICMP error: its end may be missing */
	bool gso;
};

/*
 * A GSO frame may leave the length to who cuts it up (iph_totlen and ipv6_payload_len of the
 * kernel): what counts is the frame's own then.
 */
static __always_inline __u32 stated_len(const struct place *w, __u32 stated, __u32 actual)
{
	return !stated && w->gso ? actual : stated;
}

static __always_inline bool fits(const struct place *w, __u32 len, __u32 room)
{
	return w->quoted || len <= room;
}

static __always_inline enum sp_reason read_any_upper(struct __sk_buff *skb, const struct place *w,
						     struct packet *p)
{
	return w->quoted ? read_quoted_upper(skb, p) : read_upper(skb, p);
}

static __always_inline void read_fragment4(const struct ip4_header *ip, struct packet *p)
{
	__u16 frag = bpf_ntohs(ip->frag_off);

	if (!(frag & (IP4_MORE_FRAGMENTS | IP4_OFFSET_MASK)))
		return;
	p->fragment = FRAGMENT_ANY;
	p->fragment_id = bpf_ntohs(ip->id);
	p->offset = (frag & IP4_OFFSET_MASK) * 8;
	p->begin = p->l4;
	if (p->offset)
		p->fragment |= FRAGMENT_LATER;
	if (frag & IP4_MORE_FRAGMENTS)
		p->fragment |= FRAGMENT_MORE;
}

static __always_inline enum sp_reason read_ip4(struct __sk_buff *skb, const struct place *w,
					       struct packet *p)
{
	struct ip4_header ip;
	__u32 header, total;

	if (w->room < IPV4_MIN || bpf_skb_load_bytes(skb, w->at, &ip, sizeof(ip)))
		return SP_R_BAD_HEADERS;
	header = (ip.version_ihl & 0xf) * 4;
	total = stated_len(w, bpf_ntohs(ip.tot_len), w->room);
	if (ip.version_ihl >> 4 != 4 || header < IPV4_MIN || total < header ||
	    !fits(w, total, w->room))
		return SP_R_BAD_HEADERS;
	map_ip4(&p->src, ip.src);
	map_ip4(&p->dst, ip.dst);
	p->version = 4;
	p->proto = ip.proto;
	p->hops = ip.ttl;
	p->l4 = w->at + header;
	p->l4_len = total - header;
	read_fragment4(&ip, p);
	/* RFC 3128: it would overwrite the header of the first. */
	if (p->proto == PROTO_TCP && p->offset == 8)
		return SP_R_BAD_HEADERS;
	return read_any_upper(skb, w, p);
}

/* --- IPv6 --- */

/* IANA: IPv6 Extension Header Types, less ESP, behind which nobody can look. */
static __always_inline bool is_extension(__u8 next)
{
	switch (next) {
	case PROTO_HOP_OPTIONS:
	case PROTO_ROUTING:
	case PROTO_FRAGMENT:
	case PROTO_AUTH:
	case PROTO_DST_OPTIONS:
	case PROTO_MOBILITY:
	case PROTO_HIP:
	case PROTO_SHIM6:
		return true;
	default:
		return false;
	}
}

struct chain {
	struct __sk_buff *skb;
	struct packet *p;
	__u32 at, end; /* in the frame */
	__u8 next;
	bool bad;
};

static __always_inline bool read_fragment(struct chain *c, const __u8 *h)
{
	struct packet *p = c->p;
	__u16 offset = h[2] << 8 | h[3];

	if (p->fragment)
		return false;
	p->fragment = FRAGMENT_ANY;
	p->offset = offset & IP6_OFFSET_MASK;
	p->begin = c->at + 8;
	if (p->offset)
		p->fragment |= FRAGMENT_LATER;
	if (offset & IP6_MORE_FRAGMENTS)
		p->fragment |= FRAGMENT_MORE;
	p->fragment_id = (__u32)h[4] << 24 | h[5] << 16 | h[6] << 8 | h[7];
	return true;
}

/* One extension header, and on to the next; 1 ends the walk. */
static long walk_one(__u32 i, void *arg)
{
	struct chain *c = arg;
	__u32 len;
	__u8 h[8]; /* the least that each of them has */

	if (!is_extension(c->next))
		return 1;
	if (bpf_skb_load_bytes(c->skb, c->at, h, sizeof(h))) {
		c->bad = true;
		return 1;
	}
	len = (h[1] + 1) * 8;
	if (c->next == PROTO_AUTH) /* RFC 4302: counted in words, less two */
		len = (h[1] + 2) * 4;
	if (c->next == PROTO_FRAGMENT) {
		len = 8;
		c->bad = !read_fragment(c, h);
	}
	c->next = h[0];
	c->at += len;
	if (c->at > c->end)
		c->bad = true;
	/* Behind the header of a later fragment is data. */
	return c->bad || (c->p->fragment & FRAGMENT_LATER);
}

static __always_inline enum sp_reason read_ip6(struct __sk_buff *skb, const struct place *w,
					       struct packet *p)
{
	struct chain c = {.skb = skb, .p = p, .at = w->at + IPV6_MIN};
	__u32 payload, room = w->room - IPV6_MIN;
	struct ip6_header ip;

	if (w->room < IPV6_MIN || bpf_skb_load_bytes(skb, w->at, &ip, sizeof(ip)))
		return SP_R_BAD_HEADERS;
	payload = stated_len(w, bpf_ntohs(ip.payload_len), room);
	if (ip.version_class >> 4 != 6 || !fits(w, payload, room))
		return SP_R_BAD_HEADERS;
	p->src = ip.src;
	p->dst = ip.dst;
	p->version = 6;
	p->hops = ip.hops;
	c.next = ip.next;
	c.end = c.at + payload;
	if (is_extension(c.next)) {
		bpf_loop(PACKET_CHAIN_MAX, walk_one, &c, 0);
		if (c.bad || (!(p->fragment & FRAGMENT_LATER) && is_extension(c.next)))
			return SP_R_BAD_HEADERS;
	}
	if (c.next == PROTO_TEST1 || c.next == PROTO_TEST2)
		return SP_R_BAD_HEADERS;
	p->proto = c.next;
	p->l4 = c.at;
	p->l4_len = c.end - c.at;
	return read_any_upper(skb, w, p);
}

/*
 * Read the packet in frame F, which is IPv4 or IPv6 and was found to be long enough (judge_form).
 * SP_R_NONE, or SP_R_BAD_HEADERS: P then holds what could be read. P is zero when it comes.
 *
 * Not static, as other large functions here: the verifier judges such a function once, by itself,
 * and not anew for each state that it is called in. For that it must ask whether pointers are NULL,
 * which they never are.
 */
__noinline int read_packet(struct __sk_buff *skb, const struct frame *f, struct packet *p)
{
	struct place w = {.at = ETH_HLEN};

	if (!f || !p || f->len < ETH_HLEN)
		return SP_R_BAD_HEADERS;
	w.room = f->len - ETH_HLEN;
	w.gso = f->gso_size;
	return f->proto == bpf_htons(ETH_P_IP) ? read_ip4(skb, &w, p) : read_ip6(skb, &w, p);
}

#endif
