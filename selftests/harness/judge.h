/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy put into the maps of a dataplane, and packets put to it by BPF_PROG_TEST_RUN: the
 * kernel's matcher by itself (selftests/prog/policy.bpf.c), with no flow and no guard around it.
 */
#ifndef SALLYPORT_SELFTESTS_JUDGE_H
#define SALLYPORT_SELFTESTS_JUDGE_H

#include "dataplane.h"
#include "policy/policy.h"

#define JUDGE_FRAME 96 /* the longest that judge_frame writes */

struct policy_bpf;

struct judge {
	struct dataplane *dp;
	struct policy_bpf *obj;
};

/* Both maps of DP, which stays the caller's, are the program's. Negative errno. */
int judge_open(struct judge *j, struct dataplane *dp);
void judge_close(struct judge *j);

/* Put TEXT in force at PORT. A text with a mistake is -EINVAL, and said on stderr. */
int judge_set_text(struct judge *j, uint32_t port, const char *text);
int judge_set(struct judge *j, uint32_t port, const struct policy *p, const char *text);

/* T as a frame, without checksums: its length. */
size_t judge_frame(const struct policy_tuple *t, uint8_t buf[JUDGE_FRAME]);

/* What the program makes of T by the policy of PORT: an enum sp_reason, or a negative errno. */
int judge_ask(const struct judge *j, uint32_t port, const struct policy_tuple *t,
	      struct policy_verdict *ret);

/* The reason that goes with a verdict. */
int judge_reason(const struct policy_verdict *v);

#endif
