// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What does a frame of a refused MAC cost OpenVPN's thread? The plugin itself, loaded as OpenVPN
 * loads it, is asked for one address a million times; the daemon refuses it, and is asked again
 * whenever its answer has run out.
 */
#include <dlfcn.h>
#include <openvpn/openvpn-plugin.h>

#include "bench/session.h"
#include "lib/mac.h"

#define ROUNDS 10
#define CALLS 100000
#define ASKS 100

struct plugin {
	openvpn_plugin_handle_t handle;
	int (*func)(int version, struct openvpn_plugin_args_func_in const *in,
		    struct openvpn_plugin_args_func_return *ret);
	void *client;
};

static void *symbol(void *so, const char *name)
{
	void *p = dlsym(so, name);

	if (!p) {
		fprintf(stderr, "bench_plugin: %s\n", dlerror());
		exit(1);
	}
	return p;
}

static void load(struct plugin *p, const char *path, const struct bench_session *s)
{
	void *so = dlopen(path, RTLD_NOW);
	int (*open_v3)(int version, struct openvpn_plugin_args_open_in const *in,
		       struct openvpn_plugin_args_open_return *ret);
	char instance[128], socket[256];
	const char *argv[] = {path, instance, socket, NULL}, *envp[] = {NULL};
	struct openvpn_plugin_args_open_in in = {.type_mask = ~0, .argv = argv, .envp = envp};
	struct openvpn_plugin_args_open_return ret = {0};

	if (!so) {
		fprintf(stderr, "bench_plugin: %s\n", dlerror());
		exit(1);
	}
	snprintf(instance, sizeof(instance), "instance=%s", s->instance);
	snprintf(socket, sizeof(socket), "socket=%s", s->socket);
	*(void **)&open_v3 = symbol(so, "openvpn_plugin_open_v3");
	*(void **)&p->func = symbol(so, "openvpn_plugin_func_v3");
	if (open_v3(OPENVPN_PLUGINv3_STRUCTVER, &in, &ret) != OPENVPN_PLUGIN_FUNC_SUCCESS)
		must(-EINVAL, "openvpn_plugin_open_v3");
	p->handle = ret.handle;
}

/* Us for each call; all of them must be refused. */
static double refuse(const struct plugin *p, const char **argv, const char **envp)
{
	struct openvpn_plugin_args_func_in in = {.type = OPENVPN_PLUGIN_LEARN_ADDRESS,
						 .argv = argv,
						 .envp = envp,
						 .handle = p->handle};
	uint64_t begin = now_ns();

	for (int i = 0; i < CALLS; i++) {
		struct openvpn_plugin_args_func_return ret = {0};

		if (p->func(OPENVPN_PLUGINv3_STRUCTVER, &in, &ret) != OPENVPN_PLUGIN_FUNC_ERROR)
			must(-EPROTO, "the plugin let the address in");
	}
	return (double)(now_ns() - begin) / 1000 / CALLS;
}

static double ask_daemon(const struct bench_session *s, const struct hook_learn *l)
{
	uint64_t begin = now_ns();

	for (int i = 0; i < ASKS; i++)
		if (ask_learn(s, l))
			must(-EPROTO, "the daemon let the address in");
	return (double)(now_ns() - begin) / 1000 / ASKS;
}

/* PLUGIN MAC and the session. */
int main(int argc, char **argv)
{
	char address[64], cn[256], ip[128], port[64], time_unix[64], pid[64];
	double plugin[ROUNDS], daemon[ROUNDS], ratio[ROUNDS];
	struct hook_learn l = {.event = HOOK_ADD};
	struct bench_session s;
	struct plugin p = {0};

	if (argc != 3 + SESSION_ARGS)
		return 2;
	parse_session(&s, argv + 3);
	must(mac_parse(argv[2], l.mac), argv[2]);
	l.vid = s.vid;
	load(&p, argv[1], &s);

	snprintf(address, sizeof(address), "%s@%u", argv[2], s.vid);
	snprintf(cn, sizeof(cn), "common_name=%s", s.key.common_name);
	snprintf(ip, sizeof(ip), "trusted_ip=%s", s.key.trusted_ip);
	snprintf(port, sizeof(port), "trusted_port=%u", s.key.trusted_port);
	snprintf(time_unix, sizeof(time_unix), "time_unix=%lld", (long long)s.key.time_unix);
	snprintf(pid, sizeof(pid), "daemon_pid=%lld", (long long)s.key.daemon_pid);
	const char *hook_argv[] = {"learn-address", "add", address, s.key.common_name, NULL};
	const char *envp[] = {cn, ip, port, time_unix, pid, NULL};

	for (int i = 0; i < ROUNDS; i++) {
		plugin[i] = refuse(&p, hook_argv, envp);
		daemon[i] = ask_daemon(&s, &l);
		ratio[i] = daemon[i] / plugin[i];
	}
	report("plugin.refuse", median(plugin, ROUNDS), "us", "asking the daemon",
	       median(daemon, ROUNDS), median(ratio, ROUNDS));
	return 0;
}
