// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Can anything on OpenVPN's management socket harm the daemon? The first byte says how the rest is
 * cut into pieces; each line goes through every parser.
 */
#include <stdlib.h>
#include <string.h>

#include "mgmt_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* What was taken must mean the same when it is read again. */
static void address(const char *s)
{
	char ip[SP_ADDR_STRLEN], again[SP_ADDR_STRLEN];
	uint16_t port, none;

	if (mgmt_parse_address(s, ip, &port) < 0)
		return;
	require(memchr(ip, '\0', sizeof(ip)) != NULL);
	require(mgmt_parse_address(ip, again, &none) == 0);
	require(none == 0 && strcmp(ip, again) == 0);
}

static void one_line(char *line, struct mgmt_columns *columns)
{
	struct mgmt_columns c;
	struct mgmt_client client;
	int64_t pid;

	require(strlen(line) < MGMT_LINE_MAX);
	require(!strpbrk(line, "\n\001\033\177"));
	address(line);
	if (mgmt_parse_pid(line, &pid) == 0)
		require(pid > 0);
	switch (mgmt_line_classify(line)) {
	case MGMT_LINE_HEADER:
		if (mgmt_parse_header(line, &c) < 0)
			break;
		require(c.count <= MGMT_FIELDS_MAX && c.cid < c.count && c.username < c.count &&
			c.common_name < c.count && c.time_unix < c.count &&
			c.real_address < c.count);
		*columns = c;
		break;
	case MGMT_LINE_CLIENT:
		if (mgmt_parse_client(line, columns, &client) < 0)
			break;
		require(memchr(client.common_name, '\0', sizeof(client.common_name)) != NULL);
		require(memchr(client.username, '\0', sizeof(client.username)) != NULL);
		require(client.time_unix >= 0);
		address(client.ip);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mgmt_columns columns = {};
	struct mgmt_lines *lines;
	size_t step;

	if (size == 0)
		return 0;
	step = data[0] ? data[0] : 4096;
	data++;
	size--;
	lines = calloc(1, sizeof(*lines));
	require(lines != NULL);
	while (size > 0) {
		size_t n = size < step ? size : step;
		/* Of the very size, so that a read beyond it is seen. */
		char *piece = malloc(n);
		const char *p = piece;
		size_t left = n;
		char *line;

		require(piece != NULL);
		memcpy(piece, data, n);
		while ((line = mgmt_lines_next(lines, &p, &left)))
			one_line(line, &columns);
		require(left == 0 && p == piece + n);
		free(piece);
		data += n;
		size -= n;
	}
	free(lines);
	return 0;
}
