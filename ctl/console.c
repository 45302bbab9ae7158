/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport machine console: a machine's serial console on this terminal. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/parse.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/limits.h"

#define ESCAPE 0x1d /* Ctrl-], as telnet and virsh have it */
#define PIECE 1024

struct console {
	const struct ctl *ctl;
	int fd;
	bool ended;
	int code;
	/* Typed, and not taken by the machine yet. */
	uint8_t pending[PIECE];
	size_t n_pending;
	bool asked;   /* one piece is on its way */
	bool stalled; /* the machine took nothing: not again until something happens */
};

static int unhex(const char *text, uint8_t *ret, size_t size)
{
	size_t n = strlen(text) / 2;

	if (n > size)
		return -EMSGSIZE;
	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return -EBADMSG;
		ret[i] = (uint8_t)byte;
	}
	return (int)n;
}

static void print_data(struct console *c, const char *hex)
{
	static uint8_t data[SP_MSG_MAX / 2];
	int n = unhex(hex, data, sizeof(data));

	/* A console is a terminal's stream: it goes there as it is, as on a serial line. */
	if (n > 0 && (fwrite(data, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0)) {
		c->ended = true;
		c->code = CTL_FAILED;
	}
}

/* --- what is typed --- */

static int send_pending(struct console *c)
{
	char hex[2 * PIECE + 1];
	_cleanup_json_ json_t *request = NULL;
	int r;

	if (c->asked || c->stalled || c->n_pending == 0)
		return 0;
	for (size_t i = 0; i < c->n_pending; i++)
		snprintf(hex + 2 * i, 3, "%02x", c->pending[i]);
	request = call_new("machine-input");
	call_set(request, "data", hex);
	json_object_set_new(request, "id", json_string("input"));
	r = client_send(c->fd, request, client_now_us() + c->ctl->timeout_us);
	c->asked = r == 0;
	return r;
}

static void took(struct console *c, size_t n)
{
	c->asked = false;
	c->stalled = n == 0;
	if (n > c->n_pending)
		n = c->n_pending;
	memmove(c->pending, c->pending + n, c->n_pending - n);
	c->n_pending -= n;
}

static void read_keys(struct console *c)
{
	uint8_t *at = c->pending + c->n_pending;
	ssize_t n = read(STDIN_FILENO, at, PIECE - c->n_pending);

	if (n <= 0 || memchr(at, ESCAPE, (size_t)n))
		c->ended = true;
	else
		c->n_pending += (size_t)n;
	c->stalled = false;
}

/* --- what comes --- */

static int handle(struct console *c)
{
	_cleanup_json_ json_t *m = NULL;
	int r = client_receive(c->fd, &m, client_now_us() + c->ctl->timeout_us);

	if (r < 0)
		return call_unreachable(c->ctl, r);
	if (strcmp(field_text(m, "id"), "input") == 0) {
		took(c, client_reply_error(m, NULL) < 0 ? c->n_pending
							: (size_t)field_int(m, "taken"));
		return CTL_OK;
	}
	if (client_reply_error(m, NULL) < 0)
		return call_refused(c->ctl, m);
	if (json_object_get(m, "lost"))
		text_line(stderr, "\r\nsallyport: %" PRId64 " bytes were lost\r",
			  field_int(m, "lost"));
	c->stalled = false;
	if (json_object_get(m, "data"))
		print_data(c, field_text(m, "data"));
	if (json_object_get(m, "end")) {
		text_line(stderr, "\r\nsallyport: the console ended: %s\r", field_text(m, "end"));
		c->ended = true;
	}
	return CTL_OK;
}

static int follow(struct console *c)
{
	struct pollfd p[] = {{.fd = c->fd, .events = POLLIN}, {.fd = STDIN_FILENO}};
	int r = CTL_OK;

	while (!c->ended && r == CTL_OK) {
		p[1].events = c->n_pending < PIECE ? POLLIN : 0;
		if (poll(p, SP_ARRAY_SIZE(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return CTL_FAILED;
		}
		if (p[0].revents)
			r = handle(c);
		if (r == CTL_OK && (p[1].revents & (POLLIN | POLLHUP)))
			read_keys(c);
		if (r == CTL_OK && !c->ended && send_pending(c) < 0)
			return call_unreachable(c->ctl, -EPIPE);
	}
	return r == CTL_OK ? c->code : r;
}

/* Keys go to the machine one by one, and none of them to this terminal. */
static bool make_raw(struct termios *ret_old)
{
	struct termios t;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, ret_old) < 0)
		return false;
	t = *ret_old;
	cfmakeraw(&t);
	return tcsetattr(STDIN_FILENO, TCSAFLUSH, &t) == 0;
}

int cmd_machine_console(const struct ctl *ctl, const struct ctl_args *args)
{
	_cleanup_json_ json_t *request = call_new("machine-console");
	_cleanup_json_ json_t *reply = NULL;
	struct console c = {.ctl = ctl, .fd = -1};
	struct termios old;
	bool raw;
	int r;

	if (parse_name(args->positional[0], SP_NAME_MAX) < 0 ||
	    parse_name(args->positional[1], SP_NAME_MAX) < 0)
		return call_usage(args, "'%.80s' '%.80s': expected a user's and a machine's name",
				  args->positional[0], args->positional[1]);
	call_set(request, "user", args->positional[0]);
	call_set(request, "name", args->positional[1]);
	if (option_value(args, "force"))
		json_object_set_new(request, "force", json_true());
	c.fd = call_connect(ctl);
	if (c.fd < 0)
		return call_unreachable(ctl, c.fd);
	r = call_exchange(ctl, c.fd, request, &reply);
	if (r < 0)
		r = call_unreachable(ctl, r);
	else if (client_reply_error(reply, NULL) < 0)
		r = call_refused(ctl, reply);
	if (r == CTL_OK) {
		if (!ctl->quiet)
			text_line(stderr, "sallyport: connected to %s/%s; Ctrl-] ends it",
				  args->positional[0], args->positional[1]);
		raw = make_raw(&old);
		r = follow(&c);
		if (raw)
			tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	}
	close(c.fd);
	return r;
}
