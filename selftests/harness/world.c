/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which devices and entries do the tests of the dataplane run against? */
#include "world.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "link.h"
#include "net.h"
#include "shape.h"

const uint8_t world_mac[_M_MACS][SP_MAC_LEN] = {
	[M_A1] = {2, 0, 0, 0, 1, 1},
	[M_A2] = {2, 0, 0, 0, 1, 2},
	[M_A3] = {2, 0, 0, 0, 1, 3},
	[M_N1] = {2, 0, 0, 0, 2, 1},
	[M_N2] = {2, 0, 0, 0, 2, 2},
	[M_C1] = {2, 0, 0, 0, 3, 1},
	[M_S1] = {2, 0, 0, 0, 3, 2},
	[M_B3] = {2, 0, 0, 0, 4, 3},
	[M_L1] = {2, 0, 0, 0, 5, 1},
	[M_P1] = {2, 0, 0, 0, 6, 1},
	[M_Q1] = {2, 0, 0, 0, 7, 1},
	[M_V6] = {2, 0, 0, 0, 0x61, 1},
	[M_T6] = {2, 0, 0, 0, 0x61, 3},
	[M_N6] = {2, 0, 0, 0, 0x62, 1},
	[M_M1] = {2, 0, 0, 0, 0x63, 1},
	[M_M2] = {2, 0, 0, 0, 0x63, 2},
	[M_M3] = {2, 0, 0, 0, 0x63, 3},
	[M_M4] = {2, 0, 0, 0, 0x63, 4},
	[M_M5] = {2, 0, 0, 0, 0x63, 5},
	[M_M6] = {2, 0, 0, 0, 0x63, 6},
	[M_M7] = {2, 0, 0, 0, 0x63, 7},
	[M_NOBODY] = {2, 0, 0, 0, 9, 9},
	[M_ZERO] = {0},
	[M_BROADCAST] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	[M_MULTICAST] = {0x33, 0x33, 0, 0, 0, 1},
	[M_RESERVED] = {0x01, 0x80, 0xc2, 0, 0, 0},
	[M_RESERVED_F] = {0x01, 0x80, 0xc2, 0, 0, 0x0f},
	[M_NEARLY] = {0x01, 0x80, 0xc2, 0, 0, 0x10},
};

const char *const world_dev_name[_W_DEVS] = {
	[W_VLAN] = "w-vlan",	   [W_MAC] = "w-mac",	     [W_NET1] = "w-net1",
	[W_NET2] = "w-net2",	   [W_NET3] = "w-net3",	     [W_CLOSED] = "w-closed",
	[W_SMALL] = "w-small",	   [W_STRANGER] = "w-other", [W_NET6] = "w-net6",
	[W_PINNED] = "w-pinned",   [W_FREE] = "w-free",	     [W_ASLEEP] = "w-asleep",
	[W_BOOTING] = "w-booting", [W_ROUTER] = "w-router",  [W_FULL] = "w-full",
	[W_FLOODER] = "w-flooder", [W_OTHER] = "w-seven",
};

#define PORT(d, number, seg, what, fl, len)                                                        \
	{                                                                                          \
		(d),                                                                               \
		{                                                                                  \
			.port = (number), .segment = (seg), .kind = (what), .flags = (fl),         \
			.max_len = (len)                                                           \
		}                                                                                  \
	}
#define NETNS_PORT(d, number, seg, fl, len) PORT(d, number, seg, SP_PORT_NETNS, fl, len)
#define MACHINE_PORT(d, number, seg) PORT(d, number, seg, SP_PORT_MACHINE, 0, WORLD_MAX_LEN)

