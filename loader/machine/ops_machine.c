/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What operators ask of machines that are there: list, policy, start, stop. */
#include "ops_machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "addresses.h"
#include "admission.h"
#include "daemon.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "lib/mac.h"
#include "lib/units.h"
#include "ops.h"
#include "store_job.h"
#include "views.h"
#include "waiter.h"

struct machine *machine_of(struct daemon *d, struct request *request, const json_t *args)
{
	const char *user = arg_string(args, "user", ""), *name = arg_string(args, "name", "");
	struct machine *m = machine_find(d, user, name);

	if (!m)
		request_fail(request, -ENOENT, "name",
			     "%s/%s: there is no such machine on this host", user, name);
	return m;
}

/* --- how one looks --- */

static const char *start_name(enum store_start s)
{
	return s == START_CONNECT ? "connect" : s == START_TRAFFIC ? "traffic" : "manual";
}

static json_t *view_policy(const struct machine *m)
{
	char ladder[SP_LADDER_MAX];

	ladder_format(&m->ladder, ladder);
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "start", start_name(m->row.policy.start),
			 "stop", ladder, "default_stop", m->row.policy.ladder[0] == '\0', "grace_s",
			 (json_int_t)(machine_grace_us(m) / 1000000), "idle_s",
			 (json_int_t)(machine_idle_us(m) / 1000000), "min_up_s",
			 (json_int_t)(machine_min_up_us(m) / 1000000));
}

static json_t *view_addresses(const struct machine *m)
{
	char text[INET6_ADDRSTRLEN];
	json_t *list = json_array();
	struct addresses a;

	if (addresses_parse(m->row.addresses, &a, NULL) < 0)
		return list;
	for (size_t i = 0; i < a.n; i++)
		json_array_append_new(list, json_string(address_format(a.v[i], text)));
	return list;
}

/* Why it is not as it should be, in the order of what matters most. */
static const char *reason(const struct machine *m)
{
	if (m->refusal)
		return m->refusal;
	if (m->rules.trouble)
		return m->rules.trouble;
	if (m->trouble)
		return m->trouble;
	if (m->info.state == VIRT_ABSENT)
		return "libvirt has no such domain any more: remove the machine, or define it "
		       "again";
	if (m->info.io_error)
		return "paused by an error of its host's disk: mend that, then start it";
	if (m->cut_off)
		return "its tap was deleted: stop it and start it to have it reached again";
	if (m->let_be)
		return m->let_be_why;
	if (m->info.state == VIRT_UNKNOWN && m->daemon->virt && !virt_is_up(m->daemon->virt))
		return virt_trouble(m->daemon->virt);
	return NULL;
}

static json_t *view_rules(const struct machine *m)
{
	const struct machine_rules *x = &m->rules;

	return json_pack("{s:b, s:I, s:b}", "default", x->text == NULL, "generation",
			 (json_int_t)x->generation, "in_force",
			 x->in_force && x->applied == x->generation);
}

json_t *view_machine(const struct machine *m)
{
	char uuid[UUID_STRLEN], mac[MAC_STRLEN];
	uint64_t now = client_now_us();
	json_t *j = json_pack(
		"{s:s, s:s, s:I, s:s, s:s, s:s, s:I, s:s, s:s, s:b, s:I, s:I, s:o, s:o, "
		"s:b, s:b, s:o, s:b, s:b}",
		"user", m->row.user, "name", m->row.name, "id", (json_int_t)m->id, "domain",
		m->row.domain, "uuid", uuid_format(m->row.uuid, uuid), "mac",
		mac_format(m->row.mac, mac), "segment", (json_int_t)m->row.segment, "state",
		machine_state_text(m), "want", level_name(m->want), "held", m->row.held,
		"memory_mib", (json_int_t)m->row.memory_mib, "vcpus", (json_int_t)m->row.vcpus,
		"policy", view_policy(m), "addresses", view_addresses(m), "pinned",
		m->row.pinned != PINNED_NO, "dhcp", m->row.pinned == PINNED_DHCP, "leases",
		machine_view_leases(m), "router", m->row.router, "dhcp_server", m->row.dhcp_server);

	json_object_update_new(j, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "device",
					    m->link.name, "ifindex", (json_int_t)m->link.ifindex,
					    "port", (json_int_t)m->member.dst.port, "queue",
					    (json_int_t)admission_place(m), "waiting_frames",
					    (json_int_t)m->n_parked, "replayed_frames",
					    (json_int_t)m->n_replayed, "expired_frames",
					    (json_int_t)m->n_expired));
	json_object_set_new(j, "firewall", view_rules(m));
	if (m->up_us && decide_depth(&m->info) <= LEVEL_SHRINK)
		json_object_set_new(j, "up_s",
				    json_integer((json_int_t)(now - m->up_us) / 1000000));
	if (m->woken_us)
		json_object_set_new(j, "libvirt_us", json_integer((json_int_t)m->woken_us));
	if (reason(m))
		json_object_set_new(j, "reason", json_string(reason(m)));
	return j;
}

