/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a frame's way told? The steps that the programs wrote down, as JSON with a sentence each.
 */
#ifndef SALLYPORT_LOADER_EXPLAIN_WALK_H
#define SALLYPORT_LOADER_EXPLAIN_WALK_H

#include <jansson.h>
#include <stdint.h>

#include "explain/place.h"
#include "sallyport/abi.h"

struct daemon;

/* A frame's way between two places. */
struct walk {
	const struct place *from, *to;
	struct sp_walk steps;
	/* By step: what the rule says that decided, to be freed; NULL: not known. */
	char *rules[SP_STEPS];
};

/* Read the two places' policies for what the rules say. Some milliseconds where there are many. */
void walk_read_rules(struct walk *w);
void walk_clear(struct walk *w);

/*
 * {"steps": [...], "verdict": ..., "reason"?: ..., "why"?: ...} of docs/control.md; ports are named
 * by who has them. A new reference, NULL on lack of memory.
 */
json_t *walk_view(struct daemon *d, const struct walk *w);

#endif
