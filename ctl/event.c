/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened, in one line? */
#include "ctl/event.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/pcap.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/mac.h"

#define NS_PER_S 1000000000

static uint16_t get16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The network layer, as far as a line needs it. */
static void print_packet(FILE *f, uint16_t type, const unsigned char *p, size_t n)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	if (type == 0x0800 && n >= 20) {
		inet_ntop(AF_INET, p + 12, from, sizeof(from));
		inet_ntop(AF_INET, p + 16, to, sizeof(to));
		fprintf(f, " IPv4 %s > %s protocol %u", from, to, p[9]);
	} else if (type == 0x86dd && n >= 40) {
		inet_ntop(AF_INET6, p + 8, from, sizeof(from));
		inet_ntop(AF_INET6, p + 24, to, sizeof(to));
		fprintf(f, " IPv6 %s > %s next %u", from, to, p[6]);
	} else if (type == 0x0806 && n >= 28) {
		inet_ntop(AF_INET, p + 14, from, sizeof(from));
		inet_ntop(AF_INET, p + 24, to, sizeof(to));
		fprintf(f, " ARP %s %s %s %s", get16(p + 6) == 1 ? "who-has" : "reply from",
			get16(p + 6) == 1 ? to : from, get16(p + 6) == 1 ? "tell" : "to",
			get16(p + 6) == 1 ? from : to);
	} else {
		fprintf(f, " ethertype 0x%04x", type);
	}
}

char *event_frame_text(const unsigned char *data, size_t size)
{
	char dst[MAC_STRLEN], src[MAC_STRLEN];
	char *text = NULL;
	size_t n, offset = 14;
	FILE *f = open_memstream(&text, &n);
	uint16_t type;

	if (!f)
		text_oom();
	if (size < offset) {
		fprintf(f, "%zu bytes", size);
	} else {
		type = get16(data + 12);
		fprintf(f, "%s > %s", mac_format(data + 6, src), mac_format(data, dst));
		for (; (type == 0x8100 || type == 0x88a8) && size >= offset + 4; offset += 4) {
			fprintf(f, " tag 0x%04x %u", type, get16(data + offset) & 0xfffU);
			type = get16(data + offset + 2);
		}
		print_packet(f, type, data + offset, size - offset);
	}
	if (fclose(f) != 0)
		text_oom();
	return text;
}

/* What was dropped, or logged by a rule; rule 0 is the default. */
static void print_frame(FILE *f, const json_t *e)
{
	const char *hex = json_string_value(json_object_get(e, "data"));
	_cleanup_free_
	char *frame = NULL;
	uint8_t data[SP_EVENT_SNAP];
	int n = hex ? pcap_unhex(hex, data, sizeof(data)) : 0;

	frame = event_frame_text(data, n > 0 ? (size_t)n : 0);
	fprintf(f, "%s", field_text(e, "type"));
	if (json_object_get(e, "rule"))
		fprintf(f, " rule %" PRId64, field_int(e, "rule"));
	fprintf(f, " %s (%s) %s port %" PRId64 " segment %" PRId64, field_text(e, "reason"),
		field_text(e, "hook"), field_text(e, "device"), field_int(e, "port"),
		field_int(e, "segment"));
	if (field_int(e, "vid"))
		fprintf(f, " vid %" PRId64, field_int(e, "vid"));
	fprintf(f, " len %" PRId64 ": %s", field_int(e, "len"), frame);
}

static void print_session(FILE *f, const json_t *e)
{
	const json_t *s = json_object_get(e, "session");

	if (!json_is_object(s)) {
		fprintf(f, " session %" PRId64, (int64_t)json_integer_value(s));
		return;
	}
	fprintf(f, " session %" PRId64 " user %s cn '%s' instance %s from %s segment %" PRId64,
		field_int(s, "id"), field_text(s, "user"), field_text(s, "common_name"),
		field_text(s, "instance"), field_text(s, "remote"), field_int(s, "segment"));
	if (field_int(s, "vid"))
		fprintf(f, " vid %" PRId64, field_int(s, "vid"));
}

/* Fields that a kind of event may have, each after its name. */
static void print_fields(FILE *f, const json_t *e)
{
	static const char *const texts[] = {"name", "state", "want", "mac", "reason"};

	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++) {
		if (json_is_string(json_object_get(e, texts[i])))
			fprintf(f, " %s %s", texts[i], field_text(e, texts[i]));
	}
	if (field_int(e, "vid"))
		fprintf(f, " vid %" PRId64, field_int(e, "vid"));
}

bool event_is_frame(const json_t *e)
{
	const char *type = field_text(e, "type");

	return strcmp(type, "drop") == 0 || strcmp(type, "log") == 0;
}

char *event_text(const json_t *e)
{
	const char *type = field_text(e, "type");
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		text_oom();
	if (event_is_frame(e)) {
		print_frame(f, e);
	} else if (strcmp(type, "lost") == 0) {
		fprintf(f, "lost %" PRId64 " events: this reader is too slow",
			field_int(e, "count"));
	} else {
		fprintf(f, "%s", type);
		if (json_object_get(e, "session"))
			print_session(f, e);
		print_fields(f, e);
	}
	if (fclose(f) != 0)
		text_oom();
	return text;
}

struct timespec event_time(const json_t *e, int64_t offset_ns, const struct timespec *now)
{
	const json_t *time = json_object_get(e, "time_ns");
	int64_t ns;

	if (!json_is_integer(time) ||
	    __builtin_add_overflow((int64_t)json_integer_value(time), offset_ns, &ns) || ns < 0)
		return *now;
	return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}
