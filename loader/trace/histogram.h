/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long does something take, mostly and at worst? Counts in fixed buckets: flat in memory. */
#ifndef SALLYPORT_LOADER_HISTOGRAM_H
#define SALLYPORT_LOADER_HISTOGRAM_H

#include <stdint.h>

/* 1, 2 and 5 of each power of ten from 100 us on; 60 s is the last. */
#define HISTOGRAM_BUCKETS 18
extern const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS];

struct histogram {
	/* By itself, not cumulative: of values above the bound before and up to its own; the last
	 * is for those above all bounds. */
	uint64_t buckets[HISTOGRAM_BUCKETS + 1];
	uint64_t count, sum_us, max_us;
};

void histogram_add(struct histogram *h, uint64_t us);

/*
 * The value in microseconds that a share Q (0 to 1) of those counted does not exceed, as
 * Prometheus's histogram_quantile has it: straight within a bucket, and the last bound for what is
 * above it; but never more than the highest that was counted. 0 where nothing was.
 */
double histogram_quantile_us(const struct histogram *h, double q);

#endif
