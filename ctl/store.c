/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sallyport store: make, check, migrate and copy the store itself. The one group of commands that
 * does not ask the daemon: it must not be at work meanwhile, or does not start for want of a store.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "loader/config.h"
#include "loader/store/store.h"
#include "sallyport/paths.h"

/* --- what went wrong --- */

/* As the daemon's refusals look, for people and for programs. */
static int failed(const struct ctl *ctl, int r, const char *what, const char *why)
{
	const char *words = why && *why ? why : strerror(-r);

	if (ctl->json) {
		_cleanup_free_
		char *safe = text_escape(words);
		_cleanup_json_ json_t *error = json_pack("{s:{s:s, s:s, s:i}}", "error", "message",
							 safe, "what", what, "errno", -r);

		if (!error)
			text_oom();
		call_print_json(error);
	}
	text_line(stderr, "sallyport: %s: %s", what, words);
	/* What a script may want to try again later. */
	return r == -ENOTCONN || r == -ETIMEDOUT ? CTL_UNREACHABLE : CTL_FAILED;
}

/* The configuration that names the store. Its mistakes go to stderr, line by line. */
static int load(const struct ctl *ctl, const char *path, struct config **ret,
		struct store_options *options)
{
	int r = config_load(path, ret, stderr);

	if (r < 0)
		return failed(ctl, r, path,
			      r == -EINVAL ? "it has mistakes; nothing was done" : NULL);
	config_store_options(*ret, options);
	options->tool = true;
	return CTL_OK;
}

static const char *config_path(const struct ctl_args *args, const char *option)
{
	const char *path = option_value(args, option);

	return path ? path : SP_CONFIG_FILE;
}

static int open_store(const struct ctl *ctl, const char *config,
		      const struct store_options *options, struct store **ret)
{
	_cleanup_free_
	char *error = NULL;
	int r = store_open(options, ret, &error);

	return r < 0 ? failed(ctl, r, config, error) : CTL_OK;
}

/* --- init, migrate --- */

/* What is there now, in the words of the store itself. */
static int tell(const struct ctl *ctl, const char *config, const struct store_options *options,
		const char *done, int from)
{
	_cleanup_(store_closep) struct store *s = NULL;
	int r = open_store(ctl, config, options, &s);

	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		_cleanup_json_ json_t *j =
			json_pack("{s:s, s:s, s:i, s:i}", "store", store_describe(s), "result",
				  done, "from", from, "version", STORE_VERSION);

		if (!j)
			text_oom();
		call_print_json(j);
	} else if (!ctl->quiet) {
		text_line(stdout, "%s: %s", done, store_describe(s));
	}
	return CTL_OK;
}

int cmd_store_init(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *path = config_path(args, "config");
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_
	char *error = NULL;
	struct store_options options;
	int r = load(ctl, path, &config, &options);

	if (r != CTL_OK)
		return r;
	options.mapping = (struct store_mapping){0}; /* it may well come later */
	r = store_init(&options, &error);
	return r < 0 ? failed(ctl, r, path, error) : tell(ctl, path, &options, "made", 0);
}

int cmd_store_migrate(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *path = config_path(args, "config");
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_free_
	char *error = NULL;
	struct store_options options;
	int from = 0, r = load(ctl, path, &config, &options);

	if (r != CTL_OK)
		return r;
	options.mapping = (struct store_mapping){0};
	options.exclusive = true; /* a daemon at work would not know what it has before it */
	r = store_migrate(&options, &from, &error);
	options.exclusive = false;
	if (r < 0)
		return failed(ctl, r, path, error);
	return tell(ctl, path, &options,
		    from == STORE_VERSION ? "up to date already" : "brought up to date", from);
}

/* --- check --- */

struct findings {
	const struct ctl *ctl;
	json_t *list;
};

static void note_finding(const char *sentence, void *arg)
{
	struct findings *f = arg;
	_cleanup_free_
	char *safe = text_escape(sentence);

	if (!f->ctl->json)
		text_line(stdout, "%s", sentence);
	else if (json_array_append_new(f->list, json_string(safe)) < 0)
		text_oom();
}

