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

#endif
