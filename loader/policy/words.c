/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What are protocols, ICMP types and the rest called? The field's own names: iptables', nft's. */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy_internal.h"

const char policy_builtin[] = "default in segment\ndefault out accept\n";

const char *const subject_names[_SP_SUBJECTS] = {
	[SP_SUBJECT_NEW] = "new",
	[SP_SUBJECT_RELATED] = "related",
	[SP_SUBJECT_GROUP] = "group",
};

const char *policy_action_name(unsigned int action)
{
	static const char *const names[] = {
		[SP_ACCEPT] = "accept",
		[SP_DROP] = "drop",
		[SP_REJECT] = "reject",
		[SP_SEGMENT] = "segment",
	};

	return action < SP_ARRAY_SIZE(names) && names[action] ? names[action] : "?";
}

const char *policy_direction_name(unsigned int direction)
{
	return direction == SP_OUT ? "out" : "in";
}

static bool is(const char *name, const char *text, size_t size)
{
	return strlen(name) == size && memcmp(name, text, size) == 0;
}

/* --- protocols: IANA's numbers --- */

static const struct {
	const char *name;
	uint8_t number;
	bool ports;
} protos[] = {
	{"tcp", PROTO_TCP, true},    {"udp", 17, true},
	{"icmp", PROTO_ICMP, false}, {"icmpv6", PROTO_ICMP6, false},
	{"sctp", 132, true},	     {"dccp", 33, true},
	{"udplite", 136, true},	     {"igmp", 2, false},
	{"gre", 47, false},	     {"esp", 50, false},
	{"ah", 51, false},
};

int proto_by_name(const char *name, size_t size)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(protos); i++)
		if (is(protos[i].name, name, size))
			return protos[i].number;
	return -ENOENT;
}

const char *proto_name(uint8_t proto)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(protos); i++)
		if (protos[i].number == proto)
			return protos[i].name;
	return NULL;
}

bool proto_has_ports(uint8_t proto)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(protos); i++)
		if (protos[i].number == proto)
			return protos[i].ports;
	return false;
}

/* --- ICMP: RFC 792, 1256, 1812, 4443, 4861, 2710, 3810 --- */

#define ANY_CODE(type)                                                                             \
	{                                                                                          \
		(type) << 8, (type) << 8 | 0xff                                                    \
	}
#define CODE(type, code)                                                                           \
	{                                                                                          \
		(type) << 8 | (code), (type) << 8 | (code)                                         \
	}

struct icmp_word {
	const char *name;
	struct policy_range range;
};

static const struct icmp_word icmp4[] = {
	{"echo-reply", ANY_CODE(0)},	       {"destination-unreachable", ANY_CODE(3)},
	{"network-unreachable", CODE(3, 0)},   {"host-unreachable", CODE(3, 1)},
	{"protocol-unreachable", CODE(3, 2)},  {"port-unreachable", CODE(3, 3)},
	{"fragmentation-needed", CODE(3, 4)},  {"admin-prohibited", CODE(3, 13)},
	{"source-quench", ANY_CODE(4)},	       {"redirect", ANY_CODE(5)},
	{"echo-request", ANY_CODE(8)},	       {"router-advertisement", ANY_CODE(9)},
	{"router-solicitation", ANY_CODE(10)}, {"time-exceeded", ANY_CODE(11)},
	{"parameter-problem", ANY_CODE(12)},   {"timestamp-request", ANY_CODE(13)},
	{"timestamp-reply", ANY_CODE(14)},     {"address-mask-request", ANY_CODE(17)},
	{"address-mask-reply", ANY_CODE(18)},
};

static const struct icmp_word icmp6[] = {
	{"destination-unreachable", ANY_CODE(1)}, {"no-route", CODE(1, 0)},
	{"admin-prohibited", CODE(1, 1)},	  {"addr-unreachable", CODE(1, 3)},
	{"port-unreachable", CODE(1, 4)},	  {"packet-too-big", ANY_CODE(2)},
	{"time-exceeded", ANY_CODE(3)},		  {"parameter-problem", ANY_CODE(4)},
	{"echo-request", ANY_CODE(128)},	  {"echo-reply", ANY_CODE(129)},
	{"mld-listener-query", ANY_CODE(130)},	  {"mld-listener-report", ANY_CODE(131)},
	{"mld-listener-done", ANY_CODE(132)},	  {"nd-router-solicit", ANY_CODE(133)},
	{"nd-router-advert", ANY_CODE(134)},	  {"nd-neighbor-solicit", ANY_CODE(135)},
	{"nd-neighbor-advert", ANY_CODE(136)},	  {"nd-redirect", ANY_CODE(137)},
	{"mld2-listener-report", ANY_CODE(143)},
};

static const struct icmp_word *words_of(uint8_t proto, size_t *ret_n)
{
	*ret_n = proto == PROTO_ICMP ? SP_ARRAY_SIZE(icmp4) : SP_ARRAY_SIZE(icmp6);
	return proto == PROTO_ICMP ? icmp4 : icmp6;
}

int icmp_by_name(uint8_t proto, const char *name, size_t size, struct policy_range *ret)
{
	size_t n;
	const struct icmp_word *words = words_of(proto, &n);

	for (size_t i = 0; i < n; i++)
		if (is(words[i].name, name, size)) {
			*ret = words[i].range;
			return 0;
		}
	return -ENOENT;
}

const char *icmp_name(uint8_t proto, const struct policy_range *range)
{
	size_t n;
	const struct icmp_word *words = words_of(proto, &n);

	for (size_t i = 0; i < n; i++)
		if (words[i].range.first == range->first && words[i].range.last == range->last)
			return words[i].name;
	return NULL;
}

bool icmp_is_guarded(uint8_t proto, uint8_t type)
{
	return proto == PROTO_ICMP6 && type >= 133 && type <= 137;
}

bool word_is_reserved(const char *word, size_t size)
{
	static const char *const words[] = {
		"default", "set",   "accept", "drop",  "reject", "expect",  "in",    "out",
		"segment", "from",  "to",     "any",   "proto",	 "sport",   "dport", "port",
		"type",	   "state", "log",    "allow", "deny",	 "comment",
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(words); i++)
		if (is(words[i], word, size))
			return true;
	return proto_by_name(word, size) >= 0;
}
