/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may a message on the control socket say? */
#include "request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/mac.h"
#include "sallyport/limits.h"

static int refuse(struct request_error *e, int error, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int refuse(struct request_error *e, int error, const char *field, const char *format, ...)
{
	va_list ap;

	e->error = error;
	e->field = field;
	va_start(ap, format);
	vsnprintf(e->message, sizeof(e->message), format, ap);
	va_end(ap);
	return error;
}

bool request_is_name(const char *s, size_t max)
{
	static const char ok[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-";
	size_t n = strspn(s, ok);

	return n > 0 && n < max && s[n] == '\0' && s[0] != '.' && s[0] != '-';
}

static const char *type_name(const json_t *v)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",
		[JSON_STRING] = "a string",  [JSON_INTEGER] = "an integer",
		[JSON_REAL] = "a fraction",  [JSON_TRUE] = "true",
		[JSON_FALSE] = "false",	     [JSON_NULL] = "null",
	};

	return names[json_typeof(v)];
}

static int check_string(const struct arg *a, const json_t *v, struct request_error *e)
{
	size_t n = json_string_length(v);
	const char *s = json_string_value(v);
	uint8_t mac[6];

	/* C strings from here on: a NUL inside would hide what follows it. */
	if (strlen(s) != n)
		return refuse(e, -EINVAL, a->name, "%s: expected a string without NUL", a->name);
	if (a->type == ARG_MAC && mac_parse(s, mac) < 0)
		return refuse(e, -EINVAL, a->name,
			      "%s: '%.32s': expected a MAC address as "
			      "02:00:00:00:00:01",
			      a->name, s);
	if (a->type == ARG_NAME && !request_is_name(s, (size_t)a->max + 1))
		return refuse(e, -EINVAL, a->name,
			      "%s: '%.64s': expected 1 to %d letters, digits or _.@-, "
			      "beginning with a letter, a digit or _",
			      a->name, s, (int)a->max);
	if (a->type == ARG_STRING && (n < (size_t)a->min || n > (size_t)a->max))
		return refuse(e, -EINVAL, a->name, "%s: %zu bytes: expected %d to %d", a->name, n,
			      (int)a->min, (int)a->max);
	return 0;
}

static int check_arg(const struct arg *a, const json_t *v, struct request_error *e)
{
	switch (a->type) {
	case ARG_STRING:
	case ARG_NAME:
	case ARG_MAC:
		if (!json_is_string(v))
			break;
		return check_string(a, v, e);
	case ARG_INT:
		if (!json_is_integer(v))
			break;
		if (json_integer_value(v) < a->min || json_integer_value(v) > a->max)
			return refuse(e, -ERANGE, a->name, "%s: %lld: expected %lld to %lld",
				      a->name, (long long)json_integer_value(v), (long long)a->min,
				      (long long)a->max);
		return 0;
	case ARG_BOOL:
		if (!json_is_boolean(v))
			break;
		return 0;
	}
	return refuse(e, -EINVAL, a->name, "%s: %s: expected %s", a->name, type_name(v),
		      a->type == ARG_INT    ? "an integer"
		      : a->type == ARG_BOOL ? "true or false"
					    : "a string");
}

static const struct arg *find_arg(const struct op *op, const char *name)
{
	for (const struct arg *a = op->args; a && a->name; a++)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

static int check_args(const struct op *op, json_t *object, struct request_error *e)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value) {
		const struct arg *a;
		int r;

		if (strcmp(key, "v") == 0 || strcmp(key, "op") == 0 || strcmp(key, "id") == 0)
			continue;
		a = find_arg(op, key);
		if (!a)
			return refuse(e, -EINVAL, NULL, "'%.64s': %s has no such argument", key,
				      op->name);
		r = check_arg(a, value, e);
		if (r < 0)
			return r;
	}
	for (const struct arg *a = op->args; a && a->name; a++)
		if ((a->flags & ARG_REQUIRED) && !json_object_get(object, a->name))
			return refuse(e, -EINVAL, a->name, "%s: missing, and %s needs it", a->name,
				      op->name);
	return 0;
}

static const struct op *find_op(const struct op *ops, const char *name)
{
	for (; ops->name; ops++)
		if (strcmp(ops->name, name) == 0)
			return ops;
	return NULL;
}

int request_parse(const char *data, size_t size, const struct op *ops, const struct op **ret_op,
		  json_t **ret_object, struct request_error *e)
{
	const json_t *v, *name;
	json_error_t error;
	json_t *object;

	*ret_object = NULL;
	object = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		return refuse(e, -EBADMSG, NULL, "not JSON: %.120s at byte %d", error.text,
			      error.position);
	if (!json_is_object(object)) {
		json_decref(object);
		return refuse(e, -EBADMSG, NULL, "expected one JSON object");
	}
	*ret_object = object;
	v = json_object_get(object, "v");
	if (!json_is_integer(v) || json_integer_value(v) != 1)
		return refuse(e, -EPROTONOSUPPORT, "v", "v: expected 1, the protocol's version");
	name = json_object_get(object, "op");
	if (!json_is_string(name))
		return refuse(e, -EINVAL, "op", "op: expected the name of an operation");
	*ret_op = find_op(ops, json_string_value(name));
	if (!*ret_op)
		return refuse(e, -EOPNOTSUPP, "op", "op: '%.64s': there is no such operation",
			      json_string_value(name));
	return check_args(*ret_op, object, e);
}

const char *request_errno_name(int error)
{
	const char *name = strerrorname_np(error < 0 ? -error : error);

	return name ? name : "EUNKNOWN";
}

const char *arg_string(const json_t *args, const char *name, const char *fallback)
{
	const char *s = json_string_value(json_object_get(args, name));

	return s ? s : fallback;
}

int64_t arg_int(const json_t *args, const char *name, int64_t fallback)
{
	const json_t *v = json_object_get(args, name);

	return v ? json_integer_value(v) : fallback;
}

bool arg_bool(const json_t *args, const char *name, bool fallback)
{
	const json_t *v = json_object_get(args, name);

	return v ? json_is_true(v) : fallback;
}
