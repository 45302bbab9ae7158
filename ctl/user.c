/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport user: who may come in, and with what limits. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/password.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/units.h"
#include "sallyport/limits.h"

/* As many sessions as a flood list has room for, and the daemon takes. */
#define LIMIT_MAX 32
#define MACHINES_MAX 100000
#define USER_MACS_MAX 1024
#define RATE_FRAMES_MAX 1000000000
#define RATE_BYTES_MAX 10000000000ULL

/* The user's name, checked here so that a slip costs no round trip. NULL: a usage error. */
static const char *user_name(const struct ctl_args *args)
{
	const char *name = args->positional[0];

	if (parse_name(name, SP_NAME_MAX) == 0)
		return name;
	call_usage(args,
		   "'%.80s': expected a name: letters, digits, '_', '.', '@', '-', at most "
		   "%d of them, not '.' or '-' first",
		   name, SP_NAME_MAX - 1);
	return NULL;
}

static int set_address(const struct ctl_args *args, const char *option, bool v6, bool may_be_none,
		       json_t *request)
{
	const char *value = option_value(args, option);

	if (!value)
		return CTL_OK;
	if (may_be_none && strcmp(value, "none") == 0)
		value = "";
	else if (parse_address(value, v6) < 0)
		return call_usage(args,
				  "--%s '%.80s': expected an address of a host with its prefix "
				  "length, as in %s%s",
				  option, value, v6 ? "fd00:10::10/64" : "10.8.0.10/24",
				  may_be_none ? ", or none" : "");
	call_set(request, option, value);
	return CTL_OK;
}

static int set_limit(const struct ctl_args *args, const char *option, const char *field, int max,
		     json_t *request)
{
	const char *value = option_value(args, option);
	uint64_t n;

	if (!value)
		return CTL_OK;
	if (parse_number(value, 0, (uint64_t)max, &n) < 0)
		return call_usage(args, "--%s '%.32s': expected a number from 0 to %d", option,
				  value, max);
	call_set_int(request, field, (int64_t)n);
	return CTL_OK;
}

static int set_memory(const struct ctl_args *args, json_t *request)
{
	const char *value = option_value(args, "max-memory");
	uint64_t mib;

	if (!value)
		return CTL_OK;
	if (memory_parse(value, &mib) < 0 || mib > 1 << 30)
		return call_usage(args, "--max-memory '%.32s': expected a size as 512M or 16G",
				  value);
	call_set_int(request, "max_memory_mib", (int64_t)mib);
	return CTL_OK;
}

static int set_rate(const struct ctl_args *args, json_t *request)
{
	const char *value = option_value(args, "rate-bytes");
	uint64_t n;

	if (!value)
		return CTL_OK;
	if (size_parse(value, &n) < 0 || n > RATE_BYTES_MAX)
		return call_usage(args,
				  "--rate-bytes '%.32s': expected bytes a second, as 500000, 10M "
				  "or 1G, up to %llu",
				  value, RATE_BYTES_MAX);
	call_set_int(request, "rate_bytes", (int64_t)n);
	return CTL_OK;
}

/* What add and set have in common. */
static int set_properties(const struct ctl_args *args, bool may_be_none, json_t *request)
{
	return set_address(args, "address", false, may_be_none, request)
		       ?: set_address(args, "address6", true, may_be_none, request)
		       ?: set_limit(args, "max-sessions", "max_sessions", LIMIT_MAX, request)
		       ?: set_limit(args, "max-macs", "max_macs", LIMIT_MAX, request)
		       ?: set_limit(args, "max-machines", "max_machines", MACHINES_MAX, request)
		       ?: set_memory(args, request)
		       ?: set_limit(args, "max-vcpus", "max_vcpus", MACHINES_MAX, request)
		       ?: set_limit(args, "max-user-macs", "max_user_macs", USER_MACS_MAX, request)
		       ?: set_rate(args, request)
		       ?: set_limit(args, "rate-frames", "rate_frames", RATE_FRAMES_MAX, request)
		       ?: set_limit(args, "max-flows", "max_flows", SP_FLOWS_MAX, request)
		       ?: set_limit(args, "new-flows", "new_flows", SP_NEW_FLOWS_MAX, request);
}

static int set_password(const struct ctl_args *args, json_t *request)
{
	const char *file = option_value(args, "password-file");
	bool from_stdin = option_value(args, "password-stdin");
	char password[SP_PASSWORD_MAX];
	const char *why = "";
	int r;

	if (file && from_stdin)
		return call_usage(args,
				  "--password-file and --password-stdin: expected one of them");
	r = password_read(file, from_stdin, password, &why);
	if (r == -ENOTTY)
		return call_usage(args, "%s", why);
	if (r == 0 && call_set(request, "password", password) < 0) {
		r = -EILSEQ;
		why = "a password is UTF-8 text";
	}
	explicit_bzero(password, sizeof(password));
	if (r == 0)
		return CTL_OK;
	if (file)
		text_line(stderr, "sallyport: password file '%s': %s", file, why);
	else
		text_line(stderr, "sallyport: password: %s", why);
	return CTL_USAGE;
}

