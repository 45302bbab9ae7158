/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every bound on what comes from outside, in one place. All sizes are in bytes and count the
 * terminating NUL where the value is a string.
 */
#ifndef SALLYPORT_LIMITS_H
#define SALLYPORT_LIMITS_H

/* Names: users, workloads, instances. Common names come from certificates: longer, any byte. */
#define SP_NAME_MAX 64
#define SP_INSTANCE_MAX 32
#define SP_CN_MAX 128
#define SP_PASSWORD_MAX 512
#define SP_ADDR_STRLEN 64 /* an address, with prefix or port, as text */

/* Control socket. */
#define SP_MSG_MAX 65536	/* one JSON message */
#define SP_CLIENTS_MAX 512	/* connections at once */
#define SP_HOOK_DEADLINE_MS 200 /* the longest a hook holds OpenVPN's thread */
#define SP_DEFER_MAX_MS 30000	/* the longest a deferred answer may take */
#define SP_PENDING_AFTER_MS 3	/* connect: answer "pending" after this long */

/* VLAN ids that may name a session: 0 is a priority tag, 1 OpenVPN's default pvid, 4095 reserved.
 */
#define SP_VID_MIN 2
#define SP_VID_MAX 4094

/* A freed VLAN id rests this long: OpenVPN keeps its old entries up to 160 s (see docs/hooks.md).
 */
#define SP_VID_REST_S 180

/* Servers that share a store, and libvirt's domains. */
#define SP_SERVER_MAX 64
#define SP_DOMAIN_MAX 128
#define SP_UUID_LEN 16
#define SP_SERVER_LEASE_S 60 /* a server that has not been heard of for so long is not alive */

/* A login whose connect has not come by then has failed. OpenVPN's hand-window is 60 s. */
#define SP_TRACE_PENDING_S 90

/* Machines. */
#define SP_LADDER_MAX 128    /* a stop policy as text */
#define SP_ADDRESSES_MAX 512 /* a machine's addresses as text, spaces between */
#define SP_ADDRESSES_N 8     /* of one machine */
#define SP_LEASES_MAX 640    /* its leases as text, with their ends */
#define SP_PARKED_N 16	     /* frames that wait for one sleeping machine */
#define SP_XML_MAX (1 << 20) /* a domain's description */
#define SP_PATH_MAX 1024     /* a file of libvirt's host */

/* A machine's firewall policy as text, in bytes without a NUL. */
#define SP_POLICY_MAX (256 * 1024)

/* Defaults of the configuration file. */
#define SP_DEF_BINDINGS 262144 /* entries in `bindings` and in `fdb` */
#define SP_PORTS_MAX 1048576   /* port numbers are below */
#define SP_DEF_PORTS 16384     /* entries in `counters`, `police`, `vids` */
#define SP_DEF_FLOWS 16384     /* of one segment at once */
#define SP_DEF_NEW_FLOWS 2000  /* of one segment in a second */
#define SP_DEF_NEW_BURST 4000
#define SP_DEF_PICK_UP_S 120
#define SP_TIMEOUT_MAX_S (31 * 86400)
#define SP_FLOWS_MIN 16
#define SP_FLOWS_MAX 1048576
#define SP_NEW_FLOWS_MAX 10000000
#define SP_DEF_RULES 131072 /* entries in `rule_counters`: rules, and two for each policy */
#define SP_DEF_MACS_PER_SESSION 8
#define SP_DEF_SESSIONS_PER_USER 8
#define SP_DEF_GROUP_FRAMES 1000 /* a second, and at once, of one machine */

/* A frame that `sallyport explain` makes: Ethernet's own limits, without the checksum. */
#define SP_EXPLAIN_MIN 60
#define SP_EXPLAIN_LEN 1514

#endif
