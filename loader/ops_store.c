/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What operators ask of users, workloads and the audit trail: each a job on the store's thread,
 * answered when the database has committed (I8).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "budget.h"
#include "daemon.h"
#include "ends.h"
#include "lib/cleanup.h"
#include "lib/mac.h"
#include "log.h"
#include "machine/presence.h"
#include "ops.h"
#include "password.h"
#include "session.h"
#include "store_job.h"
#include "views.h"
#include "workload.h"

/* --- users --- */

/* Where none was given the old one stays: printed onto itself it would be gone. */
static void take_address(char ret[SP_ADDR_STRLEN], const json_t *args, const char *field)
{
	const char *given = arg_string(args, field, NULL);

	if (given)
		snprintf(ret, SP_ADDR_STRLEN, "%s", given);
}

/* The limits and addresses that were given; the rest stays. -EINVAL with the field at fault. */
static int take_limits(struct store_user *u, const json_t *args, const char **ret_field)
{
	char probe[SP_ADDR_STRLEN];

	take_address(u->address, args, "address");
	take_address(u->address6, args, "address6");
	u->max_sessions = (uint32_t)arg_int(args, "max_sessions", u->max_sessions);
	u->max_macs = (uint32_t)arg_int(args, "max_macs", u->max_macs);
	u->max_machines = (uint32_t)arg_int(args, "max_machines", u->max_machines);
	u->max_memory_mib = (uint32_t)arg_int(args, "max_memory_mib", u->max_memory_mib);
	u->max_vcpus = (uint32_t)arg_int(args, "max_vcpus", u->max_vcpus);
	u->rate_bytes = (uint64_t)arg_int(args, "rate_bytes", (int64_t)u->rate_bytes);
	u->rate_frames = (uint32_t)arg_int(args, "rate_frames", u->rate_frames);
	u->max_user_macs = (uint32_t)arg_int(args, "max_user_macs", u->max_user_macs);
	u->max_flows = (uint32_t)arg_int(args, "max_flows", u->max_flows);
	u->new_flows = (uint32_t)arg_int(args, "new_flows", u->new_flows);
	*ret_field = "address";
	if (strchr(u->address, ':') || session_address(u->address, 0, probe) < 0)
		return -EINVAL;
	*ret_field = "address6";
	if ((u->address6[0] && !strchr(u->address6, ':')) ||
	    session_address(u->address6, 0, probe) < 0)
		return -EINVAL;
	return 0;
}

static bool limits_are_fit(void *request, const json_t *args)
{
	struct store_user probe = {0};
	const char *field;

	if (take_limits(&probe, args, &field) == 0)
		return true;
	request_fail(request, -EINVAL, field,
		     "%s: '%s': expected an address with prefix length, as %s", field,
		     arg_string(args, field, ""),
		     strcmp(field, "address") == 0 ? "10.8.0.10/24" : "fd00::10/64");
	return false;
}

static int work_user_add(struct store_job *j, struct store *store)
{
	const char *field;
	int r = take_limits(&j->user, j->args, &field);

	snprintf(j->user.name, sizeof(j->user.name), "%s", arg_string(j->args, "name", ""));
	r = r ?: store_user_add(store, &j->user);
	if (r == 0)
		j->reply = json_pack("{s:o}", "user", view_user(&j->user));
	return r;
}

static int work_user_passwd(struct store_job *j, struct store *store)
{
	return store_user_set_hash(store, arg_string(j->args, "name", ""), j->user.hash);
}

/* Hash first, on a thread for slow work; then the same job goes to the store. */
static void hash_run(struct job *job, struct store *store)
{
	struct store_job *j = (struct store_job *)job;
	const char *password = arg_string(j->args, "password", NULL);

	j->r = password ? password_hash(password, j->user.hash, sizeof(j->user.hash)) : 0;
}

static void hash_done(struct job *job)
{
	struct store_job *j = (struct store_job *)job;
	int r = j->r ?: store_job_continue(j);

	if (r < 0)
		store_job_fail(j, r, "password", "the password could not be hashed");
}

static void submit_hashed(struct daemon *d, void *request, const json_t *args, const char *what,
			  int (*work)(struct store_job *j, struct store *store))
{
	int r = store_job_submit_first(d, request, args, what, hash_run, hash_done, work);

	if (r < 0)
		request_fail(request, r, NULL, "%s: too much to do; try again", what);
}

void op_user_add(void *context, void *request, const json_t *args)
{
	if (limits_are_fit(request, args))
		submit_hashed(context, request, args, "user-add", work_user_add);
}

void op_user_passwd(void *context, void *request, const json_t *args)
{
	submit_hashed(context, request, args, "user-passwd", work_user_passwd);
}

static int work_user_set(struct store_job *j, struct store *store)
{
	const char *field;
	int r = store_user_get(store, arg_string(j->args, "name", ""), &j->user);

	r = r ?: take_limits(&j->user, j->args, &field);
	r = r ?: store_user_update(store, &j->user);
	if (r == 0)
		j->reply = json_pack("{s:o}", "user", view_user(&j->user));
	return r;
}

static void after_user_set(struct store_job *j)
{
	presence_set_limits(j->daemon, &j->user);
	budget_set(j->daemon, &j->user);
}

