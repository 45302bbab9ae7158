/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the BPF programs and user space share: every map's key and value, and nothing else.
 * This is the only place where a layout is written. Any change of a size, an offset or a meaning
 * needs a new SP_ABI_VERSION and an upgrade step in loader/dataplane.
 *
 * Integers are in host byte order unless the type says __be. MAC addresses are six bytes as on
 * the wire. Padding is explicit and zero: a key is compared byte by byte.
 */
#ifndef SALLYPORT_ABI_H
#define SALLYPORT_ABI_H

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <assert.h>
#include <linux/types.h>
#endif

#include "sallyport/reasons.h"

#define SP_ABI_VERSION 1

#define SP_MAC_LEN 6

/*
 * A port number ("port" in every struct below) is dense, handed out by the daemon, at most the
 * size of `counters`. Every device and every session has one of its own: the device's counts
 * what belongs to no session. 0 is never handed out.
 */

/* What is attached. Stable numbers: they are in pinned maps. */
enum sp_port_kind {
	SP_PORT_VPN = 1,     /* an OpenVPN instance's tap, or a session on it */
	SP_PORT_NETNS = 2,   /* the host end of a veth into a namespace */
	SP_PORT_MACHINE = 3, /* a virtual machine's tap */
	SP_PORT_UPLINK = 4,  /* a device to a LAN */
	SP_PORT_TUNNEL = 5,  /* VXLAN to a peer host */
};

/* sp_port.flags, sp_dst.flags */
#define SP_F_VLAN_MODE 0x01 /* vpn: the VLAN id names the session; else the source MAC does */
/*
 * Being made or torn down. In a destination: nothing goes there. In a port: what is not bound is
 * dropped as port-down; to silence what is, remove its binding (the fast path looks at that alone).
 */
#define SP_F_CLOSED 0x02
/*
 * In a destination, a machine that nobody runs at the moment: ARP and neighbor solicitations for it
 * are answered in its name, unicast frames are parked (`notices`), group frames pass it by.
 */
#define SP_F_ASLEEP 0x04

/* `ports`: hash, ifindex (__u32) -> what this device is. */
struct sp_port {
	__u32 port;    /* the device's own port number */
	__u32 segment; /* netns, machine: its segment; vpn: 0, sessions name it */
	__u8 kind;     /* enum sp_port_kind */
	__u8 flags;    /* SP_F_* */
	__u16 max_len; /* longest frame it takes, Ethernet header included, tag not */
	__u32 pad;
};

/* `vids`: hash, VLAN mode only: which session a tap's VLAN id belongs to. */
struct sp_vid_key {
	__u32 ifindex;
	__u16 vid; /* 12 bits */
	__u16 pad;
};

struct sp_vid {
	__u32 segment;
	__u32 port;	  /* the session's port number */
	__u64 generation; /* of the session: never reused */
};

/* `bindings`: hash: (device, VLAN id, source MAC) -> segment and port. I1 is a miss here. */
struct sp_bind_key {
	__u32 ifindex;
	__u16 vid; /* 0 where the port takes no tags */
	__u8 mac[SP_MAC_LEN];
};

struct sp_bind {
	__u32 segment;
	__u32 port; /* the session's, workload's or machine's port number */
	__u64 generation;
};

/* Where a frame leaves; the value of `fdb`, and an entry of `flood`. */
struct sp_dst {
	__u32 ifindex;
	__u32 port;
	__u16 vid;     /* pushed on the way out; 0: none */
	__u16 max_len; /* as in sp_port */
	__u8 kind;
	__u8 flags;
	/*
	 * flood: the unicast address that a group frame is given on a tap in MAC mode (I3), zero
	 * elsewhere. fdb: zero.
	 */
	__u8 mac[SP_MAC_LEN];
};

/* `fdb`: hash: (segment, destination MAC) -> port. Written by the daemon only. */
struct sp_fdb_key {
	__u32 segment;
	__u8 mac[SP_MAC_LEN];
	__u16 pad;
};

/* `flood`: hash, segment (__u32) -> where its group frames go. The source's own port is skipped. */
#define SP_FLOOD_MAX 64

