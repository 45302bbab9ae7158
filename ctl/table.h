/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Aligned columns with a header. Every cell is escaped (ctl/text.h) on its way in. */
#ifndef SALLYPORT_CTL_TABLE_H
#define SALLYPORT_CTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct table;

/* HEADERS: names with spaces between; a leading '>' sets the column to the right. Never NULL. */
struct table *table_new(const char *headers);
void table_freep(struct table **t);

#define _cleanup_table_ _cleanup_(table_freep)

/* The next cell; a row ends with its last column. NULL and empty texts become "-". */
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

size_t table_rows(const struct table *t);

/*
 * Print the header and at most MAX_ROWS rows, each line cut at MAX_COLUMNS; 0: no limit. EOL ends
 * each line. Returns the number of lines.
 */
size_t table_print(const struct table *t, FILE *f, size_t max_columns, size_t max_rows,
		   const char *eol);

#endif
