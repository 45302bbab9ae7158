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
#include <stddef.h>
#endif

#include "sallyport/limits.h"
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
 * limit. A user whose ports have a rate together has a number, and an entry, for it alone.
 */
struct sp_police {
	__u64 bytes_per_s;
	__u64 bytes_burst_ns; /* burst / rate */
	__u32 frames_per_s;
	__u32 user; /* whose entry is asked as well; 0: none. In that one: 0 */
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
	__u32 slot;	  /* of its segment, in `slots`; 0: none, and nothing new goes on */
	__u32 pad;
	__u64 clock_off_ns;
	__u64 frozen_ns; /* in the machine's own time */
	__u64 thawed_ns; /* CLOCK_MONOTONIC: when its clock last began to go again; 0: never */
};

#define SP_WATCH_TO 0x1	     /* the first unicast frame that is redirected to it */
#define SP_WATCH_FROM 0x2    /* the first frame that it sends and that is forwarded */
#define SP_WATCH_ADDRESS 0x4 /* the first ARP or ND message with an unknown address for it */
#define SP_WATCH_ANSWER 0x8  /* the first unicast frame that it sends after SP_WATCH_TO came */

/* sp_machine.flags */
#define SP_M_PROXY 0x1	/* ARP and ND are answered for it: asleep, or not seen awake yet */
#define SP_M_PINNED 0x2 /* it sends with the addresses in `addresses` only (I6) */
/*
 * It may advertise itself as a router, and forward: packets' sources are not checked, those of ARP
 * and ND messages are all the same.
 */
#define SP_M_ROUTER 0x4
#define SP_M_DHCP 0x8 /* it may answer DHCP */
#define SP_M_LEASE                                                                                 \
	0x10 /* its addresses are learned from DHCP: what it asks and is answered goes to          \
		`notices` */

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
	/*
	 * Of a machine with SP_M_LEASE, whole, in `data`: DHCP or DHCPv6 that it sends to a server;
	 * and what may be the answer, from a port that may be a server's.
	 */
	SP_NOTICE_DHCP_SENT = 6,
	SP_NOTICE_DHCP_GOT = 7,
};

/*
 * `notices`: ring buffer: what the daemon must know at once, each at most once for each time that
 * it was asked for. A record ends behind the head, except SP_NOTICE_PARKED and SP_NOTICE_DHCP_*.
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

/*
 * `quotas`: array by port number, of machine ports: what is rare is limited beside `police`, so
 * that other frames need not ask. In virtual-scheduling form, as there.
 */
struct sp_quota {
	__u64 group_ns;	      /* each group frame takes so long; 0: no limit */
	__u64 group_burst_ns; /* its schedule may be so far ahead */
	/* Kernel's; user space writes zero. */
	__u64 group_next_ns;
	__u64 lease_next_ns; /* of SP_NOTICE_DHCP_*: SP_LEASE_NS each */
};

#define SP_LEASE_NS 250000000ULL	/* a notice of DHCP, for each machine, ... */
#define SP_LEASE_BURST_NS 7750000000ULL /* ... but 32 at once */

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

/* Which program dropped; of a frame that a rule logs, by which of the two the rule is asked. */
enum sp_hook {
	SP_HOOK_GUARD = 1,
	SP_HOOK_STEER = 2,
	SP_HOOK_EGRESS = 3,
	SP_HOOK_IN = 4,	 /* logged: to the machine */
	SP_HOOK_OUT = 5, /* logged: from it */
};

/*
 * `events`: ring buffer: a sample of the frames that were dropped, and those that rules log, which
 * have SP_HOOK_IN or SP_HOOK_OUT, the machine's port, and SP_R_NONE where they were accepted.
 */
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
	__u16 rule;   /* logged: its number; 0: the policy's default, and frames that are not */
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

/* --- the firewall's flows --- */

