// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Do two workloads really talk TCP through the programs? Two namespaces on a segment of their own,
 * ARP by way of the flood list, then a stream: its bytes arrive as they were sent, and in frames
 * far larger than the MTU, which shows that GSO and checksum offload survive the way.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane.h"
#include "lib/cleanup.h"
#include "link.h"
#include "selftests/harness/net.h"

#define SEGMENT 1
#define MAX_LEN 1514
#define TCP_PORT 5001
#define TOTAL (32U << 20)
#define BLOCK 65536

static const struct end {
	const char *ns, *dev;
	uint32_t port;
	uint8_t mac[6];
	const char *address;
} ends[2] = {
	{"one", "t-one", 1, {2, 0, 0, 0, 8, 1}, "10.1.0.1"},
	{"two", "t-two", 2, {2, 0, 0, 0, 8, 2}, "10.1.0.2"},
};

static struct dataplane *dp;
static uint32_t ifindex[2];

/* --- the two ends --- */

static int set_address(const char *dev, const char *address)
{
	_cleanup_close_
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = ""};
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", dev);
	in->sin_family = AF_INET;
	inet_pton(AF_INET, address, &in->sin_addr);
	if (ioctl(fd, SIOCSIFADDR, &ifr) < 0)
		return -errno;
	inet_pton(AF_INET, "255.255.255.0", &in->sin_addr);
	if (ioctl(fd, SIOCSIFNETMASK, &ifr) < 0)
		return -errno;
	ifr.ifr_flags = IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int make_end(const struct end *e, uint32_t *ret_ifindex)
{
	const struct sp_port port = {
		.port = e->port, .segment = SEGMENT, .kind = SP_PORT_NETNS, .max_len = MAX_LEN};
	struct link_info info;
	int old, r = net_netns_add(e->ns);

	if (r == 0)
		r = link_veth_make(e->dev, e->ns, "eth0", e->mac, 1500, &info);
	if (r == 0)
		r = dataplane_attach(dp, info.ifindex, &port);
	if (r == 0)
		r = link_set_up(info.ifindex, true);
	if (r < 0)
		return r;
	*ret_ifindex = info.ifindex;
	old = net_enter(e->ns);
	net_no_ipv6();
	r = set_address("eth0", e->address);
	net_leave(old);
	return r;
}

static int write_entries(void)
{
	struct sp_dst dst[2];
	int r;

	for (int i = 0; i < 2; i++)
		dst[i] = (struct sp_dst){.ifindex = ifindex[i],
					 .port = ends[i].port,
					 .max_len = MAX_LEN,
					 .kind = SP_PORT_NETNS};
	r = dataplane_flood_set(dp, SEGMENT, dst, 2);
	for (int i = 0; i < 2 && r == 0; i++) {
		const struct sp_bind bind = {.segment = SEGMENT, .port = ends[i].port};

		r = dataplane_fdb_set(dp, SEGMENT, ends[i].mac, &dst[i]);
		if (r == 0)
			r = dataplane_bind(dp, ifindex[i], 0, ends[i].mac, &bind);
	}
	return r;
}

/* --- a stream --- */

static uint8_t byte_at(uint32_t i)
{
	return (uint8_t)(i * 31 + (i >> 13));
}

static void *serve(void *arg)
{
	int listener = *(int *)arg;
	_cleanup_close_
	int fd = accept(listener, NULL, NULL);
	static uint8_t block[BLOCK];

	for (uint32_t at = 0; fd >= 0 && at < TOTAL;) {
		ssize_t n;

		for (uint32_t i = 0; i < BLOCK; i++)
			block[i] = byte_at(at + i);
		n = send(fd, block, BLOCK, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		at += (uint32_t)n;
	}
	return NULL;
}

static struct sockaddr_in server_address(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(TCP_PORT)};

	inet_pton(AF_INET, ends[1].address, &a.sin_addr);
	return a;
}

/* A TCP socket of namespace NS, with a limit on its patience. */
static int tcp_socket(const char *ns)
{
	const struct timeval patience = {.tv_sec = 10};
	int old = net_enter(ns);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	net_leave(old);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static void test_stream(void **state)
{
	struct sockaddr_in address = server_address();
	_cleanup_close_
	int listener = tcp_socket(ends[1].ns);
	_cleanup_close_
	int fd = tcp_socket(ends[0].ns);
	static uint8_t block[BLOCK];
	struct sp_counter c;
	pthread_t server;
	uint32_t at = 0, wrong = 0;

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(pthread_create(&server, NULL, serve, &listener), 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		shutdown(listener, SHUT_RDWR); /* ends the accept */
		pthread_join(server, NULL);
		fail_msg("connect: %s", strerror(errno));
	}
	for (ssize_t n; (n = recv(fd, block, sizeof(block), 0)) > 0; at += (uint32_t)n)
		for (uint32_t i = 0; i < (uint32_t)n; i++)
			wrong += block[i] != byte_at(at + i);
	pthread_join(server, NULL);
	assert_int_equal(at, TOTAL);
	assert_int_equal(wrong, 0);
	assert_int_equal(dataplane_counter_get(dp, ends[1].port, &c), 0);
	assert_true(c.rx_bytes > TOTAL);
	print_message("# %llu bytes a frame\n", (unsigned long long)(c.rx_bytes / c.rx_frames));
	assert_true(c.rx_bytes / c.rx_frames > 2 * MAX_LEN);
}

static int setup(void **state)
{
	const struct dataplane_options options = {
		.bpffs = NET_BPFFS, .max_bindings = 64, .max_ports = 16};
	int r = net_isolate();

	net_no_ipv6();
	if (r == 0)
		r = dataplane_open(&options, &dp, NULL);
	for (int i = 0; i < 2 && r == 0; i++)
		r = make_end(&ends[i], &ifindex[i]);
	if (r == 0)
		r = write_entries();
	if (r < 0)
		fprintf(stderr, "setup: %s\n", strerror(-r));
	return r;
}

static int teardown(void **state)
{
	dataplane_close(dp);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_stream)};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("tcp", tests, setup, teardown);
}
