/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a sender get whose packet a rule rejects? A RST, where that is TCP (RFC
 * 9293, 3.10.7.1), or else an ICMP error that says "administratively prohibited" (RFC
 * 1812, 5.2.7.1; RFC 4443, 3.1), in the name of who was addressed. The frame itself becomes the
 * answer; it goes out by the port that it came in by, to its sender, past no policy, and as often
 * as sp_limit allows.
 *
 * Never answered: what is an error or a reset itself, a later fragment, what has a group or no
 * address as its source or destination (RFC 1122, 3.2.2), and GSO frames: the next one will be.
 *
 * A sender may have left the checksum to its device (CHECKSUM_PARTIAL): whoever sends the frame on
 * sums up from where the upper layer was to the end, and writes that where the checksum was. No
 * helper undoes it, so that an answer is written for it to be true.
 */
#ifndef SALLYPORT_BPF_REJECT_H
#define SALLYPORT_BPF_REJECT_H

#include "forward.h"
#include "packet.h"
#include "police.h"
#include "tcp.h"

#define QUOTE4_MAX (576 - 20 - 8)  /* RFC 1812, 4.3.2.3 */
#define QUOTE6_MAX (1280 - 40 - 8) /* RFC 4443, 2.4 */
#define QUOTE_CHUNK 64

#define ICMP_UNREACHABLE 3 /* RFC 792, 1812 */
#define ICMP_PROHIBITED 13
#define ICMP6_UNREACHABLE 1 /* RFC 4443 */
#define ICMP6_PROHIBITED 1

#define ANSWER_TTL 64

struct icmp_header {
	__u8 type, code;
	__u16 check;
	__u32 unused;
};

/* --- checksums --- */

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of N bytes, a multiple of 4, and what was summed before. */
#define add_sum(p, n, sum) ((__u32)bpf_csum_diff(NULL, 0, (__be32 *)(p), (n), (sum)))

/* Where the checksum of the upper layer is, from its beginning on; of others, some place in it. */
static __always_inline __u32 checksum_place(const struct packet *p)
{
	return p->proto == PROTO_TCP ? 16 : p->proto == PROTO_UDP ? 6 : 2;
}

/*
 * Is the checksum left to a device? No field says so, but bpf_l4_csum_replace does: what is no part
 * of the pseudo-header it leaves to the device as well, and changes nothing. *RET: what is there.
 */
static __always_inline bool is_partial(struct __sk_buff *skb, const struct packet *p, __u16 *ret)
{
	__u32 at = p->l4 + checksum_place(p);
	__u16 now;

	*ret = 0;
	if (p->l4_len < 8 || bpf_skb_load_bytes(skb, at, ret, sizeof(*ret)) ||
	    bpf_l4_csum_replace(skb, at, 0, bpf_htonl(1), sizeof(__u32)) ||
	    bpf_skb_load_bytes(skb, at, &now, sizeof(now)))
		return false;
	bpf_skb_store_bytes(skb, at, ret, sizeof(*ret), 0);
	return now == *ret;
}

/* --- headers --- */

static __always_inline bool put_eth(struct __sk_buff *skb, const struct frame *f)
{
	struct ethhdr eth = {.h_proto = f->proto};

	__builtin_memcpy(eth.h_dest, f->src, SP_MAC_LEN);
	__builtin_memcpy(eth.h_source, f->dst, SP_MAC_LEN);
	return !bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), BPF_F_INVALIDATE_HASH);
}

/* An IPv4 header in front of LEN bytes, back to the sender of P. RFC 6864: with no id. */
static __always_inline bool put_ip4(struct __sk_buff *skb, const struct packet *p, __u8 proto,
				    __u16 len)
{
	struct ip4_header ip = {.version_ihl = 0x45,
				.tot_len = bpf_htons(sizeof(ip) + len),
				.frag_off = bpf_htons(0x4000),
				.ttl = ANSWER_TTL,
				.proto = proto,
				.src = p->dst.w[3],
				.dst = p->src.w[3]};

	ip.check = ~fold(add_sum(&ip, sizeof(ip), 0));
	return !bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}

