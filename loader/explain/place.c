// SPDX-License-Identifier: GPL-2.0-or-later
/* Where does the frame that is asked about come from, and whom is it for? */
#include "explain/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon.h"
#include "machine/machine.h"
#include "segment.h"
#include "session.h"
#include "workload.h"

static int fail(char **ret_why, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(char **ret_why, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_why, format, ap) < 0)
		*ret_why = NULL;
	va_end(ap);
	return r;
}

static void name_member(const struct member *m, char ret[PLACE_NAME_MAX])
{
	if (m->machine)
		snprintf(ret, PLACE_NAME_MAX, "%s/%s", m->machine->row.user, m->machine->row.name);
	else if (m->workload)
		snprintf(ret, PLACE_NAME_MAX, "%s/%s", m->workload->row.user,
			 m->workload->row.name);
	else
		snprintf(ret, PLACE_NAME_MAX, "%s (session %llu)", m->session->user,
			 (unsigned long long)m->session->id);
}

/* An address with its prefix length; "" is none. */
static void add_address(struct addresses *a, const char *text)
{
	char copy[SP_ADDR_STRLEN];
	struct addresses one;

	snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(text, "/"), text);
	if (copy[0] && addresses_parse(copy, &one, NULL) == 0 && one.n == 1)
		addresses_add(a, one.v[0]);
}

static void list_addresses(const struct member *m, struct addresses *ret)
{
	*ret = (struct addresses){.n = 0};
	if (m->machine) {
		addresses_parse(m->machine->row.addresses, ret, NULL);
	} else if (m->session) {
		add_address(ret, m->session->address);
		add_address(ret, m->session->address6);
	}
}

static int take(const struct member *m, struct place *ret, char **ret_why)
{
	*ret = (struct place){.kind = m->dst.kind,
			      .port = m->dst.port,
			      .segment = m->segment,
			      .ifindex = m->dst.ifindex,
			      .vid = m->dst.vid};
	name_member(m, ret->name);
	list_addresses(m, &ret->addresses);
	if (m->machine) {
		const char *text = m->machine->rules.text ?: rules_default(m->machine->daemon);

		memcpy(ret->mac, m->machine->row.mac, SP_MAC_LEN);
		ret->policy = strdup(text);
	} else if (m->workload)
		memcpy(ret->mac, m->workload->row.mac, SP_MAC_LEN);
	else if (m->bindings)
		memcpy(ret->mac, m->bindings->mac, SP_MAC_LEN);
	else
		return fail(ret_why, -ENODEV, "%s: no MAC address of it is known yet", ret->name);
	return 0;
}

void place_clear(struct place *p)
{
	free(p->policy);
	p->policy = NULL;
}

/* --- by name --- */

static int find_owned(struct daemon *d, const char *text, const char *slash, struct place *ret,
		      char **ret_why)
{
	char user[SP_NAME_MAX];
	const struct machine *m;
	const struct workload *w;

	if ((size_t)(slash - text) >= sizeof(user))
		return fail(ret_why, -ENOENT, "'%.64s': no such user", text);
	snprintf(user, sizeof(user), "%.*s", (int)(slash - text), text);
	m = machine_find(d, user, slash + 1);
	if (m && m->joined)
		return take(&m->member, ret, ret_why);
	if (m)
		return fail(ret_why, -ENODEV,
			    "%s: it is off, and not in its segment: what is for it is dropped as "
			    "dst-unknown; start it, or let traffic start it",
			    text);
	w = workload_find(d, user, slash + 1);
	if (w && w->up)
		return take(&w->member, ret, ret_why);
	if (w)
		return fail(ret_why, -ENODEV, "%s: it waits for its namespace", text);
	return fail(ret_why, -ENOENT, "'%s': no such machine or workload", text);
}

static int find_session(struct daemon *d, const char *user, struct place *ret, char **ret_why)
{
	const struct session *found = NULL;

	for (const struct session *s = d->sessions_by_id; s; s = s->hh_id.next)
		if (s->state == SESSION_LIVE && strcmp(s->user, user) == 0 &&
		    (!found || (!found->member.bindings && s->member.bindings)))
			found = s;
	if (!found)
		return fail(ret_why, -ENOENT,
			    "'%s': no user of that name has a session; expected USER, or USER/NAME "
			    "of a machine or a workload",
			    user);
	return take(&found->member, ret, ret_why);
}

/* --- by address --- */

static const struct segment *segment_of(struct daemon *d, uint32_t id)
{
	const struct segment *s;

	HASH_FIND(hh, d->segments, &id, sizeof(id), s);
	return s;
}

static int find_address(struct daemon *d, const char *text, const uint8_t addr[16],
			uint32_t segment, struct place *ret, char **ret_why)
{
	const struct segment *s = segment_of(d, segment);
	struct addresses a;

	for (const struct member *m = s ? s->members : NULL; m; m = m->next) {
		list_addresses(m, &a);
		if (addresses_have(&a, addr))
			return take(m, ret, ret_why);
	}
	return fail(ret_why, -ENOENT,
		    "%s: nobody in this segment is known to have it; name who is meant, and give "
		    "the address by --dst",
		    text);
}

int place_find(struct daemon *d, const char *text, uint32_t segment, struct place *ret,
	       char **ret_why)
{
	const char *slash = strchr(text, '/');
	struct addresses a;

	*ret_why = NULL;
	if (slash)
		return find_owned(d, text, slash, ret, ret_why);
	if (segment && addresses_parse(text, &a, NULL) == 0 && a.n == 1)
		return find_address(d, text, a.v[0], segment, ret, ret_why);
	return find_session(d, text, ret, ret_why);
}

const char *place_name_of(struct daemon *d, uint32_t segment, uint32_t port,
			  char ret[PLACE_NAME_MAX])
{
	const struct segment *s = segment_of(d, segment);

	for (const struct member *m = s ? s->members : NULL; m; m = m->next)
		if (m->dst.port == port) {
			name_member(m, ret);
			return ret;
		}
	snprintf(ret, PLACE_NAME_MAX, "port %u", port);
	return ret;
}
