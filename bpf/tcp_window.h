/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a segment within the windows of its connection, and what is known of them after it? After
 * Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000), and RFC 7323 for their scale.
 */
#ifndef SALLYPORT_BPF_TCP_WINDOW_H
#define SALLYPORT_BPF_TCP_WINDOW_H

#include "flow.h"
#include "tcp_segment.h"

/* --- a segment beside its flow --- */

/* A segment by its numbers alone. */
struct numbers {
	__u32 seq, end, ack, sack, win;
};

/*
 * The flow is locked. `side` are the bits of both sides out of the word, `word` is the rest: what
 * was changed is put together again at the end (tcp_word).
 */
struct meeting {
	__u32 word;
	struct numbers n;
	__u16 side[2];
	__u8 flags;
	__u8 reply;		    /* it is not the originator's */
	__u8 kind;		    /* enum sp_tcp_kind */
	__u8 old, new;		    /* enum sp_flow_state */
	__u8 scale, sack_permitted; /* of a SYN */
	__u8 whole;		    /* it is in no fragments */
};

/* Indices of the sender's side, and of the other. */
static __always_inline __u32 own_side(const struct meeting *m)
{
	return m->reply & 1;
}

static __always_inline __u32 other_side(const struct meeting *m)
{
	return (m->reply ^ 1) & 1;
}

static __always_inline enum sp_tcp_kind last_kind(__u32 word)
{
	return (word >> SP_FLOW_LAST_SHIFT) & SP_FLOW_LAST;
}

/* Was the last segment from the side of this one? */
static __always_inline bool last_was_ours(const struct meeting *m)
{
	return !!(m->word & SP_FLOW_LAST_REPLY) == m->reply;
}

static __always_inline __u32 set_last(__u32 word, __u8 kind, bool reply)
{
	word &= ~(SP_FLOW_LAST << SP_FLOW_LAST_SHIFT | SP_FLOW_LAST_REPLY);
	return word | (__u32)kind << SP_FLOW_LAST_SHIFT | (reply ? SP_FLOW_LAST_REPLY : 0);
}

static __always_inline void note_last(struct meeting *m)
{
	m->word = set_last(m->word, m->kind, m->reply);
}

static __always_inline __u32 set_retransmissions(__u32 word, __u32 n)
{
	return (word & ~(SP_FLOW_RETRANS << SP_FLOW_RETRANS_SHIFT)) | n << SP_FLOW_RETRANS_SHIFT;
}

static __always_inline __u32 retransmissions(__u32 word)
{
	return (word >> SP_FLOW_RETRANS_SHIFT) & SP_FLOW_RETRANS;
}

#define SIDES_MASK (SP_FLOW_SIDE << SP_FLOW_SIDE_SHIFT(0) | SP_FLOW_SIDE << SP_FLOW_SIDE_SHIFT(1))

static __always_inline __u32 tcp_word(__u32 word, __u16 side0, __u16 side1)
{
	return (word & ~SIDES_MASK) | (__u32)side0 << SP_FLOW_SIDE_SHIFT(0) |
	       (__u32)side1 << SP_FLOW_SIDE_SHIFT(1);
}

static __always_inline __u16 word_side(__u32 word, __u8 side)
{
	return (side ? word >> SP_FLOW_SIDE_SHIFT(1) : word >> SP_FLOW_SIDE_SHIFT(0)) &
	       SP_FLOW_SIDE;
}

static __always_inline __u8 side_scale(__u16 side)
{
	__u8 scale = side & SP_SIDE_SCALE;

	return scale == SP_NO_SCALE ? 0 : scale;
}

/* --- windows --- */

/* What a receiver may be behind with acknowledgements of a small window: Rooij, 5.2. */
#define MAX_ACK_WINDOW 66000

