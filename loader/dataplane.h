/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dataplane as the rest of user space sees it: load and pin the programs and maps, attach
 * them to devices, and write the entries that steer frames. The only code that calls libbpf.
 *
 * Every function returns 0 (or a count where it says so) or a negative errno, and none logs
 * above debug unless it says so. Nothing here blocks on anything but the bpf() system call.
 *
 * Order rules that the entry functions keep, so that no half state ever forwards (I2, I4):
 *   D1  a binding is written after the FDB and flood entries that answer it, and removed before
 *       them;
 *   D2  a device is attached before it is up, detached after it is down;
 *   D3  an entry names a port number only after its counters were cleared.
 */
#ifndef SALLYPORT_LOADER_DATAPLANE_H
#define SALLYPORT_LOADER_DATAPLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/abi.h"

struct dataplane;

struct dataplane_options {
	const char *bpffs;     /* a mounted bpffs; NULL: SP_BPFFS */
	const char *pin_dir;   /* below it; NULL: SP_PIN_DIR */
	uint32_t max_bindings; /* `bindings`, `fdb`, `addresses`; 0: SP_DEF_BINDINGS */
	/*
	 * `counters`, `police`, `vids`, `ports`, `flood`, `machines`, `slots`, `policies`,
	 * `limits`; 0: SP_DEF_PORTS
	 */
	uint32_t max_ports;
	/*
	 * How many flows a segment may have: decides how many tables each has, once, when the maps
	 * are pinned. 0: SP_DEF_FLOWS.
	 */
	uint32_t flows;
	uint32_t max_rules; /* `rule_counters`; 0: SP_DEF_RULES */
	uint64_t sample_ns; /* sp_config.sample_ns */
	bool sampling;
	bool force_clsact; /* tests: behave as on a kernel without TCX */
	bool long_way;	   /* tests: no frame takes the short cut of bpf/fast.h */
	bool unpinned;	   /* tests and bench: maps and programs die with the process */
};

/*
 * Make or take over the dataplane. Pinned maps of this ABI version are reused after their type,
 * sizes and configuration were checked (-EUCLEAN with *ret_error set where they are not what we
 * make); programs are loaded anew and put behind the pinned links in place (I5).
 * *ret_error: a sentence for the operator, to be freed, or NULL.
 */
int dataplane_open(const struct dataplane_options *options, struct dataplane **ret,
		   char **ret_error);

/* Close the descriptors. What is pinned stays and keeps forwarding. */
void dataplane_close(struct dataplane *dp);
void dataplane_closep(struct dataplane **dp);

/* Remove every pin of this ABI version: the whole dataplane ends. For uninstall and tests. */
int dataplane_destroy(const struct dataplane_options *options);

/* Descriptors for tests, bench and the event reader; owned by DP. NULL-named: -ENOENT. */
int dataplane_map_fd(const struct dataplane *dp, const char *name);
int dataplane_prog_fd(const struct dataplane *dp, const char *name);

/* What this kernel offers; probed by loading, once. */
struct dataplane_features {
	bool tcx;
	bool xdp_native; /* of the last tap attached; false: generic */
};
const struct dataplane_features *dataplane_features(const struct dataplane *dp);

/* --- devices --- */

/*
 * Attach to a device that is down: egress guard, steer (for machines, steer_machine), and on vpn
 * ports the XDP guard; then write PORT to `ports`. Existing pinned links of the device are updated
 * instead, also to another kind's programs. On failure everything that this call did is undone.
 */
int dataplane_attach(struct dataplane *dp, uint32_t ifindex, const struct sp_port *port);

/* Remove links and the `ports` entry. Entries that name the device must be gone (D1). */
int dataplane_detach(struct dataplane *dp, uint32_t ifindex);

/* The `ports` entry. -ENOENT. */
int dataplane_port_get(struct dataplane *dp, uint32_t ifindex, struct sp_port *ret);

/* Which devices have pinned links or a `ports` entry: for reconcile. Calls CB for each. */
int dataplane_each_port(struct dataplane *dp,
			int (*cb)(uint32_t ifindex, const struct sp_port *port, void *arg),
			void *arg);

/* --- entries --- */

int dataplane_vid_set(struct dataplane *dp, uint32_t ifindex, uint16_t vid,
		      const struct sp_vid *value);
int dataplane_vid_del(struct dataplane *dp, uint32_t ifindex, uint16_t vid);
int dataplane_each_vid(struct dataplane *dp,
		       int (*cb)(const struct sp_vid_key *key, const struct sp_vid *value,
				 void *arg),
		       void *arg);

