/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What do two hosts say that mostly follow the rules, over a network that does not? */
#include <string.h>

#include "draw.h"
#include "talk.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20

#define MSS 1460

/* One end of a connection. */
struct end {
	uint32_t iss, next; /* what it sends next */
	uint32_t heard;	    /* what it acknowledges: behind the last byte that came in order */
	uint32_t acked;	    /* of its own, by the other side */
	uint16_t win;
	uint8_t scale;
	bool sack, timestamps;
	bool syn, fin, gone; /* it has said so */
};

struct walk {
	struct talk *t;
	struct end end[2];
	uint16_t port[2];
	uint32_t id;
};

static bool once_in(uint32_t n)
{
	return draw(n) == 0;
}

static uint32_t any32(void)
{
	return draw(1 << 16) << 16 | draw(1 << 16);
}

/* A number to be off by: small, of a window's size, or half the circle. */
static uint32_t offset(void)
{
	uint32_t n;

	switch (draw(6)) {
	case 0:
		n = 1;
		break;
	case 1:
		n = 2 + draw(200);
		break;
	case 2:
		n = draw(70000);
		break;
	case 3:
		n = 65535 + draw(3) - 1;
		break;
	case 4:
		n = draw(1 << 24);
		break;
	default:
		n = any32();
		break;
	}
	return once_in(2) ? n : -n;
}

static struct talk_packet *add(struct walk *w, uint8_t from, uint8_t proto)
{
	struct talk_packet *k = &w->t->packet[w->t->n++];

	*k = (struct talk_packet){
		.from = from, .proto = proto, .quotes = -1, .scale = TALK_NO_SCALE, .id = ++w->id};
	memcpy(k->port, w->port, sizeof(k->port));
	return k;
}

static bool has_room(const struct walk *w, unsigned int n)
{
	return w->t->n + n <= TALK_MAX;
}

/* --- TCP, by the rules --- */

static void begin_end(struct end *e)
{
	static const uint16_t wins[] = {0xffff, 64240, 29200, 8192, 1024, 512, 1, 0};

	*e = (struct end){.win = wins[draw(once_in(4) ? 8 : 4)],
			  .scale = once_in(3) ? TALK_NO_SCALE : (uint8_t)draw(15),
			  .sack = !once_in(3),
			  .timestamps = once_in(3)};
	if (once_in(2))
		e->scale = e->scale == TALK_NO_SCALE ? e->scale : (uint8_t)draw(3);
	e->iss = once_in(3) ? 0U - draw(4000) : any32();
	e->next = e->iss;
}

/* What END would send with these flags and N bytes. */
static struct talk_packet *say(struct walk *w, uint8_t from, uint8_t flags, uint16_t n)
{
	struct talk_packet *k = add(w, from, 6);
	struct end *e = &w->end[from];

	k->flags = flags;
	k->seq = flags & SYN ? e->iss : e->next;
	k->ack = flags & ACK ? e->heard : 0;
	k->win = e->win;
	k->data = n;
	k->timestamps = e->timestamps;
	if (flags & SYN) {
		k->scale = e->scale;
		k->sack_permitted = e->sack;
	}
	return k;
}

/* It was sent, and the other side has it unless it was LOST behind us. */
static void went(struct walk *w, const struct talk_packet *k, bool lost)
{
	struct end *e = &w->end[k->from], *o = &w->end[!k->from];
	uint32_t end = k->seq + k->data + !!(k->flags & SYN) + !!(k->flags & FIN);

	e->next = (int32_t)(end - e->next) > 0 ? end : e->next;
	if (k->flags & SYN)
		e->syn = true;
	if (k->flags & FIN)
		e->fin = true;
	if (k->flags & RST)
		e->gone = true;
	if (!lost && !(k->flags & RST))
		o->heard = e->next;
	if (!lost && k->flags & ACK)
		o->acked = k->ack;
}

static void say_and_send(struct walk *w, uint8_t from, uint8_t flags, uint16_t n)
{
	went(w, say(w, from, flags, n), once_in(12));
}

