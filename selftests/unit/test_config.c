/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is every mistake in sallyportd.conf found, and told with its line? And is every option
 * documented? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "loader/config.h"
#include "loader/store/store.h"

#define FIT "[instance a]\nconfig = /x\n"
#define LONG                                                                                       \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"    \
	"56789012345678901234567890123456789"

static const struct {
	const char *text;
	const char *error; /* a part of what is reported; NULL: fit */
} rows[] = {
	{FIT, NULL},
	{"# nothing\n; nothing\n\n" FIT, NULL},
	{"", "expected at least one [instance NAME]"},
	{"\xef\xbb\xbf" FIT, NULL},
	{"[instance a]\r\n  config = /x ; a comment\r\n", NULL},
	{"  [instance a]  # a comment\n\tconfig: /x", NULL},
	{FIT "[session]\nreserved-macs = 02:00:00:00:00:01\nreserved-macs = "
	     "02:00:00:00:00:02\n",
	 NULL},
	{FIT "[daemon]\nadmin-group = no-such-group-here\n", NULL},
	{"[instance a]\n", "f:1: [instance a]: config is missing"},
	{FIT "[instance b]\n", "f:3: [instance b]: config is missing"},
	{"config = /x\n" FIT, "f:1: 'config': before any [section]"},
	{FIT "[instance a]\n", "f:3: [instance a]: a second one"},
	{FIT "[instance a b]\nconfig = /y\n", "f:3: [instance a b]: expected a name"},
	{FIT "[instance ]\nconfig = /y\n", "f:3: [instance ]: expected a name"},
	{FIT "[instance]\nconfig = /y\n", "f:3: [instance]: expected"},
	{FIT "[instance abcdefghijklmnopqrstuvwxyz012345]\n", "f:3: [instance abcdef"},
	{FIT "[store\ntimeout = 1\n", "f:3: '[store': expected [section]"},
	{FIT "[store] timeout = 100\n", "f:3: '[store] timeout = 100': expected [section]"},
	{FIT "config = y\n", "f:3: config: given twice"},
	{"[instance a]\nconfig = y\n", "f:2: config: 'y': expected a path from / on"},
	{"[instance a]\nconfig =\n", "f:2: config: 0 bytes: expected 1 to 1023"},
	{FIT "management = /" LONG "\n", "f:3: management: 121 bytes: expected 1 to 107"},
	{FIT "management = /" LONG LONG "\n", "f:3: a line of 254 bytes: expected text of less"},
	{FIT "[dataplane]\npin-dir = ../x\n", "f:4: pin-dir: '../x': expected a name"},
	{FIT "[dataplane]\nmax-ports = 99999999999999999999\n", "f:4: max-ports: '9999"},
	{FIT "[dataplane]\nmax-ports = -1\n", "f:4: max-ports: '-1'"},
	{FIT "[dataplane]\nmax-ports = 64 # ports\n", "f:4: max-ports: '64 # ports'"},
	{FIT "[store]\ntimeout = 1K\n", "f:4: timeout: '1K'"},
	{FIT "[session]\nrate-frames = 1K0\n", "f:4: rate-frames: '1K0'"},
	{FIT "user = 4294967295\n", "f:3: user: '4294967295'"},
	{FIT "group = no-such-group-here\n", "f:3: group: 'no-such-group-here'"},
	{FIT " = 5\n", "f:3: '': [instance a] has no such option"},
	{"[instance a]\ntap = x\n", "f:1: [instance a]: config is missing"},
	{FIT "[instance a]\nconfig = /y\n", "f:3: [instance a]: a second one of this name"},
	{FIT "[daemon]\nworkers = 1\n[instance a]\nconfig = /y\n",
	 "f:5: [instance a]: a second one"},
	{FIT "[instance b]\nconfig = /y\ntap = sp-a\n",
	 "f:3: [instance b]: tap sp-a is [instance a]'s already"},
	{FIT "mode = bridge\n", "f:3: mode: 'bridge': expected vlan or mac"},
	{FIT "mtu = 9001\n", "f:3: mtu: '9001': expected a number from 576 to 9000"},
	{FIT "mtu = 0x600\n", "f:3: mtu: '0x600'"},
	{FIT "mtu = 1500\nmtu = 1500\n", "f:4: mtu: given twice"},
	{FIT "tap = ../../etc\n", "f:3: tap: '../../etc'"},
	{FIT "user = no-such-user-here\n", "f:3: user: 'no-such-user-here'"},
	{FIT "colour = red\n", "f:3: 'colour': [instance a] has no such option"},
	{FIT "[colours]\nred = 1\n", "f:3: [colours]: expected"},
	{FIT "[daemon]\nworkers = 17\n", "f:4: workers: '17': expected a number from 1 to 16"},
	{FIT "[daemon]\nlog-level = loud\n", "f:4: log-level: 'loud'"},
	{FIT "[session]\nrate-bytes = 10X\n", "f:4: rate-bytes: '10X'"},
	{FIT "[session]\nrate-bytes = 99999999999G\n", "f:4: rate-bytes"},
	{FIT "[session]\nreserved-macs = 02:00:00:00:00:01, x\n", "f:4: reserved-macs: 'x'"},
	{FIT "[dataplane]\nsampling = maybe\n", "f:4: sampling: 'maybe': expected yes or no"},
	{FIT "[metrics]\nlisten = 127.0.0.1:9469\n", NULL},
	{FIT "[metrics]\nlisten = [::1]:9469 ; a comment\n", NULL},
	{FIT "[metrics]\nlisten = none\n", NULL},
	{FIT "[metrics]\nlisten = 0.0.0.0:9469\n",
	 "f:4: listen: '0.0.0.0:9469': expected none, or"},
	{FIT "[metrics]\nlisten = [::]:9469\n", "f:4: listen: '[::]:9469'"},
	{FIT "[metrics]\nlisten = 192.0.2.1:9469\n", "f:4: listen: '192.0.2.1:9469'"},
	{FIT "[metrics]\nlisten = 9469\n", "f:4: listen: '9469'"},
	{FIT "[metrics]\nlisten =\n", "f:4: listen: ''"},
	{FIT "[metrics]\nlisten = 127.0.0.1:9469\nlisten = none\n", "f:5: listen: given twice"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nsocket = /s\n", NULL},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a, b:3307, [::1]\n", NULL},
	{FIT "[store]\ntype = oracle\n", "f:4: type: 'oracle': expected mysql or sqlite"},
	{FIT "[store]\ntype = mysql\nsocket = /s\n", "f:4: type: mysql needs a database"},
	{FIT "[store]\ntype = mysql\ndatabase = d\n", "f:4: type: mysql needs hosts or a socket"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a\nsocket = /s\n",
	 "f:7: socket: hosts are given too"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a:0\n", "f:6: hosts: 'a:0': expected"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = ,\n", "f:6: hosts: ',': expected"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a\npath = /x\n",
	 "f:7: path: type = mysql has no file"},
	{FIT "[store]\nhosts = a\n", "f:4: hosts: type = sqlite has no such option"},
	{FIT "[store]\ntls = yes\n", "f:4: tls: type = sqlite has no such option"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nsocket = /s\ntls = yes\n",
	 "f:7: tls: a socket has none"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nsocket = /s\ntls = no\n", NULL},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a\ntls = no\ntls-ca = /c\n",
	 "f:8: tls-ca: without TLS"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a\ntls-cert = /c\n",
	 "f:7: tls-cert, tls-key: expected both"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a\npassword-file = /p\n"
	     "password-credential = p\n",
	 "f:8: password-credential: password-file is given too"},
	{FIT "[store]\ntype = mysql\ndatabase = d\nhosts = a\npassword-credential = a/b\n",
	 "f:7: password-credential: 'a/b': expected a name"},
	{FIT "[store]\nserver = a\x01\n", "f:4: server: expected text that can be printed"},
	{FIT "[store]\nuser-table = p\nuser-name-column = n\nuser-password-column = h\n", NULL},
	{FIT "[store]\nuser-table = p\nuser-name-column = n\n",
	 "f:4: user-table: user-password-column is missing"},
	{FIT "[store]\nuser-name-column = n\n", "f:4: user-name-column: there is no user-table"},
	{FIT "[store]\nuser-table = p;q\nuser-name-column = n\nuser-password-column = h\n",
	 "f:4: user-table: 'p;q': expected TABLE or DATABASE.TABLE"},
	{FIT "[store]\nuser-table = d.p\nuser-name-column = n.m\nuser-password-column = h\n",
	 "f:5: user-name-column: 'n.m': expected a column"},
	{FIT "nonsense\n", "f:3: 'nonsense': expected [section]"},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_(config_freep) struct config *c = NULL;
		_cleanup_free_
		char *report = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&report, &size);
		int r = config_parse("f", rows[i].text, strlen(rows[i].text), &c, f);

		fclose(f);
		if ((r == 0) != (rows[i].error == NULL) ||
		    (rows[i].error && !strstr(report, rows[i].error)))
			fail_msg("row %zu: %d, expected '%s', got '%s'", i, r,
				 rows[i].error ? rows[i].error : "no mistake", report);
	}
}

