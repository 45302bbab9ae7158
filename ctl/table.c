/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How do rows become columns that line up? */
#include "ctl/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"
#include "lib/cleanup.h"

struct table {
	size_t columns;
	bool *right;
	char **cells; /* the header first */
	size_t n, room;
};

static void add(struct table *t, char *cell)
{
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		char **cells = reallocarray(t->cells, room, sizeof(*cells));

		if (!cells)
			text_oom();
		t->cells = cells;
		t->room = room;
	}
	t->cells[t->n++] = cell;
}

struct table *table_new(const char *headers)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		text_oom();
	for (const char *s = headers; *s; s += *s == ' ')
		s += strcspn(s, " "), t->columns++;
	t->right = calloc(t->columns, sizeof(*t->right));
	if (!t->right)
		text_oom();
	for (const char *s = headers; *s; s += *s == ' ') {
		size_t skip = *s == '>', n = strcspn(s, " ");
		char *cell = strndup(s + skip, n - skip);

		if (!cell)
			text_oom();
		t->right[t->n] = skip;
		add(t, cell);
		s += n;
	}
	return t;
}

void table_freep(struct table **t)
{
	if (!*t)
		return;
	for (size_t i = 0; i < (*t)->n; i++)
		free((*t)->cells[i]);
	free((*t)->cells);
	free((*t)->right);
	free(*t);
	*t = NULL;
}

void table_cell(struct table *t, const char *text)
{
	add(t, text_escape(text && *text ? text : "-"));
}

void table_cellf(struct table *t, const char *format, ...)
{
	_cleanup_free_
	char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&text, format, ap);
	va_end(ap);
	if (r < 0) {
		text = NULL;
		text_oom();
	}
	table_cell(t, text);
}

size_t table_rows(const struct table *t)
{
	return t->n / t->columns - 1;
}

/* One line; the last column is not padded, so that no line ends in spaces. */
static void print_row(const struct table *t, size_t row, const size_t *width, FILE *f,
		      size_t max_columns)
{
	size_t left = max_columns ? max_columns : SIZE_MAX;

	for (size_t i = 0; i < t->columns && left > 0; i++) {
		const char *cell = t->cells[row * t->columns + i];
		size_t w = text_width(cell), pad = width[i] - w;
		size_t gap = (i ? 2 : 0) + (t->right[i] ? pad : 0);
		size_t shown;

		if (gap >= left)
			break;
		left -= gap;
		shown = w < left ? w : left;
		fprintf(f, "%*s%.*s", (int)gap, "", (int)text_prefix(cell, shown), cell);
		left -= shown;
		if (!t->right[i] && i + 1 < t->columns && pad < left) {
			fprintf(f, "%*s", (int)pad, "");
			left -= pad;
		}
	}
}

size_t table_print(const struct table *t, FILE *f, size_t max_columns, size_t max_rows,
		   const char *eol)
{
	_cleanup_free_
	size_t *width = calloc(t->columns, sizeof(*width));
	size_t rows = table_rows(t);

	if (!width)
		text_oom();
	if (max_rows && rows > max_rows)
		rows = max_rows;
	for (size_t i = 0; i < (rows + 1) * t->columns; i++) {
		size_t w = text_width(t->cells[i]);

		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	for (size_t row = 0; row <= rows; row++) {
		print_row(t, row, width, f, max_columns);
		fputs(eol, f);
	}
	return rows + 1;
}
