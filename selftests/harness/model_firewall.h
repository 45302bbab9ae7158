/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reference's part for the firewall. */
#ifndef SALLYPORT_SELFTESTS_MODEL_FIREWALL_H
#define SALLYPORT_SELFTESTS_MODEL_FIREWALL_H

#include "model.h"

/*
 * Does the firewall let F pass, between two ports at least one of which is a machine's? 0: another
 * port. Remembers what began; model_forget_flows: all machines have begun anew.
 */
enum sp_reason model_firewall(const struct model_frame *f, uint32_t segment, uint32_t from,
			      uint32_t to);
void model_forget_flows(void);

/*
 * Of TCP it knows one SYN, the same for all, and first fragments not at all; test_conntrack.c has
 * the others.
 */
bool model_knows(const struct model_frame *f);

#endif
