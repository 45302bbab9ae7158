/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Most frames are of a connection that is open, in order, in the plainest of forms. Those go
 * through here, in one piece; all others, and whatever is the least uncertain about these, takes
 * the long way (steer.bpf.c), and nothing was changed before. Whoever passes here would pass there:
 * the steps are the same, less those that a look at the headers rules out.
 */
#ifndef SALLYPORT_BPF_FAST_H
#define SALLYPORT_BPF_FAST_H

#include "forward.h"
#include "lease.h"

/* --- the headers, where they are plain and linear --- */

struct tcp_plain {
	struct tcp_header h;
	__be32 option; /* the first; not of a header without */
};

struct udp_header { /* RFC 768 */
	__be16 sport, dport, len, check;
};

/* Ports that the guards and the leases look at (spoof.h, lease.h). */
static __always_inline bool is_dhcp_port(__be16 port)
{
	switch (port) {
	case bpf_htons(DHCP_SERVER_PORT):
	case bpf_htons(DHCP_CLIENT_PORT):
	case bpf_htons(DHCP6_SERVER_PORT):
	case bpf_htons(DHCP6_CLIENT_PORT):
		return true;
	default:
		return false;
	}
}

static __always_inline bool read_plain_udp(const struct udp_header *u, const void *end,
					   struct packet *p)
{
	if ((const void *)(u + 1) > end || p->l4_len < sizeof(*u))
		return false;
	p->sport = u->sport;
	p->dport = u->dport;
	return bpf_ntohs(u->len) >= sizeof(*u) && bpf_ntohs(u->len) <= p->l4_len &&
	       !is_dhcp_port(u->sport) && !is_dhcp_port(u->dport);
}

/* An ACK, without options or with timestamps. */
static __always_inline bool read_plain_tcp(const struct tcp_plain *t, const void *end,
					   struct packet *p)
{
	const struct tcp_header *h = &t->h;

	if ((const void *)(h + 1) > end)
		return false;
	p->sport = h->sport;
	p->dport = h->dport;
	p->seq = bpf_ntohl(h->seq);
	p->ack = bpf_ntohl(h->ack);
	p->win = bpf_ntohs(h->win);
	p->tcp_len = (h->offset >> 4) * 4;
	p->tcp_flags = h->flags;
	if ((h->flags & TCP_FLAG_MASK) != TCP_ACK || p->tcp_len > p->l4_len)
		return false;
	if (p->tcp_len == TCP_HEADER)
		return true;
	return p->tcp_len == TCP_HEADER + TCP_TIMESTAMPS_LEN && (const void *)(t + 1) <= end &&
	       t->option == bpf_htonl(TCP_OPT_TIMESTAMPS);
}

static __always_inline bool read_plain_upper(const void *at, const void *end, struct packet *p)
{
	switch (p->proto) {
	case PROTO_TCP:
		return read_plain_tcp(at, end, p);
	case PROTO_UDP:
		return read_plain_udp(at, end, p);
	default:
		return false;
	}
}

static __always_inline bool read_plain4(const struct ip4_header *ip, const void *end, __u32 room,
					struct packet *p)
{
	__u32 total;

	if ((const void *)(ip + 1) > end)
		return false;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version_ihl != 0x45 || total < sizeof(*ip) || total > room ||
	    (ip->frag_off & bpf_htons(IP4_MORE_FRAGMENTS | IP4_OFFSET_MASK)))
		return false;
	map_ip4(&p->src, ip->src);
	map_ip4(&p->dst, ip->dst);
	p->version = 4;
	p->proto = ip->proto;
	p->l4_len = total - sizeof(*ip);
	return read_plain_upper(ip + 1, end, p);
}

static __always_inline bool read_plain6(const struct ip6_header *ip, const void *end, __u32 room,
					struct packet *p)
{
	if ((const void *)(ip + 1) > end)
		return false;
	p->l4_len = bpf_ntohs(ip->payload_len);
	if (ip->version_class >> 4 != 6 || p->l4_len > room - IPV6_MIN)
		return false;
	p->src = ip->src;
	p->dst = ip->dst;
	p->version = 6;
	p->proto = ip->next;
	return read_plain_upper(ip + 1, end, p);
}

/* False: it is to be read by read_packet. P is zero when it comes. */
static __always_inline bool read_plain(const struct __sk_buff *skb, const struct frame *f,
				       struct packet *p)
{
	const void *at = (void *)(long)skb->data + ETH_HLEN, *end = (void *)(long)skb->data_end;
	__u32 room = f->len - ETH_HLEN;

	if (f->proto == bpf_htons(ETH_P_IP))
		return read_plain4(at, end, room, p);
	return f->proto == bpf_htons(ETH_P_IPV6) && read_plain6(at, end, room, p);
}

/* --- its flow --- */

/* The flow is that of the passage's machines, and its sender is proved. It is locked. */
static __always_inline bool ends_fit(const struct sp_flow *f, const struct passage *w)
{
	return same_ends(f, w) && (!w->port[FROM] || is_proven(f, w));
}

/* The flow is locked. A copy for each direction: REPLY is a constant. */
static __always_inline bool meet_one_way(struct sp_flow *f, __u32 *word, const struct packet *p,
					 const struct passage *w, bool reply)
{
	__u32 now = owner_now(w, reply);

	if (ticks_reached(now, f->expires))
		return false;
	return p->proto == PROTO_TCP ? meet_ack(f, word, p, p->ack, reply, now)
				     : !meet_plain(f, word, p, reply, now);
}

/* In order, alive, and its sender proved. False: nothing was changed. */
static __always_inline bool meet_in_order(struct sp_flow *f, const struct packet *p,
					  const struct passage *w)
{
	struct locking l = {.at = &f->word};
	bool met = false;

	if (!try_lock(&l))
		return false;
	if (f->tag != w->tag) {
		let_go(&f->word);
		return false;
	}
	if (ends_fit(f, w)) {
		if (originator(l.word) != w->from) {
			met = meet_one_way(f, &l.word, p, w, true);
			asm volatile("" : "+r"(met)); /* or clang makes one of both */
		} else {
			met = meet_one_way(f, &l.word, p, w, false);
		}
	}
	unlock_word(&f->word, l.word);
	return met;
}

/* --- all of it --- */

/*
 * From the machine SELF to the machine TO, one of which may be NULL, by D's port. True: it passes,
 * and its flow knows. *RET_NOW: what time it is.
 */
static __always_inline bool is_in_order(const struct __sk_buff *skb, const struct frame *f,
					const struct sp_bind *bind, const struct sp_machine *self,
					const struct sp_machine *to, const struct sp_dst *d,
					__u64 *ret_now)
{
	struct packet p = {};
	struct sp_flow *flow;
	struct passage w;

	if (!sp_fast || sp_explain || judge_unicast(f, bind, d) || (d->flags & SP_F_ASLEEP) ||
	    !read_plain(skb, f, &p))
		return false;
	__builtin_memset(&w, 0, __builtin_offsetof(struct passage, key)); /* that is set at once */
	*ret_now = begin_passage(&w, f, self, bind->port, to, d->port);
	if (p.version == 6) {
		make_key6(&p, &w);
		flow = look_up6(&w);
	} else {
		make_key4(&p, &w);
		flow = look_up4(&w);
	}
	return flow && (!self || w.epoch) && meet_in_order(flow, &p, &w);
}

#endif
