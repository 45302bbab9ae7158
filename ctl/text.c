/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How is it written so that a person can read it, whoever chose the words? */
#include "ctl/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/utf8.h"

void text_oom(void)
{
	fputs("sallyport: out of memory\n", stderr);
	exit(1);
}

/* --- escaping --- */

/* Not to be shown as it is: it moves the cursor, turns the text around or cannot be seen. */
static bool is_dangerous(int32_t c)
{
	static const struct {
		int32_t first, last;
	} ranges[] = {
		{0x00, 0x1f},	  {0x7f, 0x9f},	      {0xad, 0xad},	{0x61c, 0x61c},
		{0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f}, {0xfe00, 0xfe0f},
		{0xfeff, 0xfeff}, {0xe0000, 0xe01ef},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(ranges); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

/* Write the escape of a code point (or, C < 0, of the byte B). Room for 11 is there. */
static size_t write_escape(char *out, int32_t c, unsigned char b)
{
	if (c == '\\')
		return (size_t)sprintf(out, "\\\\");
	if (c == '\n')
		return (size_t)sprintf(out, "\\n");
	if (c == '\t')
		return (size_t)sprintf(out, "\\t");
	if (c >= 0x80)
		return (size_t)sprintf(out, "\\u{%" PRIx32 "}", (uint32_t)c);
	return (size_t)sprintf(out, "\\x%02x", b);
}

char *text_escape(const char *s)
{
	const unsigned char *p = (const unsigned char *)(s ? s : "-");
	/* The longest: \u{ad} for two bytes, \xNN for one. */
	char *ret = malloc(strlen((const char *)p) * 4 + 16);
	char *out = ret;

	if (!ret)
		text_oom();
	while (*p) {
		size_t n;
		int32_t c = utf8_decode((const char *)p, &n);

		if (c < 0 || c == '\\' || is_dangerous(c)) {
			out += write_escape(out, c, *p);
		} else {
			memcpy(out, p, n);
			out += n;
		}
		p += n;
	}
	*out = '\0';
	return ret;
}

size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

size_t text_prefix(const char *s, size_t columns)
{
	const char *p = s;

	for (; *p; p++) {
		if (((unsigned char)*p & 0xc0) != 0x80 && columns-- == 0)
			break;
	}
	return (size_t)(p - s);
}

void text_line(FILE *f, const char *format, ...)
{
	_cleanup_free_
	char *raw = NULL;
	_cleanup_free_
	char *safe = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&raw, format, ap);
	va_end(ap);
	if (r < 0) {
		raw = NULL;
		text_oom();
	}
	safe = text_escape(raw);
	fprintf(f, "%s\n", safe);
}

/* --- numbers --- */

const char *text_bytes(double n, char buf[TEXT_NUMBER_MAX])
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t i = 0;

	/* 1023.95 would be rounded to 1024.0 of the smaller unit */
	for (; n >= 1023.95 && i + 1 < SP_ARRAY_SIZE(unit); i++)
		n /= 1024;
	snprintf(buf, TEXT_NUMBER_MAX, "%.*f %s", i == 0 ? 0 : 1, n, unit[i]);
	return buf;
}

const char *text_count(double n, char buf[TEXT_NUMBER_MAX])
{
	static const char *const unit[] = {"", " k", " M", " G", " T", " P", " E"};
	size_t i = 0;

	if (n >= 99999.5) {
		for (; n >= 999.95 && i + 1 < SP_ARRAY_SIZE(unit); i++)
			n /= 1000;
	}
	snprintf(buf, TEXT_NUMBER_MAX, "%.*f%s", i == 0 ? 0 : 1, n, unit[i]);
	return buf;
}

const char *text_duration(int64_t s, char buf[TEXT_NUMBER_MAX])
{
	if (s < 60)
		snprintf(buf, TEXT_NUMBER_MAX, "%" PRId64 " s", s < 0 ? 0 : s);
	else if (s < 3600)
		snprintf(buf, TEXT_NUMBER_MAX, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, TEXT_NUMBER_MAX, "%" PRId64 " h %" PRId64 " min", s / 3600,
			 s / 60 % 60);
	else
		snprintf(buf, TEXT_NUMBER_MAX, "%" PRId64 " d %" PRId64 " h", s / 86400,
			 s / 3600 % 24);
	return buf;
}

const char *text_time(int64_t seconds, char buf[TEXT_NUMBER_MAX])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (seconds <= 0 || !localtime_r(&t, &tm) ||
	    strftime(buf, TEXT_NUMBER_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		strcpy(buf, "-");
	return buf;
}

const char *text_clock(const struct timespec *t, char buf[TEXT_NUMBER_MAX])
{
	struct tm tm;
	size_t n;

	if (!localtime_r(&t->tv_sec, &tm)) {
		strcpy(buf, "-");
		return buf;
	}
	n = strftime(buf, TEXT_NUMBER_MAX, "%H:%M:%S", &tm);
	snprintf(buf + n, TEXT_NUMBER_MAX - n, ".%06ld", t->tv_nsec / 1000 % 1000000);
	return buf;
}
