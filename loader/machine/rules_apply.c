/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is a text put in force, and which flows end that it does not allow? */
#include "rules_apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane.h"
#include "lib/cleanup.h"
#include "policy/policy.h"

#define PROTO_ICMP 1
#define PROTO_ICMP6 58
#define END_TRIES 100 /* of a flow whose packets keep it busy */

int rules_parse(const char *text, struct policy **ret, char error[RULES_ERROR_MAX])
{
	struct policy_errors e;
	int r = policy_parse(text, strlen(text), ret, &e);

	if (r == -EINVAL && e.n)
		snprintf(error, RULES_ERROR_MAX, "line %u, column %u: %s%s", e.v[0].line,
			 e.v[0].column, e.v[0].text, e.n > 1 ? " (and more)" : "");
	else if (r < 0)
		snprintf(error, RULES_ERROR_MAX, "%s", strerror(-r));
	return r;
}

/* --- flows --- */

/* In bpf/flow.h, icmp_ports: the request's type less its highest bit, and its code. */
static void take_icmp(const struct dataplane_flow *flow, struct policy_tuple *t)
{
	t->icmp_type = (flow->port[1] >> 8) & 0x7f;
	t->icmp_code = (uint8_t)flow->port[1];
	if (flow->six)
		t->icmp_type |= 0x80;
}

bool rules_flow_tuple(const struct dataplane_flow *flow, uint32_t port, struct policy_tuple *ret)
{
	int first = flow->flow.word & SP_FLOW_FLIP ? 1 : 0;
	uint32_t from = flow->flow.end[first] & SP_END_PORT;
	uint32_t to = flow->flow.end[!first] & SP_END_PORT;

	if (from != port && to != port)
		return false;
	*ret = (struct policy_tuple){.direction = from == port ? SP_OUT : SP_IN,
				     .subject = SP_SUBJECT_NEW,
				     .version = flow->six ? 6 : 4,
				     .proto = flow->proto};
	memcpy(ret->src, flow->addr[first], sizeof(ret->src));
	memcpy(ret->dst, flow->addr[!first], sizeof(ret->dst));
	if (flow->proto == (flow->six ? PROTO_ICMP6 : PROTO_ICMP)) {
		take_icmp(flow, ret);
	} else {
		ret->sport = flow->port[first];
		ret->dport = flow->port[!first];
	}
	return true;
}

struct look {
	struct dataplane *dp;
	const struct policy *policy;
	uint32_t port;
	unsigned int ended;
};

static int look_at(const struct dataplane_flow *flow, void *arg)
{
	struct look *l = arg;
	struct policy_tuple t;
	int r = -EBUSY;

	if (!rules_flow_tuple(flow, l->port, &t) || policy_allows(l->policy, &t))
		return 0;
	for (int i = 0; r == -EBUSY && i < END_TRIES; i++)
		r = dataplane_flow_end(l->dp, flow);
	if (r == 0)
		l->ended++;
	return 0;
}

unsigned int rules_end_flows(struct dataplane *dp, uint32_t port, const struct policy *p)
{
	struct look l = {.dp = dp, .policy = p, .port = port};
	struct sp_machine m;
	int r = dataplane_machine_get(dp, port, &m);

	for (uint32_t table = 0; r == 0 && m.slot; table++)
		r = dataplane_each_flow(dp, m.slot, table, look_at, &l);
	return l.ended;
}

/* --- in force --- */

static int put(struct dataplane *dp, struct rules_order *o)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	int r = rules_parse(o->text, &policy, o->error);

	if (r < 0)
		return r;
	r = policy_compile(policy, o->generation, policy_digest(o->text, strlen(o->text)), &rows,
			   o->error);
	if (r < 0)
		return r;
	r = dataplane_policy_set(dp, o->port, rows.v, rows.n);
	if (r == -ENOSPC)
		snprintf(o->error, sizeof(o->error),
			 "this host has no more counters for rules: expected fewer rules in all "
			 "policies together");
	return r;
}

/* Where the two cannot be read it is taken for true: flows are looked at then. */
static bool takes_away(const struct rules_order *o, const struct policy *next)
{
	_cleanup_(policy_freep) struct policy *now = NULL;
	char error[RULES_ERROR_MAX];

	return rules_parse(o->before ? o->before : o->fallback, &now, error) < 0 ||
	       policy_takes_away(now, next);
}

static void look(struct dataplane *dp, struct rules_order *o)
{
	_cleanup_(policy_freep) struct policy *next = NULL;
	char error[RULES_ERROR_MAX];

	if (o->look == RULES_STRICT_NO || !o->fallback ||
	    rules_parse(o->text ? o->text : o->fallback, &next, error) < 0)
		return;
	o->strict = o->look == RULES_STRICT_YES || takes_away(o, next);
	if (o->strict)
		o->ended = rules_end_flows(dp, o->port, next);
}

void rules_apply(struct dataplane *dp, struct rules_order *o)
{
	o->error[0] = '\0';
	o->r = o->text ? put(dp, o) : dataplane_policy_clear(dp, o->port);
	if (o->r < 0 && !o->error[0])
		snprintf(o->error, sizeof(o->error), "%s", strerror(-o->r));
	if (o->r == 0)
		look(dp, o);
}

void rules_order_free(struct rules_order *o)
{
	free(o->text);
	free(o->fallback);
	free(o->before);
}
