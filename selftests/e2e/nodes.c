// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two servers, each at a node of its own of one cluster, do at the same instant what only one of
 * them may. No node's locks hold the other: what is left is that a cluster certifies what was
 * written.
 *   nodes HOST-A HOST-B DATABASE ROUNDS     prints "CHECK ROUNDS BREACHES" for each check
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "loader/store/store.h"

struct side {
	struct store *store;
	struct store_user user;
	uint64_t session;
	pthread_barrier_t *gate;
	void (*act)(struct side *s);
	int r;
	unsigned int n;
};

static struct side sides[2];
static uint8_t contested[6];

static void die(struct side *s, const char *what)
{
	fprintf(stderr, "nodes: %s: %s\n", what, store_error(s->store));
	exit(1);
}

static struct store_session begin_row(const struct side *s)
{
	struct store_session x = {.user_id = s->user.id,
				  .instance = "nodes",
				  .common_name = "nodes",
				  .trusted_ip = "192.0.2.1"};

	return x;
}

static void begin(struct side *s)
{
	struct store_session x = begin_row(s);

	if (store_session_begin(s->store, &x, 1000) < 0)
		die(s, "begin");
	s->session = x.id;
}

static void *run(void *arg)
{
	struct side *s = arg;

	pthread_barrier_wait(s->gate);
	s->act(s);
	return NULL;
}

static void at_once(void (*a)(struct side *s), void (*b)(struct side *s))
{
	pthread_barrier_t gate;
	pthread_t threads[2];

	pthread_barrier_init(&gate, NULL, 2);
	sides[0].act = a;
	sides[1].act = b;
	for (int i = 0; i < 2; i++) {
		sides[i].gate = &gate;
		pthread_create(&threads[i], NULL, run, &sides[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&gate);
}

/* What a breach looked like: for whoever reads the log. */
static void show(const char *check, unsigned int round)
{
	fprintf(stderr, "nodes: %s, round %u: %d (%s), %d (%s)\n", check, round, sides[0].r,
		store_error(sides[0].store), sides[1].r, store_error(sides[1].store));
}

/* --- one MAC, two users: exactly one has it --- */

static void claim(struct side *s)
{
	uint64_t from;

	s->r = store_mac_claim(s->store, STORE_EVERYWHERE, contested, s->session, &from);
}

static unsigned int check_claims(unsigned int rounds)
{
	unsigned int breaches = 0;

	for (unsigned int i = 0; i < rounds; i++) {
		memcpy(contested, (uint8_t[6]){2, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}, 6);
		at_once(claim, claim);
		if (!((sides[0].r == 0 && sides[1].r == -EEXIST) ||
		      (sides[0].r == -EEXIST && sides[1].r == 0))) {
			show("claims", i);
			breaches++;
		}
	}
	return breaches;
}

/* --- a session that ends at one node while its MACs are claimed at the other --- */

#define CLAIMS 12 /* as many as a session may have, about */

static uint64_t doomed;

static void claim_on(struct side *s)
{
	for (s->r = 0, s->n = 0; s->r == 0 && s->n < CLAIMS; s->n++) {
		uint8_t mac[6] = {2,
				  2,
				  (uint8_t)(doomed >> 8),
				  (uint8_t)doomed,
				  (uint8_t)(s->n >> 8),
				  (uint8_t)s->n};
		uint64_t from;

		s->r = store_mac_claim(s->store, STORE_EVERYWHERE, mac, doomed, &from);
	}
}

static void end_it(struct side *s)
{
	struct timespec t = {.tv_nsec =
				     (long)(doomed % 9) * 800000}; /* anywhere among its claims */

	nanosleep(&t, NULL);
	s->r = store_session_end(s->store, doomed, 5);
}

static unsigned int check_ends(unsigned int rounds)
{
	unsigned int breaches = 0, met = 0;

	for (unsigned int i = 0; i < rounds; i++) {
		struct store_session x = begin_row(&sides[0]);

		if (store_session_begin(sides[0].store, &x, 1000) < 0)
			die(&sides[0], "begin");
		doomed = x.id;
		at_once(claim_on, end_it);
		if ((sides[0].r != 0 && sides[0].r != -ENOENT) || sides[1].r != 0) {
			show("ends", i);
			breaches++;
		}
		met += sides[0].r == -ENOENT && sides[0].n > 1;
	}
	/* Had the end never come between two claims, nothing was tried. */
	return met > 0 ? breaches : rounds;
}

/* --- one user, a session at each, one allowed --- */

static void begin_only(struct side *s)
{
	struct store_session x = begin_row(&sides[0]);

	s->r = store_session_begin(s->store, &x, 2); /* side 0's own is there */
	s->session = x.id;
}

static unsigned int check_quota(unsigned int rounds)
{
	unsigned int breaches = 0;

	for (unsigned int i = 0; i < rounds; i++) {
		at_once(begin_only, begin_only);
		if (!((sides[0].r == 0 && sides[1].r == -EDQUOT) ||
		      (sides[0].r == -EDQUOT && sides[1].r == 0))) {
			show("quota", i);
			breaches++;
		}
		for (int k = 0; k < 2; k++)
			if (sides[k].r == 0 &&
			    store_session_end(sides[k].store, sides[k].session, 5) < 0)
				die(&sides[k], "end");
	}
	return breaches;
}

int main(int argc, char **argv)
{
	unsigned int rounds;

	if (argc != 5)
		return 2;
	for (int i = 0; i < 2; i++) {
		struct store_options o = {.timeout_ms = 10000, .server = i ? "node-b" : "node-a"};
		struct side *s = &sides[i];
		char *error = NULL;

		o.mysql.hosts = argv[1 + i];
		o.mysql.user = "sallyport";
		o.mysql.database = argv[3];
		if (store_open(&o, &s->store, &error) < 0) {
			fprintf(stderr, "nodes: %s\n", error);
			return 1;
		}
		snprintf(s->user.name, sizeof(s->user.name), "user at %s", argv[1 + i]);
		if (store_user_add(s->store, &s->user) < 0)
			die(s, "user");
		begin(s);
	}
	rounds = (unsigned int)strtoul(argv[4], NULL, 10);
	printf("claims %u %u\n", rounds, check_claims(rounds));
	printf("ends %u %u\n", rounds, check_ends(rounds));
	printf("quota %u %u\n", rounds, check_quota(rounds));
	for (int i = 0; i < 2; i++)
		store_close(sides[i].store);
	return 0;
}
