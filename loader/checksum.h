/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the checksum of a frame's TCP, UDP or ICMPv6 still to be made? A sender may leave it to its
 * device (the kernel's CHECKSUM_PARTIAL, VIRTIO_NET_HDR_F_NEEDS_CSUM), and a frame that was stored
 * does not tell any more: what is found in its place does, the pseudo-header's sum (RFC 9293, 3.1).
 */
#ifndef SALLYPORT_LOADER_CHECKSUM_H
#define SALLYPORT_LOADER_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Complete it in FRAME, LEN bytes from the Ethernet header on, untagged. Any other value is left as
 * it is, right or wrong: a frame that was damaged stays so. True: it was completed. Fragments, and
 * what cannot be read, have none to complete.
 */
bool checksum_complete(uint8_t *frame, size_t len);

/*
 * What a sender puts in a checksum's place that leaves it to its device: the sum over source and
 * destination (N bytes, next to each other), the length LEN of what is behind the IP header, and
 * the protocol.
 */
uint16_t checksum_pseudo(const uint8_t *addresses, size_t n, size_t len, uint8_t proto);

#endif
