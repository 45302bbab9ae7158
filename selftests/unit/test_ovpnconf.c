/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a dangerous OpenVPN configuration refused, with the line and the reason? */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "loader/ovpnconf.h"

#define COMMON                                                                                     \
	"mode server\ntls-server\ndev sp-a\ndev-type tap\npersist-tun\nkeepalive 10 60\n"          \
	"max-routes-per-client 8\nscript-security 2\n"
#define PLUGIN "plugin /usr/lib/openvpn-plugin-sallyport.so instance=a\n"
#define VLAN "vlan-tagging\nvlan-accept tagged\n"
#define HOOKS                                                                                      \
	COMMON                                                                                     \
	"auth-user-pass-verify /h via-file\nclient-connect /h\nclient-disconnect /h\n"             \
	"learn-address /h\n"
#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
#define WARNING "warning: "    /* a row with it is safe */
#define QUIET ""	       /* safe, and nothing is reported */
#define FIT COMMON PLUGIN VLAN /* eleven lines */

static const struct {
	const char *text;
	bool mac_mode;
	const char *finding; /* a part of the report; NULL: safe, whatever the warnings */
} rows[] = {
	{FIT, false, NULL},
	{COMMON PLUGIN, true, NULL},
	{COMMON VLAN "auth-user-pass-verify /h via-file\nclient-connect /h\nclient-disconnect "
		     "/h\nlearn-address /h\n",
	 false, NULL},
	{FIT "<ca>\nclient-to-client\n</ca>\n", false, NULL},
	{FIT "# client-to-client\n", false, NULL},
	{FIT "client-to-client\n", false, "f:12: 'client-to-client'"},
	{FIT "--client-to-client\n", false, "f:12: 'client-to-client'"},
	{FIT "  \"client-to-client\"  # really\n", false, "f:12: 'client-to-client'"},
	{FIT "client-to-\\client\n", false, "f:12: '': an open quote, or a backslash"},
	{FIT "\\ \tclient-to-client", false, "f:12: 'client-to-client'"},
	{FIT "'client-to-client'\r\n", false, "f:12: 'client-to-client'"},
	{FIT "\\# client-to-client\n", false, NULL},
	{FIT "setenv X 'a # b'; client-to-client\n", false, NULL},
	{FIT "setenv opt client-to-client\n", false, "f:12: 'client-to-client'"},
	{"\xef\xbb\xbf"
	 "client-to-client\n" FIT,
	 false, "f:1: 'client-to-client'"},
	{FIT "<ca>\n client-to-client\n  </ca> x\nclient-to-client\n", false, "f:15: 'client-to"},
	{FIT "<ca> x\nclient-to-client\n", false, "f:13: 'client-to-client'"},
	{FIT "<connection>\nclient-to-client\n</connection>\n", false, "f:13: 'client-to-cl"},
	{FIT "<script-security>\n3\n</script-security>\n", false, "f:12: 'script-security'"},
	{FIT "# " LONG LONG LONG "\n", false, "f:12: '': a line above 254 bytes"},
	{FIT "client-connect \"/usr/lib/sallyport-connect --instance a\"\n", false, NULL},
	{FIT "client-connect\n", false, "f:12: 'client-connect': expected a program"},
	{FIT "client-connect /bin/true\n", false, WARNING "'client-connect': not the program"},
	{FIT "auth-user-pass-verify /x/not-sallyport-auth via-file\n", false,
	 WARNING "'auth-user-pass-verify': not sallyport-auth"},
	{FIT "plugin /usr/lib/other.so\n", false, WARNING "'plugin': not one of ours"},
	{FIT "plugin /x/evil-openvpn-plugin-sallyport.so\n", false, WARNING "'plugin': not one"},
	{FIT "up /bin/x\n", false, WARNING "'up'"},
	{FIT "mute 5\npersist-key\n", false, QUIET},
	{FIT "mute 5\n", false, WARNING "'persist-key': missing"},
	{FIT "persist-key\n", false, WARNING "'mute': missing"},
	{FIT "client-config-dir ccd\n", false, WARNING "'client-config-dir'"},
	{FIT "management 127.0.0.1 7505\n", false, WARNING "'management': a TCP port"},
	{FIT "management 127.0.0.1 7505 /etc/pw\n", false, NULL},
	{FIT "script-security 1\n", false, NULL}, /* the plugin needs no programs */
	{FIT "chroot /jail\n", false, WARNING "'chroot'"},
	{HOOKS VLAN "chroot /jail\n", false, "f:15: 'chroot': the hooks cannot be executed"},
	{HOOKS VLAN "script-security 1\n", false, "f:15: 'script-security': below 2"},
	{HOOKS VLAN "script-security 0\n", false, "f:15: 'script-security': below 2"},
	{"mode server\ntls-server\ndev sp-a\nlearn-address /h\n" PLUGIN VLAN, false,
	 "'script-security': missing"},
	{FIT "server 10.0.0.0 255.0.0.0\n", false, "f:12: 'server'"},
	{FIT "mode p2p\n", false, "f:12: 'mode'"},
	{FIT "tls-client\n", false, "f:12: 'tls-client'"},
	{FIT "mktun\n", false, "f:12: 'mktun'"},
	{FIT "tun-mtu 9000\n", false, "f:12: 'tun-mtu'"},
	{FIT "tun-mtu 1400\n", false, NULL},
	{"server-bridge\ndev sp-a\n" PLUGIN VLAN, false, NULL},
	{"server-bridge\n" PLUGIN VLAN, false, "'dev': missing"},
	{"mode server\ndev sp-a\n" PLUGIN VLAN, false, "'tls-server': missing"},
	{HOOKS "client-connect /h\n", true, NULL},
	{COMMON "auth-user-pass-verify /h via-file\nclient-connect /h\nclient-disconnect /h\n",
	 true, "'learn-address': missing"},
	{COMMON VLAN "management-client-auth\nclient-connect /h\nclient-disconnect /h\n"
		     "learn-address /h\n",
	 false, WARNING "'management-client-auth'"},
	{COMMON PLUGIN, false, "'vlan-tagging': missing"},
	{COMMON PLUGIN "vlan-tagging\n", false, "'vlan-accept tagged': missing"},
	{COMMON PLUGIN "vlan-tagging\nvlan-accept all\n", false, "f:11: 'vlan-accept'"},
	{FIT, true, "'vlan-tagging': the instance is in MAC mode"},
	{FIT "vlan-pvid 7\n", false, "f:12: 'vlan-pvid'"},
	{FIT "script-security 3\n", false, "f:12: 'script-security'"},
	{FIT "auth-user-pass-optional\n", false, "f:12: 'auth-user-pass-optional'"},
	{FIT "auth-user-pass-verify /h via-env\n", false, "f:12: 'auth-user-pass-verify'"},
	{FIT "dev tap7\n", false, "f:12: 'dev'"},
	{FIT "dev-type tun\n", false, "f:12: 'dev-type'"},
	{FIT "ifconfig 10.0.0.1 255.0.0.0\n", false, "f:12: 'ifconfig'"},
	{FIT "lladdr 02:00:00:00:00:01\n", false, "f:12: 'lladdr'"},
	{FIT "config /etc/other\n", false, "f:12: 'config'"},
	{FIT "\"open\n", false, "f:12: '': an open quote"},
	{FIT "<ca>\n", false, "'</ca>': expected"},
	{COMMON VLAN, false, "'auth-user-pass-verify': missing"},
	{COMMON VLAN "auth-user-pass-verify /h via-file\n", false, "'learn-address': missing"},
	{"dev sp-a\n" PLUGIN VLAN, false, "'mode server': missing"},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		const struct ovpnconf_expect e = {
			.tap = "sp-a", .vlan_mode = !rows[i].mac_mode, .mtu = 1500};
		_cleanup_free_
		char *report = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&report, &size);
		int r = ovpnconf_check_text("f", rows[i].text, strlen(rows[i].text), &e, f);

		bool safe = !rows[i].finding || !rows[i].finding[0] ||
			    strncmp(rows[i].finding, WARNING, strlen(WARNING)) == 0;

		fclose(f);
		if (r != (safe ? 0 : -EPERM) ||
		    (rows[i].finding && !strstr(report, rows[i].finding)) ||
		    (rows[i].finding && !rows[i].finding[0] && report[0]))
			fail_msg("row %zu: %d, expected '%s', got '%s'", i, r,
				 rows[i].finding ? rows[i].finding : "safe", report);
	}
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_includes(void **state)
{
	const struct ovpnconf_expect e = {.tap = "sp-a", .vlan_mode = true};
	char a[] = "/tmp/sp-ovpn-XXXXXX", b[64], text[512];
	_cleanup_free_
	char *report = NULL;
	size_t size = 0;
	int fd = mkstemp(a);
	FILE *f;

	assert_true(fd >= 0);
	close(fd);
	snprintf(b, sizeof(b), "%s-b", a);
	snprintf(text, sizeof(text), FIT "config %s\n", b);
	write_file(a, text);
	write_file(b, "\nclient-to-client\n");
	f = open_memstream(&report, &size);
	assert_int_equal(ovpnconf_check(a, &e, f), -EPERM);
	fflush(f);
	/* The finding names the file that has it. */
	assert_non_null(strstr(report, "-b:2: 'client-to-client'"));
	snprintf(text, sizeof(text), "config %s\n", b);
	write_file(b, text); /* includes itself */
	assert_int_equal(ovpnconf_check(a, &e, f), -EPERM);
	unlink(b);
	assert_true(ovpnconf_check(b, &e, f) == -ENOENT);
	fclose(f);
	unlink(a);
}

