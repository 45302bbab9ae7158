// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does a machine's policy say of a frame, by itself? Reads it, asks the policy, and hands back
 * the answer: no flow, no guard, no redirect.
 */
#include "policy.h"

char LICENSE[] SEC("license") = "GPL";

/*
 * cb[0]: the port; cb[1]: direction, state << 8, foreign << 16. Back: cb[2]: action, log << 8,
 * rule << 16. The verdict is the reason.
 */
SEC("tc")
int judge(struct __sk_buff *skb)
{
	struct policy_question q = {.port = skb->cb[0],
				    .direction = skb->cb[1],
				    .state = skb->cb[1] >> 8,
				    .foreign = skb->cb[1] >> 16};
	struct policy_answer a = {};
	struct packet p = {};
	struct frame f = {};
	int r;

	r = parse_skb(skb, &f);
	if (!r)
		r = read_packet(skb, &f, &p);
	if (!r)
		r = policy_judge(&q, &p, &a);
	skb->cb[2] = a.action | a.log << 8 | (__u32)a.rule << 16;
	return r;
}
