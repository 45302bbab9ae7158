// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does the command understand what is typed and what the daemon answers? Do manual and completion
 * know every command and option?
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
#include "ctl/options.h"
#include "lib/cleanup.h"

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
		cmocka_unit_test(test_options),	 cmocka_unit_test(test_positional),
		cmocka_unit_test(test_tables),	 cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_exchange), cmocka_unit_test(test_doctor),
		cmocka_unit_test(test_manual),	 cmocka_unit_test(test_completion),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
