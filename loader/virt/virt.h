/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt as the rest of the daemon sees it: one connection that comes back by itself, domains by
 * their UUID, one call at a time on threads of the workers, answers and events on the loop. The
 * only code that calls libvirt; nothing here blocks the loop.
 *
 * A domain is known by its UUID alone: a name can be given to another one. Errors: negative errno
 * with libvirt's words beside it; -ENOTCONN while there is no connection.
 */
#ifndef SALLYPORT_LOADER_VIRT_H
#define SALLYPORT_LOADER_VIRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "sallyport/limits.h"

struct virt;
struct workers;

#define UUID_STRLEN 37
/* "f9824e26-7477-4af4-ae2f-968edcc2610c". Returns RET. */
const char *uuid_format(const uint8_t uuid[SP_UUID_LEN], char ret[UUID_STRLEN]);

/* How a domain is. */
enum virt_state {
	VIRT_UNKNOWN, /* not asked yet, or no connection */
	VIRT_ABSENT,  /* libvirt does not know it */
	VIRT_OFF,
	VIRT_SAVED, /* off, with a saved image: a start restores it */
	VIRT_RUNNING,
	VIRT_PAUSED,
	VIRT_STOPPING, /* told to shut down, and not done */
	VIRT_CRASHED,  /* its process is still there, its guest is not */
	_VIRT_STATES,
};
const char *virt_state_name(enum virt_state state); /* "running" */

struct virt_info {
	enum virt_state state;
	bool shrunk;		   /* running below what its description says */
	bool io_error;		   /* paused by its host's trouble with a disk, not by us */
	bool unexplained;	   /* paused, and libvirt does not know why: perhaps it crashes */
	uint64_t max_kib, now_kib; /* memory: described, and what the balloon leaves it */
	uint32_t vcpus;
};

/* What can be done to a domain. Each is done by itself, ends with a look at how the domain is. */
enum virt_verb {
	VIRT_LOOK,  /* nothing but that look */
	VIRT_START, /* boot, or restore what was saved; -EALREADY: it runs */
	VIRT_RESUME,
	VIRT_SUSPEND,
	VIRT_SAVE, /* to libvirt's managed image; the domain goes on as it was where that fails */
	VIRT_SHUTDOWN, /* ask the guest (ACPI); does not wait. A paused one hears it when resumed */
	VIRT_DESTROY,  /* pull the plug */
	VIRT_SHRINK,   /* balloon and CPU quota, as virt_shrink says; the guest gives its memory
			* when it can */
	VIRT_GROW,     /* back to what the description says; likewise */
	VIRT_ABORT,    /* end the save that is on its way: it fails, and the domain goes on */
	VIRT_DISCARD,  /* throw the saved image away */
	_VIRT_VERBS,
};
const char *virt_verb_name(enum virt_verb verb); /* "start" */

struct virt_shrink {
	unsigned int memory_percent; /* of what is described, 10 to 100 */
	unsigned int cpu_percent;    /* of each of its vCPUs, 1 to 100 */
};

struct virt_result {
	int error; /* 0, or negative errno: -ENOSPC, -ENOENT (a file), -EUCLEAN (an image), -ENOMEM,
		      -ECANCELED (aborted), -ENODEV (no such domain), -ENOTCONN, -ESRCH (it is not
		      in a state for that), -EBUSY, -EACCES, -EOPNOTSUPP, -ETIMEDOUT (libvirt waited
		      too long for another call's end), -EIO for the rest */
	char message[256]; /* libvirt's words; on success "", or what the operator should know */
	struct virt_info info; /* as far as it could be found out */
	uint64_t libvirt_us;   /* spent within libvirt's calls */
};

typedef void (*virt_done)(const struct virt_result *result, void *arg);

/*
 * Do VERB. DONE is called once, on the loop, never from within this call; not where this returns an
 * error. RESUME, SUSPEND, ABORT, GROW and LOOK go by the swift lane. SHRINK is needed by
 * VIRT_SHRINK only. -EAGAIN: too much to do. -ENOTCONN.
 *
 * 0 also where it is so already: RESUME of a running domain, SUSPEND of a paused one, SHUTDOWN and
 * DESTROY of one that is off, DISCARD without an image. START leaves it running, also where it was
 * paused before it was saved; one that is paused runs for START (-EALREADY: RESUME it).
 */
int virt_do(struct virt *v, const uint8_t uuid[SP_UUID_LEN], enum virt_verb verb,
	    const struct virt_shrink *shrink, virt_done done, void *arg);

/* What happens to domains by itself or by others' hands. Also comes after our own calls. */
enum virt_event {
	VIRT_EV_STARTED,
	VIRT_EV_RESUMED,
	VIRT_EV_SUSPENDED,
	VIRT_EV_STOPPED,  /* by us, by libvirt's other users, saved or destroyed */
	VIRT_EV_SHUTDOWN, /* by the guest: it powered itself off */
	VIRT_EV_CRASHED,  /* the guest or its process */
	VIRT_EV_DEFINED,
	VIRT_EV_UNDEFINED,
};
const char *virt_event_name(enum virt_event event);

