/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a TCP segment say of itself? Its kind, where it ends, and those of its options that a
 * window depends on.
 */
#ifndef SALLYPORT_BPF_TCP_SEGMENT_H
#define SALLYPORT_BPF_TCP_SEGMENT_H

#include "packet.h"

#define TCP_HEADER 20

/* --- kinds --- */

/* What RFC 9293 gives a meaning; PSH, ECE and CWR may be with any of them. */
#define TCP_FLAG_MASK (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)
#define FLAGS(f) (1ULL << (f))
#define TCP_FLAGS_GOOD                                                                             \
	(FLAGS(TCP_SYN) | FLAGS(TCP_SYN | TCP_URG) | FLAGS(TCP_SYN | TCP_ACK) | FLAGS(TCP_RST) |   \
	 FLAGS(TCP_RST | TCP_ACK) | FLAGS(TCP_FIN | TCP_ACK) |                                     \
	 FLAGS(TCP_FIN | TCP_ACK | TCP_URG) | FLAGS(TCP_ACK) | FLAGS(TCP_ACK | TCP_URG))

static __always_inline bool tcp_flags_good(const struct packet *p)
{
	return TCP_FLAGS_GOOD >> (p->tcp_flags & TCP_FLAG_MASK) & 1;
}

static __always_inline enum sp_tcp_kind tcp_kind(__u8 flags)
{
	if (flags & TCP_RST)
		return SP_TCP_RST;
	if (flags & TCP_SYN)
		return flags & TCP_ACK ? SP_TCP_SYNACK : SP_TCP_SYN;
	if (flags & TCP_FIN)
		return SP_TCP_FIN;
	return flags & TCP_ACK ? SP_TCP_ACK : SP_TCP_OTHER;
}

/* The sequence number behind it: SYN and FIN take one each. */
static __always_inline __u32 tcp_end(const struct packet *p)
{
	return p->seq + p->l4_len - p->tcp_len + !!(p->tcp_flags & TCP_SYN) +
	       !!(p->tcp_flags & TCP_FIN);
}

/* Sequence numbers wrap: RFC 9293, 3.4. */
static __always_inline bool seq_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

static __always_inline bool seq_after(__u32 a, __u32 b)
{
	return seq_before(b, a);
}

/* --- options --- */

#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_SCALE 3		 /* RFC 7323 */
#define TCP_OPT_SACK_PERMITTED 4 /* RFC 2018 */
#define TCP_OPT_SACK 5
#define TCP_OPTIONS_MAX 40
#define TCP_SACK_BLOCKS 4
#define TCP_SCALE_MAX 14
/* NOP, NOP, Timestamps, 10: most segments have nothing else. */
#define TCP_OPT_TIMESTAMPS 0x0101080a
#define TCP_TIMESTAMPS_LEN 12

struct tcp_options {
	__u32 sack; /* the highest sequence number that the segment acknowledges, SACK included */
	__u8 scale; /* SP_NO_SCALE: none */
	__u8 sack_permitted;
	__u16 pad;
};

struct option_walk {
	struct __sk_buff *skb;
	__u32 at, end;
	struct tcp_options found;
};

static __always_inline void read_sack(struct option_walk *w, __u8 len)
{
	__be32 block[2];

	for (int i = 0; i < TCP_SACK_BLOCKS; i++) {
		if (2 + 8 * (i + 1) > len ||
		    bpf_skb_load_bytes(w->skb, w->at + 2 + 8 * i, block, sizeof(block)))
			return;
		if (seq_after(bpf_ntohl(block[1]), w->found.sack))
			w->found.sack = bpf_ntohl(block[1]);
	}
}

/* One option, and on to the next; 1 ends the walk. */
static long read_option(__u32 i, void *arg)
{
	struct option_walk *w = arg;
	__u8 o[3] = {};

	/* An option of one byte at the very end says nothing. */
	if (w->at + 2 > w->end || bpf_skb_load_bytes(w->skb, w->at, o, 2) || o[0] == TCP_OPT_END)
		return 1;
	if (o[0] == TCP_OPT_NOP) {
		w->at++;
		return 0;
	}
	if (o[1] < 2 || w->at + o[1] > w->end)
		return 1;
	if (o[0] == TCP_OPT_SACK_PERMITTED && o[1] == 2)
		w->found.sack_permitted = 1;
	if (o[0] == TCP_OPT_SCALE && o[1] == 3 && !bpf_skb_load_bytes(w->skb, w->at + 2, o + 2, 1))
		w->found.scale = o[2] > TCP_SCALE_MAX ? TCP_SCALE_MAX : o[2];
	if (o[0] == TCP_OPT_SACK && o[1] >= 10 && o[1] % 8 == 2)
		read_sack(w, o[1]);
	w->at += o[1];
	return 0;
}

static __always_inline bool only_timestamps(struct __sk_buff *skb, const struct packet *p)
{
	__be32 first;

	return p->tcp_len == TCP_HEADER + TCP_TIMESTAMPS_LEN &&
	       !bpf_skb_load_bytes(skb, p->l4 + TCP_HEADER, &first, sizeof(first)) &&
	       first == bpf_htonl(TCP_OPT_TIMESTAMPS);
}

__noinline int read_tcp_options(struct __sk_buff *skb, const struct packet *p,
				struct tcp_options *ret)
{
	struct option_walk w = {.skb = skb};

	if (!p || !ret)
		return 0;
	w.found.sack = p->ack;
	w.found.scale = SP_NO_SCALE;
	if (p->tcp_len > TCP_HEADER && !only_timestamps(skb, p)) {
		w.at = p->l4 + TCP_HEADER;
		w.end = p->l4 + p->tcp_len;
		bpf_loop(TCP_OPTIONS_MAX, read_option, &w, 0);
	}
	*ret = w.found;
	return 0;
}

#endif
