/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *s, in_port_t *ret)
{
	unsigned long n;
	char *end;

	if (s[0] < '1' || s[0] > '9')
		return false;
	n = strtoul(s, &end, 10);
	if (*end || n > UINT16_MAX)
		return false;
	*ret = htons((uint16_t)n);
	return true;
}

bool loopback_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "[::1]:", 6) == 0) {
		memcpy(ret, &in6, sizeof(in6));
		*ret_len = sizeof(in6);
		return parse_port(text + 6, &((struct sockaddr_in6 *)ret)->sin6_port);
	}
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1 || ntohl(in.sin_addr.s_addr) >> 24 != 127 ||
	    !parse_port(colon + 1, &in.sin_port))
		return false;
	memcpy(ret, &in, sizeof(in));
	*ret_len = sizeof(in);
	return true;
}
