/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does an ICMP error tell of something that was sent? It quotes the packet that it is about: that
 * one's flow must be there, and it must have come from whom the error goes to. RFC 792, 4443; what
 * is to be believed of them: RFC 5927.
 */
#ifndef SALLYPORT_BPF_RELATED_H
#define SALLYPORT_BPF_RELATED_H

#include "tcp.h"

/* Read the packet that the error OUTER quotes into P, which is zero. Not static, as read_packet. */
__noinline int read_quoted(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 room, __u32 six)
{
	struct place w = {.at = at, .room = room, .quoted = true};

	if (!p)
		return SP_R_BAD_HEADERS;
	return six ? read_ip6(skb, &w, p) : read_ip4(skb, &w, p);
}

/*
 * A sequence number that was on its way when the error was made: sent, and not so long ago that its
 * receiver would not have taken it. RFC 5927, 4.1.
 */
static __always_inline bool is_plausible(const struct sp_flow *f, __u32 word, __u8 end, __u32 seq)
{
	bool reply = originator(word) != end;
	const struct sp_flow_side *from = &f->side[reply ? 1 : 0], *to = &f->side[reply ? 0 : 1];
	__u32 slack = to->maxwin > MAX_ACK_WINDOW ? to->maxwin : MAX_ACK_WINDOW;

	if (word_side(word, reply) & SP_SIDE_LIBERAL)
		return true;
	return from->maxwin && seq_before(seq, from->end + 1) &&
	       seq_after(seq, from->end - slack - 1);
}

/* The flow of the quoted packet P. *RET_TAG, *RET_FROM: of its passage. */
static __noinline struct sp_flow *find_quoted(const struct packet *p, const struct passage *w,
					      __u16 *ret_tag, __u8 *ret_from)
{
	struct passage q = {.slot = w->slot};

	if (is_icmp(p) && !icmp_has_id(p))
		return NULL;
	__builtin_memcpy(q.leg, w->leg, sizeof(q.leg));
	make_key(p, &q);
	*ret_tag = q.tag;
	*ret_from = q.from;
	return look_up(&q);
}

/* P is the quoted packet. W's ports are those of the error. */
static __always_inline bool judge_quoted(const struct packet *p, const struct passage *w)
{
	__u16 tag = 0;
	__u8 from = 0;
	struct sp_flow *f = find_quoted(p, w, &tag, &from);
	__u32 word;
	bool ok;

	if (!f || !lock_word(&f->word, &word))
		return false;
	ok = f->tag == tag && end_port(f, from) == w->port[TO] &&
	     !flow_is_over(f, word, flow_now(f, word)) &&
	     (p->proto != PROTO_TCP || is_plausible(f, word, from, p->seq));
	let_go(&f->word);
	return ok;
}

/* P is an ICMP error; it is the packet that it quotes afterwards. */
__noinline int judge_related(struct __sk_buff *skb, struct packet *p, const struct passage *w)
{
	__u32 at, room, six;
	union addr to;

	if (!p || !w || p->fragment)
		return -SP_R_RELATED;
	to = p->dst;
	at = p->l4 + ICMP_HEADER;
	room = p->l4_len - ICMP_HEADER; /* it has one: read_packet */
	six = p->version == 6;
	__builtin_memset(p, 0, sizeof(*p));
	if (read_quoted(skb, p, at, room, six) || !addr_equal(&p->src, &to))
		return -SP_R_RELATED;
	return judge_quoted(p, w) ? GO_ON : -SP_R_RELATED;
}

#endif
