/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How does a machine come to be, and go? Each step is taken back if a later one fails:
 *
 *   look   what libvirt would make of it (a dry run); the answer to --dry-run
 *   row    in the store, which claims the MAC: from here on nobody else can have it (I6)
 *   make   the description is rewritten or made, with the row's id in its mark
 *
 * A crash between row and make leaves a machine whose domain is not ours yet: it never starts, and
 * can be removed. Going is the reverse: the domain first, then the row.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "budget.h"
#include "daemon.h"
#include "lib/cleanup.h"
#include "lib/mac.h"
#include "log.h"
#include "ops.h"
#include "ops_machine.h"
#include "store_job.h"
#include "virt/domain.h"

#define MAC_TRIES 4

struct addition {
	struct daemon *daemon;
	struct request *request;
	json_t *args;
	bool dry_run, own_mac; /* own_mac: somebody chose it */
	unsigned int tries;
	struct domain_spec spec;
	struct store_machine row;
	struct store_user user;
};

static void addition_free(struct addition *a)
{
	json_decref(a->args);
	free(a);
}

static void addition_fail(struct addition *a, int error, const char *field, const char *message)
{
	daemon_audit(a->daemon, request_uid(a->request), "machine-add", a->row.name, message);
	request_fail(a->request, error, field, "machine-add %s/%s: %s", a->row.user, a->row.name,
		     message);
	addition_free(a);
}

/* --- the last step: libvirt has it --- */

struct undo {
	struct job job;
	char user[SP_NAME_MAX], name[SP_NAME_MAX];
};

static void undo_run(struct job *job, struct store *store)
{
	struct undo *u = (struct undo *)job;

	if (store_machine_delete(store, u->user, u->name) < 0)
		log_event(LOG_ERR,
			  "a machine that could not be made is still in the store: remove it",
			  "USER", u->user, "MACHINE", u->name, NULL);
}

static void undo_done(struct job *job)
{
	free(job);
}

static void undo_row(const struct addition *a)
{
	struct undo *u = calloc(1, sizeof(*u));

	if (!u)
		return;
	u->job.run = undo_run;
	u->job.done = undo_done;
	memcpy(u->user, a->row.user, sizeof(u->user));
	memcpy(u->name, a->row.name, sizeof(u->name));
	if (workers_submit(a->daemon->workers, WORKER_STORE, &u->job) < 0)
		free(u);
}

static void on_made(const struct virt_made *made, void *arg)
{
	struct addition *a = arg;
	struct machine *m = NULL;
	char label[2 * SP_NAME_MAX];
	int r = made->error;

	if (r == 0)
		r = machine_new(a->daemon, &a->row, &m);
	if (r < 0) {
		undo_row(a);
		addition_fail(a, r, NULL, made->error ? made->message : "out of memory");
		return;
	}
	m->queues = made->queues;
	m->described = true;
	presence_set_limits(a->daemon, &a->user);
	budget_set(a->daemon, &a->user);
	daemon_audit(a->daemon, request_uid(a->request), "machine-add", machine_label(m, label),
		     a->row.domain);
	log_event(LOG_INFO, "machine added", "USER", a->row.user, "MACHINE", a->row.name, "DOMAIN",
		  a->row.domain, NULL);
	machine_advance(m);
	request_finish(a->request, json_pack("{s:o}", "machine", view_machine(m)));
	addition_free(a);
}

/* --- the row --- */

struct row_job {
	struct job job;
	struct addition *addition;
	struct store_user user; /* for its limits */
	int r;
	char *error;
};

static void row_run(struct job *job, struct store *store)
{
	struct row_job *j = (struct row_job *)job;

	j->r = store_user_get(store, j->addition->row.user, &j->user);
	explicit_bzero(j->user.hash, sizeof(j->user.hash));
	j->r = j->r ?: store_machine_add(store, &j->addition->row);
	if (j->r < 0)
		j->error = strdup(store_error(store));
}

