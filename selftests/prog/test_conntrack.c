// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does the firewall say what the kernel's own says? The same talks, drawn at random, go through
 * nf_conntrack and nftables in one namespace, and through the programs; every packet's verdict is
 * compared. Where they may differ, docs/flows.md says why, and `differences` here how it is known.
 *
 * SP_TALKS: how many. SP_TALKS_SEED: of the first; SP_TALKS_SHOW: tell so many that differ.
 * SP_TALKS_ONE: the number of the only one, and what the kernel knows after each packet.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "selftests/harness/draw.h"
#include "selftests/harness/flowbed.h"
#include "selftests/harness/net.h"
#include "selftests/harness/talk.h"

#define TALKS 100000
#define FLUSH_EVERY 8000 /* talks: the kernel's table is for everybody */
#define SEED 20261126
#define KERNEL "kernel"
#define FLOWS (1U << 18)
#define TALK_SECONDS 1.0 /* none takes a thousandth of it */
#define SHOWN 5		 /* talks that differ, in full */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

static struct flowbed bed;
static int tun[2] = {-1, -1};
static int netlink = -1;
static uint64_t pick_up_until_ns; /* as in sp_slot */
static uint32_t shown;		  /* how many talks that differ are told in full */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A number of the environment. */
static uint32_t number_of(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

/* --- the kernel's own --- */

static void put(const char *path, const char *text)
{
	_cleanup_close_
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail_msg("%s: %s", path, strerror(errno));
}

/* Run PROGRAM with INPUT; true: it succeeded. */
static bool feed(const char *const argv[], const char *input)
{
	int pipes[2], status = -1;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		dup2(pipes[0], STDIN_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(pipes[0]);
	if (pid > 0 && write(pipes[1], input, strlen(input)) < 0)
		perror(argv[0]);
	close(pipes[1]);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int open_tun(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* So that datagrams whose beginning never comes do not stand in the way of others. */
static const char *const settings[][2] = {
	{"/proc/sys/net/ipv4/ip_forward", "1"},
	{"/proc/sys/net/ipv6/conf/all/forwarding", "1"},
	{"/proc/sys/net/netfilter/nf_conntrack_frag6_high_thresh", "268435456"},
	{"/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "0"},
	{"/proc/sys/net/netfilter/nf_conntrack_checksum", "0"},
};

static const char links[] = "link set k0 addrgenmode none mtu 4096 up\n"
			    "link set k1 addrgenmode none mtu 4096 up\n"
			    "route add 10.9.0.1/32 dev k0\n"
			    "route add 10.9.0.2/32 dev k1\n"
			    "route add fd09::1/128 dev k0\n"
			    "route add fd09::2/128 dev k1\n";

/* The policy of the programs' default: the own segment in, all out, and no more. */
static const char rules[] = "table inet firewall {\n"
			    "chain forward {\n"
			    "type filter hook forward priority filter; policy drop;\n"
			    "ct state invalid drop\n"
			    "ct state { established, related, new } accept\n"
			    "}\n}\n";

static void open_kernel(void)
{
	int old;

	assert_int_equal(net_netns_add(KERNEL), 0);
	old = net_enter(KERNEL);
	assert_true(old >= 0);
	tun[0] = open_tun("k0");
	tun[1] = open_tun("k1");
	assert_true(tun[0] >= 0 && tun[1] >= 0);
	netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	assert_true(netlink >= 0);
	assert_true(feed((const char *const[]){"ip", "-batch", "-", NULL}, links));
	assert_true(feed((const char *const[]){"nft", "-f", "-", NULL}, rules));
	for (size_t i = 0; i < SP_ARRAY_SIZE(settings); i++)
		put(settings[i][0], settings[i][1]);
	net_leave(old);
}

/* Empty nf_conntrack's table of the namespace. */
static void flush_kernel(void)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} request = {.h = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		     .g = {.nfgen_family = AF_UNSPEC}};
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		uint8_t more[64];
	} answer;

	assert_int_equal(send(netlink, &request, sizeof(request), 0), sizeof(request));
	assert_true(recv(netlink, &answer, sizeof(answer), 0) >= (ssize_t)sizeof(answer.h) + 4);
	assert_int_equal(answer.e.error, 0);
}

static bool is_of_talk(const uint8_t *ip, ssize_t n, const uint8_t *sent)
{
	if (n < 20 || ip[0] >> 4 != sent[0] >> 4)
		return false;
	return ip[0] >> 4 == 4 ? memcmp(ip + 12, sent + 12, 8) == 0
			       : n >= 40 && memcmp(ip + 8, sent + 8, 32) == 0;
}

/* How many packets of up to MAX come out of the other device. All of it happens inside the write.
 */
static int send_kernel(uint8_t from, const uint8_t *ip, size_t n, int max)
{
	uint8_t got[TALK_BYTES];
	ssize_t len;
	int out = 0;

	if (write(tun[from], ip, n) != (ssize_t)n)
		fail_msg("tun: %s", strerror(errno));
	while (out < max && (len = read(tun[!from], got, sizeof(got))) > 0)
		out += is_of_talk(got, len, ip);
	return out;
}

/* Everything that nf_conntrack knows, for who looks at one talk (SP_TALKS_ONE). */
static void tell_kernel(const struct talk *t, unsigned int i, int out)
{
	_cleanup_fclose_ FILE *f = NULL;
	char line[512];
	int old = net_enter(KERNEL);

	f = fopen("/proc/thread-self/net/nf_conntrack", "re");
	net_leave(old);
	printf("# %s: %d\n", talk_line(t, i), out);
	while (f && fgets(line, sizeof(line), f))
		printf("#      %.40s\n", line);
}

static int tell_flow(const struct dataplane_flow *d, void *arg)
{
	const struct sp_flow *f = &d->flow;

	printf("#      ours: word %x", f->word);
	for (int i = 0; i < 2; i++)
		printf(" [end %u maxend %u maxwin %u maxack %u]", f->side[i].end, f->side[i].maxend,
		       f->side[i].maxwin, f->side[i].maxack);
	printf(" last %u\n", f->last_end);
	return 0;
}

static void tell_ours(void)
{
	for (uint32_t i = 0; dataplane_each_flow(bed.dp, FLOWBED_SLOT, i, tell_flow, NULL) == 0;
	     i++)
		;
}

/* --- a talk through both --- */

struct outcome {
	bool kernel[TALK_MAX], ours[TALK_MAX];
	enum sp_reason reason; /* ours, of the packet that differs */
	int differs;	       /* the first packet, -1: none */
};

/* Of a datagram in pieces the kernel says nothing before it has the last. */
static bool is_judged(const struct talk_packet *k)
{
	return !k->slice_len || !k->more;
}

static enum flowbed_end end_of(uint8_t from, uint32_t number)
{
	return from == 0 ? BED_ONE : number % 2 ? BED_TWO : BED_SESSION;
}

static void hold(const struct talk *t, uint32_t number, struct outcome *o)
{
	int pieces = 0, passed = 0;

	o->differs = -1;
	for (unsigned int i = 0; i < t->n && o->differs < 0; i++) {
		const struct talk_packet *k = &t->packet[i];
		uint8_t ip[TALK_BYTES];
		size_t n = talk_bytes(t, i, ip);
		int out = send_kernel(k->from, ip, n, k->slice_len ? TALK_MAX : 1);
		int r = flowbed_send(&bed, end_of(k->from, number), end_of(!k->from, number), ip,
				     n);

		assert_true(r >= 0);
		if (getenv("SP_TALKS_ONE")) {
			tell_kernel(t, i, out);
			tell_ours();
		}
		pieces++;
		passed += r == 0;
		if (r > 0 && shown)
			o->reason = flowbed_reason(&bed);
		if (!is_judged(k))
			continue;
		o->ours[i] = passed == pieces;
		o->kernel[i] = out == pieces;
		pieces = passed = 0;
		if (o->ours[i] != o->kernel[i])
			o->differs = (int)i;
	}
}

static void show(const struct talk *t, uint32_t number, const struct outcome *o)
{
	printf("# talk %u differs at packet %d: ours %s, the kernel's %s %s\n", number, o->differs,
	       o->ours[o->differs] ? "passes" : "drops", o->kernel[o->differs] ? "passes" : "drops",
	       o->ours[o->differs] ? "" : sp_reason_name(o->reason));
	for (int i = 0; i <= o->differs; i++)
		printf("#  %s%s\n", talk_line(t, (unsigned int)i), o->ours[i] ? "" : " DROP");
}

/* Nobody knows of any flow. */
static void forget(void)
{
	const struct dataplane_budget budget = {.flows = FLOWS};

	flush_kernel();
	assert_int_equal(flowbed_reset(&bed, &budget, pick_up_until_ns), 0);
}

/* --- where they may differ --- */

/*
 * Is it not sure, without a look at the flow, what numbers are those of the connection? It is where
 * each end has begun once, and nothing was altered, closed or dropped.
 */
static bool is_out_of_line(const struct talk *t, const struct outcome *o,
			   const struct talk_packet *q)
{
	const struct talk_packet *syn[2] = {NULL, NULL};

	for (int i = 0; i < o->differs; i++) {
		const struct talk_packet *k = &t->packet[i];

		if (k->proto != 6)
			continue;
		if (k->how || (k->flags & (TCP_RST | TCP_FIN)) || !o->ours[i] ||
		    (k->flags & TCP_ACK && !k->ack) ||
		    (k->flags & TCP_SYN && syn[k->from] && syn[k->from]->seq != k->seq))
			return true;
		if (k->flags & TCP_SYN)
			syn[k->from] = k;
	}
	return !syn[q->from];
}

/* docs/flows.md, "Differences": a quoted segment must be one that was on its way. */
static bool is_error_off(const struct talk *t, const struct outcome *o)
{
	const struct talk_packet *k = &t->packet[o->differs];

	return k->quotes >= 0 && t->packet[k->quotes].proto == 6 && !o->ours[o->differs] &&
	       (k->how & TALK_QUOTE_OFF || !o->ours[k->quotes] ||
		is_out_of_line(t, o, &t->packet[k->quotes]));
}

/*
 * docs/flows.md: who picks up a connection knows of one side only, and compares nothing with the
 * other; nf_conntrack compares with a zero, which what acknowledges a number just below it passes.
 */
static bool is_near_zero(const struct talk *t, const struct outcome *o)
{
	const struct talk_packet *k = &t->packet[o->differs];

	if (!pick_up_until_ns || !(k->flags & TCP_RST) || !o->ours[o->differs])
		return false;
	for (int i = 0; i < o->differs; i++)
		if (t->packet[i].proto == 6 && -t->packet[i].ack <= 66000 &&
		    (t->packet[i].flags & (TCP_ACK | TCP_SYN)) == TCP_ACK)
			return true;
	return false;
}

static const struct difference {
	const char *name;
	bool (*is)(const struct talk *t, const struct outcome *o);
} differences[] = {
	{"the quoted segment was not on its way", is_error_off},
	{"picked up by an acknowledgement of nearly zero", is_near_zero},
};

static unsigned int counted[SP_ARRAY_SIZE(differences)];

static bool is_known(const struct talk *t, const struct outcome *o)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(differences); i++)
		if (differences[i].is(t, o)) {
			counted[i]++;
			return true;
		}
	return false;
}

