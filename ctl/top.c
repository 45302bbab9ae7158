/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport top: who is moving how much right now, and what is being dropped? */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/picture.h"
#include "ctl/screen.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/client.h"

struct top {
	const struct ctl *ctl;
	bool live;
	uint64_t delay_ms;
	uint64_t left; /* pictures; 0: no end */
	int fd;	       /* to the daemon; -1: gone */
	int timer_fd, signal_fd;
	json_t *previous;
	uint64_t previous_us;
	json_t *picture; /* the last one, for a redraw */
	struct screen screen;
};

static void top_release(struct top *t)
{
	screen_leave(&t->screen);
	closep(&t->fd);
	closep(&t->timer_fd);
	closep(&t->signal_fd);
	json_decref(t->previous);
	json_decref(t->picture);
}

/* --- what the daemon says --- */

/* One op's reply, or the code to end with. */
static int ask(struct top *t, const char *op, json_t **ret)
{
	_cleanup_json_ json_t *request = call_new(op);
	_cleanup_json_ json_t *reply = NULL;
	int r;

	if (t->fd < 0)
		t->fd = call_connect(t->ctl);
	r = t->fd < 0 ? t->fd : call_exchange(t->ctl, t->fd, request, &reply);
	if (r < 0) {
		closep(&t->fd);
		t->fd = r;
		return CTL_UNREACHABLE;
	}
	if (client_reply_error(reply, NULL) < 0) {
		screen_leave(&t->screen);
		return call_refused(t->ctl, reply);
	}
	call_strip(reply);
	*ret = TAKE_PTR(reply);
	return CTL_OK;
}

static int sample(struct top *t, json_t **ret)
{
	_cleanup_json_ json_t *status = NULL;
	_cleanup_json_ json_t *sessions = NULL;
	_cleanup_json_ json_t *counters = NULL;
	int r;

	r = ask(t, "status", &status);
	if (r == CTL_OK)
		r = ask(t, "session-list", &sessions);
	if (r == CTL_OK)
		r = ask(t, "counters", &counters);
	if (r != CTL_OK)
		return r;
	*ret = json_pack("{s:O, s:O?, s:O?, s:O?}", "status", status, "sessions",
			 json_object_get(sessions, "items"), "ports",
			 json_object_get(counters, "items"), "reasons",
			 json_object_get(counters, "reasons"));
	if (!*ret)
		text_oom();
	return CTL_OK;
}

/* The next picture. While live, a daemon that is away (restarting) is waited for. */
static int look(struct top *t)
{
	uint64_t now = client_now_us();
	json_t *current = NULL;
	int r = sample(t, &current);

	if (r != CTL_OK)
		return r;
	json_decref(t->picture);
	t->picture = picture_new(t->previous, current, (double)(now - t->previous_us) / 1e6);
	json_decref(t->previous);
	t->previous = current;
	t->previous_us = now;
	return CTL_OK;
}

/* --- what is shown --- */

static int draw(struct top *t, int error)
{
	_cleanup_free_
	char *text = NULL;
	size_t size = 0, columns, lines;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		text_oom();
	screen_size(&columns, &lines);
	if (error)
		fprintf(f, "the daemon is not reachable (%s): waiting for it; q ends%s",
			strerror(-error), SCREEN_EOL);
	if (t->picture) /* the line below the last one stays free: writing it would scroll */
		picture_print(t->picture, f, columns, lines - 1 - (error != 0), SCREEN_EOL);
	if (fclose(f) != 0)
		text_oom();
	return screen_draw(text, size) < 0 ? CTL_FAILED : CTL_OK;
}

static void print_batch(const struct top *t)
{
	if (t->ctl->json)
		call_print_json_line(t->picture);
	else
		picture_print(t->picture, stdout, 0, 0, "\n");
	fflush(stdout);
}

