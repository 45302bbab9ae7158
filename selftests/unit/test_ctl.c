// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does the command understand what is typed, print what others chose without harm, and write
 * captures that are captures? Do manual and completion know every command and option?
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/call.h"
#include "ctl/doctor.h"
#include "ctl/event.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/password.h"
#include "ctl/pcap.h"
#include "ctl/picture.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/trace.h"
#include "lib/cleanup.h"

/* --- text --- */

static void test_escape(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{NULL, "-"},
		{"", ""},
		{"alice", "alice"},
		{"with space", "with space"},
		{"\x1b[31mred", "\\x1b[31mred"},
		{"a\nb\tc\rd", "a\\nb\\tc\\x0dd"},
		{"\x7f", "\\x7f"},
		{"back\\slash", "back\\\\slash"},
		{"\xc3\xa9t\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80",
		 "\xc3\xa9t\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80"},
		{"\xc2\x9b"
		 "1A",
		 "\\u{9b}1A"}, /* CSI as C1 */
		{"\xc2\xad", "\\u{ad}"},
		{"\xe2\x80\xae"
		 "evil",
		 "\\u{202e}evil"}, /* right to left */
		{"\xe2\x80\x8b", "\\u{200b}"},
		{"\xe2\x80\xa8", "\\u{2028}"},
		{"\xef\xbb\xbf", "\\u{feff}"},
		{"\xf3\xa0\x80\xa1", "\\u{e0021}"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"\xc0\x80", "\\xc0\\x80"},	     /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"cut \xe6\xbc", "cut \\xe6\\xbc"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_free_
		char *out = text_escape(table[i].in);

		assert_string_equal(out, table[i].out);
	}
}

static void test_width(void **state)
{
	assert_int_equal(text_width(""), 0);
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("\xc3\xa9t\xc3\xa9"), 3);
	assert_int_equal(text_prefix("abc", 2), 2);
	assert_int_equal(text_prefix("abc", 9), 3);
	assert_int_equal(text_prefix("\xc3\xa9t\xc3\xa9", 1), 2);
	assert_int_equal(text_prefix("\xc3\xa9t\xc3\xa9", 0), 0);
}

static void test_numbers(void **state)
{
	static const struct {
		double n;
		const char *bytes, *count;
	} table[] = {
		{0, "0 B", "0"},
		{999, "999 B", "999"},
		{1023, "1023 B", "1023"},
		{1024, "1.0 KiB", "1024"},
		{1536, "1.5 KiB", "1536"},
		{99999, "97.7 KiB", "99999"},
		{100000, "97.7 KiB", "100.0 k"},
		{1048575, "1.0 MiB", "1.0 M"},
		{1e18, "888.2 PiB", "1.0 E"},
	};
	static const struct {
		int64_t s;
		const char *out;
	} durations[] = {{-1, "0 s"},
			 {0, "0 s"},
			 {59, "59 s"},
			 {60, "1 min 0 s"},
			 {3599, "59 min 59 s"},
			 {3600, "1 h 0 min"},
			 {86399, "23 h 59 min"},
			 {86400, "1 d 0 h"},
			 {INT64_MAX, NULL}};
	char buf[TEXT_NUMBER_MAX];

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		assert_string_equal(text_bytes(table[i].n, buf), table[i].bytes);
		assert_string_equal(text_count(table[i].n, buf), table[i].count);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(durations); i++) {
		text_duration(durations[i].s, buf);
		if (durations[i].out)
			assert_string_equal(buf, durations[i].out);
	}
}

static void test_times(void **state)
{
	struct timespec t = {.tv_sec = 86399, .tv_nsec = 1999};
	char buf[TEXT_NUMBER_MAX];

	setenv("TZ", "UTC", 1);
	tzset();
	assert_string_equal(text_time(0, buf), "-");
	assert_string_equal(text_time(-5, buf), "-");
	assert_string_equal(text_time(1795501960, buf), "2026-11-24 06:32:40");
	assert_string_equal(text_time(INT64_MAX, buf), "-");
	assert_string_equal(text_clock(&t, buf), "23:59:59.000001");
	setenv("TZ", "CET-1", 1);
	tzset();
	assert_string_equal(text_time(1795501960, buf), "2026-11-24 07:32:40");
}

/* --- values --- */

