/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference: what ought to become of a frame in the tests' world, told as plainly as can be
 * and without a look at how the BPF programs do it.
 */
#ifndef SALLYPORT_SELFTESTS_MODEL_H
#define SALLYPORT_SELFTESTS_MODEL_H

#include "world.h"

#define MODEL_ETH 14 /* an Ethernet header */

struct model_frame {
	enum world_dev dev;
	uint16_t tag_proto; /* 0: no tag */
	uint16_t tci;
	uint8_t dst[SP_MAC_LEN], src[SP_MAC_LEN];
	uint16_t proto;
	uint16_t len; /* with the Ethernet header, without the tag */
	uint16_t gso_size;
};

/* What every frame has behind its Ethernet header: a tag's 16 bits, VLAN id 101, and IPv4. */
extern const uint8_t model_payload[4];

struct model_result {
	enum sp_reason reason; /* SP_R_NONE: it goes on */
	uint32_t charged; /* the port that the drop, or else the arrival, is counted for; 0: none */
	uint16_t len;	  /* of the frame, without its tag */
	bool group;	  /* copies, not the frame itself */
	size_t n_dst;
	struct sp_dst dst[SP_FLOOD_MAX];
};

/* Through `steer_ingress`. */
void model_steer(const struct world *w, const struct model_frame *f, struct model_result *ret);
/* Through `guard`. A frame that begins with a tag is one that has it. */
void model_guard(const struct world *w, const struct model_frame *f, struct model_result *ret);

#endif
