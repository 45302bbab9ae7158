/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A user's virtual machine: what it shall be, what it is, and the port that it is reached by.
 *
 * Everything that could change what is to be done (a session, a timer, an event of libvirt, the end
 * of a call, an operator) ends in machine_advance, which asks decide.h and takes at most one step.
 * At most one call to libvirt is on its way for each machine; what is wanted meanwhile is looked at
 * when it is done, so that an intent that was overtaken is never carried out.
 *
 * Rules that machine_port.c keeps, beside D1 to D3 of dataplane.h:
 *   M1  the tap is there before the domain starts, and comes up only behind its programs, bound and
 *       with its firewall ready: before, nothing passes;
 *   M2  frames go to the tap only while a guest runs behind it; before, they are parked or dropped;
 *   M3  the tap is removed only when libvirt says that the domain is off.
 * M4 and M5, of its firewall, are in rules.h; M6 to M8, of its flows, in number.h.
 */
#ifndef SALLYPORT_LOADER_MACHINE_MACHINE_H
#define SALLYPORT_LOADER_MACHINE_MACHINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <uthash.h>

#include "decide.h"
#include "ladder.h"
#include "leases.h"
#include "link.h"
#include "number.h"
#include "presence.h"
#include "rules.h"
#include "segment.h"
#include "store/store.h"
#include "trace/trace.h"
#include "virt/virt.h"

#define MACHINE_MTU 1500
#define MACHINE_RETRY_US 2000000ULL /* after the first failure; then twice as long each time */
#define MACHINE_TAP_PREFIX "spm"    /* and the id of the row */

/* Its tap; what takes time is a worker's. */
enum machine_tap {
	TAP_NONE,
	TAP_WAITING, /* for policy and flows of its port (M4, M7); it is down */
	TAP_RAISING, /* its programs are being attached; it is down */
	TAP_READY,
	TAP_FAILED, /* it has to go */
	TAP_DROPPING,
};

/* What it holds of the host's resources; admission.h. */
enum machine_admission {
	ADMISSION_NONE,
	ADMISSION_MEMORY, /* it is paused */
	ADMISSION_ALL,	  /* memory and vCPUs: it runs, or may start */
};

struct request;
struct waiter;

struct parked_frame {
	struct parked_frame *next;
	uint64_t when_us;
	uint32_t len;
	uint8_t data[];
};

struct machine {
	struct daemon *daemon;
	struct store_machine row;
	uint32_t id; /* of the row */
	struct presence *owner;
	struct machine *owner_next;
	bool listed;	      /* during machine_virt.c's look at everything */
	struct ladder ladder; /* in force */

	/* What libvirt says. */
	struct virt_info info;
	bool looked;	/* since the connection came up */
	bool need_look; /* something happened to it */
	bool foreign;	/* it is being paused, and not by us */
	uint64_t up_us; /* last started or resumed; 0: not since we know it */

	/* What it shall be. */
	enum level want;
	bool woken;	  /* as in decide.h */
	bool unreachable; /* its tap could not be put behind the programs */
	bool let_be;	  /* likewise */
	bool revive;	  /* it ran when we were last here: to be looked at once */
	bool reviving;	  /* it did, and does not any more: it comes up again */
	const char *let_be_why;
	sd_event_source *timer; /* the next moment at which that may change by itself */

	/* The call on its way. */
	bool busy, aborting;
	enum virt_verb verb;
	uint64_t call_us;     /* when it was made */
	uint64_t woken_us;    /* within libvirt, of the last call that brought it up; 0: none did */
	uint64_t shutdown_us; /* when its guest was last asked to shut down; 0: never */
	struct decide_stop stop;

	/* Trouble. */
	char *trouble;		    /* the last call's, until one succeeds */
	unsigned int failures;	    /* in a row */
	enum virt_verb failed_verb; /* what is not tried again before */
	uint64_t retry_us;	    /* then */
	bool alive;		    /* its guest was seen to run since it crashed */

	/* Resources. */
	enum machine_admission admission;
	bool waiting, turn; /* asked for more, and there is no room yet; its turn has come */
	struct machine *wait_prev, *wait_next;
	char *refusal; /* why it cannot have them at all */