/*
 * -ENOSPC: the map is full (I4: the caller refuses what is new). -EINVAL, here and for the FDB: a
 * group or zero address.
 */
int dataplane_bind(struct dataplane *dp, uint32_t ifindex, uint16_t vid,
		   const uint8_t mac[SP_MAC_LEN], const struct sp_bind *value);
int dataplane_unbind(struct dataplane *dp, uint32_t ifindex, uint16_t vid,
		     const uint8_t mac[SP_MAC_LEN]);
int dataplane_each_binding(struct dataplane *dp,
			   int (*cb)(const struct sp_bind_key *key, const struct sp_bind *value,
				     void *arg),
			   void *arg);

int dataplane_fdb_set(struct dataplane *dp, uint32_t segment, const uint8_t mac[SP_MAC_LEN],
		      const struct sp_dst *value);
/* -ENOENT. */
int dataplane_fdb_get(struct dataplane *dp, uint32_t segment, const uint8_t mac[SP_MAC_LEN],
		      struct sp_dst *ret);
int dataplane_fdb_del(struct dataplane *dp, uint32_t segment, const uint8_t mac[SP_MAC_LEN]);
int dataplane_each_fdb(struct dataplane *dp,
		       int (*cb)(const struct sp_fdb_key *key, const struct sp_dst *value,
				 void *arg),
		       void *arg);

/*
 * Replace the whole flood list of a segment in one step; N = 0 removes it. -E2BIG above
 * SP_FLOOD_MAX.
 */
int dataplane_flood_set(struct dataplane *dp, uint32_t segment, const struct sp_dst *dst, size_t n);
int dataplane_each_flood(struct dataplane *dp,
			 int (*cb)(uint32_t segment, const struct sp_flood *value, void *arg),
			 void *arg);

/* Rates of a port; 0: no limit. Buckets start full; a burst below one frame's worth is raised to
 * it. */
struct dataplane_rate {
	uint64_t bytes_per_s, bytes_burst;
	uint64_t frames_per_s, frames_burst;
	/* The number under which the port's user has a rate for all its ports together; 0: none. */
	uint32_t user;
};
int dataplane_police_set(struct dataplane *dp, uint32_t port, const struct dataplane_rate *rate);

/*
 * How many group frames a machine's port may send; 0: no limit. What is the kernel's in the entry
 * begins anew. Before anything names the port (D3), or for one that is up.
 */
int dataplane_quota_set(struct dataplane *dp, uint32_t port, uint64_t group_per_s,
			uint64_t group_burst);

/* Sums over all CPUs. */
int dataplane_counter_get(struct dataplane *dp, uint32_t port, struct sp_counter *ret);
int dataplane_counter_clear(struct dataplane *dp, uint32_t port);
int dataplane_reason_get(struct dataplane *dp, enum sp_reason reason, struct sp_reason_count *ret);

/* --- machines --- */

/*
 * Begin the `machines` entry of a port: generation, flags, park_max, slot and watch of VALUE; what
 * is the kernel's starts from now, and so does its clock. Before anything names the port (D3).
 * Flows of the slot that name it already end. -ENOENT: PORT is out of range.
 */
int dataplane_machine_begin(struct dataplane *dp, uint32_t port, const struct sp_machine *value);
/* Nobody's any more, after nothing names the port: its flows end. */
int dataplane_machine_end(struct dataplane *dp, uint32_t port);
/* Calls CB for each port whose entry has a generation, until it answers something negative. */
int dataplane_each_machine(struct dataplane *dp,
			   int (*cb)(uint32_t port, const struct sp_machine *entry, void *arg),
			   void *arg);
/* A look at it. -ENOENT: PORT is out of range. */
int dataplane_machine_get(struct dataplane *dp, uint32_t port, struct sp_machine *ret);
/*
 * Set and clear bits of `flags` in one step, without a system call; a bit in both is set. Here and
 * below a PORT that is out of range is nobody's: nothing happens.
 */
void dataplane_machine_flags(struct dataplane *dp, uint32_t port, uint32_t set, uint32_t clear);
/* Ask for the notices of these bits (SP_WATCH_*), once each. */
void dataplane_machine_watch(struct dataplane *dp, uint32_t port, uint32_t bits);
/* How many frames may wait from now on; 0: none. */
void dataplane_machine_park(struct dataplane *dp, uint32_t port, uint32_t max);
/* Room for park_max frames again. */
void dataplane_machine_unpark(struct dataplane *dp, uint32_t port);
/* Where its segment's flows are. */
void dataplane_machine_set_slot(struct dataplane *dp, uint32_t port, uint32_t slot);
/*
 * Stop the clock that its flows' timers follow, or let it go on from there; each does nothing where
 * that is so already.
 */
