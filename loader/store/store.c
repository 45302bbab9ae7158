/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which database answers a call of the store? */
#include "store_internal.h"

int store_open(const struct store_options *options, struct store **ret, char **ret_error)
{
	return sqlite_open(options, ret, ret_error);
}

void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

void store_closep(struct store **s)
{
	store_close(*s);
}

const char *store_error(const struct store *s)
{
	return s ? s->ops->error(s) : "not open";
}

int store_check(struct store *s)
{
	return s->ops->check(s);
}

int store_try(struct store *s)
{
	return s->ops->try(s);
}

int store_user_add(struct store *s, struct store_user *user)
{
	return s->ops->user_add(s, user);
}

int store_user_get(struct store *s, const char *name, struct store_user *ret)
{
	return s->ops->user_get(s, name, ret);
}

int store_user_set_hash(struct store *s, const char *name, const char *hash)
{
	return s->ops->user_set_hash(s, name, hash);
}

int store_user_set_disabled(struct store *s, const char *name, bool disabled)
{
	return s->ops->user_set_disabled(s, name, disabled);
}

int store_user_update(struct store *s, const struct store_user *user)
{
	return s->ops->user_update(s, user);
}

int store_user_delete(struct store *s, const char *name)
{
	return s->ops->user_delete(s, name);
}

int store_user_each(struct store *s, int (*cb)(const struct store_user *user, void *arg), void *arg)
{
	return s->ops->user_each(s, cb, arg);
}

int store_workload_add(struct store *s, struct store_workload *w)
{
	return s->ops->workload_add(s, w);
}

int store_workload_delete(struct store *s, const char *user, const char *name)
{
	return s->ops->workload_delete(s, user, name);
}

int store_workload_each(struct store *s, int (*cb)(const struct store_workload *w, void *arg),
			void *arg)
{
	return s->ops->workload_each(s, cb, arg);
}

int store_session_begin(struct store *s, struct store_session *session, uint32_t max_sessions)
{
	return s->ops->session_begin(s, session, max_sessions);
}

int store_session_end(struct store *s, uint64_t id, int64_t when)
{
	return s->ops->session_end_many(s, &id, 1, when);
}

int store_session_end_many(struct store *s, const uint64_t *ids, size_t n, int64_t when)
{
	return s->ops->session_end_many(s, ids, n, when);
}

int store_session_each_since(struct store *s, int64_t ended_since,
			     int (*cb)(const struct store_session *session, void *arg), void *arg)
{
	return s->ops->session_each_since(s, ended_since, cb, arg);
}

int store_session_each_live(struct store *s,
			    int (*cb)(const struct store_session *session, void *arg), void *arg)
{
	return s->ops->session_each_since(s, INT64_MAX, cb, arg);
}

int store_audit_add(struct store *s, const char *who, const char *what, const char *object,
		    const char *detail)
{
	return s->ops->audit_add(s, who, what, object, detail);
}

int store_audit_each(struct store *s, size_t limit,
		     int (*cb)(int64_t when, const char *who, const char *what, const char *object,
			       const char *detail, void *arg),
		     void *arg)
{
	return s->ops->audit_each(s, limit, cb, arg);
}