const struct world_port world_ports[] = {
	{W_VLAN,
	 {.port = 1, .kind = SP_PORT_VPN, .flags = SP_F_VLAN_MODE, .max_len = WORLD_MAX_LEN}},
	{W_MAC, {.port = 2, .kind = SP_PORT_VPN, .max_len = WORLD_MAX_LEN}},
	NETNS_PORT(W_NET1, 11, 1, 0, WORLD_MAX_LEN),
	NETNS_PORT(W_NET2, 12, 1, 0, WORLD_MAX_LEN),
	NETNS_PORT(W_NET3, 13, 2, 0, WORLD_MAX_LEN),
	NETNS_PORT(W_CLOSED, 14, 1, SP_F_CLOSED, WORLD_MAX_LEN),
	NETNS_PORT(W_SMALL, 15, 1, 0, WORLD_SMALL_LEN),
	NETNS_PORT(W_NET6, 61, 6, 0, WORLD_MAX_LEN),
	MACHINE_PORT(W_PINNED, 31, 6),
	MACHINE_PORT(W_FREE, 32, 6),
	MACHINE_PORT(W_ASLEEP, 33, 6),
	MACHINE_PORT(W_BOOTING, 34, 6),
	MACHINE_PORT(W_ROUTER, 35, 6),
	MACHINE_PORT(W_FULL, 36, 6),
	MACHINE_PORT(W_FLOODER, WORLD_FLOODER, 6),
	MACHINE_PORT(W_OTHER, 38, 7),
};
const size_t world_n_ports = SP_ARRAY_SIZE(world_ports);

const struct world_node world_nodes[] = {
	{W_VLAN, 101, M_A1, 1, 101, true, 0, WORLD_MAX_LEN},
	{W_VLAN, 102, M_A2, 1, 102, true, 0, WORLD_MAX_LEN},
	{W_MAC, 0, M_A3, 1, 103, true, 0, WORLD_MAX_LEN},
	{W_NET1, 0, M_N1, 1, 11, true, 0, WORLD_MAX_LEN},
	{W_NET2, 0, M_N2, 1, 12, true, 0, WORLD_MAX_LEN},
	{W_CLOSED, 0, M_C1, 1, 14, false, SP_F_CLOSED, WORLD_MAX_LEN},
	{W_SMALL, 0, M_S1, 1, 15, true, 0, WORLD_SMALL_LEN},
	/* The same addresses in another segment (VLAN mode allows it). */
	{W_VLAN, 201, M_A1, 2, 201, true, 0, WORLD_MAX_LEN},
	{W_MAC, 0, M_B3, 2, 203, true, 0, WORLD_MAX_LEN},
	{W_NET3, 0, M_N1, 2, 13, true, 0, WORLD_MAX_LEN},
	{W_VLAN, 301, M_L1, 3, 301, true, 0, WORLD_MAX_LEN},
	{W_VLAN, 401, M_P1, 4, WORLD_POLICED, true, 0, WORLD_MAX_LEN},
	{W_VLAN, 501, M_Q1, WORLD_NO_FLOOD, 501, true, 0, WORLD_MAX_LEN},
	{W_VLAN, 461, M_V6, 6, 461, true, 0, WORLD_MAX_LEN},
	{W_MAC, 0, M_T6, 6, 463, true, 0, WORLD_MAX_LEN},
	{W_NET6, 0, M_N6, 6, 61, true, 0, WORLD_MAX_LEN},
	{W_PINNED, 0, M_M1, 6, 31, true, 0, WORLD_MAX_LEN},
	{W_FREE, 0, M_M2, 6, 32, true, 0, WORLD_MAX_LEN},
	{W_ASLEEP, 0, M_M3, 6, 33, true, SP_F_ASLEEP, WORLD_MAX_LEN},
	{W_BOOTING, 0, M_M4, 6, 34, true, 0, WORLD_MAX_LEN},
	{W_ROUTER, 0, M_M5, 6, 35, true, 0, WORLD_MAX_LEN},
	{W_FULL, 0, M_M6, 6, 36, true, SP_F_ASLEEP, WORLD_MAX_LEN},
	{W_FLOODER, 0, M_M7, 6, WORLD_FLOODER, true, 0, WORLD_MAX_LEN},
	{W_VLAN, 471, M_V6, 7, 471, true, 0, WORLD_MAX_LEN},
	{W_OTHER, 0, M_M1, 7, 38, true, 0, WORLD_MAX_LEN},
};
const size_t world_n_nodes = SP_ARRAY_SIZE(world_nodes);

#define PARK_MAX 3 /* few, so that the end of it is met */

