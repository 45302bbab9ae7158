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

/* The places of testwrap's `target`. */
enum target { TARGET_STEER, TARGET_MACHINE };

int prober_open(struct prober *p, struct world *w)
{
	static const char *const programs[] = {"steer_ingress", "steer_machine"};

	p->world = w;
	p->wrap = testwrap_bpf__open_and_load();
	if (!p->wrap)
		return -errno;
	for (uint32_t i = 0; i < SP_ARRAY_SIZE(programs); i++) {
		int fd = dataplane_prog_fd(w->dp, programs[i]);

		if (bpf_map_update_elem(bpf_map__fd(p->wrap->maps.target), &i, &fd, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

void prober_close(struct prober *p)
{
	testwrap_bpf__destroy(p->wrap);
	p->wrap = NULL;
}

size_t probe_bytes(const struct model_frame *f, uint8_t buf[PROBE_MAX], bool tagged)
{
	const uint16_t tag[2] = {htons(f->tag_proto), htons(f->tci)};
	const size_t macs = 2 * (size_t)SP_MAC_LEN;
	size_t n = model_bytes(f, buf);

	if (!tagged || !f->tag_proto)
		return n;
	memmove(buf + macs + sizeof(tag), buf + macs, n - macs);
	memcpy(buf + macs, tag, sizeof(tag));
	return n + sizeof(tag);
}

int probe_steer(struct prober *p, const struct model_frame *f)
{
	struct __sk_buff ctx = {.ifindex = p->world->ifindex[f->dev],
				.cb = {f->tag_proto, f->tci, 0,
				       world_is_machine(f->dev) ? TARGET_MACHINE : TARGET_STEER},
				.gso_size = f->gso_size};
	uint8_t buf[PROBE_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = buf, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .data_out = p->out, .data_size_out = PROBE_MAX,
		    .repeat = 1);
	size_t n = probe_bytes(f, buf, false);

	if (n < RUNT_ROOM) {
		memset(buf + n, 0, RUNT_ROOM - n);
		ctx.cb[2] = (uint32_t)n;
		n = RUNT_ROOM;
	}
	opts.data_size_in = (uint32_t)n;
	if (bpf_prog_test_run_opts(bpf_program__fd(p->wrap->progs.wrap), &opts) < 0)
		return -errno;
	p->out_len = opts.data_size_out;
	return (int)opts.retval;
}

static int run(int prog_fd, const uint8_t *data, size_t size, void *ctx, uint32_t ctx_size)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (uint32_t)size,
		    .ctx_in = ctx, .ctx_size_in = ctx_size, .repeat = 1);

	return bpf_prog_test_run_opts(prog_fd, &opts) < 0 ? -errno : (int)opts.retval;
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

const char *probe_check_out(const struct prober *p, const struct model_frame *f,
			    const struct model_result *expected)
{
	uint8_t want[PROBE_MAX];
	size_t n = expected->answer_len;

	if (expected->reason || expected->group || expected->parked)
		return NULL;
	if (n)
		memcpy(want, expected->answer, n);
	else
		n = probe_bytes(f, want, false);
	if (p->out_len == n && memcmp(p->out, want, n) == 0)
		return NULL;
	snprintf(why, sizeof(why), "it left as %zu bytes, expected %zu%s", p->out_len, n,
		 p->out_len == n ? ", and they differ" : "");
	return why;
}

struct notices {
	const struct model_frame *f;
	const struct model_result *expected;
	uint32_t segment;
	size_t n;
	const char *wrong;
};

static const char *check_notice(const struct notices *c, const struct sp_notice *n)
{
	const struct model_notice *want = &c->expected->notices[c->n];
	uint8_t bytes[PROBE_MAX];

	if (c->n >= c->expected->n_notices)
		return "a notice that nobody expects";
	if (n->kind != want->kind || n->port != want->port || n->segment != c->segment ||
	    n->len != c->f->len || n->from_port != want->from_port || n->time_ns == 0 || n->pad)
		return "a notice, and its fields are wrong";
	if (memcmp(n->addr, want->addr, sizeof(n->addr)) != 0)
		return "a notice, and its address is wrong";
	if (n->kind == SP_NOTICE_PARKED && memcmp(((const struct sp_parked *)n)->data, bytes,
						  probe_bytes(c->f, bytes, false)) != 0)
		return "a parked frame, and its bytes differ";
	return NULL;
}

static void on_notice(const struct sp_notice *n, void *arg)
{
	struct notices *c = arg;
	const char *wrong = check_notice(c, n);

	c->n++;
	if (!wrong || c->wrong)
		return;
	snprintf(why, sizeof(why), "%s: kind %u, port %u", wrong, n->kind, n->port);
	c->wrong = why;
}

const char *probe_check_notices(struct prober *p, const struct model_frame *f,
				const struct model_result *expected, uint32_t segment)
{
	struct notices c = {.f = f, .expected = expected, .segment = segment};

	if (dataplane_notices_drain(p->world->dp, on_notice, &c) < 0)
		return "the notices cannot be read";
	if (c.wrong || c.n == expected->n_notices)
		return c.wrong;
	snprintf(why, sizeof(why), "%zu notices, expected %zu", c.n, expected->n_notices);
	return why;
}