/*
 * A slot holds what a segment with machines has of its own: the row of this number in `slots`, the
 * tables of its flows and its table of fragments. Slots are dense, handed out by the daemon; 0 is
 * never handed out. A segment's flows stand in 2^n tables for each family, `shards` of them, so
 * that the kernel's collection looks at a few thousand at a time: table SHARD of slot S is the
 * entry S * shards + SHARD of `flows4` and `flows6` (arrays of maps; the inner ones are hashes).
 * How many shards there are was decided when the maps were pinned: max_entries of `flows4` over
 * that of `slots`.
 */
#define SP_SHARD_FLOWS 4096 /* flows in one table, at most */
#define SP_SHARDS_MAX 256

/*
 * A flow's key: its two ends in a fixed order, the one with the smaller address first (compared
 * as bytes), of equal addresses the one with the smaller port. Of an ICMP query the ports are its
 * identifier and (end that asks << 15 | type of the request << 8 | code), in this order, the type's
 * highest bit left out; of a protocol without ports, 0.
 *
 * `leg`: where a machine that routes is at one of the two ends, which of the ways that the same
 * packets take, to it and from it again, as a hash of the frame's two MAC addresses; else zero.
 */
struct sp_flow4_key {
	__be32 addr[2];
	__be16 port[2];
	__u8 proto;
	__u8 leg[3];
};

struct sp_flow6_key {
	__u8 addr[2][16];
	__be16 port[2];
	__u8 proto;
	__u8 leg[3];
};

/* Numbers 1 to 9 are TCP's; "originator" is the side that sent the first frame. */
enum sp_flow_state {
	SP_FLOW_NONE,
	SP_FLOW_SYN_SENT,    /* the originator's SYN was seen */
	SP_FLOW_SYN_RECV,    /* and the answer's SYN and ACK */
	SP_FLOW_ESTABLISHED, /* and the ACK to that */
	SP_FLOW_FIN_WAIT,    /* one side has sent a FIN */
	SP_FLOW_CLOSE_WAIT,  /* which was acknowledged */
	SP_FLOW_LAST_ACK,    /* both sides have sent a FIN */
	SP_FLOW_TIME_WAIT,   /* and both were acknowledged */
	SP_FLOW_CLOSE,	     /* there was a RST */
	SP_FLOW_SYN_SENT2,   /* two SYNs crossed */
	SP_FLOW_UNREPLIED,   /* not TCP: the originator alone has spoken */
	SP_FLOW_REPLIED,     /* both have */
	SP_FLOW_STREAM,	     /* UDP: both have, for longer than a question and its answer take */
	_SP_FLOW_STATES,
};

/* What a TCP segment is first of all; what is remembered of the last one. */
enum sp_tcp_kind {
	SP_TCP_SYN,
	SP_TCP_SYNACK,
	SP_TCP_FIN,
	SP_TCP_ACK,
	SP_TCP_RST,
	SP_TCP_OTHER, /* none of these flags; of the last one: there was none */
};

/*
 * sp_flow.word. Who sets the highest bit, by compare and exchange, may read and write all of the
 * value until it is clear again; who ends a flow leaves it set. An inner map's values can have no
 * bpf_spin_lock before Linux 6.2.
 */
#define SP_FLOW_LOCK 0x80000000U
#define SP_FLOW_STATE 0xfU	/* enum sp_flow_state */
#define SP_FLOW_FLIP 0x10U	/* the originator is end 1 of the key */
#define SP_FLOW_BOTH 0x20U	/* the other side has spoken */
#define SP_FLOW_ASSURED 0x40U	/* it is a connection: TCP's handshake is over, UDP is a stream */
#define SP_FLOW_RETRANS_SHIFT 7 /* TCP: times that the last ACK came again; at most 3 */
#define SP_FLOW_RETRANS 0x3U
#define SP_FLOW_LAST_REPLY 0x200U /* TCP: the last segment was not the originator's */
#define SP_FLOW_LAST_SHIFT 10	  /* TCP: enum sp_tcp_kind of the last segment */
#define SP_FLOW_LAST 0x7U
#define SP_FLOW_SIDE_SHIFT(side) (13 + 9 * (side)) /* side 0: the originator */
#define SP_FLOW_SIDE 0x1ffU

