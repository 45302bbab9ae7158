/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does an OpenVPN configuration say? Reads it as OpenVPN does; the rules judge it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "ovpnconf_internal.h"

#define SPACE " \t\r\n\f\v"
#define LINE_MAX_BYTES 255 /* OpenVPN's OPTION_LINE_SIZE: it cuts longer ones in two */
#define DEPTH_MAX 8
#define FILE_MAX (1 << 20)
#define DIR_FILES_MAX 4096

void ovpnconf_finding(struct check *c, const char *directive, const char *why)
{
	c->findings++;
	fprintf(c->report, "%s:%u: '%s': %s\n", c->file, c->line, directive, why);
}

void ovpnconf_warning(struct check *c, const char *directive, const char *why)
{
	fprintf(c->report, "%s:%u: warning: '%s': %s\n", c->file, c->line, directive, why);
}

void ovpnconf_resolve(const struct check *c, const char *path, char ret[PATH_MAX])
{
	int n = path[0] == '/' || !c->dir[0] ? snprintf(ret, PATH_MAX, "%s", path)
					     : snprintf(ret, PATH_MAX, "%s/%s", c->dir, path);

	if (n >= PATH_MAX)
		ret[0] = '\0';
}

/* --- the grammar --- */

/*
 * Take the next word from *IN, in place: quotes stand at a word's beginning only, and end it; what
 * a backslash may stand before is a space, a quotation mark or a backslash. 1: a word, 0: the end
 * or a comment, -EINVAL: OpenVPN would not take the line.
 */
static int next_word(char **in, char **ret)
{
	char *s = *in, *out, quote = 0;

	for (s += strspn(s, SPACE); *s == '\\' && s[1] && strchr(SPACE, s[1]);
	     s += strspn(s, SPACE))
		s += 2;
	if (*s == '\0' || strchr("#;", *s == '\\' && s[1] ? s[1] : *s))
		return 0;
	if (*s == '"' || *s == '\'')
		quote = *s++;
	*ret = out = s;
	for (; *s && (quote ? *s != quote : !strchr(SPACE, *s)); s++) {
		if (*s == '\\' && quote != '\'' && (!*++s || !strchr(SPACE "\\\"", *s)))
			return -EINVAL;
		*out++ = *s;
	}
	if (quote && !*s)
		return -EINVAL;
	*in = s + (*s != '\0');
	*out = '\0';
	return 1;
}

static int split(char *s, char **words)
{
	int n = 0, r;

	while (n < OVPNCONF_WORDS && (r = next_word(&s, &words[n])) != 0) {
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

/* "<tag>": what follows, up to "</tag>", is the one argument of the directive `tag`. */
static bool inline_begin(struct check *c, const char *word)
{
	size_t n = strlen(word);
	char tag[sizeof(c->close_tag)];

	if (n < 3 || n > sizeof(tag) || word[0] != '<' || word[n - 1] != '>')
		return false;
	snprintf(tag, sizeof(tag), "%.*s", (int)(n - 2), word + 1);
	if (strcmp(tag, "connection") == 0 || strcmp(tag, "/connection") == 0)
		return true; /* its lines are directives like all others */
	if (ovpnconf_is_ruled(tag))
		ovpnconf_finding(c, tag, "given as a block; write it on one line");
	if (snprintf(c->close_tag, sizeof(c->close_tag), "</%s>", tag) >=
	    (int)sizeof(c->close_tag)) {
		c->close_tag[0] = '\0';
		ovpnconf_finding(c, tag, "not a block that OpenVPN has");
	}
	return true;
}

static int check_file(struct check *c, const char *file);

static void include(struct check *c, char **words, int n)
{
	char path[PATH_MAX];

	if (!c->files || n < 2) {
		ovpnconf_finding(c, "config", "an include is not followed here");
		return;
	}
	ovpnconf_resolve(c, words[1], path);
	check_file(c, path);
}

static void one_line(struct check *c, char *line)
{
	char *storage[OVPNCONF_WORDS], **words = storage;
	int n;

	if (c->close_tag[0]) {
		line += strspn(line, SPACE);
		if (strncmp(line, c->close_tag, strlen(c->close_tag)) == 0)
			c->close_tag[0] = '\0';
		return;
	}
	n = split(line, words);
	if (n < 0) {
		ovpnconf_finding(c, "", "an open quote, or a backslash that OpenVPN refuses");
		return;
	}
	if (n == 0)
		return;
	if (strncmp(words[0], "--", 2) == 0 && words[0][2])
		words[0] += 2;
	if (n == 1 && inline_begin(c, words[0]))
		return;
	if (n > 2 && strcmp(words[0], "setenv") == 0 && strcmp(words[1], "opt") == 0) {
		words += 2; /* "take it if you know it" */
		n -= 2;
	}
	if (strcmp(words[0], "config") == 0)
		include(c, words, n);
	else
		ovpnconf_apply(c, words, (unsigned int)n);
}

static void check_lines(struct check *c, const char *text, size_t size)
{
	static const char bom[] = {'\xef', '\xbb', '\xbf'};
	const char *end = text + size;
	char line[LINE_MAX_BYTES];

	if (size >= sizeof(bom) && memcmp(text, bom, sizeof(bom)) == 0)
		text += sizeof(bom);
	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);

		c->line++;
		if (n >= sizeof(line) || memchr(text, '\0', n)) {
			ovpnconf_finding(c, "", "a line above 254 bytes, or not text");
		} else {
			memcpy(line, text, n);
			line[n] = '\0';
			one_line(c, line);
		}
		text += n + (nl ? 1 : 0);
	}
	if (c->close_tag[0])
		ovpnconf_finding(c, c->close_tag, "expected, and the file ended");
	c->close_tag[0] = '\0';
}

