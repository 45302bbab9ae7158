// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A server of many that share a store, and busy: sessions begin and end, MACs of a small pool are
 * claimed and released, as fast as the store answers. Each call is told when it has returned, with
 * the times before and after it; t12_galera.py judges.
 *   storm HOSTS DATABASE SERVER     until its standard input ends
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "loader/store/store.h"

#define POOL 6 /* MACs that all want */
#define LIVE 3 /* sessions at once */

struct storm {
	struct store *store;
	struct store_user user;
	uint64_t live[LIVE];
	double t0;
	double alive_at;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void start(struct storm *s)
{
	s->t0 = now();
}

static void tell(const struct storm *s, int r, const char *what, uint64_t session, unsigned int mac,
		 uint64_t from)
{
	printf("%s %llu %u %.6f %.6f %d %llu %s\n", what, (unsigned long long)session, mac, s->t0,
	       now(), r, (unsigned long long)from, r == 0 ? "" : store_error(s->store));
	fflush(stdout);
}

static void begin(struct storm *s, uint64_t *slot)
{
	struct store_session x = {.user_id = s->user.id,
				  .instance = "storm",
				  .common_name = "storm",
				  .trusted_ip = "192.0.2.1"};
	int r;

	start(s);
	r = store_session_begin(s->store, &x, 1000);
	tell(s, r, "begin", x.id, 0, x.index);
	if (r == 0)
		*slot = x.id;
}

static void end(struct storm *s, uint64_t *slot)
{
	int r;

	start(s);
	r = store_session_end(s->store, *slot, time(NULL));
	tell(s, r, "end", *slot, 0, 0);
	if (r == 0)
		*slot = 0; /* else once more: it must be possible */
}

static void claim(struct storm *s, uint64_t session)
{
	unsigned int n = (unsigned int)rand() % POOL;
	uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)n};
	uint64_t from = 0;
	int r;

	start(s);
	r = store_mac_claim(s->store, STORE_EVERYWHERE, mac, session, &from);
	tell(s, r, "claim", session, n, from);
}

static void release(struct storm *s, uint64_t session)
{
	unsigned int n = (unsigned int)rand() % POOL;
	uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)n};
	int r;

	start(s);
	r = store_mac_release(s->store, STORE_EVERYWHERE, mac, session);
	tell(s, r, "release", session, n, 0);
}

static void turn(struct storm *s)
{
	uint64_t *slot = &s->live[rand() % LIVE];

	if (now() > s->alive_at) {
		start(s);
		tell(s, store_alive(s->store), "alive", 0, 0, 0);
		s->alive_at = now() + 1;
	}
	if (!*slot)
		begin(s, slot);
	else if (rand() % 8 == 0)
		end(s, slot);
	else if (rand() % 3 == 0)
		release(s, *slot);
	else
		claim(s, *slot);
}

static bool told_to_end(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

int main(int argc, char **argv)
{
	struct store_options o = {.timeout_ms = 10000};
	struct storm s = {0};
	char *error = NULL;

	if (argc != 4)
		return 2;
	o.mysql.hosts = argv[1];
	o.mysql.user = "sallyport";
	o.mysql.database = argv[2];
	o.server = argv[3];
	srand((unsigned int)getpid());
	if (store_open(&o, &s.store, &error) < 0) {
		fprintf(stderr, "storm: %s\n", error);
		return 1;
	}
	snprintf(s.user.name, sizeof(s.user.name), "user of %s", argv[3]);
	if (store_user_add(s.store, &s.user) < 0) {
		fprintf(stderr, "storm: %s\n", store_error(s.store));
		return 1;
	}
	printf("user %u\n", s.user.id);
	while (!told_to_end())
		turn(&s);
	store_close(s.store);
	return 0;
}
