/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is the terminal taken, drawn on and given back? */
#include "ctl/screen.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Other screen, cursor off, no wrapping; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static int put(const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDOUT_FILENO, text, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int screen_enter(struct screen *s)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &s->before) < 0)
		return -errno;
	t = s->before;
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &t) < 0)
		return -errno;
	s->on = true;
	return put(ENTER, strlen(ENTER));
}

void screen_leave(struct screen *s)
{
	if (!s->on)
		return;
	s->on = false;
	(void)put(LEAVE, strlen(LEAVE));
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
}

void screen_size(size_t *ret_columns, size_t *ret_lines)
{
	struct winsize w = {0};

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	*ret_columns = w.ws_col ? w.ws_col : 80;
	*ret_lines = w.ws_row ? w.ws_row : 24;
}

int screen_draw(const char *text, size_t size)
{
	int r = put("\033[H", 3);

	if (r == 0)
		r = put(text, size);
	return r ?: put("\033[J", 3);
}