/* A side begins, or begins anew, with this SYN. */
static __always_inline void begin_side(struct meeting *m, struct sp_flow_side *from)
{
	__u16 other = m->side[other_side(m)], own = m->scale;

	own |= m->side[own_side(m)] & SP_SIDE_LIBERAL;
	if (m->sack_permitted)
		own |= SP_SIDE_SACK;
	/* RFC 7323, 2.2: both must offer, or none scales. */
	if (m->reply && (own & SP_SIDE_SCALE) == SP_NO_SCALE &&
	    (other & SP_SIDE_SCALE) != SP_NO_SCALE)
		other &= ~SP_SIDE_SCALE;
	else if (m->reply && (other & SP_SIDE_SCALE) == SP_NO_SCALE &&
		 (own & SP_SIDE_SCALE) != SP_NO_SCALE)
		own &= ~SP_SIDE_SCALE;
	m->side[own_side(m)] = own;
	m->side[other_side(m)] = other;
	from->end = from->maxend = m->n.end;
	from->maxwin = m->n.win ?: 1;
}

/* A side that was not heard of speaks, and not with a SYN: what it says is all that is known. */
static __always_inline void guess_side(struct meeting *m, struct sp_flow_side *from,
				       struct sp_flow_side *to)
{
	__u32 win = m->n.win << side_scale(m->side[own_side(m)]);

	from->end = m->n.end;
	from->maxwin = win ?: 1;
	from->maxend = m->n.end + from->maxwin;
	if (!to->maxwin)
		to->end = to->maxend = m->n.sack;
	else if (m->n.sack == to->end + 1) /* the answer to a keep-alive */
		to->end++;
}

/* True: it says all that it can of its windows, and that is in order. */
static __always_inline bool begin_windows(struct meeting *m, struct sp_flow_side *from,
					  struct sp_flow_side *to)
{
	bool syn = m->flags & TCP_SYN;

	if (!from->maxwin) {
		if (!syn) {
			guess_side(m, from, to);
			return false;
		}
		begin_side(m, from);
		return !(m->flags & TCP_ACK);
	}
	if (syn && seq_after(m->n.end, from->end) &&
	    (m->old == SP_FLOW_SYN_SENT || m->old == SP_FLOW_SYN_RECV)) {
		begin_side(m, from);
		return m->reply && !(m->flags & TCP_ACK);
	}
	return false;
}

/* An acknowledgement that is missing, or was left zero in a reset, and where a reset stands. */
static __always_inline void fill_in(struct meeting *m, const struct sp_flow_side *from,
				    const struct sp_flow_side *to)
{
	bool rst = m->flags & TCP_RST;

	if (!(m->flags & TCP_ACK) || (rst && !m->n.ack))
		m->n.ack = m->n.sack = to->end;
	if (rst && !m->n.seq && m->old == SP_FLOW_SYN_SENT)
		m->n.seq = m->n.end = from->end;
}

enum fit {
	FITS,
	TOO_OLD,   /* for its window: repeated, or overtaken; it tells nothing */
	TOO_MUCH,  /* it overruns its window, by no more than the largest that was offered */
	TOO_EARLY, /* its receiver cannot take it, or has not sent what it acknowledges */
};

/*
 * Rooij's four bounds. A sender may be told too late that its window is smaller now: what is beyond
 * by no more than its receiver has ever offered passes, or nothing behind it would fit any more.
 */
static __always_inline enum fit judge_window(const struct numbers *n,
					     const struct sp_flow_side *from,
					     const struct sp_flow_side *to)
{
	__u32 slack = from->maxwin > MAX_ACK_WINDOW ? from->maxwin : MAX_ACK_WINDOW;
	bool beyond = !seq_before(n->seq, from->maxend + 1);
	bool fresh = seq_after(n->end, from->end - to->maxwin - 1);
	bool ack_fresh = seq_after(n->sack, to->end - slack - 1);

	bool ack_known = seq_before(n->sack, to->end + 1);

	if (beyond)
		return to->maxwin && fresh && ack_fresh && ack_known &&
				       n->end - from->maxend + 1 <= to->maxwin
			       ? TOO_MUCH
			       : TOO_EARLY;
	if (!ack_known)
		return TOO_EARLY;
	return (!to->maxwin || fresh) && ack_fresh ? FITS : TOO_OLD;
}

