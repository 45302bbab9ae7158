/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How does Prometheus want to read it? */
#include "exposition.h"

#include <inttypes.h>

#include "lib/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void exposition_family(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One that is not UTF-8 would cost Prometheus the whole scrape. */
static void put_value(FILE *f, const char *s)
{
	size_t n;

	for (; *s; s += n) {
		int32_t c = utf8_decode(s, &n);

		if (c < 0)
			fputs(REPLACEMENT, f);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c == '\\' || c == '"')
			fprintf(f, "\\%c", (char)c);
		else
			fwrite(s, 1, n, f);
	}
}

static void put_name(FILE *f, const char *name, const char *suffix, const struct label *labels,
		     size_t n)
{
	fprintf(f, "%s%s", name, suffix);
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "%c%s=\"", i ? ',' : '{', labels[i].name);
		put_value(f, labels[i].value);
		fputc('"', f);
	}
	if (n)
		fputc('}', f);
	fputc(' ', f);
}

void exposition_count(FILE *f, const char *name, const struct label *labels, size_t n,
		      uint64_t value)
{
	put_name(f, name, "", labels, n);
	fprintf(f, "%" PRIu64 "\n", value);
}

void exposition_real(FILE *f, const char *name, const struct label *labels, size_t n, double value)
{
	put_name(f, name, "", labels, n);
	fprintf(f, "%.15g\n", value);
}

void exposition_histogram(FILE *f, const char *name, const struct label *label,
			  const struct histogram *h)
{
	struct label both[] = {*label, {"le", NULL}};
	uint64_t sum = 0;
	char le[24];

	both[1].value = le;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		sum += h->buckets[i];
		snprintf(le, sizeof(le), "%g", (double)histogram_bounds_us[i] / 1e6);
		put_name(f, name, "_bucket", both, 2);
		fprintf(f, "%" PRIu64 "\n", sum);
	}
	both[1].value = "+Inf";
	put_name(f, name, "_bucket", both, 2);
	fprintf(f, "%" PRIu64 "\n", h->count);
	put_name(f, name, "_sum", label, 1);
	fprintf(f, "%.15g\n", (double)h->sum_us / 1e6);
	put_name(f, name, "_count", label, 1);
	fprintf(f, "%" PRIu64 "\n", h->count);
}
