/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does an answer get into OpenVPN's files, whole and in order? */
#include "hooks/control_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"

static int open_file(const char *path, int flags)
{
	_cleanup_close_
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | flags);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return TAKE_FD(fd);
}

int control_file_text(const char *path, const char *text)
{
	_cleanup_close_
	int fd = open_file(path, O_TRUNC);
	size_t size = strlen(text);

	if (fd < 0)
		return fd;
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

int control_file_verdict(const char *path, char verdict)
{
	_cleanup_close_
	int fd = open_file(path, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = pwrite(fd, &verdict, 1, 0);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : n < 0 ? -errno : -EIO;
}

int control_file_answer(const char *text_path, const char *text, const char *verdict_path,
			char verdict)
{
	int r = text ? control_file_text(text_path, text) : 0;
	int s;

	/* I4: without its text an acceptance would be a session without its VLAN id. */
	if (r < 0 && verdict == '1')
		verdict = '0';
	s = control_file_verdict(verdict_path, verdict);
	return r < 0 ? r : s;
}

bool control_file_wanted(const char *path)
{
	return access(path, F_OK) == 0;
}
