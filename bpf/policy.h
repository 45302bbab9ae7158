/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does a machine's policy say of a packet that no flow answers for? The host's default. */
#ifndef SALLYPORT_BPF_POLICY_H
#define SALLYPORT_BPF_POLICY_H

#include "packet.h"

enum policy_direction { POLICY_IN, POLICY_OUT };
enum policy_state { POLICY_NEW = 1, POLICY_RELATED = 2, POLICY_GROUP = 3 };
enum policy_action { POLICY_ACCEPT, POLICY_DROP, POLICY_REJECT };

struct policy_question {
	__u32 port;
	__u8 direction, state;
	__u8 foreign; /* it comes from another segment: a share */
	__u8 pad;
};

struct policy_answer {
	__u8 action, log;
	__u16 rule; /* 0: the default */
};

/*
 * What the policy of machine Q->port says of packet P: out, and in from the own segment. SP_R_NONE:
 * it passes; else why not.
 */
__noinline int policy_judge(const struct policy_question *q, const struct packet *p,
			    struct policy_answer *ret)
{
	if (!q || !p || !ret)
		return SP_R_FLOW_INVALID;
	ret->action = q->direction == POLICY_OUT || !q->foreign ? POLICY_ACCEPT : POLICY_DROP;
	ret->log = 0;
	ret->rule = 0;
	return ret->action == POLICY_ACCEPT ? SP_R_NONE : SP_R_FLOW_INVALID;
}

#endif
