/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyportd: options, signals, the service manager. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "daemon.h"
#include "lib/client.h"
#include "log.h"
#include "ovpnconf.h"
#include "sallyport/paths.h"

static const char usage[] =
	"Usage: sallyportd [OPTION]...\n"
	"The loader of Sallyport: owns the taps, veths, BPF programs and maps; answers OpenVPN's "
	"hooks\n"
	"and the sallyport command. Runs in the foreground; see sallyportd(8).\n\n"
	"  -c, --config FILE  configuration (default " SP_CONFIG_FILE ")\n"
	"      --check        check the configuration and each OpenVPN configuration that it "
	"names;\n"
	"                     exit 0: fit, 1: not, with every mistake on standard error\n"
	"  -V, --version      print the version\n"
	"  -h, --help         print this\n";

struct options {
	const char *config;
	bool check;
};

/* 1: go on; otherwise 0 or 2 is the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:Vh", longs, NULL)) >= 0) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'k':
			o->check = true;
			break;
		case 'V':
			puts("sallyportd " SP_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs("Try 'sallyportd --help'.\n", stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sallyportd: '%s': expected options only\n", argv[optind]);
		return 2;
	}
	return 1;
}

static int check(const struct config *c)
{
	int result = 0;

	for (size_t n = 0; n < c->n_instances; n++) {
		const struct config_instance *i = &c->instances[n];
		const struct ovpnconf_expect expect = {i->tap, i->vlan_mode, i->management, i->mtu};

		if (ovpnconf_check(i->openvpn_config, &expect, stderr) < 0)
			result = 1;
	}
	if (result == 0)
		printf("%s: fit, %zu instances\n", c->path, c->n_instances);
	return result;
}

static int on_exit_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static void on_reloaded(int error, void *arg)
{
	sd_notify(false, error < 0 ? "READY=1\nSTATUS=answering; the last reload was refused"
				   : "READY=1\nSTATUS=answering");
}

static int on_reload_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	/* Type=notify-reload asks for the time; older systemd ignores it. */
	sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)client_now_us());
	daemon_reload(arg, on_reloaded, NULL);
	return 0;
}

static int add_signals(struct daemon *d)
{
	int r = sd_event_add_signal(d->event, NULL, SIGTERM, on_exit_signal, d);

	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGINT, on_exit_signal, d);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGHUP, on_reload_signal, d);
	if (r >= 0)
		r = sd_event_set_watchdog(d->event, true);
	return r < 0 ? r : 0;
}

/* The threads that come later inherit it: signals are the loop's. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* The socket that systemd listens on for us, or -1. */
static int inherited_socket(void)
{
	int n = sd_listen_fds(true);

	if (n < 1)
		return -1;
	if (n > 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
		log_event(LOG_ERR,
			  "expected one listening SOCK_SEQPACKET socket from the service manager",
			  NULL);
		return -EINVAL;
	}
	return SD_LISTEN_FDS_START;
}

/* Every connection that control.c admits needs a descriptor, and each tap some more. */
static void raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int run(struct config *config)
{
	struct daemon *d = NULL;
	int fd, r;

	block_signals();
	raise_limits();
	fd = inherited_socket();
	if (fd < -1) {
		config_free(config);
		return 1;
	}
	r = daemon_new(config, fd, &d);
	if (r < 0) {
		config_free(config);
		log_event(LOG_ERR, "cannot start", "ERROR", strerror(-r), NULL);
		return 1;
	}
	r = add_signals(d);
	if (r == 0) {
		sd_notify(false, "READY=1\nSTATUS=answering");
		log_event(LOG_NOTICE, "ready", "VERSION", SP_VERSION, NULL);
		r = daemon_run(d);
	}
	sd_notify(false, "STOPPING=1");
	log_event(LOG_NOTICE, "stopping: what is programmed goes on", NULL);
	daemon_free(d);
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = {.config = SP_CONFIG_FILE};
	struct config *config = NULL;
	int r = parse_options(argc, argv, &o);

	if (r != 1)
		return r;
	log_open("sallyportd", LOG_INFO);
	r = config_load(o.config, &config, stderr);
	if (r < 0) {
		if (r != -EINVAL)
			fprintf(stderr, "%s: %s\n", o.config, strerror(-r));
		return 1;
	}
	log_set_level(config->log_level);
	if (o.check) {
		r = check(config);
		config_free(config);
		return r;
	}
	return run(config);
}
