/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An OpenVPN server process and its tap: made by us, checked, watched for its end. */
#ifndef SALLYPORT_LOADER_INSTANCE_H
#define SALLYPORT_LOADER_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "link.h"
#include "log.h"
#include "mgmt.h"
#include "vid.h"

struct daemon;

enum instance_state {
	INSTANCE_REFUSED, /* its OpenVPN configuration or its tap is not fit: `reason` */
	INSTANCE_IDLE,	  /* OpenVPN does not have the tap open */
	INSTANCE_UP,
};

/* OpenVPN processes that are gone, and whose late messages are not to be believed. */
#define INSTANCE_RETIRED 4

struct instance {
	struct daemon *daemon;
	char name[SP_INSTANCE_MAX];
	struct config_instance *config; /* of the daemon's configuration */
	enum instance_state state;
	char *reason;
	struct link_info link;
	uint32_t port; /* the device's own port number */
	struct vids *vids;
	struct mgmt *mgmt;
	int64_t openvpn_pid; /* the last that a hook or the management told; 0: none yet */
	struct {
		int64_t pid;
		uint64_t until_us;
	} retired[INSTANCE_RETIRED];
	unsigned int next_retired;
	sd_event_source *recheck; /* of clients that were too young to be judged */
	unsigned int n_sessions;
	struct log_limit refusals; /* of MACs without a session */
	struct instance *prev, *next;
};

/*
 * Check the OpenVPN configuration, make the tap, attach, bring it up (D2). An instance that is not
 * fit exists in the state refused. -ENOMEM and the like only.
 */
int instance_new(struct daemon *d, struct config_instance *config, struct instance **ret);
/* Refused before: look again whether it is fit now. */
int instance_retry(struct instance *i);
/* The tap and its programs stay, down and closed where REMOVE is set. */
void instance_free(struct instance *i, bool remove);

struct instance *instance_find(struct daemon *d, const char *name);

/* Start the management client: after reconcile, when sessions are known. */
int instance_start(struct instance *i);

/*
 * A hook told OpenVPN's pid: another than before means that the old process's sessions are gone.
 * False: the hook itself is of a process that is gone, and came late.
 */
bool instance_saw_pid(struct instance *i, int64_t pid);

/* A change of one of our links. INFO NULL: look at everything again. */
void instance_link_changed(struct daemon *d, const struct link_info *info, bool gone);

const char *instance_state_name(enum instance_state state);

#endif
