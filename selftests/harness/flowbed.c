/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What do machines and sessions need to talk through the firewall? */
#include "flowbed.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "talk.h"
#include "world.h"

#define LOOPBACK 1
#define MAX_LEN 4096 /* an MSS with options on top is nobody's concern here */
#define FRAME_MAX 4200
#define ETH_HLEN 14
#define TC_ACT_REDIRECT 7
#define TC_ACT_SHOT 2

static void mac_of(enum flowbed_end e, uint8_t mac[SP_MAC_LEN])
{
	uint8_t last = e == BED_FAR ? BED_TWO ^ BED_ONE ^ BED_SESSION : (uint8_t)e;
	const uint8_t m[SP_MAC_LEN] = {2, 0, 0, 0, 9, last};

	memcpy(mac, m, sizeof(m));
}

static int add_end(struct flowbed *b, enum flowbed_end e)
{
	bool machine = e != BED_SESSION && e != BED_OTHER_SESSION && e != BED_FAR;
	bool other = e == BED_OTHER || e == BED_OTHER_SESSION;
	uint32_t segment = FLOWBED_SEGMENT + other;
	const struct sp_dst dst = {.ifindex = LOOPBACK,
				   .port = (uint32_t)e,
				   .max_len = MAX_LEN,
				   .kind = machine ? SP_PORT_MACHINE : SP_PORT_NETNS};
	const struct sp_bind bind = {.segment = segment, .port = (uint32_t)e};
	const struct sp_machine m = {.slot = FLOWBED_SLOT + other};
	uint8_t mac[SP_MAC_LEN];
	int r = 0;

	mac_of(e, mac);
	b->prog[e] = dataplane_prog_fd(b->dp, machine ? "steer_machine" : "steer_ingress");
	if (machine)
		r = dataplane_machine_begin(b->dp, (uint32_t)e, &m);
	r = r ?: dataplane_fdb_set(b->dp, segment, mac, &dst);
	return r ?: dataplane_bind(b->dp, LOOPBACK, 0, mac, &bind);
}

static int begin_slot(struct flowbed *b, const struct dataplane_budget *budget,
		      uint64_t pick_up_until_ns)
{
	int r = dataplane_slot_begin(b->dp, FLOWBED_SLOT, FLOWBED_SEGMENT, budget,
				     pick_up_until_ns);

	return r ?: dataplane_slot_make(b->dp, FLOWBED_SLOT);
}

static int open_bed(struct flowbed *b, uint32_t flows, bool long_way)
{
	const struct dataplane_options options = {.max_bindings = 64,
						  .max_ports = FLOWBED_PORTS,
						  .flows = flows,
						  .long_way = long_way,
						  .unpinned = true};
	const struct dataplane_budget budget = {.flows = flows};
	_cleanup_free_
	char *error = NULL;
	int r;

	*b = (struct flowbed){.dp = NULL};
	r = dataplane_open(&options, &b->dp, &error);
	r = r ?: begin_slot(b, &budget, 0);
	r = r ?: dataplane_timeouts_set(b->dp, &world_timeouts);
	for (int e = BED_ONE; e < BED_OTHER && r == 0; e++)
		r = add_end(b, (enum flowbed_end)e);
	r = r ?: add_end(b, BED_FAR);
	if (r < 0) {
		fprintf(stderr, "flowbed: %s%s%s\n", strerror(-r), error ? ": " : "", error ?: "");
		flowbed_close(b);
	}
	return r;
}

int flowbed_open(struct flowbed *b, uint32_t flows)
{
	return open_bed(b, flows, false);
}

int flowbed_open_long(struct flowbed *b, uint32_t flows)
{
	return open_bed(b, flows, true);
}

void flowbed_close(struct flowbed *b)
{
	dataplane_close(b->dp);
	b->dp = NULL;
}

/* Machines that begin anew end their flows one by one: new tables would wait for RCU, each time. */
int flowbed_reset(struct flowbed *b, const struct dataplane_budget *budget,
		  uint64_t pick_up_until_ns)
{
	const struct sp_machine m = {.slot = FLOWBED_SLOT};
	int r = 0;

	for (uint32_t port = BED_ONE; port <= BED_TWO && r == 0; port++)
		r = dataplane_machine_begin(b->dp, port, &m);
	return r
		       ?: dataplane_slot_begin(b->dp, FLOWBED_SLOT, FLOWBED_SEGMENT, budget,
					       pick_up_until_ns);
}

int flowbed_send(struct flowbed *b, enum flowbed_end from, enum flowbed_end to, const uint8_t *ip,
		 size_t n)
{
	struct __sk_buff ctx = {.ifindex = LOOPBACK, .ingress_ifindex = LOOPBACK};
	uint8_t frame[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = 1);

	if (n > sizeof(frame) - ETH_HLEN)
		return -EMSGSIZE;
	mac_of(to, frame);
	mac_of(from, frame + SP_MAC_LEN);
	frame[12] = ip[0] >> 4 == 6 ? 0x86 : 0x08;
	frame[13] = ip[0] >> 4 == 6 ? 0xdd : 0x00;
	memcpy(frame + ETH_HLEN, ip, n);
	opts.data_size_in = (uint32_t)(ETH_HLEN + n);
	if (bpf_prog_test_run_opts(b->prog[from], &opts) < 0)
		return -errno;
	if (opts.retval == TC_ACT_REDIRECT)
		return 0;
	return opts.retval == TC_ACT_SHOT ? 1 : -EPROTO;
}

int flowbed_other(struct flowbed *b, uint32_t flows)
{
	const struct dataplane_budget budget = {.flows = flows};
	int r = dataplane_slot_begin(b->dp, FLOWBED_SLOT + 1, FLOWBED_SEGMENT + 1, &budget, 0);

	r = r ?: dataplane_slot_make(b->dp, FLOWBED_SLOT + 1);
	r = r ?: add_end(b, BED_OTHER);
	return r ?: add_end(b, BED_OTHER_SESSION);
}

int flowbed_send_other(struct flowbed *b, uint32_t number)
{
	struct talk t = {.n = 1,
			 .packet = {{.proto = 17,
				     .quotes = -1,
				     .port = {(uint16_t)number, (uint16_t)(1 + (number >> 16))}}}};
	uint8_t ip[TALK_BYTES];
	size_t n = talk_bytes(&t, 0, ip);

	return flowbed_send(b, BED_OTHER_SESSION, BED_OTHER, ip, n);
}

enum sp_reason flowbed_reason(struct flowbed *b)
{
	enum sp_reason why = SP_R_NONE;

	for (unsigned int i = 1; i < _SP_R_MAX; i++) {
		struct sp_reason_count c;

		if (!sp_reason_exists(i) || dataplane_reason_get(b->dp, (enum sp_reason)i, &c) < 0)
			continue;
		if (c.frames != b->drops[i])
			why = (enum sp_reason)i;
		b->drops[i] = c.frames;
	}
	return why;
}

static int count_one(const struct dataplane_flow *flow, void *arg)
{
	++*(long *)arg;
	return 0;
}

long flowbed_count(struct flowbed *b)
{
	long n = 0;

	for (uint32_t table = 0;; table++) {
		int r = dataplane_each_flow(b->dp, FLOWBED_SLOT, table, count_one, &n);

		if (r == -ENOENT)
			return n;
		if (r < 0)
			return -1;
	}
}