/* Look and show. -1: go on; else the code to end with. */
static int step(struct top *t, bool show)
{
	int r = look(t);

	if (t->live && (r == CTL_OK || r == CTL_UNREACHABLE))
		r = draw(t, r == CTL_OK ? 0 : t->fd);
	else if (r == CTL_UNREACHABLE)
		return call_unreachable(t->ctl, t->fd);
	else if (r == CTL_OK && show)
		print_batch(t);
	if (r != CTL_OK)
		return r;
	if (ferror(stdout))
		return CTL_FAILED;
	return show && t->left && --t->left == 0 ? CTL_OK : -1;
}

/* --- the loop --- */

/* -1: go on. */
static int on_signal(struct top *t)
{
	struct signalfd_siginfo info;

	if (read(t->signal_fd, &info, sizeof(info)) != sizeof(info))
		return -1;
	if (info.ssi_signo == SIGTSTP) {
		screen_leave(&t->screen);
		raise(SIGSTOP);
		if (t->live && screen_enter(&t->screen) < 0)
			return CTL_FAILED;
	} else if (info.ssi_signo != SIGWINCH) {
		return CTL_OK;
	}
	if (t->live && draw(t, t->fd < 0 ? t->fd : 0) != CTL_OK)
		return CTL_FAILED;
	return -1;
}

static int on_key(struct top *t)
{
	char keys[32];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		return CTL_OK; /* the terminal is gone */
	return n > 0 && (memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n)) ? CTL_OK
										       : -1;
}

static int loop(struct top *t)
{
	struct pollfd p[] = {{.fd = t->timer_fd, .events = POLLIN},
			     {.fd = t->signal_fd, .events = POLLIN},
			     {.fd = t->live ? STDIN_FILENO : -1, .events = POLLIN}};
	/* the first look has no rates yet: shown where somebody waits for something to appear */
	int r = step(t, t->live);

	while (r < 0) {
		uint64_t ticks;

		if (poll(p, SP_ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return CTL_FAILED;
		if (p[1].revents)
			r = on_signal(t);
		if (r < 0 && p[2].revents)
			r = on_key(t);
		if (r < 0 && p[0].revents &&
		    read(t->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks))
			r = step(t, true);
	}
	return r;
}

static int start(struct top *t)
{
	struct timespec delay = {.tv_sec = (time_t)(t->delay_ms / 1000),
				 .tv_nsec = (long)(t->delay_ms % 1000) * 1000000};
	struct itimerspec timer = {.it_interval = delay, .it_value = delay};
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SP_ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	/* nobody pressed a key that stops a batch in the background: leave that one alone */
	if (!t->live)
		sigdelset(&set, SIGTSTP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	t->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t->signal_fd < 0 || t->timer_fd < 0 ||
	    timerfd_settime(t->timer_fd, 0, &timer, NULL) < 0)
		return -errno;
	return t->live ? screen_enter(&t->screen) : 0;
}

int cmd_top(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *delay = option_value(args, "delay"), *count = option_value(args, "count");
	__attribute__((__cleanup__(top_release))) struct top t = {
		.ctl = ctl, .fd = -1, .timer_fd = -1, .signal_fd = -1, .delay_ms = 1000};
	json_t *probe = NULL;
	int r;

	if (delay && parse_seconds_ms(delay, &t.delay_ms) < 0)
		return call_usage(args, "--delay '%.32s': expected seconds, 0.1 to 3600", delay);
	if (count && parse_number(count, 1, INT64_MAX, &t.left) < 0)
		return call_usage(args, "--count '%.32s': expected a number from 1 on", count);
	t.live = !option_value(args, "batch") && !ctl->json;
	if (t.live && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		return call_usage(args, "there is no terminal: expected --batch");
	/* said on the ordinary screen, where it stays to be read */
	r = ask(&t, "status", &probe);
	json_decref(probe);
	if (r == CTL_UNREACHABLE)
		return call_unreachable(ctl, t.fd);
	if (r != CTL_OK)
		return r;
	r = start(&t);
	if (r < 0) {
		screen_leave(&t.screen);
		text_line(stderr, "sallyport: top: %s", strerror(-r));
		return CTL_FAILED;
	}
	return loop(&t);
}
