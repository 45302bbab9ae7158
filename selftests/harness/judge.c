/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the kernel say of a packet, by a policy alone? */
#include "judge.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "policy.skel.h"

#define UPPER 24 /* bytes of the upper layer: more than any header that is read */

int judge_open(struct judge *j, struct dataplane *dp)
{
	int r;

	*j = (struct judge){.dp = dp, .obj = policy_bpf__open()};
	if (!j->obj)
		return -errno;
	r = bpf_map__reuse_fd(j->obj->maps.policies, dataplane_map_fd(dp, "policies"));
	r = r
		    ?: bpf_map__reuse_fd(j->obj->maps.rule_counters,
					 dataplane_map_fd(dp, "rule_counters"));
	return r ?: policy_bpf__load(j->obj);
}

void judge_close(struct judge *j)
{
	policy_bpf__destroy(j->obj);
	j->obj = NULL;
}

int judge_set(struct judge *j, uint32_t port, const struct policy *p, const char *text)
{
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	char error[200] = "";
	int r = policy_compile(p, 1, policy_digest(text, strlen(text)), &rows, error);

	if (r < 0)
		fprintf(stderr, "policy_compile: %s: %s\n", strerror(-r), error);
	return r ?: dataplane_policy_set(j->dp, port, rows.v, rows.n);
}

int judge_set_text(struct judge *j, uint32_t port, const char *text)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct policy_errors errors;
	int r = policy_parse(text, strlen(text), &p, &errors);

	if (r == -EINVAL)
		fprintf(stderr, "%u:%u: %s\n", errors.v[0].line, errors.v[0].column,
			errors.v[0].text);
	return r ?: judge_set(j, port, p, text);
}

/* --- frames --- */

static void set16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static size_t put_head(const struct policy_tuple *t, uint8_t *ip)
{
	if (t->version == 4) {
		ip[0] = 0x45;
		set16(ip + 2, 20 + UPPER);
		ip[8] = 64;
		ip[9] = t->proto;
		memcpy(ip + 12, t->src + 12, 4);
		memcpy(ip + 16, t->dst + 12, 4);
		return 20;
	}
	ip[0] = 0x60;
	set16(ip + 4, UPPER);
	ip[6] = t->proto;
	ip[7] = 64;
	memcpy(ip + 8, t->src, 16);
	memcpy(ip + 24, t->dst, 16);
	return 40;
}

size_t judge_frame(const struct policy_tuple *t, uint8_t buf[JUDGE_FRAME])
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	uint8_t *upper;

	memset(buf, 0, JUDGE_FRAME);
	memcpy(buf, macs, sizeof(macs));
	set16(buf + 12, t->version == 4 ? 0x0800 : 0x86dd);
	upper = buf + 14 + put_head(t, buf + 14);
	if (t->proto == (t->version == 4 ? 1 : 58)) {
		upper[0] = t->icmp_type;
		upper[1] = t->icmp_code;
	} else {
		set16(upper, t->sport);
		set16(upper + 2, t->dport);
	}
	if (t->proto == 6)
		set16(upper + 12, 0x5002); /* SYN */
	if (t->proto == 17)
		set16(upper + 4, UPPER);
	return (size_t)(upper - buf) + UPPER;
}

int judge_ask(const struct judge *j, uint32_t port, const struct policy_tuple *t,
	      struct policy_verdict *ret)
{
	struct __sk_buff skb = {
		.cb = {port, t->direction | (t->subject + 1U) << 8 | (uint32_t)t->foreign << 16}};
	uint8_t frame[JUDGE_FRAME];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb), .ctx_out = &skb, .ctx_size_out = sizeof(skb));

	opts.data_size_in = (uint32_t)judge_frame(t, frame);
	if (bpf_prog_test_run_opts(bpf_program__fd(j->obj->progs.judge), &opts) < 0)
		return -errno;
	*ret = (struct policy_verdict){.action = (uint8_t)skb.cb[2],
				       .log = skb.cb[2] >> 8 & 0xff,
				       .rule = skb.cb[2] >> 16};
	return (int)opts.retval;
}

int judge_reason(const struct policy_verdict *v)
{
	if (v->action == SP_ACCEPT)
		return SP_R_NONE;
	if (!v->rule)
		return SP_R_POLICY;
	return v->action == SP_REJECT ? SP_R_POLICY_REJECT : SP_R_POLICY_DROP;
}
