/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's IP addresses. */
#include "addresses.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

static bool is_v4(const uint8_t addr[16])
{
	return memcmp(addr, v4_mapped, sizeof(v4_mapped)) == 0;
}

bool address_is_unicast(const uint8_t addr[16])
{
	static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT, any = IN6ADDR_ANY_INIT;

	if (is_v4(addr)) /* RFC 1122, 3.2.1.3; 240/4 with the limited broadcast */
		return addr[12] != 0 && addr[12] != 127 && addr[12] < 224;
	return addr[0] != 0xff && memcmp(addr, &loopback, 16) != 0 && memcmp(addr, &any, 16) != 0;
}

const char *address_format(const uint8_t addr[16], char ret[INET6_ADDRSTRLEN])
{
	return is_v4(addr) ? inet_ntop(AF_INET, addr + 12, ret, INET6_ADDRSTRLEN)
			   : inet_ntop(AF_INET6, addr, ret, INET6_ADDRSTRLEN);
}

/* One word of N bytes. */
static bool parse_word(const char *word, size_t n, uint8_t ret[16])
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t addr[16];

	if (n >= sizeof(copy))
		return false;
	memcpy(copy, word, n);
	copy[n] = '\0';
	memcpy(addr, v4_mapped, sizeof(v4_mapped));
	if (inet_pton(AF_INET, copy, addr + 12) != 1 && inet_pton(AF_INET6, copy, addr) != 1)
		return false;
	if (!address_is_unicast(addr))
		return false;
	memcpy(ret, addr, 16);
	return true;
}

int addresses_parse(const char *text, struct addresses *ret, const char **ret_bad)
{
	static const char between[] = ", \t";
	struct addresses a = {0};

	for (const char *p = text + strspn(text, between); *p; p += strspn(p, between)) {
		size_t n = strcspn(p, between);
		uint8_t addr[16];
		int r = parse_word(p, n, addr) ? addresses_add(&a, addr) : -EINVAL;

		if (r < 0) {
			if (ret_bad)
				*ret_bad = p;
			return r;
		}
		p += n;
	}
	*ret = a;
	return 0;
}

void addresses_format(const struct addresses *a, char ret[SP_ADDRESSES_MAX])
{
	char text[INET6_ADDRSTRLEN];

	static_assert(SP_ADDRESSES_N * (INET6_ADDRSTRLEN + 1) <= SP_ADDRESSES_MAX,
		      "addresses do not fit their text");
	ret[0] = '\0';
	for (size_t i = 0; i < a->n; i++) {
		if (i)
			strcat(ret, " ");
		strcat(ret, address_format(a->v[i], text));
	}
}

bool addresses_have(const struct addresses *a, const uint8_t addr[16])
{
	for (size_t i = 0; i < a->n; i++)
		if (memcmp(a->v[i], addr, 16) == 0)
			return true;
	return false;
}

int addresses_add(struct addresses *a, const uint8_t addr[16])
{
	if (addresses_have(a, addr))
		return 0;
	if (a->n == SP_ADDRESSES_N)
		return -E2BIG;
	memcpy(a->v[a->n++], addr, 16);
	return 0;
}
