/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How do the tests of machine ports say what is in a frame? Initializers of struct shape. */
#ifndef SALLYPORT_SELFTESTS_MACHINE_WORDS_H
#define SALLYPORT_SELFTESTS_MACHINE_WORDS_H

#include "selftests/harness/shape.h"
#include "selftests/harness/world.h"

#define M_NONE (-1) /* no link-layer address */
#define LLA(m) ((m) < 0 ? NULL : world_mac[(m) < 0 ? 0 : (m)])

/* clang-format off */
#define ARP_OF(op, sm, s, d, ...) {SHAPE_ARP, .a = (op), .lla = LLA(sm), .src = (s), .dst = (d), ##__VA_ARGS__}
#define ARP_REQUEST(sm, s, d, ...) ARP_OF(1, sm, s, d, ##__VA_ARGS__)
#define ARP_REPLY(sm, s, dm, d, ...) ARP_OF(2, sm, s, d, .tha = LLA(dm), ##__VA_ARGS__)
#define IP_OF(k, s, d, x, y, ...) {(k), .src = (s), .dst = (d), .a = (x), .b = (y), ##__VA_ARGS__}
#define UDP(s, d, x, y, ...) IP_OF(SHAPE_UDP, s, d, x, y, ##__VA_ARGS__)
#define TCP(s, d, x, y, ...) IP_OF(SHAPE_TCP, s, d, x, y, ##__VA_ARGS__)
#define ICMP(s, d, x, y, ...) IP_OF(SHAPE_ICMP, s, d, x, y, ##__VA_ARGS__)
#define OTHER(s, d, p, ...) IP_OF(SHAPE_OTHER, s, d, p, 0, ##__VA_ARGS__)
#define ND_OF(k, s, d, t, m, ...) {(k), .src = (s), .dst = (d), .target = (t), .lla = LLA(m), ##__VA_ARGS__}
#define NS(s, d, t, m, ...) ND_OF(SHAPE_NS, s, d, t, m, ##__VA_ARGS__)
#define NA(s, d, t, m, ...) ND_OF(SHAPE_NA, s, d, t, m, ##__VA_ARGS__)
#define RS(s, m, ...) ND_OF(SHAPE_RS, s, "ff02::2", NULL, m, ##__VA_ARGS__)
#define RA(s, m, ...) ND_OF(SHAPE_RA, s, "ff02::1", NULL, m, ##__VA_ARGS__)
#define REDIRECT(s, d, t, m, ...) ND_OF(SHAPE_REDIRECT, s, d, t, m, ##__VA_ARGS__)
#define DAD(d, t, ...) {SHAPE_NS, .src = "::", .dst = (d), .target = (t), ##__VA_ARGS__}
/* clang-format on */

#endif
