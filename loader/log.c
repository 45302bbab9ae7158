/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where does one line of the log go, and in what form? */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "lib/cleanup.h"

/* Bounds of one line: what is beyond is cut off, never allocated. */
#define FIELDS_MAX 16
#define VALUE_MAX 512

static struct {
	const char *identifier;
	int max_level;
	bool journal;
} log_to = {.identifier = "sallyportd", .max_level = LOG_INFO};

static const char *const level_names[] = {"emerg",   "alert",  "crit", "err",
					  "warning", "notice", "info", "debug"};

/* systemd says in $JOURNAL_STREAM which device and inode the journal's stream has. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev;
	unsigned long long ino;
	struct stat st;
	char *end;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	dev = strtoull(stream, &end, 10);
	if (*end != ':')
		return false;
	ino = strtoull(end + 1, &end, 10);
	return *end == '\0' && dev == st.st_dev && ino == st.st_ino;
}

void log_open(const char *identifier, int max_level)
{
	log_to.identifier = identifier;
	log_to.max_level = max_level;
	log_to.journal = stderr_is_journal();
}

void log_set_level(int max_level)
{
	log_to.max_level = max_level;
}

int log_level_from_string(const char *s)
{
	for (int i = LOG_ERR; i <= LOG_DEBUG; i++)
		if (strcmp(s, level_names[i]) == 0)
			return i;
	return -EINVAL;
}

/*
 * One value in a form that cannot forge a line or a field: control bytes and quotes are escaped;
 * quoted where it would not read as one word.
 */
static void print_value(FILE *f, const char *value)
{
	bool plain = value[0] != '\0' && strpbrk(value, " \"=\\'") == NULL;

	for (const char *p = value; *p != '\0' && plain; p++)
		plain = (unsigned char)*p > ' ' && *p != 0x7f;
	if (plain) {
		fputs(value, f);
		return;
	}
	fputc('"', f);
	for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++) {
		if (*p < ' ' || *p == 0x7f)
			fprintf(f, "\\x%02x", *p);
		else if (*p == '"' || *p == '\\')
			fprintf(f, "\\%c", *p);
		else
			fputc(*p, f);
	}
	fputc('"', f);
}

/* Free text on a line of its own: what would end the line becomes a '?'. */
static void print_text(FILE *f, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
		fputc(*p < ' ' || *p == 0x7f ? '?' : *p, f);
}

static void to_stderr(int level, const char *message, va_list ap)
{
	const char *key;

	/* One write for the line: two threads' lines do not mix. */
	flockfile(stderr);
	fprintf(stderr, "<%d> ", level);
	print_text(stderr, message);
	while ((key = va_arg(ap, const char *)) != NULL) {
		const char *value = va_arg(ap, const char *);

		fprintf(stderr, " %s=", key);
		print_value(stderr, value ? value : "");
	}
	fputc('\n', stderr);
	fflush(stderr);
	funlockfile(stderr);
}

static void to_journal(int level, const char *message, va_list ap)
{
	char text[FIELDS_MAX][VALUE_MAX];
	struct iovec iov[FIELDS_MAX];
	const char *key;
	int n = 0;

	snprintf(text[n++], VALUE_MAX, "MESSAGE=%s", message);
	snprintf(text[n++], VALUE_MAX, "PRIORITY=%d", level);
	snprintf(text[n++], VALUE_MAX, "SYSLOG_IDENTIFIER=%s", log_to.identifier);
	while (n < FIELDS_MAX && (key = va_arg(ap, const char *)) != NULL) {
		const char *value = va_arg(ap, const char *);

		snprintf(text[n++], VALUE_MAX, "SALLYPORT_%s=%s", key, value ? value : "");
	}
	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){.iov_base = text[i], .iov_len = strlen(text[i])};
	(void)sd_journal_sendv(iov, n);
}

void log_event(int level, const char *message, ...)
{
	int saved = errno;
	va_list ap;

	if (level > log_to.max_level)
		return;
	va_start(ap, message);
	if (log_to.journal)
		to_journal(level, message, ap);
	else
		to_stderr(level, message, ap);
	va_end(ap);
	errno = saved;
}

void log_printf(int level, const char *format, ...)
{
	char text[VALUE_MAX];
	va_list ap;

	if (level > log_to.max_level)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_event(level, text, NULL);
}

bool log_allows(struct log_limit *l, uint64_t now_us, unsigned int *ret_missed)
{
	if (now_us < l->next_us) {
		l->missed++;
		return false;
	}
	*ret_missed = l->missed;
	l->missed = 0;
	l->next_us = now_us + 1000000;
	return true;
}
