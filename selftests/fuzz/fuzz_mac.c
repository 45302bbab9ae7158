/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a text that is taken for MAC@VID the very text that the result is written as? */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mac.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char expected[MAC_STRLEN + 8];
	char buf[MAC_STRLEN];
	uint8_t mac[6];
	uint16_t vid;
	int bare;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	bare = mac_parse(text, mac);
	if (bare == 0 && strcasecmp(mac_format(mac, buf), text) != 0)
		abort();
	if (mac_parse_at_vid(text, mac, &vid) == 0) {
		bool tagged = strchr(text, '@') != NULL;

		if (vid > 4095 || tagged != (bare < 0))
			abort();
		snprintf(expected, sizeof(expected), tagged ? "%s@%u" : "%s", mac_format(mac, buf),
			 vid);
		if (strcasecmp(expected, text) != 0)
			abort();
	} else if (bare == 0) {
		abort();
	}
	free(text);
	return 0;
}
