/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How do programs and maps come into the kernel, and stay there? Load, check, pin, take over. */
#include "dataplane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "collect.skel.h"
#include "dataplane_internal.h"
#include "guard.skel.h"
#include "lib/cleanup.h"
#include "sallyport/limits.h"
#include "sallyport/paths.h"
#include "steer.skel.h"

static const char *const map_names[_DP_MAPS] = {
	[DP_PORTS] = "ports",
	[DP_VIDS] = "vids",
	[DP_BINDINGS] = "bindings",
	[DP_FDB] = "fdb",
	[DP_FLOOD] = "flood",
	[DP_POLICE] = "police",
	[DP_COUNTERS] = "counters",
	[DP_REASONS] = "reasons",
	[DP_CONFIG] = "config",
	[DP_EVENTS] = "events",
	[DP_MACHINES] = "machines",
	[DP_ADDRESSES] = "addresses",
	[DP_NOTICES] = "notices",
	[DP_SLOTS] = "slots",
	[DP_FLOWS4] = "flows4",
	[DP_FLOWS6] = "flows6",
	[DP_FRAGMENTS] = "fragments",
	[DP_TIMEOUTS] = "timeouts",
	[DP_COLLECTOR] = "collector",
	[DP_POLICIES] = "policies",
	[DP_RULE_COUNTERS] = "rule_counters",
	[DP_LIMITS] = "limits",
	[DP_QUOTAS] = "quotas",
};

static const char *const prog_names[_DP_PROGS] = {
	[DP_GUARD] = "guard",
	[DP_STEER] = "steer_ingress",
	[DP_STEER_MACHINE] = "steer_machine",
	[DP_EGRESS] = "egress_guard",
	[DP_REPLAY] = "replay",
	[DP_COLLECT] = "collect",
	[DP_SWEEP] = "sweep",
	[DP_END_FLOW] = "end_flow",
};

/* libbpf speaks to stderr by itself; the daemon's log is ours. */
static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int fail(char **ret_error, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(char **ret_error, int r, const char *format, ...)
{
	va_list ap;

	if (!ret_error)
		return r;
	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return r;
}

/* --- directories and pins --- */

static const char *bpffs_of(const struct dataplane_options *o)
{
	return o->bpffs ? o->bpffs : SP_BPFFS;
}

static const char *pin_dir_of(const struct dataplane_options *o)
{
	return o->pin_dir ? o->pin_dir : SP_PIN_DIR;
}

int dataplane_dir(const struct dataplane_options *o, char ret[DP_DIR_MAX])
{
	int n = snprintf(ret, DP_DIR_MAX, "%s/%s/v%d", bpffs_of(o), pin_dir_of(o), SP_ABI_VERSION);

	return n >= DP_DIR_MAX ? -ENAMETOOLONG : 0;
}

static int make_dirs(const struct dataplane_options *o, char ret_dir[DP_DIR_MAX], char **ret_error)
{
	static const char *const below[] = {"", "/maps", "/progs", "/links", "/flows", "/policies"};
	const char *bpffs = bpffs_of(o);
	char path[DP_PATH_MAX];
	int r = dataplane_dir(o, ret_dir);

	if (r < 0)
		return fail(ret_error, r, "%s/%s: expected a path of less than %d bytes", bpffs,
			    pin_dir_of(o), DP_DIR_MAX);
	snprintf(path, sizeof(path), "%s/%s", bpffs, pin_dir_of(o));
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(ret_error, -errno,
			    "%s: cannot make the directory for pins: %s; is a bpffs mounted on %s "
			    "(mount -t bpf bpf %s)?",
			    path, strerror(errno), bpffs, bpffs);
	for (size_t i = 0; i < SP_ARRAY_SIZE(below); i++) {
		snprintf(path, sizeof(path), "%s%s", ret_dir, below[i]);
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return fail(ret_error, -errno, "%s: cannot make the directory: %m", path);
	}
	return 0;
}

static void map_pin(const struct dataplane *dp, enum dataplane_map m, char *ret, size_t size)
{
	snprintf(ret, size, "%s/maps/%s", dp->dir, map_names[m]);
}

/* A pin is what somebody left there: believe nothing that was not looked at. */
static int check_pinned(const char *path, int fd, const struct bpf_map *map, char **ret_error)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return fail(ret_error, -EUCLEAN, "%s: not a map; remove it and start again", path);
	if (info.type != (uint32_t)bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map))
		return fail(ret_error, -EUCLEAN,
			    "%s: type %u, key %u, value %u bytes; expected type %u, %u, %u: not "
			    "made by "
			    "this version; remove it (this ends live sessions) and start again",
			    path, info.type, info.key_size, info.value_size, bpf_map__type(map),
			    bpf_map__key_size(map), bpf_map__value_size(map));
	if (info.map_flags != bpf_map__map_flags(map))
		return fail(ret_error, -EUCLEAN,
			    "%s: map flags %#x, expected %#x: not made by this version; remove it "
			    "(this ends live sessions) and start again",
			    path, info.map_flags, bpf_map__map_flags(map));
	if (info.max_entries != bpf_map__max_entries(map))
		return fail(ret_error, -EUCLEAN,
			    "%s: room for %u entries, configured are %u; set max-bindings, "
			    "max-ports and max-rules "
			    "back, or remove %s's directory (this ends live sessions)",
			    path, info.max_entries, bpf_map__max_entries(map), path);
	return 0;
}