/* TCP, of each side, in sp_flow.word */
#define SP_SIDE_SCALE 0xfU     /* its window scale (RFC 7323); SP_NO_SCALE */
#define SP_SIDE_SACK 0x10U     /* it said SACK permitted (RFC 2018) */
#define SP_SIDE_CLOSER 0x20U   /* it was the first to send a FIN */
#define SP_SIDE_UNACKED 0x40U  /* not all that it sent was acknowledged */
#define SP_SIDE_ACKED 0x80U    /* `maxack` is valid */
#define SP_SIDE_LIBERAL 0x100U /* picked up in the middle: its window is not known */
#define SP_NO_SCALE 15	       /* RFC 7323 allows 14 */

/* What a TCP side may send, and has acknowledged: sequence numbers as on the wire, host order. */
struct sp_flow_side {
	__u32 end;    /* behind the last byte that it sent */
	__u32 maxend; /* behind the last that it may send: what the other side has room for */
	__u32 maxwin; /* the largest window that it has offered; 0: not heard of yet */
	__u32 maxack; /* the highest that it has acknowledged */
};

/*
 * Time in flows is counted in ticks of 2^24 ns, 16.8 ms, of a machine's clock: 32 bits of them are
 * more than two years.
 */
#define SP_TICK_SHIFT 24

struct sp_flow {
	__u32 word;
	__u32 expires; /* ticks, on the clock of its owner: of the machine that the first frame
			  went to, or else of the one that sent it */
	__u32 end[2];  /* SP_END_*: what is at the two ends of the key */
	__u16 tag;     /* of the key: to know an entry again that may have been used anew */
	/* TCP: the last segment's window, where it was a SYN that did not fit; else a digest of it.
	 */
	__u16 last_win;
	__u32 last_end; /* TCP: the last segment's end. UDP: when it began, in ticks */
	struct sp_flow_side side[2];
};

/* sp_flow.end */
#define SP_END_PORT 0xfffffU /* the machine's port number, below 2^20; 0: another port is there */
/* Low bits of sp_slot.epoch when it was last proved that it may send as it does (I6); 0: never. */
#define SP_END_EPOCH_SHIFT 20
#define SP_END_EPOCH 0xffU
/* TCP, in end[0]: the window scale of the last segment, where that was a SYN that did not fit */
#define SP_END_LAST_SCALE_SHIFT 28
/* TCP, in end[1] */
#define SP_END_LAST_SACK 0x10000000U /* that SYN said SACK permitted */
#define SP_END_CHALLENGE 0x20000000U /* the next ACK may be the answer to it (RFC 5961, 4) */
#define SP_END_CROSSED 0x40000000U   /* both sides began with a SYN */

/* `slots`: mmapable array by slot number. User space writes the first 64 bytes, atomically. */
struct sp_slot {
	__u32 segment;
	__u32 used;	 /* 0: the number is free */
	__u32 flows_max; /* of both families together; above, nothing new goes on */
	/*
	 * Counts changes of what a machine may send as (`addresses`, SP_M_PINNED, SP_M_ROUTER),
	 * after the change. From 1 on: 0 proves nothing.
	 */
	__u32 epoch;
	__u64 new_cost_ns;  /* between two new flows, on average; 0: no limit */
	__u64 new_burst_ns; /* as in sp_police */
	/*
	 * CLOCK_MONOTONIC: until then a TCP connection whose beginning nobody saw is taken up, if
	 * the policy lets it begin: machines ran already when the tables were made.
	 */
	__u64 pick_up_until_ns;
	__u64 reserved[3];
	/* The kernel's. */
	__u32 flows; /* in use */
	__u32 pad;
	__u64 new_next_ns;
	__u64 opened; /* flows, ever */
	__u64 full;   /* frames that were dropped because there was no room */
	__u64 over_rate;
	__u64 expired; /* flows that the collection has removed, ever */
	__u64 reserved2[2];
};

