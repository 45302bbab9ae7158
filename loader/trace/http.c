/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may read the metrics over HTTP, and for how long may they hold a connection?
 *
 * libmicrohttpd waits in an epoll set of its own, which is a source of our loop, and tells when it
 * wants to be called without an event. A request for the metrics is suspended until they are put
 * together; each answer closes its connection, so that none has a reason to be old.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "exposition.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "lib/loopback.h"
#include "metrics.h"

#define IDLE_S 5			/* a connection on which nothing moves */
#define LIFE_US (10 * 1000000ULL)	/* any connection: a client may send a byte a second */
#define REQUEST_MAX ((size_t)16 * 1024) /* a request's head, and what is written at once */

struct peer {
	int fd;
	uint64_t since_us;
	struct peer *prev, *next; /* the oldest first */
};

/* A request for the metrics. */
struct call {
	struct http *http;
	struct MHD_Connection *connection; /* suspended, or NULL */
	char *text;
	size_t size;
	struct call *prev, *next; /* of those that wait */
};

struct http {
	sd_event *event;
	struct metrics *metrics;
	struct MHD_Daemon *mhd;
	sd_event_source *io, *timer, *reaper;
	struct peer *peers;
	bool closed; /* a connection, since the library was called last */
	struct call *waiting;
};

/* --- answers --- */

static enum MHD_Result respond(struct MHD_Connection *c, unsigned int status, const char *text,
			       size_t size)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(size, (void *)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (!r)
		return MHD_NO;
	if (MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
				    status == MHD_HTTP_OK ? EXPOSITION_TYPE : "text/plain") &&
	    MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") &&
	    (status != MHD_HTTP_METHOD_NOT_ALLOWED ||
	     MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD")))
		result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result respond_text(struct MHD_Connection *c, unsigned int status, const char *text)
{
	return respond(c, status, text, strlen(text));
}

/* The library is called after so many milliseconds, if no event comes first. */
static void call_soon(struct http *h, uint64_t ms)
{
	sd_event_source_set_time(h->timer, client_now_us() + ms * 1000);
	sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
}

/* A resumed connection is no event: the library has to be called for it. */
static void on_metrics(const char *text, size_t size, void *arg)
{
	struct call *call = arg;

	if (!call->http) { /* its connection is gone */
		free(call);
		return;
	}
	call->text = text ? malloc(size) : NULL;
	if (call->text) {
		memcpy(call->text, text, size);
		call->size = size;
	}
	DL_DELETE(call->http->waiting, call);
	MHD_resume_connection(TAKE_PTR(call->connection));
	call_soon(call->http, 0);
}

/* The head of a request is there. */
static enum MHD_Result begin(struct http *h, struct MHD_Connection *c, const char *url,
			     const char *method, void **state)
{
	struct call *call;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return respond_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "expected GET or HEAD\n");
	if (strcmp(url, "/metrics") != 0)
		return respond_text(c, MHD_HTTP_NOT_FOUND, "expected /metrics\n");
	call = calloc(1, sizeof(*call));
	if (!call)
		return MHD_NO;
	call->http = h;
	*state = call;
	if (metrics_collect(h->metrics, on_metrics, call) < 0)
		return MHD_YES; /* 503, when it is called again */
	call->connection = c;
	DL_APPEND(h->waiting, call);
	MHD_suspend_connection(c);
	return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	const struct call *call = *state;

	if (!call)
		return begin(arg, c, url, method, state);
	if (*upload_size) { /* a body that nobody asked for */
		*upload_size = 0;
		return MHD_YES;
	}
	if (!call->text)
		return respond_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
	return respond(c, MHD_HTTP_OK, call->text, call->size);
}

static void on_completed(void *arg, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct call *call = TAKE_PTR(*state);

	if (!call)
		return;
	free(TAKE_PTR(call->text));
	if (call->connection) { /* the answer is still being put together: it frees the call */
		DL_DELETE(call->http->waiting, call);
		call->http = NULL;
		return;
	}
	free(call);
}

/* --- connections --- */

static int on_reap(sd_event_source *source, uint64_t usec, void *arg)
{
	struct http *h = arg;
	struct peer *p;

	DL_FOREACH(h->peers, p)
	{
		if (p->since_us + LIFE_US > usec) {
			sd_event_source_set_time(source, p->since_us + LIFE_US);
			sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
			break;
		}
		/* The library sees its end, and closes it. */
		shutdown(p->fd, SHUT_RDWR);
	}
	return 0;
}

static void on_connection(void *arg, struct MHD_Connection *c, void **socket_state,
			  enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	struct http *h = arg;
	struct peer *p;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		p = TAKE_PTR(*socket_state);
		if (p)
			DL_DELETE(h->peers, p);
		free(p);
		h->closed = true;
		return;
	}
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	p = info ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return;
	*p = (struct peer){.fd = info->connect_fd, .since_us = client_now_us()};
	if (sd_event_source_get_enabled(h->reaper, NULL) == SD_EVENT_OFF) {
		sd_event_source_set_time(h->reaper, p->since_us + LIFE_US);
		sd_event_source_set_enabled(h->reaper, SD_EVENT_ONESHOT);
	}
	DL_APPEND(h->peers, p);
	*socket_state = p;
}

