/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every command of `sallyport` gets, and what it returns. sallyport(8). */
#ifndef SALLYPORT_CTL_CTL_H
#define SALLYPORT_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes. Documented: scripts rely on them. */
enum ctl_code {
	CTL_OK = 0,
	CTL_FAILED = 1, /* the daemon refused or failed; doctor, store check: something is wrong */
	CTL_USAGE = 2,	/* the command line is wrong; nothing was asked */
	CTL_UNREACHABLE = 3, /* the daemon, or for store commands the database, did not answer */
};

/* The global options. */
struct ctl {
	bool json;
	bool quiet;
	const char *socket; /* NULL: $SALLYPORT_SOCKET, else the default */
	uint64_t timeout_us;
};

/* An option, as the help, the manual and the completion know it. */
struct ctl_option {
	const char *name;  /* without "--" */
	char letter;	   /* 0: none */
	const char *value; /* what stands for the value: FILE, N, ...; NULL: a flag */
	const char *help;
};

#define CTL_OPTIONS_MAX 24
#define CTL_POSITIONAL_MAX 3

struct ctl_command;

/* A command line that was understood: by options_parse. */
struct ctl_args {
	const struct ctl_command *command;
	const char *value[CTL_OPTIONS_MAX]; /* by place in command->options; flags: "" */
	const char *positional[CTL_POSITIONAL_MAX];
	size_t n_positional;
};

struct ctl_command {
	const char *group; /* "user" of "user add"; NULL: one word */
	const char *name;
	const char *args; /* positional: "USER NAME", optional ones last and in brackets */
	const char *help;
	const struct ctl_option *options; /* ended by name NULL; may be NULL */
	int (*run)(const struct ctl *ctl, const struct ctl_args *args); /* enum ctl_code */
};

/* Every command, by the order of the help; ended by name NULL. */
extern const struct ctl_command ctl_commands[];
/* Those that every command takes, before it or after it; ended by name NULL. */
extern const struct ctl_option ctl_globals[];

/* The whole program. */
int ctl_main(int argc, char **argv);

/* The commands. */
#define CTL_COMMAND(name) int name(const struct ctl *ctl, const struct ctl_args *args)
CTL_COMMAND(cmd_user_add);
CTL_COMMAND(cmd_user_passwd);
CTL_COMMAND(cmd_user_set);
CTL_COMMAND(cmd_user_disable);
CTL_COMMAND(cmd_user_enable);
CTL_COMMAND(cmd_user_delete);
CTL_COMMAND(cmd_user_list);
CTL_COMMAND(cmd_workload_add);
CTL_COMMAND(cmd_workload_remove);
CTL_COMMAND(cmd_workload_list);
CTL_COMMAND(cmd_machine_add);
CTL_COMMAND(cmd_machine_remove);
CTL_COMMAND(cmd_machine_list);
CTL_COMMAND(cmd_machine_show);
CTL_COMMAND(cmd_machine_policy);
CTL_COMMAND(cmd_machine_start);
CTL_COMMAND(cmd_machine_stop);
CTL_COMMAND(cmd_machine_discard);
CTL_COMMAND(cmd_machine_console);
CTL_COMMAND(cmd_flow_list);
CTL_COMMAND(cmd_flow_count);
CTL_COMMAND(cmd_flow_kill);
CTL_COMMAND(cmd_policy_show);
CTL_COMMAND(cmd_policy_set);
CTL_COMMAND(cmd_policy_edit);
CTL_COMMAND(cmd_policy_check);
CTL_COMMAND(cmd_policy_diff);
CTL_COMMAND(cmd_policy_test);
CTL_COMMAND(cmd_session_list);
CTL_COMMAND(cmd_session_kill);
CTL_COMMAND(cmd_status);
CTL_COMMAND(cmd_top);
CTL_COMMAND(cmd_monitor);
CTL_COMMAND(cmd_counters);
CTL_COMMAND(cmd_trace);
CTL_COMMAND(cmd_metrics);
CTL_COMMAND(cmd_doctor);
CTL_COMMAND(cmd_audit);
CTL_COMMAND(cmd_reload);
CTL_COMMAND(cmd_version);
CTL_COMMAND(cmd_store_init);
CTL_COMMAND(cmd_store_check);
CTL_COMMAND(cmd_store_migrate);
CTL_COMMAND(cmd_store_copy);
CTL_COMMAND(cmd_help);

#endif
