/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where does a word begin and end, and what is to be said of one that should not be there? */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy_internal.h"

/* --- mistakes --- */

/* Characters, not bytes: what an editor counts. */
static unsigned int column_of(const struct parser *p, const char *at)
{
	unsigned int column = 1;

	for (const char *c = p->line; c < at; c++)
		if (((unsigned char)*c & 0xc0) != 0x80)
			column++;
	return column;
}

int parser_mistake(struct parser *p, unsigned int column, const char *format, ...)
{
	struct policy_errors *errors = p->errors;
	struct policy_error *e;
	va_list ap;

	if (errors->n == POLICY_ERRORS_MAX) {
		errors->more = true;
		return -EINVAL;
	}
	e = &errors->v[errors->n++];
	e->line = p->number;
	e->column = column;
	va_start(ap, format);
	vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
	return -EINVAL;
}

#define QUOTED_MAX 40 /* bytes of a word that a message repeats */

/* At most so many bytes that no character is cut in two. */
static int quoted(const struct token *t)
{
	size_t n = t->size < QUOTED_MAX ? t->size : QUOTED_MAX;

	while (n > 0 && n < t->size && ((unsigned char)t->text[n] & 0xc0) == 0x80)
		n--;
	return (int)n;
}

int parser_expected(struct parser *p, const char *expected)
{
	const struct token *t = &p->token;

	switch (t->kind) {
	case TOKEN_END:
		return parser_mistake(p, t->column, "the line ends: expected %s", expected);
	case TOKEN_COMMA:
		return parser_mistake(p, t->column, "',': expected %s", expected);
	case TOKEN_STRING:
		return parser_mistake(p, t->column, "a text in quotes: expected %s", expected);
	default:
		return parser_mistake(p, t->column, "'%.*s': expected %s", quoted(t), t->text,
				      expected);
	}
}

/* --- tokens --- */

bool token_is(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && t->size == strlen(word) &&
	       memcmp(t->text, word, t->size) == 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* From behind the first quote; a backslash takes the meaning of a quote, and of another one. */
static int next_string(struct parser *p)
{
	const char *c = p->at + 1;

	p->token.kind = TOKEN_STRING;
	p->token.text = c;
	for (; c < p->end && *c != '"'; c++) {
		if (*c != '\\')
			continue;
		c++;
		if (c == p->end || (*c != '"' && *c != '\\'))
			return parser_mistake(p, column_of(p, c - 1),
					      "a backslash: expected \\\" or \\\\ in a text");
	}
	if (c == p->end)
		return parser_mistake(p, p->token.column,
				      "a text in quotes has no end: expected '\"'");
	p->token.size = (size_t)(c - p->token.text);
	p->at = c + 1;
	return 0;
}

int parser_next(struct parser *p)
{
	const char *c = p->at;

	while (c < p->end && is_space(*c))
		c++;
	p->token = (struct token){.text = c, .column = column_of(p, c)};
	p->at = c;
	if (c == p->end || *c == '#') {
		p->token.kind = TOKEN_END;
		return 0;
	}
	if (*c == '"')
		return next_string(p);
	if (*c == ',') {
		p->token.kind = TOKEN_COMMA;
		p->at = c + 1;
		return 0;
	}
	while (c < p->end && !is_space(*c) && *c != ',' && *c != '"')
		c++;
	p->token.kind = TOKEN_WORD;
	p->token.size = (size_t)(c - p->at);
	p->at = c;
	return 0;
}

int parser_end(struct parser *p)
{
	if (p->token.kind == TOKEN_END)
		return 0;
	return parser_expected(p, "the end of the line");
}

/* --- lines --- */

/* How long is the character at C? 0: that is no UTF-8 (RFC 3629), or a control character. */
static size_t char_size(const unsigned char *c, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
	uint32_t v;

	if (n == 1)
		return (c[0] >= 0x20 && c[0] != 0x7f) || c[0] == '\t';
	if (n == 0 || n > left || c[0] > 0xf4)
		return 0;
	v = c[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (c[i] & 0x3fU);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ||
	    (v >= 0x80 && v < 0xa0)) /* C1: control characters, too */
		return 0;
	return n;
}

int parser_line(struct parser *p, const char *line, size_t size)
{
	p->line = p->at = line;
	p->end = line + size;
	if (size > 0 && line[size - 1] == '\r') /* of an editor that ends lines so */
		p->end--;
	if (size > POLICY_LINE_MAX)
		return parser_mistake(p, 1, "a line of %zu bytes: expected at most %d", size,
				      POLICY_LINE_MAX);
	for (const char *c = line; c < p->end;) {
		size_t n = char_size((const unsigned char *)c, (size_t)(p->end - c));

		if (n == 0)
			return parser_mistake(p, column_of(p, c),
					      "byte 0x%02x: expected text in UTF-8 without control "
					      "characters",
					      (unsigned char)*c);
		c += n;
	}
	return parser_next(p);
}
