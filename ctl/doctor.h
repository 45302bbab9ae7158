/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The findings of `sallyport doctor`, and its parts. Nothing here changes anything. */
#ifndef SALLYPORT_CTL_DOCTOR_H
#define SALLYPORT_CTL_DOCTOR_H

#include <jansson.h>

#include "ctl/ctl.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
	const struct ctl *ctl;
	const char *config; /* the daemon's configuration file */
	json_t *findings;   /* {"level", "what", "finding", "advice"?} in order */
	bool failed;	    /* a DOCTOR_FAIL is among them */
	json_t *status;	    /* the daemon's, once it was asked; NULL: it does not answer */
};

/* Add a finding. ADVICE: what to do; NULL: nothing. */
void doctor_add(struct doctor *d, enum doctor_level level, const char *what, const char *advice,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Kernel: BTF, program and map types, helpers, TCX, JIT. */
void doctor_kernel(struct doctor *d);
/* The host: bpffs, /dev/net/tun, clock, socket, store. */
void doctor_host(struct doctor *d);
/* The daemon: does it answer, is it ours, has it its capabilities, are its instances well? */
void doctor_daemon(struct doctor *d);
/* OpenVPN's version, and what `sallyportd --check` says of the configuration. */
void doctor_openvpn(struct doctor *d);

/*
 * Run PATH with ARGV, no shell, standard input empty and both outputs into BUF (cut at SIZE - 1,
 * ended by NUL), for at most TIMEOUT_MS. Returns the exit code, or a negative errno: -ETIMEDOUT,
 * -ECHILD (ended by a signal), ...
 */
int doctor_run(const char *path, const char *const *argv, char *buf, size_t size, int timeout_ms);

/* The program NAME in DIRS ("a:b"), as a path in RET. -ENOENT. */
int doctor_find(const char *name, const char *dirs, char *ret, size_t size);

/* "OpenVPN 2.6.14 x86_64-..." -> 2, 6. -EINVAL. */
int doctor_openvpn_version(const char *text, unsigned int *ret_major, unsigned int *ret_minor);

#endif
