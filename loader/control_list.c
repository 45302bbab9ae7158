/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does a list of any length reach a caller that reads at its own pace? */
#include "control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "sallyport/limits.h"

static void listing_free(struct listing *l)
{
	l->free_source(l->source);
	free(l->item);
	json_decref(l->head);
	control_request_free(l->request);
	free(l);
}

void control_listings_free(struct client *c)
{
	while (c->listings) {
		struct listing *l = c->listings;

		c->listings = l->next;
		listing_free(l);
	}
}

/* A quarter of a message: the rest is room for the head and for one large item more. */
#define PAGE_SIZE (SP_MSG_MAX / 4)

static void write_head(FILE *f, struct listing *l)
{
	const char *key;
	json_t *value;

	fputs("{\"v\":1,\"ok\":true,", f);
	if (l->request->id) {
		fputs("\"id\":", f);
		json_dumpf(l->request->id, f, JSON_COMPACT | JSON_ENCODE_ANY);
		fputc(',', f);
	}
	json_object_foreach (l->head, key, value) {
		fprintf(f, "\"%s\":", key);
		json_dumpf(value, f, JSON_COMPACT | JSON_ENCODE_ANY);
		fputc(',', f);
	}
	fputs("\"items\":[", f);
	json_decref(l->head);
	l->head = NULL;
}

/* Returns the text, or NULL for want of memory. */
static char *listing_page(struct listing *l)
{
	const char *comma = "";
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	write_head(f, l);
	while (l->item && ftell(f) < PAGE_SIZE) {
		fprintf(f, "%s%s", comma, l->item);
		comma = ",";
		free(l->item);
		l->item = l->next_item(l->source);
	}
	fprintf(f, "],\"more\":%s}", l->item ? "true" : "false");
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

void control_client_page(struct client *c)
{
	struct listing *l = c->listings;
	_cleanup_free_
	char *text = listing_page(l);

	if (!text || !l->item) {
		c->listings = l->next;
		listing_free(l);
	}
	if (text)
		control_client_queue(c, text, strlen(text));
	else
		c->closing = true;
}

void request_finish_items(struct request *r, json_t *head, char *(*next)(void *source),
			  void (*free_source)(void *source), void *source)
{
	struct client *c = r->client;
	struct listing *l = c ? calloc(1, sizeof(*l)) : NULL, **tail;

	if (!l) {
		free_source(source);
		json_decref(head);
		if (c)
			request_fail(r, -ENOMEM, NULL, "out of memory");
		else
			control_request_free(r);
		return;
	}
	*l = (struct listing){.request = r,
			      .head = head,
			      .next_item = next,
			      .free_source = free_source,
			      .source = source,
			      .item = next(source)};
	for (tail = &c->listings; *tail; tail = &(*tail)->next)
		;
	*tail = l;
	control_client_wake(c);
}

struct array_source {
	json_t *items;
	size_t i;
};

static char *array_next(void *source)
{
	struct array_source *s = source;

	return s->i < json_array_size(s->items)
		       ? json_dumps(json_array_get(s->items, s->i++), JSON_COMPACT)
		       : NULL;
}

static void array_free(void *source)
{
	struct array_source *s = source;

	json_decref(s->items);
	free(s);
}

void request_finish_list(struct request *r, json_t *head, json_t *items)
{
	struct array_source *s = malloc(sizeof(*s));

	if (!s) {
		json_decref(head);
		json_decref(items);
		request_fail(r, -ENOMEM, NULL, "out of memory");
		return;
	}
	*s = (struct array_source){.items = items};
	request_finish_items(r, head, array_next, array_free, s);
}
