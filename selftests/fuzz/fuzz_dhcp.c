/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is what a frame is read as what it may say, and do leases stay in their bounds, and the same as
 * text, whatever is sent and got? The first byte of each record says how long it is, and whose.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loader/machine/leases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_message(const struct dhcp_message *m)
{
	require(m->n <= SP_ADDRESSES_N && m->kind <= DHCP_REFUSES);
	require(m->kind != DHCP_GIVES || m->n > 0);
	require(m->kind != DHCP_ASKS || m->n <= 1);
	for (size_t i = 0; i < m->n; i++) {
		require(address_is_unicast(m->addresses[i].addr));
		for (size_t k = 0; k < i; k++)
			require(memcmp(m->addresses[i].addr, m->addresses[k].addr, 16) != 0);
	}
}

static void check_leases(const struct leases *l, uint64_t now)
{
	char text[SP_LEASES_MAX], again[SP_LEASES_MAX];
	struct leases copy;

	require(l->n <= SP_ADDRESSES_N);
	leases_format(l, now, 1000, text);
	require(leases_parse(text, now, 1000, &copy) == 0 && copy.n == l->n);
	leases_format(&copy, now, 1000, again);
	require(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
	struct leases_change change;
	struct leases l = {.n = 0};
	uint64_t now = 0;

	while (size >= 2) {
		size_t len = (size_t)(data[0] & 7) << 8 | data[1];
		bool sent = data[0] & 0x80;
		struct dhcp_message m;
		uint8_t *copy;

		now += (data[0] & 0x70) * 1000000ULL;
		data += 2;
		size -= 2;
		len = len < size ? len : size;
		copy = malloc(len ? len : 1); /* to the byte */
		if (!copy)
			return 0;
		memcpy(copy, data, len);
		if (dhcp_parse(copy, len, &m) == 0) {
			check_message(&m);
			if (sent)
				leases_sent(&l, &m, mac, now, &change);
			else
				leases_got(&l, &m, mac, now, &change);
		}
		free(copy);
		leases_expire(&l, now, &change);
		check_leases(&l, now);
		data += len;
		size -= len;
	}
	return 0;
}