/* --- the test --- */

/* Talks FIRST to FIRST + N - 1; how many differ, and not in a known way. */
static uint32_t compare(uint32_t first, uint32_t n)
{
	uint32_t seed = number_of("SP_TALKS_SEED", SEED), unknown = 0, packets = 0, passed = 0;
	uint32_t late = 0;
	double start = seconds(), began;

	memset(counted, 0, sizeof(counted));
	for (uint32_t i = first; i < first + n; i++) {
		struct talk t;
		struct outcome o = {.differs = -1};

		draw_seed((uint64_t)seed << 32 | (i + 1));
		talk_draw(&t, i);
		if (i % FLUSH_EVERY == FLUSH_EVERY - 1)
			forget();
		began = seconds();
		hold(&t, i, &o);
		/* On a machine that is so busy timers end what is there. */
		if (seconds() - began > TALK_SECONDS) {
			late++;
			continue;
		}
		for (unsigned int k = 0; k < t.n; k++)
			passed += o.ours[k];
		packets += t.n;
		if (o.differs < 0 || is_known(&t, &o))
			continue;
		if (unknown++ < shown)
			show(&t, i, &o);
		flowbed_reason(&bed);
	}
	printf("# %u talks, %u packets, %u passed, %u too late, %.1f s\n", n, packets, passed, late,
	       seconds() - start);
	for (size_t i = 0; i < SP_ARRAY_SIZE(differences); i++)
		printf("# %u talks: %s\n", counted[i], differences[i].name);
	assert_true(late < n / 10 + 1);
	/* Of what is drawn much must pass and much must not, or nothing was compared. */
	if (n > 1)
		assert_true(passed > packets / 4 && passed < packets - packets / 8);
	return unknown;
}

