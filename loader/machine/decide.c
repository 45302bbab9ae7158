/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How shall a machine be now, and what has to be done next to get there? */
#include "decide.h"

#define US 1000000ULL

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The ladder, whose first step began at BEGAN. */
static enum level on_ladder(const struct decide_in *in, uint64_t began, uint64_t *ret_next)
{
	uint64_t next, seconds = (in->now_us - began) / US;
	enum level level = ladder_at(in->ladder, seconds, &next);

	/* Counted from the beginning, so that rounding down never makes it come too early. */
	*ret_next = next == LADDER_FOR_EVER ? DECIDE_NEVER : began + (seconds + next) * US;
	return level;
}

static enum level while_present(const struct decide_in *in, uint64_t *ret_next)
{
	uint64_t last, idle_from;

	if (in->let_be)
		return LEVEL_KEEP;
	if (in->start == START_MANUAL)
		return LEVEL_KEEP;
	if (in->start == START_TRAFFIC && !in->running && !in->woken)
		return LEVEL_KEEP;
	if (in->idle_us == 0)
		return LEVEL_RUN;
	last = later(later(in->active_us, in->up_us), in->arrived_us);
	idle_from = last + in->idle_us;
	if (in->now_us < idle_from) {
		*ret_next = idle_from;
		return LEVEL_RUN;
	}
	/* A frame that came for it while it sleeps is newer than what it did when it was awake. */
	if (in->woken && !in->running)
		return LEVEL_RUN;
	return on_ladder(in, idle_from, ret_next);
}

static enum level by_policy(const struct decide_in *in, uint64_t *ret_next)
{
	uint64_t gone = in->left_us + in->grace_us;

	if (in->present)
		return while_present(in, ret_next);
	if (in->start == START_MANUAL)
		return LEVEL_KEEP;
	if (in->now_us < gone) { /* a blip: as if nothing had happened, and nothing new begins */
		*ret_next = gone;
		return LEVEL_KEEP;
	}
	return on_ladder(in, gone, ret_next);
}

enum level decide_level(const struct decide_in *in, uint64_t *ret_next_us)
{
	uint64_t up_until = in->up_us + in->min_up_us;
	enum level level;

	*ret_next_us = DECIDE_NEVER;
	if (in->held)
		return in->held_level;
	level = by_policy(in, ret_next_us);
	if (level > LEVEL_RUN && in->running && in->now_us < up_until) {
		*ret_next_us = sooner(*ret_next_us, up_until);
		return LEVEL_KEEP;
	}
	return level;
}

enum level decide_depth(const struct virt_info *info)
{
	switch (info->state) {
	case VIRT_RUNNING:
	case VIRT_STOPPING:
		return info->shrunk ? LEVEL_SHRINK : LEVEL_RUN;
	case VIRT_PAUSED:
		return LEVEL_PAUSE;
	case VIRT_SAVED:
		return LEVEL_SAVE;
	case VIRT_OFF:
		return LEVEL_STOP;
	default:
		return LEVEL_KEEP;
	}
}

/* Towards off: ask, ask again, pull the plug. */
static int shut_down(const struct decide_stop *s, uint64_t *ret_next)
{
	uint64_t last = s->first_us + s->timeout_us;

	if (!s->asked_us)
		return VIRT_SHUTDOWN;
	if (s->now_us >= last)
		return VIRT_DESTROY;
	if (s->now_us >= s->asked_us + s->again_us)
		return VIRT_SHUTDOWN;
	*ret_next = sooner(last, s->asked_us + s->again_us);
	return -1;
}

/* What is up shall sleep at WANT, or is to be off. */
static int put_down(const struct virt_info *info, enum level want, const struct decide_stop *stop,
		    uint64_t *ret_next)
{
	switch (want) {
	case LEVEL_SHRINK:
		return VIRT_SHRINK;
	case LEVEL_PAUSE:
		return VIRT_SUSPEND;
	case LEVEL_SAVE:
		return VIRT_SAVE;
	default:
		break;
	}
	/* A guest shuts down only while it runs: what sleeps is woken for it, so that nothing that
	 * it has in memory is lost. */
	if (info->state == VIRT_PAUSED)
		return VIRT_RESUME;
	if (info->state == VIRT_SAVED)
		return VIRT_START;
	return shut_down(stop, ret_next);
}

static int wake_up(const struct virt_info *info)
{
	switch (info->state) {
	case VIRT_OFF:
	case VIRT_SAVED:
		return VIRT_START;
	case VIRT_PAUSED:
		return VIRT_RESUME;
	case VIRT_RUNNING:
		return info->shrunk ? VIRT_GROW : -1;
	default:
		return -1;
	}
}

int decide_verb(const struct virt_info *info, enum level want, const struct decide_stop *stop,
		uint64_t *ret_next_us)
{
	*ret_next_us = DECIDE_NEVER;
	switch (info->state) {
	case VIRT_UNKNOWN:
		return VIRT_LOOK;
	case VIRT_ABSENT:
		return -1;
	case VIRT_CRASHED:
		return VIRT_DESTROY;
	default:
		break;
	}
	if (want == LEVEL_KEEP)
		return -1;
	if (want == LEVEL_RUN)
		return wake_up(info);
	if (decide_depth(info) >= want)
		return -1;
	return put_down(info, want, stop, ret_next_us);
}