static void add_sack(struct walk *w, struct talk_packet *k)
{
	struct end *o = &w->end[!k->from];

	k->n_sack = (uint8_t)(1 + draw(k->timestamps ? 3 : 2));
	for (int i = 0; i < k->n_sack; i++) {
		k->sack[i][0] = o->heard + draw(3000);
		k->sack[i][1] = once_in(3) ? o->next + offset() : o->next;
	}
}

/* --- TCP, against them --- */

static void alter(struct talk_packet *k)
{
	static const uint8_t flags[] = {SYN,	   SYN | ACK,
					ACK,	   FIN | ACK,
					RST,	   RST | ACK,
					PSH | ACK, ACK | URG,
					FIN,	   0,
					SYN | FIN, SYN | RST,
					URG,	   PSH,
					SYN | PSH, FIN | RST | ACK,
					SYN | URG, FIN | PSH | ACK};

	k->how |= TALK_ALTERED;
	switch (draw(9)) {
	case 0:
	case 1:
		k->seq += offset();
		break;
	case 2:
	case 3:
		k->ack += offset();
		break;
	case 4:
		k->flags = flags[draw(sizeof(flags))];
		break;
	case 5:
		k->win = (uint16_t)(once_in(2) ? 0 : draw(65536));
		break;
	case 6:
		k->data = (uint16_t)draw(MSS);
		break;
	case 7:
		k->from = !k->from;
		break;
	default:
		k->seq += offset();
		k->ack += offset();
		break;
	}
}

/* An earlier packet again, by the same or, altered, by anybody. */
static void repeat(struct walk *w)
{
	struct talk_packet old = w->t->packet[draw(w->t->n)];
	struct talk_packet *k;

	if (old.quotes >= 0 || old.slice_len)
		return;
	k = add(w, old.from, old.proto);
	old.id = k->id;
	*k = old;
	if (k->proto == 6 && once_in(3))
		alter(k);
}

static void quote(struct walk *w)
{
	static const uint8_t four[][2] = {{3, 0},  {3, 1},  {3, 3},  {3, 4},
					  {11, 0}, {12, 0}, {3, 13}, {4, 0}};
	static const uint8_t six[][2] = {{1, 0}, {1, 4}, {2, 0}, {3, 0},
					 {3, 1}, {4, 0}, {1, 3}, {4, 1}};
	int8_t about = (int8_t)draw(w->t->n);
	const struct talk_packet *q = &w->t->packet[about];
	const uint8_t *what = (w->t->six ? six : four)[draw(8)];
	struct talk_packet *k;

	if (q->quotes >= 0 || q->slice_len)
		return;
	k = add(w, once_in(8) ? q->from : !q->from, w->t->six ? 58 : 1);
	k->type = what[0];
	k->code = what[1];
	k->quotes = about;
	if (q->proto == 6 && once_in(5)) {
		k->how |= TALK_QUOTE_OFF;
		k->seq = q->seq + (1U << 28) + any32() % (7U << 29);
	}
}

/* --- TCP --- */

static void handshake(struct walk *w)
{
	uint8_t caller = w->t->caller, from = caller;
	struct end *a = &w->end[caller], *b = &w->end[!caller];

	if (!a->syn) {
		say_and_send(w, caller, once_in(20) ? SYN | 0xc0 : SYN, 0);
		return;
	}
	switch (draw(16)) {
	case 0: /* again */
		went(w, say(w, caller, SYN, 0), false);
		break;
	case 1: /* two SYNs cross */
		went(w, say(w, !caller, SYN, 0), false);
		if (has_room(w, 1))
			went(w, say(w, once_in(2) ? caller : !caller, SYN | ACK, 0), false);
		break;
	case 2: /* nobody listens */
		say_and_send(w, !caller, RST | ACK, 0);
		break;
	case 3: /* it knows another connection: a challenge, and the RST that it gets */
		say(w, !caller, ACK, 0)->ack = any32();
		if (has_room(w, 1)) {
			struct talk_packet *k = say(w, caller, RST, 0);

			k->seq = once_in(4) ? any32() : w->t->packet[w->t->n - 2].ack;
		}
		break;
	case 4: /* with data */
		say(w, caller, SYN, (uint16_t)draw(200));
		break;
	default:
		if (!b->syn) {
			from = !caller;
			went(w, say(w, from, SYN | ACK, 0), once_in(20));
		} else {
			say_and_send(w, from, ACK, 0);
		}
		break;
	}
}

