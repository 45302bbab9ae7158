/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of loader/virt/ share: the connection, calls that use it, what is on its way. */
#ifndef SALLYPORT_LOADER_VIRT_INTERNAL_H
#define SALLYPORT_LOADER_VIRT_INTERNAL_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "virt/virt.h"
#include "worker.h"

/*
 * libvirtd reads nothing from a connection that has five requests under way (max_client_requests
 * of libvirtd.conf), our answers to its keepalive included, and takes it for dead after half a
 * minute: seen with eight saves that took longer. So at most four at a time, and what takes seconds
 * has a connection of its own.
 */
#define LINE_CALLS_MAX 4

enum line_kind {
	LINE_SLOW,  /* WORKER_VIRT's */
	LINE_SWIFT, /* WORKER_SWIFT's; also events and consoles */
	_LINES,
};

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t left;
	unsigned int inside;
};

/*
 * One life of the connection to libvirtd. Made on the loop, opened and kept under watch by a thread
 * of its own, used by workers; closed when its last user lets go.
 */
struct line {
	unsigned int refs;  /* atomic: the memory */
	unsigned int users; /* atomic: the connections */
	struct virt *virt;  /* the loop's: NULL when it has let go */
	int wake_fd;	    /* to the loop: `opened` or `closed` has changed */
	char *uri;
	unsigned int keepalive_s;
	struct gate gates[_LINES];
	int closed;	   /* atomic: 1 + enum virConnectCloseReason */
	uint64_t heard_us; /* atomic: when libvirtd last answered */

	pthread_mutex_t
		lock; /* guards what follows, of which `error` to `conns` stay once opened */
	pthread_cond_t changed;
	bool abandoned;	   /* the loop wants no more of it */
	bool opened, over; /* its thread: has opened it, or failed to; has ended */
	int error;
	char why[256];
	char describe[96];
	virConnectPtr conns[_LINES];
};

/* Begins to open it: wake_fd tells when that is over, `error` how it ended. */
int line_new(struct virt *v, struct line **ret);
struct line *line_use(struct line *l);
void line_unuse(struct line *l);
bool line_is_closed(const struct line *l);
/* Its thread is to end, soon after virt_event_hang_up at the latest; wait for that, at most MS. */
void line_abandon(struct line *l, unsigned int ms);
bool line_is_opened(struct line *l);
uint64_t line_now_us(void);

struct save;
struct accel;
struct virt_console;

struct virt {
	sd_event *event;
	struct workers *workers;
	struct virt_callbacks callbacks;
	void *arg;
	char *uri, *probe_kernel;
	unsigned int keepalive_s;

	struct line *line; /* opening, or up */
	sd_event_source *wake, *retry, *pulse, *send;
	uint64_t retry_us;
	bool attached; /* libvirt's event loop is ours */
	bool up, stopping;
	bool tried;	   /* to connect, since the start */
	unsigned int life; /* grows with each connection */
	bool late;	   /* the line that opens has had its time */
	char trouble[256];
	char describe[96];

	struct save *saves; /* on their way */
	struct virt_console *consoles;
	struct accel *accel;
};

/* --- connection.c --- */

/* Something was found out. */
void virt_settle(struct virt *v);

/* --- call.c: a job that calls libvirt --- */

struct virt_call {
	struct job job; /* first: it is cast */
	struct virt *virt;
	struct line *line;
	enum line_kind kind;
	unsigned int life; /* virt's at the time */
	/* On a worker, with a connection that was there when the call was made. */
	void (*run)(struct virt_call *c, virConnectPtr conn);
	void (*finish)(struct virt_call *c); /* on the loop; frees it */
	int error;
	char message[256];
	uint64_t libvirt_us;
};

/* Takes C, except where it fails: -ENOTCONN, -EAGAIN, -ESHUTDOWN, -EOPNOTSUPP. */
int call_submit(struct virt *v, enum line_kind kind, struct virt_call *c);

/* Within `run`: the last libvirt call of this thread failed. Returns c->error. */
int call_fail(struct virt_call *c, virConnectPtr conn);
/* Within `run`: it failed for a reason of ours. */
int call_fail_with(struct virt_call *c, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* It does not matter that it failed. */
static inline void call_forget(struct virt_call *c)
{
	c->error = 0;
	c->message[0] = '\0';
}

static inline void domain_freep(virDomainPtr *dom)
{
	if (*dom)
		virDomainFree(*dom);
}
#define _cleanup_domain_ _cleanup_(domain_freep)

/* -ENODEV where there is none. */
int call_find(struct virt_call *c, virConnectPtr conn, const uint8_t uuid[SP_UUID_LEN],
	      virDomainPtr *ret);

/* --- error.c --- */

/* The errno that says best what libvirt's error E is about. */
int virt_errno(const virError *e);
/* libvirt's words on one line, without what QEMU says too much, cut at a character's border. */
void virt_words(const char *text, char *ret, size_t size);

#endif