/* --- files --- */

/* The whole of a regular file; whatever else stands there, it does not block. */
static int slurp(const char *file, char **ret, size_t *ret_size)
{
	_cleanup_free_
	char *text = malloc(FILE_MAX);
	_cleanup_close_
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t n = 0;
	ssize_t r;

	if (fd < 0)
		return -errno;
	if (!text)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	while (n < FILE_MAX && (r = read(fd, text + n, FILE_MAX - n)) != 0) {
		if (r < 0)
			return -errno;
		n += (size_t)r;
	}
	if (n == FILE_MAX)
		return -EFBIG;
	*ret = TAKE_PTR(text);
	*ret_size = n;
	return 0;
}

static int check_file(struct check *c, const char *file)
{
	_cleanup_free_
	char *text = NULL;
	const char *outer = c->file;
	unsigned int line = c->line;
	size_t n = 0;
	int r;

	if (c->depth >= DEPTH_MAX) {
		ovpnconf_finding(c, "config", "files include each other more than 8 deep");
		return -ELOOP;
	}
	r = slurp(file, &text, &n);
	if (r < 0) {
		c->findings++;
		fprintf(c->report, "%s: cannot be read: %s\n", file, strerror(-r));
		return r;
	}
	c->depth++;
	c->file = file;
	c->line = 0;
	check_lines(c, text, n);
	c->depth--;
	c->file = outer;
	if (outer)
		c->line = line; /* else what is missing is told at the end */
	return 0;
}

void ovpnconf_check_dir(struct check *c, const char *dir)
{
	unsigned int n = 0;
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d) {
		ovpnconf_warning(c, "client-config-dir",
				 "cannot be read here: a vlan-pvid in one of its files would put a "
				 "client into a foreign segment");
		return;
	}
	c->client_config = true;
	while ((e = readdir(d)) && n < DIR_FILES_MAX) {
		char path[PATH_MAX];

		if (e->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path))
			continue;
		n++;
		check_file(c, path);
	}
	c->client_config = false;
	if (e)
		ovpnconf_warning(c, "client-config-dir",
				 "has more than 4096 files; the others were not looked at");
	closedir(d);
}

int ovpnconf_check(const char *file, const struct ovpnconf_expect *expect, FILE *report)
{
	struct check c = {.expect = expect, .report = report, .files = true, .security = 1};
	const char *slash = strrchr(file, '/');
	int r;

	if (slash)
		snprintf(c.dir, sizeof(c.dir), "%.*s", (int)(slash - file), file);
	r = check_file(&c, file);
	if (r < 0)
		return r;
	c.file = file;
	return ovpnconf_conclude(&c);
}

int ovpnconf_check_text(const char *name, const char *text, size_t size,
			const struct ovpnconf_expect *expect, FILE *report)
{
	struct check c = {.expect = expect, .report = report, .file = name, .security = 1};

	check_lines(&c, text, size);
	return ovpnconf_conclude(&c);
}