int cmd_store_check(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *path = config_path(args, "config");
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_(store_closep) struct store *s = NULL;
	_cleanup_json_ json_t *list = json_array();
	struct findings f = {ctl, list};
	struct store_options options;
	uint64_t n = 0;
	int r = load(ctl, path, &config, &options);

	/* Opening it has the schema compared. */
	if (r == CTL_OK)
		r = open_store(ctl, path, &options, &s);
	if (r != CTL_OK)
		return r;
	r = store_verify(s, note_finding, &f, &n);
	if (r < 0)
		return failed(ctl, r, path, store_error(s));
	if (ctl->json) {
		_cleanup_json_ json_t *j =
			json_pack("{s:s, s:O}", "store", store_describe(s), "problems", list);

		if (!j)
			text_oom();
		call_print_json(j);
	} else if (n > 0) {
		text_line(stdout, "%" PRIu64 " problems: %s", n, store_describe(s));
	} else if (!ctl->quiet) {
		text_line(stdout, "in order: %s", store_describe(s));
	}
	return n > 0 ? CTL_FAILED : CTL_OK;
}

/* --- copy --- */

struct copying {
	const struct ctl *ctl;
	json_t *tables; /* name -> rows */
	const char *table;
	uint64_t rows;
};

static void finish_table(struct copying *c)
{
	if (c->table && !c->ctl->json && !c->ctl->quiet)
		text_line(stdout, "%-10s %" PRIu64, c->table, c->rows);
	fflush(stdout);
}

static void note_progress(const char *table, uint64_t rows, void *arg)
{
	struct copying *c = arg;

	if (c->table && strcmp(c->table, table) != 0)
		finish_table(c);
	c->table = table;
	c->rows = rows;
	if (json_object_set_new(c->tables, table, json_integer((json_int_t)rows)) < 0)
		text_oom();
}

struct living {
	char names[256];
};

static int note_server(const struct store_server *server, void *arg)
{
	struct living *l = arg;
	size_t n = strlen(l->names);

	if (server->alive)
		(void)snprintf(l->names + n, sizeof(l->names) - n, "%s%s (%" PRId64 " s ago)",
			       n ? ", " : "", server->name, server->seen_s);
	return 0;
}

/* A file's lock told already; of a server it is known who has said lately that it lives. */
static int check_quiet(const struct ctl *ctl, const char *config, struct store *from)
{
	struct living l = {""};
	char why[400];
	int r = store_is_shared(from) ? store_server_each(from, note_server, &l) : 0;

	if (r < 0)
		return failed(ctl, r, config, store_error(from));
	if (!l.names[0])
		return CTL_OK;
	snprintf(why, sizeof(why),
		 "servers use it: %s; stop sallyportd there and wait %d s, or say --force", l.names,
		 SP_SERVER_LEASE_S);
	return failed(ctl, -EBUSY, config, why);
}

static int copy(const struct ctl *ctl, const char *path, struct store *from, struct store *to)
{
	_cleanup_json_ json_t *tables = json_object();
	struct copying c = {.ctl = ctl, .tables = tables};
	_cleanup_free_
	char *error = NULL;
	int r = store_copy(from, to, note_progress, &c, &error);

	if (r < 0)
		return failed(ctl, r, path, error);
	finish_table(&c);
	if (ctl->json) {
		_cleanup_json_ json_t *j =
			json_pack("{s:s, s:s, s:O}", "from", store_describe(from), "to",
				  store_describe(to), "rows", tables);

		if (!j)
			text_oom();
		call_print_json(j);
	} else if (!ctl->quiet) {
		text_line(stdout, "copied, and the same: %s", store_describe(to));
	}
	return CTL_OK;
}

int cmd_store_copy(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *from_path = config_path(args, "from"), *to_path = option_value(args, "to");
	_cleanup_(config_freep) struct config *from_config = NULL;
	_cleanup_(config_freep) struct config *to_config = NULL;
	_cleanup_(store_closep) struct store *from = NULL;
	_cleanup_(store_closep) struct store *to = NULL;
	struct store_options from_options, to_options;
	int r;

	if (!to_path)
		return call_usage(args, "expected --to with the configuration of the other store");
	r = load(ctl, from_path, &from_config, &from_options);
	if (r == CTL_OK)
		r = load(ctl, to_path, &to_config, &to_options);
	if (r != CTL_OK)
		return r;
	from_options.exclusive = to_options.exclusive = true;
	from_options.mapping = to_options.mapping =
		(struct store_mapping){0}; /* not what is copied */
	r = open_store(ctl, from_path, &from_options, &from);
	if (r == CTL_OK && !option_value(args, "force"))
		r = check_quiet(ctl, from_path, from);
	if (r == CTL_OK)
		r = open_store(ctl, to_path, &to_options, &to);
	return r == CTL_OK ? copy(ctl, to_path, from, to) : r;
}
