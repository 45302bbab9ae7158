/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference: what ought to become of a frame in the tests' world, told as plainly as can be
 * and without a look at how the BPF programs do it.
 */
#ifndef SALLYPORT_SELFTESTS_MODEL_H
#define SALLYPORT_SELFTESTS_MODEL_H

#include "shape.h"
#include "world.h"

#define MODEL_ETH 14 /* an Ethernet header */
#define MODEL_PAYLOAD_MAX (SHAPE_MAX - MODEL_ETH)
#define MODEL_ANSWER_MAX 86

struct model_frame {
	enum world_dev dev;
	uint16_t tag_proto; /* 0: no tag */
	uint16_t tci;
	uint8_t dst[SP_MAC_LEN], src[SP_MAC_LEN];
	uint16_t proto;
	uint16_t len; /* with the Ethernet header, without the tag */
	uint16_t gso_size;
	/* What is behind the Ethernet header; a pattern follows, up to len. */
	uint16_t payload_len; /* 0: model_payload */
	uint8_t payload[MODEL_PAYLOAD_MAX];
};

/* What other frames have behind their Ethernet header: a tag's 16 bits, VLAN id 101, and IPv4. */
extern const uint8_t model_payload[4];

#define MODEL_SOLICITED _M_MACS /* 33:33 and the last of the IPv6 destination: RFC 2464 */

/* What shape S is between two MAC addresses of the world: DST is an enum world_mac or the above. */
struct model_frame model_frame_of(enum world_dev dev, uint16_t vid, int dst, enum world_mac src,
				  const struct shape *s);

/* The bytes, from the Ethernet header on, without the tag: their number. */
size_t model_bytes(const struct model_frame *f, uint8_t *buf);

#define MODEL_NOTICES_MAX 3

struct model_notice {
	enum sp_notice_kind kind;
	uint32_t port, from_port;
	uint8_t addr[16];
};

struct model_result {
	enum sp_reason reason; /* SP_R_NONE: it goes on */
	uint32_t charged; /* the port that the drop, or else the arrival, is counted for; 0: none */
	uint16_t len;	  /* of the frame, without its tag */
	bool group;	  /* copies, not the frame itself */
	bool parked;	  /* taken to the daemon; a notice says so */
	size_t answer_len; /* it was turned into this, for who sent it; 0: it was not */
	uint8_t answer[MODEL_ANSWER_MAX];
	size_t n_notices;
	struct model_notice notices[MODEL_NOTICES_MAX];
	size_t n_dst;
	struct sp_dst dst[SP_FLOOD_MAX];
};

/* Through `steer_ingress`. */
void model_steer(const struct world *w, const struct model_frame *f, struct model_result *ret);
/* Through `guard`. A frame that begins with a tag is one that has it. */
void model_guard(const struct world *w, const struct model_frame *f, struct model_result *ret);

/* What the frame has changed in the machines' entries, for the frames after it. */
void model_remember(struct world *w, const struct model_result *r);

#endif
