/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which flows are asked for, and what is one in words? */
#include "flow_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "request.h"

static const char *const states[_SP_FLOW_STATES] = {
	[SP_FLOW_SYN_SENT] = "syn-sent",       [SP_FLOW_SYN_RECV] = "syn-recv",
	[SP_FLOW_ESTABLISHED] = "established", [SP_FLOW_FIN_WAIT] = "fin-wait",
	[SP_FLOW_CLOSE_WAIT] = "close-wait",   [SP_FLOW_LAST_ACK] = "last-ack",
	[SP_FLOW_TIME_WAIT] = "time-wait",     [SP_FLOW_CLOSE] = "close",
	[SP_FLOW_SYN_SENT2] = "syn-sent2",     [SP_FLOW_UNREPLIED] = "unreplied",
	[SP_FLOW_REPLIED] = "replied",	       [SP_FLOW_STREAM] = "stream",
};

static const struct {
	const char *name;
	uint8_t proto;
	bool ports;
} protos[] = {
	{"tcp", IPPROTO_TCP, true},	    {"udp", IPPROTO_UDP, true},
	{"icmp", IPPROTO_ICMP, false},	    {"icmpv6", IPPROTO_ICMPV6, false},
	{"sctp", IPPROTO_SCTP, true},	    {"dccp", IPPROTO_DCCP, true},
	{"udplite", IPPROTO_UDPLITE, true}, {"gre", IPPROTO_GRE, false},
	{"esp", IPPROTO_ESP, false},	    {"ah", IPPROTO_AH, false},
};

const char *flow_state_name(unsigned int state)
{
	return state < _SP_FLOW_STATES && states[state] ? states[state] : "?";
}

const char *flow_proto_name(uint8_t proto, char buf[4])
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(protos); i++)
		if (protos[i].proto == proto)
			return protos[i].name;
	snprintf(buf, 4, "%u", proto);
	return buf;
}

static bool has_ports(uint8_t proto)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(protos); i++)
		if (protos[i].proto == proto)
			return protos[i].ports;
	return false;
}

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

/* --- what is asked for --- */

/* Decimal, no sign, nothing behind it. */
static bool take_number(const char *s, unsigned int max, unsigned int *ret)
{
	unsigned int v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = 10 * v + (unsigned int)(*s - '0');
		if (v > max)
			return false;
	}
	*ret = v;
	return true;
}

static bool take_proto(const char *s, struct flow_filter *f)
{
	unsigned int v;

	for (size_t i = 0; i < SP_ARRAY_SIZE(protos); i++)
		if (strcmp(protos[i].name, s) == 0) {
			f->proto = protos[i].proto;
			return true;
		}
	if (!take_number(s, UINT8_MAX, &v))
		return false;
	f->proto = (int)v;
	return true;
}

static bool take_state(const char *s, struct flow_filter *f)
{
	for (int i = 0; i < _SP_FLOW_STATES; i++)
		if (states[i] && strcmp(states[i], s) == 0) {
			f->state = i;
			return true;
		}
	return false;
}

static bool take_prefix(const char *s, struct flow_prefix *ret)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[INET6_ADDRSTRLEN];
	size_t n = strcspn(s, "/");
	struct flow_prefix p = {.given = true};
	unsigned int max = 128, before = 0;

	if (n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, p.addr + sizeof(mapped)) == 1) {
		memcpy(p.addr, mapped, sizeof(mapped));
		max = 32;
		before = 96;
	} else if (inet_pton(AF_INET6, text, p.addr) != 1) {
		return false;
	}
	p.bits = max;
	if (s[n] == '/' && !take_number(s + n + 1, max, &p.bits))
		return false;
	p.bits += before;
	*ret = p;
	return true;
}

int flow_filter_take(const json_t *args, struct flow_filter *ret, bool *ret_given,
		     const char **ret_field, const char **ret_expected)
{
	static const char address[] = "expected an address, or a prefix as 10.0.0.0/24";
	struct flow_filter f = {.machine = ret->machine};
	const struct {
		const char *name;
		struct flow_prefix *to;
	} prefixes[] = {{"address", &f.any}, {"source", &f.from}, {"destination", &f.to}};
	const char *proto = arg_string(args, "protocol", NULL),
		   *state = arg_string(args, "state", NULL);

	f.family = (int)arg_int(args, "family", FLOW_ANY);
	f.any_port = (int)arg_int(args, "port", FLOW_ANY);
	f.from_port = (int)arg_int(args, "source_port", FLOW_ANY);
	f.to_port = (int)arg_int(args, "destination_port", FLOW_ANY);
	f.proto = f.state = FLOW_ANY;
	if (f.family != FLOW_ANY && f.family != 4 && f.family != 6) {
		*ret_field = "family";
		*ret_expected = "expected 4 or 6";
		return -EINVAL;
	}
	if (proto && !take_proto(proto, &f)) {
		*ret_field = "protocol";
		*ret_expected = "expected tcp, udp, icmp, icmpv6, sctp, dccp, udplite, gre, esp, "
				"ah, or a number of 0 to 255";
		return -EINVAL;
	}
	if (state && !take_state(state, &f)) {
		*ret_field = "state";
		*ret_expected = "expected syn-sent, syn-recv, established, fin-wait, close-wait, "
				"last-ack, time-wait, close, syn-sent2, unreplied, replied or "
				"stream";
		return -EINVAL;
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(prefixes); i++) {
		const char *s = arg_string(args, prefixes[i].name, NULL);

		if (s && !take_prefix(s, prefixes[i].to)) {
			*ret_field = prefixes[i].name;
			*ret_expected = address;
			return -EINVAL;
		}
	}
	*ret_given = proto || state || f.any.given || f.from.given || f.to.given ||
		     f.family != FLOW_ANY || f.any_port != FLOW_ANY || f.from_port != FLOW_ANY ||
		     f.to_port != FLOW_ANY;
	*ret = f;
	return 0;
}

