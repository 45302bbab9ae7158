/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DHCP and DHCPv6 messages as tests write them, whole frames, without a look at who reads them. */
#ifndef SALLYPORT_SELFTESTS_DHCPMSG_H
#define SALLYPORT_SELFTESTS_DHCPMSG_H

#include <stddef.h>
#include <stdint.h>

#define DHCPMSG_MAX 1514

struct dhcpmsg {
	uint8_t frame[DHCPMSG_MAX];
	size_t len;
};

/*
 * A message of TYPE (RFC 2132, 9.6) with MAC as the client's: to a server, or from one where TYPE
 * is a server's. Addresses as "10.8.0.7", or NULL. No options but the type: they are added behind.
 */
void dhcpmsg_v4(struct dhcpmsg *m, uint8_t type, uint32_t xid, const uint8_t mac[6],
		const char *ciaddr, const char *yiaddr);
/* An option of N bytes; of DHCP, to be ended by dhcpmsg_option(m, 255, NULL, 0). */
void dhcpmsg_option(struct dhcpmsg *m, uint8_t code, const void *value, size_t n);
void dhcpmsg_option_addr(struct dhcpmsg *m, uint8_t code, const char *addr);
void dhcpmsg_option_u32(struct dhcpmsg *m, uint8_t code, uint32_t value);

/* TYPE: RFC 8415, 7.3. */
void dhcpmsg_v6(struct dhcpmsg *m, uint8_t type, uint32_t xid);
void dhcpmsg_option6(struct dhcpmsg *m, uint16_t code, const void *value, size_t n);
/* IA_NA with one address (NULL: none), its valid lifetime, and the IA's status. */
void dhcpmsg_ia(struct dhcpmsg *m, const char *addr, uint32_t valid, uint16_t status);

#endif
