/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hooks inside OpenVPN's own process: no fork for each new MAC. What is decided here is decided
 * by the same code as in the programs; this file is OpenVPN's API and nothing else.
 *
 * OpenVPN is single-threaded and a crash here ends every tunnel: all state is in the handle, every
 * pointer from outside is checked, and threads (jobs.h) neither touch the handle nor call back.
 */
#include <errno.h>
#include <openvpn/openvpn-plugin.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/call.h"
#include "hooks/channel.h"
#include "hooks/env.h"
#include "hooks/jobs.h"
#include "hooks/negcache.h"
#include "hooks/pending.h"
#include "hooks/request.h"
#include "lib/cleanup.h"
#include "lib/client.h"

#define PLUGIN_NAME "sallyport"
/* How long closing (SIGHUP, end of the server) waits for threads. They outlive it unharmed. */
#define CLOSE_WAIT_MS 1000
/* Lines that go to OpenVPN's log in a second, all clients together. */
#define LOG_PER_S 5

#define EXPORT __attribute__((visibility("default")))

struct plugin {
	char *instance;
	char *socket; /* NULL: the default */
	struct channel channel;
	struct jobs *jobs;
	struct negcache *refused;
	plugin_log_t log;
	uint64_t log_second;
	unsigned int log_lines;
	unsigned int log_suppressed;
};

/* One for each client instance of OpenVPN. */
struct client {
	struct plugin *plugin;
	struct pending_connect *pending; /* NULL: no connect is being waited for */
};

static void report(struct plugin *p, openvpn_plugin_log_flags_t level, const char *what,
		   const char *object, int error)
{
	uint64_t second = client_now_us() / 1000000;
	char name[REASON_MAX];

	if (!p->log)
		return;
	if (second != p->log_second) {
		if (p->log_suppressed)
			p->log(PLOG_NOTE, PLUGIN_NAME, "%u messages were suppressed",
			       p->log_suppressed);
		p->log_second = second;
		p->log_lines = 0;
		p->log_suppressed = 0;
	}
	if (p->log_lines++ >= LOG_PER_S) {
		p->log_suppressed++;
		return;
	}
	reason_copy(name, object ? object : "");
	p->log(level, PLUGIN_NAME, "%s%s%s%s%s", what, object ? " " : "", object ? name : "",
	       error ? ": " : "", error ? strerror(-error) : "");
}

static uint64_t deadline(void)
{
	return client_now_us() + SP_HOOK_DEADLINE_MS * 1000ULL;
}

static int on_auth(struct plugin *p, const char *const *envp)
{
	struct hook_login login = {.username = env_get(envp, "username"),
				   .password = env_get(envp, "password")};
	const char *control = env_get(envp, "auth_control_file");
	const char *reason = env_get(envp, "auth_failed_reason_file");
	const struct auth_answer busy = {
		.result = AUTH_RETRY, .backoff = AUTH_BACKOFF_S, .reason = "too many logins"};
	_cleanup_request_ json_t *request = NULL;
	const char *bad = "username";
	int r = -ENOENT;

	if (login.username)
		r = hook_check_username(login.username);
	if (r == 0) {
		bad = "password";
		r = !login.password				? -ENOENT
		    : strlen(login.password) >= SP_PASSWORD_MAX ? -ENAMETOOLONG
								: 0;
	}
	if (r == 0)
		r = env_login(envp, &login, &bad);
	if (r == 0 && !control) {
		bad = "auth_control_file";
		r = -ENOENT;
	}
	if (r == 0)
		r = request_auth(p->instance, &login, &request);
	if (r < 0) {
		report(p, PLOG_WARN, "login refused: invalid or missing", bad, r);
		return OPENVPN_PLUGIN_FUNC_ERROR;
	}
	r = pending_auth_start(p->jobs, p->socket, &request, reason, control);
	if (r == 0)
		return OPENVPN_PLUGIN_FUNC_DEFERRED;
	report(p, PLOG_WARN, "login put off", login.username, r);
	return auth_publish(&busy, reason, control) < 0 ? OPENVPN_PLUGIN_FUNC_ERROR
							: OPENVPN_PLUGIN_FUNC_DEFERRED;
}

