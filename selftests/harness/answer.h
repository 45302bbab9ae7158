/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the sender of a rejected frame must get: a RST (RFC 9293, 3.10.7.1) or an ICMP error that
 * quotes it (RFC 792, 1812, 4443). Written without a look at how the programs do it.
 */
#ifndef SALLYPORT_SELFTESTS_ANSWER_H
#define SALLYPORT_SELFTESTS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#define ANSWER_MAX 1294 /* the smallest MTU of IPv6 */

/*
 * FRAME has LEN bytes, and PROTO begins at L4; RET is the answer, from its Ethernet header on. A
 * checksum in what is quoted is as the frame has it.
 */
size_t answer_bytes(const uint8_t *frame, size_t len, size_t l4, unsigned int proto,
		    uint8_t ret[ANSWER_MAX]);

#endif
