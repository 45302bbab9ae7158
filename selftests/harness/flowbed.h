/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A segment for the tests of the firewall: two machines and a session, and IP packets between any
 * two of them by test runs of the real programs. There are no devices: each end is a MAC address at
 * the loopback device.
 */
#ifndef SALLYPORT_SELFTESTS_FLOWBED_H
#define SALLYPORT_SELFTESTS_FLOWBED_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane.h"

#define FLOWBED_SEGMENT 9
#define FLOWBED_SLOT 1
#define FLOWBED_PORTS 64

/* Ends; but for the last, also their port numbers. */
enum flowbed_end {
	BED_NOBODY,
	BED_ONE,
	BED_TWO,
	BED_SESSION,
	BED_OTHER,	   /* the other user's machine */
	BED_OTHER_SESSION, /* and session */
	BED_FAR, /* a session whose address is to TWO's as SESSION's is to ONE's, bit by bit */
	_BED_ENDS
};

struct flowbed {
	struct dataplane *dp;
	int prog[_BED_ENDS]; /* what judges the frames of an end */
	uint64_t drops[SP_REASON_SLOTS];
};

/* FLOWS: what the segment may have. Prints what went wrong; negative errno. Needs net_isolate. */
int flowbed_open(struct flowbed *b, uint32_t flows);
/* One whose frames take no short cut (bpf/fast.h). */
int flowbed_open_long(struct flowbed *b, uint32_t flows);
void flowbed_close(struct flowbed *b);

/* Begin the slot anew: no flows, other limits. */
int flowbed_reset(struct flowbed *b, const struct dataplane_budget *budget,
		  uint64_t pick_up_until_ns);

/*
 * The packet IP of N bytes from one end to the other: 0, it was sent on; 1: it was not; a negative
 * errno: it could not be tried.
 */
int flowbed_send(struct flowbed *b, enum flowbed_end from, enum flowbed_end to, const uint8_t *ip,
		 size_t n);

/*
 * Another user, in a segment of his own with FLOWS: begun, and a UDP packet of his from a session
 * to his machine, number NUMBER of a flow of its own.
 */
int flowbed_other(struct flowbed *b, uint32_t flows);
int flowbed_send_other(struct flowbed *b, uint32_t number);

/* Why was one dropped since the last call? SP_R_NONE: none was. */
enum sp_reason flowbed_reason(struct flowbed *b);

/* How many flows there are in the tables, counted one by one; -1: they could not be read. */
long flowbed_count(struct flowbed *b);

#endif
