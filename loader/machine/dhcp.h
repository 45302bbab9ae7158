/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which addresses does a DHCP or DHCPv6 message ask for, give, or give back? RFC 2131, 2132, 4039;
 * RFC 8415. Frames as they were on the wire: nothing in them is believed that was not counted.
 */
#ifndef SALLYPORT_LOADER_MACHINE_DHCP_H
#define SALLYPORT_LOADER_MACHINE_DHCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/limits.h"

#define DHCP_FOR_EVER UINT32_MAX

enum dhcp_kind {
	DHCP_ASKS,    /* a client, for what an answer would give it */
	DHCP_RETURNS, /* a client: it does not use the addresses any more */
	DHCP_GIVES,   /* a server */
	DHCP_REFUSES, /* a server (DHCPNAK): the address that was asked for is not the client's */
};

struct dhcp_address {
	uint8_t addr[16]; /* network order, IPv4 as ::ffff:a.b.c.d */
	uint32_t seconds; /* GIVES: how long; DHCP_FOR_EVER; 0: not any more */
};

struct dhcp_message {
	enum dhcp_kind kind;
	bool v6;
	uint32_t xid;	   /* as in the message, 24 bits of DHCPv6 */
	uint8_t chaddr[6]; /* DHCP: whose message it is. DHCPv6 has none: zero */
	uint8_t server[4]; /* DHCP: the server identifier; zero: none was given */
	size_t n;
	/* ASKS: DHCP's alone, if one is asked for. Each a host's own; no two the same. */
	struct dhcp_address addresses[SP_ADDRESSES_N];
};

/*
 * FRAME, from its Ethernet header on, untagged. -ENOMSG: none of those messages (another packet,
 * fragments, one that asks for no address, or an answer that gives none). -EBADMSG: lengths that
 * are not true, or an option twice. -E2BIG: more addresses than SP_ADDRESSES_N.
 */
int dhcp_parse(const uint8_t *frame, size_t len, struct dhcp_message *ret);

#endif
