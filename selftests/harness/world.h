/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small world for the tests of the dataplane: devices, sessions and entries that have a case for
 * each reason and each walk, described by tables that the reference model reads as well.
 *
 * - segment 1: sessions 101, 102 (VLAN mode), 103 (MAC mode); netns ports 11, 12; closed 14, small
 *   15
 * - segment 2: sessions 201 (VLAN mode), 203 (MAC mode); netns port 13: with addresses of segment 1
 * - segment 3: session 301 alone: its group frames have no listener
 * - segment 4: session 401, far over its rate
 * - segment 5: session 501 without any flood list
 * - segment 6: machines, and one of each kind that may ask for them: sessions 461 (VLAN mode), 463
 *   (MAC mode), netns port 61
 * - segment 7: a session and a machine with MAC and IP addresses of segment 6
 */
#ifndef SALLYPORT_SELFTESTS_WORLD_H
#define SALLYPORT_SELFTESTS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane.h"

enum world_dev {
	W_VLAN, /* VPN tap in VLAN mode */
	W_MAC,	/* VPN tap in MAC mode */
	W_NET1, /* netns, segment 1 */
	W_NET2, /* netns, segment 1 */
	W_NET3, /* netns, segment 2 */
	W_CLOSED,
	W_SMALL,    /* netns, segment 1, takes 100 bytes at the most */
	W_NET6,	    /* netns, segment 6 */
	W_PINNED,   /* machine 31: awake, its addresses pinned */
	W_FREE,	    /* machine 32: awake, its addresses not pinned */
	W_ASLEEP,   /* machine 33: asleep */
	W_BOOTING,  /* machine 34: awake, but answered for */
	W_ROUTER,   /* machine 35: a router and DHCP server, not pinned */
	W_FULL,	    /* machine 36: asleep, with no room for frames, pinned, and a router */
	W_FLOODER,  /* machine 37: far over its rate */
	W_OTHER,    /* machine 38, segment 7: pinned */
	W_STRANGER, /* a device that is no port */
	_W_DEVS,
};

/* Addresses by the names of the tables. */
enum world_mac {
	M_A1, /* sessions of segment 1 ... */
	M_A2,
	M_A3,
	M_N1, /* netns ports of segment 1 ... */
	M_N2,
	M_C1, /* behind the closed port */
	M_S1, /* behind the small port */
	M_B3, /* session 203 */
	M_L1, /* session 301 */
	M_P1, /* session 401 */
	M_Q1, /* session 501 */
	M_V6, /* session 461 */
	M_T6, /* session 463 */
	M_N6, /* netns port 61 */
	M_M1, /* machines: 31, and 38 in segment 7 */
	M_M2, /* 32 ... */
	M_M3,
	M_M4,
	M_M5,
	M_M6,
	M_M7,
	M_NOBODY,
	M_ZERO,
	M_BROADCAST,
	M_MULTICAST,  /* 33:33:00:00:00:01 */
	M_RESERVED,   /* 01:80:c2:00:00:00 */
	M_RESERVED_F, /* 01:80:c2:00:00:0f */
	M_NEARLY,     /* 01:80:c2:00:00:10: not reserved */
	_M_MACS,
};

extern const uint8_t world_mac[_M_MACS][SP_MAC_LEN];
extern const char *const world_dev_name[_W_DEVS];

#define WORLD_MAX_LEN 1514
#define WORLD_SMALL_LEN 100
#define WORLD_PORTS 512 /* more than any port number below */

struct world_port {
	enum world_dev dev;
	struct sp_port port;
};

/* A session or a workload: what it may send, and where what is for it goes. */
struct world_node {
	enum world_dev dev;
	uint16_t vid;
	enum world_mac mac;
	uint32_t segment, port;
	bool bound;    /* in `bindings` */
	uint8_t flags; /* of the destination */
	uint16_t max_len;
};

extern const struct world_port world_ports[];
extern const size_t world_n_ports;
extern const struct world_node world_nodes[];
extern const size_t world_n_nodes;
#define WORLD_NO_FLOOD 5 /* the segment that has no list */
#define WORLD_POLICED 401
#define WORLD_FLOODER 37
#define WORLD_SEGMENTS 7
#define WORLD_FIRST_SLOT 6 /* the first segment that has machines */
#define WORLD_FLOWS 16384  /* of each of them */

struct world_machine {
	enum world_dev dev;
	uint32_t port, segment;
	uint32_t flags; /* SP_M_* */
	uint32_t park_max;
	bool asleep;
};

/* An IP address of a machine that the daemon lists. */
struct world_address {
	uint32_t segment;
	const char *text;
	uint32_t port;
	enum world_mac mac;
};

extern const struct sp_timeouts world_timeouts; /* nf_conntrack's */

/* The slot of a segment; 0: it has none. */
uint32_t world_slot_of(uint32_t segment);

extern const struct world_machine world_machines[];
extern const size_t world_n_machines;
extern const struct world_address world_addresses[];
extern const size_t world_n_addresses;

struct world {
	struct dataplane *dp;
	uint32_t ifindex[_W_DEVS];
	int tap[_W_DEVS]; /* descriptors; -1 where the device is a veth */
	/* What the machines' entries should hold by now, by port number. */
	uint32_t parked[WORLD_PORTS], watch[WORLD_PORTS];
};

/* What world_open makes. */
struct world_options {
	/* Netns ports are veths into /run/netns/far, programs attached, pinned; machines' taps have
	 * a virtio header. */
	bool live;
	bool force_clsact;
};

/*
 * Needs net_isolate. Not live: every device is a tap that is up and that nothing is attached to:
 * for test runs of the programs. Prints what went wrong.
 */
int world_open(struct world *w, const struct world_options *o);
void world_close(struct world *w);

/* The flood list of SEGMENT as the world writes it; its length. */
size_t world_flood(const struct world *w, uint32_t segment, struct sp_dst ret[SP_FLOOD_MAX]);
/* The machine of a port number, or NULL. */
const struct world_machine *world_machine_of(uint32_t port);
bool world_is_machine(enum world_dev d);
/* Every machine's entry as it was at first. */
int world_reset_machines(struct world *w);
/* Ask for notices of these events (SP_WATCH_*). */
void world_watch(struct world *w, uint32_t port, uint32_t bits);
struct sp_dst world_dst(const struct world *w, const struct world_node *n);
int world_dev_of(const struct world *w, uint32_t ifindex);

#endif