/* Hand the lines to OpenVPN, which frees what it is given. TEXT is taken. */
static int return_config(struct openvpn_plugin_string_list **list, char *text)
{
	struct openvpn_plugin_string_list *item = calloc(1, sizeof(*item));

	if (item)
		item->name = strdup("config");
	if (!item || !item->name || !list) {
		free(item ? item->name : NULL);
		free(item);
		free(text);
		return OPENVPN_PLUGIN_FUNC_ERROR;
	}
	item->value = text;
	item->next = *list;
	*list = item;
	return OPENVPN_PLUGIN_FUNC_SUCCESS;
}

static int connect_result(struct plugin *p, struct connect_answer *a, int r,
			  struct openvpn_plugin_string_list **list)
{
	if (r == 0 && a->accept)
		return return_config(list, TAKE_PTR(a->config));
	report(p, PLOG_WARN, "connect refused:", r == 0 ? a->reason : "no answer", r);
	free(TAKE_PTR(a->config));
	return OPENVPN_PLUGIN_FUNC_ERROR;
}

/*
 * The first try goes over the channel, behind whatever happened before. A connection that still
 * owes the answer moves to the thread that waits for it; otherwise it comes back.
 */
static int begin_on_channel(struct plugin *p, struct connect_call *c, struct connect_answer *a)
{
	uint64_t until_us = client_now_us() + CONNECT_WAIT_MS * 1000ULL;
	int r;

	if (channel_open(&p->channel, until_us) < 0)
		return -EINPROGRESS;
	c->fd = TAKE_FD(p->channel.fd);
	c->id = p->channel.next_id;
	r = connect_begin(c, a, until_us);
	p->channel.next_id = c->id;
	if (r == 0) {
		p->channel.fd = TAKE_FD(c->fd);
		c->sent = false;
	} else if (r != -EINPROGRESS) {
		closep(&c->fd);
		c->fd = -1;
	}
	if (client_now_us() >= until_us)
		channel_break(&p->channel);
	return r;
}

static int on_connect(struct plugin *p, struct client *client, const char *const *envp,
		      struct openvpn_plugin_string_list **list)
{
	struct connect_call c = {.socket = p->socket,
				 .fd = -1,
				 .give_up_us = client_now_us() + SP_DEFER_MAX_MS * 1000ULL};
	_cleanup_request_ json_t *request = NULL;
	struct connect_answer answer = {0};
	struct hook_session session;
	const char *bad = "session";
	int r;

	r = env_session(envp, &session, &bad);
	if (r == 0)
		r = request_connect(p->instance, &session, &request);
	if (r < 0 || !client || client->pending) {
		report(p, PLOG_WARN, "connect refused: invalid or missing", bad, r);
		return OPENVPN_PLUGIN_FUNC_ERROR;
	}
	c.request = request;
	r = begin_on_channel(p, &c, &answer);
	if (r != -EINPROGRESS)
		return connect_result(p, &answer, r, list);
	r = pending_connect_start(p->jobs, &c, &client->pending);
	if (r == 0)
		return OPENVPN_PLUGIN_FUNC_DEFERRED;
	closep(&c.fd);
	report(p, PLOG_WARN, "connect refused: cannot wait for", session.common_name, r);
	return OPENVPN_PLUGIN_FUNC_ERROR;
}

/* OpenVPN asks about once a second whether the answer is there. */
static int on_connect_defer(struct plugin *p, struct client *client,
			    struct openvpn_plugin_string_list **list)
{
	struct connect_answer answer = {0};
	int r;

	if (!client || !client->pending)
		return OPENVPN_PLUGIN_FUNC_ERROR;
	if (!pending_connect_done(client->pending))
		return OPENVPN_PLUGIN_FUNC_DEFERRED;
	r = pending_connect_take(TAKE_PTR(client->pending), &answer);
	return connect_result(p, &answer, r, list);
}

static int on_disconnect(struct plugin *p, const char *const *envp)
{
	_cleanup_request_ json_t *request = NULL;
	struct hook_session session;
	const char *bad = "session";
	int r;

	r = env_session(envp, &session, &bad);
	if (r == 0) {
		negcache_drop(p->refused, negcache_session(p->refused, &session));
		r = request_disconnect(p->instance, &session, envp, &request);
	}
	if (r < 0) {
		report(p, PLOG_WARN, "disconnect: invalid or missing", bad, r);
		return OPENVPN_PLUGIN_FUNC_SUCCESS;
	}
	r = channel_tell(&p->channel, request, deadline());
	if (r < 0)
		report(p, PLOG_WARN, "the daemon has not confirmed the end of", session.common_name,
		       r);
	return OPENVPN_PLUGIN_FUNC_SUCCESS;
}

