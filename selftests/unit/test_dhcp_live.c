// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does a machine get its addresses, and send with them alone? A real DHCP server (dnsmasq) in a
 * workload's namespace, real clients (udhcpc, dhclient) behind a machine's port, the programs and
 * the daemon's loop between them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/client.h"
#include "link.h"
#include "selftests/harness/host.h"
#include "selftests/harness/net.h"

#define WAIT_US (20 * 1000000ULL)
#define MTU 1500

static const uint8_t server_mac[6] = {2, 0, 0, 0, 9, 1}, device_mac[6] = {2, 0, 0, 0, 9, 2};

static struct host *h;
static struct machine *m;
static struct workload *w;
static struct session *s;
static pid_t server;
static char dir[] = "/tmp/sp-dhcp-XXXXXX", script[64], leasefile[64], pidfile[64];

/* --- processes --- */

static pid_t start(const char *netns, const char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		net_enter(netns);
		if (!getenv("SP_VERBOSE")) {
			dup2(null, 1);
			dup2(null, 2);
		}
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The loop runs while CMD does: its exit code, or -1 after WAIT_US. */
static int finish(pid_t pid)
{
	uint64_t from = client_now_us();
	int status;

	while (client_now_us() - from < WAIT_US) {
		sd_event_run(h->d.event, 20000);
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static int run(const char *netns, const char *const argv[])
{
	return finish(start(netns, argv));
}

/* --- the port of a far end --- */

static uint32_t plug(const char *ns, const char *dev, const uint8_t mac[6], struct sp_port port)
{
	struct link_info info;

	port.max_len = MTU + 14;
	assert_int_equal(net_netns_add(ns), 0);
	assert_int_equal(link_veth_make(dev, ns, "eth0", mac, MTU, &info), 0);
	assert_int_equal(dataplane_attach(h->d.dp, info.ifindex, &port), 0);
	assert_int_equal(link_set_up(info.ifindex, true), 0);
	return info.ifindex;
}

static void move(struct member *member, uint32_t ifindex)
{
	struct sp_dst dst = member->dst;

	dst.ifindex = ifindex;
	dst.flags = 0;
	dst.vid = 0;
	dst.max_len = MTU + 14;
	assert_int_equal(segment_move(&h->d, member, &dst), 0);
}

static void make_machine(void)
{
	struct store_machine row;

	m = host_machine(h, "a", "m", 64, 1);
	row = m->row;
	row.pinned = PINNED_DHCP;
	row.policy.start = START_TRAFFIC;
	m->info.state = VIRT_OFF;
	m->looked = true;
	assert_int_equal(machine_set_row(m, &row), 0);
	host_join(h, m);
	move(&m->member, plug("client", "t-client", m->row.mac,
			      (struct sp_port){.port = m->member.dst.port,
					       .segment = m->row.segment,
					       .kind = SP_PORT_MACHINE}));
	dataplane_machine_flags(h->d.dp, m->member.dst.port, 0, SP_M_PROXY);
}

static void make_script(void)
{
	FILE *f = fopen(script, "we");

	assert_non_null(f);
	/* udhcpc says what happened by its argument, dhclient by `reason`. */
	fputs("#!/bin/sh\n"
	      "case $1$reason in\n"
	      "bound | renew) ip addr replace $ip/24 dev $interface ;;\n"
	      "BOUND | RENEW | REBOOT) ip addr replace $new_ip_address/24 dev $interface ;;\n"
	      "BOUND6 | RENEW6) ip addr replace $new_ip6_address/64 dev $interface nodad ;;\n"
	      "esac\n"
	      "exit 0\n",
	      f);
	fclose(f);
	assert_int_equal(chmod(script, 0755), 0);
}

static int setup(void **state)
{
	int r = net_isolate();

	if (r < 0 || !mkdtemp(dir))
		return -1;
	snprintf(script, sizeof(script), "%s/script", dir);
	snprintf(leasefile, sizeof(leasefile), "--dhcp-leasefile=%s/leases", dir);
	snprintf(pidfile, sizeof(pidfile), "%s/pid", dir);
	make_script();
	r = host_setup(state);
	if (r)
		return r;
	h = *state;
	s = host_session(h, HOST_VLAN, "a", 1);
	assert_int_equal(machine_notice_watch(&h->d), 0);
	make_machine();
	w = host_workload(h, "a", server_mac, device_mac);
	move(&w->member, plug("server", "t-server", server_mac,
			      (struct sp_port){.port = w->member.dst.port,
					       .segment = m->row.segment,
					       .kind = SP_PORT_NETNS}));
	assert_int_equal(run("server", ARGV("ip", "addr", "add", "10.9.0.1/24", "dev", "eth0")), 0);
	assert_int_equal(
		run("server", ARGV("ip", "addr", "add", "fd09::1/64", "dev", "eth0", "nodad")), 0);
	assert_int_equal(run("server", ARGV("ip", "link", "set", "eth0", "up")), 0);
	assert_int_equal(run("client", ARGV("ip", "link", "set", "eth0", "up")), 0);
	return 0;
}

/* A dhclient that a test which failed left behind. */
static void end_client(void)
{
	FILE *f = fopen(pidfile, "re");
	int pid = 0;

	if (f && fscanf(f, "%d", &pid) == 1 && pid > 1)
		kill(pid, SIGKILL);
	if (f)
		fclose(f);
}

static int teardown(void **state)
{
	end_client();
	if (server > 0) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
	}
	machine_notice_unwatch(&h->d);
	machine_remove(m);
	host_remove(h, w);
	session_end(s, "test");
	run("client", ARGV("rm", "-r", dir));
	return host_teardown(state);
}

/* --- */

static void begin_server(void)
{
	server = start("server",
		       ARGV("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0",
			    "--no-resolv", "--interface=eth0", "--bind-interfaces", "--no-ping",
			    "--dhcp-authoritative", "--dhcp-range=10.9.0.50,10.9.0.60,2m",
			    "--dhcp-range=fd09::50,fd09::60,64,2m", leasefile, "--user=root",
			    "--pid-file="));
	assert_true(server > 0);
}

static bool has(const char *text)
{
	struct addresses a;
	struct sp_address value;

	assert_int_equal(addresses_parse(text, &a, NULL), 0);
	return dataplane_address_get(h->d.dp, m->row.segment, a.v[0], &value) == 0 &&
	       value.port == m->member.dst.port;
}

/* The first of the machine's leases of this family; "" where there is none. */
static const char *leased(bool v6)
{
	static char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < m->leases.n; i++)
		if (!strchr(address_format(m->leases.v[i].addr, text), ':') != v6)
			return text;
	return "";
}

static int ping(const char *to)
{
	return run("client", ARGV("ping", "-c", "3", "-i", "0.2", "-W", "2", to));
}

/* udhcpc, with a lease or without. MORE may be NULL. */
static int ask(const char *more)
{
	return run("client", ARGV("busybox", "udhcpc", "-f", "-q", "-n", "-t", "5", "-T", "1", "-i",
				  "eth0", "-s", script, more));
}

static void test_no_lease(void **state)
{
	assert_int_equal(ask(NULL), 1); /* nobody answers */
	assert_int_equal(run("client", ARGV("ip", "addr", "add", "10.9.0.99/24", "dev", "eth0")),
			 0);
	assert_int_not_equal(ping("10.9.0.1"), 0);
	assert_int_equal(
		run("client", ARGV("ip", "addr", "flush", "dev", "eth0", "scope", "global")), 0);
}

static void test_v4(void **state)
{
	char first[INET6_ADDRSTRLEN];

	begin_server();
	assert_int_equal(ask(NULL), 0);
	snprintf(first, sizeof(first), "%s", leased(false));
	assert_memory_equal(first, "10.9.0.", 7);
	assert_true(has(first));
	assert_int_equal(ping("10.9.0.1"), 0);
	/* An address beside it is not its own. */
	assert_int_equal(run("client", ARGV("ip", "addr", "add", "10.9.0.99/24", "dev", "eth0")),
			 0);
	assert_int_not_equal(
		run("client", ARGV("ping", "-c", "2", "-W", "1", "-I", "10.9.0.99", "10.9.0.1")),
		0);
	assert_int_equal(run("client", ARGV("ip", "addr", "del", "10.9.0.99/24", "dev", "eth0")),
			 0);
}

/* The answer comes to all. */
static void test_broadcast(void **state)
{
	uint64_t before = m->leases.v[0].until_us;

	assert_int_equal(m->leases.n, 1);
	assert_int_equal(ask("-B"), 0);
	assert_int_equal(m->leases.n, 1);
	assert_true(m->leases.v[0].until_us > before);
	assert_int_equal(ping("10.9.0.1"), 0);
}

/* dhclient of FAMILY ("-4", "-6"): HOW it is called, "-1": for a lease, "-r": to give it back. */
static int dhclient(const char *family, const char *how)
{
	char lease[80];

	snprintf(lease, sizeof(lease), "%s/client%s", dir, family);
	return run("client", ARGV("dhclient", family, how, "-sf", script, "-pf", pidfile, "-lf",
				  lease, "eth0"));
}

static void lease_and_release(const char *family, const char *prefix, const char *peer)
{
	bool v6 = strcmp(family, "-6") == 0;
	char was[INET6_ADDRSTRLEN];

	assert_int_equal(dhclient(family, "-1"), 0);
	snprintf(was, sizeof(was), "%s", leased(v6));
	assert_memory_equal(was, prefix, strlen(prefix));
	assert_true(has(was));
	assert_int_equal(ping(peer), 0);
	assert_int_equal(dhclient(family, "-r"), 0);
	for (uint64_t from = client_now_us(); has(was) && client_now_us() - from < WAIT_US;)
		sd_event_run(h->d.event, 20000);
	assert_false(has(was));
	assert_string_equal(leased(v6), "");
	assert_int_not_equal(ping(peer), 0);
}

static void test_release(void **state)
{
	lease_and_release("-4", "10.9.0.", "10.9.0.1");
}

static void test_v6(void **state)
{
	lease_and_release("-6", "fd09::", "fd09::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_lease),  cmocka_unit_test(test_v4),
		cmocka_unit_test(test_broadcast), cmocka_unit_test(test_release),
		cmocka_unit_test(test_v6),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("dhcp_live", tests, setup, teardown);
}