static int random_mac(uint8_t mac[6])
{
	static const uint8_t qemu[3] = {0x52, 0x54, 0x00};

	memcpy(mac, qemu, sizeof(qemu));
	return getrandom(mac + 3, 3, 0) == 3 ? 0 : -EIO;
}

static void submit_row(struct addition *a);

static void row_failed(struct addition *a, int r, const char *error)
{
	/* Out of 16 million one was somebody's already: another. */
	if (r == -EEXIST && a->row.origin != ORIGIN_DOMAIN && !a->own_mac &&
	    ++a->tries < MAC_TRIES && random_mac(a->row.mac) == 0) {
		memcpy(a->spec.mac, a->row.mac, sizeof(a->spec.mac));
		submit_row(a);
		return;
	}
	if (r == -EEXIST)
		addition_fail(a, r, "name",
			      "the name, the domain or the MAC address is another machine's; "
			      "--mac new gives it one of its own");
	else if (r == -ENOENT)
		addition_fail(a, r, "user", "there is no such user");
	else
		addition_fail(a, r, NULL, error ? error : strerror(-r));
}

static void row_done(struct job *job)
{
	struct row_job *j = (struct row_job *)job;
	struct addition *a = j->addition;
	int r = j->r;

	daemon_store_state(a->daemon, store_is_trouble(r) ? j->error : NULL);
	if (r < 0) {
		row_failed(a, r, j->error);
	} else {
		snprintf(a->spec.tap, sizeof(a->spec.tap), MACHINE_TAP_PREFIX "%u", a->row.id);
		a->spec.mark.machine = a->row.id;
		a->user = j->user;
		r = virt_make(a->daemon->virt, &a->spec, false, on_made, a);
		if (r < 0) {
			undo_row(a);
			addition_fail(a, r, NULL, strerror(-r));
		}
	}
	free(j->error);
	free(j);
}

static void submit_row(struct addition *a)
{
	struct row_job *j = calloc(1, sizeof(*j));
	int r = -ENOMEM;

	if (j) {
		*j = (struct row_job){.job = {row_run, row_done, NULL}, .addition = a};
		r = workers_submit(a->daemon->workers, WORKER_STORE, &j->job);
	}
	if (r < 0) {
		free(j);
		addition_fail(a, r, NULL, strerror(-r));
	}
}

/* --- the look --- */

static void answer_dry_run(struct addition *a, const struct virt_made *made)
{
	char uuid[UUID_STRLEN], mac[MAC_STRLEN];

	request_finish(a->request,
		       json_pack("{s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:s?, s:s?, s:s?}", "dry_run",
				 1, "domain", a->row.domain, "uuid", uuid_format(made->uuid, uuid),
				 "mac", mac_format(a->row.mac, mac), "memory_mib",
				 (json_int_t)a->row.memory_mib, "vcpus", (json_int_t)a->row.vcpus,
				 "queues", (json_int_t)made->queues, "before", made->before,
				 "after", made->after, "xml", made->xml));
	addition_free(a);
}

static void on_looked(const struct virt_made *made, void *arg)
{
	struct addition *a = arg;

	if (made->error) {
		addition_fail(a, made->error, NULL, made->message);
		return;
	}
	memcpy(a->row.uuid, made->uuid, sizeof(a->row.uuid));
	memcpy(a->spec.uuid, made->uuid, sizeof(a->spec.uuid));
	memcpy(a->row.mac, made->mac, sizeof(a->row.mac));
	a->row.memory_mib = made->memory_mib;
	a->row.vcpus = made->vcpus;
	if (segment_is_reserved(a->daemon, a->row.mac) || !mac_is_unicast(a->row.mac)) {
		addition_fail(a, -EINVAL, "mac",
			      "the MAC address is reserved, a group address, or a device's of this "
			      "host; --mac new gives it another");
		return;
	}
	if (a->dry_run)
		answer_dry_run(a, made);
	else
		submit_row(a);
}

/* --- the request --- */

