/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loader/virt/ on an event loop of its own, driven by a script: one JSON object a line, in and out.
 *   drive URI PROBE-KERNEL ACCEL KEEPALIVE-S SLOW-THREADS SWIFT-THREADS
 * In:  {"id":1,"op":"do","uuid":"...","verb":"start"}     and the ops below
 * Out: {"id":1,"error":0,...}   {"up":true}   {"down":"why"}   {"settled":true,...}
 * {"event":"started","uuid":"..."}
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/mac.h"
#include "virt/domain.h"
#include "virt/virt.h"
#include "worker.h"

struct con;

struct drive {
	sd_event *event;
	struct workers *workers;
	struct virt *virt;
	struct con *cons;
	uint64_t longest_us; /* a turn of the loop */
	char line[65536];
	size_t used;
};

/* A request that waits for its answer. */
struct ticket {
	struct drive *drive;
	json_int_t id;
};

static struct ticket *ticket_new(struct drive *d, json_int_t id)
{
	struct ticket *t = malloc(sizeof(*t));

	if (!t)
		abort();
	*t = (struct ticket){d, id};
	return t;
}

/* Steals WHAT. */
static void say(json_t *what)
{
	char *text = json_dumps(what, JSON_COMPACT);

	printf("%s\n", text);
	fflush(stdout);
	free(text);
	json_decref(what);
}

static void answer(struct ticket *t, json_t *what)
{
	json_object_set_new(what, "id", json_integer(t->id));
	say(what);
	free(t);
}

/* The request was not taken. */
static void refuse(struct ticket *t, int error)
{
	answer(t, json_pack("{s:i, s:b}", "error", error, "refused", 1));
}

/* --- UUIDs --- */

static bool uuid_parse(const char *text, uint8_t ret[SP_UUID_LEN])
{
	unsigned int byte;

	for (size_t i = 0; i < SP_UUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text += *text == '-';
		if (sscanf(text, "%2x", &byte) != 1)
			return false;
		ret[i] = (uint8_t)byte;
		text += 2;
	}
	return true;
}

static bool get_uuid(json_t *request, uint8_t ret[SP_UUID_LEN])
{
	const char *text = json_string_value(json_object_get(request, "uuid"));

	return text && uuid_parse(text, ret);
}

/* --- answers --- */

static json_t *info_json(const struct virt_info *i)
{
	return json_pack("{s:s, s:b, s:b, s:I, s:I, s:I}", "state", virt_state_name(i->state),
			 "shrunk", i->shrunk, "io_error", i->io_error, "max_kib",
			 (json_int_t)i->max_kib, "now_kib", (json_int_t)i->now_kib, "vcpus",
			 (json_int_t)i->vcpus);
}

static void on_result(const struct virt_result *r, void *arg)
{
	json_t *out = info_json(&r->info);

	json_object_set_new(out, "error", json_integer(r->error));
	json_object_set_new(out, "message", json_string(r->message));
	json_object_set_new(out, "us", json_integer((json_int_t)r->libvirt_us));
	answer(arg, out);
}

static void on_list(const struct virt_domain *domains, int n, const char *error, void *arg)
{
	json_t *items = json_array(), *item;
	char uuid[37];

	for (int i = 0; i < n; i++) {
		item = info_json(&domains[i].info);
		json_object_set_new(item, "uuid", json_string(uuid_format(domains[i].uuid, uuid)));
		json_object_set_new(item, "name", json_string(domains[i].name));
		json_object_set_new(item, "owner", json_string(domains[i].owner));
		json_object_set_new(item, "machine", json_integer(domains[i].machine));
		json_array_append_new(items, item);
	}
	answer(arg, json_pack("{s:i, s:s, s:o}", "error", n < 0 ? -1 : 0, "message",
			      error ? error : "", "items", items));
}

