/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the host's own policy say, which [firewall] default-policy names? */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_internal.h"
#include "lib/cleanup.h"
#include "policy/policy.h"

/* A regular file, no longer than a policy may be: nothing else is waited for. */
static int read_file(const char *path, char **ret, size_t *ret_size)
{
	_cleanup_close_
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_
	char *text = NULL;
	size_t size = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	text = malloc(POLICY_TEXT_MAX + 2);
	if (!text)
		return -ENOMEM;
	while (size <= POLICY_TEXT_MAX) {
		ssize_t n = read(fd, text + size, POLICY_TEXT_MAX + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	text[size] = '\0';
	*ret = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

struct told {
	struct config_parser *parser;
	const char *path;
};

static void tell_expectation(unsigned int line, const char *sentence, void *arg)
{
	struct told *t = arg;

	config_mistake(t->parser, config_line_of(t->parser, "firewall", "default-policy"),
		       "default-policy: %s:%u: %s", t->path, line, sentence);
}

static void check_text(struct told *t, const char *text, size_t size)
{
	unsigned int line = config_line_of(t->parser, "firewall", "default-policy");
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(policy_rows_free) struct policy_rows rows = {.v = NULL};
	struct policy_errors errors;
	char error[200];
	int r = policy_parse(text, size, &policy, &errors);

	if (r == -ENOMEM) {
		t->parser->out_of_memory = true;
		return;
	}
	for (size_t i = 0; r < 0 && i < errors.n; i++)
		config_mistake(t->parser, line, "default-policy: %s:%u:%u: %s", t->path,
			       errors.v[i].line, errors.v[i].column, errors.v[i].text);
	if (r < 0)
		return;
	policy_test(policy, tell_expectation, t);
	r = policy_compile(policy, 0, policy_digest(text, size), &rows, error);
	if (r == -ENOMEM)
		t->parser->out_of_memory = true;
	else if (r < 0)
		config_mistake(t->parser, line, "default-policy: %s: %s", t->path, error);
}

void config_check_policy(struct config_parser *p)
{
	struct config *c = p->config;
	struct told t = {p, c->default_policy};
	_cleanup_free_
	char *text = NULL;
	size_t size = 0;
	int r;

	if (!c->default_policy)
		return;
	r = read_file(c->default_policy, &text, &size);
	if (r == -ENOMEM) {
		p->out_of_memory = true;
	} else if (r < 0) {
		config_mistake(p, config_line_of(p, "firewall", "default-policy"),
			       "default-policy: '%s': %s: expected a file with a policy "
			       "(sallyport-policy(5))",
			       c->default_policy,
			       r == -EINVAL ? "it is no regular file" : strerror(-r));
	} else {
		check_text(&t, text, size);
		c->default_rules = TAKE_PTR(text);
	}
}