	/* The port. */
	enum machine_tap tap;
	struct link_info link; /* of the tap; ifindex 0: there is none */
	bool described;	       /* its description was looked at, and is ours; then: */
	unsigned int queues;   /* of its interface */
	bool cut_off;	       /* its guest runs, and its tap was deleted */
	struct member member;
	struct number *number;	    /* its port's; NULL: it has none */
	bool joined;		    /* the segment knows it */
	int join_error;		    /* why it does not; 0: it does, or will soon, or need not */
	uint64_t join_retry_us;	    /* not before */
	struct machine_rules rules; /* the firewall at it */
	bool spoke;		    /* a frame of it was seen since it was started */
	struct parked_frame *parked, **parked_tail;
	unsigned int n_parked;
	uint64_t n_replayed, n_expired;

	/* PINNED_DHCP: what it has leased, also while it is off. */
	struct leases leases;
	sd_event_source *lease_timer;

	/* What subscribers of the monitor know; a constant text. */
	const char *told_state;
	enum level told_want;

	struct waiter *waiters;
	bool pull_plug; /* to be stopped without asking its guest */
	bool removing;	/* an operator's removal is on its way: nothing is begun any more */
	bool gone;	/* removed while a call was on its way: freed at its end */

	UT_hash_handle hh_id, hh_uuid, hh_mac, hh_port, hh_device;
};

/* --- its life in the daemon: machine.c --- */

/* Make it known. ROW is copied. *ret may be NULL. */
int machine_new(struct daemon *d, const struct store_machine *row, struct machine **ret);
/* Forget it; everything that is programmed stays. */
void machine_free(struct machine *m);
/* Take it off the network for good and forget it: its row has gone. */
void machine_remove(struct machine *m);

struct machine *machine_find_id(struct daemon *d, uint32_t id);
struct machine *machine_find_uuid(struct daemon *d, const uint8_t uuid[SP_UUID_LEN]);
struct machine *machine_find_mac(struct daemon *d, const uint8_t mac[SP_MAC_LEN]);
struct machine *machine_find_port(struct daemon *d, uint32_t port);
struct machine *machine_find(struct daemon *d, const char *user, const char *name);

/* "user/name", as traces and the log call it. */
const char *machine_label(const struct machine *m, char ret[2 * SP_NAME_MAX]);

/* Its policy was changed: ROW's policy, addresses, pinned, router and dhcp_server are what the
 * store has now. Leases are the machine's own, and not ROW's. */
int machine_set_row(struct machine *m, const struct store_machine *row);
/* The configuration was read again: defaults may be others. */
void machine_reload_all(struct daemon *d);

/* --- what it does: machine_run.c --- */

/* Look at everything again and take the next step, if there is one. */
void machine_advance(struct machine *m);

/* Its user came: what was left alone, given up or held is looked at with fresh eyes. */
void machine_user_arrived(struct machine *m);
/* An operator's word. LEVEL_KEEP: none any more, the policy counts again. */
void machine_hold(struct machine *m, enum level level);
/* A frame for it is waiting. */
void machine_wake(struct machine *m);

/* May frames wake it? */
bool machine_is_wakeable(const struct machine *m);
/* "running", "starting", "queued", ... for people. */
const char *machine_state_text(const struct machine *m);
/* Take the next step from the loop, soon. */
void machine_poke(struct machine *m);

/* Its policy, with the configuration's defaults. */
uint64_t machine_grace_us(const struct machine *m);
uint64_t machine_idle_us(const struct machine *m);
uint64_t machine_min_up_us(const struct machine *m);

/* Put want and held into the store; nothing waits for it. */
void machine_store_want(const struct machine *m);

static inline bool machine_wakes(enum virt_verb verb)
{
	return verb == VIRT_START || verb == VIRT_RESUME;
}

/* Where one of them fails, the other had better wait as well. */
static inline bool machine_is_like(enum virt_verb a, enum virt_verb b)
{
	return a == b || (machine_wakes(a) && machine_wakes(b));
}

/* In the trace of the login that came last. */
void machine_mark(struct machine *m, enum trace_stage stage);

/* --- what has become of it: machine_result.c --- */

