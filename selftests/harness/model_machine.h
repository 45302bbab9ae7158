/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reference's part for machines: what they may send, and what is done while they sleep. */
#ifndef SALLYPORT_SELFTESTS_MODEL_MACHINE_H
#define SALLYPORT_SELFTESTS_MODEL_MACHINE_H

#include "model.h"

/* May M send F? Adds the notice of an address that nobody listed. */
enum sp_reason model_guard_machine(const struct world *w, const struct world_machine *m,
				   const struct model_frame *f, struct model_result *ret);

/* A group frame in SEGMENT, from port RET->charged: true if it is answered in a machine's name. */
bool model_answer_group(const struct model_frame *f, uint32_t segment, struct model_result *ret);

/* A unicast frame for M (may be NULL), which is awake: is it answered in its name all the same? */
bool model_answer_one(const struct model_frame *f, uint32_t segment, const struct world_machine *m,
		      struct model_result *ret);

/* A unicast frame for M, which is asleep: parked, answered, or a reason. */
void model_to_sleeper(const struct world *w, const struct model_frame *f, uint32_t segment,
		      const struct world_machine *m, struct model_result *ret);

/* One of SP_WATCH_*, if it was asked for. */
void model_notice(const struct world *w, uint32_t port, uint32_t bit, const uint8_t *addr,
		  struct model_result *ret);

#endif
