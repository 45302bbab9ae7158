/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How does a policy come into force, in one step, and where do its rules go on to count?
 *
 * A compiled policy is a map of its own, which nobody without CAP_SYS_ADMIN can get back from the
 * outer map: it is pinned in `policies/PORT` as well, or kept open where nothing is pinned. The pin
 * is staged before the outer map is updated and renamed behind that; which of the two is in force
 * after a crash, the outer map tells by its id.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane_internal.h"
#include "lib/cleanup.h"
#include "policy/policy.h"
#include "steer.skel.h"

/* --- the map of one policy --- */

/* Where it is pinned, or (STAGED) will be. */
static void policy_pin(const struct dataplane *dp, uint32_t port, bool staged,
		       char ret[DP_PATH_MAX])
{
	snprintf(ret, DP_PATH_MAX, "%s/policies/%s%u", dp->dir, staged ? "new-" : "", port);
}

static int map_info(int fd, struct bpf_map_info *ret)
{
	uint32_t len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return bpf_obj_get_info_by_fd(fd, ret, &len) < 0 ? -errno : 0;
}

/* Id of the map in force at PORT. -ENOENT. */
static int id_in_force(const struct dataplane *dp, uint32_t port, uint32_t *ret)
{
	return bpf_map_lookup_elem(dp->map_fd[DP_POLICIES], &port, ret) < 0 ? -errno : 0;
}

static bool is_map(int fd, uint32_t id, struct bpf_map_info *ret)
{
	return fd >= 0 && map_info(fd, ret) == 0 && ret->id == id &&
	       ret->value_size == sizeof(struct sp_row);
}

/* By its pin, which may be about to be renamed by another thread. */
static int open_pinned(const struct dataplane *dp, uint32_t port, uint32_t id,
		       struct bpf_map_info *ret)
{
	for (int staged = 0; staged <= 1; staged++) {
		_cleanup_close_
		int fd = -1;
		char path[DP_PATH_MAX];

		policy_pin(dp, port, staged, path);
		fd = bpf_obj_get(path);
		if (is_map(fd, id, ret))
			return TAKE_FD(fd);
	}
	return -EUCLEAN;
}

static int open_kept(struct dataplane *dp, uint32_t port, uint32_t id, struct bpf_map_info *ret)
{
	_cleanup_close_
	int fd = -1;

	pthread_mutex_lock(&dp->policy_lock);
	fd = dp->policy_fds[port] < 0 ? -1 : dup(dp->policy_fds[port]);
	pthread_mutex_unlock(&dp->policy_lock);
	return is_map(fd, id, ret) ? TAKE_FD(fd) : -EUCLEAN;
}

/* A descriptor of the policy in force; the caller closes it. *RET_ROWS: how many there are. */
static int open_policy(struct dataplane *dp, uint32_t port, uint32_t *ret_rows)
{
	struct bpf_map_info info;
	uint32_t id;
	int r = id_in_force(dp, port, &id);

	if (r == 0)
		r = dp->dir[0] ? open_pinned(dp, port, id, &info) : open_kept(dp, port, id, &info);
	if (r >= 0)
		*ret_rows = info.max_entries;
	return r;
}