/* --- whether it is one --- */

unsigned int flow_originator(const struct dataplane_flow *f)
{
	return f->flow.word & SP_FLOW_FLIP ? 1 : 0;
}

uint32_t flow_port_at(const struct dataplane_flow *f, unsigned int end)
{
	return f->flow.end[end & 1] & SP_END_PORT;
}

static bool in_prefix(const struct flow_prefix *p, const uint8_t addr[16])
{
	unsigned int bytes = p->bits / 8, rest = p->bits % 8;

	if (!p->given)
		return true;
	if (memcmp(p->addr, addr, bytes) != 0)
		return false;
	return rest == 0 || (p->addr[bytes] ^ addr[bytes]) >> (8 - rest) == 0;
}

static bool is_port(int wanted, const struct dataplane_flow *f, unsigned int end)
{
	return wanted == FLOW_ANY || (has_ports(f->proto) && f->port[end] == wanted);
}

bool flow_matches(const struct flow_filter *q, const struct dataplane_flow *f)
{
	unsigned int from = flow_originator(f), to = !from;

	if (q->machine && flow_port_at(f, 0) != q->machine && flow_port_at(f, 1) != q->machine)
		return false;
	if (q->family != FLOW_ANY && q->family != (f->six ? 6 : 4))
		return false;
	if (q->proto != FLOW_ANY && q->proto != f->proto)
		return false;
	if (q->state != FLOW_ANY && (unsigned int)q->state != (f->flow.word & SP_FLOW_STATE))
		return false;
	if (!in_prefix(&q->any, f->addr[0]) && !in_prefix(&q->any, f->addr[1]))
		return false;
	if (!in_prefix(&q->from, f->addr[from]) || !in_prefix(&q->to, f->addr[to]))
		return false;
	if (!is_port(q->any_port, f, 0) && !is_port(q->any_port, f, 1))
		return false;
	return is_port(q->from_port, f, from) && is_port(q->to_port, f, to);
}

/* --- how long it lives --- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* As owner_end of bpf/flow.h: the machine that was called, else the one that called. */
static uint32_t owner(const struct dataplane_flow *f)
{
	unsigned int called = !flow_originator(f);

	return flow_port_at(f, called) ? flow_port_at(f, called) : flow_port_at(f, !called);
}

static bool is_frozen(struct dataplane *dp, uint32_t port)
{
	struct sp_machine m;

	return port && dataplane_machine_get(dp, port, &m) == 0 && m.frozen_ns;
}

bool flow_look(struct dataplane *dp, const struct dataplane_flow *f, struct flow_found *ret)
{
	struct sp_machine m = {0};
	uint64_t now;
	int32_t ticks;

	*ret = (struct flow_found){.f = *f};
	if (dataplane_machine_get(dp, owner(f), &m) < 0)
		return false;
	now = m.frozen_ns ? m.frozen_ns : now_ns() - m.clock_off_ns;
	ticks = (int32_t)(f->flow.expires - (uint32_t)(now >> SP_TICK_SHIFT));
	ret->left_ms = ticks > 0 ? ((int64_t)ticks << SP_TICK_SHIFT) / 1000000 : 0;
	ret->frozen = is_frozen(dp, flow_port_at(f, 0)) || is_frozen(dp, flow_port_at(f, 1));
	return ticks > 0 || ret->frozen;
}

/* --- in words --- */

static const char *address_text(const uint8_t addr[16], bool six, char ret[INET6_ADDRSTRLEN])
{
	return inet_ntop(six ? AF_INET6 : AF_INET, six ? addr : addr + 12, ret, INET6_ADDRSTRLEN);
}

json_t *flow_view(const struct flow_found *found)
{
	const struct dataplane_flow *f = &found->f;
	unsigned int from = flow_originator(f), to = !from;
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN], proto[4];
	json_t *j = json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:I, s:b}", "family", f->six ? 6 : 4,
			      "protocol", flow_proto_name(f->proto, proto), "state",
			      flow_state_name(f->flow.word & SP_FLOW_STATE), "source",
			      address_text(f->addr[from], f->six, a), "destination",
			      address_text(f->addr[to], f->six, b), "assured",
			      !!(f->flow.word & SP_FLOW_ASSURED), "left_ms",
			      (json_int_t)found->left_ms, "frozen", found->frozen);

	if (has_ports(f->proto))
		json_object_update_new(j, json_pack("{s:i, s:i}", "source_port", f->port[from],
						    "destination_port", f->port[to]));
	else if (is_icmp(f->proto)) /* sp_flow4_key */
		json_object_update_new(j,
				       json_pack("{s:i, s:i, s:i}", "id", f->port[0], "type",
						 ((f->port[1] >> 8) & 0x7f) | (f->six ? 0x80 : 0),
						 "code", f->port[1] & 0xff));
	return j;
}