/* `timeouts`: array of one: ticks. The first are by enum sp_flow_state. */
enum sp_timeout {
	SP_TIMEOUT_STATES = 0,
	SP_TIMEOUT_RETRANS = 16, /* TCP: the same ACK came again and again, or the window is 0 */
	SP_TIMEOUT_UNACKED,	 /* TCP: data is not acknowledged, or nothing was answered yet */
	SP_TIMEOUT_UDP,		 /* no answer yet, or no more than one */
	SP_TIMEOUT_UDP_STREAM,
	SP_TIMEOUT_ICMP,
	SP_TIMEOUT_ICMP6,
	SP_TIMEOUT_OTHER, /* protocols */
	_SP_TIMEOUTS,
};

struct sp_timeouts {
	__u32 ticks[32];
};

/*
 * `fragments`: array of maps by slot; the inner ones are arrays. A datagram whose first fragment
 * passed: its later ones pass. Where it is, its addresses and its id decide; one takes the place of
 * another.
 */
#define SP_FRAGMENTS 256 /* for each segment */
#define SP_FRAGMENT_S 30 /* a receiver waits no longer: RFC 8200, 4.5 has 60, Linux 30 */

struct sp_fragment {
	__u32 word;	       /* SP_FLOW_LOCK, as in a flow */
	__u32 expires;	       /* ticks of CLOCK_MONOTONIC; 0: empty */
	__u8 src[16], dst[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u32 id;
	__u32 from_port, to_port; /* as in sp_flow.end */
	__u16 header;		  /* bytes of the datagram that the first fragment alone may have */
	__u8 proto;
	__u8 pad[9];
};

/* What `sweep` does to each flow of a table. */
enum sp_sweep {
	SP_SWEEP_OVER = 1,   /* end those whose time has run out */
	SP_SWEEP_PORT = 2,   /* end those that have the machine of a port at one of their ends */
	SP_SWEEP_PROOFS = 3, /* nothing is proved any more */
};

/* `collector`: array of one: the timer that ends what has run out, daemon dead or alive. */
struct sp_collector {
#ifdef __bpf__
	struct bpf_timer timer;
#else
	__u64 timer[2];
#endif
	__u32 slot, table; /* what is looked at next; table: shards of IPv4, then of IPv6 */
	__u64 pass_ns;	   /* when this pass began */
	__u64 passes, pieces, ended;
	__u64 longest_ns; /* of all pieces */
	__u64 total_ns;
	__u64 reserved[3];
};

/*
 * --- policies: the rules of each machine's port ---
 *
 * `policies`: array of maps by port number -> one compiled policy. A port that has none is judged
 * by that of number 0, the host's default; where that is missing too, everything is dropped (I4).
 *
 * A compiled policy is an array of rows that is written, frozen, and put in the place of the one
 * before by one update: who reads it reads the one or the other from the first row to the last
 * (I5). Row 0 is its head. What must be so for a rule to match is asked in up to four dimensions:
 * service (protocol with destination port, or with ICMP type and code), remote address, local
 * address, source port. In each a search tree of rows, by ranges of keys, leads to a vector: a bit
 * for each rule that matches there. The lowest bit that is set in all four is the first rule that
 * matches.
 *
 * A reference to a row is its index; 0, the head's own, is none: every rule matches there.
 */
#define SP_RULES_MAX 1000 /* of one policy, both directions together: the bits of a row */
#define SP_ROWS_MAX 65535 /* of one policy */
#define SP_ROW_LEN 128

enum sp_row_kind {
	SP_ROW_HEAD = 1,
	SP_ROW_NODE32 = 2,  /* of a tree: 32-bit keys */
	SP_ROW_NODE128 = 3, /* of a tree: IPv6 addresses */
	SP_ROW_VECTOR = 4,
	SP_ROW_RULES = 5,
};

/* What a rule says. In a row with SP_RULE_LOG; 0 is nothing that a rule can say. */
enum sp_action {
	SP_ACCEPT = 1,
	SP_DROP = 2,
	SP_REJECT = 3,	/* drop, and tell the sender */
	SP_SEGMENT = 4, /* a default only: accept what comes from the own segment, drop the rest */
};
#define SP_RULE_LOG 0x80

/* The directions: of sp_head.section, fallback and counter. */
enum sp_direction { SP_IN = 0, SP_OUT = 1, _SP_DIRECTIONS = 2 };

/* What is judged: sp_head.section. */
enum sp_subject {
	SP_SUBJECT_NEW = 0,	/* the first frame of a flow */
	SP_SUBJECT_RELATED = 1, /* an ICMP error that tells of a flow */
	SP_SUBJECT_GROUP = 2,	/* a group frame */
	_SP_SUBJECTS = 3,
};

/*
 * A row is whole: all its 16-bit parts together, by exclusive or, are what SP_ROW_SUM makes of the
 * policy's digest and of the row's kind; its last part sees to that. A row of another policy, of
 * another kind than what leads to it says, one that was never written, or of which a part is of
 * another one, is not believed.
 */
#define SP_FOLD(v) ((__u16)((v) ^ (v) >> 16 ^ (v) >> 32 ^ (v) >> 48))
#define SP_ROW_SUM(digest, kind) ((__u16)(SP_FOLD(digest) + (kind)*0x3779U))

/*
 * A protocol that no rule can name: ICMP in IPv6, ICMPv6 in IPv4. They are nobody's, and match
 * rules that ask for no protocol alone.
 */
#define SP_SERVICE_NONE (256U << 16)

/* Of one direction and subject: where its trees begin. A key is in host byte order. */
struct sp_section {
	/* protocol << 16 | destination port, or ICMP type << 8 | code; or SP_SERVICE_NONE */
	__u16 service;
	__u16 remote4, remote6; /* the other end's address */
	__u16 local4, local6;	/* the machine's own */
	__u16 source;		/* source port */
	__u16 rules;		/* 1 + the highest rule that is asked; 0: there are none */
};

struct sp_head {
	__u64 generation;	       /* of the text, as the store has it */
	__u64 digest;		       /* of the text and of how it was compiled */
	__u32 counter[_SP_DIRECTIONS]; /* in `rule_counters`, of the defaults */
	__u32 rows;
	struct sp_section section[_SP_DIRECTIONS][_SP_SUBJECTS];
	__u16 first_rules;	       /* the row of rules 0 to 7; the others follow */
	__u16 rules;		       /* how many */
	__u8 fallback[_SP_DIRECTIONS]; /* enum sp_action, SP_RULE_LOG: where no rule matches */
	__u8 pad[7];
	__u8 kind;
	__u16 sum;
};

/*
 * The children of a node are rows: nodes of the same kind, or vectors. The key that is looked for
 * belongs to the child that has as many keys before it as are not above it. Keys are in order, in
 * places that are left over the last one again, their children the last one's.
 */
#define SP_NODE32_KEYS 20
struct sp_node32 {
	__u32 key[SP_NODE32_KEYS];
	__u16 child[SP_NODE32_KEYS + 1];
	__u8 pad[3];
	__u8 kind;
	__u16 sum;
};

#define SP_NODE128_KEYS 6
struct sp_key128 {
	__u64 high, low;
};
struct sp_node128 {
	struct sp_key128 key[SP_NODE128_KEYS];
	__u16 child[SP_NODE128_KEYS + 1];
	__u8 pad[15];
	__u8 kind;
	__u16 sum;
};

/*
 * Rule N is bit N % 64 of word N / 64; of the last 40, bit N - 960 of `high`, `low` together. Bit N
 * of `some`: there is a rule among 128 N to 128 N + 127.
 */
#define SP_VECTOR_WORDS 15
struct sp_vector {
	__u64 word[SP_VECTOR_WORDS];
	__u32 low;
	__u8 high;
	__u8 some;
	__u16 sum;
};

#define SP_RULES_ROW 8
struct sp_rules {
	__u64 identity[SP_RULES_ROW]; /* what the rule says, as a hash: user space's */
	__u32 counter[SP_RULES_ROW];  /* in `rule_counters` */
	__u8 action[SP_RULES_ROW];    /* enum sp_action, SP_RULE_LOG */
	__u8 pad[21];
	__u8 kind;
	__u16 sum;
};

struct sp_row {
	union {
		struct sp_head head;
		struct sp_node32 node32;
		struct sp_node128 node128;
		struct sp_vector vector;
		struct sp_rules rules;
		__u64 word[SP_ROW_LEN / 8];
		struct {
			__u8 body[SP_ROW_LEN - 3];
			__u8 kind; /* enum sp_row_kind; not in a vector */
			__u16 sum;
		};
	};
};

/* How deep a tree may be: so many nodes lead from its root to a vector, at most. */
#define SP_DEPTH32 4
#define SP_DEPTH128 6

/* `rule_counters`: per-CPU array: what rules have judged. Entry 0 is nobody's. */
struct sp_rule_counter {
	__u64 packets;
	__u64 bytes; /* of the packets, their Ethernet header included */
};

/*
 * `limits`: array by port number: how much is said because of one port, whatever it sends: answers
 * to frames that were rejected, to who sent them; log events, of the machine whose rule it is. Both
 * are token buckets as in `police`.
 */
#define SP_SAY_COST_NS 10000000ULL /* one in so long, on average */
#define SP_SAY_BURST 50		   /* and so many at once */

struct sp_limit {
	__u64 reject_next_ns;
	__u64 log_next_ns;
	__u64 rejects_withheld;
	__u64 logs_withheld;
};

/*
 * --- what `sallyport explain` is told ---
 *
 * The programs are loaded a second time with sp_explain set: they decide as they always do, upon
 * the same maps, and write down each step instead of counting, keeping, answering or sending
 * anything.
 */
enum sp_step_kind {
	SP_STEP_GUARD = 1, /* XDP lets it pass */
	SP_STEP_BOUND = 2, /* PORT is the sender's; value: its segment */
	SP_STEP_TO = 3,	   /* its destination is at PORT; detail: enum sp_port_kind; value: flags */
	SP_STEP_GROUP = 4, /* it is for the whole segment; value: how many ports are in it */
	SP_STEP_FLOW = 5,  /* its flow; detail: enum sp_flow_state before; value: seconds left */
	SP_STEP_FRESH = 6, /* it has no flow, and would begin one */
	SP_STEP_POLICY = 7,   /* what PORT's policy says: see the fields; value: enum sp_reason */
	SP_STEP_RELATED = 8,  /* it is an ICMP error about a flow */
	SP_STEP_FRAGMENT = 9, /* it belongs to a datagram whose first fragment passed */
	SP_STEP_COPY = 10,    /* a copy would go to PORT */
	SP_STEP_ANSWER = 11,  /* it would be answered in the name of the machine at PORT */
	SP_STEP_PARK = 12,    /* it would wake the machine at PORT, and wait for it */
	SP_STEP_REJECT = 13,  /* PORT would be told that it was refused */
	SP_STEP_SEND = 14,    /* it would leave by PORT */
	SP_STEP_DROP = 15,    /* value: enum sp_reason; PORT is charged with it */
};

struct sp_step {
	__u8 kind;
	__u8 detail;
	__u8 direction; /* SP_STEP_POLICY: enum sp_direction */
	__u8 subject;	/* likewise: enum sp_subject */
	__u16 rule;	/* likewise: its number, from 1; 0: the default */
	__u8 action;	/* likewise: enum sp_action */
	__u8 log;	/* likewise */
	__u32 port;
	__u32 value;
};

#define SP_STEPS 128
struct sp_walk {
	__u32 n; /* how many there were: above SP_STEPS the last ones are missing */
	__u32 pad;
	struct sp_step step[SP_STEPS];
	struct sp_flow flow; /* a copy of the flow, which the packet changes in its place */
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
static_assert(sizeof(struct sp_quota) == 32, "sp_quota");
static_assert(sizeof(struct sp_parked) == 48 + SP_PARK_LEN, "sp_parked");
static_assert(sizeof(struct sp_counter) == 48, "sp_counter");
static_assert(sizeof(struct sp_reason_count) == 32, "sp_reason_count");
static_assert(sizeof(struct sp_event) == 32 + SP_EVENT_SNAP, "sp_event");
static_assert(sizeof(struct sp_config) == 24, "sp_config");
static_assert(sizeof(struct sp_flow4_key) == 16, "sp_flow4_key");
static_assert(sizeof(struct sp_flow6_key) == 40, "sp_flow6_key");
/*
 * With its key, the 48 bytes of a hash's element and the 8 of the allocator an IPv4 flow is 128
 * bytes, which is a size of the kernel's slabs: one byte more would cost 64.
 */
static_assert(sizeof(struct sp_flow) == 56, "sp_flow");
static_assert(SP_PORTS_MAX - 1 <= SP_END_PORT, "port numbers outgrew their bits");
static_assert(_SP_FLOW_STATES <= SP_FLOW_STATE, "states outgrew their bits");
static_assert(SP_FLOW_SIDE << SP_FLOW_SIDE_SHIFT(1) == 0x7fc00000, "the word is full");
static_assert(sizeof(struct sp_slot) == 128, "sp_slot");
static_assert(_SP_TIMEOUTS <= 32 && (int)_SP_FLOW_STATES <= (int)SP_TIMEOUT_RETRANS, "timeouts");
static_assert(sizeof(struct sp_fragment) == 64, "sp_fragment");
static_assert(sizeof(struct sp_collector) == 96, "sp_collector");
static_assert(sizeof(struct sp_section) == 14, "sp_section");
static_assert(sizeof(struct sp_head) == SP_ROW_LEN, "sp_head");
static_assert(sizeof(struct sp_node32) == SP_ROW_LEN, "sp_node32");
static_assert(sizeof(struct sp_node128) == SP_ROW_LEN, "sp_node128");
static_assert(sizeof(struct sp_vector) == SP_ROW_LEN, "sp_vector");
static_assert(sizeof(struct sp_rules) == SP_ROW_LEN, "sp_rules");
static_assert(sizeof(struct sp_row) == SP_ROW_LEN, "sp_row");
static_assert(offsetof(struct sp_head, kind) == SP_ROW_LEN - 3, "sp_head.kind");
static_assert(offsetof(struct sp_node32, kind) == SP_ROW_LEN - 3, "sp_node32.kind");
static_assert(offsetof(struct sp_node128, kind) == SP_ROW_LEN - 3, "sp_node128.kind");
static_assert(offsetof(struct sp_vector, some) == SP_ROW_LEN - 3, "sp_vector.some");
static_assert(offsetof(struct sp_rules, kind) == SP_ROW_LEN - 3, "sp_rules.kind");
static_assert(offsetof(struct sp_row, kind) == SP_ROW_LEN - 3, "sp_row.kind");
static_assert(sizeof(struct sp_rule_counter) == 16, "sp_rule_counter");
static_assert(sizeof(struct sp_limit) == 32, "sp_limit");
static_assert(sizeof(struct sp_step) == 16, "sp_step");
static_assert(sizeof(struct sp_walk) == 8 + 16 * SP_STEPS + 56, "sp_walk");
#endif

#endif