static bool take_origin(struct addition *a)
{
	struct domain_spec *s = &a->spec;
	const char *domain = arg_string(a->args, "domain", NULL),
		   *image = arg_string(a->args, "image", NULL),
		   *kernel = arg_string(a->args, "kernel", NULL);

	if (!!domain + !!image + !!kernel != 1) {
		addition_fail(a, -EINVAL, "domain", "expected one of domain, image and kernel");
		return false;
	}
	s->origin = domain ? ORIGIN_DOMAIN : image ? ORIGIN_IMAGE : ORIGIN_KERNEL;
	if (domain)
		snprintf(s->domain, sizeof(s->domain), "%s", domain);
	else
		snprintf(s->domain, sizeof(s->domain), "%s-%s", a->row.user, a->row.name);
	snprintf(s->image, sizeof(s->image), "%s", image ? image : "");
	snprintf(s->image_format, sizeof(s->image_format), "%s",
		 arg_string(a->args, "format", "qcow2"));
	s->disk_bytes = (uint64_t)arg_int(a->args, "disk_mib", 0) << 20;
	snprintf(s->image_dir, sizeof(s->image_dir), "%s", a->daemon->config->image_dir);
	snprintf(s->kernel, sizeof(s->kernel), "%s", kernel ? kernel : "");
	snprintf(s->initrd, sizeof(s->initrd), "%s", arg_string(a->args, "initrd", ""));
	snprintf(s->cmdline, sizeof(s->cmdline), "%s", arg_string(a->args, "cmdline", ""));
	return true;
}

/* Those of ours need a size and an accelerator; one that is there has both. */
static bool take_hardware(struct addition *a)
{
	struct domain_spec *s = &a->spec;
	const char *why;
	enum virt_accel accel = virt_accel(a->daemon->virt, &why);
	bool ours = s->origin != ORIGIN_DOMAIN;

	s->memory_mib = (uint32_t)arg_int(a->args, "memory_mib", ours ? 512 : 0);
	s->vcpus = (uint32_t)arg_int(a->args, "vcpus", ours ? 1 : 0);
	s->queues = ours ? 1 : 0;
	if (ours && accel == VIRT_ACCEL_UNKNOWN) {
		addition_fail(
			a, -EAGAIN, NULL,
			"whether KVM works here is being found out; try again in some seconds");
		return false;
	}
	s->kvm = accel == VIRT_ACCEL_KVM;
	return true;
}

static bool take_mac(struct addition *a)
{
	const char *text = arg_string(a->args, "mac", NULL);
	bool fresh = a->spec.origin != ORIGIN_DOMAIN || (text && strcmp(text, "new") == 0);

	a->own_mac = text && strcmp(text, "new") != 0;
	if (a->own_mac) {
		if (mac_parse(text, a->spec.mac) == 0 && mac_is_unicast(a->spec.mac))
			return true;
		addition_fail(a, -EINVAL, "mac",
			      "expected the address of one device, as 52:54:00:00:00:01, or new");
		return false;
	}
	if (!fresh || random_mac(a->spec.mac) == 0)
		return true;
	addition_fail(a, -EIO, NULL, "no random numbers");
	return false;
}

static void fill_row(struct addition *a, const struct policy_args *p)
{
	struct store_machine *row = &a->row;

	row->origin = a->spec.origin;
	policy_put(p, row);
	memcpy(row->domain, a->spec.domain, sizeof(row->domain));
	snprintf(a->spec.mark.server, sizeof(a->spec.mark.server), "%s",
		 store_server(a->daemon->store));
	memcpy(a->spec.mark.user, row->user, sizeof(row->user));
	memcpy(a->spec.mark.name, row->name, sizeof(row->name));
	a->spec.mark.origin = a->spec.origin;
	strcpy(a->spec.tap, MACHINE_TAP_PREFIX "0"); /* until the row has an id */
}

