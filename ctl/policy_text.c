/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where does a policy's text come from, what is wrong with it, and how is it sent? */
#include "ctl/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/client.h"

/* Bytes of a text in one message: six for each, at most, where it is quoted. */
#define PIECE 8192

void policy_text_free(struct policy_text *t)
{
	free(t->name);
	free(t->text);
}

/* --- a file --- */

static char *copy(const char *s)
{
	char *c = strdup(s);

	if (!c)
		text_oom();
	return c;
}

static int unreadable(const char *name, const char *why)
{
	text_line(stderr, "sallyport: %s: %s", name, why);
	return CTL_FAILED;
}

int policy_text_read(const struct ctl *ctl, const char *path, struct policy_text *ret)
{
	bool is_stdin = strcmp(path, "-") == 0;
	const char *name = is_stdin ? "standard input" : path;
	_cleanup_close_
	int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_
	char *text = malloc(POLICY_TEXT_MAX + 2);
	size_t size = 0;
	ssize_t n = 1;

	if (!text)
		text_oom();
	while (fd >= 0 && n != 0 && size <= POLICY_TEXT_MAX) {
		n = read(fd, text + size, POLICY_TEXT_MAX + 1 - size);
		if (n < 0 && errno != EINTR)
			break;
		size += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0 || n < 0)
		return unreadable(name, strerror(errno));
	if (size > POLICY_TEXT_MAX)
		return unreadable(name,
				  "it is longer than a policy may be: expected at most 256 KiB");
	text[size] = '\0';
	*ret = (struct policy_text){.name = copy(name), .text = TAKE_PTR(text), .size = size};
	return CTL_OK;
}

/* --- the daemon's --- */

static char *join(const json_t *items, size_t *ret_size)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_size);
	json_t *item;
	size_t i;

	if (!f)
		text_oom();
	json_array_foreach (items, i, item) {
		const json_t *piece = json_object_get(item, "text");

		if (json_is_string(piece))
			fwrite(json_string_value(piece), 1, json_string_length(piece), f);
	}
	if (fclose(f) != 0)
		text_oom();
	return text;
}

int policy_text_fetch(const struct ctl *ctl, const char *user, const char *name,
		      struct policy_text *ret, json_t **ret_reply)
{
	json_t *request = call_new("policy-show");
	_cleanup_json_ json_t *reply = NULL;
	int r;

	call_set(request, "user", user);
	call_set(request, "name", name);
	if (ret_reply)
		json_object_set_new(request, "counters", json_true());
	r = call_run(ctl, request, &reply);
	if (r != CTL_OK)
		return r;
	*ret = (struct policy_text){
		.text = join(json_object_get(reply, "items"), &ret->size),
		.generation = field_int(reply, "generation"),
		.is_default = json_is_true(json_object_get(reply, "default")),
	};
	ret->size = strlen(ret->text);
	if (!user)
		ret->name = copy("default");
	else if (asprintf(&ret->name, "%s/%s", user, name) < 0)
		text_oom();
	if (ret_reply)
		*ret_reply = TAKE_PTR(reply);
	return CTL_OK;
}

/* --- what is wrong with it --- */

static json_t *new_mistakes(const struct policy_text *t)
{
	_cleanup_free_
	char *safe = text_escape(t->name);
	json_t *doc = json_pack("{s:s, s:[]}", "file", safe, "mistakes");

	if (!doc)
		text_oom();
	return doc;
}

/* COLUMN 0: of the line as a whole; LINE 0: of the text. */
static void note(json_t *doc, const struct policy_text *t, unsigned int line, unsigned int column,
		 const char *words)
{
	_cleanup_free_
	char *safe = text_escape(words);

	json_array_append_new(json_object_get(doc, "mistakes"),
			      json_pack("{s:i, s:i, s:s}", "line", (int)line, "column", (int)column,
					"message", safe));
	if (column)
		text_line(stderr, "%s:%u:%u: %s", t->name, line, column, words);
	else if (line)
		text_line(stderr, "%s:%u: %s", t->name, line, words);
	else
		text_line(stderr, "%s: %s", t->name, words);
}

