/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that can be counted, before a frame and after it: did what should move, and no more?
 */
#ifndef SALLYPORT_SELFTESTS_TALLY_H
#define SALLYPORT_SELFTESTS_TALLY_H

#include "world.h"

struct tally {
	uint64_t reason[_SP_R_MAX];
	struct sp_counter port[WORLD_PORTS];
};

/* One frame's worth. */
struct tally_moves {
	enum sp_reason reason; /* SP_R_NONE: no drop */
	uint32_t charged;      /* the port of the drop, or else of the arrival; 0: none */
	bool arrived;
	uint32_t len;
	const uint32_t *departed; /* port numbers */
	size_t n_departed;
	uint32_t departed_len;
};

/* Negative errno. */
int tally_take(struct world *w, struct tally *ret);
/* NULL, or a sentence (in a buffer that the next call overwrites). */
const char *tally_check(const struct tally *before, const struct tally *after,
			const struct tally_moves *moves);

#endif
