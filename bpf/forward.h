/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does a judged frame leave? Tags, marks, redirects and copies: the only code that acts. */
#ifndef SALLYPORT_BPF_FORWARD_H
#define SALLYPORT_BPF_FORWARD_H

#include "classify.h"
#include "drop.h"
#include "firewall.h"

/* uapi/linux/pkt_cls.h; TCX takes the same numbers. */
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define TC_ACT_REDIRECT 7

#define PACKET_HOST 0 /* uapi/linux/if_packet.h */

static __always_inline void count_rx(__u32 port, __u32 len)
{
	struct sp_counter *c = sp_explain ? NULL : bpf_map_lookup_elem(&counters, &port);

	if (c) {
		c->rx_frames++;
		c->rx_bytes += len;
	}
}

static __always_inline void count_tx(__u32 port, __u32 len)
{
	struct sp_counter *c = sp_explain ? NULL : bpf_map_lookup_elem(&counters, &port);

	if (c) {
		c->tx_frames++;
		c->tx_bytes += len;
	}
}

/* Give the frame the tag WANT instead of HAVE; 0 is none. */
static __always_inline bool retag(struct __sk_buff *skb, __u16 have, __u16 want)
{
	if (have && bpf_skb_vlan_pop(skb))
		return false;
	if (want && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), want))
		return false;
	return true;
}

/*
 * The one place where a unicast frame leaves, by kind of port. A veth's frame goes straight to the
 * far end inside the namespace, without a second trip through the near end's egress and the
 * backlog: half as dear again as all else together. Kernels whose bpf_redirect_peer does not scrub
 * (6.1 before its backport) leave the frame marked as another host's, as the device that it came in
 * by saw it (eth_type_trans), and the far stack would drop it.
 */
static __always_inline int send(struct __sk_buff *skb, const struct sp_dst *d)
{
	if (sp_explain) {
		tell(SP_STEP_SEND, d->port, d->kind, d->vid);
		return TC_ACT_REDIRECT;
	}
	switch (d->kind) {
	case SP_PORT_NETNS:
		bpf_skb_change_type(skb, PACKET_HOST);
		return bpf_redirect_peer(d->ifindex, 0);
	default:
		skb->mark = sp_mark;
		return bpf_redirect(d->ifindex, 0);
	}
}

/*
 * The way back to where a frame came from; NULL: there is none. That the daemon holds its sender to
 * be asleep does not matter: it is awake.
 */
static __always_inline const struct sp_dst *find_source(const struct frame *f,
							const struct sp_bind *bind)
{
	struct sp_fdb_key key = {.segment = bind->segment};
	const struct sp_dst *d;

	__builtin_memcpy(key.mac, f->src, SP_MAC_LEN);
	d = bpf_map_lookup_elem(&fdb, &key);
	if (!d || d->port != bind->port || (d->flags & SP_F_CLOSED))
		return NULL;
	return d;
}

/* To where the frame F came from, with what is in it now; a negative reason: it cannot be. */
static __always_inline int hand_back(struct __sk_buff *skb, const struct frame *f,
				     const struct sp_dst *d)
{
	if ((f->vid || d->vid) && !retag(skb, f->vid, d->vid))
		return -SP_R_TAG_FAILED;
	count_tx(d->port, skb->len);
	return send(skb, d);
}

struct copies {
	struct __sk_buff *skb;
	const struct frame *f;
	const struct sp_flood *list;
	struct packet *p;	/* what is in the frame, if `read` and not `unreadable` */
	__u8 group[SP_MAC_LEN]; /* the frame's own destination */
	__u16 tag;		/* which tag it has now */
	__u32 len;
	__u32 wire_len; /* of the longest frame on the wire */
	__u32 port;	/* where it came from: skipped */
	__u32 sent;
	__u32 failed;	/* enum sp_reason of the last copy that could not be made */
	__u32 refused;	/* enum sp_reason of the last machine that does not want it */
	int unreadable; /* enum sp_reason of the frame, if `read` */
	bool read;
	bool rewritten; /* its destination is a unicast address now */
	bool too_long;	/* for one of the ports */
};

/*
 * May the machine D have a copy? The frame is read for the first of them that is asked, and never
 * again: what a failure has left in P would mislead a second look.
 */
static __always_inline bool may_reach(struct copies *c, const struct sp_dst *d)
{
	int r;

	if (c->f->proto == bpf_htons(ETH_P_ARP))
		return true;
	if (!c->read)
		c->unreadable = read_packet(c->skb, c->f, c->p);
	c->read = true;
	r = c->unreadable ? -c->unreadable : judge_copy(c->skb, c->p, d->port, POLICY_IN);
	c->refused = r ? -r : c->refused;
	return !r;
}

/* The destination as this port needs it: MAC mode gets a unicast copy (I3). */
static __always_inline bool readdress(struct copies *c, const struct sp_dst *d)
{
	bool unicast = !mac_is_zero(d->mac);

	if (!unicast && !c->rewritten)
		return true;
	c->rewritten = unicast;
	return !bpf_skb_store_bytes(c->skb, 0, unicast ? d->mac : c->group, SP_MAC_LEN, 0);
}

static long copy_one(__u32 i, void *arg)
{
	struct copies *c = arg;
	const struct sp_dst *d;

	if (i >= SP_FLOOD_MAX || i >= c->list->count)
		return 1;
	d = &c->list->dst[i];
	if (d->port == c->port || (d->flags & SP_F_CLOSED))
		return 0;
	if (c->wire_len > d->max_len) {
		c->too_long = true;
		return 0;
	}
	if (d->kind == SP_PORT_MACHINE && !may_reach(c, d))
		return 0;
	if (sp_explain) {
		tell(SP_STEP_COPY, d->port, d->kind, d->vid);
		c->sent++;
		return 0;
	}
	if (c->tag != d->vid) {
		if (!retag(c->skb, c->tag, d->vid)) {
			c->failed = SP_R_TAG_FAILED;
			return 1;
		}
		c->tag = d->vid;
	}
	if (!readdress(c, d) || bpf_clone_redirect(c->skb, d->ifindex, 0)) {
		c->failed = SP_R_CLONE_FAILED;
		return 0;
	}
	count_tx(d->port, c->len);
	c->sent++;
	return 0;
}

/*
 * One copy for each other port of the segment, at most SP_FLOOD_MAX; the original ends here. P:
 * what is in the frame, if READ, or room for it. Returns why not, if nobody got one or a copy
 * failed.
 */
static __always_inline enum sp_reason flood_frame(struct __sk_buff *skb, const struct frame *f,
						  const struct sp_bind *bind, struct packet *p,
						  bool read)
{
	__u32 segment = bind->segment;
	struct copies c = {.skb = skb,
			   .f = f,
			   .p = p,
			   .read = read,
			   .tag = f->vid,
			   .len = f->len,
			   .wire_len = wire_len(f),
			   .port = bind->port};

	c.list = bpf_map_lookup_elem(&flood, &segment);
	if (!c.list)
		return SP_R_NO_LISTENER;
	tell(SP_STEP_GROUP, 0, 0, c.list->count);
	__builtin_memcpy(c.group, f->dst, SP_MAC_LEN);
	skb->mark = sp_mark;
	bpf_loop(SP_FLOOD_MAX, copy_one, &c, 0);
	if (c.failed)
		return c.failed;
	if (c.sent)
		return SP_R_NONE;
	return c.refused ?: c.too_long ? SP_R_TOO_LONG : SP_R_NO_LISTENER;
}

#endif
