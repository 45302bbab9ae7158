/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What do the programs make of one frame? */
#include "probe.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "net.h"
#include "testwrap.skel.h"

#define RUNT_ROOM 60 /* a frame of any protocol that a tc test run takes on every kernel */

int prober_open(struct prober *p, struct world *w)
{
	uint32_t zero = 0;
	int fd = dataplane_prog_fd(w->dp, "steer_ingress");

	p->world = w;
	p->wrap = testwrap_bpf__open_and_load();
	if (!p->wrap)
		return -errno;
	return bpf_map_update_elem(bpf_map__fd(p->wrap->maps.target), &zero, &fd, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

void prober_close(struct prober *p)
{
	testwrap_bpf__destroy(p->wrap);
	p->wrap = NULL;
}

size_t probe_bytes(const struct model_frame *f, uint8_t buf[PROBE_MAX], bool tagged)
{
	const uint16_t tag[2] = {htons(f->tag_proto), htons(f->tci)};
	uint16_t proto = htons(f->proto);
	size_t n = 2 * SP_MAC_LEN;

	memcpy(buf, f->dst, SP_MAC_LEN);
	memcpy(buf + SP_MAC_LEN, f->src, SP_MAC_LEN);
	if (tagged && f->tag_proto) {
		memcpy(buf + n, tag, sizeof(tag));
		n += sizeof(tag);
	}
	memcpy(buf + n, &proto, sizeof(proto));
	n += sizeof(proto);
	/* A pattern, so that a byte out of place is seen. */
	for (size_t i = 0; i + MODEL_ETH < f->len; i++)
		buf[n++] = i < sizeof(model_payload) ? model_payload[i] : (uint8_t)(i * 7);
	return n;
}

static int run(int prog_fd, const uint8_t *data, size_t size, void *ctx, uint32_t ctx_size)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (uint32_t)size,
		    .ctx_in = ctx, .ctx_size_in = ctx_size, .repeat = 1);

	return bpf_prog_test_run_opts(prog_fd, &opts) < 0 ? -errno : (int)opts.retval;
}

int probe_steer(const struct prober *p, const struct model_frame *f)
{
	struct __sk_buff ctx = {.ifindex = p->world->ifindex[f->dev],
				.cb = {f->tag_proto, f->tci},
				.gso_size = f->gso_size};
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(f, buf, false);

	if (n < RUNT_ROOM) {
		memset(buf + n, 0, RUNT_ROOM - n);
		ctx.cb[2] = (uint32_t)n;
		n = RUNT_ROOM;
	}
	return run(bpf_program__fd(p->wrap->progs.wrap), buf, n, &ctx, sizeof(ctx));
}

int probe_guard(const struct prober *p, const struct model_frame *f)
{
	uint8_t buf[PROBE_MAX];
	size_t n = probe_bytes(f, buf, true);
	struct xdp_md ctx = {.data_end = (uint32_t)n, .ingress_ifindex = p->world->ifindex[f->dev]};

	return run(dataplane_prog_fd(p->world->dp, "guard"), buf, n, &ctx, sizeof(ctx));
}

/* The bytes that destination D of frame F must get. */
static size_t copy_bytes(const struct model_frame *f, const struct sp_dst *d,
			 uint8_t buf[PROBE_MAX])
{
	static const uint8_t none[SP_MAC_LEN];
	struct model_frame out = *f;

	out.tag_proto = d->vid ? 0x8100 : 0;
	out.tci = d->vid;
	if (memcmp(d->mac, none, SP_MAC_LEN) != 0)
		memcpy(out.dst, d->mac, SP_MAC_LEN);
	return probe_bytes(&out, buf, true);
}

static char why[256];

/* What has come out of one device, against what should have. */
static const char *check_device(const struct prober *p, enum world_dev dev,
				const struct model_frame *f, const struct model_result *expected)
{
	uint8_t got[PROBE_MAX], want[PROBE_MAX];
	ssize_t n;

	for (size_t i = 0; i < expected->n_dst; i++) {
		const struct sp_dst *d = &expected->dst[i];
		size_t len;

		if (d->ifindex != p->world->ifindex[dev])
			continue;
		n = net_tap_recv(p->world->tap[dev], got, sizeof(got), 0);
		len = copy_bytes(f, d, want);
		if (n == (ssize_t)len && memcmp(got, want, len) == 0)
			continue;
		snprintf(why, sizeof(why), "the copy for port %u on %s: %zd bytes, expected %zu%s",
			 d->port, world_dev_name[dev], n, len,
			 n == (ssize_t)len ? ", and they differ" : "");
		return why;
	}
	n = net_tap_recv(p->world->tap[dev], got, sizeof(got), 0);
	if (n == -EAGAIN)
		return NULL;
	snprintf(why, sizeof(why), "%s: a frame that nobody should get (%zd)", world_dev_name[dev],
		 n);
	return why;
}

/* What a failed check has left must not fail the next one. */
static void drain(const struct prober *p)
{
	uint8_t buf[PROBE_MAX];

	for (int d = 0; d < _W_DEVS; d++)
		while (net_tap_recv(p->world->tap[d], buf, sizeof(buf), 0) >= 0)
			;
}

const char *probe_check_copies(const struct prober *p, const struct model_frame *f,
			       const struct model_result *expected)
{
	for (int d = 0; d < _W_DEVS; d++) {
		const char *wrong = check_device(p, d, f, expected);

		if (wrong) {
			drain(p);
			return wrong;
		}
	}
	return NULL;
}
