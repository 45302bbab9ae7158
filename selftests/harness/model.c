/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ought to become of a frame? */
#include "model.h"

#include <string.h>

#include "lib/cleanup.h"
#include "model_firewall.h"
#include "model_machine.h"
#include "model_packet.h"

#define VLAN 0x8100
#define SERVICE_VLAN 0x88a8
#define OLD_SERVICE_VLAN 0x9100
#define VID(tci) ((tci)&0xfff)

const uint8_t model_payload[4] = {0x60, 101, 0x08, 0x00};

struct model_frame model_frame_of(enum world_dev dev, uint16_t vid, int dst, enum world_mac src,
				  const struct shape *s)
{
	struct model_frame f = {.dev = dev, .tag_proto = vid ? VLAN : 0, .tci = vid};
	uint8_t bytes[SHAPE_MAX], ip[16];

	if (dst == MODEL_SOLICITED) {
		shape_address(s->dst, ip);
		f.dst[0] = f.dst[1] = 0x33;
		memcpy(f.dst + 2, ip + 12, 4);
	} else {
		memcpy(f.dst, world_mac[dst], SP_MAC_LEN);
	}
	memcpy(f.src, world_mac[src], SP_MAC_LEN);
	f.len = (uint16_t)shape_bytes(s, f.dst, f.src, bytes);
	f.proto = (uint16_t)(bytes[12] << 8 | bytes[13]);
	f.payload_len = f.len - MODEL_ETH;
	memcpy(f.payload, bytes + MODEL_ETH, f.payload_len);
	return f;
}

size_t model_bytes(const struct model_frame *f, uint8_t *buf)
{
	const uint8_t *payload = f->payload_len ? f->payload : model_payload;
	size_t n = f->payload_len ?: sizeof(model_payload);

	memcpy(buf, f->dst, SP_MAC_LEN);
	memcpy(buf + SP_MAC_LEN, f->src, SP_MAC_LEN);
	buf[2 * SP_MAC_LEN] = (uint8_t)(f->proto >> 8);
	buf[2 * SP_MAC_LEN + 1] = (uint8_t)f->proto;
	/* A pattern, so that a byte out of place is seen. */
	for (size_t i = 0; i + MODEL_ETH < f->len; i++)
		buf[MODEL_ETH + i] = i < n ? payload[i] : (uint8_t)(i * 7);
	return f->len;
}

static bool is_group(const uint8_t *mac)
{
	return (mac[0] & 1) != 0;
}

static bool equal(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, SP_MAC_LEN) == 0;
}

static bool is_reserved(const uint8_t *mac)
{
	return memcmp(mac, world_mac[M_RESERVED], SP_MAC_LEN - 1) == 0 && mac[5] <= 15;
}

static const struct world_port *port_of(enum world_dev dev)
{
	for (size_t i = 0; i < world_n_ports; i++)
		if (world_ports[i].dev == dev)
			return &world_ports[i];
	return NULL;
}

static const struct world_node *session_of(enum world_dev dev, uint16_t vid)
{
	for (size_t i = 0; i < world_n_nodes; i++)
		if (world_nodes[i].dev == dev && world_nodes[i].vid == vid && vid != 0)
			return &world_nodes[i];
	return NULL;
}

/* What is wrong with the frame by itself. */
static enum sp_reason form(const struct model_frame *f)
{
	if (f->tag_proto != 0 && f->tag_proto != VLAN)
		return SP_R_TAG_PROTO;
	if (f->tag_proto == VLAN && VID(f->tci) == 0)
		return SP_R_TAG_PRIORITY;
	switch (f->proto) {
	case 0x0800:
		return f->len < MODEL_ETH + 20 ? SP_R_RUNT : SP_R_NONE;
	case 0x0806:
		return f->len < MODEL_ETH + 28 ? SP_R_RUNT : SP_R_NONE;
	case 0x86dd:
		return f->len < MODEL_ETH + 40 ? SP_R_RUNT : SP_R_NONE;
	case VLAN:
	case SERVICE_VLAN:
	case OLD_SERVICE_VLAN:
		return SP_R_INNER_TAG;
	default:
		return SP_R_ETHERTYPE;
	}
}

