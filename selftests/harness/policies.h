/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random policies, written as carelessly as people write, and packets that are near to what they
 * ask for: at the edges of prefixes and ranges, one beside them, and elsewhere. draw.h seeds.
 */
#ifndef SALLYPORT_SELFTESTS_POLICIES_H
#define SALLYPORT_SELFTESTS_POLICIES_H

#include "loader/policy/policy.h"

/* A text of at most RULES rules; to be freed. It has no mistake. */
char *policies_draw(unsigned int rules);

/* A packet that could be on a wire: what IPv6 takes for an extension header is no protocol in it.
 */
void policies_draw_tuple(const struct policy *p, struct policy_tuple *ret);

/* Do both say the same, line numbers apart? NULL: yes; else what differs. */
const char *policies_differ(const struct policy *a, const struct policy *b);

#endif
