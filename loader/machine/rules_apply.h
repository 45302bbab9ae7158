/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A policy's way into the dataplane, with what ends because of it: on a worker, it blocks. */
#ifndef SALLYPORT_LOADER_MACHINE_RULES_APPLY_H
#define SALLYPORT_LOADER_MACHINE_RULES_APPLY_H

#include <stddef.h>

#include "rules.h"

#define RULES_ERROR_MAX 256

struct dataplane;
struct policy;

struct rules_order {
	/* What is to be done. Texts are the caller's. */
	uint32_t port;
	uint64_t generation;
	char *text;	/* NULL: none, the host's default is in force then */
	char *fallback; /* the host's default; NULL where LOOK is RULES_STRICT_NO */
	enum rules_strict look;
	char *before; /* the text that was in force; NULL: the default. For RULES_STRICT_AUTO */
	/* What came of it. */
	int r;
	char error[RULES_ERROR_MAX];
	bool strict;
	unsigned int ended;
};

/* TEXT as a policy. -EINVAL: ERROR has the first mistake, with line and column. */
int rules_parse(const char *text, struct policy **ret, char error[RULES_ERROR_MAX]);
/* Do as ORDER says; its `r` is the result. A flow that could not be ended is no failure. */
void rules_apply(struct dataplane *dp, struct rules_order *order);
/* End the flows of PORT's machine that P does not allow; returns how many. */
unsigned int rules_end_flows(struct dataplane *dp, uint32_t port, const struct policy *p);
/* Texts are freed. */
void rules_order_free(struct rules_order *order);

struct dataplane_flow;
struct policy_tuple;
/*
 * The packet that a flow began with, as the machine of PORT sees it. False: none of its ends is the
 * machine's.
 */
bool rules_flow_tuple(const struct dataplane_flow *flow, uint32_t port, struct policy_tuple *ret);

#endif