static void on_made(const struct virt_made *m, void *arg)
{
	char uuid[37], mac[MAC_STRLEN];

	if (m->error < 0) {
		answer(arg, json_pack("{s:i, s:s}", "error", m->error, "message", m->message));
		return;
	}
	answer(arg, json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s}", "error", 0,
			      "message", m->message, "uuid", uuid_format(m->uuid, uuid), "mac",
			      mac_format(m->mac, mac), "memory", (json_int_t)m->memory_mib, "vcpus",
			      (json_int_t)m->vcpus, "queues", (json_int_t)m->queues, "before",
			      m->before, "after", m->after, "xml", m->xml));
}

static void on_port(const struct virt_port *p, void *arg)
{
	char mac[MAC_STRLEN];

	answer(arg, json_pack("{s:i, s:s, s:I, s:s, s:s, s:I, s:I}", "error", p->error, "message",
			      p->message, "queues", (json_int_t)p->queues, "tap", p->tap, "mac",
			      mac_format(p->mac, mac), "memory", (json_int_t)p->memory_mib, "vcpus",
			      (json_int_t)p->vcpus));
}

/* --- consoles: each has the number of the request that opened it --- */

struct con {
	struct drive *drive;
	json_int_t id;
	struct virt_console *console;
	struct con *next;
};

static void on_con_data(const void *data, size_t size, void *arg)
{
	struct con *c = arg;
	char *text = malloc(size + 1);

	for (size_t i = 0; text && i < size; i++) { /* for a script that reads ASCII */
		text[i] = ((const char *)data)[i] & 0x7f;
		if (!text[i])
			text[i] = '?';
	}
	say(json_pack("{s:I, s:s%}", "console", c->id, "data", text ? text : "", size));
	free(text);
}

static void on_con_room(void *arg)
{
	say(json_pack("{s:I, s:b}", "console", ((struct con *)arg)->id, "room", 1));
}

static void con_drop(struct con *c)
{
	struct con **at = &c->drive->cons;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	free(c);
}

static void on_con_end(const char *why, void *arg)
{
	struct con *c = arg;

	say(json_pack("{s:I, s:s}", "console", c->id, "end", why));
	con_drop(c);
}

static void on_con(int error, const char *message, struct virt_console *console, void *arg)
{
	struct con *c = arg;

	say(json_pack("{s:I, s:i, s:s}", "id", c->id, "error", error, "message", message));
	c->console = console;
	if (error < 0)
		con_drop(c);
}

static int con_open(struct drive *d, json_t *request, json_int_t id,
		    const uint8_t uuid[SP_UUID_LEN])
{
	const struct virt_console_callbacks callbacks = {
		.data = on_con_data, .room = on_con_room, .end = on_con_end};
	struct con *c = calloc(1, sizeof(*c));
	int r;

	*c = (struct con){.drive = d, .id = id, .next = d->cons};
	d->cons = c;
	r = virt_console_open(d->virt, uuid, json_is_true(json_object_get(request, "force")),
			      &callbacks, c, on_con);
	if (r < 0)
		con_drop(c);
	return r;
}

static struct con *con_find(struct drive *d, json_t *request)
{
	json_int_t id = json_integer_value(json_object_get(request, "console"));
	struct con *c = d->cons;

	while (c && c->id != id)
		c = c->next;
	return c;
}

/* --- requests --- */

static void copy(json_t *from, const char *key, char *ret, size_t size)
{
	const char *text = json_string_value(json_object_get(from, key));

	if (text)
		snprintf(ret, size, "%s", text);
}

static unsigned int number(json_t *from, const char *key)
{
	return (unsigned int)json_integer_value(json_object_get(from, key));
}

