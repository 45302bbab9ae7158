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
	uint8_t out[PROBE_MAX]; /* what probe_steer's frame is afterwards, without its tag */
	size_t out_len;
};

int prober_open(struct prober *p, struct world *w);
void prober_close(struct prober *p);

/* The frame's bytes, tag included where TAGGED: their number. */
size_t probe_bytes(const struct model_frame *f, uint8_t buf[PROBE_MAX], bool tagged);

/*
 * The verdict of the program that is at the ingress of the frame's port, or a negative errno; what
 * the guard makes of it.
 */
int probe_steer(struct prober *p, const struct model_frame *f);
int probe_guard(const struct prober *p, const struct model_frame *f);

/*
 * Read every tap of the world: are the frames that EXPECTED says, and no others, there?
 * NULL, or a sentence (in a buffer that the next call overwrites).
 */
const char *probe_check_copies(const struct prober *p, const struct model_frame *f,
			       const struct model_result *expected);

/* After probe_steer: is the frame what EXPECTED says that it became, where it was redirected? */
const char *probe_check_out(const struct prober *p, const struct model_frame *f,
			    const struct model_result *expected);

/* The notices since the last time: those that EXPECTED says, no others, and in this order? */
const char *probe_check_notices(struct prober *p, const struct model_frame *f,
				const struct model_result *expected, uint32_t segment);

#endif
