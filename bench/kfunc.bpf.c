// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What if nf_conntrack kept the connections? Our own program on a machine's port, step for step,
 * which asks nf_conntrack by its kfuncs for the flow, and makes one there. They look at no state
 * and at no window. And one that gives each frame another source. IPv4 and TCP only.
 */
#include "bpf/steer.bpf.c"

/* Addresses are a segment's own, and so must be its connections: a namespace for each, by its id.
 */
#define SEGMENT_NETNS 1
#define IPS_SEEN_REPLY_ASSURED 6 /* uapi/linux/netfilter/nf_conntrack_common.h */
#define ESTABLISHED_MS 432000000
#define NEW_MS 120000

/* Of the kernel; those that its kfuncs are asked with. */
struct nf_conn {
	unsigned long status;
};
struct nf_conn___init {
	struct nf_conn ct;
};

struct bpf_sock_tuple {
	__be32 saddr, daddr;
	__be16 sport, dport;
};

struct bpf_ct_opts {
	__s32 netns_id, error;
	__u8 l4proto, dir, reserved[2];
};

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *, struct bpf_sock_tuple *, __u32,
					 struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *, struct bpf_sock_tuple *, __u32,
					       struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn___init *, __u32) __ksym;
extern int bpf_ct_set_status(const struct nf_conn___init *, __u32) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *, __u32) __ksym;
extern void bpf_ct_release(struct nf_conn *) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

/* Ethernet, IPv4 without options, TCP. */
struct headers {
	__u8 dst[6], src[6];
	__be16 proto;
	__u8 ip[12];
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u8 tcp[16];
} __attribute__((packed));

static __always_inline struct bpf_sock_tuple tuple_of(const struct packet *p)
{
	return (struct bpf_sock_tuple){p->src.w[3], p->dst.w[3], p->sport, p->dport};
}

/* Does nf_conntrack know of it? Then it is told that it is alive. */
static __always_inline bool ask_conntrack(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_ct_opts opts = {.netns_id = SEGMENT_NETNS, .l4proto = PROTO_TCP};
	struct bpf_sock_tuple t = tuple_of(p);
	struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, sizeof(t), &opts, sizeof(opts));

	if (!ct)
		return false;
	bpf_ct_change_timeout(ct, ESTABLISHED_MS);
	bpf_ct_release(ct);
	return true;
}

static __always_inline bool make_flow_there(struct __sk_buff *skb, const struct packet *p, __u32 ms)
{
	struct bpf_ct_opts opts = {.netns_id = SEGMENT_NETNS, .l4proto = PROTO_TCP};
	struct bpf_sock_tuple t = tuple_of(p);
	struct nf_conn___init *n = bpf_skb_ct_alloc(skb, &t, sizeof(t), &opts, sizeof(opts));
	struct nf_conn *ct;

	if (!n)
		return false;
	bpf_ct_set_timeout(n, ms);
	bpf_ct_set_status(n, IPS_SEEN_REPLY_ASSURED);
	ct = bpf_ct_insert_entry(n);
	if (!ct)
		return false;
	bpf_ct_release(ct);
	return true;
}

/*
 * steer_machine, but for its flows: whoever is in nf_conntrack passes; MAKE: who is not gets there,
 * if the machine's policy lets it out.
 */
static __always_inline int steer_by_conntrack(struct __sk_buff *skb, bool make)
{
	struct policy_answer a = {};
	struct policy_question q = {.direction = POLICY_OUT, .state = POLICY_NEW};
	const struct sp_bind *bind;
	struct sp_machine *self;
	const struct sp_dst *d;
	struct frame f = {};
	struct desk *k;
	int r;

	bind = parse_skb(skb, &f) ? NULL : find_binding(&f);
	if (!bind)
		return TC_ACT_SHOT;
	self = find_machine(bind->port);
	k = clear_desk();
	if (!self || !k || judge_rate(bind->port, f.len))
		return TC_ACT_SHOT;
	d = find_destination(&f, bind->segment);
	if (!d || read_packet(skb, &f, &k->p) || judge_sender(skb, &f, bind, self, &k->p) ||
	    judge_unicast(&f, bind, d))
		return TC_ACT_SHOT;
	if (!ask_conntrack(skb, &k->p)) {
		q.port = bind->port;
		if (!make || policy_judge(&q, &k->p, &a) || !make_flow_there(skb, &k->p, NEW_MS))
			return TC_ACT_SHOT;
	}
	r = depart(skb, &f, bind, d, GO_ON);
	if (r)
		return r;
	note_from(self, &f, whereabouts(bind->port, bind->segment), 0);
	return send(skb, d);
}

SEC("tc")
int kfunc_steer(struct __sk_buff *skb)
{
	return steer_by_conntrack(skb, false);
}

SEC("tc")
int kfunc_setup(struct __sk_buff *skb)
{
	return steer_by_conntrack(skb, true);
}

/* A connection that is there. */
SEC("tc")
int kfunc_open(struct __sk_buff *skb)
{
	struct desk *k = clear_desk();
	struct frame f = {};

	return k && !parse_skb(skb, &f) && !read_packet(skb, &f, &k->p) &&
			       make_flow_there(skb, &k->p, ESTABLISHED_MS)
		       ? 0
		       : -1;
}

__u32 vary_state, flows_open;

/* Another source port each time, and after them another destination; then `next`. */
SEC("tc")
int vary(struct __sk_buff *skb)
{
	struct headers *h = (void *)(long)skb->data;
	__u32 i = vary_state++;

	if ((void *)(h + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	h->sport = bpf_htons(10000 + i % 50000);
	h->daddr = bpf_htonl(0x0a010001 + i / 50000);
	bpf_tail_call(skb, &next, 0);
	return TC_ACT_SHOT;
}

/* To another of `flows_open` connections each time, as bench_flow opens them; then `next`. */
SEC("tc")
int visit(struct __sk_buff *skb)
{
	struct headers *h = (void *)(long)skb->data;
	__u32 i = vary_state++ % (flows_open ?: 1);

	if ((void *)(h + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	h->dport = bpf_htons(10000 + i % 50000);
	h->daddr = bpf_htonl(0x0a010001 + i / 50000);
	bpf_tail_call(skb, &next, 0);
	return TC_ACT_SHOT;
}
