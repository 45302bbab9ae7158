/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a machine when nobody needs it, step by step: "pause 10m then save 2h then stop".
 * Each step is deeper than the one before; the last one has no time: it stays.
 */
#ifndef SALLYPORT_LOADER_LADDER_H
#define SALLYPORT_LOADER_LADDER_H

#include <stddef.h>
#include <stdint.h>

#include "sallyport/limits.h"

/* How awake a machine is, or is to be. Stable numbers: they are in the store. */
enum level {
	LEVEL_KEEP = 0, /* as it is */
	LEVEL_RUN = 1,
	LEVEL_SHRINK = 2, /* runs, with less memory and CPU */
	LEVEL_PAUSE = 3,  /* in memory, without CPU */
	LEVEL_SAVE = 4,	  /* on disk */
	LEVEL_STOP = 5,	  /* shut down */
	_LEVELS,
};
const char *level_name(enum level level); /* "pause" */

#define LADDER_STEPS 5
#define LADDER_FOR_EVER UINT32_MAX

struct ladder {
	size_t n; /* at least one */
	struct {
		enum level level;
		uint32_t seconds; /* LADDER_FOR_EVER: the last */
	} steps[LADDER_STEPS];
};

/*
 * Parse TEXT: STEP [TIME] { "then" STEP [TIME] }; STEP: keep, shrink, pause, save, stop; TIME: a
 * number with s, m, h or d. -EINVAL: *ret_at is where, ERROR what was expected there.
 */
int ladder_parse(const char *text, struct ladder *ret, size_t *ret_at, char error[128]);
/* The one way to write it. */
void ladder_format(const struct ladder *l, char ret[SP_LADDER_MAX]);

/* The level SECONDS after the ladder began; *ret_next: seconds until the next step, or
 * LADDER_FOR_EVER. */
enum level ladder_at(const struct ladder *l, uint64_t seconds, uint64_t *ret_next);

#endif
