/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long does something take, mostly and at worst? */
#include "histogram.h"

const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS] = {
	100,	200,	500,	1000,	 2000,	  5000,	   10000,    20000,    50000,
	100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000, 60000000,
};

void histogram_add(struct histogram *h, uint64_t us)
{
	unsigned int i = 0;

	while (i < HISTOGRAM_BUCKETS && us > histogram_bounds_us[i])
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum_us += us;
	if (us > h->max_us)
		h->max_us = us;
}

static double quantile(const struct histogram *h, double q)
{
	double rank = q * (double)h->count, below = 0, low = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double n = (double)h->buckets[i], high = (double)histogram_bounds_us[i];

		if (n > 0 && below + n >= rank)
			return low + (high - low) * (rank - below) / n;
		below += n;
		low = high;
	}
	return low;
}

double histogram_quantile_us(const struct histogram *h, double q)
{
	double us = h->count ? quantile(h, q) : 0;

	return us < (double)h->max_us ? us : (double)h->max_us;
}