int cmd_user_add(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *request = call_new("user-add");
	bool none = option_value(args, "no-password");
	const char *name = user_name(args);
	int r;

	if (!name)
		return CTL_USAGE;
	if (none && (option_value(args, "password-file") || option_value(args, "password-stdin")))
		return call_usage(args, "--no-password and a password: expected one of them");
	call_set(request, "name", name);
	r = set_properties(args, false, request);
	if (r == CTL_OK && !none)
		r = set_password(args, request);
	if (r != CTL_OK)
		return r;
	return call_do(ctl, TAKE_PTR(request), "user %s added", name);
}

int cmd_user_passwd(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *request = call_new("user-passwd");
	const char *name = user_name(args);
	int r;

	if (!name)
		return CTL_USAGE;
	call_set(request, "name", name);
	r = set_password(args, request);
	if (r != CTL_OK)
		return r;
	return call_do(ctl, TAKE_PTR(request), "user %s has a new password", name);
}

int cmd_user_set(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *request = call_new("user-set");
	const char *name = user_name(args);
	size_t before;
	int r;

	if (!name)
		return CTL_USAGE;
	call_set(request, "name", name);
	before = json_object_size(request);
	r = set_properties(args, true, request);
	if (r != CTL_OK)
		return r;
	if (json_object_size(request) == before)
		return call_usage(args, "nothing to set: expected an address or a limit");
	return call_do(ctl, TAKE_PTR(request),
		       "user %s changed; rates, flows and --max-user-macs hold at once, the rest "
		       "for new sessions",
		       name);
}

static int disable(const struct ctl *ctl, const struct ctl_args *args, bool disabled)
{
	const char *name = user_name(args);
	json_t *request;

	if (!name)
		return CTL_USAGE;
	request = call_new("user-disable");
	call_set(request, "name", name);
	json_object_set_new(request, "disabled", json_boolean(disabled));
	return call_do(ctl, request, "user %s %s", name, disabled ? "disabled" : "enabled");
}

int cmd_user_disable(const struct ctl *ctl, const struct ctl_args *args)
{
	return disable(ctl, args, true);
}

int cmd_user_enable(const struct ctl *ctl, const struct ctl_args *args)
{
	return disable(ctl, args, false);
}

int cmd_user_delete(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *name = user_name(args);
	json_t *request;

	if (!name)
		return CTL_USAGE;
	request = call_new("user-delete");
	call_set(request, "name", name);
	return call_do(ctl, request, "user %s deleted", name);
}

static void print_limit(struct table *t, const json_t *user, const char *field)
{
	int64_t n = field_int(user, field);

	if (n)
		table_cellf(t, "%lld", (long long)n);
	else
		table_cell(t, "default");
}

int cmd_user_list(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_table_ struct table *t =
		table_new("USER >SEGMENT STATE PASSWORD ADDRESS ADDRESS6 >SESSIONS >MACS "
			  ">MACHINES >MIB >VCPUS >ALL-MACS >BYTES/S >FRAMES/S >FLOWS "
			  ">NEW-FLOWS/S CREATED");
	_cleanup_json_ json_t *reply = NULL;
	json_t *request, *items, *user;
	char when[TEXT_NUMBER_MAX];
	size_t i;
	int r;

	if (args->n_positional && !user_name(args))
		return CTL_USAGE;
	request = call_new("user-list");
	call_set(request, "name", args->positional[0]);
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	items = json_object_get(reply, "items");
	if (ctl->json) {
		call_print_json(items);
		return CTL_OK;
	}
	json_array_foreach (items, i, user) {
		table_cell(t, field_text(user, "name"));
		table_cellf(t, "%lld", (long long)field_int(user, "segment"));
		table_cell(t, json_is_true(json_object_get(user, "disabled")) ? "disabled" : "ok");
		table_cell(t, json_is_true(json_object_get(user, "has_password")) ? "yes" : "no");
		table_cell(t, field_text(user, "address"));
		table_cell(t, field_text(user, "address6"));
		print_limit(t, user, "max_sessions");
		print_limit(t, user, "max_macs");
		print_limit(t, user, "max_machines");
		print_limit(t, user, "max_memory_mib");
		print_limit(t, user, "max_vcpus");
		print_limit(t, user, "max_user_macs");
		print_limit(t, user, "rate_bytes");
		print_limit(t, user, "rate_frames");
		print_limit(t, user, "max_flows");
		print_limit(t, user, "new_flows");
		table_cell(t, text_time(field_int(user, "created"), when));
	}
	if (table_rows(t))
		table_print(t, stdout, 0, 0, "\n");
	else
		puts("no users");
	return CTL_OK;
}
