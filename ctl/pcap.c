/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does a dropped frame get into a file that tcpdump reads? */
#include "ctl/pcap.h"

#include <errno.h>
#include <string.h>

#define PCAP_MAGIC_NS 0xa1b23c4d
#define LINKTYPE_ETHERNET 1
#define SNAPLEN 65535
#define ADDRESSES_LEN (2 * SP_MAC_LEN) /* before the tag or the ethertype */
#define TAG_LEN 4

static uint8_t *put32(uint8_t *p, uint32_t n)
{
	memcpy(p, &n, sizeof(n));
	return p + sizeof(n);
}

static uint8_t *put16(uint8_t *p, uint16_t n)
{
	memcpy(p, &n, sizeof(n));
	return p + sizeof(n);
}

size_t pcap_header(uint8_t buf[PCAP_HEADER_SIZE])
{
	uint8_t *p = put32(buf, PCAP_MAGIC_NS);

	p = put16(p, 2);
	p = put16(p, 4);
	p = put32(p, 0);
	p = put32(p, 0);
	p = put32(p, SNAPLEN);
	p = put32(p, LINKTYPE_ETHERNET);
	return (size_t)(p - buf);
}

int pcap_record(const struct pcap_frame *f, uint8_t buf[PCAP_RECORD_MAX])
{
	/* below a whole pair of addresses there is no place for a tag */
	bool insert = f->vid && !f->has_outer_tag && f->caplen >= ADDRESSES_LEN;
	uint32_t caplen = (uint32_t)f->caplen + (insert ? TAG_LEN : 0);
	uint32_t len = f->len + (insert || f->has_outer_tag ? TAG_LEN : 0);
	size_t before = insert ? ADDRESSES_LEN : 0;
	uint8_t *p = buf;

	if (f->caplen > SP_EVENT_SNAP || f->vid > 0xfff)
		return -EINVAL;
	p = put32(p, (uint32_t)(f->time_ns / 1000000000));
	p = put32(p, (uint32_t)(f->time_ns % 1000000000));
	p = put32(p, caplen);
	p = put32(p, len < caplen ? caplen : len);
	memcpy(p, f->data, before);
	p += before;
	if (insert) {
		const uint8_t tag[TAG_LEN] = {0x81, 0x00, (uint8_t)(f->vid >> 8), (uint8_t)f->vid};

		memcpy(p, tag, TAG_LEN);
		p += TAG_LEN;
	}
	memcpy(p, f->data + before, f->caplen - before);
	p += f->caplen - before;
	return (int)(p - buf);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int pcap_unhex(const char *hex, uint8_t *buf, size_t max)
{
	size_t n = 0;

	for (; *hex; hex += 2) {
		int hi = digit(hex[0]), lo = hi < 0 ? -1 : digit(hex[1]);

		if (lo < 0 || n == max)
			return -EINVAL;
		buf[n++] = (uint8_t)(hi << 4 | lo);
	}
	return (int)n;
}

/* Did the program see the outer tag in the frame, and is it there? */
static bool has_outer_tag(const char *hook, const uint8_t *data, int n)
{
	if (strcmp(hook, "guard") != 0 || n < ADDRESSES_LEN + 2)
		return false;
	return (data[12] == 0x81 && data[13] == 0x00) || (data[12] == 0x88 && data[13] == 0xa8);
}

int pcap_frame_of_event(const json_t *event, int64_t offset_ns, uint8_t data[SP_EVENT_SNAP],
			struct pcap_frame *ret)
{
	const char *hex = json_string_value(json_object_get(event, "data"));
	const char *hook = json_string_value(json_object_get(event, "hook"));
	json_int_t time = json_integer_value(json_object_get(event, "time_ns"));
	json_int_t len = json_integer_value(json_object_get(event, "len"));
	json_int_t vid = json_integer_value(json_object_get(event, "vid"));
	int n = hex ? pcap_unhex(hex, data, SP_EVENT_SNAP) : -EINVAL;
	int64_t when;

	if (n < 0 || !hook || len < 0 || len > UINT32_MAX - TAG_LEN || vid < 0 || vid > 0xfff)
		return -EINVAL;
	if (__builtin_add_overflow((int64_t)time, offset_ns, &when) || when < 0)
		return -EINVAL;
	*ret = (struct pcap_frame){.time_ns = (uint64_t)when,
				   .data = data,
				   .caplen = (size_t)n,
				   .len = (uint32_t)len,
				   .vid = (uint16_t)vid,
				   .has_outer_tag = has_outer_tag(hook, data, n)};
	return 0;
}