/* Reuse the map pinned at PATH for MAP, if there is one: 1 yes, 0 no. */
static int reuse_pin(const char *path, struct bpf_map *map, char **ret_error)
{
	_cleanup_close_
	int fd = bpf_obj_get(path);
	int r;

	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		return fail(ret_error, -EUCLEAN, "%s: cannot open the pinned map: %m", path);
	}
	r = check_pinned(path, fd, map, ret_error);
	if (r < 0)
		return r;
	/* libbpf would take the pin's name and sizes over; they were just proven to be ours. */
	r = bpf_map__reuse_fd(map, fd);
	return r < 0 ? fail(ret_error, r, "%s: cannot be reused: %s", path, strerror(-r)) : 1;
}

/* Replace the pin of a program without a moment in which there is none. */
static int pin_program(const struct dataplane *dp, enum dataplane_prog p)
{
	char path[DP_PATH_MAX], staged[DP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/progs/%s", dp->dir, prog_names[p]);
	snprintf(staged, sizeof(staged), "%s/progs/new-%s", dp->dir, prog_names[p]);
	unlink(staged); /* of a start that was cut short */
	if (bpf_obj_pin(dp->prog_fd[p], staged) < 0)
		return -errno;
	if (rename(staged, path) < 0) {
		int r = -errno;

		unlink(staged);
		return r;
	}
	return 0;
}

/* --- loading --- */

/* How many tables for FLOWS flows: as few as hold them with SP_SHARD_FLOWS each, a power of two. */
static uint32_t shards_for(uint32_t flows)
{
	uint32_t n = 1;

	while (n < SP_SHARDS_MAX && (uint64_t)n * SP_SHARD_FLOWS < flows)
		n *= 2;
	return n;
}

/*
 * That was decided when the pins were made. What is not ours there is said later, when all maps are
 * looked at.
 */
static void choose_shards(struct dataplane *dp, const struct dataplane_options *o)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info), n;
	_cleanup_close_
	int fd = -1;
	char path[DP_PATH_MAX];

	dp->shards = shards_for(o->flows ? o->flows : SP_DEF_FLOWS);
	if (!dp->dir[0])
		return;
	map_pin(dp, DP_FLOWS4, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return;
	n = info.max_entries / dp->max_ports;
	if (n > 0 && n <= SP_SHARDS_MAX && (n & (n - 1)) == 0)
		dp->shards = n;
}

