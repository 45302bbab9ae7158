/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be typed? For people, and (help --list) for the completion and the tests. */
#include "ctl/help.h"

#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"

static void print_option(FILE *f, const struct ctl_option *o)
{
	char left[48];

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
		 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->value ? " " : "",
		 o->value ? o->value : "");
	fprintf(f, "  %-31s %s\n", left, o->help);
}

static void print_options(FILE *f, const char *title, const struct ctl_option *options)
{
	if (!options || !options->name)
		return;
	fprintf(f, "\n%s\n", title);
	for (const struct ctl_option *o = options; o->name; o++)
		print_option(f, o);
}

static void print_synopsis(FILE *f, const struct ctl_command *c)
{
	fprintf(f, "sallyport%s%s %s%s%s%s", c->group ? " " : "", c->group ? c->group : "", c->name,
		c->args && *c->args ? " " : "", c->args ? c->args : "",
		c->options ? " [OPTION...]" : "");
}

static void print_all(FILE *f, const char *group)
{
	for (const struct ctl_command *c = ctl_commands; c->name; c++) {
		char left[64];

		if (group && (!c->group || strcmp(c->group, group) != 0))
			continue;
		snprintf(left, sizeof(left), "%s%s%s %s", c->group ? c->group : "",
			 c->group ? " " : "", c->name, c->args ? c->args : "");
		fprintf(f, "  %-31s %s\n", left, c->help);
	}
}

void help_print(FILE *f, const struct ctl_command *command)
{
	if (command) {
		fputs("usage: ", f);
		print_synopsis(f, command);
		fprintf(f, "\n%s\n", command->help);
		print_options(f, "Options:", command->options);
	} else {
		fputs("usage: sallyport [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:\n", f);
		print_all(f, NULL);
	}
	print_options(f, "Options of every command:", ctl_globals);
	if (!command)
		fputs("\nExit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the daemon (or "
		      "the "
		      "database) is not reachable.\nsallyport help COMMAND tells more; "
		      "sallyport(8) all.\n",
		      f);
}

/*
 * One thing a line, fields with tabs between: kind, command, then for an option its name, letter
 * and value, for an argument its name.
 */
static void list_options(const char *kind, const char *command, const struct ctl_option *options)
{
	for (const struct ctl_option *o = options; o && o->name; o++)
		printf("%s\t%s\t--%s\t%c%c\t%s\n", kind, command, o->name, o->letter ? '-' : ' ',
		       o->letter ? o->letter : ' ', o->value ? o->value : "");
}

static void list_all(void)
{
	list_options("global", "", ctl_globals);
	for (const struct ctl_command *c = ctl_commands; c->name; c++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s", c->group ? c->group : "",
			 c->group ? " " : "", c->name);
		printf("command\t%s\t%s\n", name, c->help);
		for (const char *s = c->args; s && *s;) {
			size_t n = strcspn(s, " ");

			printf("argument\t%s\t%.*s\n", name, (int)n, s);
			s += n + strspn(s + n, " ");
		}
		list_options("option", name, c->options);
	}
}

int cmd_help(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *first = args->positional[0], *second = args->positional[1];
	bool is_group = false;

	if (option_value(args, "list")) {
		list_all();
		return CTL_OK;
	}
	if (!first) {
		help_print(stdout, NULL);
		return CTL_OK;
	}
	for (const struct ctl_command *c = ctl_commands; c->name; c++) {
		if (c->group && strcmp(c->group, first) == 0 && !second)
			is_group = true;
		if (c->group
			    ? second && strcmp(c->group, first) == 0 && strcmp(c->name, second) == 0
			    : !second && strcmp(c->name, first) == 0) {
			help_print(stdout, c);
			return CTL_OK;
		}
	}
	if (!is_group)
		return call_usage(args, "there is no command '%s%s%s'", first, second ? " " : "",
				  second ? second : "");
	print_all(stdout, first);
	return CTL_OK;
}
