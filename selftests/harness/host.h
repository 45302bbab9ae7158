/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon without devices, for unit tests: real maps (not pinned), a real store in a temporary
 * directory, real worker threads; instances whose taps do not exist. Needs root.
 */
#ifndef SALLYPORT_SELFTESTS_HOST_H
#define SALLYPORT_SELFTESTS_HOST_H

#include <stdint.h>
#include <sys/types.h>

#include "loader/daemon.h"
#include "loader/instance.h"
#include "loader/machine/machine.h"
#include "loader/session.h"
#include "loader/workload.h"

/* "vlan" in VLAN mode; "mac" and "mac2" in MAC mode. */
enum host_instance { HOST_VLAN, HOST_MAC, HOST_MAC2, HOST_INSTANCES };

#define HOST_IFINDEX 1000000 /* of the first instance; the others follow */
#define HOST_HOOK_UID 23456  /* of all instances' OpenVPN; the next uids are nobody's */
#define HOST_ADMIN_GID 34567
#define HOST_PID 4242 /* OpenVPN's */

struct host {
	struct daemon d;
	struct config config;
	struct config_instance configs[HOST_INSTANCES];
	struct instance *instances[HOST_INSTANCES];
	uint8_t reserved[1][6]; /* 02:00:00:00:00:fe */
	char dir[64];
	char db[80], socket[80];
};

/* For cmocka's group: *state is a struct host. */
int host_setup(void **state);
int host_teardown(void **state);

/* A user in the store. */
uint32_t host_user(struct host *h, const char *name);

/* A live session of USER, with a row in the store. TIME tells apart several of one user. */
struct session *host_session(struct host *h, enum host_instance i, const char *user, int64_t time);

/* A workload of USER's that is up, on a device that does not exist. To be given to host_remove. */
struct workload *host_workload(struct host *h, const char *user, const uint8_t mac[6],
			       const uint8_t device_mac[6]);
void host_remove(struct host *h, struct workload *w);

/* A machine of USER's, of which no libvirt knows: it is off, and has no device. */
struct machine *host_machine(struct host *h, const char *user, const char *name,
			     uint32_t memory_mib, uint32_t vcpus);
/* It has its place on the segment then, which takes workers; frames may have to wake it. */
void host_join(struct host *h, struct machine *m);

/* What the maps say. */
bool host_has_binding(struct host *h, uint32_t ifindex, uint16_t vid, const uint8_t mac[6],
		      uint64_t generation);
/* 0: no entry. */
uint32_t host_fdb_port(struct host *h, uint32_t segment, const uint8_t mac[6]);
/* Entries of the flood list; -1: none. */
int host_flood_count(struct host *h, uint32_t segment);

/* Run the loop until nothing is left to do for MS milliseconds. */
void host_settle(struct host *h, unsigned int ms);

#endif