const struct world_machine world_machines[] = {
	{W_PINNED, 31, 6, SP_M_PINNED, PARK_MAX, false},
	{W_FREE, 32, 6, 0, PARK_MAX, false},
	{W_ASLEEP, 33, 6, SP_M_PROXY | SP_M_PINNED, PARK_MAX, true},
	{W_BOOTING, 34, 6, SP_M_PROXY | SP_M_PINNED | SP_M_ROUTER, PARK_MAX, false},
	{W_ROUTER, 35, 6, SP_M_ROUTER | SP_M_DHCP, PARK_MAX, false},
	/* Nobody answers for it: it is not to be woken. */
	{W_FULL, 36, 6, SP_M_PINNED | SP_M_ROUTER, 0, true},
	{W_FLOODER, WORLD_FLOODER, 6, 0, PARK_MAX, false},
	{W_OTHER, 38, 7, SP_M_PINNED, PARK_MAX, false},
};
const size_t world_n_machines = SP_ARRAY_SIZE(world_machines);

#define TICKS(s) ((uint32_t)((s)*1000000000ULL >> SP_TICK_SHIFT))

const struct sp_timeouts world_timeouts = {
	.ticks = {[SP_FLOW_SYN_SENT] = TICKS(120),
		  [SP_FLOW_SYN_RECV] = TICKS(60),
		  [SP_FLOW_ESTABLISHED] = TICKS(432000),
		  [SP_FLOW_FIN_WAIT] = TICKS(120),
		  [SP_FLOW_CLOSE_WAIT] = TICKS(60),
		  [SP_FLOW_LAST_ACK] = TICKS(30),
		  [SP_FLOW_TIME_WAIT] = TICKS(120),
		  [SP_FLOW_CLOSE] = TICKS(10),
		  [SP_FLOW_SYN_SENT2] = TICKS(120),
		  [SP_TIMEOUT_RETRANS] = TICKS(300),
		  [SP_TIMEOUT_UNACKED] = TICKS(300),
		  [SP_TIMEOUT_UDP] = TICKS(30),
		  [SP_TIMEOUT_UDP_STREAM] = TICKS(120),
		  [SP_TIMEOUT_ICMP] = TICKS(30),
		  [SP_TIMEOUT_ICMP6] = TICKS(30),
		  [SP_TIMEOUT_OTHER] = TICKS(600)},
};

const struct world_address world_addresses[] = {
	{6, "10.6.0.1", 31, M_M1},   {6, "fd06::1", 31, M_M1},	{6, "10.6.0.11", 31, M_M1},
	{6, "fe80::63:1", 31, M_M1}, {6, "10.6.0.2", 32, M_M2}, {6, "fd06::2", 32, M_M2},
	{6, "10.6.0.3", 33, M_M3},   {6, "fd06::3", 33, M_M3},	{6, "10.6.0.4", 34, M_M4},
	{6, "fd06::4", 34, M_M4},    {6, "10.6.0.5", 35, M_M5}, {6, "fd06::5", 35, M_M5},
	{6, "10.6.0.6", 36, M_M6},   {6, "fd06::6", 36, M_M6},	{7, "10.6.0.1", 38, M_M1},
	{7, "fd06::1", 38, M_M1},
};
const size_t world_n_addresses = SP_ARRAY_SIZE(world_addresses);

const struct world_machine *world_machine_of(uint32_t port)
{
	for (size_t i = 0; i < world_n_machines; i++)
		if (world_machines[i].port == port)
			return &world_machines[i];
	return NULL;
}

bool world_is_machine(enum world_dev d)
{
	return d >= W_PINNED && d <= W_OTHER;
}

static uint8_t kind_of(enum world_dev d)
{
	if (world_is_machine(d))
		return SP_PORT_MACHINE;
	return d == W_VLAN || d == W_MAC ? SP_PORT_VPN : SP_PORT_NETNS;
}

struct sp_dst world_dst(const struct world *w, const struct world_node *n)
{
	return (struct sp_dst){.ifindex = w->ifindex[n->dev],
			       .port = n->port,
			       .vid = n->vid,
			       .max_len = n->max_len,
			       .kind = kind_of(n->dev),
			       .flags = n->flags};
}

