/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What did OpenVPN tell this hook, and is it in the form that it must have? */
#include "hooks/env.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/mac.h"

const char *env_get(const char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; envp && *envp; envp++)
		if (**envp == *name && strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return *envp + len + 1;
	return NULL;
}

static int check_text(const char *s, size_t max)
{
	size_t len = strnlen(s, max);

	if (len == 0)
		return -EINVAL;
	if (len >= max)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return -EINVAL;
	return 0;
}

int env_text(const char *const *envp, const char *name, size_t max, const char **ret)
{
	const char *s = env_get(envp, name);
	int r;

	if (!s)
		return -ENOENT;
	r = check_text(s, max);
	if (r == 0)
		*ret = s;
	return r;
}

int env_number(const char *const *envp, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	const char *s = env_get(envp, name);
	int64_t n = 0;

	if (!s)
		return -ENOENT;
	if (s[0] == '\0' || strnlen(s, 19) >= 19) /* 18 digits always fit */
		return -EINVAL;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		n = n * 10 + (*s - '0');
	}
	if (n < min || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

int env_address(const char *const *envp, const char *name, const char *name6, const char **ret)
{
	uint8_t raw[sizeof(struct in6_addr)];
	const char *s = env_get(envp, name);
	int family = AF_INET;

	if (!s) {
		s = env_get(envp, name6);
		family = AF_INET6;
	}
	if (!s)
		return -ENOENT;
	if (inet_pton(family, s, raw) != 1)
		return -EINVAL;
	*ret = s;
	return 0;
}

int env_session(const char *const *envp, struct hook_session *ret, const char **ret_bad)
{
	struct hook_session s = {0};
	int64_t port = 0;
	int r;

	*ret_bad = "common_name";
	r = env_text(envp, "common_name", SP_CN_MAX, &s.common_name);
	if (r < 0)
		return r;
	*ret_bad = "username";
	r = env_text(envp, "username", SP_NAME_MAX, &s.username);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_bad = "trusted_ip";
	r = env_address(envp, "trusted_ip", "trusted_ip6", &s.trusted_ip);
	if (r < 0)
		return r;
	*ret_bad = "trusted_port";
	r = env_number(envp, "trusted_port", 0, UINT16_MAX, &port);
	if (r < 0)
		return r;
	*ret_bad = "time_unix";
	r = env_number(envp, "time_unix", 0, INT64_MAX, &s.time_unix);
	if (r < 0)
		return r;
	*ret_bad = "daemon_pid";
	r = env_number(envp, "daemon_pid", 1, INT32_MAX, &s.daemon_pid);
	if (r < 0)
		return r;
	s.trusted_port = (uint16_t)port;
	*ret = s;
	return 0;
}

int env_login(const char *const *envp, struct hook_login *login, const char **ret_bad)
{
	int64_t port = 0;
	int r;

	*ret_bad = "common_name";
	r = env_text(envp, "common_name", SP_CN_MAX, &login->common_name);
	if (r == -ENOENT)
		login->common_name = login->username;
	else if (r < 0)
		return r;
	*ret_bad = "untrusted_ip";
	login->untrusted_ip = NULL;
	r = env_address(envp, "untrusted_ip", "untrusted_ip6", &login->untrusted_ip);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_bad = "untrusted_port";
	r = env_number(envp, "untrusted_port", 0, UINT16_MAX, &port);
	if (r < 0 && r != -ENOENT)
		return r;
	login->untrusted_port = (uint16_t)port;
	*ret_bad = "daemon_pid";
	return env_number(envp, "daemon_pid", 1, INT32_MAX, &login->daemon_pid);
}

int hook_check_username(const char *name)
{
	return check_text(name, SP_NAME_MAX);
}

int hook_check_instance(const char *name)
{
	size_t len = strnlen(name, SP_INSTANCE_MAX);

	if (len >= SP_INSTANCE_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || name[0] == '-' || name[0] == '.')
		return -EINVAL;
	for (const char *p = name; *p != '\0'; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
		    !(*p >= '0' && *p <= '9') && *p != '.' && *p != '_' && *p != '-' && *p != '@')
			return -EINVAL;
	return 0;
}

int args_parse(int argc, const char *const *argv, struct hook_args *ret, const char **ret_bad)
{
	struct hook_args a = {0};
	int i;
	int r;

	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		const char **value = NULL;

		*ret_bad = argv[i];
		if (strcmp(argv[i], "--help") == 0)
			a.help = true;
		else if (strcmp(argv[i], "--version") == 0)
			a.version = true;
		else if (strcmp(argv[i], "--instance") == 0)
			value = &a.instance;
		else if (strcmp(argv[i], "--socket") == 0)
			value = &a.socket;
		else
			return -EINVAL;
		if (!value)
			continue;
		if (i + 1 >= argc)
			return -EINVAL;
		*value = argv[++i];
	}
	*ret_bad = "--instance";
	r = a.help || a.version ? 0 : a.instance ? hook_check_instance(a.instance) : -ENOENT;
	if (r < 0)
		return r;
	a.rest = argv + (i < argc ? i : argc);
	a.rest_count = i < argc ? argc - i : 0;
	*ret = a;
	return 0;
}

int args_learn(int count, const char *const *args, struct hook_learn *ret, const char **ret_bad)
{
	struct hook_learn l = {0};
	int r;

	*ret_bad = "operation";
	if (count < 1)
		return -ENOENT;
	if (strcmp(args[0], "add") == 0)
		l.event = HOOK_ADD;
	else if (strcmp(args[0], "update") == 0)
		l.event = HOOK_UPDATE;
	else if (strcmp(args[0], "delete") == 0)
		l.event = HOOK_DELETE;
	else
		return -EINVAL;
	*ret_bad = "number of arguments";
	if (count != (l.event == HOOK_DELETE ? 2 : 3))
		return -EINVAL;
	*ret_bad = "address";
	r = mac_parse_at_vid(args[1], l.mac, &l.vid);
	if (r < 0)
		return r;
	*ret = l;
	return 0;
}

int login_parse(char *text, size_t size, const char **ret_username, const char **ret_password)
{
	char *end;
	char *password;
	int r;

	text[size] = '\0';
	if (strlen(text) != size)
		return -EINVAL;
	end = strchr(text, '\n');
	if (!end)
		return -EINVAL;
	*end = '\0';
	password = end + 1;
	end = strchr(password, '\n');
	if (end && end[1] != '\0')
		return -EINVAL;
	if (end)
		*end = '\0';
	r = hook_check_username(text);
	if (r < 0)
		return r;
	/* A password may hold any other byte; an empty one is the daemon's to refuse. */
	if (strlen(password) >= SP_PASSWORD_MAX)
		return -ENAMETOOLONG;
	*ret_username = text;
	*ret_password = password;
	return 0;
}

int login_read(const char *path, char buf[HOOK_LOGIN_SIZE + 1], const char **ret_username,
	       const char **ret_password)
{
	_cleanup_close_
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	size_t size = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	for (;;) {
		ssize_t n = read(fd, buf + size, HOOK_LOGIN_SIZE + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > HOOK_LOGIN_SIZE)
			return -ENAMETOOLONG;
	}
	return login_parse(buf, size, ret_username, ret_password);
}
