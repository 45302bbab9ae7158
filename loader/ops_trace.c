/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What operators ask about time: one session's trace, and all numbers at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "lib/cleanup.h"
#include "ops.h"
#include "trace/metrics.h"
#include "trace/trace.h"

void op_trace(void *context, void *request, const json_t *args)
{
	const char *id = arg_string(args, "trace", NULL);
	int64_t session = arg_int(args, "session", 0);
	struct daemon *d = context;
	json_t *trace;

	if ((id != NULL) == (session != 0)) {
		request_fail(request, -EINVAL, "session", "expected either session or trace");
		return;
	}
	trace = trace_view(d->traces, (uint64_t)session, id);
	if (trace)
		request_finish(request, json_pack("{s:o}", "trace", trace));
	else if (id)
		request_fail(request, -ENOENT, "trace",
			     "trace: '%s': no such trace is kept; the last %d are", id,
			     TRACES_KEPT);
	else
		request_fail(request, -ENOENT, "session",
			     "session: %lld: no trace of it is kept; the last %d are, since the "
			     "daemon started",
			     (long long)session, TRACES_KEPT);
}

/* --- metrics, line by line: the text may be longer than a message --- */

struct lines {
	const char *next;
	char text[];
};

static char *next_line(void *source)
{
	struct lines *l = source;
	size_t n = strcspn(l->next, "\n");
	char *item = NULL;
	json_t *line;

	if (*l->next == '\0')
		return NULL;
	line = json_stringn(l->next, n);
	l->next += n + (l->next[n] == '\n');
	item = line ? json_dumps(line, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_decref(line);
	return item;
}

static void on_collected(const char *text, size_t size, void *request)
{
	struct lines *l = text ? malloc(sizeof(*l) + size + 1) : NULL;

	if (!l) {
		request_fail(request, -ENOMEM, NULL, "out of memory");
		return;
	}
	memcpy(l->text, text, size);
	l->text[size] = '\0';
	l->next = l->text;
	request_finish_items(request, NULL, next_line, free, l);
}

void op_metrics(void *context, void *request, const json_t *args)
{
	const struct daemon *d = context;

	if (metrics_collect(d->metrics, on_collected, request) < 0)
		request_fail(request, -ENOMEM, NULL, "out of memory");
}
