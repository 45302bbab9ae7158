/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport monitor: what is being dropped, who comes and goes, as it happens. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "ctl/call.h"
#include "ctl/event.h"
#include "ctl/options.h"
#include "ctl/pcap.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "lib/client.h"

struct monitor_run {
	const struct ctl *ctl;
	int fd;
	int signal_fd;
	int pcap_fd;	   /* -1: none */
	bool print;	   /* events as lines */
	bool want_drops;   /* a capture needs them even where only changes are to be printed */
	int64_t offset_ns; /* monotonic time to time of day */
};

/* A whole record or an error: a reader of the file never finds half of one that we could finish. */
static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int open_pcap(const char *path)
{
	_cleanup_close_
	int fd = -1;
	uint8_t header[PCAP_HEADER_SIZE];
	int r;

	/* frames of others are in it: nobody else reads it */
	fd = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
				    : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, header, pcap_header(header));
	return r < 0 ? r : TAKE_FD(fd);
}

static int capture(const struct monitor_run *m, const json_t *event)
{
	uint8_t data[SP_EVENT_SNAP], record[PCAP_RECORD_MAX];
	struct pcap_frame frame;
	int n;

	if (pcap_frame_of_event(event, m->offset_ns, data, &frame) < 0)
		return 0; /* of another kind, or not to be made sense of: the line shows it */
	n = pcap_record(&frame, record);
	return n < 0 ? 0 : write_all(m->pcap_fd, record, (size_t)n);
}

static void print_event(const struct monitor_run *m, const json_t *event)
{
	_cleanup_free_
	char *text = NULL;
	struct timespec now, when;
	char clock[TEXT_NUMBER_MAX];

	if (m->ctl->json) {
		call_print_json_line(event);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	when = event_time(event, m->offset_ns, &now);
	text = event_text(event);
	text_line(stdout, "%s %s", text_clock(&when, clock), text);
	fflush(stdout);
}

static int handle_message(const struct monitor_run *m)
{
	_cleanup_json_ json_t *message = NULL;
	const json_t *event;
	bool is_frame;
	int r;

	r = client_receive(m->fd, &message, client_now_us() + m->ctl->timeout_us);
	if (r < 0)
		return call_unreachable(m->ctl, r);
	if (client_reply_error(message, NULL) < 0)
		return call_refused(m->ctl, message);
	event = json_object_get(message, "event");
	is_frame = event_is_frame(event);
	if (m->pcap_fd >= 0 && is_frame) {
		r = capture(m, event);
		if (r < 0) {
			text_line(stderr, "sallyport: capture: %s", strerror(-r));
			return CTL_FAILED;
		}
	}
	if (m->print && (m->want_drops || !is_frame))
		print_event(m, event);
	if (ferror(stdout))
		return CTL_FAILED;
	return CTL_OK;
}

/* Until the daemon closes or a signal ends us, which is the ordinary end. */
static int follow(const struct monitor_run *m)
{
	struct pollfd p[] = {{.fd = m->fd, .events = POLLIN},
			     {.fd = m->signal_fd, .events = POLLIN}};

	for (;;) {
		int r;

		if (poll(p, SP_ARRAY_SIZE(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return CTL_FAILED;
		}
		if (p[1].revents)
			return CTL_OK;
		r = handle_message(m);
		if (r != CTL_OK)
			return r;
	}
}

static int subscribe(const struct monitor_run *m, bool drops, bool changes)
{
	_cleanup_json_ json_t *request = call_new("monitor");
	_cleanup_json_ json_t *reply = NULL;
	int r;

	json_object_set_new(request, "drops", json_boolean(drops));
	json_object_set_new(request, "changes", json_boolean(changes));
	r = call_exchange(m->ctl, m->fd, request, &reply);
	if (r < 0)
		return call_unreachable(m->ctl, r);
	return client_reply_error(reply, NULL) < 0 ? call_refused(m->ctl, reply) : CTL_OK;
}

static int64_t realtime_offset_ns(void)
{
	struct timespec mono, real;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &real);
	return (int64_t)(real.tv_sec - mono.tv_sec) * 1000000000 + (real.tv_nsec - mono.tv_nsec);
}

static int ending_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int cmd_monitor(const struct ctl *ctl, const struct ctl_args *args)
{
	bool drops = option_value(args, "drops"), changes = option_value(args, "changes");
	const char *file = option_value(args, "pcap");
	_cleanup_close_
	int fd = -1;
	_cleanup_close_
	int signal_fd = -1;
	_cleanup_close_
	int pcap_fd = -1;
	struct monitor_run m;
	int r;

	if (file && strcmp(file, "-") == 0 && isatty(STDOUT_FILENO))
		return call_usage(args, "--pcap '-': standard output is a terminal");
	if (!drops && !changes)
		drops = changes = true;
	fd = call_connect(ctl);
	if (fd < 0)
		return call_unreachable(ctl, fd);
	if (file) {
		pcap_fd = open_pcap(file);
		if (pcap_fd < 0) {
			text_line(stderr, "sallyport: '%s': %s", file, strerror(-pcap_fd));
			return CTL_FAILED;
		}
	}
	signal_fd = ending_signals();
	if (signal_fd < 0)
		return CTL_FAILED;
	m = (struct monitor_run){.ctl = ctl,
				 .fd = fd,
				 .signal_fd = signal_fd,
				 .pcap_fd = pcap_fd,
				 .print = !ctl->quiet && !(file && strcmp(file, "-") == 0),
				 .want_drops = drops,
				 .offset_ns = realtime_offset_ns()};
	r = subscribe(&m, drops || file, changes);
	return r == CTL_OK ? follow(&m) : r;
}