void op_machine_add(void *context, void *request, const json_t *args)
{
	struct policy_args p = {
		.policy = {.start = START_CONNECT,
			   .grace_s = STORE_DEFAULT,
			   .idle_s = STORE_DEFAULT,
			   .min_up_s = STORE_DEFAULT},
	};
	struct daemon *d = context;
	struct addition *a;
	int r;

	if (!machine_virt_ready(d, request, args, "machine-add", op_machine_add) ||
	    !policy_take(request, args, &p))
		return;
	a = calloc(1, sizeof(*a));
	if (!a) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	a->daemon = d;
	a->request = request;
	a->args = json_incref((json_t *)args);
	a->dry_run = arg_bool(args, "dry_run", false);
	snprintf(a->row.user, sizeof(a->row.user), "%s", arg_string(args, "user", ""));
	snprintf(a->row.name, sizeof(a->row.name), "%s", arg_string(args, "name", ""));
	if (!take_origin(a) || !take_hardware(a) || !take_mac(a))
		return;
	fill_row(a, &p);
	r = virt_make(d->virt, &a->spec, true, on_looked, a);
	if (r < 0)
		addition_fail(a, r, NULL, strerror(-r));
}

/* --- going --- */

struct removal {
	struct daemon *daemon;
	struct request *request;
	json_t *args;
	uint32_t id;
};

static void removal_end(struct removal *x, int error, const char *message)
{
	struct machine *m = machine_find_id(x->daemon, x->id);
	char label[2 * SP_NAME_MAX] = "";

	if (m)
		machine_label(m, label);
	daemon_audit(x->daemon, request_uid(x->request), "machine-remove", label,
		     error ? message : NULL);
	if (error) {
		if (m) {
			m->removing = false;
			machine_advance(m);
		}
		request_fail(x->request, error, NULL, "machine-remove: %s", message);
	} else {
		if (m)
			machine_remove(m);
		request_finish(x->request, NULL);
	}
	json_decref(x->args);
	free(x);
}

struct remove_job {
	struct job job;
	struct removal *removal;
	int r;
	char *error;
};

static void remove_run(struct job *job, struct store *store)
{
	struct remove_job *j = (struct remove_job *)job;
	const json_t *args = j->removal->args;

	j->r = store_machine_delete(store, arg_string(args, "user", ""),
				    arg_string(args, "name", ""));
	if (j->r == -ENOENT)
		j->r = 0;
	if (j->r < 0)
		j->error = strdup(store_error(store));
}

static void remove_done(struct job *job)
{
	struct remove_job *j = (struct remove_job *)job;

	removal_end(j->removal, j->r, j->error ? j->error : strerror(-j->r));
	free(j->error);
	free(j);
}

static void on_unmade(const struct virt_result *result, void *arg)
{
	struct removal *x = arg;
	struct remove_job *j;

	if (result->error) {
		removal_end(x, result->error, result->message);
		return;
	}
	j = calloc(1, sizeof(*j));
	if (j)
		*j = (struct remove_job){.job = {remove_run, remove_done, NULL}, .removal = x};
	if (!j || workers_submit(x->daemon->workers, WORKER_STORE, &j->job) < 0) {
		free(j);
		removal_end(x, -EAGAIN, "the store has too much to do; try again");
	}
}

void op_machine_remove(void *context, void *request, const json_t *args)
{
	struct machine *m = machine_of(context, request, args);
	struct daemon *d = context;
	struct removal *x;
	int r;

	if (!m || !machine_virt_ready(d, request, args, "machine-remove", op_machine_remove))
		return;
	if (m->busy || m->removing ||
	    (m->info.state != VIRT_OFF && m->info.state != VIRT_ABSENT &&
	     !(m->info.state == VIRT_SAVED && m->row.origin != ORIGIN_DOMAIN))) {
		request_fail(request, -EBUSY, NULL,
			     "machine-remove: %s/%s is %s: expected one that is off; see sallyport "
			     "machine stop",
			     m->row.user, m->row.name, machine_state_text(m));
		return;
	}
	x = calloc(1, sizeof(*x));
	if (!x) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	*x = (struct removal){d, request, json_incref((json_t *)args), m->id};
	m->removing = true;
	r = virt_unmake(d->virt, m->row.uuid, arg_bool(args, "delete_disk", false), on_unmade, x);
	if (r < 0)
		removal_end(x, r, strerror(-r));
}