static __always_inline bool put_ip6(struct __sk_buff *skb, const struct packet *p, __u8 proto,
				    __u16 len)
{
	struct ip6_header ip = {.version_class = 0x60,
				.payload_len = bpf_htons(len),
				.next = proto,
				.hops = ANSWER_TTL,
				.src = p->dst,
				.dst = p->src};

	return !bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}

static __noinline bool put_ip(struct __sk_buff *skb, const struct packet *p, __u32 proto, __u32 len)
{
	return p->version == 4 ? put_ip4(skb, p, proto, len) : put_ip6(skb, p, proto, len);
}

static __always_inline __u32 ip_len(const struct packet *p)
{
	return p->version == 4 ? sizeof(struct ip4_header) : sizeof(struct ip6_header);
}

/* Of what goes back to the sender of P; an IPv4 address is ::ffff:a.b.c.d there. */
static __always_inline __u32 pseudo_sum(const struct packet *p, __u32 proto, __u32 len)
{
	__u32 sum = bpf_htonl(len + proto); /* both fit into one word of the sum */

	if (p->version == 6)
		return add_sum(&p->src, 2 * sizeof(union addr), sum);
	sum = add_sum(&p->src.w[3], sizeof(__be32), sum);
	return add_sum(&p->dst.w[3], sizeof(__be32), sum);
}

/* --- TCP --- */

/* No RST answers a RST. */
static __noinline bool write_reset(struct __sk_buff *skb, const struct frame *f,
				   const struct packet *p)
{
	struct tcp_header t = {.sport = p->dport, .dport = p->sport, .offset = 0x50};
	__u32 l4 = ETH_HLEN + ip_len(p), sum = pseudo_sum(p, PROTO_TCP, sizeof(t));
	__u16 check;
	bool partial = is_partial(skb, p, &check);

	/* The device sums up from where the header was: it must be there again. */
	if ((p->tcp_flags & TCP_RST) || (partial && p->l4 != l4))
		return false;
	t.flags = TCP_RST;
	if (p->tcp_flags & TCP_ACK) {
		t.seq = bpf_htonl(p->ack);
	} else {
		t.flags |= TCP_ACK;
		t.ack = bpf_htonl(tcp_end(p));
	}
	t.check = partial ? fold(sum) : (__u16)~fold(add_sum(&t, sizeof(t), sum));
	return !bpf_skb_change_tail(skb, l4 + sizeof(t), 0) && put_eth(skb, f) &&
	       put_ip(skb, p, PROTO_TCP, sizeof(t)) &&
	       !bpf_skb_store_bytes(skb, l4, &t, sizeof(t), 0);
}

/* --- ICMP --- */

struct quote {
	struct __sk_buff *skb;
	__u32 at, end; /* in the frame */
	__u32 sum;
	bool bad;
};

static long sum_chunk(__u32 i, void *arg)
{
	struct quote *q = arg;
	__u32 n = q->end - q->at;
	__u8 chunk[QUOTE_CHUNK] = {};

	if (q->at >= q->end)
		return 1;
	n = n > QUOTE_CHUNK ? QUOTE_CHUNK : n;
	/* As in snap(): the verifier wants to see that it is not 0. */
	n--;
	asm volatile("" : "+r"(n));
	n = (n & (QUOTE_CHUNK - 1)) + 1;
	if (bpf_skb_load_bytes(q->skb, q->at, chunk, n)) {
		q->bad = true;
		return 1;
	}
	q->sum = add_sum(chunk, sizeof(chunk), q->sum);
	q->at += n;
	return 0;
}

/*
 * The sum of what is quoted: N bytes behind the Ethernet header. Where a device will complete the
 * upper layer's checksum, CHECK so far, all of that layer will sum up to the complement of CHECK.
 */
static __always_inline bool sum_quote(struct __sk_buff *skb, const struct packet *p, __u32 n,
				      __u32 *sum)
{
	struct quote q = {.skb = skb, .at = ETH_HLEN, .end = ETH_HLEN + n, .sum = *sum};
	__u16 check;

	if (is_partial(skb, p, &check)) {
		if (p->proto != PROTO_TCP && p->proto != PROTO_UDP)
			return false;
		q.end = p->l4;
		q.sum = fold(q.sum) + (__u16)~check;
	}
	bpf_loop(QUOTE6_MAX / QUOTE_CHUNK + 1, sum_chunk, &q, 0);
	*sum = q.sum;
	return !q.bad;
}

