/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a machine send this? I6: in its own name only, and nothing that only a router or a DHCP
 * server may say, unless it is one. Its Ethernet source was proven by its binding already.
 */
#ifndef SALLYPORT_BPF_SPOOF_H
#define SALLYPORT_BPF_SPOOF_H

#include "arp.h"
#include "lease.h"
#include "machine.h"
#include "nd.h"

#define ICMP_REDIRECT 5	     /* RFC 792 */
#define ICMP_ROUTER_ADVERT 9 /* RFC 1256 */

/* The machine that a frame comes from. */
struct sender {
	const struct frame *f;
	const struct sp_bind *bind;
	struct sp_machine *m;
};

/* Whose is ADDR? */
enum claim {
	CLAIM_MINE,
	CLAIM_FREE, /* nobody's that the daemon knows of */
	CLAIM_ANOTHERS,
};

static __always_inline enum claim claim(const struct sender *s, const union addr *addr)
{
	const struct sp_address *a = find_address(s->bind->segment, addr);

	if (!a)
		return CLAIM_FREE;
	return a->port == s->bind->port ? CLAIM_MINE : CLAIM_ANOTHERS;
}

static __always_inline bool is_pinned(const struct sender *s)
{
	return s->m->flags & SP_M_PINNED;
}

/* May the machine call ADDR its own? A link-local address comes from nobody but itself. */
static __always_inline bool may_use(const struct sender *s, const union addr *addr, enum claim c)
{
	return c == CLAIM_MINE || (c == CLAIM_FREE && (!is_pinned(s) || addr_is_link_local(addr)));
}

/* It says in ARP or ND that ADDR is its own. */
static __always_inline bool judge_claim(const struct sender *s, const union addr *addr)
{
	enum claim c = claim(s, addr);

	if (!may_use(s, addr, c))
		return false;
	if (c == CLAIM_FREE && (s->m->watch & SP_WATCH_ADDRESS))
		notify(s->m, SP_WATCH_ADDRESS, s->f, whereabouts(s->bind->port, s->bind->segment),
		       addr);
	return true;
}

/* --- ARP --- */

static __always_inline enum sp_reason judge_arp(struct __sk_buff *skb, const struct sender *s)
{
	struct arp_packet arp;
	union addr sender;

	if (!read_arp(skb, &arp))
		return SP_R_BAD_HEADERS;
	if (!mac_equal(arp.sha, s->f->src))
		return SP_R_SPOOF_ARP;
	if (!arp_sender(&arp)) /* a probe: RFC 5227 */
		return arp.op == bpf_htons(ARP_REQUEST) ? SP_R_NONE : SP_R_SPOOF_ARP;
	map_ip4(&sender, arp_sender(&arp));
	return addr_is_host4(&sender) && judge_claim(s, &sender) ? SP_R_NONE : SP_R_SPOOF_ARP;
}

/* --- IPv4 --- */

/* A client that has no address yet. */
static __always_inline bool is_dhcp_request(const struct packet *p)
{
	return p->proto == PROTO_UDP && !p->fragment && p->sport == bpf_htons(DHCP_CLIENT_PORT) &&
	       p->dport == bpf_htons(DHCP_SERVER_PORT);
}

static __always_inline bool may_send_from4(const struct sender *s, const struct packet *p)
{
	if (s->m->flags & SP_M_ROUTER)
		return true;
	if (!addr_is_host4(&p->src))
		return !p->src.w[3] && is_dhcp_request(p);
	return p->proven || may_use(s, &p->src, claim(s, &p->src));
}

/*
 * By the destination port alone: a client listens there and does not ask where it came from, and
 * nobody but a server has business there.
 */
static __always_inline bool is_dhcp_offer(const struct packet *p, __u16 client_port)
{
	return p->proto == PROTO_UDP && p->dport == bpf_htons(client_port);
}

