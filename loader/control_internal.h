/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the control socket share; nobody else includes it. */
#ifndef SALLYPORT_LOADER_CONTROL_INTERNAL_H
#define SALLYPORT_LOADER_CONTROL_INTERNAL_H

#include "control.h"
#include "log.h"

struct out {
	struct out *next;
	size_t size;
	char data[];
};

/* A list that is being read, page by page. */
struct listing {
	struct listing *next;
	struct request *request;
	json_t *head; /* until the first page was made */
	char *(*next_item)(void *source);
	void (*free_source)(void *source);
	void *source;
	char *item; /* the next one */
};

struct client {
	struct control *control;
	struct client *prev, *next;
	sd_event_source *source;
	int fd;
	uid_t uid;
	pid_t pid;
	enum role role;
	struct request *requests; /* still to be answered */
	size_t n_requests;
	struct out *out, **out_tail; /* to be written */
	size_t backlog;
	struct listing *listings;
	bool closing; /* when all is written */
};

struct request {
	struct client *client; /* NULL: gone */
	struct request *prev, *next;
	json_t *id;
	uid_t uid;
	enum role role;
	void (*on_gone)(struct request *r, void *arg);
	void *on_gone_arg;
};

struct control {
	struct control_config config;
	sd_event *event;
	sd_event_source *source;
	int fd;
	struct client *clients;
	size_t n_clients;
	struct log_limit strangers;
	char *buffer; /* of one message; the loop reads one at a time */
};

void control_request_free(struct request *r);
/* Send a message after what waits already; a caller that does not read is sent away. */
void control_client_queue(struct client *c, const char *data, size_t size);
/* What is to be waited for has changed. */
void control_client_wake(struct client *c);

/* The next page of the first list, when all that was written has been read. */
void control_client_page(struct client *c);
void control_listings_free(struct client *c);

#endif
