/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers as Prometheus reads them: its text exposition format, version 0.0.4. */
#ifndef SALLYPORT_LOADER_EXPOSITION_H
#define SALLYPORT_LOADER_EXPOSITION_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* VALUE may be anything: it is escaped, and what is not UTF-8 in it becomes U+FFFD. */
struct label {
	const char *name, *value;
};

/* The head of a family: TYPE "counter", "gauge" or "histogram"; NAME and HELP are constants. */
void exposition_family(FILE *f, const char *name, const char *type, const char *help);

/* One sample of it, with N labels (LABELS may be NULL with 0). */
void exposition_count(FILE *f, const char *name, const struct label *labels, size_t n,
		      uint64_t value);
void exposition_real(FILE *f, const char *name, const struct label *labels, size_t n, double value);

/* All samples of one histogram, in seconds; LABEL stands before "le". */
void exposition_histogram(FILE *f, const char *name, const struct label *label,
			  const struct histogram *h);

#endif
