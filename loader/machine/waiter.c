/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who waits until a machine is as it was told to be? */
#include "waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "control.h"
#include "ops_machine.h"

struct waiter {
	struct machine *machine;
	struct request *request;
	enum level level;
	struct waiter *prev, *next;
};

static void on_gone(struct request *r, void *arg)
{
	struct waiter *w = arg;

	DL_DELETE(w->machine->waiters, w);
	request_finish(r, NULL);
	free(w);
}

/* Takes W off its list. */
static struct request *release(struct waiter *w)
{
	struct request *r = w->request;

	DL_DELETE(w->machine->waiters, w);
	request_on_gone(r, NULL, NULL);
	free(w);
	return r;
}

void waiter_add(struct machine *m, enum level level, struct request *request)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	*w = (struct waiter){.machine = m, .request = request, .level = level};
	DL_APPEND(m->waiters, w);
	request_on_gone(request, on_gone, w);
	waiters_look(m);
}

static bool is_there(const struct machine *m, enum level level)
{
	enum level depth = decide_depth(&m->info);

	return !m->busy && (level == LEVEL_RUN ? depth == LEVEL_RUN : depth >= level);
}

void waiters_look(struct machine *m)
{
	struct waiter *w, *next;

	DL_FOREACH_SAFE(m->waiters, w, next)
	{
		if (is_there(m, w->level))
			request_finish(release(w), json_pack("{s:o}", "machine", view_machine(m)));
		else if (m->refusal)
			request_fail(release(w), -EDQUOT, NULL, "%s", m->refusal);
		else if (!m->busy && m->trouble && m->failures)
			request_fail(release(w), -EIO, NULL, "%s", m->trouble);
		else if (m->info.state == VIRT_ABSENT)
			request_fail(release(w), -ENODEV, NULL, "libvirt has no such domain");
		else if (m->want != w->level)
			request_fail(release(w), -ECANCELED, NULL,
				     "somebody else wants it to be: %s", level_name(m->want));
	}
}

void waiters_fail(struct machine *m, const char *why)
{
	struct waiter *w, *next;

	DL_FOREACH_SAFE(m->waiters, w, next)
	request_fail(release(w), -ECANCELED, NULL, "%s", why);
}