/* Why a frame of good form has no business here. */
static enum sp_reason stranger(const struct model_frame *f, const struct world_port *port,
			       const struct world_node *session)
{
	bool no_source = is_group(f->src) || equal(f->src, world_mac[M_ZERO]);
	bool tagged = f->tag_proto != 0;

	if (port == NULL)
		return SP_R_PORT_UNKNOWN;
	if (session == NULL && (port->port.flags & SP_F_CLOSED))
		return SP_R_PORT_DOWN;
	if (no_source)
		return SP_R_SRC_GROUP;
	if (port->dev == W_VLAN && !tagged)
		return SP_R_TAG_MISSING;
	if (port->dev == W_VLAN && session == NULL)
		return SP_R_VID_UNBOUND;
	if (port->dev != W_VLAN && tagged)
		return SP_R_TAG_UNEXPECTED;
	return SP_R_SRC_UNBOUND;
}

/* Whose frame it is; NULL with RET filled in where it is nobody's. */
static const struct world_node *sender(const struct model_frame *f, struct model_result *ret)
{
	uint16_t vid = f->tag_proto ? VID(f->tci) : 0;
	const struct world_port *port = port_of(f->dev);
	const struct world_node *session = session_of(f->dev, vid);

	memset(ret, 0, offsetof(struct model_result, dst));
	ret->len = f->len;
	ret->reason = form(f);
	for (size_t i = 0; ret->reason == SP_R_NONE && i < world_n_nodes; i++) {
		const struct world_node *n = &world_nodes[i];

		if (n->bound && n->dev == f->dev && n->vid == vid &&
		    equal(world_mac[n->mac], f->src)) {
			ret->charged = n->port;
			return n;
		}
	}
	if (ret->reason == SP_R_NONE)
		ret->reason = stranger(f, port, session);
	ret->charged = session ? session->port : port ? port->port.port : 0;
	return NULL;
}

/* The longest frame on the wire, as `wire_len` of the programs promises to take it. */
static bool fits(const struct model_frame *f, const struct sp_dst *d)
{
	return (f->gso_size ? f->gso_size + 54U : f->len) <= d->max_len;
}

static void to_group(const struct world *w, const struct model_frame *f, uint32_t segment,
		     struct model_result *ret)
{
	struct sp_dst list[SP_FLOOD_MAX];
	size_t n = world_flood(w, segment, list);
	bool too_long = false, refused = false;

	ret->group = true;
	if (is_reserved(f->dst)) {
		ret->reason = SP_R_DST_RESERVED;
		return;
	}
	if (model_answer_group(f, segment, ret)) {
		ret->group = false;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (list[i].port == ret->charged || (list[i].flags & SP_F_CLOSED))
			continue;
		if (!fits(f, &list[i]))
			too_long = true;
		else if (world_machine_of(list[i].port) && !model_readable(f))
			refused = true;
		else
			ret->dst[ret->n_dst++] = list[i];
	}
	if (ret->n_dst == 0)
		ret->reason = refused	 ? SP_R_BAD_HEADERS
			      : too_long ? SP_R_TOO_LONG
					 : SP_R_NO_LISTENER;
}

static enum sp_reason judge_flow(const struct model_frame *f, const struct world_node *to,
				 uint32_t from)
{
	bool machines[2] = {world_machine_of(from), world_machine_of(to->port)};

	if (!machines[0] && !machines[1])
		return SP_R_NONE;
	return model_firewall(f, to->segment, machines[0] ? from : 0, machines[1] ? to->port : 0);
}

