/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a frame was dropped (I9): the one list behind the enum, the names and the counter array.
 *
 * A number is for ever: it is the index into the pinned `reasons` map, which outlives every
 * upgrade. New reasons go at the end; a reason that nothing raises any more keeps its line.
 */
#ifndef SALLYPORT_REASONS_H
#define SALLYPORT_REASONS_H

/* X(number, NAME, "name", "meaning") */
#define SP_REASONS(X)                                                                              \
	X(0, NONE, "none", "not dropped")                                                          \
	X(1, RUNT, "runt", "shorter than the headers that it announces")                           \
	X(2, TOO_LONG, "too-long", "longer than the destination port takes")                       \
	X(3, ETHERTYPE, "ethertype", "not IPv4, ARP or IPv6")                                      \
	X(4, INNER_TAG, "inner-tag", "a VLAN tag behind the outer one")                            \
	X(5, TAG_PROTO, "tag-proto", "the outer tag is not 802.1Q")                                \
	X(6, TAG_PRIORITY, "tag-priority", "a priority tag: VLAN id 0")                            \
	X(7, TAG_MISSING, "tag-missing", "untagged on a tap in VLAN mode")                         \
	X(8, TAG_UNEXPECTED, "tag-unexpected", "tagged on a port that takes no tags")              \
	X(9, VID_UNBOUND, "vid-unbound", "no session holds this VLAN id")                          \
	X(10, SRC_GROUP, "src-group", "the source address is a group or zero address")             \
	X(11, SRC_UNBOUND, "src-unbound", "the source MAC is not bound to this port")              \
	X(12, DST_RESERVED, "dst-reserved", "to 01-80-C2-00-00-0X, which no bridge forwards")      \
	X(13, DST_UNKNOWN, "dst-unknown", "no port of the segment holds the destination MAC")      \
	X(14, DST_SAME_PORT, "dst-same-port", "the destination is behind the port it came from")   \
	X(15, NO_LISTENER, "no-listener", "a group frame on a segment with no other port")         \
	X(16, POLICED, "policed", "the session or machine is over its rate")                       \
	X(17, PORT_UNKNOWN, "port-unknown", "the device is not a port")                            \
	X(18, PORT_DOWN, "port-down", "the port is administratively closed")                       \
	X(19, NOT_OURS, "not-ours", "leaving by a port without having been redirected by us")      \
	X(20, CLONE_FAILED, "clone-failed", "the kernel could not copy a group frame")             \
	X(21, TAG_FAILED, "tag-failed", "the kernel could not push or pop the VLAN tag")           \
	X(22, ASLEEP, "asleep", "for a sleeping machine, and not of a kind that waits for it")     \
	X(23, PARK_FULL, "park-full", "for a sleeping machine that has enough frames waiting")     \
	X(24, SPOOF_IP, "spoof-ip", "the source address is not the machine's")                     \
	X(25, SPOOF_ARP, "spoof-arp", "an ARP message in another's name")                          \
	X(26, SPOOF_ND, "spoof-nd", "a neighbor discovery message in another's name")              \
	X(27, RA_GUARD, "ra-guard", "a router advertisement or redirect of a machine")             \
	X(28, DHCP_GUARD, "dhcp-guard", "a DHCP server's message of a machine")                    \
	X(29, BAD_HEADERS, "bad-headers",                                                          \
	  "headers that cannot be followed to their end, or control messages in fragments")        \
	X(30, FLOW_INVALID, "flow-invalid",                                                        \
	  "belongs to no flow and cannot begin one, or is not what its flow expects")              \
	X(31, FLOW_WINDOW, "flow-window", "outside the windows of its TCP connection")             \
	X(32, FLOW_TABLE_FULL, "flow-table-full",                                                  \
	  "new, and the segment has as many flows as it may")                                      \
	X(33, FLOW_RATE, "flow-rate", "new, and the segment is over its rate of new flows")        \
	X(34, FLOW_BUSY, "flow-busy", "another CPU did not let go of its flow in time")            \
	X(35, FRAGMENT, "fragment", "a fragment of a datagram whose beginning did not pass")       \
	X(36, RELATED, "related", "an ICMP error that tells of nothing that was sent")             \
	X(40, POLICY, "policy", "no rule of the machine's policy lets it pass, nor its default")   \
	X(41, POLICY_DROP, "policy-drop", "a rule of the machine's policy drops it")               \
	X(42, POLICY_REJECT, "policy-reject", "a rule of the machine's policy rejects it")         \
	X(43, POLICY_BROKEN, "policy-broken", "the machine's policy cannot be read in the map")    \
	X(46, LEASE, "lease", "a DHCP message that is to be learned from, and could not be told")  \
	X(47, GROUP_RATE, "group-rate", "a machine is over its rate of group frames")              \
	X(48, USER_RATE, "user-rate", "all that the user sends together is over the user's rate")

#define SP_REASON_ENUM(n, id, name, text) SP_R_##id = (n),
enum sp_reason { SP_REASONS(SP_REASON_ENUM) _SP_R_MAX };
#undef SP_REASON_ENUM

/* Room in the pinned map for reasons of later versions. */
#define SP_REASON_SLOTS 64

#endif
