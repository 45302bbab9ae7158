/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames as a capture file: pcap with nanoseconds, in this machine's byte order (the magic number
 * tells), LINKTYPE_ETHERNET. A frame whose outer tag the kernel had taken off gets it back.
 */
#ifndef SALLYPORT_CTL_PCAP_H
#define SALLYPORT_CTL_PCAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/abi.h"

#define PCAP_HEADER_SIZE 24
#define PCAP_RECORD_MAX (16 + SP_EVENT_SNAP + 4)

struct pcap_frame {
	uint64_t time_ns; /* since the epoch */
	const uint8_t *data;
	size_t caplen;	    /* of data; at most SP_EVENT_SNAP */
	uint32_t len;	    /* of the frame as it was, outer tag not counted */
	uint16_t vid;	    /* of the outer tag; 0: none */
	bool has_outer_tag; /* data has it already: XDP saw it (SP_HOOK_GUARD) */
};

/* The start of a file. Returns its size. */
size_t pcap_header(uint8_t buf[PCAP_HEADER_SIZE]);

/* One record. Returns its size, or -EINVAL. */
int pcap_record(const struct pcap_frame *f, uint8_t buf[PCAP_RECORD_MAX]);

/* "0a1b...": pairs of hex digits, at most MAX bytes. Returns their number, or -EINVAL. */
int pcap_unhex(const char *hex, uint8_t *buf, size_t max);

/*
 * The frame of a drop event (docs/control.md); DATA is room for its bytes. OFFSET_NS is what is
 * added to the event's monotonic time to get the time of day. -EINVAL: not such an event.
 */
int pcap_frame_of_event(const json_t *event, int64_t offset_ns, uint8_t data[SP_EVENT_SNAP],
			struct pcap_frame *ret);

#endif