/*
 * As much of the packet as an error may quote, in a frame of at most MAX_LEN; whole words, which
 * its header always is. 0: not even that.
 */
static __always_inline __u32 quote_len(const struct packet *p, __u32 max_len)
{
	__u32 len = p->l4 - ETH_HLEN + p->l4_len, least = p->l4 - ETH_HLEN + 8;
	__u32 max = p->version == 4 ? QUOTE4_MAX : QUOTE6_MAX;
	__u32 head = ETH_HLEN + ip_len(p) + sizeof(struct icmp_header);

	max = max_len < head + max ? max_len - head : max;
	if (max_len < head + least || max < least)
		return 0;
	return (len > max ? max : len) & ~3U;
}

static __noinline bool write_prohibited(struct __sk_buff *skb, const struct frame *f,
					const struct packet *p, __u32 max_len)
{
	struct icmp_header h = {.type = ICMP6_UNREACHABLE, .code = ICMP6_PROHIBITED};
	__u32 n = quote_len(p, max_len), len = sizeof(h) + n, sum = 0, head = ip_len(p);
	__u8 proto = PROTO_ICMP6;

	if (p->version == 4) {
		h.type = ICMP_UNREACHABLE;
		h.code = ICMP_PROHIBITED;
		proto = PROTO_ICMP;
	} else {
		sum = pseudo_sum(p, PROTO_ICMP6, len);
	}
	if (!n || !sum_quote(skb, p, n, &sum))
		return false;
	h.check = ~fold(add_sum(&h, sizeof(h), sum));
	return !bpf_skb_change_tail(skb, ETH_HLEN + n, 0) &&
	       !bpf_skb_adjust_room(skb, head + sizeof(h), BPF_ADJ_ROOM_MAC, 0) &&
	       put_eth(skb, f) && put_ip(skb, p, proto, len) &&
	       !bpf_skb_store_bytes(skb, ETH_HLEN + head, &h, sizeof(h), 0);
}

/* --- both --- */

static __always_inline bool addr_is_host(const struct packet *p, const union addr *a)
{
	return p->version == 4 ? addr_is_host4(a) : addr_is_host6(a);
}

static __always_inline bool may_be_answered(const struct packet *p)
{
	return !(p->fragment & FRAGMENT_LATER) && !(is_icmp(p) && icmp_is_error(p)) &&
	       addr_is_host(p, &p->src) && addr_is_host(p, &p->dst);
}

static __always_inline bool may_answer_to(__u32 port)
{
	struct sp_limit *limit = bpf_map_lookup_elem(&limits, &port);

	return limit && may_say(&limit->reject_next_ns, &limit->rejects_withheld);
}

/*
 * Frame F, which came from BIND, was rejected and is counted: its sender is told. Answers a
 * verdict. Whether F is fit to be answered is asked before a token is taken.
 */
__noinline int reject(struct __sk_buff *skb, const struct frame *f, const struct sp_bind *bind)
{
	const struct sp_dst *back;
	struct packet p = {};
	bool written;
	int r;

	if (!f || !bind || f->gso_size)
		return TC_ACT_SHOT;
	back = find_source(f, bind);
	if (!back || read_packet(skb, f, &p) || !may_be_answered(&p))
		return TC_ACT_SHOT;
	if (sp_explain) {
		tell(SP_STEP_REJECT, bind->port, 0, 0);
		return TC_ACT_SHOT;
	}
	if (!may_answer_to(bind->port))
		return TC_ACT_SHOT;
	written = p.proto == PROTO_TCP ? write_reset(skb, f, &p)
				       : write_prohibited(skb, f, &p, back->max_len);
	if (!written)
		return TC_ACT_SHOT;
	r = hand_back(skb, f, back);
	return r < 0 ? TC_ACT_SHOT : r;
}

#endif
