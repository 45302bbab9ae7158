/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is what an OpenVPN configuration says safe to stand behind a tap of ours? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "ovpnconf_internal.h"

#define finding ovpnconf_finding
#define warning ovpnconf_warning

/* --- rules that need the arguments --- */

static void rule_dev(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_DEV;
	if (n < 2 || strcmp(words[1], c->expect->tap) != 0)
		finding(c, "dev", "not the instance's tap; set it to the tap of sallyportd.conf");
}

static void rule_dev_type(struct check *c, char **words, unsigned int n)
{
	if (n < 2 || strcmp(words[1], "tap") != 0)
		finding(c, "dev-type", "expected tap: segments are layer 2");
}

static void rule_mode(struct check *c, char **words, unsigned int n)
{
	if (n == 2 && strcmp(words[1], "server") == 0)
		c->has |= HAS_SERVER;
	else
		finding(c, "mode", "expected server");
}

static void rule_vlan_tagging(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_VLAN;
	if (!c->expect->vlan_mode)
		finding(c, "vlan-tagging",
			"the instance is in MAC mode; remove it, or set mode = vlan");
}

static void rule_vlan_accept(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_ACCEPT;
	if (n < 2 || strcmp(words[1], "tagged") != 0)
		finding(c, "vlan-accept",
			"lets frames in or out without the session's VLAN id; set it to tagged");
}

static void rule_vlan_pvid(struct check *c, char **words, unsigned int n)
{
	if (c->client_config)
		finding(c, "vlan-pvid",
			"would put this client into a foreign segment; remove it: the "
			"client-connect hook gives each its own");
	else if (n < 2 || strcmp(words[1], "1") != 0)
		finding(c, "vlan-pvid",
			"would give clients an id that is somebody's; remove it: the "
			"client-connect hook gives each its own");
}

static void rule_script_security(struct check *c, char **words, unsigned int n)
{
	c->security = n < 2 ? 1 : atoi(words[1]);
	c->security_line = c->line;
	if (c->security > 2)
		finding(c, "script-security",
			"above 2 passwords are in environments, which others can read; set it to "
			"2");
}

/* Is the hook the one that is installed with us? COMMAND may carry arguments. */
static bool is_program(const char *command, const char *name)
{
	size_t n = strcspn(command, " \t");
	size_t start = n;

	while (start > 0 && command[start - 1] != '/')
		start--;
	return n - start == strlen(name) && strncmp(command + start, name, n - start) == 0;
}

static void rule_auth_verify(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_AUTH | HAS_PROGRAM;
	if (n < 3 || strcmp(words[2], "via-file") != 0)
		finding(c, "auth-user-pass-verify",
			"expected via-file: an environment can be read by others");
	else if (!is_program(words[1], "sallyport-auth"))
		warning(c, "auth-user-pass-verify",
			"not sallyport-auth: whom it lets in is believed to be that user");
}

static void rule_hook(struct check *c, char **words, unsigned int n)
{
	static const struct {
		const char *directive, *program;
		unsigned int has;
	} hooks[] = {
		{"client-connect", "sallyport-connect", HAS_CONNECT},
		{"client-disconnect", "sallyport-disconnect", HAS_DISCONNECT},
		{"learn-address", "sallyport-learn-address", HAS_LEARN},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(hooks); i++) {
		if (strcmp(words[0], hooks[i].directive) != 0)
			continue;
		c->has |= hooks[i].has | HAS_PROGRAM;
		if (n < 2)
			finding(c, words[0], "expected a program");
		else if (!is_program(words[1], hooks[i].program))
			warning(c, words[0],
				"not the program that comes with sallyportd; it must call it");
	}
}

static void rule_plugin(struct check *c, char **words, unsigned int n)
{
	if (n >= 2 && is_program(words[1], "openvpn-plugin-sallyport.so"))
		c->has |= HAS_AUTH | HAS_CONNECT | HAS_DISCONNECT | HAS_LEARN;
	else
		warning(c, "plugin",
			"not one of ours: it runs inside OpenVPN and is trusted as OpenVPN is");
}

static void rule_management(struct check *c, char **words, unsigned int n)
{
	bool local = n >= 3 && strcmp(words[2], "unix") == 0;

	c->has |= HAS_MANAGEMENT;
	if (c->expect->management && (!local || strcmp(words[1], c->expect->management) != 0))
		finding(c, "management",
			"not the unix socket that sallyportd.conf names for the instance");
	else if (!local && n < 4)
		warning(c, "management",
			"a TCP port without a password: whoever reaches it rules OpenVPN");
}