static void test_all_mistakes(void **state)
{
	static const char text[] = FIT "mtu = 1\nmode = x\n[daemon]\nworkers = 0\nwhat\n"
				       "ever\n[none]\nskipped = 1\nzero\0 = 1\n";
	_cleanup_free_
	char *report = NULL;
	struct config *c = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&report, &size);

	assert_int_equal(config_parse("f", text, sizeof(text) - 1, &c, f), -EINVAL);
	fclose(f);
	assert_null(c);
	assert_non_null(strstr(report, "f:3: mtu"));
	assert_non_null(strstr(report, "f:4: mode"));
	assert_non_null(strstr(report, "f:6: workers"));
	assert_non_null(strstr(report, "f:7: 'what'"));
	assert_non_null(strstr(report, "f:8: 'ever'"));
	assert_non_null(strstr(report, "f:9: [none]"));
	assert_null(strstr(report, "skipped")); /* the section was the mistake */
	assert_non_null(strstr(report, "f:11: a line of"));
	/* Nobody need listen, and that changes nothing. */
	assert_int_equal(config_parse("f", text, sizeof(text) - 1, &c, NULL), -EINVAL);
}

static void test_values(void **state)
{
	static const char text[] =
		"[session]\nrate-bytes = 12M\nreserved-macs = 02:00:00:00:00:01,02:00:00:00:00:02\n"
		"[instance lab]\nconfig = /etc/x.conf\nmode = mac\nmtu = 1400\nuser = 0\n"
		"management = /run/m.sock\n";
	_cleanup_(config_freep) struct config *c = NULL;

	assert_int_equal(config_parse("f", text, sizeof(text) - 1, &c, NULL), 0);
	assert_int_equal(c->rate_bytes, 12000000);
	assert_int_equal(c->n_reserved, 2);
	assert_int_equal(c->reserved[1][5], 2);
	assert_int_equal(c->n_instances, 1);
	assert_string_equal(c->instances[0].tap, "sp-lab");
	assert_false(c->instances[0].vlan_mode);
	assert_int_equal(c->instances[0].mtu, 1400);
	assert_int_equal(c->instances[0].uid, 0);
	assert_string_equal(c->instances[0].management, "/run/m.sock");
	assert_int_equal(c->max_bindings, SP_DEF_BINDINGS);
	assert_null(c->metrics_listen);
	{
		struct store_options o;

		config_store_options(c, &o);
		assert_string_equal(o.path, "/var/lib/sallyport/sallyport.db");
		assert_true(!o.server && !o.mysql.tls && !o.mapping.table && !o.tool);
	}
}

