/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing stop policies: "pause 10m then save 2h then stop". Words in lower case, with
 * spaces between; each step is deeper than the one before.
 */
#include "machine/ladder.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/units.h"

static const char *const names[_LEVELS] = {
	[LEVEL_KEEP] = "keep",	 [LEVEL_RUN] = "run",	[LEVEL_SHRINK] = "shrink",
	[LEVEL_PAUSE] = "pause", [LEVEL_SAVE] = "save", [LEVEL_STOP] = "stop",
};

const char *level_name(enum level level)
{
	return level < _LEVELS ? names[level] : "unknown";
}

/* The word at *AT, and *AT behind it; no word at the end of the text. */
struct word {
	const char *text;
	size_t at, size;
};

static struct word next_word(const char *text, size_t *at)
{
	struct word w;

	*at += strspn(text + *at, " ");
	w = (struct word){text + *at, *at, strcspn(text + *at, " ")};
	*at += w.size;
	return w;
}

static bool word_is(const struct word *w, const char *text)
{
	return w->size == strlen(text) && memcmp(w->text, text, w->size) == 0;
}

static int complain(const struct word *w, size_t *ret_at, char error[128], const char *expected)
{
	int n = w->size < 40 ? (int)w->size : 40;

	*ret_at = w->at;
	if (w->size == 0)
		snprintf(error, 128, "it ends where %s was expected", expected);
	else
		snprintf(error, 128, "'%.*s': expected %s", n, w->text, expected);
	return -EINVAL;
}

/* Below zero: not a step that a policy can have. RUN is not: that is what it comes from. */
static int level_of(const struct word *w)
{
	for (int i = 0; i < _LEVELS; i++) {
		if (i != LEVEL_RUN && word_is(w, names[i]))
			return i;
	}
	return -EINVAL;
}

static int parse_step(const struct word *w, struct ladder *l, size_t *ret_at, char error[128])
{
	int level = level_of(w);

	if (level < 0)
		return complain(w, ret_at, error, "keep, shrink, pause, save or stop");
	if (l->n > 0 && (enum level)level <= l->steps[l->n - 1].level)
		return complain(w, ret_at, error, "a step that is deeper than the one before");
	l->steps[l->n].level = (enum level)level;
	l->steps[l->n].seconds = LADDER_FOR_EVER;
	l->n++;
	return 0;
}

static int parse_time(const struct word *w, struct ladder *l, size_t *ret_at, char error[128])
{
	uint32_t *seconds = &l->steps[l->n - 1].seconds;
	char text[DURATION_MAX] = "";
	int r;

	if (w->size < sizeof(text))
		memcpy(text, w->text, w->size);
	r = duration_parse(text, seconds);
	if (r == -ERANGE)
		return complain(w, ret_at, error, "a time of less than 136 years");
	if (r < 0 || *seconds == 0)
		return complain(w, ret_at, error, "a time, such as 90s, 10m, 2h or 1d");
	return 0;
}

/* STEP TIME then STEP TIME then STEP: what must come follows from what was. */
static int parse_steps(const char *text, struct ladder *l, size_t *ret_at, char error[128])
{
	size_t at = 0;
	int r = 0;

	for (;;) {
		struct word w = next_word(text, &at);

		r = parse_step(&w, l, ret_at, error);
		if (r < 0)
			return r;
		w = next_word(text, &at);
		if (w.size == 0)
			return 0;
		if (word_is(&w, "then"))
			return complain(&w, ret_at, error, "how long before the next step");
		r = parse_time(&w, l, ret_at, error);
		if (r < 0)
			return r;
		w = next_word(text, &at);
		if (!word_is(&w, "then"))
			return complain(&w, ret_at, error, "'then' and the next step");
		if (l->n == LADDER_STEPS)
			return complain(&w, ret_at, error, "no more than five steps");
	}
}

int ladder_parse(const char *text, struct ladder *ret, size_t *ret_at, char error[128])
{
	struct ladder l = {};
	int r;

	if (strlen(text) >= SP_LADDER_MAX) {
		*ret_at = SP_LADDER_MAX - 1;
		snprintf(error, 128, "longer than %d bytes", SP_LADDER_MAX - 1);
		return -EINVAL;
	}
	r = parse_steps(text, &l, ret_at, error);
	if (r == 0)
		*ret = l;
	return r;
}

void ladder_format(const struct ladder *l, char ret[SP_LADDER_MAX])
{
	size_t n = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < l->n && i < LADDER_STEPS; i++) {
		bool last = l->steps[i].seconds == LADDER_FOR_EVER;
		char time[DURATION_MAX];

		n += (size_t)snprintf(ret + n, SP_LADDER_MAX - n, "%s%s%s%s", i ? " then " : "",
				      level_name(l->steps[i].level), last ? "" : " ",
				      last ? "" : duration_format(l->steps[i].seconds, time));
	}
}

enum level ladder_at(const struct ladder *l, uint64_t seconds, uint64_t *ret_next)
{
	uint64_t until = 0;
	size_t i = 0;

	for (; i + 1 < l->n; i++) {
		until += l->steps[i].seconds;
		if (seconds < until) {
			*ret_next = until - seconds;
			return l->steps[i].level;
		}
	}
	*ret_next = LADDER_FOR_EVER;
	return l->steps[i].level;
}