static int set_sizes(const struct dataplane *dp, struct bpf_object *obj,
		     const struct dataplane_options *o)
{
	uint32_t bindings = o->max_bindings ? o->max_bindings : SP_DEF_BINDINGS;
	uint32_t ports = dp->max_ports, tables = ports * dp->shards;
	uint32_t rules = o->max_rules ? o->max_rules : SP_DEF_RULES;
	const struct {
		const char *name;
		uint32_t entries;
	} sizes[] = {
		{"bindings", bindings},	  {"fdb", bindings},   {"ports", ports},
		{"vids", ports},	  {"flood", ports},    {"police", ports},
		{"counters", ports},	  {"machines", ports}, {"addresses", bindings},
		{"slots", ports},	  {"flows4", tables},  {"flows6", tables},
		{"fragments", ports},	  {"policies", ports}, {"limits", ports},
		{"rule_counters", rules}, {"quotas", ports},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(sizes); i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(obj, sizes[i].name);
		int r = map ? bpf_map__set_max_entries(map, sizes[i].entries) : -ENOENT;

		if (r < 0)
			return r;
	}
	return 0;
}

/* The configuration that every version of the programs shares; drawn when there is none yet. */
static int get_config(const struct dataplane *dp, const struct dataplane_options *o,
		      struct sp_config *ret, char **ret_error)
{
	struct sp_config config = {.abi_version = SP_ABI_VERSION};
	_cleanup_close_
	int fd = -1;
	char path[DP_PATH_MAX];
	uint32_t zero = 0;

	if (dp->dir[0]) {
		map_pin(dp, DP_CONFIG, path, sizeof(path));
		fd = bpf_obj_get(path);
	}
	if (fd >= 0) {
		int r = check_pinned(path, fd, dp->steer->maps.config, ret_error);

		if (r < 0)
			return r;
		if (bpf_map_lookup_elem(fd, &zero, &config) < 0)
			return fail(ret_error, -EUCLEAN, "%s: cannot be read: %m", path);
		if (config.abi_version != SP_ABI_VERSION || !config.mark)
			return fail(ret_error, -EUCLEAN,
				    "%s: says version %u, expected %u; remove the "
				    "directory %s (this ends live sessions) and start again",
				    path, config.abi_version, SP_ABI_VERSION, dp->dir);
	}
	while (!config.mark)
		if (getrandom(&config.mark, sizeof(config.mark), 0) != sizeof(config.mark))
			return fail(ret_error, -EIO, "getrandom: %m");
	config.sample_ns = o->sample_ns;
	config.sampling = o->sampling;
	*ret = config;
	return 0;
}

/* Total store order: Intel SDM volume 3, 8.2.2. */
#ifdef __x86_64__
#define STORES_IN_ORDER 1
#else
#define STORES_IN_ORDER 0
#endif

static void set_rodata(struct dataplane *dp, const struct dataplane_options *o,
		       const struct sp_config *c)
{
	dp->steer->rodata->sp_fast = !o->long_way;
	dp->steer->rodata->sp_mark = c->mark;
	dp->steer->rodata->sp_sampling = c->sampling;
	dp->steer->rodata->sp_sample_ns = c->sample_ns;
	dp->steer->rodata->sp_shards = dp->shards;
	dp->steer->rodata->sp_stores_in_order = STORES_IN_ORDER;
	dp->guard->rodata->sp_mark = c->mark;
	dp->guard->rodata->sp_sampling = c->sampling;
	dp->guard->rodata->sp_sample_ns = c->sample_ns;
	dp->collect->rodata->sp_mark = c->mark;
	dp->collect->rodata->sp_shards = dp->shards;
	dp->collect->rodata->sp_stores_in_order = STORES_IN_ORDER;
}

