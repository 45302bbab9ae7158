/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a session over its rate? Two token buckets in their virtual-scheduling form (ITU-T I.371,
 * GCRA): one timestamp each, no rounding that could starve a slow rate. One writer at a time in
 * practice (OpenVPN is one thread on one queue); a race would cost a frame's worth of exactness.
 */
#ifndef SALLYPORT_BPF_POLICE_H
#define SALLYPORT_BPF_POLICE_H

#include "maps.h"

#define NS_PER_S 1000000000ULL

static __always_inline bool over_rate(__u32 port, __u32 len)
{
	struct sp_police *p = bpf_map_lookup_elem(&police, &port);
	__u64 now, bytes, frames;

	if (!p || !(p->bytes_per_s | p->frames_per_s))
		return false;
	now = bpf_ktime_get_ns();
	bytes = p->bytes_next_ns;
	frames = p->frames_next_ns;
	if (bytes < now)
		bytes = now;
	if (frames < now)
		frames = now;
	if (p->bytes_per_s) {
		if (bytes - now > p->bytes_burst_ns)
			return true;
		bytes += len * NS_PER_S / p->bytes_per_s;
	}
	if (p->frames_per_s) {
		if (frames - now > p->frames_burst_ns)
			return true;
		frames += NS_PER_S / p->frames_per_s;
	}
	p->bytes_next_ns = bytes;
	p->frames_next_ns = frames;
	return false;
}

#endif
