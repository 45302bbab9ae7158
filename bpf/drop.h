/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where does a drop leave its trace? I9: one reason counted, one port charged, some frames sampled.
 */
#ifndef SALLYPORT_BPF_DROP_H
#define SALLYPORT_BPF_DROP_H

#include "maps.h"
#include "parse.h"
#include "walk.h"

/* Whom a frame belongs to, as far as it could be found: 0 where it could not. */
struct owner {
	__u32 port;
	__u32 segment;
};

/*
 * The frame is not bound, or not even well-formed: the most specific port that it can be charged
 * to, and why a frame of good form had no binding. A bound VLAN id says all there is to know of its
 * tap, so that a flood of spoofed frames by a session costs one look-up less.
 */
static __noinline enum sp_reason explain_unbound(const struct frame *f, struct owner *o)
{
	struct sp_vid_key key = {.pad = 0};
	const struct sp_port *port;
	const struct sp_vid *vid;
	__u32 ifindex;
	bool bad_source;

	if (!f || !o)
		return SP_R_PORT_UNKNOWN;
	ifindex = f->ifindex;
	bad_source = mac_is_group(f->src) || mac_is_zero(f->src);
	if (f->tag) {
		key.ifindex = ifindex;
		key.vid = f->vid;
		vid = bpf_map_lookup_elem(&vids, &key);
		if (vid) {
			o->port = vid->port;
			o->segment = vid->segment;
			return bad_source ? SP_R_SRC_GROUP : SP_R_SRC_UNBOUND;
		}
	}
	port = bpf_map_lookup_elem(&ports, &ifindex);
	if (!port)
		return SP_R_PORT_UNKNOWN;
	o->port = port->port;
	o->segment = port->segment;
	if (port->flags & SP_F_CLOSED)
		return SP_R_PORT_DOWN;
	if (bad_source)
		return SP_R_SRC_GROUP;
	if (port->kind == SP_PORT_VPN && (port->flags & SP_F_VLAN_MODE))
		return f->tag ? SP_R_VID_UNBOUND : SP_R_TAG_MISSING;
	return f->tag ? SP_R_TAG_UNEXPECTED : SP_R_SRC_UNBOUND;
}

/* Count. Returns the reason's count where this frame is to be sampled, or NULL. */
static __always_inline struct sp_reason_count *count_drop(enum sp_reason reason,
							  const struct owner *o, __u32 len)
{
	__u32 port = o->port, index = reason;
	struct sp_reason_count *r;
	struct sp_counter *c;
	__u64 now;

	if (sp_explain) {
		tell(SP_STEP_DROP, port, 0, reason);
		return NULL;
	}
	if (port) {
		c = bpf_map_lookup_elem(&counters, &port);
		if (c) {
			c->drops++;
			c->drop_bytes += len;
		}
	}
	r = bpf_map_lookup_elem(&reasons, &index);
	if (!r)
		return NULL;
	r->frames++;
	r->bytes += len;
	if (!sp_sampling)
		return NULL;
	now = bpf_ktime_get_coarse_ns();
	if (now < r->next_ns)
		return NULL;
	r->next_ns = now + sp_sample_ns;
	return r;
}

static __always_inline void fill_event(struct sp_event *e, enum sp_reason reason, enum sp_hook hook,
				       const struct frame *f, const struct owner *o)
{
	e->time_ns = bpf_ktime_get_ns();
	e->ifindex = f->ifindex;
	e->port = o->port;
	e->segment = o->segment;
	e->len = f->len;
	e->vid = f->vid;
	e->caplen = 0;
	e->reason = reason;
	e->hook = hook;
	e->rule = 0;
}

/* NULL: the reader is behind; the frame is counted all the same. */
static __always_inline struct sp_event *new_event(struct sp_reason_count *r, enum sp_reason reason,
						  enum sp_hook hook, const struct frame *f,
						  const struct owner *o)
{
	struct sp_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return NULL;
	r->sampled++;
	fill_event(e, reason, hook, f, o);
	return e;
}

/*
 * How much of LEN bytes to copy: 1 to SP_EVENT_SNAP. The mask changes nothing; it is there because
 * the verifier forgets a lower bound that was tested on a copy of the register.
 */
static __always_inline __u32 snap(__u32 len)
{
	if (len > SP_EVENT_SNAP)
		len = SP_EVENT_SNAP;
	len--;
	asm volatile("" : "+r"(len));
	return (len & (SP_EVENT_SNAP - 1)) + 1;
}

#endif
