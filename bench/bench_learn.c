// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long does OpenVPN's thread wait for the daemon at a new MAC? So many addresses a second are
 * learned and forgotten again, each request on a connection of its own, as the hook program does.
 *   bench_learn SESSION... RATE     for ten seconds
 */
#include "bench/session.h"

#define RATE_MAX 1000
#define SECONDS 10
#define MACS 4 /* in turn; at most one of them is bound at a time */

static void sleep_until(uint64_t ns)
{
	const struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000),
				    .tv_nsec = (long)(ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/*
 * Us. A request that was due while the one before still waited counts from when it was due: a
 * stall is charged to all that it held up. Our own late waking is not the daemon's.
 */
static double one(const struct bench_session *s, const struct hook_learn *l, uint64_t due)
{
	uint64_t begin = due;
	double took;

	if (now_ns() < due) {
		sleep_until(due);
		begin = now_ns();
	}
	if (!ask_learn(s, l)) {
		fprintf(stderr, "bench_learn: the daemon refused an address\n");
		exit(1);
	}
	took = (double)(now_ns() - begin) / 1000;
	tell_forget(s, l);
	return took;
}

int main(int argc, char **argv)
{
	static double us[RATE_MAX * SECONDS];
	struct bench_session s;
	struct hook_learn l = {.event = HOOK_ADD};
	uint64_t start, rate;
	size_t n;

	if (argc != 2 + SESSION_ARGS)
		return 2;
	rate = strtoul(argv[1 + SESSION_ARGS], NULL, 10);
	if (rate < 1 || rate > RATE_MAX)
		return 2;
	n = rate * SECONDS;
	parse_session(&s, argv + 1);
	l.vid = s.vid;
	start = now_ns() + 10000000;
	for (size_t i = 0; i < n; i++) {
		bench_mac(l.mac, 0xfe000000 + (uint32_t)(i % MACS));
		us[i] = one(&s, &l, start + i * (1000000000 / rate));
	}
	report("learn.p50", median(us, n), "us", NULL, 0, 0);
	report("learn.p99", quantile(us, n, 0.99), "us", NULL, 0, 0);
	report("learn.max", us[n - 1], "us", NULL, 0, 0);
	return 0;
}
