/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does the kernel's matcher make of rows? Whole ones say what the rules say one by one; where
 * one 16-bit part is another, the answer is the same or none; and whatever is in them, the walk
 * ends within them.
 *
 * Input: a packet, changes of rows (how many first), and a policy's text.
 */
#include "kernel.h"

#include "bpf/policy.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "loader/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHANGES_MAX 15
#define SEAL 0x80 /* make each row that was changed whole again */

struct change {
	uint16_t row, part, value;
} __attribute__((packed));

struct head {
	uint8_t direction, subject, foreign, version, proto, icmp_type, icmp_code, changes;
	uint16_t sport, dport;
	uint8_t src[16], dst[16];
} __attribute__((packed));

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* --- the packet, both ways --- */

static void take_address(uint8_t version, const uint8_t from[16], uint8_t ret[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(ret, from, 16);
	if (version == 4)
		memcpy(ret, mapped, sizeof(mapped));
}

static struct policy_tuple tuple_of(const struct head *h)
{
	struct policy_tuple t = {.direction = h->direction % _SP_DIRECTIONS,
				 .subject = h->subject % _SP_SUBJECTS,
				 .foreign = h->foreign & 1,
				 .version = h->version & 1 ? 4 : 6,
				 .proto = h->proto};

	take_address(t.version, h->src, t.src);
	take_address(t.version, h->dst, t.dst);
	if (t.proto == PROTO_TCP || t.proto == PROTO_UDP || t.proto == PROTO_SCTP ||
	    t.proto == PROTO_DCCP || t.proto == PROTO_UDPLITE) {
		t.sport = h->sport;
		t.dport = h->dport;
	}
	if (t.proto == (t.version == 4 ? PROTO_ICMP : PROTO_ICMP6)) {
		t.icmp_type = h->icmp_type;
		t.icmp_code = h->icmp_code;
	}
	return t;
}

static int ask(const struct policy_tuple *t, struct policy_answer *ret)
{
	const struct policy_question q = {.port = 0,
					  .direction = t->direction,
					  .state = t->subject + POLICY_NEW,
					  .foreign = t->foreign};
	struct packet p = {.version = t->version,
			   .proto = t->proto,
			   .icmp_type = t->icmp_type,
			   .icmp_code = t->icmp_code,
			   .sport = bpf_htons(t->sport),
			   .dport = bpf_htons(t->dport)};
	int r;

	memcpy(p.src.b, t->src, 16);
	memcpy(p.dst.b, t->dst, 16);
	r = policy_judge(&q, &p, ret);
	require(ret->action == SP_ACCEPT || ret->action == SP_DROP || ret->action == SP_REJECT);
	require((ret->action == SP_ACCEPT) == (r == SP_R_NONE));
	require(r == SP_R_NONE || (r >= SP_R_POLICY && r <= SP_R_POLICY_BROKEN));
	require(ret->rule <= SP_RULES_MAX);
	return r;
}

/* --- rows --- */

static bool same(const struct policy_answer *a, const struct policy_verdict *v)
{
	return a->action == v->action && a->log == v->log && a->rule == v->rule;
}

static void change_rows(struct policy_rows *rows, const struct change *changes, size_t n, bool seal)
{
	uint64_t digest = rows->v[0].head.digest;

	for (size_t i = 0; i < n; i++) {
		struct sp_row *row = &rows->v[changes[i].row % rows->n];
		unsigned int kind = 0;

		((uint16_t *)row)[changes[i].part % (SP_ROW_LEN / 2)] ^= changes[i].value;
		kind = row->kind >= SP_ROW_HEAD && row->kind <= SP_ROW_RULES ? row->kind
									     : SP_ROW_VECTOR;
		if (seal)
			policy_seal(row, digest, kind);
	}
}

static void check(const struct policy *p, struct policy_rows *rows, const struct head *h,
		  const struct change *changes, size_t n)
{
	static struct sp_rule_counter counter;
	const struct fuzz_map inner = {
		.values = rows->v, .n = (uint32_t)rows->n, .value_size = sizeof(struct sp_row)};
	struct policy_tuple t = tuple_of(h);
	struct policy_verdict want;
	struct policy_answer got;
	int r;

	policies = (struct fuzz_map){.n = 1, .inner = &inner};
	rule_counters =
		(struct fuzz_map){.values = &counter, .n = 1, .value_size = sizeof(counter)};
	policy_match(p, &t, &want);
	ask(&t, &got);
	require(same(&got, &want));
	change_rows(rows, changes, n, h->changes & SEAL);
	r = ask(&t, &got);
	if (n <= 1 && !(h->changes & SEAL))
		require(same(&got, &want) || r == SP_R_POLICY_BROKEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	struct change changes[CHANGES_MAX];
	struct head h;
	char error[200];
	size_t n;

	if (size < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	data += sizeof(h);
	size -= sizeof(h);
	n = h.changes & CHANGES_MAX;
	if (size < n * sizeof(*changes))
		return 0;
	memcpy(changes, data, n * sizeof(*changes));
	data += n * sizeof(*changes);
	size -= n * sizeof(*changes);
	if (policy_parse((const char *)data, size, &p, NULL) < 0 ||
	    policy_compile(p, 1, policy_digest((const char *)data, size), &rows, error) < 0)
		return 0;
	check(p, &rows, &h, changes, n);
	return 0;
}
