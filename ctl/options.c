/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which command is this, with which options and arguments? */
#include "ctl/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/text.h"
#include "lib/cleanup.h"

/* The state of one run over argv. */
struct parse {
	const struct ctl_command *commands;
	const struct ctl_option *globals_table;
	int argc;
	char **argv;
	int next;	   /* the word to be read */
	const char *group; /* "user", while the second word is awaited */
	struct ctl_args *args;
	struct options_globals *globals;
	char *error;
};

/* FORMAT has one %s, for WORD, which is anybody's. */
static int fail(struct parse *p, const char *what, const char *word, const char *expected)
{
	_cleanup_free_
	char *safe = text_escape(word);

	snprintf(p->error, OPTIONS_ERROR_MAX, "%s '%.100s'%s%s", what, safe, *expected ? ": " : "",
		 expected);
	return -EINVAL;
}

static const struct ctl_option *find(const struct ctl_option *table, const char *name, size_t n,
				     char letter)
{
	for (const struct ctl_option *o = table; o && o->name; o++) {
		if (letter ? o->letter == letter
			   : strncmp(o->name, name, n) == 0 && o->name[n] == '\0')
			return o;
	}
	return NULL;
}

/* Where the option's value goes, whichever table it is in. */
static const char **find_slot(struct parse *p, const char *name, size_t n, char letter,
			      const struct ctl_option **ret)
{
	const struct ctl_option *o = find(p->globals_table, name, n, letter);

	*ret = o;
	if (o)
		return &p->globals->value[o - p->globals_table];
	if (!p->args->command)
		return NULL;
	o = find(p->args->command->options, name, n, letter);
	*ret = o;
	return o ? &p->args->value[o - p->args->command->options] : NULL;
}

static int store(struct parse *p, const char **slot, const char *word, const char *value)
{
	if (*slot)
		return fail(p, "option", word, "given twice");
	*slot = value;
	return 0;
}

/* The option's value from the next word. */
static int store_next(struct parse *p, const struct ctl_option *o, const char **slot,
		      const char *word)
{
	if (p->next >= p->argc) {
		char expected[64];

		snprintf(expected, sizeof(expected), "expected %s after it", o->value);
		return fail(p, "option", word, expected);
	}
	return store(p, slot, word, p->argv[p->next++]);
}

static int unknown_option(struct parse *p, const char *word)
{
	return fail(p, "unknown option", word,
		    p->args->command ? "" : "options of a command stand behind it");
}

/* --name, --name VALUE, --name=VALUE */
static int parse_long(struct parse *p, const char *word)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t n = equals ? (size_t)(equals - name) : strlen(name);
	const struct ctl_option *o;
	const char **slot = find_slot(p, name, n, 0, &o);

	if (!slot)
		return unknown_option(p, word);
	if (!o->value)
		return equals ? fail(p, "option", word, "it takes no value")
			      : store(p, slot, word, "");
	return equals ? store(p, slot, word, equals + 1) : store_next(p, o, slot, word);
}

/* -b, -d 2, -d2, -bn3 */
static int parse_short(struct parse *p, const char *word)
{
	for (const char *c = word + 1; *c; c++) {
		const struct ctl_option *o;
		const char **slot = find_slot(p, "", 0, *c, &o);
		int r;

		if (!slot)
			return unknown_option(p, word);
		if (o->value)
			return c[1] ? store(p, slot, word, c + 1) : store_next(p, o, slot, word);
		r = store(p, slot, word, "");
		if (r < 0)
			return r;
	}
	return 0;
}

/* The first words: a command, or a group and then one of its commands. */
static int parse_command(struct parse *p, const char *word)
{
	bool is_group = false;

	for (const struct ctl_command *c = p->commands; c->name; c++) {
		if (!p->group && c->group && strcmp(c->group, word) == 0)
			is_group = true;
		if (p->group ? !c->group || strcmp(c->group, p->group) != 0 : c->group != NULL)
			continue;
		if (strcmp(c->name, word) == 0) {
			p->args->command = c;
			p->group = NULL;
			return 0;
		}
	}
	if (is_group) {
		p->group = word;
		return 0;
	}
	if (p->group) {
		char expected[96];

		snprintf(expected, sizeof(expected), "see: sallyport help %s", p->group);
		return fail(p, "unknown command", word, expected);
	}
	return fail(p, "unknown command", word, "see: sallyport help");
}

static int parse_word(struct parse *p, const char *word)
{
	size_t min, max;

	if (!p->args->command)
		return parse_command(p, word);
	options_count_positional(p->args->command->args, &min, &max);
	if (p->args->n_positional >= max)
		return fail(p, "unexpected argument", word, "");
	p->args->positional[p->args->n_positional++] = word;
	return 0;
}

int options_parse(const struct ctl_command *commands, const struct ctl_option *globals_table,
		  int argc, char **argv, struct ctl_args *ret, struct options_globals *globals,
		  char error[OPTIONS_ERROR_MAX])
{
	struct parse p = {.commands = commands,
			  .globals_table = globals_table,
			  .argc = argc,
			  .argv = argv,
			  .next = 1,
			  .args = ret,
			  .globals = globals,
			  .error = error};
	bool only_words = false;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	memset(globals, 0, sizeof(*globals));
	error[0] = '\0';
	while (r == 0 && p.next < argc) {
		const char *word = argv[p.next++];

		if (only_words || word[0] != '-' || word[1] == '\0')
			r = parse_word(&p, word);
		else if (strcmp(word, "--") == 0)
			only_words = true;
		else
			r = word[1] == '-' ? parse_long(&p, word) : parse_short(&p, word);
	}
	if (r == 0 && p.group) {
		char expected[96];

		snprintf(expected, sizeof(expected), "a command is missing; see: sallyport help %s",
			 p.group);
		r = fail(&p, "after", p.group, expected);
	}
	return r;
}

void options_count_positional(const char *args, size_t *ret_min, size_t *ret_max)
{
	size_t min = 0, max = 0;

	for (const char *s = args ? args : ""; *s;) {
		size_t n = strcspn(s, " ");

		max++;
		if (*s != '[')
			min++;
		s += n + strspn(s + n, " ");
	}
	*ret_min = min;
	*ret_max = max;
}

int options_check_positional(const struct ctl_args *args, char error[OPTIONS_ERROR_MAX])
{
	const char *s = args->command->args;
	size_t min, max;

	options_count_positional(s, &min, &max);
	if (args->n_positional >= min)
		return 0;
	for (size_t i = 0; i < args->n_positional; i++)
		s += strcspn(s, " ") + 1;
	snprintf(error, OPTIONS_ERROR_MAX, "expected %.*s", (int)strcspn(s, " "), s);
	return -EINVAL;
}

const char *option_value(const struct ctl_args *args, const char *name)
{
	const struct ctl_option *o = find(args->command->options, name, strlen(name), 0);

	return o ? args->value[o - args->command->options] : NULL;
}
