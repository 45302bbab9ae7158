/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One frame put to the programs by BPF_PROG_TEST_RUN, and what became of it: the verdict, the
 * counters that moved, the copies that came out of the world's taps.
 */
#ifndef SALLYPORT_SELFTESTS_PROBE_H
#define SALLYPORT_SELFTESTS_PROBE_H

#include "model.h"
#include "world.h"

#define PROBE_MAX 2048
#define PROBE_SHOT 2
#define PROBE_REDIRECT 7
#define PROBE_XDP_DROP 1
#define PROBE_XDP_PASS 2

struct testwrap_bpf;

struct prober {
	struct world *world;
	struct testwrap_bpf *wrap;
};

int prober_open(struct prober *p, struct world *w);
void prober_close(struct prober *p);

/* The frame's bytes, tag included where TAGGED: their number. */
size_t probe_bytes(const struct model_frame *f, uint8_t buf[PROBE_MAX], bool tagged);

/* The program's verdict, or a negative errno. */
int probe_steer(const struct prober *p, const struct model_frame *f);
int probe_guard(const struct prober *p, const struct model_frame *f);

/*
 * Read every tap of the world: are the frames that EXPECTED says, and no others, there?
 * NULL, or a sentence (in a buffer that the next call overwrites).
 */
const char *probe_check_copies(const struct prober *p, const struct model_frame *f,
			       const struct model_result *expected);

#endif
