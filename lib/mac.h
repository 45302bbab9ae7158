/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MAC addresses as text, and OpenVPN's MAC@VID. Strict: nothing but the one form is taken. */
#ifndef SALLYPORT_LIB_MAC_H
#define SALLYPORT_LIB_MAC_H

#include <stdbool.h>
#include <stdint.h>

#define MAC_STRLEN 18 /* with NUL */

/* "02:00:00:00:00:01", hex digits of either case. -EINVAL. */
int mac_parse(const char *s, uint8_t ret[6]);

/* "02:00:00:00:00:01@101": VID 0 to 4095, no leading zeros, no sign. A bare MAC gives VID 0.
 * -EINVAL. */
int mac_parse_at_vid(const char *s, uint8_t ret_mac[6], uint16_t *ret_vid);

/* Lower case. Returns BUF. */
const char *mac_format(const uint8_t mac[6], char buf[MAC_STRLEN]);

/* May it be the source address of a frame? Not a group address, not all zero. */
bool mac_is_unicast(const uint8_t mac[6]);

#endif
