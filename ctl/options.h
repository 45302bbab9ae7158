/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line against the tables. Strict: an option is spelled out, given once, and takes a
 * value or does not; nothing is guessed from a prefix.
 */
#ifndef SALLYPORT_CTL_OPTIONS_H
#define SALLYPORT_CTL_OPTIONS_H

#include "ctl/ctl.h"

#define OPTIONS_ERROR_MAX 256

struct options_globals {
	const char *value[CTL_OPTIONS_MAX]; /* by place in the table of globals; flags: "" */
};

/*
 * Understand ARGV (argv[0] is skipped). Global options may stand anywhere. ret->command is NULL
 * where no command was given. -EINVAL: ERROR says what was read and what was expected; what was
 * understood until then stands in RET and GLOBALS all the same, so that --help can be answered.
 */
int options_parse(const struct ctl_command *commands, const struct ctl_option *globals_table,
		  int argc, char **argv, struct ctl_args *ret, struct options_globals *globals,
		  char error[OPTIONS_ERROR_MAX]);

/* Are all positional arguments there that the command needs? -EINVAL as above. */
int options_check_positional(const struct ctl_args *args, char error[OPTIONS_ERROR_MAX]);

/* The value of the option NAME of the command; flags: ""; NULL: it was not given. */
const char *option_value(const struct ctl_args *args, const char *name);

/* How many positional arguments ARGS ("USER [NAME]") names, and how many of them it needs. */
void options_count_positional(const char *args, size_t *ret_min, size_t *ret_max);

#endif
