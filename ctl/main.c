/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where does the program begin? The rest is a library, so that tests can call it. */
#include "ctl/ctl.h"

int main(int argc, char **argv)
{
	return ctl_main(argc, argv);
}
