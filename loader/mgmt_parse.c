// SPDX-License-Identifier: GPL-2.0-or-later
/* What does OpenVPN say on its management socket? See mgmt_parse.h. */
#include "mgmt_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"

#define CLIENT_LIST "CLIENT_LIST"
#define HEADER_CLIENT_LIST "HEADER\t" CLIENT_LIST "\t"
#define SUCCESS_PID "SUCCESS: pid="

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Digits only: no sign, no space, no leading zero. */
static int parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s || (s[0] == '0' && s[1]))
		return -EBADMSG;
	for (; *s; s++) {
		unsigned int digit = (unsigned int)*s - '0';

		if (digit > 9 || v > (max - digit) / 10)
			return -EBADMSG;
		v = v * 10 + digit;
	}
	*ret = v;
	return 0;
}

/* --- lines --- */

/* End what is in the buffer. NULL: it is not text. */
static char *line_finish(struct mgmt_lines *l)
{
	size_t n = l->used;
	bool bad = l->skipping;

	l->used = 0;
	l->skipping = false;
	if (n > 0 && l->line[n - 1] == '\r')
		n--;
	for (size_t i = 0; i < n && !bad; i++)
		bad = ((unsigned char)l->line[i] < ' ' && l->line[i] != '\t') || l->line[i] == 127;
	if (bad) {
		l->skipped++;
		return NULL;
	}
	l->line[n] = '\0';
	return l->line;
}

char *mgmt_lines_next(struct mgmt_lines *l, const char **data, size_t *size)
{
	while (*size > 0) {
		const char *end = memchr(*data, '\n', *size);
		size_t n = end ? (size_t)(end - *data) : *size;
		char *line;

		if (n >= sizeof(l->line) - l->used)
			l->skipping = true; /* one byte is kept for the NUL */
		if (!l->skipping) {
			memcpy(l->line + l->used, *data, n);
			l->used += n;
		}
		*data += n;
		*size -= n;
		if (!end)
			return NULL;
		++*data;
		--*size;
		line = line_finish(l);
		if (line)
			return line;
	}
	return NULL;
}

enum mgmt_line_kind mgmt_line_classify(const char *line)
{
	static const struct {
		const char *prefix;
		enum mgmt_line_kind kind;
	} table[] = {
		{">", MGMT_LINE_NOTIFY},
		{"SUCCESS: ", MGMT_LINE_SUCCESS},
		{"ERROR: ", MGMT_LINE_ERROR},
		{HEADER_CLIENT_LIST, MGMT_LINE_HEADER},
		{CLIENT_LIST "\t", MGMT_LINE_CLIENT},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++)
		if (has_prefix(line, table[i].prefix))
			return table[i].kind;
	return strcmp(line, "END") == 0 ? MGMT_LINE_END : MGMT_LINE_OTHER;
}

int mgmt_parse_pid(const char *line, int64_t *ret)
{
	uint64_t v;

	/* 2^22 is the kernel's PID_MAX_LIMIT. */
	if (!has_prefix(line, SUCCESS_PID) ||
	    parse_u64(line + strlen(SUCCESS_PID), 1U << 22, &v) < 0 || v == 0)
		return -EBADMSG;
	*ret = (int64_t)v;
	return 0;
}

/* --- the client list --- */

/* Cut LINE at its tabs. Returns the number of fields, 0 where there are more than fit. */
static unsigned int split(char *line, char *fields[MGMT_FIELDS_MAX])
{
	unsigned int n = 0;

	for (char *s = line; s;) {
		if (n == MGMT_FIELDS_MAX)
			return 0;
		fields[n++] = strsep(&s, "\t");
	}
	return n;
}

int mgmt_parse_header(char *line, struct mgmt_columns *ret)
{
	struct mgmt_columns c = {};
	const struct {
		const char *name;
		unsigned int *column;
	} wanted[] = {
		{"Common Name", &c.common_name},
		{"Real Address", &c.real_address},
		{"Connected Since (time_t)", &c.time_unix},
		{"Username", &c.username},
		{"Client ID", &c.cid},
	};
	char *fields[MGMT_FIELDS_MAX];
	unsigned int n;

	if (!has_prefix(line, HEADER_CLIENT_LIST))
		return -EBADMSG;
	n = split(line, fields);
	/* A CLIENT_LIST line has the same fields without the word HEADER. */
	for (unsigned int i = 2; i < n; i++)
		for (size_t k = 0; k < SP_ARRAY_SIZE(wanted); k++)
			if (strcmp(fields[i], wanted[k].name) == 0) {
				if (*wanted[k].column)
					return -EBADMSG; /* twice: which one is it? */
				*wanted[k].column = i - 1;
			}
	for (size_t k = 0; k < SP_ARRAY_SIZE(wanted); k++)
		if (!*wanted[k].column)
			return -EBADMSG;
	c.count = n - 1;
	*ret = c;
	return 0;
}