static int on_forget(struct plugin *p, const struct hook_learn *l)
{
	_cleanup_request_ json_t *request = NULL;
	int r = request_forget(p->instance, l, client_now_us(), &request);

	if (r == 0)
		r = channel_tell(&p->channel, request, deadline());
	if (r < 0)
		report(p, PLOG_WARN, "the daemon has not confirmed a forgotten address", NULL, r);
	return OPENVPN_PLUGIN_FUNC_SUCCESS;
}

/* The daemon said no: remember that for as long as it holds. */
static void remember(struct plugin *p, uint64_t session, const struct hook_learn *l,
		     const struct learn_answer *a)
{
	uint64_t now_us = client_now_us();
	uint64_t until_us = now_us + a->retry_ms * 1000ULL;

	if (a->session)
		negcache_add_session(p->refused, session, now_us, until_us);
	else
		negcache_add(p->refused, session, l->mac, l->vid, now_us, until_us);
}

static int ask_learn(struct plugin *p, const struct hook_session *s, uint64_t session,
		     const struct hook_learn *l)
{
	_cleanup_request_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;
	struct learn_answer answer = {0};
	int r;

	r = request_learn(p->instance, s, l, &request);
	if (r == 0)
		r = channel_call(&p->channel, request, deadline(), &reply);
	if (r == 0) {
		r = reply_learn(reply, &answer);
		if (r < 0)
			channel_break(&p->channel);
	}
	if (r == 0 && !answer.allow)
		remember(p, session, l, &answer);
	if (r < 0 || !answer.allow)
		report(p, PLOG_NOTE, "address refused:", r < 0 ? "no answer" : answer.reason, r);
	return r == 0 && answer.allow ? OPENVPN_PLUGIN_FUNC_SUCCESS : OPENVPN_PLUGIN_FUNC_ERROR;
}

/* I4: only the daemon's yes lets an address in. A storm of refused frames ends in the first lines.
 */
static int on_learn(struct plugin *p, const char *const *argv, const char *const *envp)
{
	struct hook_session session;
	struct hook_learn learn;
	const char *bad = "";
	uint64_t number;
	int count = 0;
	int r;

	while (argv && argv[count] && count < 8)
		count++;
	r = count > 0 ? args_learn(count - 1, argv + 1, &learn, &bad) : -EINVAL;
	if (r == 0 && learn.event == HOOK_DELETE)
		return on_forget(p, &learn);
	if (r == 0)
		r = env_session(envp, &session, &bad);
	if (r < 0) {
		report(p, PLOG_WARN, "address refused: invalid or missing", bad, r);
		return OPENVPN_PLUGIN_FUNC_ERROR;
	}
	number = negcache_session(p->refused, &session);
	if (negcache_refused(p->refused, number, learn.mac, learn.vid, client_now_us()))
		return OPENVPN_PLUGIN_FUNC_ERROR;
	if (!channel_ready(&p->channel))
		return OPENVPN_PLUGIN_FUNC_ERROR;
	return ask_learn(p, &session, number, &learn);
}

static void plugin_free(struct plugin *p)
{
	if (!p)
		return;
	jobs_stop(p->jobs, CLOSE_WAIT_MS);
	if (p->channel.backlog)
		channel_close(&p->channel);
	negcache_free(p->refused);
	free(p->instance);
	free(p->socket);
	free(p);
}

static void plugin_freep(struct plugin **p)
{
	plugin_free(*p);
}

/* "instance=NAME" and "socket=PATH". */
static int parse_options(struct plugin *p, const char *const *argv)
{
	for (size_t i = 1; argv && argv[0] && argv[i]; i++) {
		const char *value = strchr(argv[i], '=');
		size_t len = value ? (size_t)(value - argv[i]) : 0;
		char **ret = NULL;

		if (len == strlen("instance") && strncmp(argv[i], "instance", len) == 0)
			ret = &p->instance;
		else if (len == strlen("socket") && strncmp(argv[i], "socket", len) == 0)
			ret = &p->socket;
		if (!ret || *ret || value[1] == '\0') {
			report(p, PLOG_ERR, "unknown, empty or repeated option", argv[i], 0);
			return -EINVAL;
		}
		*ret = strdup(value + 1);
		if (!*ret)
			return -ENOMEM;
	}
	if (!p->instance || hook_check_instance(p->instance) < 0) {
		report(p, PLOG_ERR, "needs the option instance=NAME", NULL, 0);
		return -EINVAL;
	}
	return 0;
}

EXPORT int openvpn_plugin_min_version_required_v1(void)
{
	return 3;
}

