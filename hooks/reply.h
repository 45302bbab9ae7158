/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's answers, checked: what is not exactly as docs/control.md has it is -EBADMSG, and a
 * caller takes that for a refusal (I4).
 */
#ifndef SALLYPORT_HOOKS_REPLY_H
#define SALLYPORT_HOOKS_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define REASON_MAX 160 /* of a text for the client, with NUL */

/* A configuration for one client: lines, bytes of a line (OpenVPN's own limit is 256). */
#define CLIENT_CONFIG_LINES 32
#define CLIENT_CONFIG_LINE_MAX 256

enum auth_result { AUTH_ACCEPT, AUTH_REJECT, AUTH_RETRY };

struct auth_answer {
	enum auth_result result;
	int backoff; /* seconds, with AUTH_RETRY */
	char reason[REASON_MAX];
};

struct connect_answer {
	bool pending; /* nothing else is set: the answer follows */
	bool accept;
	char *config; /* with accept: checked lines, each with its newline; the caller's to free */
	char reason[REASON_MAX];
};

struct learn_answer {
	bool allow;
	bool session; /* refused: for every MAC that the session has not yet */
	uint32_t retry_ms;
	char reason[REASON_MAX];
};

int reply_auth(const json_t *reply, struct auth_answer *ret);
int reply_connect(const json_t *reply, struct connect_answer *ret);
int reply_learn(const json_t *reply, struct learn_answer *ret);

/* One line of printable ASCII, at most REASON_MAX: what OpenVPN shows to the client. */
void reason_copy(char ret[REASON_MAX], const char *text);

/*
 * Is every line of CONFIG one of: vlan-pvid N, ifconfig-push ADDRESS NETMASK, ifconfig-ipv6-push
 * ADDRESS/BITS [ADDRESS], push "TEXT"? At most one vlan-pvid, and nothing that OpenVPN's parser
 * could read in another way. -EBADMSG.
 */
int client_config_check(const char *config);

#endif
