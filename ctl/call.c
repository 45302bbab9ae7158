/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the daemon say, and what does the person read when it says no? */
#include "ctl/call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/options.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/paths.h"

json_t *call_new(const char *op)
{
	json_t *request = json_pack("{s:i, s:s}", "v", 1, "op", op);

	if (!request)
		text_oom();
	return request;
}

int call_set(json_t *request, const char *name, const char *text)
{
	if (!text)
		return 0;
	return json_object_set_new(request, name, json_string(text)) < 0 ? -EINVAL : 0;
}

void call_set_int(json_t *request, const char *name, int64_t n)
{
	if (json_object_set_new(request, name, json_integer(n)) < 0)
		text_oom();
}

/* --- the exchange --- */

int call_connect(const struct ctl *ctl)
{
	return client_connect(ctl->socket, client_now_us() + ctl->timeout_us);
}

/* Move the items of PAGE behind those of REPLY. */
static int join_page(json_t *reply, const json_t *page)
{
	json_t *items = json_object_get(reply, "items");
	const json_t *more = json_object_get(page, "items");

	if (!json_is_array(items) || !json_is_array(more))
		return -EBADMSG;
	return json_array_extend(items, (json_t *)more) < 0 ? -ENOMEM : 0;
}

int call_exchange(const struct ctl *ctl, int fd, const json_t *request, json_t **ret)
{
	_cleanup_json_ json_t *reply = NULL;
	uint64_t deadline = client_now_us() + ctl->timeout_us;
	bool more;
	int r;

	r = client_send(fd, request, deadline);
	if (r == 0)
		r = client_receive(fd, &reply, deadline);
	if (r < 0)
		return r;
	more = json_is_true(json_object_get(reply, "more"));
	while (more) {
		_cleanup_json_ json_t *page = NULL;

		r = client_receive(fd, &page, deadline);
		if (r == 0 && client_reply_error(page, NULL) < 0) {
			*ret = TAKE_PTR(page);
			return 0;
		}
		r = r ?: join_page(reply, page);
		if (r < 0)
			return r;
		more = json_is_true(json_object_get(page, "more"));
	}
	*ret = TAKE_PTR(reply);
	return 0;
}

void call_strip(json_t *reply)
{
	json_object_del(reply, "v");
	json_object_del(reply, "ok");
	json_object_del(reply, "id");
	json_object_del(reply, "more");
}

/* jansson frees without wiping. */
static void wipe_password(json_t *request)
{
	json_t *password = json_object_get(request, "password");

	if (password)
		explicit_bzero((char *)json_string_value(password), json_string_length(password));
}

int call_run(const struct ctl *ctl, json_t *request, json_t **ret)
{
	_cleanup_close_
	int fd = call_connect(ctl);
	_cleanup_json_ json_t *reply = NULL;
	int r = fd < 0 ? fd : call_exchange(ctl, fd, request, &reply);

	wipe_password(request);
	json_decref(request);
	if (r < 0)
		return call_unreachable(ctl, r);
	if (client_reply_error(reply, NULL) < 0)
		return call_refused(ctl, reply);
	call_strip(reply);
	*ret = TAKE_PTR(reply);
	return CTL_OK;
}

int call_do(const struct ctl *ctl, json_t *request, const char *format, ...)
{
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_free_
	char *line = NULL;
	int r = call_run(ctl, request, &reply);
	va_list ap;

	if (r != CTL_OK)
		return r;
	if (ctl->json) {
		call_print_json(reply);
		return CTL_OK;
	}
	if (ctl->quiet)
		return CTL_OK;
	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		line = NULL;
	va_end(ap);
	if (!line)
		text_oom();
	text_line(stdout, "%s", line);
	return CTL_OK;
}

/* --- what went wrong --- */

const char *call_socket_path(const struct ctl *ctl)
{
	const char *path = ctl->socket;

	if (!path)
		path = secure_getenv(SP_ENV_SOCKET);
	return path && *path ? path : SP_CONTROL_SOCKET;
}

/* What can be done about it. */
static const char *advice(int error)
{
	switch (-error) {
	case ENOENT:
		return "is the daemon running? Try: systemctl start sallyportd; or name its socket "
		       "with --socket";
	case ECONNREFUSED:
		return "nobody listens there. Try: systemctl status sallyportd";
	case EACCES:
	case EPERM:
		return "be root or a member of the group sallyport";
	case ETIMEDOUT:
		return "it did not answer in time. Try: systemctl status sallyportd; or a longer "
		       "--timeout";
	case ECONNRESET:
	case EPIPE:
		return "it closed the connection. Try: journalctl -u sallyportd -n 20";
	case EBADMSG:
		return "that is not an answer of sallyportd. Is it the right socket?";
	case EMSGSIZE:
		return "the request is too long";
	default:
		return "try: sallyport doctor";
	}
}

/* --json: whoever reads standard output gets one document in any case. */
static void print_error_json(const struct ctl *ctl, json_t *error)
{
	_cleanup_json_ json_t *document = json_pack("{s:o}", "error", error);

	if (ctl->json && document)
		call_print_json_line(document);
}

int call_unreachable(const struct ctl *ctl, int error)
{
	const char *path = call_socket_path(ctl);

	text_line(stderr, "sallyport: the daemon is not reachable: '%s': %s: %s", path,
		  strerror(-error), advice(error));
	print_error_json(ctl, json_pack("{s:s, s:i, s:s}", "code", "UNREACHABLE", "errno", -error,
					"message", strerror(-error)));
	return CTL_UNREACHABLE;
}

int call_refused(const struct ctl *ctl, const json_t *reply)
{
	const json_t *e = json_object_get(reply, "error");
	const char *message = "";
	int error = client_reply_error(reply, &message);

	text_line(stderr, "sallyport: %s (%s)", message, strerror(-error));
	print_error_json(ctl, e ? json_incref((json_t *)e) : json_object());
	return CTL_FAILED;
}

int call_usage(const struct ctl_args *args, const char *format, ...)
{
	const struct ctl_command *c = args->command;
	_cleanup_free_
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text)
		text_oom();
	text_line(stderr, "sallyport: %s; see: sallyport help %s%s%s", text,
		  c->group ? c->group : "", c->group ? " " : "", c->name);
	return CTL_USAGE;
}

/* --- documents --- */

/*
 * Nothing but ASCII, so that no control character of a name reaches a terminal; jansson escapes
 * those below space itself, and DEL does nothing.
 */
static void print(const json_t *document, size_t flags)
{
	json_dumpf(document, stdout,
		   flags | JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
	fputc('\n', stdout);
	fflush(stdout);
}

void call_print_json(const json_t *document)
{
	print(document, JSON_INDENT(2));
}

void call_print_json_line(const json_t *document)
{
	print(document, JSON_COMPACT);
}

const char *field_text(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s && *s ? s : "-";
}

int64_t field_int(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}
