// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What if nf_conntrack kept the connections? A program that steers a machine's frame as ours does for
 * what is established (binding, address, destination, both counters, redirect), and asks nf_conntrack
 * by its kfuncs for the flow; one that makes a flow there; and one that gives each frame another
 * source. IPv4 and TCP only: what else would cost is left out, to its advantage.
 */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench/peers.h"
#include "sallyport/abi.h"

char LICENSE[] SEC("license") = "GPL";

#define TC_ACT_SHOT 2
#define PROTO_TCP 6
#define CURRENT_NETNS (-1)
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

#define TABLE(name, table_type, n, key_type, value_type)                                           \
	struct {                                                                                   \
		__uint(type, table_type);                                                          \
		__uint(max_entries, n);                                                            \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

TABLE(bindings, BPF_MAP_TYPE_HASH, 16384, struct sp_bind_key, struct sp_bind);
TABLE(addresses, BPF_MAP_TYPE_HASH, 16384, struct sp_address_key, struct sp_address);
TABLE(fdb, BPF_MAP_TYPE_HASH, 16384, struct sp_fdb_key, struct sp_dst);
TABLE(counters, BPF_MAP_TYPE_PERCPU_ARRAY, 64, __u32, struct sp_counter);
TABLE(next, BPF_MAP_TYPE_PROG_ARRAY, 1, __u32, __u32);

/* Ethernet, IPv4 without options, TCP. */
struct headers {
	__u8 dst[6], src[6];
	__be16 proto;
	__u8 ip[12];
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u8 tcp[16];
} __attribute__((packed));

static __always_inline bool read_headers(struct __sk_buff *skb, struct headers *h)
{
	return !bpf_skb_load_bytes(skb, 0, h, sizeof(*h)) && h->proto == bpf_htons(0x0800) &&
	       h->ip[9] == PROTO_TCP;
}

static __always_inline struct bpf_sock_tuple tuple_of(const struct headers *h)
{
	return (struct bpf_sock_tuple){h->saddr, h->daddr, h->sport, h->dport};
}

static __always_inline void count(__u32 port, __u32 len)
{
	struct sp_counter *c = bpf_map_lookup_elem(&counters, &port);

	if (c) {
		c->rx_frames++;
		c->rx_bytes += len;
	}
}

static __always_inline const struct sp_dst *steer(struct __sk_buff *skb, const struct headers *h)
{
	struct sp_bind_key b = {.ifindex = skb->ingress_ifindex};
	struct sp_address_key a = {};
	struct sp_fdb_key f = {};
	const struct sp_address *owner;
	const struct sp_bind *bind;

	__builtin_memcpy(b.mac, h->src, sizeof(b.mac));
	bind = bpf_map_lookup_elem(&bindings, &b);
	if (!bind)
		return NULL;
	a.segment = f.segment = bind->segment;
	a.addr[10] = a.addr[11] = 0xff;
	__builtin_memcpy(a.addr + 12, &h->saddr, 4);
	owner = bpf_map_lookup_elem(&addresses, &a);
	if (!owner || owner->port != bind->port)
		return NULL;
	__builtin_memcpy(f.mac, h->dst, sizeof(f.mac));
	count(bind->port, skb->len);
	return bpf_map_lookup_elem(&fdb, &f);
}

SEC("tc")
int kfunc_steer(struct __sk_buff *skb)
{
	struct bpf_ct_opts opts = {.netns_id = CURRENT_NETNS, .l4proto = PROTO_TCP};
	struct bpf_sock_tuple t;
	const struct sp_dst *d;
	struct nf_conn *ct;
	struct headers h;

	if (!read_headers(skb, &h))
		return TC_ACT_SHOT;
	d = steer(skb, &h);
	if (!d)
		return TC_ACT_SHOT;
	t = tuple_of(&h);
	ct = bpf_skb_ct_lookup(skb, &t, sizeof(t), &opts, sizeof(opts));
	if (!ct)
		return TC_ACT_SHOT;
	bpf_ct_change_timeout(ct, ESTABLISHED_MS);
	bpf_ct_release(ct);
	count(d->port, skb->len);
	return bpf_redirect(d->ifindex, 0);
}

static __always_inline int open_flow(struct __sk_buff *skb, const struct headers *h, __u32 ms)
{
	struct bpf_ct_opts opts = {.netns_id = CURRENT_NETNS, .l4proto = PROTO_TCP};
	struct bpf_sock_tuple t = tuple_of(h);
	struct nf_conn___init *n = bpf_skb_ct_alloc(skb, &t, sizeof(t), &opts, sizeof(opts));
	struct nf_conn *ct;

	if (!n)
		return -1;
	bpf_ct_set_timeout(n, ms);
	bpf_ct_set_status(n, IPS_SEEN_REPLY_ASSURED);
	ct = bpf_ct_insert_entry(n);
	if (!ct)
		return -1;
	bpf_ct_release(ct);
	return 0;
}

/* A connection that is there. */
SEC("tc")
int kfunc_open(struct __sk_buff *skb)
{
	struct headers h;

	return read_headers(skb, &h) ? open_flow(skb, &h, ESTABLISHED_MS) : -1;
}

/* The first frame of one: it is not there, and is made. */
SEC("tc")
int kfunc_setup(struct __sk_buff *skb)
{
	struct bpf_ct_opts opts = {.netns_id = CURRENT_NETNS, .l4proto = PROTO_TCP};
	struct bpf_sock_tuple t;
	const struct sp_dst *d;
	struct nf_conn *ct;
	struct headers h;

	if (!read_headers(skb, &h))
		return TC_ACT_SHOT;
	d = steer(skb, &h);
	if (!d)
		return TC_ACT_SHOT;
	t = tuple_of(&h);
	ct = bpf_skb_ct_lookup(skb, &t, sizeof(t), &opts, sizeof(opts));
	if (ct) {
		bpf_ct_release(ct);
		return TC_ACT_SHOT;
	}
	if (open_flow(skb, &h, NEW_MS))
		return TC_ACT_SHOT;
	count(d->port, skb->len);
	return bpf_redirect(d->ifindex, 0);
}

__u32 vary_state;

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