/* Open the objects; steer's maps are pinned ones where there are. PINNED: a bit for each. */
static int prepare(struct dataplane *dp, const struct dataplane_options *o, uint32_t *ret_pinned,
		   char **ret_error)
{
	char path[DP_PATH_MAX];
	int r;

	dp->steer = steer_bpf__open();
	dp->guard = guard_bpf__open();
	dp->collect = collect_bpf__open();
	if (!dp->steer || !dp->guard || !dp->collect)
		return fail(ret_error, -errno, "the BPF objects cannot be opened: %m");
	bpf_program__set_autoload(dp->steer->progs.steer_explained, false);
	choose_shards(dp, o);
	r = set_sizes(dp, dp->steer->obj, o);
	r = r ?: set_sizes(dp, dp->guard->obj, o);
	r = r ?: set_sizes(dp, dp->collect->obj, o);
	if (r < 0)
		return fail(ret_error, r, "the maps' sizes cannot be set: %s", strerror(-r));
	*ret_pinned = 0;
	for (int m = 0; dp->dir[0] && m < _DP_MAPS; m++) {
		map_pin(dp, m, path, sizeof(path));
		r = reuse_pin(path, bpf_object__find_map_by_name(dp->steer->obj, map_names[m]),
			      ret_error);
		if (r < 0)
			return r;
		*ret_pinned |= (uint32_t)r << m;
	}
	return 0;
}

int dataplane_share_maps(const struct dataplane *dp, struct bpf_object *obj)
{
	int r = 0;

	for (int m = 0; r == 0 && m < _DP_MAPS; m++)
		r = bpf_map__reuse_fd(bpf_object__find_map_by_name(obj, map_names[m]),
				      dp->map_fd[m]);
	return r;
}

static void take_programs(struct dataplane *dp)
{
	const struct bpf_program *const programs[_DP_PROGS] = {
		[DP_GUARD] = dp->guard->progs.guard,
		[DP_STEER] = dp->steer->progs.steer_ingress,
		[DP_STEER_MACHINE] = dp->steer->progs.steer_machine,
		[DP_EGRESS] = dp->steer->progs.egress_guard,
		[DP_REPLAY] = dp->steer->progs.replay,
		[DP_COLLECT] = dp->collect->progs.collect,
		[DP_SWEEP] = dp->collect->progs.sweep,
		[DP_END_FLOW] = dp->collect->progs.end_flow,
	};

	for (int p = 0; p < _DP_PROGS; p++)
		dp->prog_fd[p] = bpf_program__fd(programs[p]);
}

static int load(struct dataplane *dp, char **ret_error)
{
	int r = steer_bpf__load(dp->steer);

	for (int m = 0; r == 0 && m < _DP_MAPS; m++)
		dp->map_fd[m] = bpf_object__find_map_fd_by_name(dp->steer->obj, map_names[m]);
	r = r ?: dataplane_share_maps(dp, dp->guard->obj);
	r = r ?: dataplane_share_maps(dp, dp->collect->obj);
	r = r ?: guard_bpf__load(dp->guard);
	r = r ?: collect_bpf__load(dp->collect);
	if (r < 0)
		return fail(ret_error, r,
			    "the kernel refused a BPF program: %s; `sallyport doctor` tells "
			    "what this kernel lacks",
			    strerror(-r));
	take_programs(dp);
	return 0;
}

/* Pin what was just made. `config` goes last: without it the others are a start cut short. */
static int publish(struct dataplane *dp, uint32_t pinned, char **ret_error)
{
	char path[DP_PATH_MAX];

	for (int i = 0; i < _DP_MAPS; i++) {
		int m = i == _DP_MAPS - 1 ? DP_CONFIG : i < DP_CONFIG ? i : i + 1;

		if (pinned & (1U << m))
			continue;
		map_pin(dp, m, path, sizeof(path));
		if (bpf_obj_pin(dp->map_fd[m], path) < 0)
			return fail(ret_error, -errno, "%s: cannot pin: %m", path);
	}
	for (int p = 0; p < _DP_PROGS; p++) {
		int r = pin_program(dp, p);

		if (r < 0)
			return fail(ret_error, r, "%s/progs/%s: cannot pin: %s", dp->dir,
				    prog_names[p], strerror(-r));
	}
	return 0;
}

