/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whom does a guest that wakes take its neighbors to be? What it knew when it fell asleep: a user
 * who has come back with another MAC since is not answered, until the guest gives the old one up
 * (RFC 4861, 7.3: tens of seconds). It is told by a question, as the sender would have asked it,
 * had the question not been answered in the guest's name.
 */
#ifndef SALLYPORT_LOADER_MACHINE_NEIGHBOR_H
#define SALLYPORT_LOADER_MACHINE_NEIGHBOR_H

#include <stddef.h>
#include <stdint.h>

#define NEIGHBOR_LEN 86 /* of the longest question */

/*
 * The sender of FRAME (LEN bytes, from the Ethernet header on, untagged) asks its receiver for its
 * address: an ARP request (RFC 826) or a neighbor solicitation (RFC 4861, 4.3) to that MAC alone,
 * whose checksum is left to dataplane_replay. Its length, or 0 where FRAME is neither IPv4 nor
 * IPv6, or has no address that could be asked for.
 */
size_t neighbor_question(const uint8_t *frame, size_t len, uint8_t ret[NEIGHBOR_LEN]);

#endif
