/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which flows are asked for, and what is one in words? docs/control.md has the fields. */
#ifndef SALLYPORT_LOADER_MACHINE_FLOW_FILTER_H
#define SALLYPORT_LOADER_MACHINE_FLOW_FILTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane.h"

/* An address, IPv4 as ::ffff:a.b.c.d, and how many of its bits count; 0: none was given. */
struct flow_prefix {
	uint8_t addr[16];
	unsigned int bits;
	bool given;
};

#define FLOW_ANY (-1)

struct flow_filter {
	uint32_t machine;		  /* port number of one that is at an end; 0: any */
	struct flow_prefix any, from, to; /* at either end; the originator's; the other */
	int any_port, from_port, to_port; /* likewise; FLOW_ANY */
	int proto, state;		  /* IANA's number; enum sp_flow_state; FLOW_ANY */
	int family;			  /* 4, 6, FLOW_ANY */
};

/* A flow as it was found. */
struct flow_found {
	struct dataplane_flow f;
	int64_t left_ms; /* until it ends, if nothing comes, on its owner's clock */
	bool frozen;	 /* which stands */
};

/*
 * Take the arguments "protocol", "state", "family", "address", "source", "destination", "port",
 * "source_port" and "destination_port". -EINVAL: *ret_field is at fault, *ret_expected says what it
 * should be. *RET_GIVEN: there was one at all.
 */
int flow_filter_take(const json_t *args, struct flow_filter *ret, bool *ret_given,
		     const char **ret_field, const char **ret_expected);
bool flow_matches(const struct flow_filter *filter, const struct dataplane_flow *f);

/* Which end of the key, 0 or 1, has begun it? */
unsigned int flow_originator(const struct dataplane_flow *f);
/* The machine at END of the key; 0: another port. */
uint32_t flow_port_at(const struct dataplane_flow *f, unsigned int end);
/* What its life depends on, from entries of `machines`. False: it is over. */
bool flow_look(struct dataplane *dp, const struct dataplane_flow *f, struct flow_found *ret);

/* "established"; "?" for a number that is none. */
const char *flow_state_name(unsigned int state);
/* "tcp"; "47" for one that has no name here. */
const char *flow_proto_name(uint8_t proto, char buf[4]);
/* Everything but whose it is. */
json_t *flow_view(const struct flow_found *found);

#endif