static void again_with_another(struct walk *w)
{
	uint8_t from = once_in(5) ? !w->t->caller : w->t->caller;
	uint32_t last = w->end[from].next;

	for (int i = 0; i < 2; i++)
		begin_end(&w->end[i]);
	if (once_in(2))
		w->end[from].iss = w->end[from].next = last + 1 + draw(100000);
	else if (once_in(2))
		w->end[from].iss = w->end[from].next = last - draw(100000);
	went(w, say(w, from, SYN, 0), false);
}

static void connected(struct walk *w)
{
	uint8_t from = (uint8_t)draw(2);
	struct end *e = &w->end[from];
	struct talk_packet *k;

	switch (draw(24)) {
	case 0:
		say_and_send(w, from, FIN | ACK, (uint16_t)(once_in(3) ? draw(500) : 0));
		break;
	case 1:
		went(w, say(w, from, FIN | ACK, 0), false);
		if (has_room(w, 1))
			went(w, say(w, !from, once_in(2) ? FIN | ACK : ACK, 0), false);
		break;
	case 2:
		k = say(w, from, once_in(2) ? RST | ACK : RST, 0);
		if (once_in(3))
			k->seq = w->end[from].acked;
		went(w, k, false);
		break;
	case 3: /* is it still there? RFC 9293, 3.8.4 */
		k = say(w, from, ACK, (uint16_t)draw(2));
		k->seq--;
		break;
	case 4: /* it has no more room, or has it again */
		e->win = (uint16_t)(e->win ? 0 : draw(65536));
		say_and_send(w, from, ACK, 0);
		break;
	case 5:
		add_sack(w, say(w, from, ACK, 0));
		break;
	case 6: /* its host has come back, and knows of nothing: RFC 9293, 3.5.1 */
		k = say(w, from, SYN, 0);
		k->seq = any32();
		if (has_room(w, 1))
			say(w, !from, ACK, 0);
		if (has_room(w, 1) && once_in(2))
			say(w, from, RST, 0)->seq = w->t->packet[w->t->n - 2].ack;
		break;
	case 7:
		went(w, say(w, from, ACK | PSH, MSS), true);
		break;
	case 8:
	case 9:
	case 10:
	case 11:
		went(w, say(w, from, ACK, 0), false);
		break;
	default:
		went(w, say(w, from, ACK | (once_in(2) ? PSH : 0), (uint16_t)(1 + draw(MSS))),
		     once_in(8));
		break;
	}
}

static void closed(struct walk *w)
{
	uint8_t from = (uint8_t)draw(2);

	if (once_in(3))
		again_with_another(w);
	else if (once_in(2))
		went(w, say(w, from, ACK, 0), false);
	else
		went(w, say(w, from, w->end[from].fin ? ACK : FIN | ACK, 0), false);
}

static void step_tcp(struct walk *w)
{
	const struct end *a = &w->end[0], *b = &w->end[1];

	if (w->t->n > 0 && once_in(8)) {
		repeat(w);
	} else if (w->t->n > 0 && once_in(24)) {
		quote(w);
	} else if (a->gone || b->gone || (a->fin && b->fin)) {
		closed(w);
	} else if (!a->syn || !b->syn || w->end[w->t->caller].heard == 0) {
		handshake(w);
	} else {
		connected(w);
	}
	if (w->t->n > 0 && once_in(7) && w->t->packet[w->t->n - 1].proto == 6)
		alter(&w->t->packet[w->t->n - 1]);
}

/* --- the others --- */