static int check_text(const struct ovpnconf_expect *e, const char *text)
{
	FILE *f = fopen("/dev/null", "we");
	int r = ovpnconf_check_text("f", text, strlen(text), e, f);

	fclose(f);
	return r;
}

/* What sallyportd.conf says of the instance must agree. */
static void test_expect(void **state)
{
	const struct ovpnconf_expect managed = {
		.tap = "sp-a", .vlan_mode = true, .management = "/run/m"};
	const struct ovpnconf_expect small = {.tap = "sp-a", .vlan_mode = true, .mtu = 1400};

	assert_int_equal(check_text(&managed, FIT), -EPERM);
	assert_int_equal(check_text(&managed, FIT "management /run/m unix\n"), 0);
	assert_int_equal(check_text(&managed, FIT "management /run/n unix\n"), -EPERM);
	assert_int_equal(check_text(&managed, FIT "management /run/m 7505\n"), -EPERM);
	assert_int_equal(
		check_text(&managed, FIT "management /run/m unix\nmanagement-client-auth\n"),
		-EPERM);
	assert_int_equal(check_text(&small, FIT), -EPERM); /* 1500 is OpenVPN's default */
	assert_int_equal(check_text(&small, FIT "tun-mtu 1400\n"), 0);
}

/* The files of the client-config-dir, found as OpenVPN finds them. */
static void test_client_config(void **state)
{
	static const struct {
		const char *directive, *text;
		int r;
	} cases[] = {
		{"client-config-dir %s/ccd\n", "ifconfig-push 10.0.0.2 255.0.0.0\n", 0},
		{"client-config-dir %s/ccd\n", "# vlan-pvid 7\n", 0},
		{"client-config-dir %s/ccd\n", "dev tun\nclient-to-client\n", 0}, /* not there */
		{"client-config-dir %s/ccd\n", "\nvlan-pvid 7\n", -EPERM},
		{"client-config-dir ccd # %s\n", "\nvlan-pvid 7\n", -EPERM},
		{"cd %s\nclient-config-dir ./ccd\n", "\nvlan-pvid 1\n", -EPERM},
		{"cd /\nclient-config-dir .%s/ccd\n", "\nvlan-pvid 1\n", -EPERM},
		{"client-config-dir %s/none\n", "\nvlan-pvid 7\n", 0}, /* a warning */
	};
	const struct ovpnconf_expect e = {.tap = "sp-a", .vlan_mode = true};
	char dir[] = "/tmp/sp-ovpn-XXXXXX", ccd[64], main_file[64], client[80];

	assert_non_null(mkdtemp(dir));
	snprintf(ccd, sizeof(ccd), "%s/ccd", dir);
	snprintf(client, sizeof(client), "%s/ccd/alice", dir);
	snprintf(main_file, sizeof(main_file), "%s/main.conf", dir);
	assert_int_equal(mkdir(ccd, 0700), 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_
		char *report = NULL;
		char line[128], text[512];
		size_t size = 0;
		FILE *f = open_memstream(&report, &size);
		int r;

		snprintf(line, sizeof(line), "%.*s", (int)strcspn(cases[i].directive, "%"),
			 cases[i].directive);
		strcat(line, dir);
		strcat(line, strchr(cases[i].directive, '%') + 2);
		snprintf(text, sizeof(text), FIT "%s", line);
		write_file(main_file, text);
		write_file(client, cases[i].text);
		r = ovpnconf_check(main_file, &e, f);
		fclose(f);
		if (r != cases[i].r || (r < 0 && !strstr(report, "ccd/alice:2: 'vlan-pvid'")))
			fail_msg("case %zu: %d, '%s'", i, r, report);
	}
	unlink(client);
	unlink(main_file);
	rmdir(ccd);
	assert_int_equal(rmdir(dir), 0);
}

