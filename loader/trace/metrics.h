/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon in numbers, for Prometheus: docs/metrics.md. Counted where things happen, put together
 * when somebody asks.
 */
#ifndef SALLYPORT_LOADER_METRICS_H
#define SALLYPORT_LOADER_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct daemon;
struct metrics;

int metrics_new(struct daemon *d, struct metrics **ret);
/* Whoever still waits is told that there is nothing. */
struct metrics *metrics_free(struct metrics *m);

/* What is counted as it happens. */
enum metrics_event {
	METRICS_AUTH_ACCEPT,
	METRICS_AUTH_REJECT,
	METRICS_AUTH_RETRY,
	METRICS_CONNECT_ACCEPT,
	METRICS_CONNECT_REFUSE,
	METRICS_MAC_ALLOW,
	METRICS_MAC_REFUSE,
	METRICS_STORE_ERROR, /* a call of the store that failed */
	_METRICS_EVENTS,
};
/* M may be NULL. */
void metrics_note(struct metrics *m, enum metrics_event event);

/*
 * PORT, of KIND (enum sp_port_kind), is about to be given back: what went through it stays in the
 * sums. Before its number is free. M may be NULL.
 */
void metrics_port_gone(struct metrics *m, unsigned int kind, uint32_t port);

/* TEXT is valid during the call; NULL: out of memory, or the daemon ends. */
typedef void (*metrics_done)(const char *text, size_t size, void *arg);

/*
 * Put all together, a little in each turn of the loop; those who ask meanwhile get the same. DONE
 * is called once, on the loop, never from within this call. -ENOMEM.
 */
int metrics_collect(struct metrics *m, metrics_done done, void *arg);

/* --- machines: told by what runs them; until it does there are no samples of them --- */

struct metrics_state {
	const char *name; /* a constant */
	uint64_t n;
};
#define METRICS_STATES_MAX 16

struct metrics_machines {
	/* How many machines are in each state, those with none too: writes at most ROOM, returns
	 * how many it wrote. */
	size_t (*states)(struct daemon *d, struct metrics_state *ret, size_t room);
	/* The port numbers in use by machines: writes at most ROOM, returns how many there are. */
	size_t (*ports)(struct daemon *d, uint32_t *ret, size_t room);
};
void metrics_set_machines(struct metrics *m, const struct metrics_machines *machines);

#endif
