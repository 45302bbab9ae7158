/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does a hook program begin, complain and go on in the background? */
#include "hooks/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sallyport/paths.h"

void program_error(const char *what, const char *object, int error)
{
	fprintf(stderr, "%s: %s", program_invocation_short_name, what);
	if (object) {
		fputs(" '", stderr);
		/* It may be a client's text, and it goes into a log. */
		for (const char *p = object; *p != '\0' && p < object + 64; p++)
			fputc(*p >= ' ' && *p < 0x7f ? *p : '?', stderr);
		fputc('\'', stderr);
	}
	if (error)
		fprintf(stderr, ": %s", strerror(-error));
	fputc('\n', stderr);
}

bool program_start(int argc, char **argv, const char *appended, int failure, struct hook_args *ret,
		   int *ret_code)
{
	const char *bad = "";
	int r = args_parse(argc, (const char *const *)argv, ret, &bad);

	*ret_code = failure;
	if (r < 0) {
		program_error("invalid or missing option", bad, r);
		return false;
	}
	if (ret->version)
		printf("%s %s\n", program_invocation_short_name, SP_VERSION);
	else if (ret->help)
		printf("usage: %s --instance NAME [--socket PATH] %s\n"
		       "Called by OpenVPN. The socket is %s unless told otherwise here or in "
		       "$%s.\n",
		       program_invocation_short_name, appended, SP_CONTROL_SOCKET, SP_ENV_SOCKET);
	else
		return true;
	*ret_code = 0;
	return false;
}

/* Everything above stdio but KEEP_FD. */
static void close_others(int keep_fd)
{
	if (keep_fd <= STDERR_FILENO) {
		(void)close_range(STDERR_FILENO + 1, ~0U, 0);
		return;
	}
	if (keep_fd > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned int)keep_fd - 1, 0);
	(void)close_range((unsigned int)keep_fd + 1, ~0U, 0);
}

/* A pipe of OpenVPN's that stayed open here would keep it waiting. */
static bool detach_stdio(int keep_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool ok = true;

	if (null <
	    0) /* a chroot without /dev: closed is as good, nothing here opens a file for I/O */
		return false;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		ok = ok && dup2(null, fd) == fd;
	close_others(keep_fd);
	return ok;
}

int program_background(int keep_fd)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid > 0) {
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				return -errno;
		return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 1 : -EAGAIN;
	}
	/* Twice, so that the one that goes on is nobody's child and leaves no zombie. */
	setsid();
	pid = fork();
	if (pid != 0)
		_exit(pid < 0);
	if (!detach_stdio(keep_fd))
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			close(fd);
	return 0;
}
