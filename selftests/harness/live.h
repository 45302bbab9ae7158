/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The world with real ends: frames go in where a client, a workload or a machine would send them,
 * and come out where one would receive them.
 */
#ifndef SALLYPORT_SELFTESTS_LIVE_H
#define SALLYPORT_SELFTESTS_LIVE_H

#include <stdbool.h>
#include <sys/types.h>

#include "probe.h"
#include "world.h"

#define LIVE_WAIT_MS 2000 /* for a frame that must come */
#define LIVE_QUIET_MS 20  /* for one that must not: all of it happens inside the write */
#define LIVE_MAX 65536	  /* a frame that is cut up later */

struct live {
	struct world world;
	int far_fd[_W_DEVS]; /* raw sockets at the veths' far ends; -1 elsewhere */
	bool clsact, tcx;    /* what was asked for, and what this kernel gave */
};

/* Needs nothing but root; isolates. Negative errno, and a word on stderr. */
int live_open(struct live *l, bool force_clsact);
void live_close(struct live *l);

/* One frame as it comes out of device D, tag included: its length, or -EAGAIN. */
ssize_t live_receive(struct live *l, enum world_dev d, uint8_t *buf, size_t size, int timeout_ms);
/* All that is still there anywhere. */
void live_drain(struct live *l);

/* These end the test (cmocka) where it is not so. Bytes at device D, or the frame at its own, are
 * sent; device D got exactly F, with this tag. */
void live_send_bytes(struct live *l, enum world_dev d, const uint8_t *bytes, size_t n);
void live_send(struct live *l, const struct model_frame *f);
void live_expect(struct live *l, enum world_dev d, const struct model_frame *f, uint16_t vid);
void live_expect_bytes(struct live *l, enum world_dev d, const uint8_t *want, size_t n);
void live_expect_nothing(struct live *l);

struct model_frame live_frame(enum world_dev dev, uint16_t vid, enum world_mac dst,
			      enum world_mac src, uint16_t proto, uint16_t len);

#endif
