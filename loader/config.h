/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file: sallyportd.conf(5). Parsed whole before anything is used. */
#ifndef SALLYPORT_LOADER_CONFIG_H
#define SALLYPORT_LOADER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "sallyport/limits.h"

struct config_instance {
	char name[SP_INSTANCE_MAX]; /* [instance NAME] */
	char tap[16];		    /* tap=, default "sp-NAME" cut to 15 */
	bool vlan_mode;		    /* mode= vlan (default) | mac */
	char *openvpn_config;	    /* config=: checked before the tap comes up; required */
	char *management;	    /* management=: OpenVPN's unix management socket; may be NULL */
	uid_t uid;    /* user=: who OpenVPN runs as: may call hook ops, owns the tap */
	gid_t gid;    /* group= */
	uint16_t mtu; /* mtu=, 576..9000, default 1500 */
};

/* How long a flow lives in which nothing happens; config_timeouts() has what each is for. */
enum config_timeout {
	TIMEOUT_TCP_SYN_SENT,
	TIMEOUT_TCP_SYN_RECV,
	TIMEOUT_TCP_ESTABLISHED,
	TIMEOUT_TCP_FIN_WAIT,
	TIMEOUT_TCP_CLOSE_WAIT,
	TIMEOUT_TCP_LAST_ACK,
	TIMEOUT_TCP_TIME_WAIT,
	TIMEOUT_TCP_CLOSE,
	TIMEOUT_TCP_RETRANSMITTED,
	TIMEOUT_TCP_UNACKNOWLEDGED,
	TIMEOUT_UDP,
	TIMEOUT_UDP_STREAM,
	TIMEOUT_ICMP,
	TIMEOUT_ICMPV6,
	TIMEOUT_OTHER,
	_CONFIG_TIMEOUTS,
};

struct sp_timeouts;

struct config {
	char *path;

	/* [daemon] */
	char *socket;	 /* socket= */
	gid_t admin_gid; /* admin-group=, (gid_t)-1: root only; a group that is missing is a warning
			  */
	int log_level;	 /* log-level= debug|info|notice|warning|err */
	unsigned int workers; /* workers= 1..16: password checks at once */

	/* [store]. NULL where it was not given, but for store_path with type = sqlite. */
	bool store_mysql;		   /* type= sqlite (default) | mysql */
	char *store_path;		   /* path= */
	unsigned int store_timeout_ms;	   /* timeout= ms, 100..60000, default 10000 */
	char *store_server;		   /* server=: default the host's name */
	char *store_hosts, *store_socket;  /* hosts=, socket=: one of the two */
	char *store_user, *store_database; /* user=, database= */
	char *store_password_file;	   /* password-file= */
	char *store_password_credential;   /* password-credential=: below $CREDENTIALS_DIRECTORY */
	bool store_tls;			   /* tls= yes|no: default yes where hosts are given */
	char *store_tls_ca, *store_tls_cert, *store_tls_key; /* tls-ca=, tls-cert=, tls-key= */
	/* user-table=, user-name-column=, user-password-column=, ...: somebody else's table */
	char *map_table, *map_name, *map_password, *map_disabled, *map_address, *map_address6;

	/* [dataplane] */
	char *bpffs, *pin_dir;	/* bpffs=, pin-dir= */
	uint32_t max_bindings;	/* max-bindings= 16..16777216 */
	uint32_t max_ports;	/* max-ports= 16..1048576 */
	uint32_t max_rules;	/* max-rules= 16..16777216 */
	bool sampling;		/* sampling= yes|no */
	unsigned int sample_ms; /* sample-interval= ms, 0..60000, default 10 */

	/* [session] */
	uint32_t max_sessions; /* max-per-user= 1..32 */
	uint32_t max_macs;     /* macs-per-session= 1..32 */
	uint64_t rate_bytes,
		burst_bytes; /* rate-bytes=, burst-bytes=: 0 = no limit; K, M, G suffixes */
	uint64_t rate_frames, burst_frames; /* rate-frames=, burst-frames= */
	uint8_t (*reserved)[6]; /* reserved-macs=: gateways and the like, comma separated */
	size_t n_reserved;
	unsigned int vid_rest_s; /* vid-rest= s, default SP_VID_REST_S */

	/* [user]: all that one user's sessions and machines do together */
	uint64_t user_rate_bytes, user_burst_bytes;   /* rate-bytes=, burst-bytes=: 0 = no limit */
	uint64_t user_rate_frames, user_burst_frames; /* rate-frames=, burst-frames= */
	uint32_t user_max_macs;			      /* max-macs=: 0 = no limit */

	/* [machines] */
	char *virt_uri;		 /* uri= of libvirt */
	char *image_dir;	 /* image-dir=: where overlays are made, on libvirt's host */
	char *probe_kernel;	 /* probe-kernel= */
	char *accel;		 /* accel= auto|kvm|tcg */
	unsigned int virt_calls; /* calls= 1..16: starts, saves and the like at once */
	char *ladder;		 /* stop=: machine/ladder.h; checked */
	uint32_t grace_s, idle_s, min_up_s; /* grace=, idle= (0: never), min-up= */
	uint32_t stop_timeout_s; /* stop-timeout=: how long a guest may take to shut down */
	uint32_t shrink_memory, shrink_cpu;		  /* shrink-memory=, shrink-cpu=: percent */
	uint32_t max_machines, max_memory_mib, max_vcpus; /* max-*=: up at once; 0: no limit */
	uint32_t user_max_machines, user_max_memory_mib, user_max_vcpus; /* max-user-*= */
	uint64_t machine_rate_bytes, machine_burst_bytes; /* rate-*=, burst-*=: what one may send */
	uint64_t machine_rate_frames, machine_burst_frames;
	/* rate-group-frames=, burst-group-frames=: of them, broadcast and multicast */
	uint64_t machine_rate_group_frames, machine_burst_group_frames;
	/* [firewall] */
	uint32_t flows, max_flows; /* flows=, max-flows=: of one segment at once */
	uint32_t new_flows,
		new_flows_burst; /* new-flows=, new-flows-burst=: a second; 0: no limit */
	uint32_t pick_up_s;	 /* pick-up= */
	uint32_t timeout_s[_CONFIG_TIMEOUTS]; /* timeout-*= */
	char *default_policy;		      /* default-policy=: the file; NULL: policy_builtin */
	char *default_rules;		      /* what it says; checked */
	/* [metrics] */
	char *metrics_listen; /* listen=: a loopback address (loader/trace/http.h); NULL: none */

	struct config_instance *instances; /* by order in the file; names and taps are unique */
	size_t n_instances;
};

/*
 * Read PATH. On a mistake: -EINVAL, and every mistake found is written to ERRORS (if not NULL) as
 * "PATH:LINE: what was read, what was expected", one a line. Unknown sections and keys, doubled
 * keys, and missing ones are mistakes. -ENOENT and the like: the file could not be read.
 */
int config_load(const char *path, struct config **ret, FILE *errors);

/* The same on text in memory, for tests and the fuzzer. NAME stands in the messages. */
int config_parse(const char *name, const char *text, size_t size, struct config **ret,
		 FILE *errors);

struct store_options;

/*
 * How the store is opened, by whoever does: the daemon, and `sallyport store`. Strings are C's;
 * `tool` and `exclusive` are the caller's to set.
 */
void config_store_options(const struct config *c, struct store_options *ret);

void config_free(struct config *c);
void config_freep(struct config **c);

/* [firewall] timeout-*, as the programs read them. */
void config_timeouts(const struct config *c, struct sp_timeouts *ret);

#endif
