/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the reader of OpenVPN's configuration and its rules share; nobody else includes it. */
#ifndef SALLYPORT_LOADER_OVPNCONF_INTERNAL_H
#define SALLYPORT_LOADER_OVPNCONF_INTERNAL_H

#include <limits.h>

#include "ovpnconf.h"

#define OVPNCONF_WORDS 17 /* OpenVPN's MAX_PARMS and the directive */

/* What was found; each is a bit. */
enum {
	HAS_DEV = 1 << 0,
	HAS_SERVER = 1 << 1,
	HAS_TLS = 1 << 2,
	HAS_VLAN = 1 << 3,
	HAS_ACCEPT = 1 << 4,
	HAS_AUTH = 1 << 5,
	HAS_CONNECT = 1 << 6,
	HAS_DISCONNECT = 1 << 7,
	HAS_LEARN = 1 << 8,
	HAS_PROGRAM = 1 << 9, /* a hook that OpenVPN must execute */
	HAS_PERSIST_TUN = 1 << 10,
	HAS_PERSIST_KEY = 1 << 11,
	HAS_KEEPALIVE = 1 << 12,
	HAS_MAX_ROUTES = 1 << 13,
	HAS_MANAGEMENT = 1 << 14,
	HAS_MUTE = 1 << 15,
	HAS_MTU = 1 << 16,
};

struct check {
	const struct ovpnconf_expect *expect;
	FILE *report;
	bool files;	    /* others may be opened */
	bool client_config; /* this one is of the client-config-dir */
	unsigned int depth;
	const char *file;
	unsigned int line, findings;
	unsigned int has;
	int security;				 /* script-security; OpenVPN's default is 1 */
	unsigned int security_line, chroot_line; /* 0: not given */
	char dir[PATH_MAX]; /* where relative paths begin: OpenVPN's, as its unit sets it */
	char close_tag[64]; /* inside <tag>: what ends it */
};

/* One line to the report: the configuration is refused; or a word to the operator only. */
void ovpnconf_finding(struct check *c, const char *directive, const char *why);
void ovpnconf_warning(struct check *c, const char *directive, const char *why);

/* --- ovpnconf_rules.c --- */

/* Judge one directive. WORDS: N of them, at least 1. */
void ovpnconf_apply(struct check *c, char **words, unsigned int n);
/* Is it one that the rules speak of? */
bool ovpnconf_is_ruled(const char *directive);
/* What is missing. 0 or -EPERM. */
int ovpnconf_conclude(struct check *c);

/* --- ovpnconf.c --- */

/* PATH as OpenVPN would find it. */
void ovpnconf_resolve(const struct check *c, const char *path, char ret[PATH_MAX]);
/* Each file of a client-config-dir. */
void ovpnconf_check_dir(struct check *c, const char *dir);

#endif
