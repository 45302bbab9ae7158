/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport policy: the firewall of a machine. The language is in sallyport-policy(5). */
#include "ctl/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "sallyport/limits.h"

int policy_check_names(const struct ctl_args *args)
{
	static const char *const what[] = {"user", "machine"};

	for (size_t i = 0; i < 2; i++)
		if (parse_name(args->positional[i], SP_NAME_MAX) < 0)
			return call_usage(args,
					  "%s '%.80s': expected a name: letters, digits, '_', '.', "
					  "'@', '-', not '.' or '-' first",
					  what[i], args->positional[i]);
	return CTL_OK;
}

int policy_new_set(const struct ctl_args *args, json_t **ret)
{
	bool yes = option_value(args, "strict"), no = option_value(args, "no-strict");
	int r = policy_check_names(args);

	if (r != CTL_OK)
		return r;
	if (yes && no)
		return call_usage(args, "--strict and --no-strict: expected at most one of them");
	*ret = call_new("policy-set");
	call_set(*ret, "user", args->positional[0]);
	call_set(*ret, "name", args->positional[1]);
	if (yes || no)
		json_object_set_new(*ret, "strict", json_boolean(yes));
	return CTL_OK;
}

/* --- show --- */

static void add_row(struct table *t, const json_t *item)
{
	bool is_default = field_int(item, "rule") == 0;
	bool counted = json_object_get(item, "packets");
	char bytes[TEXT_NUMBER_MAX];

	if (!json_object_get(item, "says"))
		return;
	if (is_default) {
		table_cell(t, NULL);
		table_cell(t, NULL);
	} else {
		table_cellf(t, "%" PRId64, field_int(item, "rule"));
		table_cellf(t, "%" PRId64, field_int(item, "line"));
	}
	if (counted)
		table_cellf(t, "%" PRId64, field_int(item, "packets"));
	else
		table_cell(t, NULL);
	table_cell(t, counted ? text_bytes((double)field_int(item, "bytes"), bytes) : NULL);
	table_cell(t, field_text(item, "says"));
}

static void print_counters(const json_t *reply)
{
	_cleanup_table_ struct table *t = table_new(">RULE >LINE >PACKETS >BYTES SAYS");
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(reply, "items"), i, item)
		add_row(t, item);
	table_print(t, stdout, 0, 0, "\n");
}

/* One document: the text whole, and the rules. */
static void print_document(json_t *reply, const struct policy_text *text)
{
	json_t *rules = json_array(), *item;
	size_t i;

	json_array_foreach (json_object_get(reply, "items"), i, item)
		if (json_object_get(item, "says"))
			json_array_append(rules, item);
	json_object_del(reply, "items");
	json_object_set_new(reply, "text", json_string(text->text));
	json_object_set_new(reply, "rules", rules);
	call_print_json(reply);
}

int cmd_policy_show(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *user = args->positional[0], *name = args->positional[1];
	_cleanup_policy_text_ struct policy_text text = {.text = NULL};
	_cleanup_json_ json_t *reply = NULL;
	int r = CTL_OK;

	if (user && !name)
		return call_usage(args, "expected MACHINE after USER");
	r = user ? policy_check_names(args) : CTL_OK;
	if (r == CTL_OK)
		r = policy_text_fetch(ctl, user, name, &text,
				      ctl->json || option_value(args, "counters") ? &reply : NULL);
	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		print_document(reply, &text);
		return CTL_OK;
	}
	if (reply)
		print_counters(reply);
	else
		fwrite(text.text, 1, text.size, stdout);
	if (user && text.is_default)
		text_line(stderr, "%s has none of its own: this is the host's default", text.name);
	return CTL_OK;
}

/* --- check, test --- */