void op_machine_show(void *context, void *request, const json_t *args)
{
	struct machine *m = machine_of(context, request, args);

	if (m)
		request_finish(request, json_pack("{s:o}", "machine", view_machine(m)));
}

/* --- policy --- */

static bool take_start(struct request *request, const json_t *args, struct store_policy *p)
{
	const char *s = arg_string(args, "start", NULL);

	if (!s)
		return true;
	for (int i = START_CONNECT; i <= START_MANUAL; i++)
		if (strcmp(s, start_name(i)) == 0) {
			p->start = i;
			return true;
		}
	request_fail(request, -EINVAL, "start",
		     "start: '%.32s': expected connect, traffic or manual", s);
	return false;
}

static bool take_ladder(struct request *request, const json_t *args, struct store_policy *p)
{
	const char *s = arg_string(args, "stop", NULL);
	char error[128];
	struct ladder l;
	size_t at;

	if (!s)
		return true;
	if (strcmp(s, "default") == 0) {
		p->ladder[0] = '\0';
		return true;
	}
	if (ladder_parse(s, &l, &at, error) < 0) {
		request_fail(request, -EINVAL, "stop", "stop: '%.64s': at character %zu: %s", s,
			     at + 1, error);
		return false;
	}
	ladder_format(&l, p->ladder);
	return true;
}

/* "default", "never" (0), or a time of at most MAX seconds. */
static bool take_time(struct request *request, const json_t *args, const char *field, uint32_t max,
		      int32_t *ret)
{
	const char *s = arg_string(args, field, NULL);
	uint32_t v = 0;

	if (!s)
		return true;
	if (strcmp(s, "default") == 0) {
		*ret = STORE_DEFAULT;
		return true;
	}
	if ((strcmp(s, "never") == 0 && strcmp(field, "idle") == 0) ||
	    (duration_parse(s, &v) == 0 && v <= max)) {
		*ret = (int32_t)v;
		return true;
	}
	request_fail(request, -EINVAL, field,
		     "%s: '%.32s': expected a time as 90s, 10m, 2h or 1d%s, or default", field, s,
		     strcmp(field, "idle") == 0 ? ", or never" : "");
	return false;
}

static bool take_addresses(struct request *request, const json_t *args, struct policy_args *p)
{
	const char *s = arg_string(args, "addresses", NULL), *bad = NULL;
	struct addresses a;
	int r;

	if (!s)
		return true;
	r = addresses_parse(s, &a, &bad);
	if (r < 0) {
		request_fail(request, r, "addresses",
			     r == -E2BIG ? "addresses: '%.*s': expected at most %d of them"
					 : "addresses: '%.*s': expected a unicast IPv4 or IPv6 "
					   "address, at most %d of them",
			     (int)strcspn(bad, ", "), bad, SP_ADDRESSES_N);
		return false;
	}
	addresses_format(&a, p->addresses);
	return true;
}

/* "dhcp" alone is pinned as well; "pinned" alone is by the list. */
static bool take_pinned(struct request *request, const json_t *args, struct policy_args *p)
{
	bool was = p->pinned != PINNED_NO, given = json_object_get(args, "pinned"),
	     dhcp = arg_bool(args, "dhcp", !given && p->pinned == PINNED_DHCP),
	     pinned = arg_bool(args, "pinned", was || dhcp);

	if (dhcp && !pinned) {
		request_fail(request, -EINVAL, "dhcp",
			     "dhcp: addresses are learned for a machine that is pinned: expected "
			     "pinned with it");
		return false;
	}
	p->pinned = dhcp ? PINNED_DHCP : pinned ? PINNED_LIST : PINNED_NO;
	return true;
}

bool policy_take(struct request *request, const json_t *args, struct policy_args *p)
{
	if (!take_pinned(request, args, p))
		return false;
	if (!take_start(request, args, &p->policy) || !take_ladder(request, args, &p->policy) ||
	    !take_time(request, args, "grace", 86400, &p->policy.grace_s) ||
	    !take_time(request, args, "idle", 30 * 86400, &p->policy.idle_s) ||
	    !take_time(request, args, "min_up", 86400, &p->policy.min_up_s) ||
	    !take_addresses(request, args, p))
		return false;
	p->router = arg_bool(args, "router", p->router);
	p->dhcp_server = arg_bool(args, "dhcp_server", p->dhcp_server);
	if (p->pinned == PINNED_LIST && p->addresses[0] == '\0') {
		request_fail(request, -EINVAL, "pinned",
			     "pinned: a machine without addresses could send nothing: give "
			     "addresses too, or have them learned from DHCP");
		return false;
	}
	return true;
}

void policy_put(const struct policy_args *p, struct store_machine *row)
{
	row->policy = p->policy;
	row->pinned = p->pinned;
	row->router = p->router;
	row->dhcp_server = p->dhcp_server;
	memcpy(row->addresses, p->addresses, sizeof(row->addresses));
}

static int work_policy(struct store_job *j, struct store *store)
{
	return store_machine_update(store, &j->machine);
}

