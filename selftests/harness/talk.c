/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bytes are a packet of a talk? */
#include "talk.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "shape.h"

#define IP4 20
#define IP6 40
#define FRAGMENT6 8
#define QUOTED_MAX 128 /* of the packet that an error quotes */

const char *const talk_address[2][2] = {{"10.9.0.1", "10.9.0.2"}, {"fd09::1", "fd09::2"}};

static uint8_t *put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

/* --- the upper layer --- */

static uint8_t *put_options(uint8_t *p, const struct talk_packet *k)
{
	uint8_t *begin = p;

	if (k->flags & 0x02) {
		p = put32(p, 0x02040000 | 1460);
		if (k->sack_permitted)
			p = put32(p, 0x01010402);
		if (k->scale != TALK_NO_SCALE)
			p = put32(p, 0x01030300U | k->scale);
	}
	if (k->timestamps) {
		p = put32(p, 0x0101080a);
		p = put32(p, 4711);
		p = put32(p, 815);
	}
	if (k->n_sack) {
		p = put32(p, 0x01010500U | (2U + 8U * k->n_sack));
		for (int i = 0; i < k->n_sack; i++)
			p = put32(put32(p, k->sack[i][0]), k->sack[i][1]);
	}
	memset(p, 0, 4);
	return p + (4 - (p - begin) % 4) % 4;
}

static size_t put_tcp(uint8_t *p, const struct talk_packet *k)
{
	uint8_t *end = put_options(p + 20, k);

	put16(put16(p, k->port[k->from]), k->port[!k->from]);
	put32(put32(p + 4, k->seq), k->ack);
	p[12] = (uint8_t)((end - p) / 4 << 4);
	p[13] = k->flags;
	put32(put16(p + 14, k->win), 0);
	memset(end, 0x55, k->data);
	return (size_t)(end - p) + k->data;
}

static size_t put_udp(uint8_t *p, const struct talk_packet *k)
{
	put16(put16(p, k->port[k->from]), k->port[!k->from]);
	put32(p + 4, (8U + k->data) << 16 | (k->proto == 136)); /* UDP-Lite must have a checksum */
	memset(p + 8, 0x55, k->data);
	return 8U + k->data;
}

static size_t put_icmp(uint8_t *p, const struct talk *t, const struct talk_packet *k)
{
	uint8_t quoted[TALK_BYTES];
	size_t n = k->data;

	p[0] = k->type;
	p[1] = k->code;
	put32(put32(p + 2, k->port[0]), 1); /* checksum, identifier, sequence */
	put16(p + 6, 1);
	memset(p + 8, 0x55, n);
	if (k->quotes < 0)
		return 8 + n;
	put32(p + 4, 0);
	n = talk_bytes(t, (unsigned int)k->quotes, quoted);
	n = n < QUOTED_MAX ? n : QUOTED_MAX;
	memcpy(p + 8, quoted, n);
	if (k->how & TALK_QUOTE_OFF) /* of TCP */
		put32(p + 8 + (t->six ? IP6 : IP4) + 4, k->seq);
	return 8 + n;
}

/* Of SCTP and DCCP the ports, of the rest nothing that anybody looks at. */
static size_t put_other(uint8_t *p, const struct talk_packet *k)
{
	memset(p, 0x55, 16U + k->data);
	if (k->proto == 132 || k->proto == 33)
		put16(put16(p, k->port[k->from]), k->port[!k->from]);
	return 16U + k->data;
}

static size_t put_whole_upper(uint8_t *p, const struct talk *t, const struct talk_packet *k)
{
	switch (k->proto) {
	case 6:
		return put_tcp(p, k);
	case 17:
	case 136:
		return put_udp(p, k);
	case 1:
	case 58:
		return put_icmp(p, t, k);
	default:
		return put_other(p, k);
	}
}

static size_t put_upper(uint8_t *p, const struct talk *t, const struct talk_packet *k)
{
	size_t n = put_whole_upper(p, t, k);

	if (k->how & TALK_SUM_WRONG)
		put16(p + (k->proto == 6 ? 16 : k->proto == 17 ? 6 : 2), 0xdead);
	return n;
}

/* --- IP --- */

static int receiver(const struct talk_packet *k)
{
	return k->how & TALK_TO_SELF ? k->from : !k->from;
}

static size_t put_ip4(uint8_t *p, const struct talk_packet *k, size_t n)
{
	unsigned int flags = (k->more ? 0x2000U : 0) | k->slice / 8U;

	memset(p, 0, IP4);
	p[0] = 0x45;
	put16(p + 2, (uint32_t)(IP4 + n));
	put16(put16(p + 4, k->id & 0xffff), flags);
	p[8] = 64;
	p[9] = k->proto;
	inet_pton(AF_INET, talk_address[0][k->from], p + 12);
	inet_pton(AF_INET, talk_address[0][receiver(k)], p + 16);
	put16(p + 10, shape_checksum(p, IP4, 0));
	return IP4;
}

static size_t put_ip6(uint8_t *p, const struct talk_packet *k, size_t n)
{
	size_t header = IP6;

	memset(p, 0, IP6 + FRAGMENT6);
	p[0] = 0x60;
	p[6] = k->proto;
	p[7] = 64;
	inet_pton(AF_INET6, talk_address[1][k->from], p + 8);
	inet_pton(AF_INET6, talk_address[1][receiver(k)], p + 24);
	if (k->slice_len) {
		p[6] = 44;
		p[IP6] = k->proto;
		put16(p + IP6 + 2, k->slice | k->more);
		put32(p + IP6 + 4, k->id);
		header += FRAGMENT6;
	}
	put16(p + 4, (uint32_t)(header - IP6 + n));
	return header;
}

size_t talk_bytes(const struct talk *t, unsigned int i, uint8_t buf[TALK_BYTES])
{
	const struct talk_packet *k = &t->packet[i];
	uint8_t upper[TALK_BYTES];
	size_t n = put_upper(upper, t, k), header;

	if (k->slice_len)
		n = k->slice_len;
	header = t->six ? put_ip6(buf, k, n) : put_ip4(buf, k, n);
	memcpy(buf + header, upper + k->slice, n);
	return header + n;
}

const char *talk_line(const struct talk *t, unsigned int i)
{
	static char line[256];
	const struct talk_packet *k = &t->packet[i];
	int n;

	n = snprintf(line, sizeof(line), "%u %s %s proto %u", i, t->six ? "v6" : "v4",
		     k->from == t->caller ? "->" : "<-", k->proto);
	if (k->proto == 6)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			      " %c%c%c%c%c seq %u ack %u win %u len %u scale %u%s sacks %u %u",
			      k->flags & 2 ? 'S' : '.', k->flags & 1 ? 'F' : '.',
			      k->flags & 4 ? 'R' : '.', k->flags & 16 ? 'A' : '.',
			      k->flags & 8 ? 'P' : '.', k->seq, k->ack, k->win, k->data, k->scale,
			      k->sack_permitted ? " sackOK" : "", k->n_sack, k->sack[0][1]);
	else
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			      " type %u code %u quotes %d len %u", k->type, k->code, k->quotes,
			      k->data);
	snprintf(line + n, sizeof(line) - (size_t)n, " slice %u+%u%s how %x", k->slice,
		 k->slice_len, k->more ? " more" : "", k->how);
	return line;
}
