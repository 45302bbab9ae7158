/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a TCP segment one that its connection may have at this moment? States as RFC 9293 has them and
 * one in the middle can see them; windows after Rooij, "Real Stateful TCP Packet Filtering in IP
 * Filter" (2000); resets and SYNs inside a connection as RFC 5961 wants them answered. Its verdicts
 * are those of nf_conntrack without `be_liberal` and `loose`: docs/flows.md has the differences.
 *
 * What is in the middle sees segments before their receiver does, and not those that are lost behind
 * it. So it refuses what its receiver could not take; it lets pass, without learning from it, what
 * may be the answer of one that knows better: an old acknowledgement, a SYN in a connection, the
 * reset of a connection that it believes to be another.
 */
#ifndef SALLYPORT_BPF_TCP_H
#define SALLYPORT_BPF_TCP_H

#include "flow.h"

#define TCP_HEADER 20

/* --- what a segment says of itself --- */

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
#define TCP_OPT_SCALE 3	       /* RFC 7323 */
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
	if (o[0] == TCP_OPT_SCALE && o[1] == 3 &&
	    !bpf_skb_load_bytes(w->skb, w->at + 2, o + 2, 1))
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

/* --- states --- */

/*
 * What a segment makes of a connection; NO: it cannot be one of it; PASS: it may be, and tells
 * nothing. A side that is not the originator answers; only where two SYNs crossed do both begin.
 */
enum {
	NONE = SP_FLOW_NONE,
	SENT = SP_FLOW_SYN_SENT,
	RECV = SP_FLOW_SYN_RECV,
	OPEN = SP_FLOW_ESTABLISHED,
	FINW = SP_FLOW_FIN_WAIT,
	CLOW = SP_FLOW_CLOSE_WAIT,
	LAST = SP_FLOW_LAST_ACK,
	TIME = SP_FLOW_TIME_WAIT,
	SHUT = SP_FLOW_CLOSE,
	BOTH = SP_FLOW_SYN_SENT2,
	PASS = 14,
	NO = 15,
};

/* clang-format off */
static const __u8 tcp_next[2][8][16] = {
	{ /* of the originator, in: */
		/*                 NONE, SENT, RECV, OPEN, FINW, CLOW, LAST, TIME, SHUT, BOTH */
		[SP_TCP_SYN] =    {SENT, SENT, PASS, PASS, PASS, PASS, PASS, SENT, SENT, BOTH, NO, NO, NO, NO, NO, NO},
		[SP_TCP_SYNACK] = {NO,   NO,   RECV, NO,   NO,   NO,   NO,   NO,   NO,   RECV, NO, NO, NO, NO, NO, NO},
		[SP_TCP_FIN] =    {NO,   NO,   FINW, FINW, LAST, LAST, LAST, TIME, SHUT, NO,   NO, NO, NO, NO, NO, NO},
		[SP_TCP_ACK] =    {OPEN, NO,   OPEN, OPEN, CLOW, CLOW, TIME, TIME, SHUT, NO,   NO, NO, NO, NO, NO, NO},
		[SP_TCP_RST] =    {NO,   SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, NO, NO, NO, NO, NO, NO},
		[SP_TCP_OTHER] =  {NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO, NO, NO, NO, NO, NO},
	},
	{ /* of the other side, in: */
		/*                 NONE, SENT, RECV, OPEN, FINW, CLOW, LAST, TIME, SHUT, BOTH */
		[SP_TCP_SYN] =    {NO,   BOTH, NO,   NO,   NO,   NO,   NO,   SENT, NO,   BOTH, NO, NO, NO, NO, NO, NO},
		[SP_TCP_SYNACK] = {NO,   RECV, PASS, PASS, PASS, PASS, PASS, PASS, PASS, RECV, NO, NO, NO, NO, NO, NO},
		[SP_TCP_FIN] =    {NO,   NO,   FINW, FINW, LAST, LAST, LAST, TIME, SHUT, NO,   NO, NO, NO, NO, NO, NO},
		[SP_TCP_ACK] =    {NO,   PASS, RECV, OPEN, CLOW, CLOW, TIME, TIME, SHUT, PASS, NO, NO, NO, NO, NO, NO},
		[SP_TCP_RST] =    {NO,   SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, SHUT, NO, NO, NO, NO, NO, NO},
		[SP_TCP_OTHER] =  {NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO,   NO, NO, NO, NO, NO, NO},
	},
};
/* clang-format on */

static __always_inline __u8 next_state(bool reply, enum sp_tcp_kind kind, __u8 state)
{
	return tcp_next[reply & 1][kind & 7][state & 15];
}

/* --- a segment beside its flow --- */

/* A segment by its numbers alone. */
struct numbers {
	__u32 seq, end, ack, sack, win;
};

