/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a port, or are all ports of its user together, over the rate? Two token buckets in their
 * virtual-scheduling form (ITU-T I.371, GCRA): one timestamp each, no rounding that could starve a
 * slow rate. A machine with several queues sends on several CPUs: what each of them takes is added,
 * so that together they get no more.
 */
#ifndef SALLYPORT_BPF_POLICE_H
#define SALLYPORT_BPF_POLICE_H

#include "maps.h"

#define NS_PER_S 1000000000ULL

/* COST later, from its due time OLD or from now. Another CPU was quicker: later than it has it. */
static __always_inline void take(__u64 *next, __u64 old, __u64 now, __u64 cost)
{
	__u64 from = old < now ? now : old;

	if (__sync_val_compare_and_swap(next, old, from + cost) != old)
		__sync_fetch_and_add(next, cost);
}

static __always_inline bool is_ahead(__u64 next, __u64 now, __u64 burst)
{
	return next > now && next - now > burst;
}

static __always_inline bool over(struct sp_police *p, __u64 now, __u32 len)
{
	__u64 bytes = p->bytes_next_ns, frames = p->frames_next_ns;

	if ((p->bytes_per_s && is_ahead(bytes, now, p->bytes_burst_ns)) ||
	    (p->frames_per_s && is_ahead(frames, now, p->frames_burst_ns)))
		return true;
	if (sp_explain)
		return false;
	if (p->bytes_per_s)
		take(&p->bytes_next_ns, bytes, now, len * NS_PER_S / p->bytes_per_s);
	if (p->frames_per_s)
		take(&p->frames_next_ns, frames, now, NS_PER_S / p->frames_per_s);
	return false;
}

/* One more answer or event because of some port: is there a token left? sp_limit. */
static __always_inline bool may_say(__u64 *next_ns, __u64 *withheld)
{
	__u64 now = bpf_ktime_get_ns(), next = *next_ns;

	if (is_ahead(next, now, SP_SAY_BURST * SP_SAY_COST_NS)) {
		__sync_fetch_and_add(withheld, 1);
		return false;
	}
	take(next_ns, next, now, SP_SAY_COST_NS);
	return true;
}

/*
 * What the port's own rate refuses, the user's does not count. A function, so that its keys are not
 * on the stack of its caller: Linux 6.1 rounds each one's part up to 32 bytes, and 512 are all.
 */
static __noinline enum sp_reason judge_by_rate(struct sp_police *p, __u32 len)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 user;

	if (over(p, now, len))
		return SP_R_POLICED;
	user = p->user;
	p = user ? bpf_map_lookup_elem(&police, &user) : NULL;
	return p && over(p, now, len) ? SP_R_USER_RATE : SP_R_NONE;
}

static __always_inline enum sp_reason judge_rate(__u32 port, __u32 len)
{
	struct sp_police *p = bpf_map_lookup_elem(&police, &port);

	if (!p || !(p->bytes_per_s | p->frames_per_s | p->user))
		return SP_R_NONE;
	return judge_by_rate(p, len);
}

/* A group frame of a machine. */
static __always_inline bool over_group_rate(__u32 port)
{
	struct sp_quota *l = bpf_map_lookup_elem(&quotas, &port);
	__u64 now, next;

	if (!l || !l->group_ns)
		return false;
	now = bpf_ktime_get_ns();
	next = l->group_next_ns;
	if (is_ahead(next, now, l->group_burst_ns))
		return true;
	if (!sp_explain)
		take(&l->group_next_ns, next, now, l->group_ns);
	return false;
}

#endif