void dataplane_machine_freeze(struct dataplane *dp, uint32_t port);
void dataplane_machine_thaw(struct dataplane *dp, uint32_t port);

/* ADDR: 16 bytes, IPv4 as ::ffff:a.b.c.d. -ENOSPC. -EINVAL: VALUE's MAC is nobody's own. */
int dataplane_address_set(struct dataplane *dp, uint32_t segment, const uint8_t addr[16],
			  const struct sp_address *value);
/* -ENOENT. */
int dataplane_address_get(struct dataplane *dp, uint32_t segment, const uint8_t addr[16],
			  struct sp_address *ret);
int dataplane_address_del(struct dataplane *dp, uint32_t segment, const uint8_t addr[16]);
int dataplane_each_address(struct dataplane *dp,
			   int (*cb)(const struct sp_address_key *key,
				     const struct sp_address *value, void *arg),
			   void *arg);

/*
 * Send FRAME, which was parked, to where the FDB of SEGMENT says now, past no other check than that
 * its flow is still there: it was judged when it came. Its checksums are made whole first, for a
 * sender that had left that to its device. -ENOENT: there is no such destination, or it is closed,
 * or asleep again. -EPERM: its flow has ended since. -EMSGSIZE: longer than SP_PARK_LEN or than the
 * destination takes; -EIO: its device is gone, down or full; -EINVAL: not a frame that would have
 * been parked. None of them is worth a second try but -EIO.
 */
int dataplane_replay(struct dataplane *dp, uint32_t segment, const uint8_t *frame, size_t len);

/* As events below. CB's NOTICE is a struct sp_parked where its kind says so, and checked to be. */
int dataplane_notices_fd(struct dataplane *dp);
int dataplane_notices_drain(struct dataplane *dp,
			    void (*cb)(const struct sp_notice *notice, void *arg), void *arg);

/* --- what would become of a frame --- */

/* A frame as it would come in by a port, Ethernet header first, without a VLAN tag. */
struct dataplane_frame {
	enum sp_port_kind kind; /* of the port */
	uint32_t ifindex;	/* its device: in this network namespace */
	uint16_t vid;		/* the tag that OpenVPN would give it; 0: none */
	const void *data;
	size_t len;
};

struct explainer;

/*
 * The programs that forward, loaded a second time upon the same maps, to look only (sp_explain).
 * Some hundred milliseconds: not for the event loop. It may be used by one thread at a time, as
 * long as DP is there.
 */
int explainer_new(struct dataplane *dp, struct explainer **ret);
struct explainer *explainer_free(struct explainer *x);
void explainer_freep(struct explainer **x);
/*
 * What would become of FRAME at this moment: nothing is counted, kept, answered, woken or sent.
 * *RET: each step. -ENODEV: there is no such device. -EMSGSIZE: less than SP_EXPLAIN_MIN bytes, or
 * more than SP_EXPLAIN_LEN.
 */
int explainer_run(struct explainer *x, const struct dataplane_frame *frame, struct sp_walk *ret);

/* --- the firewall's tables --- */

/* What a segment may have. */
struct dataplane_budget {
	uint32_t flows;
	uint64_t new_per_s, new_burst; /* new flows; 0 a second: no limit */
};

/*
 * Begin the row of a slot, 1 to max_ports - 1: it is SEGMENT's. PICK_UP_UNTIL_NS as in sp_slot. Its
 * tables come by dataplane_slot_make. -ENOENT: SLOT is out of range.
 */
int dataplane_slot_begin(struct dataplane *dp, uint32_t slot, uint32_t segment,
			 const struct dataplane_budget *budget, uint64_t pick_up_until_ns);
/*
 * Make those of the slot's tables that are not there, and pin them. Waits for the kernel's RCU,
 * some ten milliseconds and on older kernels that for each table: not for the event loop. Of
 * several threads at most one at a time for each slot.
 */
int dataplane_slot_make(struct dataplane *dp, uint32_t slot);
/* Take them away, and all flows with them. Waits likewise. */
int dataplane_slot_unmake(struct dataplane *dp, uint32_t slot);
/* The row is nobody's. After dataplane_slot_unmake; nothing names the slot. */
void dataplane_slot_end(struct dataplane *dp, uint32_t slot);
/* A look at it. -ENOENT: SLOT is out of range. */
int dataplane_slot_get(struct dataplane *dp, uint32_t slot, struct sp_slot *ret);
/* Other limits. Tables are as large as they were made. */
void dataplane_slot_set_budget(struct dataplane *dp, uint32_t slot,
			       const struct dataplane_budget *budget);

