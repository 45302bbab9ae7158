/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many flows may there be, and how long do they live, as the configuration says? */
#include "config_internal.h"
#include "lib/cleanup.h"
#include "sallyport/abi.h"

/* nf_conntrack's, in seconds (linux, net/netfilter/nf_conntrack_proto_*.c). */
static const uint32_t defaults[_CONFIG_TIMEOUTS] = {
	[TIMEOUT_TCP_SYN_SENT] = 120,
	[TIMEOUT_TCP_SYN_RECV] = 60,
	[TIMEOUT_TCP_ESTABLISHED] = 432000,
	[TIMEOUT_TCP_FIN_WAIT] = 120,
	[TIMEOUT_TCP_CLOSE_WAIT] = 60,
	[TIMEOUT_TCP_LAST_ACK] = 30,
	[TIMEOUT_TCP_TIME_WAIT] = 120,
	[TIMEOUT_TCP_CLOSE] = 10,
	[TIMEOUT_TCP_RETRANSMITTED] = 300,
	[TIMEOUT_TCP_UNACKNOWLEDGED] = 300,
	[TIMEOUT_UDP] = 30,
	[TIMEOUT_UDP_STREAM] = 120,
	[TIMEOUT_ICMP] = 30,
	[TIMEOUT_ICMPV6] = 30,
	[TIMEOUT_OTHER] = 600,
};

void config_flows_defaults(struct config *c)
{
	c->flows = c->max_flows = SP_DEF_FLOWS;
	c->new_flows = SP_DEF_NEW_FLOWS;
	c->new_flows_burst = SP_DEF_NEW_BURST;
	c->pick_up_s = SP_DEF_PICK_UP_S;
	for (unsigned int i = 0; i < _CONFIG_TIMEOUTS; i++)
		c->timeout_s[i] = defaults[i];
}

void config_flows_check(struct config_parser *p)
{
	const struct config *c = p->config;
	unsigned int line = config_line_of(p, "firewall", "flows");

	if (c->flows > c->max_flows)
		config_mistake(p, line ? line : config_line_of(p, "firewall", "max-flows"),
			       "flows: %u: expected at most max-flows, which is %u", c->flows,
			       c->max_flows);
}

static uint32_t ticks(uint32_t s)
{
	uint64_t n = (uint64_t)s * 1000000000 >> SP_TICK_SHIFT;

	return n ? (uint32_t)n : 1;
}

void config_timeouts(const struct config *c, struct sp_timeouts *ret)
{
	static const struct {
		unsigned int to; /* enum sp_flow_state, enum sp_timeout */
		enum config_timeout from;
	} rows[] = {
		{SP_FLOW_SYN_SENT, TIMEOUT_TCP_SYN_SENT},
		{SP_FLOW_SYN_RECV, TIMEOUT_TCP_SYN_RECV},
		{SP_FLOW_ESTABLISHED, TIMEOUT_TCP_ESTABLISHED},
		{SP_FLOW_FIN_WAIT, TIMEOUT_TCP_FIN_WAIT},
		{SP_FLOW_CLOSE_WAIT, TIMEOUT_TCP_CLOSE_WAIT},
		{SP_FLOW_LAST_ACK, TIMEOUT_TCP_LAST_ACK},
		{SP_FLOW_TIME_WAIT, TIMEOUT_TCP_TIME_WAIT},
		{SP_FLOW_CLOSE, TIMEOUT_TCP_CLOSE},
		{SP_FLOW_SYN_SENT2, TIMEOUT_TCP_SYN_SENT},
		{SP_FLOW_UNREPLIED, TIMEOUT_OTHER},
		{SP_FLOW_REPLIED, TIMEOUT_OTHER},
		{SP_FLOW_STREAM, TIMEOUT_UDP_STREAM},
		{SP_TIMEOUT_RETRANS, TIMEOUT_TCP_RETRANSMITTED},
		{SP_TIMEOUT_UNACKED, TIMEOUT_TCP_UNACKNOWLEDGED},
		{SP_TIMEOUT_UDP, TIMEOUT_UDP},
		{SP_TIMEOUT_UDP_STREAM, TIMEOUT_UDP_STREAM},
		{SP_TIMEOUT_ICMP, TIMEOUT_ICMP},
		{SP_TIMEOUT_ICMP6, TIMEOUT_ICMPV6},
		{SP_TIMEOUT_OTHER, TIMEOUT_OTHER},
	};

	*ret = (struct sp_timeouts){{0}};
	for (unsigned int i = 0; i < SP_ARRAY_SIZE(rows); i++)
		ret->ticks[rows[i].to] = ticks(c->timeout_s[rows[i].from]);
}
