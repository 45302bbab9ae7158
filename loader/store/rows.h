/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every table, column by column: for what reads all rows without knowing what they mean. */
#ifndef SALLYPORT_LOADER_STORE_ROWS_H
#define SALLYPORT_LOADER_STORE_ROWS_H

#include "sql.h"

#define ROWS_COLUMNS_MAX 24
#define ROWS_PAGE 500 /* rows that are read at once */

enum column_kind { COLUMN_INT, COLUMN_TEXT, COLUMN_BLOB };

struct column_info {
	const char *name;
	enum column_kind kind;
	int64_t min, max; /* of a number; of the length in bytes */
	bool null;	  /* may be SQL's NULL */
};

struct table_info {
	const char *name;
	bool paged; /* `select` has a parameter, the last id that was seen, and gives a page */
	/* Did the database choose the id, the first column? */
	bool numbered;
	const char *select, *insert, *count;
	const struct column_info *columns; /* ended by name NULL */
};

/* In an order in which what is referred to comes first; ended by name NULL. */
extern const struct table_info store_tables[];

struct row {
	const struct table_info *table;
	unsigned int n;
	struct sql_value values[ROWS_COLUMNS_MAX];
	const char *bad; /* what is wrong with it, or NULL */
	const char *bad_column;
};

/* The row on which Q stands: values are Q's, until its next step. Text and bytes are told apart. */
void row_read(struct sql *q, const struct table_info *t, struct row *ret);
/* "table user, row 5"; "table mac, row 0 02:00:00:00:00:01" */
void row_name(const struct row *row, char ret[128]);
/* The first page after *LAST. */
int rows_select(struct store *s, const struct table_info *t, int64_t last, struct sql **ret);

#endif
