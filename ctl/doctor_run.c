/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does another program say, within a time and a size? No shell. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "lib/cleanup.h"
#include "lib/client.h"

/* Nothing of ours: what is found does not depend on who asks. */
static const char *const run_environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
					      NULL};

static int spawn(const char *path, const char *const *argv, int out, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	if (!r)
		r = posix_spawn(ret, path, &actions, NULL, (char *const *)argv,
				(char *const *)run_environment);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Until the end of the output; what does not fit is read and forgotten. -ETIMEDOUT. */
static int collect(int fd, char *buf, size_t size, uint64_t deadline_us)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = client_now_us();
		char spill[512];
		bool full = n + 1 >= size;
		ssize_t got;
		int r;

		buf[n] = '\0';
		if (now >= deadline_us)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)((deadline_us - now) / 1000) + 1);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0)
			continue;
		got = full ? read(fd, spill, sizeof(spill)) : read(fd, buf + n, size - 1 - n);
		if (got == 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0 && !full)
			n += (size_t)got;
	}
}

int doctor_run(const char *path, const char *const *argv, char *buf, size_t size, int timeout_ms)
{
	_cleanup_close_
	int out = -1;
	_cleanup_close_
	int in = -1;
	int pipefd[2], r, status;
	pid_t pid;

	buf[0] = '\0';
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	out = pipefd[0];
	in = pipefd[1];
	r = spawn(path, argv, in, &pid);
	if (r < 0)
		return r;
	close(TAKE_FD(in));
	r = collect(out, buf, size, client_now_us() + (uint64_t)timeout_ms * 1000);
	if (r < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (r < 0)
		return r;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}
