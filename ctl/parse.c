/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is this text the value that it should be? */
#include "ctl/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "sallyport/limits.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int parse_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!is_digit(*s) || (*s == '0' && s[1] != '\0'))
		return -EINVAL;
	for (; *s; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (!is_digit(*s) || n > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		n = n * 10 + digit;
	}
	if (n < min || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

int parse_seconds_ms(const char *s, uint64_t *ret_ms)
{
	const char *dot = strchr(s, '.');
	size_t n = dot ? (size_t)(dot - s) : strlen(s);
	uint64_t whole, ms = 0, unit = 100;
	char digits[8];

	if (n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (parse_number(digits, 0, PARSE_MS_MAX / 1000, &whole) < 0)
		return -EINVAL;
	if (dot && !is_digit(dot[1]))
		return -EINVAL;
	for (const char *d = dot ? dot + 1 : ""; *d; d++, unit /= 10) {
		if (!is_digit(*d) || unit == 0)
			return -EINVAL;
		ms += (uint64_t)(*d - '0') * unit;
	}
	ms += whole * 1000;
	if (ms < PARSE_MS_MIN || ms > PARSE_MS_MAX)
		return -EINVAL;
	*ret_ms = ms;
	return 0;
}

static bool is_host_v4(const struct in_addr *a, unsigned int prefix)
{
	uint32_t ip = ntohl(a->s_addr);
	uint32_t hosts = prefix >= 31 ? 0 : UINT32_MAX >> prefix;

	if ((ip >> 24) == 0 || (ip >> 24) == 127 || (ip >> 28) >= 0xe)
		return false;
	/* a network of one or two addresses has none to spare */
	return hosts == 0 || ((ip & hosts) != 0 && (ip & hosts) != hosts);
}

int parse_address(const char *s, bool v6)
{
	const char *slash = strchr(s, '/');
	char address[SP_ADDR_STRLEN];
	struct in6_addr a6;
	struct in_addr a4;
	uint64_t prefix;

	if (!slash || (size_t)(slash - s) >= sizeof(address))
		return -EINVAL;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = '\0';
	if (parse_number(slash + 1, 1, v6 ? 128 : 32, &prefix) < 0)
		return -EINVAL;
	if (!v6)
		return inet_pton(AF_INET, address, &a4) == 1 &&
				       is_host_v4(&a4, (unsigned int)prefix)
			       ? 0
			       : -EINVAL;
	if (inet_pton(AF_INET6, address, &a6) != 1 || IN6_IS_ADDR_MULTICAST(&a6) ||
	    IN6_IS_ADDR_UNSPECIFIED(&a6) || IN6_IS_ADDR_LOOPBACK(&a6) || IN6_IS_ADDR_V4MAPPED(&a6))
		return -EINVAL;
	return 0;
}

int parse_name(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n == 0 || n >= max || s[0] == '.' || s[0] == '-')
		return -EINVAL;
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-")]
		       ? -EINVAL
		       : 0;
}