static int copy(char *to, size_t size, const char *from)
{
	size_t n = strnlen(from, size);

	if (n == size)
		return -EBADMSG;
	memcpy(to, from, n + 1);
	return 0;
}

int mgmt_parse_client(char *line, const struct mgmt_columns *columns, struct mgmt_client *ret)
{
	struct mgmt_client c = {};
	char *fields[MGMT_FIELDS_MAX];
	uint64_t time_unix;

	/* One field too many means that a name holds a tab: then no field can be trusted. */
	if (!columns->count || split(line, fields) != columns->count ||
	    strcmp(fields[0], CLIENT_LIST) != 0)
		return -EBADMSG;
	if (copy(c.common_name, sizeof(c.common_name), fields[columns->common_name]) < 0 ||
	    copy(c.username, sizeof(c.username), fields[columns->username]) < 0 ||
	    mgmt_parse_address(fields[columns->real_address], c.ip, &c.port) < 0 ||
	    parse_u64(fields[columns->time_unix], INT64_MAX, &time_unix) < 0 ||
	    parse_u64(fields[columns->cid], UINT64_MAX, &c.cid) < 0)
		return -EBADMSG;
	c.time_unix = (int64_t)time_unix;
	*ret = c;
	return 0;
}

/* --- addresses --- */

/* IP of N bytes at S into its canonical form. */
static int canonical(const char *s, size_t n, bool v4, bool v6, char ret[SP_ADDR_STRLEN])
{
	char buf[INET6_ADDRSTRLEN];
	struct in6_addr a6;
	struct in_addr a4;

	if (n == 0 || n >= sizeof(buf))
		return -EBADMSG;
	memcpy(buf, s, n);
	buf[n] = '\0';
	if (v4 && inet_pton(AF_INET, buf, &a4) == 1)
		return inet_ntop(AF_INET, &a4, ret, SP_ADDR_STRLEN) ? 0 : -EBADMSG;
	if (!v6 || inet_pton(AF_INET6, buf, &a6) != 1)
		return -EBADMSG;
	if (IN6_IS_ADDR_V4MAPPED(&a6))
		return inet_ntop(AF_INET, &a6.s6_addr[12], ret, SP_ADDR_STRLEN) ? 0 : -EBADMSG;
	return inet_ntop(AF_INET6, &a6, ret, SP_ADDR_STRLEN) ? 0 : -EBADMSG;
}

static const char *skip_protocol(const char *s)
{
	static const char *const protocols[] = {"udp",	      "udp4",	     "udp6",
						"tcp",	      "tcp4",	     "tcp6",
						"tcp-server", "tcp4-server", "tcp6-server"};

	for (size_t i = 0; i < SP_ARRAY_SIZE(protocols); i++) {
		size_t n = strlen(protocols[i]);

		if (strncmp(s, protocols[i], n) == 0 && s[n] == ':')
			return s + n + 1;
	}
	return s;
}

int mgmt_parse_address(const char *s, char ret_ip[SP_ADDR_STRLEN], uint16_t *ret_port)
{
	char ip[SP_ADDR_STRLEN] = {};
	const char *colon;
	uint64_t port = 0;
	int r;

	s = skip_protocol(s);
	colon = strrchr(s, ':');
	if (s[0] == '[') {
		if (!colon || colon - s < 2 || colon[-1] != ']')
			return -EBADMSG;
		r = canonical(s + 1, (size_t)(colon - s) - 2, false, true, ip);
	} else if (canonical(s, strlen(s), true, true, ip) >= 0) {
		colon = NULL; /* the address alone */
		r = 0;
	} else {
		if (!colon)
			return -EBADMSG;
		r = canonical(s, (size_t)(colon - s), true, true, ip);
	}
	if (r < 0)
		return r;
	if (colon && (parse_u64(colon + 1, UINT16_MAX, &port) < 0 || port == 0))
		return -EBADMSG;
	memcpy(ret_ip, ip, SP_ADDR_STRLEN);
	*ret_port = (uint16_t)port;
	return 0;
}