/* Rows as a map that nobody writes any more. */
static int make_policy(const struct dataplane *dp, const struct sp_row *rows, uint32_t n)
{
	const struct bpf_map *shape = dp->steer->maps.policy;
	LIBBPF_OPTS(bpf_map_create_opts, create, .map_flags = bpf_map__map_flags(shape),
		    .btf_fd = (uint32_t)bpf_object__btf_fd(dp->steer->obj),
		    .btf_key_type_id = bpf_map__btf_key_type_id(shape),
		    .btf_value_type_id = bpf_map__btf_value_type_id(shape));
	LIBBPF_OPTS(bpf_map_batch_opts, batch);
	_cleanup_free_
	uint32_t *keys = calloc(n, sizeof(*keys));
	_cleanup_close_
	int fd = -1;
	uint32_t done = n;

	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		keys[i] = i;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "policy", sizeof(uint32_t), sizeof(struct sp_row),
			    n, &create);
	if (fd < 0)
		return -errno;
	if (bpf_map_update_batch(fd, keys, rows, &done, &batch) < 0 || bpf_map_freeze(fd) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* FD becomes what is in force at PORT, with its pin. Takes FD where nothing is pinned. */
static int publish(struct dataplane *dp, uint32_t port, int *fd)
{
	char path[DP_PATH_MAX], staged[DP_PATH_MAX];
	int r = 0;

	if (dp->dir[0]) {
		policy_pin(dp, port, false, path);
		policy_pin(dp, port, true, staged);
		unlink(staged); /* of a set that was cut short */
		if (bpf_obj_pin(*fd, staged) < 0)
			return -errno;
	}
	if (bpf_map_update_elem(dp->map_fd[DP_POLICIES], &port, fd, BPF_ANY) < 0)
		r = errno == E2BIG ? -ENOENT : -errno;
	if (r < 0) {
		if (dp->dir[0])
			unlink(staged);
		return r;
	}
	__atomic_store_n(&dp->has_policy[port], true, __ATOMIC_RELAXED);
	if (dp->dir[0]) {
		rename(staged, path); /* where it cannot, it is found under its first name */
		return 0;
	}
	pthread_mutex_lock(&dp->policy_lock);
	closep(&dp->policy_fds[port]);
	dp->policy_fds[port] = TAKE_FD(*fd);
	pthread_mutex_unlock(&dp->policy_lock);
	return 0;
}

/* --- setting --- */

/* What was in force at PORT; nothing, where it cannot be read. */
static int read_old(struct dataplane *dp, uint32_t port, struct places *ret)
{
	uint32_t n;
	_cleanup_close_
	int fd = open_policy(dp, port, &n);
	int r = fd < 0 ? fd : places_read(fd, ret);

	return r == -ENOMEM ? r : 0;
}

static uint16_t row_sum(const struct sp_row *row)
{
	uint64_t all = 0;

	for (size_t i = 0; i < SP_ROW_LEN / 8; i++)
		all ^= row->word[i];
	return SP_FOLD(all);
}

/* Is each row a whole one of this policy? What the programs would not believe is not put there. */
static bool rows_whole(const struct sp_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned int kind = SP_ROW_HEAD;

		while (kind <= SP_ROW_RULES &&
		       row_sum(&rows[i]) != SP_ROW_SUM(rows[0].head.digest, kind))
			kind++;
		if (kind > SP_ROW_RULES)
			return false;
	}
	return true;
}

static bool rows_ok(const struct sp_row *rows, size_t n)
{
	const struct sp_head *head = &rows[0].head;

	return n > 0 && n <= SP_ROWS_MAX && head->kind == SP_ROW_HEAD && head->rows == n &&
	       head->rules <= SP_RULES_MAX &&
	       head->first_rules + (head->rules + SP_RULES_ROW - 1U) / SP_RULES_ROW <= n &&
	       rows_whole(rows, n);
}

int dataplane_policy_set(struct dataplane *dp, uint32_t port, struct sp_row *rows, size_t n)
{
	_cleanup_(places_free) struct places old = {.v = NULL};
	_cleanup_close_
	int fd = -1;
	int r;

	if (port >= dp->max_ports)
		return -ENOENT;
	if (!rows_ok(rows, n))
		return -EINVAL;
	r = read_old(dp, port, &old);
	if (r < 0)
		return r;
	pthread_mutex_lock(&dp->policy_lock);
	r = rules_take(dp, &old, rows);
	pthread_mutex_unlock(&dp->policy_lock);
	if (r == 0)
		r = fd = make_policy(dp, rows, (uint32_t)n);
	if (r >= 0)
		r = publish(dp, port, &fd);
	/* The update has waited for all that read the old one: its counters are free. */
	pthread_mutex_lock(&dp->policy_lock);
	if (r < 0)
		rules_release(dp, rows);
	else
		places_release(dp, &old);
	pthread_mutex_unlock(&dp->policy_lock);
	return r < 0 ? r : 0;
}