static int end_mistakes(const struct ctl *ctl, const json_t *doc)
{
	if (ctl->json)
		call_print_json(doc);
	return CTL_FAILED;
}

int policy_text_parse(const struct ctl *ctl, const struct policy_text *t, struct policy **ret)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	_cleanup_json_ json_t *doc = new_mistakes(t);
	struct policy_errors e;
	char error[200];
	int r = policy_parse(t->text, t->size, &p, &e);

	for (size_t i = 0; r == -EINVAL && i < e.n; i++)
		note(doc, t, e.v[i].line, e.v[i].column, e.v[i].text);
	if (r == -EINVAL && e.more)
		text_line(stderr, "%s: and more mistakes", t->name);
	if (r == 0) {
		r = policy_compile(p, 0, policy_digest(t->text, t->size), &rows, error);
		if (r < 0 && r != -ENOMEM)
			note(doc, t, 0, 0, error);
	}
	if (r == -ENOMEM)
		text_oom();
	if (r < 0)
		return end_mistakes(ctl, doc);
	*ret = TAKE_PTR(p);
	return CTL_OK;
}

struct test {
	const struct policy_text *text;
	json_t *doc;
};

static void unmet(unsigned int line, const char *sentence, void *arg)
{
	struct test *x = arg;

	note(x->doc, x->text, line, 0, sentence);
}

int policy_text_test(const struct ctl *ctl, const struct policy_text *t, const struct policy *p)
{
	_cleanup_json_ json_t *doc = new_mistakes(t);
	struct test x = {t, doc};

	return policy_test(p, unmet, &x) == 0 ? CTL_OK : end_mistakes(ctl, doc);
}

/* --- sending --- */

/* The bytes of the next piece: cut between characters. */
static size_t next_piece(const char *text, size_t left)
{
	size_t n = left < PIECE ? left : PIECE;

	while (n < left && n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* Each piece is answered; a refusal of the whole comes before the first of these. */
static int send_pieces(const struct ctl *ctl, int fd, const struct policy_text *t, json_t **ret)
{
	const char *text = t->text;

	for (size_t left = t->size, n; left; text += n, left -= n) {
		_cleanup_json_ json_t *put = call_new("policy-put");
		_cleanup_json_ json_t *reply = NULL;
		int r;

		n = next_piece(text, left);
		if (json_object_set_new(put, "text", json_stringn(text, n)) < 0)
			return -EILSEQ;
		r = call_exchange(ctl, fd, put, &reply);
		if (r < 0)
			return r;
		if (client_reply_error(reply, NULL) < 0) {
			*ret = TAKE_PTR(reply);
			return 0;
		}
	}
	return client_receive(fd, ret, client_now_us() + ctl->timeout_us);
}

static int exchange(const struct ctl *ctl, int fd, json_t *request, const struct policy_text *t,
		    json_t **ret)
{
	int r;

	if (!t || t->size <= PIECE) {
		if (t && json_object_set_new(request, "text", json_stringn(t->text, t->size)) < 0)
			return -EILSEQ;
		return call_exchange(ctl, fd, request, ret);
	}
	call_set_int(request, "bytes", (int64_t)t->size);
	r = client_send(fd, request, client_now_us() + ctl->timeout_us);
	return r ?: send_pieces(ctl, fd, t, ret);
}

int policy_text_send(const struct ctl *ctl, json_t *request, const struct policy_text *t,
		     json_t **ret, int *ret_errno)
{
	_cleanup_json_ json_t *owned = request;
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_close_
	int fd = call_connect(ctl);
	int r = fd < 0 ? fd : exchange(ctl, fd, owned, t, &reply);

	if (r < 0)
		return call_unreachable(ctl, r);
	r = client_reply_error(reply, NULL);
	if (ret_errno)
		*ret_errno = r;
	if (r < 0)
		return call_refused(ctl, reply);
	call_strip(reply);
	*ret = TAKE_PTR(reply);
	return CTL_OK;
}
