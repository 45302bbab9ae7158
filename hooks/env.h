/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What OpenVPN hands to a hook: environment, arguments, the file with the login. Every byte of it
 * may come from a client, so nothing gets past here without its length and form checked (I4).
 *
 * Strings in the results point into what was read. On failure a function returns -ENOENT (not
 * there), -ENAMETOOLONG or -EINVAL and, where it takes RET_BAD, the name of what was wrong.
 */
#ifndef SALLYPORT_HOOKS_ENV_H
#define SALLYPORT_HOOKS_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/limits.h"

/* Room for the file that auth-user-pass-verify via-file names: two lines. */
#define HOOK_LOGIN_SIZE (SP_NAME_MAX + SP_PASSWORD_MAX)

/* Our own options, before what OpenVPN appends. */
struct hook_args {
	const char *instance; /* NULL only with help or version */
	const char *socket;   /* NULL: the default */
	bool help;
	bool version;
	int rest_count; /* what OpenVPN appended */
	const char *const *rest;
};

/* One session as client-connect, learn-address and client-disconnect name it. */
struct hook_session {
	const char *common_name;
	const char *username; /* NULL: none, the certificate alone */
	const char *trusted_ip;
	uint16_t trusted_port;
	int64_t time_unix;
	int64_t daemon_pid;
};

/* Who wants in. */
struct hook_login {
	const char *username;
	const char *password;
	const char *common_name;
	const char *untrusted_ip; /* NULL: not known */
	uint16_t untrusted_port;  /* 0: not known */
	int64_t daemon_pid;
};

enum hook_event { HOOK_ADD, HOOK_UPDATE, HOOK_DELETE };

/* What learn-address is called with. */
struct hook_learn {
	enum hook_event event;
	uint8_t mac[6];
	uint16_t vid;
};

/* The value of NAME in ENVP, unchecked; NULL: not there. */
const char *env_get(const char *const *envp, const char *name);

/* A text shorter than MAX, without control characters, not empty. */
int env_text(const char *const *envp, const char *name, size_t max, const char **ret);

/* A decimal number from MIN to MAX: digits only. */
int env_number(const char *const *envp, const char *name, int64_t min, int64_t max, int64_t *ret);

/* An IPv4 or IPv6 address: NAME, or else NAME6, as OpenVPN calls the two (trusted_ip). */
int env_address(const char *const *envp, const char *name, const char *name6, const char **ret);

int env_session(const char *const *envp, struct hook_session *ret, const char **ret_bad);

/*
 * Everything of a login but user name and password, which the programs get from a file and the
 * plugin from its environment. Without a certificate's name the user's name stands for it.
 */
int env_login(const char *const *envp, struct hook_login *login, const char **ret_bad);

/* May NAME be a user's name: not empty, shorter than SP_NAME_MAX, no control characters? */
int hook_check_username(const char *name);

/* An instance's name: letters, digits, '.', '_', '@' and '-', not starting with '-' or '.'. */
int hook_check_instance(const char *name);

/* Our options of ARGV, argv[0] being the program. RET_BAD: the argument at fault. */
int args_parse(int argc, const char *const *argv, struct hook_args *ret, const char **ret_bad);

/* "add|update MAC@VID CN" or "delete MAC@VID". */
int args_learn(int count, const char *const *args, struct hook_learn *ret, const char **ret_bad);

/* A file's whole text, SIZE bytes: two lines. TEXT needs room for SIZE + 1 and is cut up. */
int login_parse(char *text, size_t size, const char **ret_username, const char **ret_password);

/* Read the file PATH into BUF, which the result points into and the caller wipes. */
int login_read(const char *path, char buf[HOOK_LOGIN_SIZE + 1], const char **ret_username,
	       const char **ret_password);

#endif