/* TCX answers ENODEV for a device that is not there; older kernels do not know the attach type. */
static bool have_tcx(const struct dataplane *dp)
{
	int fd = bpf_link_create(dp->prog_fd[DP_STEER], INT32_MAX, (enum bpf_attach_type)46, NULL);

	if (fd >= 0)
		close(fd);
	return fd == -ENODEV;
}

int dataplane_open(const struct dataplane_options *o, struct dataplane **ret, char **ret_error)
{
	_cleanup_(dataplane_closep) struct dataplane *dp = NULL;
	struct sp_config config;
	uint32_t pinned, zero = 0;
	int r = libbpf_num_possible_cpus();

	if (ret_error)
		*ret_error = NULL;
	if (r < 0)
		return r;
	dp = calloc(1, sizeof(*dp));
	if (!dp)
		return -ENOMEM;
	dp->n_cpus = r;
	libbpf_set_print(quiet);
	dp->max_ports = o->max_ports ? o->max_ports : SP_DEF_PORTS;
	dp->max_rules = o->max_rules ? o->max_rules : SP_DEF_RULES;
	pthread_mutex_init(&dp->policy_lock, NULL);
	r = o->unpinned ? 0 : make_dirs(o, dp->dir, ret_error);
	if (r == 0)
		r = prepare(dp, o, &pinned, ret_error);
	if (r == 0)
		r = get_config(dp, o, &config, ret_error);
	if (r < 0)
		return r;
	set_rodata(dp, o, &config);
	r = load(dp, ret_error);
	if (r < 0)
		return r;
	if (bpf_map_update_elem(dp->map_fd[DP_CONFIG], &zero, &config, BPF_ANY) < 0)
		return fail(ret_error, -errno, "the map `config` cannot be written: %m");
	r = dataplane_share(dp);
	if (r < 0)
		return fail(ret_error, r,
			    "the maps `machines` and `slots` cannot be mapped into memory: %s",
			    strerror(-r));
	dataplane_probe_types(dp);
	r = dataplane_policies_open(dp);
	if (r < 0)
		return fail(ret_error, r, "the map `policies` cannot be filled: %s", strerror(-r));
	dp->features.tcx = !o->force_clsact && have_tcx(dp);
	if (dp->dir[0]) {
		r = publish(dp, pinned, ret_error);
		if (r < 0)
			return r;
		r = dataplane_relink(dp);
		if (r < 0)
			return fail(ret_error, r, "%s/links: a link cannot be updated: %s", dp->dir,
				    strerror(-r));
	}
	r = dataplane_start_collector(dp);
	if (r < 0)
		return fail(ret_error, r, "the timer that ends flows cannot be started: %s",
			    strerror(-r));
	*ret = TAKE_PTR(dp);
	return 0;
}

void dataplane_close(struct dataplane *dp)
{
	if (!dp)
		return;
	for (size_t i = 0; i < dp->n_links; i++)
		close(dp->link_fds[i]);
	free(dp->link_fds);
	ring_buffer__free(dp->ring);
	ring_buffer__free(dp->notices);
	dataplane_forget_tables(dp);
	dataplane_unshare(dp);
	collect_bpf__destroy(dp->collect);
	dataplane_policies_close(dp);
	guard_bpf__destroy(dp->guard);
	steer_bpf__destroy(dp->steer);
	free(dp);
}

void dataplane_closep(struct dataplane **dp)
{
	dataplane_close(*dp);
}

int dataplane_map_fd(const struct dataplane *dp, const char *name)
{
	for (int m = 0; m < _DP_MAPS; m++)
		if (strcmp(map_names[m], name) == 0)
			return dp->map_fd[m];
	return -ENOENT;
}

int dataplane_prog_fd(const struct dataplane *dp, const char *name)
{
	for (int p = 0; p < _DP_PROGS; p++)
		if (strcmp(prog_names[p], name) == 0)
			return dp->prog_fd[p];
	return -ENOENT;
}

const struct dataplane_features *dataplane_features(const struct dataplane *dp)
{
	return &dp->features;
}
