/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A terminal that is drawn on, and given back as it was. */
#ifndef SALLYPORT_CTL_SCREEN_H
#define SALLYPORT_CTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct screen {
	bool on;
	struct termios before;
};

/* Take the terminal on standard input and output: other screen, no cursor, keys as they come. */
int screen_enter(struct screen *s);
/* Give it back. May be called at any time, more than once. */
void screen_leave(struct screen *s);

/* Its size now; 80 by 24 where it does not tell. */
void screen_size(size_t *ret_columns, size_t *ret_lines);

/* Put TEXT there, whose lines end in SCREEN_EOL, from the top; nothing of the last one remains. */
int screen_draw(const char *text, size_t size);

#define SCREEN_EOL "\033[K\r\n"

#endif
