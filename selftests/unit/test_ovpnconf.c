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

#include "lib/cleanup.h"
#include "loader/ovpnconf.h"

#define COMMON                                                                                     \
	"mode server\ntls-server\ndev sp-a\ndev-type tap\npersist-tun\nkeepalive 10 60\n"          \
	"max-routes-per-client 8\nscript-security 2\n"
#define PLUGIN "plugin /usr/lib/openvpn-plugin-sallyport.so instance=a\n"
#define VLAN "vlan-tagging\nvlan-accept tagged\n"
#define FIT COMMON PLUGIN VLAN /* eleven lines */

static const struct {
	const char *text;
	bool mac_mode;
	const char *finding; /* a part of the report; NULL: safe */
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
	{FIT "client-to-\\client\n", false, "f:12: 'client-to-client'"},
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

		fclose(f);
		if (r != (rows[i].finding ? -EPERM : 0) ||
		    (rows[i].finding && !strstr(report, rows[i].finding)))
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_includes),
	};

	return cmocka_run_group_tests_name("ovpnconf", tests, NULL, NULL);
}