/* --- the library on our loop --- */

/*
 * At its limit of connections it stops to listen, and begins again at the first call after one was
 * closed: for that, too, nothing would wake it.
 */
static void run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	h->closed = false;
	MHD_run(h->mhd);
	if (h->closed)
		call_soon(h, 0);
	else if (MHD_get_timeout(h->mhd, &ms) == MHD_YES)
		call_soon(h, ms);
	else
		sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	run(arg);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	run(arg);
	return 0;
}

static int listen_on(const char *text)
{
	struct sockaddr_storage address;
	socklen_t len;
	int one = 1;
	_cleanup_close_
	int fd = -1;

	if (!loopback_parse(text, &address, &len))
		return -EINVAL;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, HTTP_CONNECTIONS_MAX) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* FD is taken. */
static int start(struct http *h, int fd)
{
	const union MHD_DaemonInfo *info;
	int r;

	h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
				  on_request, h, MHD_OPTION_LISTEN_SOCKET, fd,
				  MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS_MAX,
				  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_S,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_MAX,
				  MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
				  MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
	info = h->mhd ? MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return -ENOMEM;
	r = sd_event_add_io(h->event, &h->io, info->epoll_fd, EPOLLIN, on_io, h);
	if (r >= 0)
		r = sd_event_add_time(h->event, &h->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, h);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(h->event, &h->reaper, CLOCK_MONOTONIC, 0, 100000, on_reap, h);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->reaper, SD_EVENT_OFF);
	return r < 0 ? r : 0;
}

int http_new(sd_event *event, struct metrics *m, const char *listen, struct http **ret)
{
	int fd = listen_on(listen), r;
	struct http *h;

	if (fd < 0)
		return fd;
	h = calloc(1, sizeof(*h));
	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	h->event = sd_event_ref(event);
	h->metrics = m;
	r = start(h, fd);
	if (r < 0) {
		http_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

struct http *http_free(struct http *h)
{
	struct call *call, *next;

	if (!h)
		return NULL;
	/* First what waits in descriptors that the library is about to close. */
	sd_event_source_disable_unref(h->io);
	sd_event_source_disable_unref(h->timer);
	sd_event_source_disable_unref(h->reaper);
	/* It ends the program over a connection that is still suspended. */
	DL_FOREACH_SAFE(h->waiting, call, next)
	MHD_resume_connection(call->connection);
	if (h->mhd)
		MHD_stop_daemon(h->mhd);
	sd_event_unref(h->event);
	free(h);
	return NULL;
}
