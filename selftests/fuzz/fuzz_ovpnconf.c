/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does any text harm the check of OpenVPN's configuration, or hide a dangerous line from it? */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ovpnconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static int check(const char *text, size_t size, bool vlan_mode)
{
	const struct ovpnconf_expect expect = {.tap = "sp-a", .vlan_mode = vlan_mode, .mtu = 1500};
	char *report = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&report, &n);
	int r;

	require(f != NULL);
	r = ovpnconf_check_text("fuzz", text, size, &expect, f);
	fclose(f);
	require(r == 0 || (r == -EPERM && n > 0)); /* never a refusal without a word */
	free(report);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char open[] = "client-to-client\n";
	char *text = malloc(sizeof(open) - 1 + size);
	bool vlan_mode;

	require(text != NULL);
	memcpy(text, open, sizeof(open) - 1);
	if (size > 0)
		memcpy(text + sizeof(open) - 1, data, size);
	vlan_mode = check((const char *)data, size, true) == 0;
	/* No text is fit for both modes, and none makes up for a line that is not. */
	if (check((const char *)data, size, false) == 0)
		require(!vlan_mode);
	require(check(text, sizeof(open) - 1 + size, true) == -EPERM);
	require(check(text, sizeof(open) - 1 + size, false) == -EPERM);
	free(text);
	return 0;
}
