/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sallyport policy edit: the policy in an editor, and what comes out of it in force. What somebody
 * has written is never lost: where it cannot be taken it stays in its file, and that is told.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/call.h"
#include "ctl/policy.h"
#include "ctl/text.h"
#include "lib/cleanup.h"

struct edit {
	const struct ctl *ctl;
	const char *user, *name;
	char path[128];
};

static int failed(const struct edit *e, const char *what)
{
	text_line(stderr, "sallyport: %s: %s: %s", e->path, what, strerror(errno));
	return CTL_FAILED;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int make_file(struct edit *e, const struct policy_text *t)
{
	const char *dir = getenv("TMPDIR");
	_cleanup_close_
	int fd = -1;

	snprintf(e->path, sizeof(e->path), "%.100s/policy-XXXXXX.txt", dir && *dir ? dir : "/tmp");
	fd = mkstemps(e->path, 4);
	if (fd < 0)
		return failed(e, "it cannot be made");
	if (write_all(fd, t->text, t->size) == 0)
		return CTL_OK;
	failed(e, "it cannot be written");
	unlink(e->path);
	return CTL_FAILED;
}

/* The words of the variable are a command and its options; the path is no part of it. */
static int run_editor(const struct edit *e)
{
	static const char script[] = "exec ${VISUAL:-${EDITOR:-vi}} \"$1\"";
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, "sh", e->path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return failed(e, "no editor can be started");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return failed(e, "the editor is gone");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return CTL_OK;
	text_line(stderr, "sallyport: the editor failed; nothing was changed");
	return CTL_FAILED;
}

static bool wants_again(void)
{
	char line[16];

	if (!isatty(STDIN_FILENO))
		return false;
	fputs("edit again? [Y/n] ", stderr);
	return fgets(line, sizeof(line), stdin) && line[0] != 'n' && line[0] != 'N';
}

/* Until it is a policy. *RET_KEEP: the file has something that is nowhere else. */
static int edit_until_good(const struct edit *e, const struct policy_text *before,
			   struct policy_text *ret, bool *ret_keep)
{
	for (;;) {
		_cleanup_policy_text_ struct policy_text t = {.text = NULL};
		_cleanup_(policy_freep) struct policy *p = NULL;
		int r = run_editor(e);

		if (r != CTL_OK)
			return r;
		*ret_keep = true;
		r = policy_text_read(e->ctl, e->path, &t);
		if (r == CTL_OK && t.size == before->size &&
		    memcmp(t.text, before->text, t.size) == 0) {
			*ret_keep = false;
			return CTL_OK;
		}
		if (r == CTL_OK)
			r = policy_text_parse(e->ctl, &t, &p);
		if (r == CTL_OK)
			r = policy_text_test(e->ctl, &t, p);
		if (r == CTL_OK) {
			*ret = t;
			t = (struct policy_text){.text = NULL};
			return r;
		}
		if (!wants_again())
			return r;
	}
}

static int send(const struct edit *e, const struct ctl_args *args, const struct policy_text *before,
		const struct policy_text *t)
{
	_cleanup_json_ json_t *request = NULL;
	_cleanup_json_ json_t *reply = NULL;
	int r = policy_new_set(args, &request);

	if (r != CTL_OK)
		return r;
	call_set_int(request, "generation", before->generation);
	r = policy_text_send(e->ctl, TAKE_PTR(request), t, &reply, NULL);
	if (r == CTL_OK)
		policy_tell_set(e->ctl, e->user, e->name, reply);
	return r;
}

int cmd_policy_edit(const struct ctl *ctl, const struct ctl_args *args)
{
	struct edit e = {ctl, args->positional[0], args->positional[1], ""};
	_cleanup_policy_text_ struct policy_text before = {.text = NULL};
	_cleanup_policy_text_ struct policy_text after = {.text = NULL};
	bool keep = false;
	int r = policy_check_names(args);

	if (r == CTL_OK)
		r = policy_text_fetch(ctl, e.user, e.name, &before, NULL);
	if (r == CTL_OK)
		r = make_file(&e, &before);
	if (r != CTL_OK)
		return r;
	r = edit_until_good(&e, &before, &after, &keep);
	if (r == CTL_OK && after.text)
		r = send(&e, args, &before, &after);
	else if (r == CTL_OK && !ctl->quiet && !ctl->json)
		puts("not changed");
	if (r != CTL_OK && keep)
		text_line(stderr, "sallyport: what was written is in %s", e.path);
	else
		unlink(e.path);
	return r;
}
