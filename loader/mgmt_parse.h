/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does OpenVPN say on its management socket? Lines out of a stream of bytes, and the few
 * forms of them that we read. Everything is bounded, nothing is believed that is not exactly of
 * the form expected.
 */
#ifndef SALLYPORT_LOADER_MGMT_PARSE_H
#define SALLYPORT_LOADER_MGMT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mgmt.h"

/* A CLIENT_LIST line of OpenVPN 2.6 is below 600 bytes; what is longer is skipped. */
#define MGMT_LINE_MAX 2048

struct mgmt_lines {
	char line[MGMT_LINE_MAX];
	size_t used;
	bool skipping;	  /* the rest of a line that was too long */
	uint64_t skipped; /* lines too long, or with control characters */
};

/*
 * Take bytes from *DATA, of which there are *SIZE, up to the end of one line; *DATA and *SIZE are
 * advanced. Returns the line without its end, valid until the next call, or NULL: all was taken
 * and no line is complete.
 */
char *mgmt_lines_next(struct mgmt_lines *l, const char **data, size_t *size);

enum mgmt_line_kind {
	MGMT_LINE_OTHER,
	MGMT_LINE_NOTIFY,  /* ">...": something happened; the banner too */
	MGMT_LINE_SUCCESS, /* the answer to a command of one line */
	MGMT_LINE_ERROR,
	MGMT_LINE_HEADER, /* of the client list */
	MGMT_LINE_CLIENT,
	MGMT_LINE_END, /* of an answer of many lines */
};

enum mgmt_line_kind mgmt_line_classify(const char *line);

/* "SUCCESS: pid=1234". -EBADMSG. */
int mgmt_parse_pid(const char *line, int64_t *ret);

/* Where the fields that we want are: OpenVPN says it in a HEADER line, which may grow. */
#define MGMT_FIELDS_MAX 32

struct mgmt_columns {
	unsigned int count; /* fields of a CLIENT_LIST line, its name included; 0: not known yet */
	unsigned int common_name, real_address, time_unix, username, cid;
};

/* "HEADER\tCLIENT_LIST\tCommon Name\t...". LINE is cut up. -EBADMSG: a field that we want is
 * missing. */
int mgmt_parse_header(char *line, struct mgmt_columns *ret);

/* "CLIENT_LIST\t...". LINE is cut up. -EBADMSG. */
int mgmt_parse_client(char *line, const struct mgmt_columns *columns, struct mgmt_client *ret);

/*
 * "192.0.2.1:1194", "[2001:db8::1]:1194", "2001:db8:0:0:0:0:0:1:1194", or an address alone, which
 * is what OpenVPN 2.6 prints for IPv6: port 0. OpenVPN 2.7's "udp4:" and the like may precede it.
 * The address is written back in its one canonical form, IPv4 out of ::ffff:0:0/96. -EBADMSG.
 */
int mgmt_parse_address(const char *s, char ret_ip[SP_ADDR_STRLEN], uint16_t *ret_port);

#endif