static void set_loose(bool kernel, bool ours)
{
	int old = net_enter(KERNEL);

	put("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", kernel ? "1" : "0");
	net_leave(old);
	pick_up_until_ns = ours ? UINT64_MAX : 0;
	forget();
}

static void test_strict(void **state)
{
	const char *one = getenv("SP_TALKS_ONE");

	set_loose(false, false);
	assert_int_equal(
		compare(number_of("SP_TALKS_ONE", 0), one ? 1 : number_of("SP_TALKS", TALKS)), 0);
}

/* While machines that ran before us are taken over: connections are picked up in their middle. */
static void test_loose(void **state)
{
	set_loose(true, true);
	assert_int_equal(compare(number_of("SP_TALKS_ONE", 0),
				 getenv("SP_TALKS_ONE") ? 1 : number_of("SP_TALKS", TALKS) / 10),
			 0);
}

/* The comparison can fail: one of the two is told to be loose. */
static void test_notices(void **state)
{
	shown = 0;
	set_loose(true, false);
	assert_true(compare(0, 500) > 0);
	set_loose(false, true);
	assert_true(compare(1000, 500) > 0);
}

static int setup(void **state)
{
	int r = net_isolate();

	shown = number_of("SP_TALKS_SHOW", SHOWN);
	if (r == 0)
		r = flowbed_open(&bed, FLOWS);
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	else
		open_kernel();
	return r;
}

static int teardown(void **state)
{
	for (int i = 0; i < 2; i++)
		closep(&tun[i]);
	closep(&netlink);
	flowbed_close(&bed);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_loose),
		cmocka_unit_test(test_notices),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	if (access("/usr/sbin/nft", X_OK) < 0) {
		puts("1..0 # SKIP there is no nft to compare with");
		return 0;
	}
	return cmocka_run_group_tests_name("conntrack", tests, setup, teardown);
}
