/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random frames for the tests' world, most of them nearly right: the same ones for the same seed,
 * on every C library.
 */
#ifndef SALLYPORT_SELFTESTS_DRAW_H
#define SALLYPORT_SELFTESTS_DRAW_H

#include "model.h"

void draw_seed(uint64_t seed); /* not 0 */
uint32_t draw(uint32_t below);
struct model_frame draw_frame(void);

#endif