/* ARG of virt_new is given to each. All on the loop. */
struct virt_callbacks {
	/* The connection is there (after each loss again): look at everything anew. */
	void (*up)(void *arg);
	/* It is gone; it is being tried again. WHY: libvirt's words. */
	void (*down)(const char *why, void *arg);
	void (*event)(const uint8_t uuid[SP_UUID_LEN], enum virt_event event, void *arg);
	/* virt_is_settled() has come true, or is true for another reason now. May be NULL. */
	void (*settled)(void *arg);
};

struct virt_options {
	const char *uri; /* any of libvirt's */
	const char
		*probe_kernel; /* what is booted to find out whether KVM works; may not be there */
	const char *accel;     /* "auto", "kvm", "tcg" */
	unsigned int keepalive_s; /* one that does not answer for three of these is gone; 0: 5 s */
};

/*
 * Connects in the background; WORKERS must have both of libvirt's lanes. Of each, four threads are
 * used at most: libvirtd takes no more requests of one connection. The process must ignore SIGPIPE.
 */
int virt_new(sd_event *event, struct workers *workers, const struct virt_options *options,
	     const struct virt_callbacks *callbacks, void *arg, struct virt **ret);
/* After the workers are gone. Nothing is called any more. */
struct virt *virt_free(struct virt *v);
/* Before them: ends the connection, so that what waits for libvirt ends with an error. */
void virt_shutdown(struct virt *v);

bool virt_is_up(const struct virt *v);
/* Nothing is being found out: there is a connection and its accelerator is known, or there is none.
 */
bool virt_is_settled(const struct virt *v);
/* Why not; "" while it is. */
const char *virt_trouble(const struct virt *v);
/* "QEMU 7.2.22, libvirt 9.0.0"; "" before the first connection. */
const char *virt_describe(const struct virt *v);

enum virt_accel {
	VIRT_ACCEL_UNKNOWN, /* not found out yet */
	VIRT_ACCEL_KVM,
	VIRT_ACCEL_TCG,
};
/* Found out once, at the first connection, by booting options.probe_kernel. *ret_why: a sentence.
 */
enum virt_accel virt_accel(const struct virt *v, const char **ret_why);

/* --- everything that libvirt has --- */

struct virt_domain {
	uint8_t uuid[SP_UUID_LEN];
	char name[SP_DOMAIN_MAX]; /* cut where it is longer */
	struct virt_info info;
	char owner[SP_SERVER_MAX]; /* whose mark it carries (domain.h); "": nobody's */
	uint32_t machine;	   /* the machine's id in that mark */
};
/* DONE gets an array that is valid during the call only; N -1 and ERROR where it failed. */
int virt_list(struct virt *v,
	      void (*done)(const struct virt_domain *domains, int n, const char *error, void *arg),
	      void *arg);

/* --- making, changing and removing --- */

struct domain_spec; /* domain.h */

/*
 * What `machine add` needs to know and do, in one go on the slow lane: the description of the
 * domain, rewritten (ORIGIN_DOMAIN) or made, its disk made, and, unless DRY_RUN, defined.
 */
struct virt_made {
	int error;
	char message[256];
	uint8_t uuid[SP_UUID_LEN];
	uint8_t mac[6]; /* of its interface: the one it had, where the spec names none */
	uint32_t memory_mib, vcpus;
	unsigned int queues; /* of its interface */
	const char *before,
		*after;	 /* the interface's XML, then and now; valid during the call only */
	const char *xml; /* the whole, likewise */
};
/* SPEC is copied. */
int virt_make(struct virt *v, const struct domain_spec *spec, bool dry_run,
	      void (*done)(const struct virt_made *made, void *arg), void *arg);

/*
 * Undo it: a domain of ORIGIN_DOMAIN gets back the interface it had and stays; others are
 * undefined, with their saved image, and with their disk where DELETE_DISK. It must not be running
 * (-EBUSY). 0 also where the domain is gone already.
 */
int virt_unmake(struct virt *v, const uint8_t uuid[SP_UUID_LEN], bool delete_disk, virt_done done,
		void *arg);

/* Number of queues that the domain's interface is described with, and the tap's name: for the port.
 */
struct virt_port {
	int error;
	char message[256];
	unsigned int queues;
	char tap[16];
	uint8_t mac[6];
	uint32_t memory_mib, vcpus;
};
/* -EUCLEAN: the description is not (any more) as we left it; the message says how to mend it. */
int virt_look_port(struct virt *v, const uint8_t uuid[SP_UUID_LEN],
		   void (*done)(const struct virt_port *port, void *arg), void *arg);

/* --- console --- */

struct virt_console;

struct virt_console_callbacks {
	void (*data)(const void *data, size_t size, void *arg);
	/* There is room again, after a write that was cut short; may be NULL. */
	void (*room)(void *arg);
	/* Closed by the other side, with the reason; the console is gone afterwards. */
	void (*end)(const char *why, void *arg);
};
/*
 * Open the domain's first serial console. FORCE: take it from whoever has it. DONE tells the error
 * or, in CONSOLE, what virt_console_write and _close take. Data begins to come after DONE.
 */
int virt_console_open(struct virt *v, const uint8_t uuid[SP_UUID_LEN], bool force,
		      const struct virt_console_callbacks *callbacks, void *arg,
		      void (*done)(int error, const char *message, struct virt_console *console,
				   void *arg));
/* Bytes that were taken; fewer than SIZE, or 0: full, the rest when `room` is called. */
ssize_t virt_console_write(struct virt_console *c, const void *data, size_t size);
void virt_console_close(struct virt_console *c);

#endif
