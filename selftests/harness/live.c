/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where do frames go in and come out? */
#include "live.h"

#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "net.h"

/* --- frames --- */

ssize_t live_receive(struct live *l, enum world_dev d, uint8_t *buf, size_t size, int timeout_ms)
{
	if (l->far_fd[d] >= 0)
		return net_packet_recv(l->far_fd[d], buf, size, timeout_ms);
	if (l->world.tap[d] < 0)
		return -EAGAIN; /* it was removed */
	if (world_is_machine(d))
		return net_vnet_recv(l->world.tap[d], NULL, buf, size, timeout_ms);
	return net_tap_recv(l->world.tap[d], buf, size, timeout_ms);
}

void live_drain(struct live *l)
{
	uint8_t buf[LIVE_MAX];

	for (int d = 0; d < _W_DEVS; d++)
		while (live_receive(l, d, buf, sizeof(buf), 0) >= 0)
			;
}

void live_send_bytes(struct live *l, enum world_dev d, const uint8_t *bytes, size_t n)
{
	int fd = l->far_fd[d] >= 0 ? l->far_fd[d] : l->world.tap[d];

	if (world_is_machine(d))
		assert_int_equal(net_vnet_send(fd, NULL, bytes, n), n);
	else
		assert_int_equal(write(fd, bytes, n), n);
}

void live_send(struct live *l, const struct model_frame *f)
{
	uint8_t buf[PROBE_MAX];

	live_send_bytes(l, f->dev, buf, probe_bytes(f, buf, true));
}

void live_expect_bytes(struct live *l, enum world_dev d, const uint8_t *want, size_t len)
{
	uint8_t got[LIVE_MAX];
	ssize_t n = live_receive(l, d, got, sizeof(got), LIVE_WAIT_MS);

	if (n != (ssize_t)len)
		fail_msg("%s: %zd bytes, expected %zu", world_dev_name[d], n, len);
	assert_memory_equal(got, want, len);
}

void live_expect(struct live *l, enum world_dev d, const struct model_frame *f, uint16_t vid)
{
	struct model_frame out = *f;
	uint8_t want[PROBE_MAX];

	out.tag_proto = vid ? 0x8100 : 0;
	out.tci = vid;
	live_expect_bytes(l, d, want, probe_bytes(&out, want, true));
}

void live_expect_nothing(struct live *l)
{
	uint8_t buf[LIVE_MAX];

	usleep(LIVE_QUIET_MS * 1000);
	for (int d = 0; d < W_STRANGER; d++) { /* that one is nobody's to guard */
		ssize_t n = live_receive(l, d, buf, sizeof(buf), 0);

		if (n != -EAGAIN)
			fail_msg("%s: a frame that nobody should get: %zd", world_dev_name[d], n);
	}
}

struct model_frame live_frame(enum world_dev dev, uint16_t vid, enum world_mac dst,
			      enum world_mac src, uint16_t proto, uint16_t len)
{
	struct model_frame f = {.dev = dev, .tci = vid, .proto = proto, .len = len};

	f.tag_proto = vid ? 0x8100 : 0;
	memcpy(f.dst, world_mac[dst], SP_MAC_LEN);
	memcpy(f.src, world_mac[src], SP_MAC_LEN);
	return f;
}

/* --- opening --- */

static int open_far(struct live *l)
{
	for (int d = 0; d < _W_DEVS; d++) {
		char peer[IF_NAMESIZE];

		if (l->world.tap[d] >= 0)
			continue;
		snprintf(peer, sizeof(peer), "%s-far", world_dev_name[d]);
		l->far_fd[d] = net_packet_open("far", peer);
		if (l->far_fd[d] < 0)
			return l->far_fd[d];
	}
	return 0;
}

/* The far ends send a moment after their carrier came (linkwatch), and until then into nothing. */
static int wait_for_carrier(struct live *l)
{
	static const struct {
		enum world_dev dev;
		enum world_mac src, dst;
	} veths[] = {{W_NET1, M_N1, M_A1},
		     {W_NET2, M_N2, M_A1},
		     {W_NET3, M_N1, M_A1},
		     {W_NET6, M_N6, M_V6}};
	uint8_t buf[PROBE_MAX];

	for (size_t i = 0; i < SP_ARRAY_SIZE(veths); i++) {
		struct model_frame f =
			live_frame(veths[i].dev, 0, veths[i].dst, veths[i].src, 0x0800, 60);
		ssize_t n = -EAGAIN;

		for (int tries = 0; tries < 100 && n < 0; tries++) {
			live_send(l, &f);
			n = live_receive(l, W_VLAN, buf, sizeof(buf), 50);
		}
		if (n < 0)
			return (int)n;
	}
	return 0;
}

int live_open(struct live *l, bool force_clsact)
{
	const struct world_options options = {.live = true, .force_clsact = force_clsact};
	int old, r = net_isolate();

	for (int d = 0; d < _W_DEVS; d++)
		l->far_fd[d] = -1;
	l->clsact = force_clsact;
	if (r == 0)
		r = net_netns_add("far");
	if (r < 0)
		goto out;
	old = net_enter("far");
	net_no_ipv6();
	net_leave(old);
	r = world_open(&l->world, &options);
	if (r == 0) {
		l->tcx = dataplane_features(l->world.dp)->tcx;
		r = open_far(l);
	}
	if (r == 0)
		r = wait_for_carrier(l);
	if (r == 0)
		live_drain(l);
out:
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	return r;
}

void live_close(struct live *l)
{
	for (int d = 0; d < _W_DEVS; d++) {
		closep(&l->far_fd[d]);
		l->far_fd[d] = -1;
	}
	world_close(&l->world);
}