void op_user_set(void *context, void *request, const json_t *args)
{
	if (limits_are_fit(request, args))
		store_job_submit(context, request, args, "user-set", true, work_user_set,
				 after_user_set);
}

static int work_user_disable(struct store_job *j, struct store *store)
{
	const char *name = arg_string(j->args, "name", "");
	int r = store_user_get(store, name, &j->user);

	return r ?: store_user_set_disabled(store, name, arg_bool(j->args, "disabled", true));
}

static void after_user_disable(struct store_job *j)
{
	if (arg_bool(j->args, "disabled", true))
		session_end_user(j->daemon, j->user.id, "the user was disabled");
}

void op_user_disable(void *context, void *request, const json_t *args)
{
	store_job_submit(context, request, args,
			 arg_bool(args, "disabled", true) ? "user-disable" : "user-enable", true,
			 work_user_disable, after_user_disable);
}

static int work_user_delete(struct store_job *j, struct store *store)
{
	return store_user_delete(store, arg_string(j->args, "name", ""));
}

/* The rows went with the user's; their veths go now. */
static void after_user_delete(struct store_job *j)
{
	const char *name = arg_string(j->args, "name", "");
	struct workload *w, *next;

	HASH_ITER(hh, j->daemon->workloads, w, next)
	if (strcmp(w->row.user, name) == 0)
		workload_remove(w);
}

void op_user_delete(void *context, void *request, const json_t *args)
{
	store_job_submit(context, request, args, "user-delete", true, work_user_delete,
			 after_user_delete);
}

static int add_user(const struct store_user *u, void *arg)
{
	return store_job_item(arg, view_user(u));
}

static int work_user_list(struct store_job *j, struct store *store)
{
	const char *name = arg_string(j->args, "name", NULL);
	int r = store_job_list(j);

	if (r < 0)
		return r;
	if (!name)
		return store_user_each(store, add_user, j);
	r = store_user_get(store, name, &j->user);
	return r ?: add_user(&j->user, j);
}

void op_user_list(void *context, void *request, const json_t *args)
{
	store_job_submit(context, request, args, "user-list", false, work_user_list, NULL);
}

/* --- workloads --- */

/* A locally administered unicast address out of the kernel's random numbers. */
static int random_mac(uint8_t mac[6])
{
	if (getrandom(mac, 6, 0) != 6)
		return -EIO;
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
	return 0;
}

static int work_workload_add(struct store_job *j, struct store *store)
{
	struct store_workload *w = &j->workload;
	const char *mac = arg_string(j->args, "mac", NULL);
	int r = mac ? mac_parse(mac, w->mac) : random_mac(w->mac);

	snprintf(w->user, sizeof(w->user), "%s", arg_string(j->args, "user", ""));
	snprintf(w->name, sizeof(w->name), "%s", arg_string(j->args, "name", ""));
	snprintf(w->netns, sizeof(w->netns), "%s", arg_string(j->args, "netns", ""));
	snprintf(w->ifname, sizeof(w->ifname), "%s", arg_string(j->args, "ifname", "eth0"));
	return r ?: store_workload_add(store, w);
}

static void after_workload_add(struct store_job *j)
{
	struct workload *w;

	j->r = workload_new(j->daemon, &j->workload, &w);
	if (j->r == 0)
		j->reply = json_pack("{s:o}", "workload", view_workload(j->daemon, w));
}

void op_workload_add(void *context, void *request, const json_t *args)
{
	const char *text = arg_string(args, "mac", NULL);
	uint8_t mac[6];

	if (text &&
	    (mac_parse(text, mac) < 0 || !mac_is_unicast(mac) || segment_is_reserved(context, mac)))
		request_fail(request, -EINVAL, "mac",
			     "mac: '%s': expected a unicast address that is neither reserved nor a "
			     "device's "
			     "of this host",
			     text);
	else
		store_job_submit(context, request, args, "workload-add", true, work_workload_add,
				 after_workload_add);
}

static int work_workload_remove(struct store_job *j, struct store *store)
{
	return store_workload_delete(store, arg_string(j->args, "user", ""),
				     arg_string(j->args, "name", ""));
}

static void after_workload_remove(struct store_job *j)
{
	struct workload *w = workload_find(j->daemon, arg_string(j->args, "user", ""),
					   arg_string(j->args, "name", ""));

	if (w)
		workload_remove(w);
}

void op_workload_remove(void *context, void *request, const json_t *args)
{
	store_job_submit(context, request, args, "workload-remove", true, work_workload_remove,
			 after_workload_remove);
}

/* --- audit --- */

static int add_audit(int64_t when, const char *who, const char *what, const char *object,
		     const char *detail, void *arg)
{
	return store_job_item(arg, json_pack("{s:I, s:s, s:s, s:s, s:s?}", "when", (json_int_t)when,
					     "who", who, "what", what, "object", object, "detail",
					     detail));
}

static int work_audit_list(struct store_job *j, struct store *store)
{
	int r = store_job_list(j);

	return r ?: store_audit_each(store, (size_t)arg_int(j->args, "limit", 100), add_audit, j);
}

void op_audit_list(void *context, void *request, const json_t *args)
{
	store_job_submit(context, request, args, "audit-list", false, work_audit_list, NULL);
}
