/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is an OpenVPN server configuration safe to stand behind a tap of ours? */
#include "ovpnconf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

#define WORDS_MAX 8
#define LINE_MAX_BYTES 4096
#define DEPTH_MAX 8
#define FILE_MAX (1 << 20)

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
	HAS_SECURITY = 1 << 9,
	HAS_PERSIST_TUN = 1 << 10,
	HAS_KEEPALIVE = 1 << 11,
	HAS_PLUGIN = 1 << 12,
	HAS_MAX_ROUTES = 1 << 13,
	HAS_MANAGEMENT = 1 << 14,
};

struct check {
	const struct ovpnconf_expect *expect;
	FILE *report;
	bool includes; /* may be followed */
	unsigned int depth;
	const char *file;
	unsigned int line, findings;
	unsigned int has;
	char close_tag[64]; /* inside <tag>: what ends it */
};

static void finding(struct check *c, const char *directive, const char *why)
{
	c->findings++;
	fprintf(c->report, "%s:%u: '%s': %s\n", c->file, c->line, directive, why);
}

static void warning(struct check *c, const char *directive, const char *why)
{
	fprintf(c->report, "%s:%u: warning: '%s': %s\n", c->file, c->line, directive, why);
}

/* --- rules that need the arguments --- */

typedef void (*rule_fn)(struct check *c, char **words, unsigned int n);

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
	if (n < 2 || strcmp(words[1], "1") != 0)
		finding(c, "vlan-pvid",
			"would give clients an id that is somebody's; remove it: the "
			"client-connect hook gives each its own");
}

static void rule_script_security(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_SECURITY;
	if (n < 2 || strcmp(words[1], "2") != 0)
		finding(c, "script-security",
			"expected 2: below, the hooks cannot run; above, passwords are in "
			"environments");
}

static void rule_auth_verify(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_AUTH;
	if (n < 3 || strcmp(words[2], "via-file") != 0)
		finding(c, "auth-user-pass-verify",
			"expected via-file: an environment can be read by others");
}

static void rule_plugin(struct check *c, char **words, unsigned int n)
{
	const char *name = n < 2		    ? ""
			   : strrchr(words[1], '/') ? strrchr(words[1], '/') + 1
						    : words[1];

	if (strcmp(name, "openvpn-plugin-sallyport.so") == 0)
		c->has |= HAS_AUTH | HAS_CONNECT | HAS_DISCONNECT | HAS_LEARN | HAS_PLUGIN;
	else
		warning(c, "plugin",
			"not one of ours: it runs inside OpenVPN and is trusted as OpenVPN is");
}

static void rule_management(struct check *c, char **words, unsigned int n)
{
	c->has |= HAS_MANAGEMENT;
	if (n < 3 || strcmp(words[2], "unix") != 0)
		warning(c, "management",
			"not a unix socket: whoever reaches the port rules OpenVPN");
	else if (c->expect->management && strcmp(words[1], c->expect->management) != 0)
		finding(c, "management",
			"not the socket that sallyportd.conf names for the instance");
}

static void rule_mtu(struct check *c, char **words, unsigned int n)
{
	if (c->expect->mtu && n >= 2 && strtoul(words[1], NULL, 10) > c->expect->mtu)
		finding(c, "tun-mtu", "above the instance's mtu in sallyportd.conf");
}

static void rule_chroot(struct check *c, char **words, unsigned int n)
{
	if (!(c->has & HAS_PLUGIN))
		warning(c, "chroot",
			"the hooks and the control socket must be inside; the plugin's programs "
			"are not needed there, but its socket is");
}

static void rule_ccd(struct check *c, char **words, unsigned int n)
{
	warning(c, "client-config-dir",
		"a vlan-pvid or an iroute in one of its files would put a client into "
		"a foreign segment; keep it to push lines");
}

/* --- the table --- */

enum effect { NOTE, REFUSE, WARN };

static const struct rule {
	const char *directive;
	enum effect effect;
	unsigned int has; /* noted, whatever else */
	rule_fn fn;	  /* or these words */
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
	{"tls-server", NOTE, HAS_TLS, NULL, NULL},
	{"script-security", NOTE, 0, rule_script_security, NULL},
	{"auth-user-pass-verify", NOTE, 0, rule_auth_verify, NULL},
	{"client-connect", NOTE, HAS_CONNECT, NULL, NULL},
	{"client-disconnect", NOTE, HAS_DISCONNECT, NULL, NULL},
	{"learn-address", NOTE, HAS_LEARN, NULL, NULL},
	{"plugin", NOTE, 0, rule_plugin, NULL},
	{"management", NOTE, 0, rule_management, NULL},
	{"tun-mtu", NOTE, 0, rule_mtu, NULL},
	{"persist-tun", NOTE, HAS_PERSIST_TUN, NULL, NULL},
	{"keepalive", NOTE, HAS_KEEPALIVE, NULL, NULL},
	{"max-routes-per-client", NOTE, HAS_MAX_ROUTES, NULL, NULL},
	{"chroot", NOTE, 0, rule_chroot, NULL},
	{"client-config-dir", NOTE, 0, rule_ccd, NULL},
	{"up", WARN, 0, NULL,
	 "runs as root before the tap is used; it must not bridge or address the tap"},
	{"ifconfig", REFUSE, 0, NULL, "gives the host an address on the tap; remove it"},
	{"ifconfig-ipv6", REFUSE, 0, NULL, "gives the host an address on the tap; remove it"},
	{"mktun", REFUSE, 0, NULL, "makes a tap of its own; the tap is made by sallyportd"},
	{"lladdr", REFUSE, 0, NULL,
	 "changes the tap's address, which sallyportd keeps from clients; remove it"},
};