/* What we tell operators to write is what we take, without a word. */
static void test_examples(void **state)
{
	static const char *const files[] = {"docs/openvpn-server.conf.example",
					    "docs/openvpn-server-hooks.conf.example"};
	const struct ovpnconf_expect e = {.tap = "tap-blue",
					  .vlan_mode = true,
					  .management = "/run/openvpn-server/blue.sock",
					  .mtu = 1500};

	for (size_t i = 0; i < SP_ARRAY_SIZE(files); i++) {
		_cleanup_free_
		char *report = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&report, &size);
		int r = ovpnconf_check(files[i], &e, f);

		fclose(f);
		if (r != 0 || size > 0)
			fail_msg("%s: %d, %s", files[i], r, report);
	}
}

static void test_not_files(void **state)
{
	const struct ovpnconf_expect e = {.tap = "sp-a", .vlan_mode = true};
	FILE *f = fopen("/dev/null", "we");

	assert_int_equal(ovpnconf_check("/", &e, f), -EINVAL);
	assert_int_equal(ovpnconf_check("/dev/zero", &e, f), -EINVAL);
	assert_int_equal(ovpnconf_check("/nonexistent", &e, f), -ENOENT);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	 cmocka_unit_test(test_expect),
		cmocka_unit_test(test_includes), cmocka_unit_test(test_client_config),
		cmocka_unit_test(test_examples), cmocka_unit_test(test_not_files),
	};

	return cmocka_run_group_tests_name("ovpnconf", tests, NULL, NULL);
}
