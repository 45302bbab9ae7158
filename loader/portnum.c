/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which port numbers are free? A bitmap and a rotating start: what was freed last is reused last.
 */
#include "portnum.h"

#include <errno.h>
#include <stdlib.h>

enum use { FREE, USED, RESERVED };

struct portnum {
	uint32_t max, next;
	uint8_t used[]; /* enum use */
};

struct portnum *portnum_new(uint32_t max)
{
	struct portnum *p = calloc(1, sizeof(*p) + max * sizeof(p->used[0]));

	if (p) {
		p->max = max;
		p->next = 1;
	}
	return p;
}

struct portnum *portnum_free(struct portnum *p)
{
	free(p);
	return NULL;
}

uint32_t portnum_get(struct portnum *p)
{
	for (uint32_t i = 1; i < p->max; i++) {
		uint32_t n = p->next;

		p->next = n + 1 < p->max ? n + 1 : 1;
		if (p->used[n] == FREE) {
			p->used[n] = USED;
			return n;
		}
	}
	return 0;
}

int portnum_take(struct portnum *p, uint32_t n)
{
	if (n == 0 || n >= p->max)
		return -ERANGE;
	if (p->used[n] == USED)
		return -EEXIST;
	p->used[n] = USED;
	return 0;
}

void portnum_put(struct portnum *p, uint32_t n)
{
	if (n > 0 && n < p->max)
		p->used[n] = FREE;
}

void portnum_reserve(struct portnum *p, uint32_t n)
{
	if (n > 0 && n < p->max && p->used[n] == FREE)
		p->used[n] = RESERVED;
}

void portnum_release(struct portnum *p)
{
	for (uint32_t n = 1; n < p->max; n++)
		if (p->used[n] == RESERVED)
			p->used[n] = FREE;
}
