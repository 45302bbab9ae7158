/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does any text crash the check of OpenVPN's configuration? */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "loader/ovpnconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ovpnconf_expect expect = {.tap = "sp-a", .vlan_mode = true, .mtu = 1500};
	static FILE *sink;

	if (!sink)
		sink = fopen("/dev/null", "we");
	if (sink)
		ovpnconf_check_text("fuzz", (const char *)data, size, &expect, sink);
	return 0;
}
