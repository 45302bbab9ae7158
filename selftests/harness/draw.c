/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frames has nobody thought of? */
#include "draw.h"

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "shape.h"

static uint64_t state64;

void draw_seed(uint64_t seed)
{
	state64 = seed;
}

/* xorshift64*. */
uint32_t draw(uint32_t below)
{
	state64 ^= state64 >> 12;
	state64 ^= state64 << 25;
	state64 ^= state64 >> 27;
	return (uint32_t)((state64 * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

static bool one_in(uint32_t n)
{
	return draw(n) == 0;
}

static void draw_mac(uint8_t mac[SP_MAC_LEN], enum world_mac likely)
{
	memcpy(mac, world_mac[one_in(5) ? draw(_M_MACS) : likely], SP_MAC_LEN);
	if (one_in(20)) /* one bit off */
		mac[draw(SP_MAC_LEN)] ^= (uint8_t)(1U << draw(8));
}

static uint16_t draw_proto(void)
{
	static const uint16_t good[] = {0x0800, 0x0806, 0x86dd};
	static const uint16_t bad[] = {0x8100, 0x88a8, 0x9100, 0x88b5, 0x8863, 0, 0x0026, 0x0801};

	if (one_in(50))
		return (uint16_t)draw(0x10000);
	return one_in(10) ? bad[draw(SP_ARRAY_SIZE(bad))] : good[draw(SP_ARRAY_SIZE(good))];
}

static uint16_t draw_len(void)
{
	switch (draw(10)) {
	case 0:
		return (uint16_t)(MODEL_ETH + draw(50)); /* about the least */
	case 1:
		return (uint16_t)(WORLD_MAX_LEN - 3 + draw(8));
	case 2:
		return (uint16_t)(WORLD_SMALL_LEN - 3 + draw(8));
	case 3:
		return (uint16_t)(MODEL_ETH + draw(1900));
	default:
		return (uint16_t)(60 + draw(40));
	}
}

static void draw_tag(struct model_frame *f, uint16_t vid)
{
	f->tag_proto = 0x8100;
	f->tci = vid;
	if (one_in(20))
		f->tci = world_nodes[draw((uint32_t)world_n_nodes)].vid;
	if (one_in(30))
		f->tci = (uint16_t)draw(0x1000);
	if (one_in(10))
		f->tci |= (uint16_t)(draw(16) << 12); /* priority and DEI */
	if (one_in(30))
		f->tag_proto = 0x88a8;
}

/* --- what is in a frame: for machines --- */

static const char *draw_ip(bool six)
{
	static const char *const four[] = {"10.6.0.1", "10.6.0.11", "10.6.0.2", "10.6.0.3",
					   "10.6.0.4", "10.6.0.5",  "10.6.0.6", "10.6.0.99",
					   "0.0.0.0",  "127.0.0.1", "224.0.0.1"};
	static const char *const sixes[] = {"fd06::1",	      "fe80::63:1", "fd06::2", "fd06::3",
					    "fd06::4",	      "fd06::5",    "fd06::6", "fd06::99",
					    "fe80::7",	      "::",	    "::1",     "ff02::1",
					    "::ffff:10.6.0.1"};

	return six ? sixes[draw(SP_ARRAY_SIZE(sixes))] : four[draw(SP_ARRAY_SIZE(four))];
}

/* An address of this port, most of the time. */
static const char *draw_ip_of(uint32_t port, bool six)
{
	for (int tries = 0; tries < 40 && !one_in(20); tries++) {
		const struct world_address *a = &world_addresses[draw((uint32_t)world_n_addresses)];

		if (a->port == port && (strchr(a->text, ':') != NULL) == six)
			return a->text;
	}
	return draw_ip(six);
}

/* No first fragments: whether later ones pass would depend on which place the program gives them.
 */
static uint32_t draw_how(void)
{
	uint32_t how = 1U << draw(21);

	return how == SHAPE_FIRST ? 0 : how;
}

static void draw_ports(struct shape *s, bool six)
{
	static const uint16_t ports[][2] = {{68, 67},	{67, 68},   {547, 546}, {546, 547},
					    {4000, 68}, {80, 4000}, {53, 53}};
	uint32_t i = draw(SP_ARRAY_SIZE(ports));

	s->a = ports[i][0];
	s->b = ports[i][1];
	if (s->kind == SHAPE_ICMP) {
		static const uint16_t types[] = {0, 3, 5, 8, 9, 11, 13, 130, 131, 132, 143, 128, 1};

		s->a = types[draw(SP_ARRAY_SIZE(types))];
		s->b = 0;
	}
	if (s->kind == SHAPE_OTHER) {
		static const uint16_t protos[] = {2, 47, 50, 58, 1, 59, 132, 253, 254, 0, 44, 60};

		s->a = protos[draw(SP_ARRAY_SIZE(protos))];
	}
	if (s->kind == SHAPE_ARP)
		s->a = one_in(20) ? (uint16_t)draw(5) : (uint16_t)(1 + draw(2));
}

static const char *solicited_node(const char *target)
{
	static char text[32];
	uint8_t a[16];

	shape_address(target, a);
	snprintf(text, sizeof(text), "ff02::1:ff%02x:%02x%02x", a[13], a[14], a[15]);
	return text;
}

/* Something that FROM might say to TO. */
static struct shape draw_shape(const struct world_node *from, const struct world_node *to,
			       const uint8_t *mac)
{
	static const uint8_t zero[SP_MAC_LEN];
	static const enum shape_kind four[] = {SHAPE_ARP, SHAPE_ARP,  SHAPE_UDP,
					       SHAPE_TCP, SHAPE_ICMP, SHAPE_OTHER};
	static const enum shape_kind sixes[] = {SHAPE_UDP, SHAPE_TCP,	   SHAPE_ICMP, SHAPE_NS,
						SHAPE_NS,  SHAPE_NS,	   SHAPE_NA,   SHAPE_RS,
						SHAPE_RA,  SHAPE_REDIRECT, SHAPE_OTHER};
	bool six = one_in(2);
	struct shape s = {.kind = six ? sixes[draw(SP_ARRAY_SIZE(sixes))]
				      : four[draw(SP_ARRAY_SIZE(four))]};

	s.src = draw_ip_of(from->port, six);
	s.dst = draw_ip_of(to->port, six);
	s.target = s.kind == SHAPE_NA ? draw_ip_of(from->port, six) : s.dst;
	if (s.kind >= SHAPE_NS && s.kind <= SHAPE_NA && one_in(2))
		s.dst = solicited_node(s.target);
	if (s.kind == SHAPE_ARP || !one_in(3))
		s.lla = one_in(10) ? world_mac[draw(_M_MACS)] : mac;
	if (s.kind == SHAPE_ARP && one_in(2))
		s.tha = one_in(2) ? zero : world_mac[draw(_M_MACS)];
	draw_ports(&s, six);
	s.data = (uint16_t)(one_in(10) ? draw(200) : draw(20));
	if (one_in(20))
		s.hops = (uint8_t)(1 + draw(255));
	if (one_in(20))
		s.b = 1;
	if (one_in(20))
		s.lla_type = (uint8_t)(1 + draw(2));
	for (int n = one_in(3) ? 1 + (int)draw(2) : 0; n > 0; n--)
		s.how |= draw_how();
	return s;
}

/* A question of FROM, right in all but one of three times, for an address of TO. */
static struct shape draw_question(const struct world_node *from, const struct world_node *to,
				  struct model_frame *f)
{
	bool six = one_in(2);
	struct shape s = {.kind = six ? SHAPE_NS : SHAPE_ARP, .lla = f->src};

	s.src = one_in(4) ? six ? "::" : "0.0.0.0" : draw_ip_of(from->port, six);
	s.target = s.dst = draw_ip_of(to->port, six);
	s.a = 1;
	if (six && strcmp(s.src, "::") == 0)
		s.lla = NULL;
	if (six && !one_in(4)) {
		const uint8_t group[3] = {0x33, 0x33, 0xff};

		s.dst = solicited_node(s.target);
		memcpy(f->dst, group, sizeof(group));
	} else if (!six && !one_in(4)) {
		memcpy(f->dst, world_mac[M_BROADCAST], SP_MAC_LEN);
	}
	if (one_in(3))
		s.how |= draw_how();
	return s;
}

static void draw_payload(struct model_frame *f, const struct world_node *from,
			 const struct world_node *to)
{
	bool question = one_in(3);
	struct shape s = question ? draw_question(from, to, f) : draw_shape(from, to, f->src);
	uint8_t bytes[SHAPE_MAX];
	size_t n = shape_bytes(&s, f->dst, f->src, bytes);

	f->proto = (uint16_t)(bytes[12] << 8 | bytes[13]);
	f->payload_len = (uint16_t)(n - MODEL_ETH);
	memcpy(f->payload, bytes + MODEL_ETH, f->payload_len);
	if (one_in(10))
		f->payload[draw(f->payload_len)] = (uint8_t)draw(256);
	f->len = (uint16_t)n;
	if (one_in(10))
		f->len = (uint16_t)(MODEL_ETH + 1 + draw((uint32_t)n - MODEL_ETH));
	else if (one_in(3)) /* padding */
		f->len += (uint16_t)draw(one_in(10) ? 1500 : 20);
}

/* --- */

struct model_frame draw_frame(void)
{
	const struct world_node *from = &world_nodes[draw((uint32_t)world_n_nodes)];
	const struct world_node *to = &world_nodes[draw((uint32_t)world_n_nodes)];
	struct model_frame f = {.proto = draw_proto(), .len = draw_len()};

	for (int tries = 0; tries < 4 && from->segment < 6 && one_in(2); tries++)
		from = &world_nodes[draw((uint32_t)world_n_nodes)];
	for (int tries = 0; tries < 4 && to->segment != from->segment; tries++)
		to = &world_nodes[draw((uint32_t)world_n_nodes)];
	f.dev = from->dev;
	draw_mac(f.src, from->mac);
	draw_mac(f.dst, one_in(4) ? M_BROADCAST : to->mac);
	if (from->segment >= 6 && !one_in(8))
		draw_payload(&f, from, to);
	if (from->vid || one_in(20))
		draw_tag(&f, from->vid);
	if (one_in(20))
		f.tag_proto = f.tci = 0;
	if (one_in(20))
		f.dev = draw(_W_DEVS);
	/* A test run's GSO frame has no type: it can be judged, but neither sent nor cut short. */
	if (!(f.dst[0] & 1) && f.len >= 60 && one_in(20))
		f.gso_size = (uint16_t)(1 + draw(1600));
	return f;
}