struct sp_flood {
	__u32 count; /* at most SP_FLOOD_MAX */
	__u32 pad;
	struct sp_dst dst[SP_FLOOD_MAX];
};

/*
 * `police`: array by port number: two token buckets in virtual-scheduling form. A bucket of burst B
 * at rate R lets a frame pass while its schedule is at most B/R ahead of the clock. Rate 0: no
 * limit.
 */
struct sp_police {
	__u64 bytes_per_s;
	__u64 bytes_burst_ns; /* burst / rate */
	__u64 frames_per_s;
	__u64 frames_burst_ns;
	/* Kernel's; user space writes zero, a full bucket: when the schedule is even
	 * (bpf_ktime_get_ns). */
	__u64 bytes_next_ns;
	__u64 frames_next_ns;
};

/*
 * `machines`: mmapable array by port number, of machine ports only. User space writes `flags`,
 * `park_max`, `slot` and the clock, and sets bits of `watch`; the rest is the kernel's. Each field
 * is changed by itself, atomically where both sides write it.
 *
 * A machine's clock is CLOCK_MONOTONIC less `clock_off_ns`, and stands still at `frozen_ns`, unless
 * that is 0, while the machine is paused or saved.
 */
struct sp_machine {
	__u64 active_ns;  /* last unicast frame from it or to it, CLOCK_MONOTONIC; coarse */
	__u64 generation; /* of the machine: user space's, to tell a reused port number */
	__u32 watch;	  /* SP_WATCH_*: the kernel clears the bit and sends one notice */
	__u32 flags;	  /* SP_M_* */
	__u32 parked;	  /* frames sent to `notices` since user space set it to 0 */
	__u32 park_max;	  /* above, what should be parked is dropped (park-full) */
	__u32 slot;	  /* of its segment: dense, among segments that have machines */
	__u32 pad;
	__u64 clock_off_ns;
	__u64 frozen_ns; /* in the machine's own time */
	__u64 reserved;
};

#define SP_WATCH_TO 0x1	     /* the first unicast frame that is redirected to it */
#define SP_WATCH_FROM 0x2    /* the first frame that it sends and that is forwarded */
#define SP_WATCH_ADDRESS 0x4 /* the first ARP or ND message with an unknown address for it */
#define SP_WATCH_ANSWER 0x8  /* the first unicast frame that it sends after SP_WATCH_TO came true  \
			      */

/* sp_machine.flags */
#define SP_M_PROXY 0x1	/* ARP and ND are answered for it: asleep, or not seen awake yet */
#define SP_M_PINNED 0x2 /* it sends with the addresses in `addresses` only (I6) */
/*
 * It may advertise itself as a router, and forward: packets' sources are not checked, those of ARP
 * and ND messages are all the same.
 */
#define SP_M_ROUTER 0x4
#define SP_M_DHCP 0x8 /* it may answer DHCP */

/*
 * `addresses`: hash: (segment, IP address) -> the machine that has it. Written by the daemon only.
 */