static void test_parse_number(void **state)
{
	static const struct {
		const char *in;
		uint64_t min, max;
		int r;
		uint64_t out;
	} table[] = {
		{"0", 0, 9, 0, 0},
		{"9", 0, 9, 0, 9},
		{"10", 0, 9, -EINVAL, 0},
		{"0", 1, 9, -EINVAL, 0},
		{"", 0, 9, -EINVAL, 0},
		{"-1", 0, UINT64_MAX, -EINVAL, 0},
		{"+1", 0, 9, -EINVAL, 0},
		{" 1", 0, 9, -EINVAL, 0},
		{"1 ", 0, 9, -EINVAL, 0},
		{"01", 0, 9, -EINVAL, 0},
		{"0x1", 0, 9, -EINVAL, 0},
		{"1e1", 0, 99, -EINVAL, 0},
		{"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, -EINVAL, 0},
		{"99999999999999999999", 0, UINT64_MAX, -EINVAL, 0},
	};
	static const struct {
		const char *in;
		int r;
		uint64_t ms;
	} seconds[] = {
		{"1", 0, 1000},
		{"0.5", 0, 500},
		{"0.1", 0, 100},
		{"2.25", 0, 2250},
		{"1.999", 0, 1999},
		{"3600", 0, 3600000},
		{"3600.001", -EINVAL, 0},
		{"0", -EINVAL, 0},
		{"0.05", -EINVAL, 0},
		{"1.0000", -EINVAL, 0},
		{"1.", -EINVAL, 0},
		{".5", -EINVAL, 0},
		{"1.x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"x", -EINVAL, 0},
		{"1s", -EINVAL, 0},
		{"99999999999", -EINVAL, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		uint64_t n = 0;

		assert_int_equal(parse_number(table[i].in, table[i].min, table[i].max, &n),
				 table[i].r);
		assert_true(n == table[i].out);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(seconds); i++) {
		uint64_t ms = 0;

		assert_int_equal(parse_seconds_ms(seconds[i].in, &ms), seconds[i].r);
		assert_true(ms == seconds[i].ms);
	}
}

static void test_parse_address(void **state)
{
	static const struct {
		const char *in;
		bool v6;
		int r;
	} table[] = {
		{"10.8.0.10/24", false, 0},
		{"10.8.0.1/32", false, 0},
		{"10.8.0.0/31", false, 0},
		{"10.8.0.0/24", false, -EINVAL},
		{"10.8.0.255/24", false, -EINVAL},
		{"10.8.0.10", false, -EINVAL},
		{"10.8.0.10/", false, -EINVAL},
		{"10.8.0.10/0", false, -EINVAL},
		{"10.8.0.10/33", false, -EINVAL},
		{"10.8.0.10/024", false, -EINVAL},
		{"10.8.0/24", false, -EINVAL},
		{"10.8.0.010/24", false, -EINVAL},
		{"0.0.0.1/8", false, -EINVAL},
		{"127.0.0.1/8", false, -EINVAL},
		{"224.0.0.1/24", false, -EINVAL},
		{"255.255.255.255/32", false, -EINVAL},
		{"fd00::10/64", false, -EINVAL},
		{"fd00::10/64", true, 0},
		{"2001:db8::1/128", true, 0},
		{"fd00::10/129", true, -EINVAL},
		{"fd00::10/0", true, -EINVAL},
		{"::/64", true, -EINVAL},
		{"::1/128", true, -EINVAL},
		{"ff02::1/64", true, -EINVAL},
		{"::ffff:10.0.0.1/96", true, -EINVAL},
		{"10.8.0.10/24", true, -EINVAL},
		{"fd00::1%eth0/64", true, -EINVAL},
		{"/24", false, -EINVAL},
		{"", false, -EINVAL},
		{"1111111111111111111111111111111111111111111111111111111111111111111/24", false,
		 -EINVAL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(parse_address(table[i].in, table[i].v6), table[i].r);
}

static void test_parse_name(void **state)
{
	static const struct {
		const char *in;
		int r;
	} table[] = {
		{"alice", 0},
		{"a.b_c@d-e9", 0},
		{"", -EINVAL},
		{".", -EINVAL},
		{"..", -EINVAL},
		{".a", -EINVAL},
		{"-a", -EINVAL},
		{"a b", -EINVAL},
		{"a/b", -EINVAL},
		{"a:b", -EINVAL},
		{"a\n", -EINVAL},
		{"\xc3\xa9", -EINVAL},
		{"a23456789012345", 0}, /* 15 */
		{"a234567890123456", -EINVAL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(parse_name(table[i].in, 16), table[i].r);
}

static void test_password(void **state)
{
	static const struct {
		const char *in;
		size_t size;
		int r;
		const char *out;
	} table[] = {
		{"secret", 6, 0, "secret"},	{"secret\n", 7, 0, "secret"},
		{"secret\r\n", 8, 0, "secret"}, {" s p \n", 6, 0, " s p "},
		{"", 0, -EINVAL, NULL},		{"\n", 1, -EINVAL, NULL},
		{"\r\n", 2, -EINVAL, NULL},	{"a\nb\n", 4, -EINVAL, NULL},
		{"a\0b", 3, -EINVAL, NULL},	{"secret\n\n", 8, -EINVAL, NULL},
	};
	char buf[SP_PASSWORD_MAX + 8];

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		memcpy(buf, table[i].in, table[i].size);
		assert_int_equal(password_finish(buf, table[i].size), table[i].r);
		if (table[i].out)
			assert_string_equal(buf, table[i].out);
	}
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(password_finish(buf, SP_PASSWORD_MAX), -E2BIG);
	assert_int_equal(password_finish(buf, SP_PASSWORD_MAX - 1), 0);
	assert_int_equal(strlen(buf), SP_PASSWORD_MAX - 1);
}

/* --- the command line --- */

static void test_options(void **state)
{
	static const struct {
		const char *argv[8];
		int r;
		const char *command; /* name */
		const char *option, *value;
		const char *error; /* a part of it */
	} table[] = {
		{{"status"}, 0, "status", NULL, NULL, NULL},
		{{"--json", "status"}, 0, "status", NULL, NULL, NULL},
		{{"status", "--json", "-q"}, 0, "status", NULL, NULL, NULL},
		{{"user", "--json", "list"}, 0, "list", NULL, NULL, NULL},
		{{"top", "-bn", "3"}, 0, "top", "count", "3", NULL},
		{{"top", "-bn3"}, 0, "top", "count", "3", NULL},
		{{"top", "-d0.5"}, 0, "top", "delay", "0.5", NULL},
		{{"top", "--delay=0.5"}, 0, "top", "delay", "0.5", NULL},
		{{"top", "--batch"}, 0, "top", "batch", "", NULL},
		{{"top", "--delay="}, 0, "top", "delay", "", NULL},
		{{"monitor", "--pcap", "-"}, 0, "monitor", "pcap", "-", NULL},
		{{"user", "set", "a", "--address", "--x"}, 0, "set", "address", "--x", NULL},
		{{"user", "delete", "--", "-x"}, 0, "delete", NULL, NULL, NULL},
		{{NULL}, 0, NULL, NULL, NULL, NULL},
		{{"top", "--bat"}, -EINVAL, "top", NULL, NULL, "unknown option '--bat'"},
		{{"--batch", "top"}, -EINVAL, NULL, NULL, NULL, "unknown option '--batch'"},
		{{"top", "-x"}, -EINVAL, "top", NULL, NULL, "unknown option '-x'"},
		{{"top", "-b", "-b"}, -EINVAL, "top", NULL, NULL, "given twice"},
		{{"status", "--json", "--json"}, -EINVAL, NULL, NULL, NULL, "given twice"},
		{{"top", "--batch=1"}, -EINVAL, "top", NULL, NULL, "takes no value"},
		{{"top", "-d"}, -EINVAL, "top", NULL, NULL, "expected SECONDS"},
		{{"status", "more"}, -EINVAL, "status", NULL, NULL, "unexpected argument 'more'"},
		{{"nosuch"}, -EINVAL, NULL, NULL, NULL, "unknown command 'nosuch'"},
		{{"\x1b[2J"}, -EINVAL, NULL, NULL, NULL, "'\\x1b[2J'"},
		{{"user"}, -EINVAL, NULL, NULL, NULL, "a command is missing"},
		{{"user", "nosuch"}, -EINVAL, NULL, NULL, NULL, "help user"},
		{{"list"}, -EINVAL, NULL, NULL, NULL, "unknown command 'list'"},
		{{""}, -EINVAL, NULL, NULL, NULL, "unknown command ''"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		char error[OPTIONS_ERROR_MAX] = "";
		char *argv[10] = {(char *)"sallyport"};
		struct options_globals globals;
		struct ctl_args args;
		int argc = 1;

		for (size_t k = 0; k < 8 && table[i].argv[k]; k++)
			argv[argc++] = (char *)table[i].argv[k];
		assert_int_equal(options_parse(ctl_commands, ctl_globals, argc, argv, &args,
					       &globals, error),
				 table[i].r);
		if (table[i].r == 0 && table[i].command)
			assert_string_equal(args.command->name, table[i].command);
		else if (table[i].r == 0)
			assert_null(args.command);
		if (table[i].option)
			assert_string_equal(option_value(&args, table[i].option), table[i].value);
		if (table[i].error)
			assert_non_null(strstr(error, table[i].error));
	}
}

static void test_positional(void **state)
{
	char *argv[] = {(char *)"sallyport", (char *)"workload", (char *)"remove", (char *)"alice"};
	char error[OPTIONS_ERROR_MAX] = "";
	struct options_globals globals;
	struct ctl_args args;
	size_t min, max;

	options_count_positional("USER NAME", &min, &max);
	assert_true(min == 2 && max == 2);
	options_count_positional("[COMMAND] [SUBCOMMAND]", &min, &max);
	assert_true(min == 0 && max == 2);
	options_count_positional("", &min, &max);
	assert_true(min == 0 && max == 0);
	assert_int_equal(options_parse(ctl_commands, ctl_globals, 4, argv, &args, &globals, error),
			 0);
	assert_int_equal(options_check_positional(&args, error), -EINVAL);
	assert_string_equal(error, "expected WORKLOAD");
}

/* The tables fit what is reserved for them, and no option hides a global one. */
static void test_tables(void **state)
{
	for (const struct ctl_command *c = ctl_commands; c->name; c++) {
		size_t n = 0, min, max;

		options_count_positional(c->args, &min, &max);
		assert_true(max <= CTL_POSITIONAL_MAX);
		for (const struct ctl_option *o = c->options; o && o->name; o++, n++) {
			for (const struct ctl_option *g = ctl_globals; g->name; g++) {
				assert_string_not_equal(o->name, g->name);
				assert_true(!o->letter || o->letter != g->letter);
			}
		}
		assert_true(n <= CTL_OPTIONS_MAX);
		assert_non_null(c->run);
	}
}

static int run_quietly(const char *const *words)
{
	char *argv[10] = {(char *)"sallyport"};
	int argc = 1, r, out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	while (*words)
		argv[argc++] = (char *)*words++;
	fflush(stdout);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	r = ctl_main(argc, argv);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(null);
	return r;
}

static void test_exit_codes(void **state)
{
	static const struct {
		const char *argv[9];
		int code;
	} table[] = {
		{{NULL}, CTL_USAGE},
		{{"help"}, CTL_OK},
		{{"--help"}, CTL_OK},
		{{"help", "user", "add"}, CTL_OK},
		{{"help", "nosuch"}, CTL_USAGE},
		{{"help", "--list"}, CTL_OK},
		{{"user", "add", "--help"}, CTL_OK},
		{{"nosuch"}, CTL_USAGE},
		{{"--socket", "/nonexistent", "status"}, CTL_UNREACHABLE},
		{{"--socket", "", "status"}, CTL_USAGE},
		{{"--timeout", "0", "status"}, CTL_USAGE},
		{{"--socket", "/nonexistent", "top", "-b"}, CTL_UNREACHABLE},
		{{"--socket", "/nonexistent", "monitor"}, CTL_UNREACHABLE},
		{{"--socket", "/nonexistent", "version"}, CTL_UNREACHABLE},
		{{"user", "add", "-x"}, CTL_USAGE},
		{{"user", "add", "a b", "--no-password"}, CTL_USAGE},
		{{"user", "add", "a", "--no-password", "--password-stdin"}, CTL_USAGE},
		{{"user", "add", "a", "--password-file", "/nonexistent"}, CTL_USAGE},
		{{"user", "set", "a"}, CTL_USAGE},
		{{"user", "set", "a", "--max-flows", "1048577"}, CTL_USAGE},
		{{"user", "set", "a", "--new-flows", "10000001"}, CTL_USAGE},
		{{"user", "set", "a", "--new-flows", "-1"}, CTL_USAGE},
		{{"--socket", "/nonexistent", "user", "set", "a", "--max-flows", "1048576"},
		 CTL_UNREACHABLE},
		{{"--socket", "/nonexistent", "user", "set", "a", "--new-flows", "0"},
		 CTL_UNREACHABLE},
		{{"workload", "add", "a", "b"}, CTL_USAGE},
		{{"machine", "policy", "a", "b", "--router", "dhcp"}, CTL_USAGE},
		{{"machine", "policy", "a", "b", "--dhcp-server", ""}, CTL_USAGE},
		{{"machine", "add", "a", "b", "--domain", "d", "--router", "maybe"}, CTL_USAGE},
		{{"--socket", "/nonexistent", "machine", "policy", "a", "b", "--router", "yes"},
		 CTL_UNREACHABLE},
		{{"session", "kill", "0"}, CTL_USAGE},
		{{"audit", "--limit", "0"}, CTL_USAGE},
		{{"top", "-b", "-n", "0"}, CTL_USAGE},
		{{"store", "copy"}, CTL_USAGE},
		{{"store", "copy", "--to", "/nonexistent", "--from", "/nonexistent"}, CTL_FAILED},
		{{"store", "init", "--config", "/nonexistent"}, CTL_FAILED},
		{{"store", "check", "-c", "/dev/null"}, CTL_FAILED},
		{{"store", "migrate", "extra"}, CTL_USAGE},
		{{"help", "store", "check"}, CTL_OK},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(run_quietly(table[i].argv), table[i].code);
}

/* --- what the daemon says --- */

static int exchange(const char *const *replies, size_t n, json_t **ret)
{
	struct ctl ctl = {.timeout_us = 200000};
	_cleanup_json_ json_t *request = call_new("user-list");
	int fds[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	for (size_t i = 0; i < n; i++)
		assert_true(send(fds[1], replies[i], strlen(replies[i]), 0) > 0);
	r = call_exchange(&ctl, fds[0], request, ret);
	close(fds[0]);
	close(fds[1]);
	return r;
}

static void test_exchange(void **state)
{
	const char *const pages[] = {
		"{\"v\":1,\"ok\":true,\"reasons\":[1],\"items\":[1,2],\"more\":true}",
		"{\"v\":1,\"ok\":true,\"items\":[],\"more\":true}",
		"{\"v\":1,\"ok\":true,\"items\":[3],\"more\":false}"};
	const char *const broken[] = {"{\"v\":1,\"ok\":true,\"items\":[1],\"more\":true}",
				      "{\"v\":1,\"ok\":true,\"items\":7}"};
	const char *const refused[] = {"{\"v\":1,\"ok\":true,\"items\":[1],\"more\":true}",
				       "{\"v\":1,\"ok\":false,\"error\":{\"errno\":5}}"};
	const char *const foreign[] = {"hello"};
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_json_ json_t *error = NULL;
	json_t *none = NULL;

	assert_int_equal(exchange(pages, 3, &reply), 0);
	call_strip(reply);
	assert_int_equal(json_object_size(reply), 2);
	assert_int_equal(json_array_size(json_object_get(reply, "items")), 3);
	assert_int_equal(exchange(pages, 2, &none), -ETIMEDOUT);
	assert_int_equal(exchange(broken, 2, &none), -EBADMSG);
	assert_int_equal(exchange(foreign, 1, &none), -EBADMSG);
	assert_null(none);
	assert_int_equal(exchange(refused, 2, &error), 0);
	assert_true(json_is_false(json_object_get(error, "ok")));
}

/* --- tables --- */

static char *print_table(struct table *t, size_t columns, size_t rows)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	table_print(t, f, columns, rows, "\n");
	fclose(f);
	return text;
}

static void test_table(void **state)
{
	_cleanup_table_ struct table *t = table_new("NAME >N LAST");
	_cleanup_free_
	char *all = NULL;
	_cleanup_free_
	char *cut = NULL;

	assert_int_equal(table_rows(t), 0);
	table_cell(t, "a");
	table_cellf(t, "%d", 12345);
	table_cell(t, NULL);
	table_cell(t, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	table_cellf(t, "%d", 1);
	table_cell(t, "x\x1b");
	assert_int_equal(table_rows(t), 2);
	all = print_table(t, 0, 0);
	assert_string_equal(all, "NAME       N  LAST\n"
				 "a      12345  -\n"
				 "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9      1  x\\x1b\n");
	cut = print_table(t, 9, 1);
	assert_string_equal(cut, "NAME\n"
				 "a     123\n");
}

/* --- captures --- */

static void test_pcap_header(void **state)
{
	static const uint8_t want[] = {0x4d, 0x3c, 0xb2, 0xa1, 2,    0,	   4, 0, 0, 0, 0, 0,
				       0,    0,	   0,	 0,    0xff, 0xff, 0, 0, 1, 0, 0, 0};
	uint8_t buf[PCAP_HEADER_SIZE];

	assert_int_equal(pcap_header(buf), sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
}

/* Little-endian, as the magic number says on this machine. */
static void test_pcap_record(void **state)
{
#define ADDRESSES "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01"
#define HEAD(caplen, len)                                                                          \
	"\x01\x00\x00\x00\x02\x00\x00\x00" caplen "\x00\x00\x00" len "\x00\x00\x00"
	static const struct {
		const char *data;
		size_t caplen;
		uint32_t len;
		uint16_t vid;
		bool has_tag;
		int n;
		const char *want;
	} table[] = {
		{ADDRESSES "\x08\x06zz", 16, 60, 0, false, 32,
		 HEAD("\x10", "\x3c") ADDRESSES "\x08\x06zz"},
		{ADDRESSES "\x08\x06zz", 16, 60, 0x123, false, 36,
		 HEAD("\x14", "\x40") ADDRESSES "\x81\x00\x01\x23\x08\x06zz"},
		{ADDRESSES "\x81\x00\x01\x23\x08\x06", 18, 60, 0x123, true, 34,
		 HEAD("\x12", "\x40") ADDRESSES "\x81\x00\x01\x23\x08\x06"},
		{ADDRESSES, 12, 12, 7, false, 32,
		 HEAD("\x10", "\x10") ADDRESSES "\x81\x00\x00\x07"},
		{"short", 5, 5, 7, false, 21, HEAD("\x05", "\x05") "short"},
		{"short", 5, 2, 0, false, 21, HEAD("\x05", "\x05") "short"},
		{"", 0, 0, 0, false, 16, HEAD("\x00", "\x00")},
		{"", SP_EVENT_SNAP + 1, 0, 0, false, -EINVAL, NULL},
		{"", 0, 0, 0x1000, false, -EINVAL, NULL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		struct pcap_frame f = {.time_ns = 1000000002,
				       .data = (const uint8_t *)table[i].data,
				       .caplen = table[i].caplen,
				       .len = table[i].len,
				       .vid = table[i].vid,
				       .has_outer_tag = table[i].has_tag};
		uint8_t buf[PCAP_RECORD_MAX];

		assert_int_equal(pcap_record(&f, buf), table[i].n);
		if (table[i].want)
			assert_memory_equal(buf, table[i].want, (size_t)table[i].n);
	}
}

static void test_unhex(void **state)
{
	static const struct {
		const char *in;
		int r;
	} table[] = {{"", 0},	      {"00", 1},	{"0aFf", 2},	   {"0", -EINVAL},
		     {"0g", -EINVAL}, {"000", -EINVAL}, {"00 0", -EINVAL}, {"0000000000", -EINVAL}};
	uint8_t buf[4] = {0};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		assert_int_equal(pcap_unhex(table[i].in, buf, sizeof(buf)), table[i].r);
	assert_int_equal(pcap_unhex("0aFf", buf, sizeof(buf)), 2);
	assert_true(buf[0] == 0x0a && buf[1] == 0xff);
}

static void test_frame_of_event(void **state)
{
	static const struct {
		const char *event;
		int r;
		size_t caplen;
		bool has_tag;
	} table[] = {
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":60,\"vid\":7,\"data\":\"0102\"}", 0, 2,
		 false},
		/* the tag in the frame: XDP saw it; behind steer's metadata it is an inner one */
		{"{\"time_ns\":5,\"hook\":\"guard\",\"len\":60,\"vid\":7,"
		 "\"data\":\"ffffffffffff0200000000018100000708060001\"}",
		 0, 20, true},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":60,\"vid\":7,"
		 "\"data\":\"ffffffffffff0200000000018100000708060001\"}",
		 0, 20, false},
		{"{\"time_ns\":5,\"hook\":\"guard\",\"len\":60,\"vid\":0,"
		 "\"data\":\"ffffffffffff02000000000188a8000708060001\"}",
		 0, 20, true},
		{"{\"time_ns\":5,\"len\":60,\"vid\":7,\"data\":\"0102\"}", -EINVAL, 0, false},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":-1,\"vid\":7,\"data\":\"01\"}", -EINVAL,
		 0, false},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":1,\"vid\":4096,\"data\":\"01\"}",
		 -EINVAL, 0, false},
		{"{\"time_ns\":-50,\"hook\":\"steer\",\"len\":1,\"vid\":0,\"data\":\"01\"}",
		 -EINVAL, 0, false},
		{"{\"time_ns\":9223372036854775807,\"hook\":\"steer\",\"len\":1,\"data\":\"01\"}",
		 -EINVAL, 0, false},
		{"{\"time_ns\":5,\"hook\":\"steer\",\"len\":1,\"data\":7}", -EINVAL, 0, false},
		{"{}", -EINVAL, 0, false},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_json_ json_t *event = json_loads(table[i].event, 0, NULL);
		uint8_t data[SP_EVENT_SNAP];
		struct pcap_frame f;

		assert_non_null(event);
		assert_int_equal(pcap_frame_of_event(event, 10, data, &f), table[i].r);
		if (table[i].r < 0)
			continue;
		assert_int_equal(f.caplen, table[i].caplen);
		assert_int_equal(f.has_outer_tag, table[i].has_tag);
		assert_true(f.time_ns == 15);
	}
}

/* --- events --- */

static void test_event_text(void **state)
{
	static const struct {
		const char *event, *text;
	} table[] = {
		{"{\"type\":\"lost\",\"count\":3}", "lost 3 events: this reader is too slow"},
		{"{\"type\":\"instance\",\"name\":\"main\",\"state\":\"idle\"}",
		 "instance name main state idle"},
		{"{\"type\":\"forget\",\"session\":7,\"mac\":\"02:00:00:00:00:01\",\"vid\":5}",
		 "forget session 7 mac 02:00:00:00:00:01 vid 5"},
		{"{\"type\":\"drop\",\"reason\":\"runt\",\"hook\":\"guard\",\"device\":\"t0\","
		 "\"port\":1,\"segment\":0,\"vid\":0,\"len\":3,\"data\":\"010203\"}",
		 "drop runt (guard) t0 port 1 segment 0 len 3: 3 bytes"},
		{"{\"type\":\"log\",\"rule\":2,\"reason\":\"policy-reject\",\"hook\":\"in\","
		 "\"device\":\"t0\",\"port\":3,\"segment\":1,\"vid\":0,\"len\":3,"
		 "\"data\":\"010203\"}",
		 "log rule 2 policy-reject (in) t0 port 3 segment 1 len 3: 3 bytes"},
		{"{\"type\":\"drop\",\"data\":\"xyz\"}",
		 "drop - (-) - port 0 segment 0 len 0: 0 bytes"},
		{"{}", "-"},
		{"[]", "-"},
	};
	static const struct {
		const char *hex, *text;
	} frames[] = {
		{"", "0 bytes"},
		{"ffffffffffff02000000000188b5",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ethertype 0x88b5"},
		{"ffffffffffff0200000000010806"
		 "00010800060400010200000000010a08000a0000000000000a080002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ARP who-has 10.8.0.2 tell 10.8.0.10"},
		{"ffffffffffff0200000000010806"
		 "00010800060400020200000000010a08000a0000000000000a080002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ARP reply from 10.8.0.10 to 10.8.0.2"},
		{"ffffffffffff02000000000181000065080045000014000000004001"
		 "00000a0800010a080002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff tag 0x8100 101 IPv4 10.8.0.1 > 10.8.0.2 "
		 "protocol 1"},
		{"ffffffffffff02000000000186dd6000000000003aff"
		 "fd000000000000000000000000000001fd000000000000000000000000000002",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff IPv6 fd00::1 > fd00::2 next 58"},
		{"ffffffffffff0200000000018100",
		 "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ethertype 0x8100"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_json_ json_t *event = json_loads(table[i].event, 0, NULL);
		_cleanup_free_
		char *text = event_text(event);

		assert_string_equal(text, table[i].text);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(frames); i++) {
		uint8_t data[SP_EVENT_SNAP];
		int n = pcap_unhex(frames[i].hex, data, sizeof(data));
		_cleanup_free_
		char *text = event_frame_text(data, (size_t)n);

		assert_string_equal(text, frames[i].text);
	}
}

/* --- top --- */

static json_t *top_sample(int64_t a, int64_t b, int64_t drops)
{
	return json_pack("{s:{s:s}, s:[{s:i, s:i, s:s, s:{s:I}}, {s:i, s:i, s:s, s:{s:I}}], "
			 "s:[{s:i, s:s, s:{s:I}}, {s:i, s:s, s:{}}], s:[{s:s, s:I}]}",
			 "status", "version", "1", "sessions", "id", 1, "port", 11, "user", "slow",
			 "counters", "rx_bytes", (json_int_t)a, "id", 2, "port", 12, "user", "fast",
			 "counters", "rx_bytes", (json_int_t)b, "ports", "port", 11, "name",
			 "slow#1", "counters", "rx_bytes", (json_int_t)a, "port", 3, "name", "w",
			 "counters", "reasons", "name", "runt", "frames", (json_int_t)drops);
}

static double picture_rate(const json_t *picture, const char *part, size_t i, const char *field)
{
	const json_t *item = json_array_get(json_object_get(picture, part), i);

	return json_real_value(json_object_get(json_object_get(item, "rates"), field));
}

static void test_picture(void **state)
{
	_cleanup_json_ json_t *before = top_sample(1000, 1000, 10);
	_cleanup_json_ json_t *after = top_sample(1200, 5000, 30);
	_cleanup_json_ json_t *first = picture_new(NULL, before, 1);
	_cleanup_json_ json_t *second = picture_new(before, after, 2);
	_cleanup_json_ json_t *wrapped = picture_new(after, before, 2);

	assert_true(picture_rate(first, "sessions", 0, "rx_bytes") == 0);
	/* the busiest first */
	assert_int_equal(field_int(json_array_get(json_object_get(second, "sessions"), 0), "id"),
			 2);
	assert_true(picture_rate(second, "sessions", 0, "rx_bytes") == 2000);
	assert_true(picture_rate(second, "sessions", 1, "rx_bytes") == 100);
	assert_true(picture_rate(second, "reasons", 0, "frames") == 10);
	/* port 11 is a session's */
	assert_int_equal(json_array_size(json_object_get(second, "ports")), 1);
	/* backwards: from zero, never negative */
	assert_true(picture_rate(wrapped, "sessions", 0, "rx_bytes") == 500);
}

static void test_picture_fits(void **state)
{
	_cleanup_json_ json_t *before = top_sample(1, 2, 3);
	_cleanup_json_ json_t *picture = picture_new(NULL, before, 1);
	json_t *sessions = json_object_get(picture, "sessions");

	for (int i = 0; i < 200; i++)
		json_array_append(sessions, json_array_get(sessions, 0));
	for (size_t lines = 8; lines < 60; lines++) {
		_cleanup_free_
		char *text = NULL;
		size_t size, n = 0, widest = 0;
		FILE *f = open_memstream(&text, &size);

		picture_print(picture, f, 40, lines, "\n");
		fclose(f);
		for (const char *s = text; *s; s += strcspn(s, "\n") + 1, n++) {
			if (strcspn(s, "\n") > widest)
				widest = strcspn(s, "\n");
		}
		assert_true(n <= lines);
		assert_true(widest <= 40);
		assert_non_null(strstr(text, "SESSION"));
	}
}

/* --- trace --- */

/* Two machines that start beside the tunnel. */
static const char trace_json[] =
	"{\"id\":\"00c0ffee00c0ffee\",\"session\":7,\"user\":\"alice\",\"common_name\":\"laptop\","
	"\"instance\":\"main\",\"remote\":\"192.0.2.1:40112\",\"started\":0,\"lost\":3,\"events\":["
	"{\"stage\":\"auth\",\"us\":0,\"text\":\"t0\"},"
	"{\"stage\":\"auth-done\",\"us\":21449,\"took_us\":21149,\"text\":\"t1\"},"
	"{\"stage\":\"machine-wanted\",\"us\":21500,\"object\":\"alice/web\",\"text\":\"t2\"},"
	"{\"stage\":\"machine-wanted\",\"us\":21600,\"object\":\"alice/db\",\"text\":\"t3\"},"
	"{\"stage\":\"connect\",\"us\":1000000,\"took_us\":978551,\"text\":\"t4\"},"
	"{\"stage\":\"domain-up\",\"us\":1100000,\"object\":\"alice/db\",\"text\":\"t5\"},"
	"{\"stage\":\"first-mac\",\"us\":1200000,\"object\":\"02:00:00:00:00:01\",\"text\":\"t6\"},"
	"{\"stage\":\"domain-up\",\"us\":1300000,\"object\":\"alice/web\",\"text\":\"t7\"}]}";

static char *trace_text(const char *json)
{
	_cleanup_json_ json_t *trace = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	trace_print(f, trace);
	fclose(f);
	return text;
}

static void test_trace(void **state)
{
	_cleanup_free_
	char *text = trace_text(trace_json);

	assert_string_equal(text, "trace 00c0ffee00c0ffee of session 7\n"
				  "alice (laptop) on main from 192.0.2.1:40112, -\n\n"
				  "    MS   TOOK  LANE   STAGE           OBJECT             WHAT\n"
				  "   0.0      -  *      auth            -                  t0\n"
				  "  21.4   21.1  *      auth-done       -                  t1\n"
				  "  21.5      -  | *    machine-wanted  alice/web          t2\n"
				  "  21.6      -  | | *  machine-wanted  alice/db           t3\n"
				  "1000.0  978.6  * | |  connect         -                  t4\n"
				  "1100.0      -  | | *  domain-up       alice/db           t5\n"
				  "1200.0      -  * |    first-mac       02:00:00:00:00:01  t6\n"
				  "1300.0      -    *    domain-up       alice/web          t7\n"
				  "3 events more, between the first and the last, are not kept\n");
}

/* Whatever somebody puts in place of the daemon's answer. */
static void test_trace_hostile(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"events\":{}}",
		"{\"events\":[]}",
		"{\"events\":[1,null,{},\"x\"]}",
		"{\"events\":[{\"us\":-1,\"object\":7,\"stage\":[]}],\"lost\":-1}",
		"{\"events\":[{\"us\":1e9,\"object\":\"/\"}],\"session\":\"x\"}",
		"{\"user\":\"\\u001b[31m\",\"events\":[{\"object\":\"a/\\u001b[2J\"}]}",
	};
	char many[4096];
	size_t n;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_free_
		char *text = trace_text(rows[i]);

		assert_null(strchr(text, '\x1b'));
	}
	/* More machines than lanes. */
	n = (size_t)sprintf(many, "{\"events\":[");
	for (int k = 0; k < 60; k++)
		n += (size_t)sprintf(many + n, "%s{\"us\":%d,\"object\":\"a/%d\"}", k ? "," : "", k,
				     k % 30);
	strcpy(many + n, "]}");
	free(trace_text(many));
}

static void test_trace_request(void **state)
{
	static const struct {
		const char *text, *id;
		int64_t session;
	} rows[] = {
		{"1", NULL, 1},
		{"42", NULL, 42},
		{"9223372036854775807", NULL, INT64_MAX},
		{"00c0ffee00c0ffee", "00c0ffee00c0ffee", 0},
		{"00C0FFEE00C0FFEE", "00C0FFEE00C0FFEE", 0},
		{"0000000000000001", "0000000000000001", 0},
		{"", NULL, 0},
		{"0", NULL, 0},
		{"-1", NULL, 0},
		{"alice", NULL, 0},
		{"0x1", NULL, 0},
		{"00c0ffee00c0ffe", NULL, 0},
		{"00c0ffee00c0ffeeb", NULL, 0},
		{"9223372036854775808", NULL, 0},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *r = trace_request(rows[i].text);

		assert_int_equal(r != NULL, rows[i].id != NULL || rows[i].session != 0);
		assert_int_equal(field_int(r, "session"), rows[i].session);
		if (rows[i].id)
			assert_string_equal(field_text(r, "trace"), rows[i].id);
	}
}

/* --- doctor --- */

static void test_doctor(void **state)
{
	static const struct {
		const char *text;
		int r;
		unsigned int major, minor;
	} versions[] = {{"OpenVPN 2.6.14 x86_64-pc-linux-gnu", 0, 2, 6},
			{"OpenVPN 2.10_git", 0, 2, 10},
			{"OpenVPN 3", -EINVAL, 0, 0},
			{"openvpn 2.6", -EINVAL, 0, 0},
			{"", -EINVAL, 0, 0}};
	char out[16], path[64];

	for (size_t i = 0; i < SP_ARRAY_SIZE(versions); i++) {
		unsigned int major = 0, minor = 0;

		assert_int_equal(doctor_openvpn_version(versions[i].text, &major, &minor),
				 versions[i].r);
		assert_true(major == versions[i].major && minor == versions[i].minor);
	}
	assert_int_equal(doctor_find("sh", "/nonexistent:/bin", path, sizeof(path)), 0);
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(doctor_find("sh", "/nonexistent", path, sizeof(path)), -ENOENT);
#define RUN(timeout, ...)                                                                          \
	doctor_run("/bin/sh", (const char *const[]){"sh", "-c", __VA_ARGS__, NULL}, out,           \
		   sizeof(out), timeout)
	assert_int_equal(RUN(5000, "echo out; echo err >&2"), 0);
	assert_string_equal(out, "out\nerr\n");
	assert_int_equal(RUN(5000, "exit 3"), 3);
	assert_int_equal(RUN(5000, "kill -9 $$"), -ECHILD);
	assert_int_equal(RUN(5000, "head -c 100000 /dev/zero | tr '\\0' x"), 0);
	assert_int_equal(strlen(out), sizeof(out) - 1);
	assert_int_equal(RUN(100, "exec sleep 20"), -ETIMEDOUT);
	assert_int_equal(
		doctor_run("/nonexistent", (const char *const[]){"x", NULL}, out, sizeof(out), 100),
		-ENOENT);
}

/* --- manual and completion --- */

/* How many things of the tables does the manual TEXT not know? */
static int missing_in_manual(const char *text, const struct ctl_command *commands)
{
	int missing = 0;

	for (const struct ctl_command *c = commands; c->name; c++) {
		char item[96];
		const char *s, *end;

		snprintf(item, sizeof(item), ".It Cm %s%s%s", c->group ? c->group : "",
			 c->group ? " " : "", c->name);
		s = strstr(text, item);
		if (!s || (s[strlen(item)] != ' ' && s[strlen(item)] != '\n')) {
			print_message("# the manual lacks '%s'\n", item);
			missing++;
			continue;
		}
		end = strstr(s + 1, ".It Cm ") ?: s + strlen(s);
		for (const struct ctl_option *o = c->options; o && o->name; o++) {
			_cleanup_free_
			char *section = strndup(s, (size_t)(end - s));
			char fl[64], letter[16];

			snprintf(fl, sizeof(fl), "Fl -%s", o->name);
			snprintf(letter, sizeof(letter), "Fl %c ", o->letter);
			if (strstr(section, fl) && (!o->letter || strstr(section, letter)))
				continue;
			print_message("# the manual of '%s' lacks --%s\n", item, o->name);
			missing++;
		}
	}
	return missing;
}

static void test_manual(void **state)
{
	static const struct ctl_option not_there[] = {{"nosuch", 0, NULL, ""}, {.name = NULL}};
	static const struct ctl_command unknown[] = {
		{"user", "nosuch", "", "", NULL, NULL},
		{"user", "add", "", "", not_there, NULL},
		{.name = NULL},
	};
	_cleanup_free_
	char *text = calloc(1, 65536);
	_cleanup_fclose_ FILE *f = fopen("man/sallyport.8", "re");

	if (!f)
		skip(); /* not run from the top of the tree */
	assert_true(fread(text, 1, 65535, f) > 1000);
	assert_int_equal(missing_in_manual(text, ctl_commands), 0);
	for (const struct ctl_option *o = ctl_globals; o->name; o++) {
		char item[64];

		snprintf(item, sizeof(item), "Fl -%s", o->name);
		assert_non_null(strstr(text, item));
	}
	/* and it can fail */
	assert_int_equal(missing_in_manual(text, unknown), 2);
}

static void test_completion(void **state)
{
	char out[16384];
	int r;

	if (access("selftests/unit/completion.sh", R_OK) < 0)
		skip();
	r = doctor_run("/bin/bash",
		       (const char *const[]){"bash", "selftests/unit/completion.sh",
					     getenv("SP_BUILD") ?: "build", NULL},
		       out, sizeof(out), 180000);
	if (r != 0)
		print_message("# completion: %s\n", out);
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),	      cmocka_unit_test(test_width),
		cmocka_unit_test(test_numbers),	      cmocka_unit_test(test_times),
		cmocka_unit_test(test_parse_number),  cmocka_unit_test(test_parse_address),
		cmocka_unit_test(test_parse_name),    cmocka_unit_test(test_password),
		cmocka_unit_test(test_options),	      cmocka_unit_test(test_positional),
		cmocka_unit_test(test_tables),	      cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_exchange),      cmocka_unit_test(test_table),
		cmocka_unit_test(test_pcap_header),   cmocka_unit_test(test_pcap_record),
		cmocka_unit_test(test_unhex),	      cmocka_unit_test(test_frame_of_event),
		cmocka_unit_test(test_event_text),    cmocka_unit_test(test_picture),
		cmocka_unit_test(test_picture_fits),  cmocka_unit_test(test_trace),
		cmocka_unit_test(test_trace_hostile), cmocka_unit_test(test_trace_request),
		cmocka_unit_test(test_doctor),	      cmocka_unit_test(test_manual),
		cmocka_unit_test(test_completion),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