/* The end of a call: virt_done. */
void machine_on_called(const struct virt_result *result, void *arg);
/* Nothing is on its way any more. False: it was removed meanwhile, and is freed. */
bool machine_end_call(struct machine *m);
/* It did not work: said, and VERB is not tried again for a while. */
void machine_fail(struct machine *m, enum virt_verb verb, const char *why);
void machine_tap_failed(struct machine *m, int r);
/* One that runs and cannot be reached is of no use: it is stopped, and tried again later. */
void machine_set_unreachable(struct machine *m, int r);
void machine_forget_failures(struct machine *m);
/* What it is decides what it holds of its host, whatever the limits say. */
void machine_account(struct machine *m);
/* *FIELD is freed, and becomes a copy of TEXT; of "" and NULL: NULL. */
void machine_set_text(char **field, const char *text);

/* A worker is done with its tap; R: negative errno. */
void machine_on_tap(struct machine *m, int r);
/* What libvirt tells: something happened; the connection is gone; how it is, to be looked at by
 * machine_advance when that is known of all of them. */
void machine_on_event(struct machine *m, enum virt_event event);
void machine_on_down(struct machine *m);
void machine_on_listed(struct machine *m, const struct virt_info *info);

/* --- libvirt as a whole: machine_virt.c --- */

/* Connect, if that has not been done. 0 also where the connection has yet to come. */
int machine_virt_start(struct daemon *d);

/*
 * Is there a connection, to do WHAT with? Where that is still being found out, REQUEST is held, and
 * OP called with it and ARGS when it is known; where there is none it is answered. Both: false.
 */
bool machine_virt_ready(struct daemon *d, struct request *request, const json_t *args,
			const char *what,
			void (*op)(void *context, void *request, const json_t *args));
/* Requests that are held are refused: the daemon stops. */
void machine_virt_stop(struct daemon *d);
/* Domains that carry our mark and are no machine of ours. */
size_t machine_virt_orphans(const struct daemon *d);

/* --- its port: machine_port.c; its tap: tap.h --- */

/* At start: the tap is there from before, and so are its entries: take them over as they are (I5).
 */
int machine_port_adopt(struct machine *m);
/*
 * M1: a tap, for a domain that is about to start; binding and programs come when its policy and its
 * flows are ready, while libvirt starts the domain. -EAGAIN: one that is going is not gone yet;
 * machine_on_tap comes when it is.
 */
int machine_port_raise(struct machine *m);
/* The tap may have waited for its firewall; a negative errno: that cannot be, and the tap has to
 * go.
 */
int machine_port_go_on(struct machine *m);
/* Bring the port in line with what the machine is: joined or not, asleep or not, tap or not. */
int machine_port_sync(struct machine *m);
/* When it has to be brought in line again, by CLOCK_MONOTONIC: what could not be is tried again. */
uint64_t machine_port_next(const struct machine *m);
/* Everything goes: tap, entries, number. */
void machine_port_drop(struct machine *m);
/* What its row lets it say: with which addresses, and in which offices. */
void machine_port_set_guards(struct machine *m);
/* The configuration's rates. */
void machine_port_set_rates(struct machine *m);
/* A link that was deleted may have been one of ours. */
void machine_port_link_gone(struct daemon *d, uint32_t ifindex);

/* --- in numbers: machine_metrics.c --- */

/* Tell the metrics where to look. */
void machine_metrics(struct daemon *d);

/* --- frames that wait, and what the programs tell: machine_notice.c --- */

int machine_notice_watch(struct daemon *d);
void machine_notice_unwatch(struct daemon *d);
/* Its guest runs, and nobody answers in its name any more. */
bool machine_is_awake(const struct machine *m);
/* Send what waits: its guest runs. */
void machine_replay(struct machine *m);
void machine_drop_parked(struct machine *m);

/* --- addresses that are learned: machine_dhcp.c --- */

/* The leases of its row, less what has run out since: when it is made, and when PINNED changed. */
void machine_read_leases(struct machine *m);
int machine_write_leases(struct machine *m);
void machine_clear_leases(struct machine *m);
/* P: SP_NOTICE_DHCP_SENT or _GOT. */
void machine_on_dhcp(struct machine *m, const struct sp_parked *p);
/* [{"address", "until" (seconds since the epoch; none: for ever)}] */
json_t *machine_view_leases(const struct machine *m);

/* The addresses of the row, and leases, as the programs have them. */
int machine_write_addresses(struct machine *m);
void machine_clear_addresses(struct machine *m);

#endif