static void rule_management_auth(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_AUTH;
	if (c->expect->management)
		finding(c, words[0],
			"sallyportd holds the management socket and does not answer logins there; "
			"use sallyport-auth or the plugin");
	else
		warning(c, words[0],
			"whom the manager lets in is believed to be that user, unasked");
}

static void rule_mtu(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_MTU;
	if (c->expect->mtu && (n < 2 || strtoul(words[1], NULL, 10) > c->expect->mtu))
		finding(c, "tun-mtu", "above the instance's mtu in sallyportd.conf");
}

static void rule_chroot(struct check *c, char **words, unsigned int n)
{
	c->chroot_line = c->line;
}

static void rule_cd(struct check *c, char **words, unsigned int n)
{
	char dir[PATH_MAX];

	if (n < 2)
		return;
	ovpnconf_resolve(c, words[1], dir);
	memcpy(c->dir, dir, sizeof(dir));
}

static void rule_ccd(struct check *c, char **words, unsigned int n)
{
	char dir[PATH_MAX];

	if (n < 2 || c->client_config)
		return;
	if (!c->files) {
		warning(c, words[0],
			"a vlan-pvid in one of its files would put a client into a foreign "
			"segment");
		return;
	}
	ovpnconf_resolve(c, words[1], dir);
	ovpnconf_check_dir(c, dir);
}

/* --- the table --- */

enum effect { NOTE, REFUSE, WARN };

#define HOST_ADDRESS "gives the host an address on the tap; remove it"
#define ROOT_SCRIPT "runs with OpenVPN's rights; it must not bridge or address the tap"

static const struct rule {
	const char *directive;
	enum effect effect;
	unsigned int has;					   /* noted, whatever else */
	void (*fn)(struct check *c, char **words, unsigned int n); /* or these words: */
	const char *why;
} rules[] = {
	{"client-to-client", REFUSE, 0, NULL,
	 "forwards between clients inside OpenVPN, past every wall; remove it"},
	{"auth-user-pass-optional", REFUSE, 0, NULL,
	 "lets clients in without a password; remove it"},
	{"vlan-tagging", NOTE, 0, rule_vlan_tagging, NULL},
	{"vlan-accept", NOTE, 0, rule_vlan_accept, NULL},
	{"vlan-pvid", NOTE, 0, rule_vlan_pvid, NULL},
	{"dev", NOTE, 0, rule_dev, NULL},
	{"dev-type", NOTE, 0, rule_dev_type, NULL},
	{"mode", NOTE, 0, rule_mode, NULL},
	{"server-bridge", NOTE, HAS_SERVER | HAS_TLS, NULL, NULL},
	{"server", REFUSE, 0, NULL,
	 "configures an address on the tap and routes; use mode server or server-bridge"},
	{"server-ipv6", REFUSE, 0, NULL,
	 "configures an address on the tap and routes; use mode server or server-bridge"},
	{"tls-server", NOTE, HAS_TLS, NULL, NULL},
	{"tls-client", REFUSE, 0, NULL, "expected tls-server"},
	{"client", REFUSE, 0, NULL, "expected a server's configuration"},
	{"script-security", NOTE, 0, rule_script_security, NULL},
	{"auth-user-pass-verify", NOTE, 0, rule_auth_verify, NULL},
	{"client-connect", NOTE, 0, rule_hook, NULL},
	{"client-disconnect", NOTE, 0, rule_hook, NULL},
	{"learn-address", NOTE, 0, rule_hook, NULL},
	{"plugin", NOTE, 0, rule_plugin, NULL},
	{"management", NOTE, 0, rule_management, NULL},
	{"management-client-auth", NOTE, 0, rule_management_auth, NULL},
	{"tun-mtu", NOTE, 0, rule_mtu, NULL},
	{"persist-tun", NOTE, HAS_PERSIST_TUN, NULL, NULL},
	{"persist-key", NOTE, HAS_PERSIST_KEY, NULL, NULL},
	{"keepalive", NOTE, HAS_KEEPALIVE, NULL, NULL},
	{"ping-restart", NOTE, HAS_KEEPALIVE, NULL, NULL},
	{"max-routes-per-client", NOTE, HAS_MAX_ROUTES, NULL, NULL},
	{"mute", NOTE, HAS_MUTE, NULL, NULL},
	{"chroot", NOTE, 0, rule_chroot, NULL},
	{"cd", NOTE, 0, rule_cd, NULL},
	{"client-config-dir", NOTE, 0, rule_ccd, NULL},
	{"up", WARN, 0, NULL, ROOT_SCRIPT},
	{"down", WARN, 0, NULL, ROOT_SCRIPT},
	{"route-up", WARN, 0, NULL, ROOT_SCRIPT},
	{"iproute", WARN, 0, NULL, ROOT_SCRIPT},
	{"ifconfig", REFUSE, 0, NULL, HOST_ADDRESS},
	{"ifconfig-ipv6", REFUSE, 0, NULL, HOST_ADDRESS},
	{"mktun", REFUSE, 0, NULL, "makes a tap of its own; the tap is made by sallyportd"},
	{"rmtun", REFUSE, 0, NULL, "removes the tap, which is sallyportd's"},
	{"lladdr", REFUSE, 0, NULL,
	 "changes the tap's address, which sallyportd keeps from clients; remove it"},
};

