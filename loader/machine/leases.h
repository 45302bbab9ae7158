/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which addresses has a machine leased, and until when? Told by the DHCP messages that it sends and
 * gets; no clock, no map, no device is in here.
 *
 * An answer is believed if it answers what the machine asked: same transaction, of the server that
 * it named if it named one, in DHCP with its MAC as the client's, and not long ago. That it came
 * from where a server may be, and to the machine's port, is what the programs have seen to.
 *
 * A lease runs while the machine is paused or saved, as the server's clock does: who wakes up later
 * than that has to ask again.
 */
#ifndef SALLYPORT_LOADER_MACHINE_LEASES_H
#define SALLYPORT_LOADER_MACHINE_LEASES_H

#include "addresses.h"
#include "dhcp.h"

#define LEASES_ASKED 4			   /* questions that are open at once: the last ones */
#define LEASES_ASKED_US (180 * 1000000ULL) /* an answer to an older one is none */
#define LEASE_FOR_EVER UINT64_MAX

struct lease_entry {
	uint8_t addr[16];
	uint64_t until_us; /* LEASE_FOR_EVER */
};

struct lease_question {
	bool open, v6, has_addr;
	uint32_t xid;
	uint8_t server[4], addr[16]; /* zero: any */
	uint64_t when_us;
};

struct leases {
	size_t n;
	struct lease_entry v[SP_ADDRESSES_N];
	struct lease_question asked[LEASES_ASKED];
	unsigned int next; /* the oldest question */
};

/* What became of a message. */
struct leases_change {
	struct addresses added, removed;
	bool renewed; /* one that is there lasts for another time */
	bool full;    /* one more was given than can be */
};

/* NOW_US: of a clock that runs while the host sleeps. The machine, with MAC, sent MSG. */
void leases_sent(struct leases *l, const struct dhcp_message *msg, const uint8_t mac[6],
		 uint64_t now_us, struct leases_change *ret);
/* It got MSG. -ENOENT: it had not asked; -EPERM: not of the server, or not for it. */
int leases_got(struct leases *l, const struct dhcp_message *msg, const uint8_t mac[6],
	       uint64_t now_us, struct leases_change *ret);
/* Take out what has run out. */
void leases_expire(struct leases *l, uint64_t now_us, struct leases_change *ret);
/* Take one out: false where it is not there. */
bool leases_remove(struct leases *l, const uint8_t addr[16]);
/* When the next one runs out; LEASE_FOR_EVER. */
uint64_t leases_next_us(const struct leases *l);

/*
 * As the store has them: "10.8.0.7@1764171646 fd00::7@0": seconds since the epoch, 0: for ever. Now
 * is NOW_US, and REAL_S since the epoch. -EINVAL.
 */
int leases_parse(const char *text, uint64_t now_us, int64_t real_s, struct leases *ret);
void leases_format(const struct leases *l, uint64_t now_us, int64_t real_s,
		   char ret[SP_LEASES_MAX]);

#endif