static int op_make(struct drive *d, json_t *r, struct ticket *t)
{
	struct domain_spec s = {.origin = (enum store_origin)number(r, "origin"),
				.memory_mib = number(r, "memory"),
				.vcpus = number(r, "vcpus"),
				.queues = number(r, "queues"),
				.kvm = json_is_true(json_object_get(r, "kvm"))};
	const char *mac = json_string_value(json_object_get(r, "mac"));

	copy(r, "domain", s.domain, sizeof(s.domain));
	copy(r, "server", s.mark.server, sizeof(s.mark.server));
	copy(r, "user", s.mark.user, sizeof(s.mark.user));
	copy(r, "name", s.mark.name, sizeof(s.mark.name));
	copy(r, "tap", s.tap, sizeof(s.tap));
	copy(r, "image", s.image, sizeof(s.image));
	copy(r, "format", s.image_format, sizeof(s.image_format));
	copy(r, "image_dir", s.image_dir, sizeof(s.image_dir));
	copy(r, "kernel", s.kernel, sizeof(s.kernel));
	copy(r, "initrd", s.initrd, sizeof(s.initrd));
	copy(r, "cmdline", s.cmdline, sizeof(s.cmdline));
	s.disk_bytes = (uint64_t)json_integer_value(json_object_get(r, "disk_bytes"));
	s.mark.machine = number(r, "machine");
	s.mark.origin = s.origin;
	if (mac)
		mac_parse(mac, s.mac);
	return virt_make(d->virt, &s, json_is_true(json_object_get(r, "dry_run")), on_made, t);
}

static int op_do(struct drive *d, json_t *r, struct ticket *t, const uint8_t uuid[SP_UUID_LEN])
{
	const char *name = json_string_value(json_object_get(r, "verb"));
	struct virt_shrink shrink = {number(r, "memory"), number(r, "cpu")};
	int verb = 0;

	while (verb < _VIRT_VERBS && strcmp(virt_verb_name((enum virt_verb)verb), name) != 0)
		verb++;
	return virt_do(d->virt, uuid, (enum virt_verb)verb, &shrink, on_result, t);
}

static json_t *op_state(struct drive *d)
{
	static const char *const kinds[] = {"unknown", "kvm", "tcg"};
	const char *why;
	enum virt_accel kind = virt_accel(d->virt, &why);
	json_t *out =
		json_pack("{s:b, s:s, s:s, s:s, s:s, s:I}", "up", virt_is_up(d->virt), "trouble",
			  virt_trouble(d->virt), "describe", virt_describe(d->virt), "accel",
			  kinds[kind], "why", why, "longest_us", (json_int_t)d->longest_us);

	d->longest_us = 0;
	return out;
}

/* What has no domain; -ENOSYS: not such an op. 1: answered. */
static int request_plain(struct drive *d, const char *op, json_t *request, struct ticket *t)
{
	struct con *c = con_find(d, request);
	const char *data;

	if (strcmp(op, "list") == 0)
		return virt_list(d->virt, on_list, t);
	if (strcmp(op, "make") == 0)
		return op_make(d, request, t);
	if (strcmp(op, "state") == 0) {
		answer(t, op_state(d));
		return 1;
	}
	if (strcmp(op, "write") == 0 && c) {
		data = json_string_value(json_object_get(request, "data"));
		answer(t,
		       json_pack("{s:I}", "taken",
				 (json_int_t)virt_console_write(c->console, data, strlen(data))));
		return 1;
	}
	if (strcmp(op, "close") == 0 && c) {
		virt_console_close(c->console);
		con_drop(c);
		answer(t, json_object());
		return 1;
	}
	return -ENOSYS;
}

static int request_domain(struct drive *d, const char *op, json_t *request, struct ticket *t)
{
	uint8_t uuid[SP_UUID_LEN];

	if (!get_uuid(request, uuid))
		return -EINVAL;
	if (strcmp(op, "do") == 0)
		return op_do(d, request, t, uuid);
	if (strcmp(op, "unmake") == 0)
		return virt_unmake(d->virt, uuid,
				   json_is_true(json_object_get(request, "delete_disk")), on_result,
				   t);
	if (strcmp(op, "port") == 0)
		return virt_look_port(d->virt, uuid, on_port, t);
	if (strcmp(op, "console") == 0) {
		int r = con_open(d, request, t->id, uuid);

		if (r == 0)
			free(t);
		return r;
	}
	return -ENOSYS;
}

