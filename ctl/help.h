/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The help, made of the tables of commands.c. */
#ifndef SALLYPORT_CTL_HELP_H
#define SALLYPORT_CTL_HELP_H

#include <stdio.h>

#include "ctl/ctl.h"

/* Of one command; NULL: the list of all. */
void help_print(FILE *f, const struct ctl_command *command);

#endif