static void step_udp(struct walk *w, uint8_t proto)
{
	struct talk_packet *k;

	if (w->t->n > 0 && once_in(5)) {
		quote(w);
		return;
	}
	k = add(w, w->t->n == 1 || once_in(2) ? w->t->caller : !w->t->caller, proto);
	k->data = (uint16_t)draw(300);
}

static void step_icmp(struct walk *w)
{
	static const uint8_t four[] = {8, 8, 8, 0, 0, 13, 14, 15, 16, 17, 18, 9, 10, 40};
	static const uint8_t six[] = {128, 128, 128, 129, 129, 139, 140, 144, 200};
	struct talk_packet *k;

	if (w->t->n > 0 && once_in(5)) {
		quote(w);
		return;
	}
	k = add(w, (uint8_t)draw(2), w->t->six ? 58 : 1);
	k->type = w->t->six ? six[draw(sizeof(six))] : four[draw(sizeof(four))];
	if (once_in(3))
		k->type = w->t->six ? 128 + (uint8_t)draw(2) : (uint8_t)(8 * draw(2));
	if (once_in(12))
		k->code = 1;
	k->data = (uint16_t)draw(100);
	k->port[0] += (uint16_t)draw(2);
}

/* A datagram in pieces, in their order; the first may be missing. */
static void step_fragments(struct walk *w)
{
	static const uint8_t protos[] = {17, 17, 1, 47};
	uint8_t proto = protos[draw(sizeof(protos))];
	uint16_t total, at = 0;
	uint32_t id = ++w->id;
	uint8_t from = w->t->n == 0 ? w->t->caller : (uint8_t)draw(2);
	struct talk_packet first;

	if (!has_room(w, 4))
		return;
	if (proto == 1 && w->t->six)
		proto = 58;
	first = *add(w, from, proto);
	w->t->n--;
	first.type = w->t->six ? 128 : 8;
	first.data = 1800;
	first.id = id;
	total = (uint16_t)(first.data + (proto == 47 ? 16 : 8));
	if (w->t->six && once_in(6)) /* its beginning never comes; IPv4 has too few identifiers */
		at = 480;
	while (at < total) {
		uint16_t n = (uint16_t)(8 * (60 + draw(60)));
		struct talk_packet *k;

		if (n > total - at || at > 1000)
			n = (uint16_t)(total - at);
		k = &w->t->packet[w->t->n++];
		*k = first;
		k->slice = at;
		k->slice_len = n;
		k->more = at + n < total;
		at = (uint16_t)(at + n);
	}
}

/* --- */

typedef void (*step_fn)(struct walk *w);

static void step_plain_udp(struct walk *w)
{
	step_udp(w, 17);
}

static void step_udplite(struct walk *w)
{
	step_udp(w, 136);
}

static void step_other(struct walk *w)
{
	struct talk_packet *k = add(w, (uint8_t)draw(2), 47 + 50 * (uint8_t)draw(2));

	k->data = (uint16_t)draw(64);
}

static step_fn draw_kind(void)
{
	uint32_t n = draw(20);

	return n < 14	    ? step_tcp
	       : n < 16	    ? step_plain_udp
	       : n < 18	    ? step_icmp
	       : n < 19	    ? step_fragments
	       : once_in(2) ? step_udplite
			    : step_other;
}

void talk_draw(struct talk *t, uint32_t number)
{
	struct walk w = {.t = t, .id = number * TALK_MAX};
	unsigned int length = 3 + draw(TALK_MAX - 6);
	step_fn step = draw_kind();

	*t = (struct talk){.six = once_in(2), .caller = (uint8_t)draw(2)};
	w.port[0] = (uint16_t)(1024 + number % 32000 * 2);
	w.port[1] = (uint16_t)(1024 + number / 32000);
	for (int i = 0; i < 2; i++)
		begin_end(&w.end[i]);
	if (step == step_tcp && once_in(20)) /* it was there before we looked */
		w.end[0].syn = w.end[1].syn = true, w.end[0].heard = w.end[1].next,
		w.end[1].heard = w.end[0].next;
	for (unsigned int i = 0; i < 4 * TALK_MAX && t->n < length; i++)
		step(&w);
}
