/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is an OpenVPN server configuration safe to stand behind a tap of ours? OpenVPN itself can open
 * holes that no BPF program sees: client-to-client forwards inside the process.
 */
#ifndef SALLYPORT_LOADER_OVPNCONF_H
#define SALLYPORT_LOADER_OVPNCONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct ovpnconf_expect {
	const char *tap; /* "dev" must be this */
	bool vlan_mode;
	const char *management; /* NULL: not checked */
	unsigned int mtu;	/* tun-mtu must not be larger; 0: not checked */
};

/*
 * Check FILE and what it includes ("config FILE", at most 8 deep). Each finding goes to REPORT as
 * "FILE:LINE: 'directive': reason, what to do". Returns 0 = safe (warnings may have been written,
 * beginning "FILE:LINE: warning:"), -EPERM = dangerous or incomplete, other negative errno = not
 * readable or not parseable (also written).
 */
int ovpnconf_check(const char *file, const struct ovpnconf_expect *expect, FILE *report);

/* The same on text, for tests and the fuzzer; includes are refused. */
int ovpnconf_check_text(const char *name, const char *text, size_t size,
			const struct ovpnconf_expect *expect, FILE *report);

#endif