static void on_request(struct drive *d, const char *text)
{
	json_t *request = json_loads(text, 0, NULL);
	const char *op = json_string_value(json_object_get(request, "op"));
	struct ticket *t = ticket_new(d, json_integer_value(json_object_get(request, "id")));
	int r;

	if (op && strcmp(op, "shutdown") == 0) {
		virt_shutdown(d->virt);
		answer(t, json_object());
		json_decref(request);
		return;
	}
	r = op ? request_plain(d, op, request, t) : -EINVAL;
	if (r == -ENOSYS)
		r = request_domain(d, op, request, t);
	if (r < 0)
		refuse(t, r);
	json_decref(request);
}

static int on_stdin(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct drive *d = arg;
	ssize_t n = read(fd, d->line + d->used, sizeof(d->line) - 1 - d->used);
	char *end;

	if (n <= 0) {
		sd_event_exit(d->event, 0);
		return 0;
	}
	d->used += (size_t)n;
	d->line[d->used] = '\0';
	while ((end = strchr(d->line, '\n'))) {
		*end = '\0';
		on_request(d, d->line);
		d->used -= (size_t)(end + 1 - d->line);
		memmove(d->line, end + 1, d->used + 1);
	}
	return 0;
}

/* --- what comes by itself --- */

static void on_up(void *arg)
{
	say(json_pack("{s:b}", "up", 1));
}

static void on_down(const char *why, void *arg)
{
	say(json_pack("{s:s}", "down", why));
}

static void on_settled(void *arg)
{
	struct drive *d = arg;

	say(json_pack("{s:b, s:b}", "settled", 1, "up", virt_is_up(d->virt)));
}

static void on_event(const uint8_t uuid[SP_UUID_LEN], enum virt_event event, void *arg)
{
	char text[37];

	say(json_pack("{s:s, s:s}", "event", virt_event_name(event), "uuid",
		      uuid_format(uuid, text)));
}

/* --- the loop --- */

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* sd_event_loop, with a watch on how long each turn takes. */
static int run(struct drive *d)
{
	int r = 0;

	while (r >= 0 && sd_event_get_state(d->event) != SD_EVENT_FINISHED) {
		r = sd_event_prepare(d->event);
		if (r == 0)
			r = sd_event_wait(d->event, UINT64_MAX);
		if (r > 0) {
			uint64_t began = now_us(), took;

			r = sd_event_dispatch(d->event);
			took = now_us() - began;
			if (took > d->longest_us)
				d->longest_us = took;
		}
	}
	return r;
}

int main(int argc, char **argv)
{
	const struct virt_callbacks callbacks = {on_up, on_down, on_event, on_settled};
	struct workers_config config = {};
	struct virt_options options = {};
	struct drive *d = calloc(1, sizeof(*d));
	uint64_t began;
	int r;

	if (argc != 7) {
		fprintf(stderr, "usage: drive URI PROBE ACCEL KEEPALIVE-S SLOW SWIFT\n");
		return 2;
	}
	options = (struct virt_options){.uri = argv[1],
					.probe_kernel = argv[2],
					.accel = argv[3],
					.keepalive_s = (unsigned int)atoi(argv[4])};
	signal(SIGPIPE, SIG_IGN);
	config.n_cpu = 1;
	config.n_virt = (unsigned int)atoi(argv[5]);
	config.n_swift = (unsigned int)atoi(argv[6]);
	r = sd_event_new(&d->event);
	if (r >= 0)
		r = workers_new(d->event, &config, &d->workers);
	if (r >= 0)
		r = virt_new(d->event, d->workers, &options, &callbacks, d, &d->virt);
	if (r >= 0)
		r = sd_event_add_io(d->event, NULL, STDIN_FILENO, EPOLLIN, on_stdin, d);
	if (r < 0) {
		fprintf(stderr, "drive: %s\n", strerror(-r));
		return 1;
	}
	r = run(d);
	began = now_us();
	virt_shutdown(d->virt);
	workers_free(d->workers);
	virt_free(d->virt);
	fprintf(stderr, "drive: ended in %" PRIu64 " us\n", now_us() - began);
	sd_event_unref(d->event);
	while (d->cons)
		con_drop(d->cons);
	free(d);
	return r < 0 ? 1 : 0;
}
