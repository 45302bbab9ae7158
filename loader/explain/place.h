/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where does the frame that is asked about come from, and whom is it for? */
#ifndef SALLYPORT_LOADER_EXPLAIN_PLACE_H
#define SALLYPORT_LOADER_EXPLAIN_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/addresses.h"
#include "sallyport/abi.h"
#include "sallyport/limits.h"

struct daemon;
struct member;

#define PLACE_NAME_MAX (2 * SP_NAME_MAX + 32)

struct place {
	char name[PLACE_NAME_MAX]; /* "alice/web", "alice (session 7)" */
	enum sp_port_kind kind;
	uint32_t port, segment, ifindex; /* ifindex 0: it has no device at the moment */
	uint16_t vid;
	uint8_t mac[SP_MAC_LEN];
	struct addresses addresses; /* as far as they are known */
	char *policy; /* a machine's: its text, to be freed; NULL: it has none, or memory is gone */
};

/*
 * TEXT: "USER/NAME", a machine or a workload; "USER", that user's oldest session with a MAC
 * address; an IP address that a port of SEGMENT is known to have (SEGMENT 0: no address will do).
 * On failure *RET_WHY, to be freed, says what there is instead: -ENOENT, -ENODEV (it has no MAC
 * address yet).
 */
int place_find(struct daemon *d, const char *text, uint32_t segment, struct place *ret,
	       char **ret_why);

void place_clear(struct place *p);

/* Whose port is it, in SEGMENT? "port 7" where nobody has it any more. Returns RET. */
const char *place_name_of(struct daemon *d, uint32_t segment, uint32_t port,
			  char ret[PLACE_NAME_MAX]);

#endif
