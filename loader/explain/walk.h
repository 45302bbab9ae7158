/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a frame's way told? The steps that the programs wrote down, as JSON with a sentence each.
 */
#ifndef SALLYPORT_LOADER_EXPLAIN_WALK_H
#define SALLYPORT_LOADER_EXPLAIN_WALK_H

#include <jansson.h>
#include <stdint.h>

#include "sallyport/abi.h"

struct daemon;

/*
 * {"steps": [...], "verdict": ..., "reason": ..., "text": ...} of docs/control.md; ports are named
 * by who has them in SEGMENT. A new reference, NULL on lack of memory.
 */
json_t *walk_view(struct daemon *d, uint32_t segment, const struct sp_walk *walk);

#endif