static void to_one(const struct world *w, const struct model_frame *f, uint32_t segment,
		   struct model_result *ret)
{
	ret->reason = SP_R_DST_UNKNOWN;
	for (size_t i = 0; i < world_n_nodes; i++) {
		const struct world_node *n = &world_nodes[i];
		struct sp_dst d = world_dst(w, n);

		if (n->segment != segment || !equal(world_mac[n->mac], f->dst)) /* I2 */
			continue;
		if (n->port == ret->charged)
			ret->reason = SP_R_DST_SAME_PORT;
		else if (n->flags & SP_F_CLOSED)
			ret->reason = SP_R_PORT_DOWN;
		else if (!fits(f, &d))
			ret->reason = SP_R_TOO_LONG;
		else if (n->flags & SP_F_ASLEEP) {
			ret->reason = SP_R_NONE;
			model_to_sleeper(w, f, segment, world_machine_of(n->port), ret);
		} else {
			ret->reason = SP_R_NONE;
			if (model_answer_one(f, segment, world_machine_of(n->port), ret))
				return;
			ret->reason = judge_flow(f, n, ret->charged);
			if (ret->reason)
				return;
			ret->dst[ret->n_dst++] = d;
			model_notice(w, n->port, SP_WATCH_TO, NULL, ret);
		}
		return;
	}
}

void model_steer(const struct world *w, const struct model_frame *f, struct model_result *ret)
{
	const struct world_node *from = sender(f, ret);
	const struct world_machine *self = from ? world_machine_of(from->port) : NULL;

	if (from == NULL)
		return;
	if (self && self->port == WORLD_FLOODER)
		ret->reason = SP_R_POLICED;
	else if (self)
		ret->reason = model_guard_machine(w, self, f, ret);
	if (ret->reason)
		return;
	if (is_group(f->dst))
		to_group(w, f, from->segment, ret);
	else
		to_one(w, f, from->segment, ret);
	if (ret->answer_len)
		memcpy(&ret->dst[ret->n_dst++], &(struct sp_dst){.port = from->port},
		       sizeof(struct sp_dst));
	else if (self && !ret->reason && !ret->parked)
		model_notice(w, self->port, SP_WATCH_FROM, NULL, ret);
}

void model_remember(struct world *w, const struct model_result *r)
{
	static const uint32_t bits[] = {[SP_NOTICE_TO] = SP_WATCH_TO,
					[SP_NOTICE_FROM] = SP_WATCH_FROM,
					[SP_NOTICE_ADDRESS] = SP_WATCH_ADDRESS};

	for (size_t i = 0; i < r->n_notices; i++)
		if (r->notices[i].kind == SP_NOTICE_PARKED)
			w->parked[r->notices[i].port]++;
		else
			w->watch[r->notices[i].port] &= ~bits[r->notices[i].kind];
}

/* XDP has no metadata: what a tc program finds behind no tag is the tag itself here. */
static bool with_tag_in_frame(const struct model_frame *f, struct model_frame *ret)
{
	const uint8_t *b;

	*ret = *f;
	if (f->tag_proto != 0 || (f->proto != VLAN && f->proto != SERVICE_VLAN))
		return true;
	if (f->len < MODEL_ETH + 4)
		return false;
	b = model_payload;
	ret->tag_proto = f->proto;
	ret->tci = (uint16_t)(b[0] << 8 | b[1]);
	ret->proto = (uint16_t)(b[2] << 8 | b[3]);
	ret->len = f->len - 4;
	return true;
}

void model_guard(const struct world *w, const struct model_frame *f, struct model_result *ret)
{
	const struct world_port *port = port_of(f->dev);
	const struct world_node *from;
	struct model_frame seen;

	if (!with_tag_in_frame(f, &seen)) {
		memset(ret, 0, offsetof(struct model_result, dst));
		ret->len = f->len;
		ret->reason = SP_R_RUNT;
		ret->charged = port ? port->port.port : 0;
		return;
	}
	from = sender(&seen, ret);
	if (from != NULL && (from->port == WORLD_POLICED || from->port == WORLD_FLOODER))
		ret->reason = SP_R_POLICED;
}