void ovpnconf_apply(struct check *c, char **words, unsigned int n)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if (strcmp(r->directive, words[0]) != 0)
			continue;
		/* In a client's own file a directive says nothing about the server. */
		if (c->client_config && r->fn != rule_vlan_pvid)
			continue;
		c->has |= r->has;
		if (r->fn)
			r->fn(c, words, n);
		else if (r->effect == REFUSE)
			finding(c, r->directive, r->why);
		else if (r->effect == WARN)
			warning(c, r->directive, r->why);
	}
}

bool ovpnconf_is_ruled(const char *directive)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(rules); i++)
		if (strcmp(rules[i].directive, directive) == 0)
			return true;
	return false;
}

/* --- what must be there --- */

/* What depends on more than one line. */
static void check_together(struct check *c)
{
	unsigned int end = c->line;

	if ((c->has & HAS_PROGRAM) && c->security < 2) {
		c->line = c->security_line ? c->security_line : end;
		finding(c, "script-security",
			c->security_line ? "below 2 the hooks cannot run; set it to 2"
					 : "missing: the hooks cannot run; set it to 2");
	}
	if (c->chroot_line) {
		c->line = c->chroot_line;
		if (c->has & HAS_PROGRAM)
			finding(c, "chroot",
				"the hooks cannot be executed inside; use the plugin, or remove "
				"it");
		else
			warning(c, "chroot", "the control socket must be reachable inside");
	}
	c->line = end;
	if (c->expect->mtu && c->expect->mtu < 1500 && !(c->has & HAS_MTU))
		finding(c, "tun-mtu",
			"missing: OpenVPN's 1500 is above the instance's mtu in sallyportd.conf");
}

int ovpnconf_conclude(struct check *c)
{
	const struct {
		unsigned int bit;
		bool needed, refuse;
		const char *directive, *why;
	} musts[] = {
		{HAS_DEV, true, true, "dev", "missing: expected the instance's tap"},
		{HAS_SERVER, true, true, "mode server", "missing"},
		{HAS_TLS, true, true, "tls-server", "missing"},
		{HAS_VLAN, c->expect->vlan_mode, true, "vlan-tagging",
		 "missing, and the instance is in VLAN mode: all clients would be in one broadcast "
		 "domain"},
		{HAS_ACCEPT, c->expect->vlan_mode, true, "vlan-accept tagged", "missing"},
		{HAS_AUTH, true, true, "auth-user-pass-verify",
		 "missing, and so is our plugin: who is it?"},
		{HAS_CONNECT, true, true, "client-connect", "missing, and so is our plugin"},
		{HAS_DISCONNECT, true, true, "client-disconnect", "missing, and so is our plugin"},
		{HAS_LEARN, true, true, "learn-address", "missing, and so is our plugin"},
		{HAS_MANAGEMENT, c->expect->management != NULL, true, "management",
		 "missing, and sallyportd.conf names one for the instance"},
		{HAS_PERSIST_TUN, true, false, "persist-tun",
		 "missing: SIGUSR1 would close the tap"},
		{HAS_PERSIST_KEY, true, false, "persist-key",
		 "missing: after SIGUSR1 an unprivileged OpenVPN cannot read its keys again"},
		{HAS_KEEPALIVE, true, false, "keepalive",
		 "missing: a client that vanishes is not noticed"},
		{HAS_MAX_ROUTES, true, false, "max-routes-per-client",
		 "missing: a client may fill OpenVPN's own table with MAC addresses"},
		{HAS_MUTE, true, false, "mute",
		 "missing: each frame that is refused is a line in OpenVPN's log"},
	};

	check_together(c);
	for (size_t i = 0; i < SP_ARRAY_SIZE(musts); i++) {
		if (!musts[i].needed || (c->has & musts[i].bit))
			continue;
		if (musts[i].refuse)
			finding(c, musts[i].directive, musts[i].why);
		else
			warning(c, musts[i].directive, musts[i].why);
	}
	return c->findings ? -EPERM : 0;
}