static __always_inline enum sp_reason judge_ip4(const struct sender *s, const struct packet *p)
{
	if (!may_send_from4(s, p))
		return SP_R_SPOOF_IP;
	if (!(s->m->flags & SP_M_DHCP) && is_dhcp_offer(p, DHCP_CLIENT_PORT))
		return SP_R_DHCP_GUARD;
	if (!(s->m->flags & SP_M_ROUTER) && p->proto == PROTO_ICMP &&
	    (p->icmp_type == ICMP_REDIRECT || p->icmp_type == ICMP_ROUTER_ADVERT))
		return SP_R_RA_GUARD;
	return SP_R_NONE;
}

/* --- IPv6 --- */

/*
 * Before it has an address: duplicate address detection (RFC 4862) and solicitation of routers (RFC
 * 4861, 6.1.1), neither with a link-layer address, and MLD (RFC 3590, 3810).
 */
static __always_inline bool may_be_unspecified(const struct packet *p)
{
	if (p->proto != PROTO_ICMP6 || p->fragment || !addr_is_multicast(&p->dst))
		return false;
	switch (p->icmp_type) {
	case ND_NS:
		return is_solicited_node(&p->dst);
	case ND_RS:
	case MLD_REPORT:
	case MLD_DONE:
	case MLD2_REPORT:
		return true;
	default:
		return false;
	}
}

static __always_inline bool may_send_from6(const struct sender *s, const struct packet *p)
{
	if (addr_is_unspecified(&p->src))
		return may_be_unspecified(p);
	return addr_is_host6(&p->src) && (p->proven || may_use(s, &p->src, claim(s, &p->src)));
}

/* RFC 6980, 7113: nobody needs these in fragments, but who wants to pass a guard. */
static __always_inline enum sp_reason judge_nd(struct __sk_buff *skb, const struct sender *s,
					       const struct packet *p)
{
	bool router = p->icmp_type == ND_RA || p->icmp_type == ND_REDIRECT;
	union addr target;

	if (router && !(s->m->flags & SP_M_ROUTER))
		return SP_R_RA_GUARD;
	if (p->fragment)
		return SP_R_BAD_HEADERS;
	if (p->hops != ND_HOPS || !may_send_from6(s, p))
		return SP_R_SPOOF_ND;
	if (p->icmp_type != ND_REDIRECT) { /* there it is the better hop's address */
		enum sp_reason r = judge_nd_options(skb, p, s->f->src);

		if (r)
			return r;
	}
	if (p->icmp_type == ND_NA) {
		if (!read_nd_target(skb, p, &target) || !addr_is_host6(&target) ||
		    !judge_claim(s, &target))
			return SP_R_SPOOF_ND;
	} else if (!addr_is_unspecified(&p->src)) {
		judge_claim(s, &p->src); /* for the notice: it may, or we would not be here */
	}
	return SP_R_NONE;
}

static __always_inline enum sp_reason judge_ip6(struct __sk_buff *skb, const struct sender *s,
						const struct packet *p)
{
	if (is_nd(p))
		return judge_nd(skb, s, p);
	if (!(s->m->flags & SP_M_ROUTER) && !may_send_from6(s, p))
		return SP_R_SPOOF_IP;
	if (is_dhcp_offer(p, DHCP6_CLIENT_PORT)) {
		if (!(s->m->flags & SP_M_DHCP))
			return SP_R_DHCP_GUARD;
		if (p->fragment)
			return SP_R_BAD_HEADERS;
	}
	return SP_R_NONE;
}

/* --- */

/* P: the packet in F, where that is not ARP. */
__noinline int judge_sender(struct __sk_buff *skb, const struct frame *f,
			    const struct sp_bind *bind, struct sp_machine *m,
			    const struct packet *p)
{
	struct sender s = {.f = f, .bind = bind, .m = m};
	enum sp_reason r;

	if (!f || !bind || !m || !p)
		return SP_R_BAD_HEADERS;
	if (f->proto == bpf_htons(ETH_P_ARP))
		return judge_arp(skb, &s);
	r = p->version == 4 ? judge_ip4(&s, p) : judge_ip6(skb, &s, p);
	if (!r && (m->flags & SP_M_LEASE) && is_to_dhcp_server(p))
		r = tell_lease(skb, f, bind->port, bind->segment, SP_NOTICE_DHCP_SENT);
	return r;
}

#endif