EXPORT int openvpn_plugin_open_v3(const int version,
				  struct openvpn_plugin_args_open_in const *arguments,
				  struct openvpn_plugin_args_open_return *retptr)
{
	/*
	 * The V2 form of client-connect gives the lines back in memory, and only it may be deferred
	 * without files that OpenVPN could read half written.
	 */
	const int wanted = OPENVPN_PLUGIN_MASK(OPENVPN_PLUGIN_AUTH_USER_PASS_VERIFY) |
			   OPENVPN_PLUGIN_MASK(OPENVPN_PLUGIN_CLIENT_CONNECT_V2) |
			   OPENVPN_PLUGIN_MASK(OPENVPN_PLUGIN_CLIENT_CONNECT_DEFER_V2) |
			   OPENVPN_PLUGIN_MASK(OPENVPN_PLUGIN_CLIENT_DISCONNECT) |
			   OPENVPN_PLUGIN_MASK(OPENVPN_PLUGIN_LEARN_ADDRESS);
	_cleanup_(plugin_freep) struct plugin *p = NULL;

	if (version < 1 || !arguments || !retptr)
		return OPENVPN_PLUGIN_FUNC_ERROR;
	p = calloc(1, sizeof(*p));
	if (!p)
		return OPENVPN_PLUGIN_FUNC_ERROR;
	p->channel.fd = -1;
	if (arguments->callbacks)
		p->log = arguments->callbacks->plugin_log;
	if (parse_options(p, (const char *const *)arguments->argv) < 0)
		return OPENVPN_PLUGIN_FUNC_ERROR;
	if ((arguments->type_mask & wanted) != wanted) {
		report(p, PLOG_ERR, "this OpenVPN cannot defer client-connect: 2.6 is needed", NULL,
		       0);
		return OPENVPN_PLUGIN_FUNC_ERROR;
	}
	p->jobs = jobs_new();
	p->refused = negcache_new();
	if (!p->jobs || !p->refused || channel_init(&p->channel, p->socket) < 0)
		return OPENVPN_PLUGIN_FUNC_ERROR;
	retptr->type_mask = wanted;
	retptr->handle = TAKE_PTR(p);
	return OPENVPN_PLUGIN_FUNC_SUCCESS;
}

EXPORT int openvpn_plugin_func_v3(const int version,
				  struct openvpn_plugin_args_func_in const *arguments,
				  struct openvpn_plugin_args_func_return *retptr)
{
	const char *const *argv;
	const char *const *envp;
	struct plugin *p;

	if (version < 1 || !arguments || !arguments->handle)
		return OPENVPN_PLUGIN_FUNC_ERROR;
	p = arguments->handle;
	argv = (const char *const *)arguments->argv;
	envp = (const char *const *)arguments->envp;
	switch (arguments->type) {
	case OPENVPN_PLUGIN_AUTH_USER_PASS_VERIFY:
		return on_auth(p, envp);
	case OPENVPN_PLUGIN_CLIENT_CONNECT_V2:
		return on_connect(p, arguments->per_client_context, envp,
				  retptr ? retptr->return_list : NULL);
	case OPENVPN_PLUGIN_CLIENT_CONNECT_DEFER_V2:
		return on_connect_defer(p, arguments->per_client_context,
					retptr ? retptr->return_list : NULL);
	case OPENVPN_PLUGIN_CLIENT_DISCONNECT:
		return on_disconnect(p, envp);
	case OPENVPN_PLUGIN_LEARN_ADDRESS:
		return on_learn(p, argv, envp);
	default:
		return OPENVPN_PLUGIN_FUNC_ERROR;
	}
}

EXPORT void *openvpn_plugin_client_constructor_v1(openvpn_plugin_handle_t handle)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c)
		c->plugin = handle;
	return c;
}

EXPORT void openvpn_plugin_client_destructor_v1(openvpn_plugin_handle_t handle,
						void *per_client_context)
{
	struct client *c = per_client_context;
	struct plugin *p = handle;
	_cleanup_request_ json_t *undo = NULL;

	if (!c)
		return;
	/* An acceptance that came and was never fetched is a session that the daemon thinks lives.
	 */
	if (c->pending && pending_connect_abandon(TAKE_PTR(c->pending), &undo) && p)
		(void)channel_tell(&p->channel, undo, deadline());
	free(c);
}

EXPORT void openvpn_plugin_close_v1(openvpn_plugin_handle_t handle)
{
	plugin_free(handle);
}
