// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What would become of a frame from here to there? The operation `explain`: who is meant, the
 * frame, the programs' answer. The programs are loaded for it, on a worker.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "explain/frame.h"
#include "explain/place.h"
#include "explain/walk.h"
#include "lib/cleanup.h"
#include "lib/mac.h"
#include "ops.h"

#define SPORT 40000
#define DPORT 80

struct explain_job {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	struct place from, to;
	struct frame_text text;
	struct walk walk;
	int r;
};

/* --- the frame, as it is asked for --- */

static bool is_ip4(const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

/* The first of A that is of the family of LIKE; LIKE NULL: the first. */
static const uint8_t *choose(const struct addresses *a, const uint8_t *like)
{
	for (size_t i = 0; i < a->n; i++)
		if (!like || is_ip4(a->v[i]) == is_ip4(like))
			return a->v[i];
	return NULL;
}

static int read_address(const json_t *args, const char *field, struct addresses *ret)
{
	const char *text = arg_string(args, field, NULL);

	*ret = (struct addresses){.n = 0};
	if (!text)
		return 0;
	return addresses_parse(text, ret, NULL) == 0 && ret->n == 1 ? 0 : -EINVAL;
}

/* Ends the request where it fails. */
static int want_address(struct explain_job *j, const char *field, const struct place *p)
{
	request_fail(j->request, -EINVAL, field,
		     "%s: which IP address %s has is not known; give it (--%s)", field, p->name,
		     field);
	return -EINVAL;
}

static int fill_addresses(struct explain_job *j, const json_t *args)
{
	struct addresses src, dst, told;
	const uint8_t *s, *d;

	if (read_address(args, "src", &src) < 0 || read_address(args, "dst", &dst) < 0) {
		const char *field = read_address(args, "src", &src) < 0 ? "src" : "dst";

		request_fail(j->request, -EINVAL, field,
			     "%s: '%s': expected the IP address of a host", field,
			     arg_string(args, field, ""));
		return -EINVAL;
	}
	/* An address that names who is meant is the one that is meant. */
	if (!dst.n && addresses_parse(arg_string(args, "to", ""), &told, NULL) == 0)
		dst = told;
	d = choose(dst.n ? &dst : &j->to.addresses, src.n ? src.v[0] : NULL);
	if (!d)
		return want_address(j, "dst", &j->to);
	s = choose(src.n ? &src : &j->from.addresses, d);
	if (!s)
		return want_address(j, "src", &j->from);
	memcpy(j->text.src, s, sizeof(j->text.src));
	memcpy(j->text.dst, d, sizeof(j->text.dst));
	return 0;
}

static int fill_flags(struct explain_job *j, const char *text)
{
	static const char letters[] = "FSRPAU";

	j->text.flags = 0;
	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (!at) {
			request_fail(j->request, -EINVAL, "flags",
				     "flags: '%c': expected letters of %s, as in S or SA", *text,
				     letters);
			return -EINVAL;
		}
		j->text.flags |= (uint8_t)(1U << (at - letters));
	}
	return 0;
}

static int fill_protocol(struct explain_job *j, const json_t *args)
{
	bool four = is_ip4(j->text.src);
	uint8_t proto = (uint8_t)arg_int(args, "proto", IPPROTO_TCP);

	if (proto == IPPROTO_ICMP && !four)
		proto = IPPROTO_ICMPV6;
	j->text.proto = proto;
	j->text.sport = (uint16_t)arg_int(args, "sport", SPORT);
	j->text.dport = (uint16_t)arg_int(args, "dport", DPORT);
	j->text.type = (uint8_t)arg_int(args, "type", four ? 8 : 128); /* echo request */
	j->text.code = (uint8_t)arg_int(args, "code", 0);
	return fill_flags(j, arg_string(args, "flags", "S"));
}

static int fill(struct explain_job *j, const json_t *args)
{
	int r = fill_addresses(j, args);

	memcpy(j->text.src_mac, j->from.mac, SP_MAC_LEN);
	memcpy(j->text.dst_mac, j->to.mac, SP_MAC_LEN);
	return r ?: fill_protocol(j, args);
}

/* --- asking the programs --- */

/* Its own place in the key: the smaller end first (abi.h). */
static bool is_flow_of(const struct frame_text *t, const struct dataplane_flow *f, bool *ret_back)
{
	for (int end = 0; end < 2; end++)
		if (memcmp(f->addr[end], t->src, 16) == 0 && f->port[end] == t->sport &&
		    memcmp(f->addr[!end], t->dst, 16) == 0 && f->port[!end] == t->dport) {
			*ret_back = (f->flow.word & SP_FLOW_FLIP ? 1 : 0) != end;
			return true;
		}
	return false;
}

/* A segment of a connection that is there has the numbers that come next. */
static int take_numbers(const struct dataplane_flow *f, void *arg)
{
	struct frame_text *t = arg;
	bool back;

	if (f->proto != IPPROTO_TCP || !is_flow_of(t, f, &back))
		return 0;
	t->seq = f->flow.side[back].end;
	t->ack = t->flags & FRAME_ACK ? f->flow.side[!back].end : 0;
	return -ECANCELED; /* enough */
}

