/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the command line to the command: globals, help, dispatch. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/help.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

/*
 * A password is hashed before the answer comes and the store may wait for a lock: longer than the
 * daemon's own longest wait, by default.
 */
#define DEFAULT_TIMEOUT_MS 15000

static const char *global(const struct options_globals *g, const char *name)
{
	for (size_t i = 0; ctl_globals[i].name; i++) {
		if (strcmp(ctl_globals[i].name, name) == 0)
			return g->value[i];
	}
	return NULL;
}

static int usage(const struct ctl_args *args, const char *message)
{
	const struct ctl_command *c = args->command;

	/* already escaped where it quotes */
	fprintf(stderr, "sallyport: %s", message);
	if (c)
		fprintf(stderr, "; see: sallyport help %s%s%s", c->group ? c->group : "",
			c->group ? " " : "", c->name);
	fputc('\n', stderr);
	return CTL_USAGE;
}

static int set_globals(const struct options_globals *g, struct ctl *ctl, char *error)
{
	const char *timeout = global(g, "timeout");
	uint64_t ms = DEFAULT_TIMEOUT_MS;

	ctl->json = global(g, "json") != NULL;
	ctl->quiet = global(g, "quiet") != NULL;
	ctl->socket = global(g, "socket");
	if (timeout && parse_seconds_ms(timeout, &ms) < 0) {
		_cleanup_free_
		char *safe = text_escape(timeout);

		snprintf(error, OPTIONS_ERROR_MAX,
			 "--timeout '%.64s': expected seconds, 0.1 to 3600", safe);
		return -1;
	}
	if (ctl->socket && !*ctl->socket) {
		snprintf(error, OPTIONS_ERROR_MAX, "--socket '': expected a path");
		return -1;
	}
	ctl->timeout_us = ms * 1000;
	return 0;
}

int ctl_main(int argc, char **argv)
{
	char error[OPTIONS_ERROR_MAX];
	struct options_globals globals;
	struct ctl_args args;
	struct ctl ctl = {0};
	int r;

	setlocale(LC_TIME, "");
	r = options_parse(ctl_commands, ctl_globals, argc, argv, &args, &globals, error);
	if (global(&globals, "help")) {
		help_print(stdout, args.command);
		return CTL_OK;
	}
	if (r < 0)
		return usage(&args, error);
	if (!args.command) {
		help_print(stderr, NULL);
		return CTL_USAGE;
	}
	if (set_globals(&globals, &ctl, error) < 0 || options_check_positional(&args, error) < 0)
		return usage(&args, error);
	r = args.command->run(&ctl, &args);
	/* what could not be written was not shown: a full disk is not success */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "sallyport: standard output: %m\n");
		return r == CTL_OK ? CTL_FAILED : r;
	}
	return r;
}