int cmd_policy_check(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_policy_text_ struct policy_text text = {.text = NULL};
	_cleanup_(policy_freep) struct policy *p = NULL;
	int r = policy_text_read(ctl, args->positional[0], &text);

	if (r == CTL_OK)
		r = policy_text_parse(ctl, &text, &p);
	if (r != CTL_OK)
		return r;
	if (option_value(args, "print")) {
		_cleanup_free_
		char *canonical = policy_print(p);

		if (!canonical)
			text_oom();
		fputs(canonical, stdout);
	} else if (ctl->json) {
		_cleanup_json_ json_t *doc =
			json_pack("{s:I, s:I, s:I}", "rules", (json_int_t)p->n_rules, "sets",
				  (json_int_t)p->n_sets, "expectations", (json_int_t)p->n_expects);

		call_print_json(doc);
	} else if (!ctl->quiet) {
		text_line(stdout, "%s: %zu rules, %zu sets, %zu expectations", text.name,
			  p->n_rules, p->n_sets, p->n_expects);
	}
	return CTL_OK;
}

int cmd_policy_test(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_policy_text_ struct policy_text text = {.text = NULL};
	_cleanup_(policy_freep) struct policy *p = NULL;
	int r = policy_text_read(ctl, args->positional[0], &text);

	if (r == CTL_OK)
		r = policy_text_parse(ctl, &text, &p);
	if (r == CTL_OK)
		r = policy_text_test(ctl, &text, p);
	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		_cleanup_json_ json_t *doc = json_pack("{s:I}", "met", (json_int_t)p->n_expects);

		call_print_json(doc);
	} else if (!ctl->quiet) {
		text_line(stdout, "%s: %zu expectations, all met", text.name, p->n_expects);
	}
	return CTL_OK;
}

/* --- set --- */

void policy_tell_set(const struct ctl *ctl, const char *user, const char *name, const json_t *reply)
{
	bool dry = json_is_true(json_object_get(reply, "dry_run"));
	int64_t ended = field_int(reply, "ended_flows");

	if (ctl->json) {
		call_print_json(reply);
		return;
	}
	if (ctl->quiet)
		return;
	text_line(stdout, "policy of %s/%s: %" PRId64 " rules, %s", user, name,
		  field_int(reply, "rules"),
		  dry ? "nothing was changed"
		  : json_is_true(json_object_get(reply, "in_force"))
			  ? "in force"
			  : "in force as soon as the machine has a port");
	if (dry && json_is_true(json_object_get(reply, "takes_away")))
		puts("it takes something away: flows that it does not allow would end");
	if (ended)
		text_line(stdout, "%" PRId64 " flows ended that it does not allow", ended);
}

/* What is wrong is told before the daemon is asked: all of it, by line and column. */
static int read_good(const struct ctl *ctl, const char *path, struct policy_text *ret)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	int r = policy_text_read(ctl, path, ret);

	if (r == CTL_OK)
		r = policy_text_parse(ctl, ret, &p);
	return r == CTL_OK ? policy_text_test(ctl, ret, p) : r;
}

int cmd_policy_set(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *path = args->positional[2], *generation = option_value(args, "generation");
	_cleanup_policy_text_ struct policy_text text = {.text = NULL};
	_cleanup_json_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;
	bool fallback = option_value(args, "default");
	uint64_t n;
	int r = policy_new_set(args, &request);

	if (r != CTL_OK)
		return r;
	if (!path == !fallback)
		return call_usage(args, "expected FILE or --default");
	if (generation && parse_number(generation, 0, INT64_MAX, &n) < 0)
		return call_usage(args, "--generation '%.32s': expected a number", generation);
	if (generation)
		call_set_int(request, "generation", (int64_t)n);
	if (option_value(args, "dry-run"))
		json_object_set_new(request, "dry_run", json_true());
	if (fallback)
		json_object_set_new(request, "default", json_true());
	else
		r = read_good(ctl, path, &text);
	if (r == CTL_OK)
		r = policy_text_send(ctl, TAKE_PTR(request), fallback ? NULL : &text, &reply, NULL);
	if (r == CTL_OK)
		policy_tell_set(ctl, args->positional[0], args->positional[1], reply);
	return r;
}