/* What is known of a sender after its segment. Its bits, changed. */
static __always_inline __u16 learn_from(const struct numbers *n, struct sp_flow_side *from,
					__u16 bits, bool has_ack)
{
	__u32 win = n->win + (n->sack - n->ack);

	if (from->maxwin < win)
		from->maxwin = win;
	if (seq_after(n->end, from->end)) {
		from->end = n->end;
		bits |= SP_SIDE_UNACKED;
	}
	if (!has_ack)
		return bits;
	if (!(bits & SP_SIDE_ACKED) || seq_after(n->ack, from->maxack))
		from->maxack = n->ack;
	return bits | SP_SIDE_ACKED;
}

/* And of its receiver. */
static __always_inline __u16 learn_to(const struct numbers *n, const struct sp_flow_side *from,
				      struct sp_flow_side *to, __u16 bits)
{
	if (to->maxwin && seq_after(n->end, from->maxend))
		to->maxwin += n->end - from->maxend;
	if (seq_after(n->sack + n->win, to->maxend - 1)) {
		to->maxend = n->sack + n->win;
		if (!n->win) /* a probe of one byte */
			to->maxend++;
	}
	return n->ack == to->end ? bits & ~SP_SIDE_UNACKED : bits;
}

/* Zero with a window of zero, and then only: such a flow does not live long either. */
static __always_inline __u16 tcp_digest(const struct numbers *n)
{
	__u32 h = (n->seq ^ n->ack * 0x9e3779b1U ^ n->win) * 0x85ebca6bU;

	return n->win ? (h >> 16) | 1 : 0;
}

/* The same ACK again, from SAME side as the last? Data that nobody acknowledges comes again. */
static __always_inline __u32 count_retransmission(struct sp_flow *f, __u32 word,
						  const struct numbers *n, bool same)
{
	__u16 digest = tcp_digest(n);
	__u32 times = 0;

	if (same && f->last_end == n->end && f->last_win == digest) {
		times = retransmissions(word);
		times += times < SP_FLOW_RETRANS;
	}
	f->last_end = n->end;
	f->last_win = digest;
	return set_retransmissions(word, times);
}

/* Not static, as read_packet. */
__noinline int judge_windows(struct sp_flow *f, struct meeting *m)
{
	bool has_ack, same;
	struct sp_flow_side *from, *to;
	__u16 *own, *other;
	enum fit fit;

	if (!f || !m)
		return TOO_EARLY;
	from = &f->side[own_side(m)];
	to = &f->side[other_side(m)];
	own = &m->side[own_side(m)];
	other = &m->side[other_side(m)];
	if (begin_windows(m, from, to))
		return FITS;
	fill_in(m, from, to);
	fit = judge_window(&m->n, from, to);
	if (fit == TOO_MUCH) { /* its receiver may take it, and acknowledge it then */
		from->end = m->n.end;
		*own |= SP_SIDE_UNACKED;
	}
	if (fit != FITS)
		return *own & SP_SIDE_LIBERAL ? FITS : fit;
	if (!(m->flags & TCP_SYN)) /* RFC 7323, 2.2: that of a SYN is never scaled */
		m->n.win <<= side_scale(*own);
	has_ack = m->flags & TCP_ACK;
	same = last_was_ours(m);
	*own = learn_from(&m->n, from, *own, has_ack);
	/* How much the datagram has in its other fragments is not known: as much as it may. */
	if (!m->whole && seq_after(from->maxend, from->end))
		from->end = from->maxend;
	*other = learn_to(&m->n, from, to, *other);
	if (m->kind == SP_TCP_ACK)
		m->word = count_retransmission(f, m->word, &m->n, same);
	return FITS;
}

#endif