int dataplane_policy_clear(struct dataplane *dp, uint32_t port)
{
	_cleanup_(places_free) struct places old = {.v = NULL};
	char path[DP_PATH_MAX];
	int r = read_old(dp, port, &old);

	if (port >= dp->max_ports)
		return -ENOENT;
	if (r < 0)
		return r;
	if (bpf_map_delete_elem(dp->map_fd[DP_POLICIES], &port) < 0 && errno != ENOENT)
		return -errno;
	__atomic_store_n(&dp->has_policy[port], false, __ATOMIC_RELAXED);
	for (int staged = 0; dp->dir[0] && staged <= 1; staged++) {
		policy_pin(dp, port, staged, path);
		unlink(path);
	}
	pthread_mutex_lock(&dp->policy_lock);
	if (!dp->dir[0] && dp->policy_fds[port] >= 0) {
		close(dp->policy_fds[port]);
		dp->policy_fds[port] = -1;
	}
	places_release(dp, &old);
	pthread_mutex_unlock(&dp->policy_lock);
	return 0;
}

/* --- looking --- */

int dataplane_policy_head(struct dataplane *dp, uint32_t port, struct sp_head *ret)
{
	uint32_t n;
	_cleanup_close_
	int fd = open_policy(dp, port, &n);
	struct sp_row row;
	int r = fd < 0 ? fd : dataplane_read_row(fd, 0, SP_ROW_HEAD, &row);

	if (r == 0 && row.head.rows != n)
		r = -EUCLEAN;
	if (r == 0)
		*ret = row.head;
	return r;
}

static int sum_counter(const struct dataplane *dp, uint32_t counter, struct sp_rule_counter *cpus,
		       struct sp_rule_counter *ret)
{
	*ret = (struct sp_rule_counter){0};
	if (bpf_map_lookup_elem(dp->map_fd[DP_RULE_COUNTERS], &counter, cpus) < 0)
		return -errno;
	for (int i = 0; i < dp->n_cpus; i++) {
		ret->packets += cpus[i].packets;
		ret->bytes += cpus[i].bytes;
	}
	return 0;
}

int dataplane_policy_counts(struct dataplane *dp, uint32_t port, struct sp_rule_counter *ret,
			    size_t max, struct sp_rule_counter ret_defaults[_SP_DIRECTIONS])
{
	_cleanup_free_
	struct sp_rule_counter *cpus = calloc((size_t)dp->n_cpus, sizeof(*cpus));
	struct sp_row head, row = {.kind = 0};
	uint32_t n;
	_cleanup_close_
	int fd = open_policy(dp, port, &n);
	int r = fd < 0 ? fd : dataplane_read_row(fd, 0, SP_ROW_HEAD, &head);

	if (!cpus)
		return -ENOMEM;
	for (unsigned int d = 0; r == 0 && d < _SP_DIRECTIONS; d++)
		r = sum_counter(dp, head.head.counter[d], cpus, &ret_defaults[d]);
	for (size_t i = 0; r == 0 && i < head.head.rules && i < max; i++) {
		size_t k = i % SP_RULES_ROW;

		if (k == 0)
			r = dataplane_read_row(fd,
					       (uint32_t)(head.head.first_rules + i / SP_RULES_ROW),
					       SP_ROW_RULES, &row);
		r = r ?: sum_counter(dp, row.rules.counter[k], cpus, &ret[i]);
	}
	return r < 0 ? r : head.head.rules;
}

int dataplane_each_policy(struct dataplane *dp, int (*cb)(uint32_t port, void *arg), void *arg)
{
	int r = 0;

	for (uint32_t port = 0; r >= 0 && port < dp->max_ports; port++)
		if (__atomic_load_n(&dp->has_policy[port], __ATOMIC_RELAXED))
			r = cb(port, arg);
	return r < 0 ? r : 0;
}

void dataplane_rules_used(struct dataplane *dp, uint32_t *ret_used, uint32_t *ret_max)
{
	pthread_mutex_lock(&dp->policy_lock);
	*ret_used = dp->rules_used;
	pthread_mutex_unlock(&dp->policy_lock);
	*ret_max = dp->max_rules - 1; /* 0 is nobody's */
}

int dataplane_limit_get(struct dataplane *dp, uint32_t port, struct sp_limit *ret)
{
	return bpf_map_lookup_elem(dp->map_fd[DP_LIMITS], &port, ret) < 0 ? -errno : 0;
}

/* --- taking over --- */

