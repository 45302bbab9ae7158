/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does the daemon learn of a machine from its frames? When it was last in use, and each event
 * that was asked for, once.
 */
#ifndef SALLYPORT_BPF_MACHINE_H
#define SALLYPORT_BPF_MACHINE_H

#include "maps.h"
#include "packet.h"

/* Idle times are minutes: the cache line that all CPUs share is written once a second. */
#define ACTIVE_STEP_NS 1000000000ULL

/* NULL: the number is out of range, which the daemon does not hand out. */
static __always_inline struct sp_machine *find_machine(__u32 port)
{
	return bpf_map_lookup_elem(&machines, &port);
}

/* NOW: 0 where it was not looked at yet. */
static __always_inline void mark_active(struct sp_machine *m, __u64 now)
{
	now = now ?: bpf_ktime_get_coarse_ns();
	if (now - m->active_ns > ACTIVE_STEP_NS && !sp_explain)
		m->active_ns = now;
}

static __always_inline void fill_notice(struct sp_notice *n, enum sp_notice_kind kind, __u32 port,
					__u32 segment, __u32 len)
{
	n->time_ns = bpf_ktime_get_ns();
	n->kind = kind;
	n->port = port;
	n->segment = segment;
	n->len = len;
	__builtin_memset(n->addr, 0, sizeof(n->addr));
	n->from_port = 0;
	n->pad = 0;
}

/* A port and its segment, in one: five arguments are all that a function has. */
static __always_inline __u64 whereabouts(__u32 port, __u32 segment)
{
	return (__u64)port << 32 | segment;
}

/*
 * Something that was asked for came true. There is a place for the notice before the bit is
 * cleared: where there is none, the next frame tries again. Who cleared it sends: one CPU. WHERE:
 * of the machine, as whereabouts() has it; ADDR may be NULL.
 */
__noinline int notify(struct sp_machine *m, __u32 bit, const struct frame *f, __u64 where,
		      const union addr *addr)
{
	enum sp_notice_kind kind = bit == SP_WATCH_TO	    ? SP_NOTICE_TO
				   : bit == SP_WATCH_FROM   ? SP_NOTICE_FROM
				   : bit == SP_WATCH_ANSWER ? SP_NOTICE_ANSWER
							    : SP_NOTICE_ADDRESS;
	struct sp_notice *n;

	if (!m || !f || sp_explain)
		return 0;
	n = bpf_ringbuf_reserve(&notices, sizeof(*n), 0);
	if (!n)
		return 0;
	if (!(__sync_fetch_and_and(&m->watch, ~bit) & bit)) {
		bpf_ringbuf_discard(n, BPF_RB_NO_WAKEUP);
		return 0;
	}
	fill_notice(n, kind, where >> 32, where, f->len);
	if (addr)
		__builtin_memcpy(n->addr, addr->b, sizeof(n->addr));
	bpf_ringbuf_submit(n, 0);
	return 0;
}

/* A unicast frame goes to the machine, whose whereabouts WHERE are. */
static __always_inline void note_to(struct sp_machine *m, const struct frame *f, __u64 where,
				    __u64 now)
{
	mark_active(m, now);
	if (m->watch & SP_WATCH_TO)
		notify(m, SP_WATCH_TO, f, where, NULL);
}

/* A frame that the machine sent goes on. */
static __always_inline void note_from(struct sp_machine *m, const struct frame *f, __u64 where,
				      __u64 now)
{
	if (m->watch & SP_WATCH_FROM)
		notify(m, SP_WATCH_FROM, f, where, NULL);
	if (mac_is_group(f->dst))
		return;
	mark_active(m, now);
	/* An answer to nothing is none. */
	if ((m->watch & (SP_WATCH_ANSWER | SP_WATCH_TO)) == SP_WATCH_ANSWER)
		notify(m, SP_WATCH_ANSWER, f, where, NULL);
}

static __always_inline const struct sp_address *find_address(__u32 segment, const union addr *a)
{
	struct sp_address_key key = {.segment = segment};

	__builtin_memcpy(key.addr, a->w, sizeof(key.addr));
	return bpf_map_lookup_elem(&addresses, &key);
}

#endif