size_t world_flood(const struct world *w, uint32_t segment, struct sp_dst ret[SP_FLOOD_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < world_n_nodes && segment != WORLD_NO_FLOOD; i++) {
		const struct world_node *node = &world_nodes[i];

		if (node->segment != segment || (node->flags & SP_F_ASLEEP))
			continue;
		ret[n] = world_dst(w, node);
		if (node->dev == W_MAC) /* I3 */
			memcpy(ret[n].mac, world_mac[node->mac], SP_MAC_LEN);
		n++;
	}
	return n;
}

int world_dev_of(const struct world *w, uint32_t ifindex)
{
	for (int d = 0; d < _W_DEVS; d++)
		if (w->ifindex[d] == ifindex)
			return d;
	return -ENODEV;
}

/* --- devices --- */

static int make_tap(struct world *w, enum world_dev d)
{
	int r = net_tap_open(world_dev_name[d]);

	if (r < 0)
		return r;
	w->tap[d] = r;
	w->ifindex[d] = if_nametoindex(world_dev_name[d]);
	return w->ifindex[d] ? 0 : -ENODEV;
}

static int make_machine_tap(struct world *w, enum world_dev d)
{
	struct link_info info;
	int r = link_machine_tap_make(world_dev_name[d], 1, 1500, &info);

	if (r < 0)
		return r;
	w->ifindex[d] = info.ifindex;
	r = net_vnet_open(world_dev_name[d], 0);
	if (r < 0)
		return r;
	w->tap[d] = r;
	return 0;
}

static int make_veth(struct world *w, enum world_dev d)
{
	const uint8_t *mac = world_mac[d == W_NET2 ? M_N2 : d == W_NET6 ? M_N6 : M_N1];
	char peer[16];
	struct link_info info;
	int old, r;

	snprintf(peer, sizeof(peer), "%s-far", world_dev_name[d]);
	r = link_veth_make(world_dev_name[d], "far", peer, mac, 1500, &info);
	if (r < 0)
		return r;
	w->ifindex[d] = info.ifindex;
	old = net_enter("far");
	if (old < 0)
		return old;
	r = link_get(peer, &info);
	if (r == 0)
		r = link_set_up(info.ifindex, true);
	net_leave(old);
	return r;
}

static int make_devices(struct world *w, bool live)
{
	int r = 0;

	for (int d = 0; d < _W_DEVS && r == 0; d++) {
		bool veth = d == W_NET1 || d == W_NET2 || d == W_NET3 || d == W_NET6;

		if (live && veth)
			r = make_veth(w, d);
		else if (live && world_is_machine(d))
			r = make_machine_tap(w, d);
		else
			r = make_tap(w, d);
	}
	return r;
}

static int attach_devices(struct world *w, bool live)
{
	int r = 0;

	for (size_t i = 0; i < world_n_ports && r == 0; i++) {
		uint32_t ifindex = w->ifindex[world_ports[i].dev];

		if (live)
			r = dataplane_attach(w->dp, ifindex, &world_ports[i].port);
		else if (bpf_map_update_elem(dataplane_map_fd(w->dp, "ports"), &ifindex,
					     &world_ports[i].port, BPF_ANY) < 0)
			r = -errno;
	}
	for (int d = 0; d < _W_DEVS && r == 0; d++) /* D2 */
		r = link_set_up(w->ifindex[d], true);
	return r;
}

/* --- entries --- */

static int add_node(struct world *w, const struct world_node *n)
{
	const uint8_t *mac = world_mac[n->mac];
	struct sp_dst dst = world_dst(w, n);
	struct sp_vid vid = {.segment = n->segment, .port = n->port, .generation = n->port};
	struct sp_bind bind = {.segment = n->segment, .port = n->port, .generation = n->port};
	int r = dataplane_fdb_set(w->dp, n->segment, mac, &dst);

	if (r == 0 && n->vid)
		r = dataplane_vid_set(w->dp, w->ifindex[n->dev], n->vid, &vid);
	if (r == 0 && n->bound) /* D1 */
		r = dataplane_bind(w->dp, w->ifindex[n->dev], n->vid, mac, &bind);
	return r;
}

static int add_address(struct world *w, const struct world_address *a)
{
	struct sp_address value = {.port = a->port};
	uint8_t addr[16];

	memcpy(value.mac, world_mac[a->mac], SP_MAC_LEN);
	shape_address(a->text, addr);
	return dataplane_address_set(w->dp, a->segment, addr, &value);
}