/*
 * The flow is locked. `side` are the bits of both sides out of the word, `word` is the rest: what was
 * changed is put together again at the end (tcp_word).
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
	TOO_EARLY, /* its receiver cannot take it, or has not sent what it acknowledges */
};

/*
 * Rooij's four bounds. One segment may overrun the window, as senders do that were told of a
 * smaller one too late: nothing further would fit otherwise.
 */
static __always_inline enum fit judge_window(const struct numbers *n,
					     const struct sp_flow_side *from,
					     const struct sp_flow_side *to)
{
	__u32 slack = from->maxwin > MAX_ACK_WINDOW ? from->maxwin : MAX_ACK_WINDOW;

	if (!seq_before(n->seq, from->maxend + 1)) {
		__u32 over = n->end - from->maxend + 1;

		if (over > to->maxwin || !seq_before(from->end, from->maxend + 1))
			return TOO_EARLY;
	}
	if (!seq_before(n->sack, to->end + 1))
		return TOO_EARLY;
	if (to->maxwin && !seq_after(n->end, from->end - to->maxwin - 1))
		return TOO_OLD;
	return seq_after(n->sack, to->end - slack - 1) ? FITS : TOO_OLD;
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

/* --- what stands out of the table --- */

/* Steps to take before windows are judged. */
enum step {
	STEP_WINDOW,
	STEP_TAKE, /* without a look at the windows */
	STEP_PASS, /* it goes on and changes nothing more */
	STEP_FRESH,
	STEP_REFUSE,
};

static __always_inline bool is_closing(__u8 state)
{
	return state >= SP_FLOW_FIN_WAIT && state <= SP_FLOW_CLOSE;
}

/*
 * A SYN on a connection that is over or was reset begins another; RFC 9293, 3.6.1. So it does
 * where its sender has forgotten of it.
 */
static __always_inline bool begins_anew(const struct meeting *m)
{
	if ((m->side[0] | m->side[1]) & SP_SIDE_CLOSER)
		return true;
	return last_was_ours(m) && last_kind(m->word) == SP_TCP_RST;
}

/*
 * The answer to a SYN that did not fit: its two sides know each other, and we were wrong. The SYN's
 * side is what it said, the other begins with this.
 */
static __always_inline bool catch_up(struct sp_flow *f, struct meeting *m)
{
	struct sp_flow_side *caller = &f->side[other_side(m)];

	if (m->kind != SP_TCP_SYNACK || last_kind(m->word) != SP_TCP_SYN || last_was_ours(m) ||
	    m->n.ack != f->last_end)
		return false;
	m->old = SP_FLOW_SYN_SENT;
	m->new = SP_FLOW_SYN_RECV;
	caller->end = caller->maxend = f->last_end;
	caller->maxwin = f->last_win ?: 1;
	f->end[1] &= ~SP_END_CHALLENGE;
	m->side[other_side(m)] = f->end[0] >> SP_END_LAST_SCALE_SHIFT;
	if (f->end[1] & SP_END_LAST_SACK)
		m->side[other_side(m)] |= SP_SIDE_SACK;
	m->side[own_side(m)] = SP_NO_SCALE;
	__builtin_memset(&f->side[own_side(m)], 0, sizeof(*caller));
	return true;
}

/* Remember it: its answer may show that it was right. */
static __always_inline void note_passing(struct sp_flow *f, struct meeting *m)
{
	note_last(m);
	f->last_end = m->n.end;
	f->last_win = m->n.win;
	if (m->kind == SP_TCP_SYN && !m->reply) {
		f->end[0] = (f->end[0] & ~(0xfU << SP_END_LAST_SCALE_SHIFT)) |
			    (__u32)m->scale << SP_END_LAST_SCALE_SHIFT;
		f->end[1] &= ~(SP_END_LAST_SACK | SP_END_CHALLENGE | SP_END_CROSSED);
		if (m->sack_permitted)
			f->end[1] |= SP_END_LAST_SACK;
		if (m->old == SP_FLOW_LAST_ACK)
			f->end[1] |= SP_END_CHALLENGE;
	}
	/* An answer to the first SYN that is none may be a challenge: the RST to it has this. */
	if (m->old == SP_FLOW_SYN_SENT && m->kind == SP_TCP_ACK && m->reply)
		f->side[1].maxack = m->n.ack; /* that side has not begun */
}

/*
 * A reset must be exactly where its receiver is (RFC 5961, 3), or its receiver answers with a
 * challenge, which must find the connection as it was. In a connection that is closing any will do.
 */
static __always_inline enum step judge_reset(const struct sp_flow *f, struct meeting *m)
{
	bool assured = m->word & SP_FLOW_ASSURED;
	bool open = m->old == SP_FLOW_ESTABLISHED && assured;
	enum sp_tcp_kind last = last_kind(m->word);
	__u32 expected = f->side[other_side(m)].maxack;

	if (is_closing(m->old))
		return STEP_TAKE;
	if ((m->side[other_side(m)] & SP_SIDE_ACKED) && last != SP_TCP_SYN) {
		if (!m->n.seq && !open) /* the answer to a SYN that we let pass */
			return STEP_WINDOW;
		if (seq_before(m->n.seq, expected))
			return STEP_REFUSE;
		if (!open || m->n.seq == expected)
			return STEP_WINDOW;
		/* Right behind what it has just sent. */
		if (last == SP_TCP_ACK && last_was_ours(m) && m->n.seq == f->last_end)
			return STEP_WINDOW;
		m->new = m->old;
	}
	/* The answer to something that we let pass. */
	if ((((m->word & SP_FLOW_BOTH) && last == SP_TCP_SYN) ||
	     (!assured && last == SP_TCP_ACK)) &&
	    m->n.ack == f->last_end)
		return STEP_TAKE;
	if (m->old == SP_FLOW_SYN_SENT && last == SP_TCP_ACK && (m->word & SP_FLOW_LAST_REPLY) &&
	    m->n.seq == f->side[1].maxack)
		return STEP_TAKE;
	return STEP_WINDOW;
}

__noinline int special_case(struct sp_flow *f, struct meeting *m)
{
	if (!f || !m)
		return STEP_REFUSE;
	switch (m->new) {
	case NO:
		return STEP_REFUSE;
	case SP_FLOW_SYN_SENT:
		if (m->old < SP_FLOW_TIME_WAIT)
			return STEP_WINDOW;
		if (begins_anew(m))
			return STEP_FRESH;
		/* fall through */
	case PASS:
		if (catch_up(f, m))
			return STEP_WINDOW;
		note_passing(f, m);
		return STEP_PASS;
	case SP_FLOW_TIME_WAIT:
		/* The answer to a SYN acknowledges no FIN. */
		if (m->old == SP_FLOW_LAST_ACK && m->kind == SP_TCP_ACK && !last_was_ours(m) &&
		    last_kind(m->word) == SP_TCP_SYN && (f->end[1] & SP_END_CHALLENGE)) {
			f->end[1] &= ~SP_END_CHALLENGE;
			return STEP_PASS;
		}
		return STEP_WINDOW;
	case SP_FLOW_SYN_SENT2:
		f->end[1] |= SP_END_CROSSED;
		return STEP_WINDOW;
	case SP_FLOW_SYN_RECV:
		if (m->reply && m->kind == SP_TCP_ACK && (f->end[1] & SP_END_CROSSED))
			m->new = SP_FLOW_ESTABLISHED;
		return STEP_WINDOW;
	case SP_FLOW_CLOSE:
		return m->kind == SP_TCP_RST ? judge_reset(f, m) : STEP_WINDOW;
	default:
		return STEP_WINDOW;
	}
}

/* --- the end of it --- */

static __always_inline __u32 shorter(__u32 t, enum sp_timeout which)
{
	__u32 other = timeout(which);

	return t < other ? t : other;
}

/* In STATE, after a segment that was no reset; SIDES: the bits of both. */
static __always_inline __u32 tcp_timeout(const struct sp_flow *f, __u32 word, __u8 state,
					 __u16 sides, bool is_ack)
{
	__u32 t = timeout((enum sp_timeout)state);

	if (retransmissions(word) == SP_FLOW_RETRANS || (is_ack && !f->last_win))
		return shorter(t, SP_TIMEOUT_RETRANS);
	return sides & SP_SIDE_UNACKED ? shorter(t, SP_TIMEOUT_UNACKED) : t;
}

/*
 * Resets and FINs that do not fit: if both sides send such, it is over and only we do not know; it
 * shall not stand there for days. NOW: its owner's time.
 */
static __always_inline void note_misfit(struct sp_flow *f, struct meeting *m, __u32 now)
{
	enum sp_tcp_kind last = last_kind(m->word);
	__u32 t = timeout(SP_TIMEOUT_UNACKED);

	if (!(m->word & SP_FLOW_ASSURED) || (m->kind != SP_TCP_RST && m->kind != SP_TCP_FIN))
		return;
	if (!last_was_ours(m) && (last == SP_TCP_FIN || last == SP_TCP_RST)) {
		if (!ticks_reached(now + t, f->expires))
			f->expires = now + t;
		return;
	}
	note_last(m);
}

/* It was in order. */
__noinline int take_segment(struct sp_flow *f, struct meeting *m, __u32 now)
{
	__u32 t;

	if (!f || !m)
		return 0;
	note_last(m);
	m->word = (m->word & ~SP_FLOW_STATE) | m->new;
	if (m->old != m->new && m->new == SP_FLOW_FIN_WAIT)
		m->side[own_side(m)] |= SP_SIDE_CLOSER;
	t = m->kind == SP_TCP_RST ? timeout((enum sp_timeout)SP_FLOW_CLOSE)
				  : tcp_timeout(f, m->word, m->new, m->side[0] | m->side[1],
						m->kind == SP_TCP_ACK);
	if (m->word & SP_FLOW_BOTH) {
		if ((m->old == SP_FLOW_SYN_RECV || m->old == SP_FLOW_ESTABLISHED) &&
		    m->new == SP_FLOW_ESTABLISHED)
			m->word |= SP_FLOW_ASSURED;
	} else if (m->kind == SP_TCP_RST) {
		t = 0; /* there was nothing but the refusal */
	} else if (m->kind == SP_TCP_SYN && m->old == SP_FLOW_SYN_SENT) {
		return 0; /* asking again and again does not keep it */
	} else if (m->new == SP_FLOW_ESTABLISHED) {
		t = shorter(t, SP_TIMEOUT_UNACKED); /* picked up, and not answered */
	}
	f->expires = now + t;
	return 0;
}

/* --- all of it --- */

/*
 * What most segments are: an ACK, with data or without, of a connection that is open, and within its
 * windows. False: it is to be looked at in full, and nothing was changed.
 */
static __noinline bool meet_quickly(struct sp_flow *f, __u32 *word, const struct packet *p,
				    __u32 sack, __u64 now_reply)
{
	__u32 now = now_reply;
	bool reply = now_reply >> 32;
	const __u32 wanted = SP_FLOW_ESTABLISHED | SP_FLOW_ASSURED;
	struct sp_flow_side *from = &f->side[reply ? 1 : 0], *to = &f->side[reply ? 0 : 1];
	struct numbers n = {p->seq, p->seq + p->l4_len - p->tcp_len, p->ack, sack, p->win};
	__u16 own = word_side(*word, reply), other = word_side(*word, !reply);
	__u32 w = *word;
	bool same;

	if ((w & (SP_FLOW_STATE | SP_FLOW_ASSURED)) != wanted || p->fragment ||
	    (p->tcp_flags & TCP_FLAG_MASK) != TCP_ACK || !from->maxwin ||
	    judge_window(&n, from, to) != FITS)
		return false;
	n.win <<= side_scale(own);
	own = learn_from(&n, from, own, true);
	other = learn_to(&n, from, to, other);
	same = !!(w & SP_FLOW_LAST_REPLY) == reply;
	w = count_retransmission(f, w, &n, same);
	f->expires = now + tcp_timeout(f, w, SP_FLOW_ESTABLISHED, own | other, true);
	w = set_last(w, SP_TCP_ACK, reply);
	*word = reply ? tcp_word(w, other, own) : tcp_word(w, own, other);
	return true;
}

/*
 * The flow F, whose word is *WORD, is locked and P's; O: of a SYN, else only sack. NOW: its owner's
 * time. GO_ON, a negative reason, or FRESH. *WORD is what it has to be unlocked with.
 */
__noinline int meet_slowly(struct sp_flow *f, __u32 *word, const struct packet *p,
			   const struct tcp_options *o, __u64 now_reply)
{
	__u32 now = now_reply;
	struct meeting m = {};
	int step, fit, r = GO_ON;

	if (!f || !word || !p || !o)
		return -SP_R_FLOW_INVALID;
	m.word = *word;
	m.n = (struct numbers){p->seq, tcp_end(p), p->ack, o->sack, p->win};
	m.side[0] = word_side(*word, 0);
	m.side[1] = word_side(*word, 1);
	m.flags = p->tcp_flags;
	m.reply = now_reply >> 32;
	m.kind = tcp_kind(p->tcp_flags);
	m.old = *word & SP_FLOW_STATE;
	m.new = next_state(m.reply, m.kind, m.old);
	m.scale = o->scale;
	m.sack_permitted = o->sack_permitted;
	m.whole = !p->fragment;
	step = special_case(f, &m);
	if (step == STEP_FRESH)
		return FRESH;
	if (step == STEP_REFUSE)
		r = -SP_R_FLOW_INVALID;
	if (step == STEP_TAKE)
		take_segment(f, &m, now);
	if (step == STEP_WINDOW) {
		fit = judge_windows(f, &m);
		if (fit == FITS)
			take_segment(f, &m, now);
		if (fit == TOO_EARLY) {
			note_misfit(f, &m, now);
			r = -SP_R_FLOW_WINDOW;
		}
	}
	if (m.reply && !r)
		m.word |= SP_FLOW_BOTH;
	*word = tcp_word(m.word, m.side[0], m.side[1]);
	return r;
}

#endif
