/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a TCP segment one that its connection may have at this moment? States as RFC 9293 has them and
 * one in the middle can see them; windows after Rooij, "Real Stateful TCP Packet Filtering in IP
 * Filter" (2000); resets and SYNs inside a connection as RFC 5961 wants them answered. Its verdicts
 * are those of nf_conntrack without `be_liberal` and `loose`: docs/flows.md has the differences.
 *
 * What is in the middle sees segments before their receiver does, and not those that are lost
 * behind it. So it refuses what its receiver could not take; it lets pass, without learning from
 * it, what may be the answer of one that knows better: an old acknowledgement, a SYN in a
 * connection, the reset of a connection that it believes to be another.
 */
#ifndef SALLYPORT_BPF_TCP_H
#define SALLYPORT_BPF_TCP_H

#include "tcp_window.h"

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
	m->side[own_side(m)] = SP_NO_SCALE | (m->side[own_side(m)] & SP_SIDE_LIBERAL);
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
	if ((((m->word & SP_FLOW_BOTH) && last == SP_TCP_SYN && !last_was_ours(m)) ||
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
	const struct sp_timeouts *all = all_timeouts();
	__u32 t, other;

	if (!all)
		return 0;
	t = all->ticks[state & 31];
	if (retransmissions(word) == SP_FLOW_RETRANS || (is_ack && !f->last_win))
		other = all->ticks[SP_TIMEOUT_RETRANS];
	else if (sides & SP_SIDE_UNACKED)
		other = all->ticks[SP_TIMEOUT_UNACKED];
	else
		return t;
	return t < other ? t : other;
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
 * What most segments are: an ACK, with data or without, of a connection that is open, and within
 * its windows. False: it is to be looked at in full, and nothing was changed.
 */
static __always_inline bool meet_ack(struct sp_flow *f, __u32 *word, const struct packet *p,
				     __u32 sack, bool reply, __u32 now)
{
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

/* Not inline: five arguments are all that a function has. */
static __noinline bool meet_quickly(struct sp_flow *f, __u32 *word, const struct packet *p,
				    __u32 sack, __u64 now_reply)
{
	return meet_ack(f, word, p, sack, now_reply >> 32, now_reply);
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
	m.scale = o->scale;
	m.sack_permitted = o->sack_permitted;
	m.n = (struct numbers){p->seq, tcp_end(p), p->ack, o->sack, p->win};
	asm volatile("" ::: "memory"); /* or more of it is held at once, on a stack that is short */
	m.word = *word;
	m.side[0] = word_side(*word, 0);
	m.side[1] = word_side(*word, 1);
	m.flags = p->tcp_flags;
	m.reply = now_reply >> 32;
	m.kind = tcp_kind(p->tcp_flags);
	m.old = *word & SP_FLOW_STATE;
	m.new = next_state(m.reply, m.kind, m.old);
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