uint32_t world_slot_of(uint32_t segment)
{
	return segment >= WORLD_FIRST_SLOT ? segment - WORLD_FIRST_SLOT + 1 : 0;
}

/* Live: large frames are of connections that nobody saw begin. */
static int add_slots(struct world *w, bool live)
{
	/* So that a test of many frames does not meet the budget of new ones. */
	const struct dataplane_budget budget = {.flows = WORLD_FLOWS};
	int r = 0;

	for (uint32_t segment = WORLD_FIRST_SLOT; segment <= WORLD_SEGMENTS && r == 0; segment++) {
		uint32_t slot = world_slot_of(segment);

		r = dataplane_slot_begin(w->dp, slot, segment, &budget, live ? UINT64_MAX : 0);
		r = r ?: dataplane_slot_make(w->dp, slot);
	}
	return r ?: dataplane_timeouts_set(w->dp, &world_timeouts);
}

int world_reset_machines(struct world *w)
{
	int r = 0;

	for (size_t i = 0; i < world_n_machines && r == 0; i++) {
		const struct world_machine *m = &world_machines[i];
		const struct sp_machine value = {.flags = m->flags,
						 .park_max = m->park_max,
						 .generation = m->port,
						 .slot = world_slot_of(m->segment)};

		r = dataplane_machine_begin(w->dp, m->port, &value);
		w->parked[m->port] = w->watch[m->port] = 0;
	}
	return r;
}

void world_watch(struct world *w, uint32_t port, uint32_t bits)
{
	dataplane_machine_watch(w->dp, port, bits);
	w->watch[port] |= bits;
}

static int add_entries(struct world *w, bool live)
{
	struct sp_dst list[SP_FLOOD_MAX];
	int r = 0;

	for (uint32_t segment = 1; segment <= WORLD_SEGMENTS && r == 0; segment++) {
		size_t n = world_flood(w, segment, list);

		r = dataplane_flood_set(w->dp, segment, list, n);
	}
	for (size_t i = 0; i < world_n_addresses && r == 0; i++)
		r = add_address(w, &world_addresses[i]);
	r = r ?: add_slots(w, live);
	if (r == 0)
		r = world_reset_machines(w);
	for (size_t i = 0; i < world_n_nodes && r == 0; i++)
		r = add_node(w, &world_nodes[i]);
	return r;
}

/* One byte a second, and in debt for longer than any test runs: full from now on. */
static int fill_bucket(struct world *w, uint32_t port)
{
	struct sp_police p = {.bytes_per_s = 1, .bytes_next_ns = UINT64_MAX / 2};

	return bpf_map_update_elem(dataplane_map_fd(w->dp, "police"), &port, &p, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

int world_open(struct world *w, const struct world_options *o)
{
	struct dataplane_options options = {.bpffs = NET_BPFFS,
					    .max_bindings = 1024,
					    .max_ports = WORLD_PORTS,
					    .flows = WORLD_FLOWS,
					    .sampling = true,
					    .force_clsact = o->force_clsact,
					    .unpinned = !o->live};
	_cleanup_free_
	char *error = NULL;
	int r;

	*w = (struct world){.dp = NULL};
	for (int d = 0; d < _W_DEVS; d++)
		w->tap[d] = -1;
	r = dataplane_open(&options, &w->dp, &error);
	if (r == 0)
		r = make_devices(w, o->live);
	if (r == 0)
		r = attach_devices(w, o->live);
	if (r == 0)
		r = add_entries(w, o->live);
	if (r == 0)
		r = fill_bucket(w, WORLD_POLICED);
	if (r == 0)
		r = fill_bucket(w, WORLD_FLOODER);
	if (r < 0) {
		fprintf(stderr, "world: %s%s%s\n", strerror(-r), error ? ": " : "", error ?: "");
		world_close(w);
	}
	return r;
}

void world_close(struct world *w)
{
	for (int d = 0; d < _W_DEVS; d++) {
		closep(&w->tap[d]);
		w->tap[d] = -1;
		if (w->ifindex[d])
			link_remove(w->ifindex[d]);
		w->ifindex[d] = 0;
	}
	dataplane_close(w->dp);
	w->dp = NULL;
}