static void after_policy(struct store_job *j)
{
	struct machine *m = machine_find_id(j->daemon, j->machine.id);

	if (!m || m->gone) {
		j->r = -ENOENT;
		return;
	}
	j->r = machine_set_row(m, &j->machine);
	j->reply = json_pack("{s:o}", "machine", view_machine(m));
}

void op_machine_policy(void *context, void *request, const json_t *args)
{
	struct machine *m = machine_of(context, request, args);
	struct policy_args p;
	struct store_job *j;

	if (!m)
		return;
	p.policy = m->row.policy;
	p.pinned = m->row.pinned;
	p.router = m->row.router;
	p.dhcp_server = m->row.dhcp_server;
	memcpy(p.addresses, m->row.addresses, sizeof(p.addresses));
	if (!policy_take(request, args, &p))
		return;
	j = store_job_new(context, request, args, "machine-policy", true, work_policy,
			  after_policy);
	if (!j)
		return;
	j->machine = m->row;
	policy_put(&p, &j->machine);
	store_job_start(j);
}

/* --- start, stop --- */

static int work_hold(struct store_job *j, struct store *store)
{
	return store_machine_set_want(store, j->machine.id, j->machine.want, true);
}

/* I8: it is in the store, so it is so after a crash as well. */
static void after_hold(struct store_job *j)
{
	struct machine *m = machine_find_id(j->daemon, j->machine.id);

	if (!m || m->gone) {
		j->r = -ENOENT;
		return;
	}
	daemon_audit(j->daemon, request_uid(j->request), j->what, j->object,
		     level_name(j->machine.want));
	m->pull_plug = arg_bool(j->args, "now", false);
	machine_hold(m, j->machine.want);
	if (arg_bool(j->args, "wait", false)) {
		waiter_add(m, j->machine.want, j->request);
		j->request = NULL;
		return;
	}
	j->reply = json_pack("{s:o}", "machine", view_machine(m));
}

static void submit_hold(struct daemon *d, struct request *request, const json_t *args,
			const char *what, enum level level)
{
	struct machine *m = machine_of(d, request, args);
	struct store_job *j;

	if (!m)
		return;
	if (m->removing) {
		request_fail(request, -EBUSY, NULL, "%s: the machine is being removed", what);
		return;
	}
	j = store_job_new(d, request, args, what, false, work_hold, after_hold);
	if (!j)
		return;
	j->machine.id = m->id;
	j->machine.want = (uint8_t)level;
	store_job_start(j);
}

void op_machine_start(void *context, void *request, const json_t *args)
{
	submit_hold(context, request, args, "machine-start", LEVEL_RUN);
}

void op_machine_stop(void *context, void *request, const json_t *args)
{
	const char *to = arg_string(args, "to", "stop");
	const struct {
		const char *name;
		enum level level;
	} levels[] = {{"stop", LEVEL_STOP}, {"pause", LEVEL_PAUSE}, {"save", LEVEL_SAVE}};

	for (size_t i = 0; i < SP_ARRAY_SIZE(levels); i++)
		if (strcmp(levels[i].name, to) == 0) {
			submit_hold(context, request, args, "machine-stop", levels[i].level);
			return;
		}
	request_fail(request, -EINVAL, "to", "to: '%.32s': expected stop, pause or save", to);
}

/* --- the saved image --- */

struct discard {
	struct daemon *daemon;
	struct request *request;
	uint32_t id;
};

static void on_discarded(const struct virt_result *result, void *arg)
{
	struct discard *x = arg;
	struct machine *m = machine_find_id(x->daemon, x->id);
	char label[2 * SP_NAME_MAX] = "";

	if (m)
		machine_on_event(m, VIRT_EV_DEFINED);
	daemon_audit(x->daemon, request_uid(x->request), "machine-discard",
		     m ? machine_label(m, label) : label, result->error ? result->message : NULL);
	if (result->error)
		request_fail(x->request, result->error, NULL, "machine-discard: %s",
			     result->message);
	else
		request_finish(x->request, NULL);
	free(x);
}

/* What it had in memory is lost: an operator's word only, for an image that cannot be restored. */
void op_machine_discard(void *context, void *request, const json_t *args)
{
	struct machine *m = machine_of(context, request, args);
	struct daemon *d = context;
	struct discard *x;
	int r;

	if (!m)
		return;
	if (m->info.state != VIRT_SAVED || m->busy) {
		request_fail(request, -EBUSY, NULL,
			     "machine-discard: the machine is %s: there is no "
			     "saved state to throw away",
			     machine_state_text(m));
		return;
	}
	x = calloc(1, sizeof(*x));
	if (x)
		*x = (struct discard){d, request, m->id};
	r = x ? virt_do(d->virt, m->row.uuid, VIRT_DISCARD, NULL, on_discarded, x) : -ENOMEM;
	if (r < 0) {
		free(x);
		request_fail(request, r, NULL, "machine-discard: %s", strerror(-r));
	}
}
