/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is the new password, and who else can see it? Nobody: it is wiped wherever it has been. */
#include "ctl/password.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cleanup.h"

int password_finish(char *buf, size_t size)
{
	if (size > 0 && buf[size - 1] == '\n')
		size--;
	if (size > 0 && buf[size - 1] == '\r')
		size--;
	if (size == 0 || memchr(buf, '\0', size) || memchr(buf, '\n', size))
		return -EINVAL;
	if (size >= SP_PASSWORD_MAX)
		return -E2BIG;
	buf[size] = '\0';
	return 0;
}

/* All that FD gives, or all up to the first line end. One byte more than fits tells too long. */
static int read_all(int fd, bool line, char *buf, size_t room, size_t *ret_size)
{
	size_t size = 0;

	while (size < room) {
		ssize_t n = read(fd, buf + size, line ? 1 : room - size);

		if (n < 0 && errno == EINTR && !line)
			continue; /* at a terminal a signal is the answer */
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (line && buf[size - 1] == '\n')
			break;
	}
	*ret_size = size;
	return 0;
}

static int read_from(int fd, bool line, char ret[SP_PASSWORD_MAX], const char **ret_why)
{
	char buf[SP_PASSWORD_MAX + 3]; /* with a line end of two */
	size_t size = 0;
	int r;

	r = read_all(fd, line, buf, sizeof(buf) - 1, &size);
	if (r < 0) {
		*ret_why = strerror(-r);
	} else {
		r = password_finish(buf, size);
		if (r == 0)
			memcpy(ret, buf, strlen(buf) + 1);
		else if (r == -E2BIG)
			*ret_why = "a password has at most 511 bytes";
		else
			*ret_why = "expected a password of one line that is not empty";
	}
	explicit_bzero(buf, sizeof(buf));
	return r;
}

static volatile sig_atomic_t ask_signal;

static void on_signal(int signal)
{
	ask_signal = signal;
}

static const int ask_signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP};

/* Ask once, showing nothing. A signal ends the question, and acts when the terminal is back. */
static int ask(int tty, const char *prompt, char ret[SP_PASSWORD_MAX], const char **ret_why)
{
	struct sigaction old[SP_ARRAY_SIZE(ask_signals)], act = {.sa_handler = on_signal};
	struct termios before, silent;
	int r;

	if (tcgetattr(tty, &before) < 0)
		return -errno;
	ask_signal = 0;
	for (size_t i = 0; i < SP_ARRAY_SIZE(ask_signals); i++)
		sigaction(ask_signals[i], &act, &old[i]);
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(tty, TCSAFLUSH, &silent);
	dprintf(tty, "%s", prompt);
	r = read_from(tty, true, ret, ret_why);
	dprintf(tty, "\n");
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	for (size_t i = 0; i < SP_ARRAY_SIZE(ask_signals); i++)
		sigaction(ask_signals[i], &old[i], NULL);
	if (ask_signal)
		raise(ask_signal);
	return r;
}

static int ask_twice(char ret[SP_PASSWORD_MAX], const char **ret_why)
{
	_cleanup_close_
	int tty = isatty(STDIN_FILENO) ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;
	char again[SP_PASSWORD_MAX] = "";
	int r;

	if (tty < 0) {
		*ret_why =
			"there is no terminal to ask at: use --password-file or --password-stdin";
		return -ENOTTY;
	}
	r = ask(tty, "Password: ", ret, ret_why);
	if (r == 0)
		r = ask(tty, "The same again: ", again, ret_why);
	if (r == 0 && strcmp(ret, again) != 0) {
		*ret_why = "the two are not the same";
		r = -EINVAL;
	}
	explicit_bzero(again, sizeof(again));
	return r;
}

int password_read(const char *file, bool from_stdin, char ret[SP_PASSWORD_MAX],
		  const char **ret_why)
{
	_cleanup_close_
	int fd = -1;

	*ret_why = "";
	if (from_stdin)
		return read_from(STDIN_FILENO, false, ret, ret_why);
	if (!file)
		return ask_twice(ret, ret_why);
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		int r = -errno;

		*ret_why = strerror(-r);
		return r;
	}
	return read_from(fd, false, ret, ret_why);
}
