/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which hosts does a list name? "db1, db2:3307, [fd00::1]:3306" */
#include <errno.h>
#include <string.h>

#include "store.h"

static bool is_name(const char *s, size_t n, const char *besides)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.";

	for (size_t i = 0; i < n; i++)
		if (!strchr(letters, s[i]) && !strchr(besides, s[i]))
			return false;
	return n > 0 && s[0] != '-' && n < STORE_HOST_MAX;
}

/* ":1" to ":65535", all of N bytes; none: MySQL's own. */
static bool parse_port(const char *s, size_t n, unsigned int *ret)
{
	unsigned int port = 0;

	*ret = STORE_MYSQL_PORT;
	if (n == 0)
		return true;
	if (s[0] != ':' || n < 2 || n > 6)
		return false;
	for (size_t i = 1; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		port = port * 10 + (unsigned int)(s[i] - '0');
	}
	*ret = port;
	return port > 0 && port < 65536;
}

int store_host_next(const char **cursor, char ret_host[STORE_HOST_MAX], unsigned int *ret_port)
{
	const char *s = *cursor + strspn(*cursor, ", \t");
	size_t n = strcspn(s, ", \t"), len;
	const char *name = s, *rest;
	unsigned int port;

	if (n == 0)
		return 0;
	if (s[0] == '[') {
		const char *close = memchr(s, ']', n);

		if (!close)
			return -EINVAL;
		name = s + 1;
		len = (size_t)(close - name);
		rest = close + 1;
	} else {
		const char *colon = memchr(s, ':', n);

		len = colon ? (size_t)(colon - s) : n;
		rest = s + len;
	}
	if (!is_name(name, len, s[0] == '[' ? ":%_" : "_") ||
	    !parse_port(rest, (size_t)(s + n - rest), &port))
		return -EINVAL;
	memcpy(ret_host, name, len);
	ret_host[len] = '\0';
	*ret_port = port;
	*cursor = s + n;
	return 1;
}