static void continue_flow(struct explain_job *j)
{
	struct dataplane *dp = j->daemon->dp;
	const struct place *machine = j->to.kind == SP_PORT_MACHINE ? &j->to : &j->from;
	struct sp_machine m;

	if (j->text.proto != IPPROTO_TCP || j->text.flags == FRAME_SYN ||
	    dataplane_machine_get(dp, machine->port, &m) < 0 || !m.slot)
		return;
	for (uint32_t table = 0;
	     dataplane_each_flow(dp, m.slot, table, take_numbers, &j->text) == 0; table++)
		;
}

static void explain_run(struct job *job, struct store *store)
{
	struct explain_job *j = (struct explain_job *)job;
	_cleanup_(explainer_freep) struct explainer *x = NULL;
	uint8_t bytes[FRAME_MAX];
	struct dataplane_frame frame = {.kind = j->from.kind,
					.ifindex = j->from.ifindex,
					.vid = j->from.vid,
					.data = bytes};

	continue_flow(j);
	frame.len = frame_write(&j->text, bytes);
	j->r = explainer_new(j->daemon->dp, &x);
	if (j->r == 0)
		j->r = explainer_run(x, &frame, &j->walk.steps);
	if (j->r == 0)
		walk_read_rules(&j->walk);
}

/* --- the answer --- */

static json_t *view_end(const struct place *p, const uint8_t addr[16])
{
	char mac[MAC_STRLEN], text[INET6_ADDRSTRLEN];

	return json_pack("{s:s, s:I, s:s, s:s}", "name", p->name, "port", (json_int_t)p->port,
			 "mac", mac_format(p->mac, mac), "address", address_format(addr, text));
}

static json_t *view_frame(const struct explain_job *j)
{
	const struct frame_text *t = &j->text;
	json_t *f = json_pack("{s:o, s:o, s:I}", "from", view_end(&j->from, t->src), "to",
			      view_end(&j->to, t->dst), "proto", (json_int_t)t->proto);
	char flags[8] = "";

	for (int i = 0; i < 6; i++)
		if (t->flags & 1U << i)
			strncat(flags, &"FSRPAU"[i], 1);
	if (t->proto == IPPROTO_TCP || t->proto == IPPROTO_UDP)
		json_object_update_new(f, json_pack("{s:I, s:I}", "sport", (json_int_t)t->sport,
						    "dport", (json_int_t)t->dport));
	if (t->proto == IPPROTO_TCP)
		json_object_set_new(f, "flags", json_string(flags));
	if (t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6)
		json_object_update_new(f, json_pack("{s:I, s:I}", "type", (json_int_t)t->type,
						    "code", (json_int_t)t->code));
	return f;
}

static void explain_free(struct explain_job *j)
{
	walk_clear(&j->walk);
	place_clear(&j->from);
	place_clear(&j->to);
	free(j);
}

static void explain_done(struct job *job)
{
	struct explain_job *j = (struct explain_job *)job;
	json_t *reply;

	if (j->r == -ENODEV) {
		request_fail(j->request, j->r, "from", "from: %s: its device has gone",
			     j->from.name);
	} else if (j->r < 0) {
		request_fail(j->request, j->r, NULL, "the programs cannot be asked: %s",
			     strerror(-j->r));
	} else {
		reply = walk_view(j->daemon, &j->walk);
		if (reply)
			json_object_set_new(reply, "frame", view_frame(j));
		request_finish(j->request, reply);
	}
	explain_free(j);
}

/* --- the operation --- */

static int find_places(struct explain_job *j, const json_t *args)
{
	_cleanup_free_
	char *why = NULL;
	int r = place_find(j->daemon, arg_string(args, "from", ""), 0, &j->from, &why);
	const char *field = "from";

	if (r == 0) {
		field = "to";
		r = place_find(j->daemon, arg_string(args, "to", ""), j->from.segment, &j->to,
			       &why);
	}
	if (r < 0)
		request_fail(j->request, r, field, "%s: %s", field, why ?: strerror(-r));
	else if (!j->from.ifindex)
		request_fail(j->request, r = -ENODEV, "from",
			     "from: %s: it is off, and nothing comes from it; start it, or ask the "
			     "other way round",
			     j->from.name);
	return r;
}

void op_explain(void *context, void *request, const json_t *args)
{
	struct explain_job *j = calloc(1, sizeof(*j));
	int r;

	if (!j) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	*j = (struct explain_job){.job = {.run = explain_run, .done = explain_done},
				  .daemon = context,
				  .request = request,
				  .walk = {.from = &j->from, .to = &j->to}};
	r = find_places(j, args);
	r = r ?: fill(j, args);
	if (r == 0) {
		r = workers_submit(j->daemon->workers, WORKER_CPU, &j->job);
		if (r < 0)
			request_fail(request, r, NULL, "the daemon is busy: try again");
	}
	if (r < 0)
		explain_free(j);
}