static void apply(struct check *c, char **words, unsigned int n)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if (strcmp(r->directive, words[0]) != 0)
			continue;
		c->has |= r->has;
		if (r->fn)
			r->fn(c, words, n);
		else if (r->effect == REFUSE)
			finding(c, words[0], r->why);
		else if (r->effect == WARN)
			warning(c, words[0], r->why);
	}
}

/* --- the grammar: OpenVPN's parse_line: quotes, backslashes, comments --- */

/* Cut S into words in place. -EINVAL: an open quote, a backslash at the end. */
static int split(char *s, char **words)
{
	unsigned int n = 0;
	char *in = s, *out;

	for (;;) {
		char quote = 0;

		in += strspn(in, " \t\r\f\v");
		if (*in == '\0' || *in == '#' || *in == ';')
			return (int)n;
		out = in;
		if (n < WORDS_MAX)
			words[n] = out;
		n += n < WORDS_MAX;
		for (; *in && (quote || !strchr(" \t\r\f\v", *in)); in++) {
			if (quote ? *in == quote : *in == '"' || *in == '\'')
				quote = quote ? 0 : *in;
			else if (*in == '\\' && quote != '\'' && !*++in)
				return -EINVAL;
			else
				*out++ = *in;
		}
		if (quote)
			return -EINVAL;
		in += *in != '\0';
		*out = '\0';
	}
}

static int check_file(struct check *c, const char *file);

static void one_line(struct check *c, char *line)
{
	char *words[WORDS_MAX];
	int n;

	if (c->close_tag[0]) {
		line += strspn(line, " \t");
		if (strncmp(line, c->close_tag, strlen(c->close_tag)) == 0)
			c->close_tag[0] = '\0';
		return;
	}
	n = split(line, words);
	if (n < 0) {
		finding(c, "", "an open quote or a backslash at the end of the line");
		return;
	}
	if (n == 0)
		return;
	if (words[0][0] == '<' && strlen(words[0]) < sizeof(c->close_tag) - 2 &&
	    words[0][strlen(words[0]) - 1] == '>') {
		snprintf(c->close_tag, sizeof(c->close_tag), "</%s", words[0] + 1);
		return;
	}
	if (strncmp(words[0], "--", 2) == 0)
		words[0] += 2;
	if (strcmp(words[0], "config") != 0)
		apply(c, words, (unsigned int)n);
	else if (!c->includes || n < 2)
		finding(c, "config", "an include is not followed here");
	else
		check_file(c, words[1]);
}

static void check_lines(struct check *c, const char *text, size_t size)
{
	const char *end = text + size;
	char line[LINE_MAX_BYTES];

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);

		c->line++;
		if (n >= sizeof(line) || memchr(text, '\0', n)) {
			finding(c, "", "a line that is too long or not text");
		} else {
			memcpy(line, text, n);
			line[n] = '\0';
			one_line(c, line);
		}
		text += n + (nl ? 1 : 0);
	}
	if (c->close_tag[0])
		finding(c, c->close_tag, "expected, and the file ended");
	c->close_tag[0] = '\0';
}

static int check_file(struct check *c, const char *file)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_
	char *text = NULL;
	const char *outer = c->file;
	unsigned int line = c->line;
	size_t n;

	if (c->depth >= DEPTH_MAX) {
		finding(c, "config", "files include each other more than 8 deep");
		return -ELOOP;
	}
	f = fopen(file, "re");
	text = f ? malloc(FILE_MAX) : NULL;
	if (!text) {
		int r = f ? -ENOMEM : -errno;

		c->findings++;
		fprintf(c->report, "%s: cannot be read: %s\n", file, strerror(-r));
		return r;
	}
	n = fread(text, 1, FILE_MAX, f);
	c->depth++;
	c->file = file;
	c->line = 0;
	if (ferror(f) || n == FILE_MAX)
		finding(c, "", "cannot be read, or is above 1 MiB");
	else
		check_lines(c, text, n);
	c->depth--;
	c->file = outer ? outer : file;
	c->line = outer ? line : c->line;
	return 0;
}

/* --- what must be there --- */

static int conclude(struct check *c)
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
		{HAS_SECURITY, !(c->has & HAS_PLUGIN), true, "script-security 2",
		 "missing: the hooks cannot run"},
		{HAS_MANAGEMENT, c->expect->management != NULL, true, "management",
		 "missing, and sallyportd.conf names one for the instance"},
		{HAS_PERSIST_TUN, true, false, "persist-tun",
		 "missing: SIGUSR1 would close the tap"},
		{HAS_KEEPALIVE, true, false, "keepalive",
		 "missing: a client that vanishes is not noticed"},
		{HAS_MAX_ROUTES, true, false, "max-routes-per-client",
		 "missing: a client may fill OpenVPN's own table with MAC addresses"},
	};

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

int ovpnconf_check(const char *file, const struct ovpnconf_expect *expect, FILE *report)
{
	struct check c = {.expect = expect, .report = report, .includes = true};
	int r = check_file(&c, file);

	if (r < 0)
		return r;
	c.file = file;
	return conclude(&c);
}

int ovpnconf_check_text(const char *name, const char *text, size_t size,
			const struct ovpnconf_expect *expect, FILE *report)
{
	struct check c = {.expect = expect, .report = report, .file = name};

	check_lines(&c, text, size);
	return conclude(&c);
}