static void test_files(void **state)
{
	struct config *c = NULL;

	assert_int_equal(config_load("/nonexistent/x.conf", &c, NULL), -ENOENT);
	assert_int_equal(config_load("/", &c, NULL), -EISDIR);
	assert_int_equal(config_load("/dev/zero", &c, NULL), -EFBIG);
	assert_int_equal(config_load("/dev/null", &c, NULL), -EINVAL);
	assert_null(c);
}

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 65536);

	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

static bool has_line(const char *text, const char *before, const char *name)
{
	char line[64];

	snprintf(line, sizeof(line), "\n%s%s = ", before, name);
	return strstr(text, line) != NULL;
}

/* The example with its other database: what stands in comments takes the place of `path`. */
static void test_other_store(void **state)
{
	_cleanup_free_
	char *example = slurp("docs/sallyportd.conf.example");
	_cleanup_free_
	char *text = NULL;
	_cleanup_(config_freep) struct config *c = NULL;
	struct store_options o;
	char *line, *save = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	unsigned int n = 0;

	for (line = strtok_r(example, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[32];

		if (strncmp(line, "path = ", 7) == 0)
			continue;
		if (strcmp(line, "type = sqlite") == 0)
			line = (char *)"type = mysql";
		else if (sscanf(line, "# %31[a-z0-9-] = ", name) == 1 && strstr(line, " = ") &&
			 strcmp(name, "socket") != 0 && strcmp(name, "password-credential") != 0) {
			n++;
			line += 2;
		}
		fprintf(f, "%s\n", line);
	}
	fclose(f);
	assert_int_equal(n, 15);
	if (config_parse("f", text, size, &c, stderr) < 0)
		fail_msg("%s", text);
	config_store_options(c, &o);
	assert_null(o.path);
	assert_true(o.mysql.tls);
	assert_string_equal(o.mysql.database, "sallyport");
	assert_string_equal(o.mysql.tls_key, "/etc/sallyport/db-client.key");
	assert_string_equal(o.mapping.table, "portal.people");
	assert_string_equal(o.mapping.address6, "ip6");
	assert_string_equal(o.server, "vpn1");
}

/* The example has every option, each is in the man page, and the example is fit. */
static void test_documents(void **state)
{
	_cleanup_free_
	char *example = slurp("docs/sallyportd.conf.example");
	_cleanup_free_
	char *man = slurp("man/sallyportd.conf.5");
	_cleanup_free_
	char *source = slurp("loader/config.c");
	_cleanup_(config_freep) struct config *c = NULL;
	unsigned int n = 0;

	assert_int_equal(config_load("docs/sallyportd.conf.example", &c, NULL), 0);
	for (char *p = source; (p = strpbrk(p, "KI")); p++) {
		char name[32];

		if (sscanf(p, "K(\"%*[a-z]\", \"%31[a-z0-9-]\"", name) != 1 &&
		    sscanf(p, "I(\"%31[a-z-]\"", name) != 1)
			continue;
		n++;
		/* An alternative to what stands there is in a comment. */
		if (!has_line(example, "", name) && !has_line(example, "# ", name))
			fail_msg("docs/sallyportd.conf.example lacks %s", name);
		if (!strstr(man, name))
			fail_msg("man/sallyportd.conf.5 lacks %s", name);
	}
	assert_true(n >= 45);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	  cmocka_unit_test(test_all_mistakes),
		cmocka_unit_test(test_values),	  cmocka_unit_test(test_files),
		cmocka_unit_test(test_documents), cmocka_unit_test(test_other_store),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
