/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is `sallyport explain` told? Each step of a frame's way, in a program that only looks
 * (sp_explain). In the programs that forward, the verifier leaves all of this out.
 */
#ifndef SALLYPORT_BPF_WALK_H
#define SALLYPORT_BPF_WALK_H

#include "maps.h"

struct sp_walk walk;

/* Room for the next step, or NULL. */
static __always_inline struct sp_step *next_step(enum sp_step_kind kind, __u32 port)
{
	__u32 i = walk.n++;
	struct sp_step *s;

	asm volatile("" : "+r"(i));
	if (i >= SP_STEPS)
		return NULL;
	s = &walk.step[i];
	s->kind = kind;
	s->port = port;
	return s;
}

static __always_inline void tell(enum sp_step_kind kind, __u32 port, __u8 detail, __u32 value)
{
	struct sp_step *s = sp_explain ? next_step(kind, port) : NULL;

	if (s) {
		s->detail = detail;
		s->value = value;
	}
}

#endif
