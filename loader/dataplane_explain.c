/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What would become of a frame? The programs themselves say it: loaded once more, to look only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane.h"
#include "dataplane_internal.h"
#include "guard.skel.h"
#include "steer.skel.h"

#define MACS (2 * SP_MAC_LEN)
#define TAG 4

struct explainer {
	struct guard_bpf *guard;
	struct steer_bpf *steer;
};

static int load_guard(struct explainer *x, struct dataplane *dp)
{
	int r;

	x->guard = guard_bpf__open();
	if (!x->guard)
		return -errno;
	*x->guard->rodata = *dp->guard->rodata;
	x->guard->rodata->sp_explain = 1;
	r = dataplane_share_maps(dp, x->guard->obj);
	return r ?: guard_bpf__load(x->guard);
}

static int load_steer(struct explainer *x, struct dataplane *dp)
{
	struct bpf_program *p;
	int r;

	x->steer = steer_bpf__open();
	if (!x->steer)
		return -errno;
	bpf_object__for_each_program(p, x->steer->obj) bpf_program__set_autoload(
		p, p == x->steer->progs.steer_explained || p == x->steer->progs.steer_machine);
	*x->steer->rodata = *dp->steer->rodata;
	x->steer->rodata->sp_explain = 1;
	r = dataplane_share_maps(dp, x->steer->obj);
	return r ?: steer_bpf__load(x->steer);
}

int explainer_new(struct dataplane *dp, struct explainer **ret)
{
	struct explainer *x = calloc(1, sizeof(*x));
	int r = x ? load_guard(x, dp) : -ENOMEM;

	r = r ?: load_steer(x, dp);
	if (r < 0)
		explainer_free(x);
	else
		*ret = x;
	return r;
}

struct explainer *explainer_free(struct explainer *x)
{
	if (!x)
		return NULL;
	guard_bpf__destroy(x->guard);
	steer_bpf__destroy(x->steer);
	free(x);
	return NULL;
}

void explainer_freep(struct explainer **x)
{
	explainer_free(*x);
}

/* --- XDP, before all else on a VPN tap --- */

/* OpenVPN writes the tag into the frame; the kernel takes it out before tc sees it. */
static size_t put_tag(const struct dataplane_frame *f, uint8_t to[SP_EXPLAIN_LEN + TAG])
{
	const uint8_t tag[TAG] = {0x81, 0x00, (uint8_t)(f->vid >> 8), (uint8_t)f->vid};
	const uint8_t *from = f->data;

	memcpy(to, from, MACS);
	memcpy(to + MACS, tag, TAG);
	memcpy(to + MACS + TAG, from + MACS, f->len - MACS);
	return f->len + TAG;
}

static int run_guard(struct guard_bpf *o, const struct dataplane_frame *f, struct sp_walk *ret)
{
	struct xdp_md ctx = {.ingress_ifindex = f->ifindex};
	uint8_t frame[SP_EXPLAIN_LEN + TAG];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->data, .data_size_in = (uint32_t)f->len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);

	if (f->vid) {
		opts.data_in = frame;
		opts.data_size_in = (uint32_t)put_tag(f, frame);
	}
	ctx.data_end = opts.data_size_in;
	o->bss->walk.n = 0;
	if (bpf_prog_test_run_opts(bpf_program__fd(o->progs.guard), &opts) < 0)
		return -errno;
	*ret = o->bss->walk;
	return 0;
}

/* --- tc --- */

/* Goes on in *RET. */
static int run_steer(struct steer_bpf *o, const struct dataplane_frame *f, struct sp_walk *ret)
{
	const struct bpf_program *p =
		f->kind == SP_PORT_MACHINE ? o->progs.steer_machine : o->progs.steer_explained;
	struct __sk_buff ctx = {.ifindex = f->ifindex, .cb = {f->vid}};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->data, .data_size_in = (uint32_t)f->len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);

	o->bss->walk = *ret;
	if (bpf_prog_test_run_opts(bpf_program__fd(p), &opts) < 0)
		return -errno;
	*ret = o->bss->walk;
	return 0;
}

static bool was_dropped(const struct sp_walk *w)
{
	return w->n > 0 && w->n <= SP_STEPS && w->step[w->n - 1].kind == SP_STEP_DROP;
}

int explainer_run(struct explainer *x, const struct dataplane_frame *f, struct sp_walk *ret)
{
	struct sp_walk walk = {0};
	int r = 0;

	if (f->len < SP_EXPLAIN_MIN || f->len > SP_EXPLAIN_LEN)
		return -EMSGSIZE;
	if (f->kind == SP_PORT_VPN)
		r = run_guard(x->guard, f, &walk);
	if (r == 0 && !was_dropped(&walk))
		r = run_steer(x->steer, f, &walk);
	if (r == 0)
		*ret = walk;
	return r;
}