/* The most flows that a segment's tables can be made for. */
uint32_t dataplane_flows_max(const struct dataplane *dp);

int dataplane_timeouts_set(struct dataplane *dp, const struct sp_timeouts *timeouts);

/* What the collection has done, ever. */
int dataplane_collector_get(struct dataplane *dp, struct sp_collector *ret);

/* A flow as it stands in its table. */
struct dataplane_flow {
	uint32_t slot, table; /* of the slot: the shards of IPv4, then those of IPv6 */
	uint8_t addr[2][16];  /* of its two ends, IPv4 as ::ffff:a.b.c.d */
	uint16_t port[2];     /* as in the key, in host order */
	uint8_t proto;
	bool six;
	union {
		struct sp_flow4_key k4;
		struct sp_flow6_key k6;
	} key;
	struct sp_flow flow;
};

/*
 * Call CB for each flow of the slot's table TABLE, until it answers something negative, which is
 * returned. -ENOENT: there is no such table (any more): TABLE went through all, or nothing was
 * made.
 */
int dataplane_each_flow(struct dataplane *dp, uint32_t slot, uint32_t table,
			int (*cb)(const struct dataplane_flow *flow, void *arg), void *arg);
/* End it. -ENOENT: it is not there any more. -EBUSY: a packet of it is being judged; try again. */
int dataplane_flow_end(struct dataplane *dp, const struct dataplane_flow *flow);
/* End all flows that have the machine of PORT at one of their ends. */
int dataplane_flows_end_port(struct dataplane *dp, uint32_t slot, uint32_t port);
/* --- policies --- */

#define DATAPLANE_DEFAULT_POLICY 0 /* the port of the host's default */

/*
 * Put a compiled policy in force at PORT, in one step: a frame is judged by the one before or by
 * this one. ROWS are loader/policy's; their counters are filled in: a rule that was in the policy
 * before, as its identity tells, goes on to count where it did. Returns when nobody reads the old
 * one any more, some ten milliseconds later: not for the event loop. Threads may be in it at once
 * for different ports.
 *
 * -ENOSPC: no counter is left (max_rules). -ENOENT: PORT is out of range. -EINVAL: not a policy.
 * On failure the one before stays in force.
 */
int dataplane_policy_set(struct dataplane *dp, uint32_t port, struct sp_row *rows, size_t n);
/* From now on PORT is judged by the host's default. Waits likewise. 0 also where it was so. */
int dataplane_policy_clear(struct dataplane *dp, uint32_t port);
/* The head of what is in force at PORT. -ENOENT: it has none. -EUCLEAN: one that cannot be read. */
int dataplane_policy_head(struct dataplane *dp, uint32_t port, struct sp_head *ret);
/*
 * What its rules have counted, summed over the CPUs: RET has room for MAX of them; *RET_DEFAULTS is
 * for the default of each direction. Returns how many rules there are. Errors as above.
 */
int dataplane_policy_counts(struct dataplane *dp, uint32_t port, struct sp_rule_counter *ret,
			    size_t max, struct sp_rule_counter ret_defaults[_SP_DIRECTIONS]);
/* Calls CB for each port that has one, the default's too. */
int dataplane_each_policy(struct dataplane *dp, int (*cb)(uint32_t port, void *arg), void *arg);
/* How many counters rules have, and how many there are. */
void dataplane_rules_used(struct dataplane *dp, uint32_t *ret_used, uint32_t *ret_max);
/* What was said because of PORT, and what was not (sp_limit). -ENOENT: out of range. */
int dataplane_limit_get(struct dataplane *dp, uint32_t port, struct sp_limit *ret);

/* --- events --- */

/*
 * Sampled drops, and frames that rules log. FD to poll for reading, then drain without blocking: CB
 * is called for each event; the pointer is valid during the call only. Returns the number drained.
 */
int dataplane_events_fd(struct dataplane *dp);
int dataplane_events_drain(struct dataplane *dp,
			   void (*cb)(const struct sp_event *event, void *arg), void *arg);

/* --- names --- */

/* Numbers are handed out with gaps. */
bool sp_reason_exists(unsigned int reason);
/* "src-unbound"; "?" for a number that has none. */
const char *sp_reason_name(unsigned int reason);
const char *sp_reason_text(unsigned int reason);
const char *sp_hook_name(unsigned int hook);
const char *sp_port_kind_name(unsigned int kind);

#endif
