/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What are the numbers of the ABI called? */
#include "dataplane.h"
#include "lib/cleanup.h"

#define REASON_NAME(n, id, name, text) [n] = (name),
#define REASON_TEXT(n, id, name, text) [n] = (text),
static const char *const reason_names[SP_REASON_SLOTS] = {SP_REASONS(REASON_NAME)};
static const char *const reason_texts[SP_REASON_SLOTS] = {SP_REASONS(REASON_TEXT)};

static const char *name_of(const char *const *names, size_t n, unsigned int i)
{
	return i < n && names[i] ? names[i] : "?";
}

bool sp_reason_exists(unsigned int reason)
{
	return reason < SP_ARRAY_SIZE(reason_names) && reason_names[reason];
}

const char *sp_reason_name(unsigned int reason)
{
	return name_of(reason_names, SP_ARRAY_SIZE(reason_names), reason);
}

const char *sp_reason_text(unsigned int reason)
{
	return name_of(reason_texts, SP_ARRAY_SIZE(reason_texts), reason);
}

const char *sp_hook_name(unsigned int hook)
{
	static const char *const names[] = {
		[SP_HOOK_GUARD] = "guard",
		[SP_HOOK_STEER] = "steer",
		[SP_HOOK_EGRESS] = "egress",
	};

	return name_of(names, SP_ARRAY_SIZE(names), hook);
}

const char *sp_port_kind_name(unsigned int kind)
{
	static const char *const names[] = {
		[SP_PORT_VPN] = "vpn",	       [SP_PORT_NETNS] = "netns",
		[SP_PORT_MACHINE] = "machine", [SP_PORT_UPLINK] = "uplink",
		[SP_PORT_TUNNEL] = "tunnel",
	};

	return name_of(names, SP_ARRAY_SIZE(names), kind);
}
