// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which frames from a VPN tap die before an skb's work is done for them? XDP: everything that has
 * no binding (I1), and what is over its session's rate. It never redirects: a non-blocking writer's
 * frames would be lost (tun takes the skb path).
 */
#include "classify.h"
#include "drop.h"
#include "police.h"

char LICENSE[] SEC("license") = "GPL";

static __noinline int drop_xdp(struct xdp_md *xdp, const struct frame *f, const struct owner *o,
			       __u32 reason)
{
	struct sp_reason_count *r;
	struct sp_event *e;
	__u32 n;

	if (!f || !o)
		return 0;
	r = count_drop(reason, o, f->len);
	e = r ? new_event(r, reason, SP_HOOK_GUARD, f, o) : NULL;
	if (!e)
		return 0;
	n = snap(xdp->data_end - xdp->data);
	if (!bpf_xdp_load_bytes(xdp, 0, e->data, n))
		e->caplen = n;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("xdp")
int guard(struct xdp_md *xdp)
{
	const struct sp_bind *bind;
	enum sp_reason reason;
	struct owner o = {};
	struct frame f = {};

	reason = parse_xdp(xdp, &f);
	bind = reason ? NULL : find_binding(&f);
	if (!bind) {
		enum sp_reason why = explain_unbound(&f, &o);

		drop_xdp(xdp, &f, &o, reason ? reason : why);
		return XDP_DROP;
	}
	reason = judge_rate(bind->port, f.len);
	if (reason) {
		o.port = bind->port;
		o.segment = bind->segment;
		drop_xdp(xdp, &f, &o, reason);
		return XDP_DROP;
	}
	tell(SP_STEP_GUARD, bind->port, 0, bind->segment);
	return XDP_PASS;
}
