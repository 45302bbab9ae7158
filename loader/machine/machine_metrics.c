/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machines in numbers: how many are in each state, and which ports are theirs. */
#include <string.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "machine.h"
#include "trace/metrics.h"

/* What machine_state_text can say. */
static const char *const names[] = {
	"off",	  "saved",    "paused", "running", "shrunk",  "starting", "resuming", "pausing",
	"saving", "stopping", "queued", "failed",  "crashed", "absent",	  "unknown",
};

static size_t states(struct daemon *d, struct metrics_state *ret, size_t room)
{
	size_t n = SP_ARRAY_SIZE(names) < room ? SP_ARRAY_SIZE(names) : room;

	for (size_t i = 0; i < n; i++)
		ret[i] = (struct metrics_state){names[i], 0};
	for (const struct machine *m = d->machines; m; m = m->hh_id.next) {
		const char *state = machine_state_text(m);

		for (size_t i = 0; i < n; i++)
			ret[i].n += strcmp(names[i], state) == 0;
	}
	return n;
}

static size_t ports(struct daemon *d, uint32_t *ret, size_t room)
{
	size_t n = 0;

	for (const struct machine *m = d->machines; m; m = m->hh_id.next) {
		if (!m->number)
			continue;
		if (n < room)
			ret[n] = m->member.dst.port;
		n++;
	}
	return n;
}

void machine_metrics(struct daemon *d)
{
	static const struct metrics_machines machines = {states, ports};

	metrics_set_machines(d->metrics, &machines);
}
