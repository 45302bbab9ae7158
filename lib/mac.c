/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which MAC address, and which VLAN id, does this text name? */
#include "lib/mac.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Six pairs of digits with colons between; what follows the last is the caller's. */
static int parse_prefix(const char *s, uint8_t ret[6])
{
	uint8_t mac[6];

	for (size_t i = 0; i < 6; i++, s += 3) {
		int hi = hex_digit(s[0]);
		int lo = hi < 0 ? -1 : hex_digit(s[1]);

		if (lo < 0 || (i < 5 && s[2] != ':'))
			return -EINVAL;
		mac[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

int mac_parse(const char *s, uint8_t ret[6])
{
	uint8_t mac[6];

	if (parse_prefix(s, mac) < 0 || s[MAC_STRLEN - 1] != '\0')
		return -EINVAL;
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

int mac_parse_at_vid(const char *s, uint8_t ret_mac[6], uint16_t *ret_vid)
{
	unsigned int vid = 0;
	uint8_t mac[6];
	const char *p;

	if (parse_prefix(s, mac) < 0)
		return -EINVAL;
	p = s + MAC_STRLEN - 1;
	if (*p == '@') {
		p++;
		if (*p == '\0' || (*p == '0' && p[1] != '\0'))
			return -EINVAL;
		for (; *p != '\0'; p++) {
			if (*p < '0' || *p > '9')
				return -EINVAL;
			vid = vid * 10 + (unsigned int)(*p - '0');
			if (vid > 4095)
				return -EINVAL;
		}
	} else if (*p != '\0') {
		return -EINVAL;
	}
	memcpy(ret_mac, mac, sizeof(mac));
	*ret_vid = (uint16_t)vid;
	return 0;
}

const char *mac_format(const uint8_t mac[6], char buf[MAC_STRLEN])
{
	snprintf(buf, MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
	return buf;
}

bool mac_is_unicast(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}