/* "12", "new-12". False: a name that is not ours. */
static bool parse_pin(const char *name, uint32_t *ret_port, bool *ret_staged)
{
	char *end;
	unsigned long port;

	*ret_staged = strncmp(name, "new-", 4) == 0;
	if (*ret_staged)
		name += 4;
	if (name[0] < '0' || name[0] > '9')
		return false;
	errno = 0;
	port = strtoul(name, &end, 10);
	if (errno || *end || port > UINT32_MAX)
		return false;
	*ret_port = (uint32_t)port;
	return true;
}

/* FD is what is in force at PORT. One that cannot be read counts nowhere. */
static int take_over(struct dataplane *dp, uint32_t port, int fd)
{
	_cleanup_(places_free) struct places p = {.v = NULL};
	int r = places_read(fd, &p);

	if (r == 0)
		places_hold(dp, &p);
	dp->has_policy[port] = true;
	return r == -ENOMEM ? r : 0;
}

/*
 * A pin is of use while it is what is in force; one that is staged takes its place then. The outer
 * map is asked once for each: before Linux 6.8 that waits for RCU (bpf_map_copy_value).
 */
static int settle_pin(struct dataplane *dp, const char *name)
{
	char path[DP_PATH_MAX], final[DP_PATH_MAX];
	_cleanup_close_
	int fd = -1;
	struct bpf_map_info info;
	uint32_t port, id;
	bool staged;

	if (!parse_pin(name, &port, &staged) || (port < dp->max_ports && dp->has_policy[port]))
		return 0; /* not ours, or has taken the place of another */
	policy_pin(dp, port, staged, path);
	policy_pin(dp, port, false, final);
	fd = bpf_obj_get(path);
	if (fd < 0 || map_info(fd, &info) < 0 || id_in_force(dp, port, &id) < 0 || id != info.id) {
		unlink(path);
		return 0;
	}
	if (staged && rename(path, final) < 0)
		return -errno;
	return take_over(dp, port, fd);
}

/* Those that are staged first: they may be what another one is replaced by. */
static int settle_pins(struct dataplane *dp)
{
	char path[DP_PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s/policies", dp->dir);
	for (int staged = 1; r == 0 && staged >= 0; staged--) {
		DIR *dir = opendir(path);

		if (!dir)
			return -errno;
		for (struct dirent *e; r == 0 && (e = readdir(dir));)
			if ((strncmp(e->d_name, "new-", 4) == 0) == staged)
				r = settle_pin(dp, e->d_name);
		closedir(dir);
	}
	return r;
}

static int set_builtin(struct dataplane *dp)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	size_t size = strlen(policy_builtin);
	char error[200];
	int r = policy_parse(policy_builtin, size, &policy, NULL);

	r = r ?: policy_compile(policy, 0, policy_digest(policy_builtin, size), &rows, error);
	return r ?: dataplane_policy_set(dp, DATAPLANE_DEFAULT_POLICY, rows.v, rows.n);
}

int dataplane_policies_open(struct dataplane *dp)
{
	struct sp_head head;
	int r;

	dp->rules_next = 1;
	dp->rule_refs = calloc(dp->max_rules, sizeof(*dp->rule_refs));
	dp->policy_fds = dp->dir[0] ? NULL : calloc(dp->max_ports, sizeof(*dp->policy_fds));
	dp->has_policy = calloc(dp->max_ports, sizeof(*dp->has_policy));
	for (uint32_t i = 0; dp->policy_fds && i < dp->max_ports; i++)
		dp->policy_fds[i] = -1;
	if (!dp->rule_refs || !dp->has_policy || (!dp->dir[0] && !dp->policy_fds))
		return -ENOMEM;
	r = dp->dir[0] ? settle_pins(dp) : 0;
	if (r == 0 && dataplane_policy_head(dp, DATAPLANE_DEFAULT_POLICY, &head) < 0)
		r = set_builtin(dp);
	return r;
}

void dataplane_policies_close(struct dataplane *dp)
{
	for (uint32_t i = 0; dp->policy_fds && i < dp->max_ports; i++)
		closep(&dp->policy_fds[i]);
	free(dp->policy_fds);
	free(dp->has_policy);
	free(dp->rule_refs);
	pthread_mutex_destroy(&dp->policy_lock);
}