struct sp_address_key {
	__u32 segment;
	__u8 addr[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d; network order */
};

struct sp_address {
	__u32 port;
	__u8 mac[SP_MAC_LEN];
	__u16 pad;
};

/* What a notice tells. */
enum sp_notice_kind {
	SP_NOTICE_PARKED = 1,  /* a frame for a sleeping machine, whole, in `data` */
	SP_NOTICE_TO = 2,      /* SP_WATCH_TO came true */
	SP_NOTICE_FROM = 3,    /* SP_WATCH_FROM came true */
	SP_NOTICE_ADDRESS = 4, /* SP_WATCH_ADDRESS came true: it has `addr`, which nobody listed */
	SP_NOTICE_ANSWER = 5,  /* SP_WATCH_ANSWER came true */
};

/*
 * `notices`: ring buffer: what the daemon must know at once, each at most once for each time that
 * it was asked for. A record ends behind the head, except SP_NOTICE_PARKED.
 */
#define SP_NOTICES_SIZE (1 << 20)
#define SP_PARK_LEN 1536 /* the longest frame that is parked */

struct sp_notice {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 kind;    /* enum sp_notice_kind */
	__u32 port;    /* the machine's */
	__u32 segment;
	__u32 len; /* of the frame */
	__u8 addr[16];
	/* PARKED: where it came from. */
	__u32 from_port;
	__u32 pad;
};

struct sp_parked {
	struct sp_notice head;
	__u8 data[SP_PARK_LEN]; /* head.len bytes of it, from the Ethernet header on, untagged */
};

/* `counters`: per-CPU array by port number. */
struct sp_counter {
	__u64 rx_frames; /* came in by this port and were forwarded */
	__u64 rx_bytes;
	__u64 tx_frames; /* went out by this port (redirected to it) */
	__u64 tx_bytes;
	__u64 drops; /* came in by this port and were dropped, or were turned away at its egress */
	__u64 drop_bytes;
};

/* `reasons`: per-CPU array by enum sp_reason, SP_REASON_SLOTS entries. */
struct sp_reason_count {
	__u64 frames;
	__u64 bytes;
	__u64 sampled; /* of them, how many went to `events` */
	__u64 next_ns; /* kernel's: no sample of this reason on this CPU before then */
};

/* Which program dropped. */
enum sp_hook { SP_HOOK_GUARD = 1, SP_HOOK_STEER = 2, SP_HOOK_EGRESS = 3 };

/* `events`: ring buffer: a sample of the frames that were dropped. */
#define SP_EVENT_SNAP 128
#define SP_EVENTS_SIZE (1 << 20) /* bytes: a power of two, whole pages */

struct sp_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 ifindex;
	__u32 port;    /* 0 where none was found */
	__u32 segment; /* 0 where none was found */
	__u32 len;     /* of the frame, outer tag not counted */
	__u16 vid;
	__u16 caplen; /* bytes of data that are valid, at most SP_EVENT_SNAP */
	__u8 reason;  /* enum sp_reason */
	__u8 hook;    /* enum sp_hook */
	__u16 pad;
	__u8 data[SP_EVENT_SNAP]; /* the frame from its Ethernet header on, as the program saw it */
};

/*
 * `config`: array of one. `mark` is drawn once when the map is made and lives as long as the
 * pins: programs of the old and of the new version agree on it while links are updated (I5).
 */
struct sp_config {
	__u32 abi_version;
	__u32 mark;	 /* skb mark of our own redirects; the egress guard passes no other */
	__u64 sample_ns; /* least time between two samples of one reason on one CPU */
	__u32 sampling;	 /* 0: send no events */
	__u32 pad;
};

#ifndef __bpf__
static_assert(_SP_R_MAX <= SP_REASON_SLOTS, "reasons outgrew their map");
static_assert(sizeof(struct sp_port) == 16, "sp_port");
static_assert(sizeof(struct sp_vid_key) == 8, "sp_vid_key");
static_assert(sizeof(struct sp_vid) == 16, "sp_vid");
static_assert(sizeof(struct sp_bind_key) == 12, "sp_bind_key");
static_assert(sizeof(struct sp_bind) == 16, "sp_bind");
static_assert(sizeof(struct sp_dst) == 20, "sp_dst");
static_assert(sizeof(struct sp_fdb_key) == 12, "sp_fdb_key");
static_assert(sizeof(struct sp_flood) == 8 + 20 * SP_FLOOD_MAX, "sp_flood");
static_assert(sizeof(struct sp_police) == 48, "sp_police");
static_assert(sizeof(struct sp_machine) == 64, "sp_machine");
static_assert(sizeof(struct sp_address_key) == 20, "sp_address_key");
static_assert(sizeof(struct sp_address) == 12, "sp_address");
static_assert(sizeof(struct sp_notice) == 48, "sp_notice");
static_assert(sizeof(struct sp_parked) == 48 + SP_PARK_LEN, "sp_parked");
static_assert(sizeof(struct sp_counter) == 48, "sp_counter");
static_assert(sizeof(struct sp_reason_count) == 32, "sp_reason_count");
static_assert(sizeof(struct sp_event) == 32 + SP_EVENT_SNAP, "sp_event");
static_assert(sizeof(struct sp_config) == 24, "sp_config");
#endif

#endif
