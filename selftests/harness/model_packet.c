/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reference's way to read a packet: as plainly as can be. */
#include "model_packet.h"

#include <string.h>

#include "shape.h"

unsigned int model_get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static void read_upper(struct told *t)
{
	static const struct {
		int version; /* 0: both */
		unsigned int proto;
		size_t least;
		bool ports;
	} known[] = {
		{0, 6, 20, true},  {0, 17, 8, true}, {0, 136, 8, true}, {0, 132, 12, true},
		{0, 33, 12, true}, {4, 1, 8, false}, {6, 58, 8, false},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known) && !t->later; i++) {
		const uint8_t *u = t->upper;

		if (known[i].proto != t->proto ||
		    (known[i].version && known[i].version != t->version))
			continue;
		if (t->upper_len < known[i].least) {
			t->bad = true;
			return;
		}
		if (!known[i].ports) {
			t->type = u[0];
			t->code = u[1];
			return;
		}
		t->sport = model_get16(u);
		t->dport = model_get16(u + 2);
		if (t->proto == 6)
			t->bad = (u[12] >> 4) < 5 || (size_t)(u[12] >> 4) * 4 > t->upper_len;
		if (t->proto == 17)
			t->bad = model_get16(u + 4) < 8 ||
				 (!t->fragment && model_get16(u + 4) > t->upper_len);
	}
}

/* The length that the header says; one of a frame to be cut up may say nothing. */
static size_t length(unsigned int stated, size_t there, const struct model_frame *f)
{
	return stated == 0 && f->gso_size ? there : stated;
}

static void read4(struct told *t, const struct model_frame *f)
{
	const uint8_t *ip = t->b + MODEL_ETH;
	size_t there = t->n - MODEL_ETH;
	size_t header = (ip[0] % 16U) * 4, total = length(model_get16(ip + 2), there, f);

	t->version = 4;
	if (ip[0] / 16 != 4 || header < 20 || total < header || total > there) {
		t->bad = true;
		return;
	}
	memcpy(t->src, MODEL_MAPPED, 12);
	memcpy(t->dst, MODEL_MAPPED, 12);
	memcpy(t->src + 12, ip + 12, 4);
	memcpy(t->dst + 12, ip + 16, 4);
	t->hops = ip[8];
	t->proto = ip[9];
	t->later = model_get16(ip + 6) % 0x2000 != 0;
	t->more = ip[6] & 0x20;
	t->fragment = t->later || t->more;
	t->upper = ip + header;
	t->upper_len = total - header;
	if (t->proto == 6 && model_get16(ip + 6) % 0x2000 == 1)
		t->bad = true;
	else
		read_upper(t);
}

static bool has_next(unsigned int proto)
{
	static const uint8_t headers[] = {0, 43, 44, 51, 60, 135, 139, 140};

	return memchr(headers, (int)proto, sizeof(headers)) != NULL;
}

static void read6(struct told *t, const struct model_frame *f)
{
	const uint8_t *ip = t->b + MODEL_ETH, *at = ip + 40;
	size_t there = t->n - MODEL_ETH - 40, payload = length(model_get16(ip + 4), there, f);
	size_t left = payload;
	int walked = 0;

	t->version = 6;
	if (ip[0] / 16 != 6 || payload > there) {
		t->bad = true;
		return;
	}
	memcpy(t->src, ip + 8, 16);
	memcpy(t->dst, ip + 24, 16);
	t->hops = ip[7];
	t->proto = ip[6];
	while (has_next(t->proto) && !t->later) {
		size_t len;

		if (++walked > 8 || left < 8 || (t->proto == 44 && t->fragment)) {
			t->bad = true;
			return;
		}
		len = t->proto == 44 ? 8 : t->proto == 51 ? (at[1] + 2U) * 4 : (at[1] + 1U) * 8;
		if (t->proto == 44) {
			t->fragment = true;
			t->later = model_get16(at + 2) >= 8;
			t->more = at[3] & 1;
		}
		if (len > left) {
			t->bad = true;
			return;
		}
		t->proto = at[0];
		at += len;
		left -= len;
	}
	t->upper = at;
	t->upper_len = left;
	if (t->proto == 253 || t->proto == 254)
		t->bad = true;
	else
		read_upper(t);
}

/* B is long enough for a header of its ethertype. */
struct told model_read(const struct model_frame *f, const uint8_t *b, size_t n)
{
	struct told t = {.b = b, .n = n};

	if (f->proto == 0x0800)
		read4(&t, f);
	else
		read6(&t, f);
	return t;
}

bool model_is_nd(const struct told *t)
{
	return t->version == 6 && t->proto == 58 && t->type >= 133 && t->type <= 137;
}

bool model_readable(const struct model_frame *f)
{
	uint8_t bytes[SHAPE_MAX];

	return f->proto == 0x0806 || !model_read(f, bytes, model_bytes(f, bytes)).bad;
}
