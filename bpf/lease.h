/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does the daemon see of DHCP, where a machine's addresses are learned from it? What the
 * machine sends to servers, and what may be the answer, from where a server may be: copies, by
 * which the daemon fills `addresses`.
 *
 * Options are parsed there, not here: a lease is a message in hours, and options are lists within
 * lists (RFC 2132, 8415) that a fuzzer can be let loose on in user space. So that what was not told
 * is not believed by the machine either, a message whose copy finds no room is dropped: it is asked
 * for again.
 */
#ifndef SALLYPORT_BPF_LEASE_H
#define SALLYPORT_BPF_LEASE_H

#include "machine.h"
#include "police.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP6_CLIENT_PORT 546
#define DHCP6_SERVER_PORT 547

#define UDP_HEADER 8
#define DHCP_CHADDR 28 /* in the message: RFC 2131, 2 */

static __always_inline bool is_to_dhcp_server(const struct packet *p)
{
	return p->proto == PROTO_UDP && !p->fragment &&
	       p->dport == bpf_htons(p->version == 4 ? DHCP_SERVER_PORT : DHCP6_SERVER_PORT);
}

static __always_inline bool is_to_dhcp_client(const struct packet *p)
{
	return p->proto == PROTO_UDP && !p->fragment &&
	       p->dport == bpf_htons(p->version == 4 ? DHCP_CLIENT_PORT : DHCP6_CLIENT_PORT);
}

/* One more notice for the machine of PORT? So that no machine takes the room of others. */
static __always_inline bool may_tell(__u32 port)
{
	struct sp_quota *l = bpf_map_lookup_elem(&quotas, &port);
	__u64 now, next;

	if (!l)
		return false;
	now = bpf_ktime_get_ns();
	next = l->lease_next_ns;
	if (is_ahead(next, now, SP_LEASE_BURST_NS))
		return false;
	if (!sp_explain)
		take(&l->lease_next_ns, next, now, SP_LEASE_NS);
	return true;
}

/* A copy of the frame, which is from or to the machine of PORT. */
__noinline int tell_lease(struct __sk_buff *skb, const struct frame *f, __u32 port, __u32 segment,
			  __u32 kind)
{
	struct sp_parked *r;
	__u32 len;

	if (!f)
		return SP_R_LEASE;
	len = f->len;
	if (len < ETH_HLEN || len > SP_PARK_LEN || !may_tell(port))
		return SP_R_LEASE;
	if (sp_explain)
		return SP_R_NONE;
	r = bpf_ringbuf_reserve(&notices, sizeof(*r), 0);
	if (!r)
		return SP_R_LEASE;
	fill_notice(&r->head, kind, port, segment, len);
	if (bpf_skb_load_bytes(skb, 0, r->data, len)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return SP_R_LEASE;
	}
	bpf_ringbuf_submit(r, 0);
	return SP_R_NONE;
}

/*
 * May a server be behind the port that the frame came by? A workload's is the operator's; of
 * machines those alone may, by the DHCP guard, that have SP_M_DHCP; what a user plugs in behind a
 * VPN is no server that addresses are learned from.
 */
static __always_inline bool may_serve(const struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	const struct sp_port *from = bpf_map_lookup_elem(&ports, &ifindex);

	return from && (from->kind == SP_PORT_NETNS || from->kind == SP_PORT_MACHINE);
}

/* Of group frames, those that may be a server's: DHCP's broadcasts. DHCPv6 has none. */
static __always_inline bool may_be_lease(const struct frame *f)
{
	return f->proto == bpf_htons(ETH_P_IP) && (f->dst[0] & f->dst[5]) == 0xff;
}

/* Whom does the broadcast message in P tell of? 0: nobody here. */
static __always_inline __u32 find_client(struct __sk_buff *skb, const struct packet *p,
					 __u32 segment)
{
	struct sp_fdb_key key = {.segment = segment};
	const struct sp_dst *d;

	if (p->l4_len < UDP_HEADER + DHCP_CHADDR + SP_MAC_LEN ||
	    bpf_skb_load_bytes(skb, p->l4 + UDP_HEADER + DHCP_CHADDR, key.mac, SP_MAC_LEN))
		return 0;
	d = bpf_map_lookup_elem(&fdb, &key);
	return d && d->kind == SP_PORT_MACHINE ? d->port : 0;
}

/*
 * May the packet P, in frame F, go on, as far as leases are concerned? To the machine of PORT,
 * which has SP_M_LEASE; or, PORT 0, to everybody. In fragments nothing is told, and so nothing
 * learned.
 */
__noinline int judge_lease(struct __sk_buff *skb, const struct frame *f, const struct sp_bind *bind,
			   __u32 port, const struct packet *p)
{
	const struct sp_machine *m;

	if (!f || !bind || !p || !is_to_dhcp_client(p) || !may_serve(skb))
		return SP_R_NONE;
	if (!port) {
		port = find_client(skb, p, bind->segment);
		m = port ? find_machine(port) : NULL;
		if (!m || !(m->flags & SP_M_LEASE))
			return SP_R_NONE;
	}
	return tell_lease(skb, f, port, bind->segment, SP_NOTICE_DHCP_GOT);
}

#endif
