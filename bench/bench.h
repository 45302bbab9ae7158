/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What do the programs of the bench share? A place of their own to run in, frames, samples, and the
 * line of JSON that bench/run reads. They are short-lived: a failure ends the program.
 */
#ifndef SALLYPORT_BENCH_BENCH_H
#define SALLYPORT_BENCH_BENCH_H

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/peers.h"
#include "dataplane.h"
#include "lib/cleanup.h"

#define BENCH_FRAME_LEN 60 /* the least of Ethernet, without the checksum */
#define BENCH_BPFFS "/run/bpf"

/* Ends the program unless R is 0 or more; returns R. */
static inline int must(int r, const char *what)
{
	if (r >= 0)
		return r;
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(-r));
	exit(1);
}

#define must_errno(call) must((call) < 0 ? -errno : 0, #call)

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- samples --- */

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts V. Q from 0 to 1: the nearest rank, so that it is a value that occurred. */
static inline double quantile(double *v, size_t n, double q)
{
	size_t rank = (size_t)(q * (double)n);

	qsort(v, n, sizeof(*v), compare_doubles);
	return v[rank < n ? rank : n - 1];
}

static inline double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* One line for bench/run. PEER NULL: there is none. */
static inline void report(const char *name, double value, const char *unit, const char *peer,
			  double peer_value, double ratio)
{
	if (peer)
		printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"peer\":\"%s\","
		       "\"peer_value\":%.6g,\"ratio\":%.4f}\n",
		       name, value, unit, peer, peer_value, ratio);
	else
		printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n", name, value, unit);
	fflush(stdout);
}

/* --- a place of our own --- */

/* Stay on one CPU, the last one: CPU 0 has most of the interrupts. */
static inline void pin_cpu(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(n > 0 ? n - 1 : 0), &set);
	must_errno(sched_setaffinity(0, sizeof(set), &set));
}

static inline void write_file(const char *path, const char *text)
{
	_cleanup_close_
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	must_errno(fd);
	if (write(fd, text, strlen(text)) < 0)
		must(-errno, path);
}

/* In the namespace that we are in: no frames but ours. */
static inline void silence_ipv6(void)
{
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n");
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1\n");
}

/*
 * Network and mounts of our own, with an empty /run and a bpffs below it: whatever happens, all of
 * it ends with the process.
 */
static inline void isolate(void)
{
	must_errno(unshare(CLONE_NEWNET | CLONE_NEWNS));
	must_errno(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must_errno(mount("tmpfs", "/run", "tmpfs", 0, NULL));
	must_errno(mkdir(BENCH_BPFFS, 0700));
	must_errno(mount("bpf", BENCH_BPFFS, "bpf", 0, NULL));
	silence_ipv6();
}

/* Run a program with INPUT (may be NULL) on its standard input; the bench ends if it fails. */
static inline void run(const char *input, const char *const argv[])
{
	_cleanup_fclose_ FILE *f = tmpfile();
	int status;
	pid_t pid;

	if (!f || (input && fputs(input, f) < 0) || fflush(f) < 0)
		must(-errno, "temporary file");
	rewind(f);
	pid = fork();
	must_errno(pid);
	if (pid == 0) {
		if (dup2(fileno(f), STDIN_FILENO) >= 0)
			execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	must_errno(waitpid(pid, &status, 0));
	if (status != 0) {
		fprintf(stderr, "%s: %s failed, status %#x\n", program_invocation_short_name,
			argv[0], (unsigned int)status);
		exit(1);
	}
}

/* Join the namespace NAME and return a descriptor of the one before, for leave_netns(). */
static inline int enter_netns(const char *name)
{
	char path[128];
	_cleanup_close_
	int fd = -1;
	int old;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must_errno(fd);
	old = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	must_errno(old);
	must_errno(setns(fd, CLONE_NEWNET));
	return old;
}

static inline void leave_netns(int old)
{
	must_errno(setns(old, CLONE_NEWNET));
	close(old);
}

/* --- frames and entries --- */

struct bench_frame {
	struct bench_addresses eth;
	uint16_t proto;
	uint8_t ip[20];
	uint8_t rest[BENCH_FRAME_LEN - 34];
} __attribute__((packed));

static inline uint16_t ip_checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* IPv4 and UDP, from the SRC-th address to the DST-th. */
static inline void make_frame(struct bench_frame *f, uint32_t src, uint32_t dst)
{
	static const uint8_t ip[20] = {
		0x45, 0, 0, BENCH_FRAME_LEN - 14, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10,
		0,    0, 2};
	static const uint8_t udp[8] = {0x30, 0x39, 0x30, 0x3a, 0, BENCH_FRAME_LEN - 34, 0, 0};
	uint16_t sum;

	memset(f, 0, sizeof(*f));
	bench_mac(f->eth.dst, dst);
	bench_mac(f->eth.src, src);
	f->proto = htons(0x0800);
	memcpy(f->ip, ip, sizeof(ip));
	sum = htons(ip_checksum(ip, sizeof(ip)));
	memcpy(f->ip + 10, &sum, sizeof(sum));
	memcpy(f->rest, udp, sizeof(udp));
}

#define BENCH_SEGMENT 1
#define BENCH_BATCH 4096

static inline void update_batch(int fd, const void *keys, size_t key_size, const void *values,
				size_t value_size, uint32_t n)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	/* The allocator of a hash that is not preallocated may be dry for a moment. */
	for (int tries = 0; n > 0; tries++) {
		uint32_t done = n;
		int r = bpf_map_update_batch(fd, keys, values, &done, &opts);

		if (r < 0 && (r != -ENOMEM || tries == 1000))
			must(r, "bpf_map_update_batch");
		keys = (const char *)keys + done * key_size;
		values = (const char *)values + done * value_size;
		n -= done;
		if (r < 0)
			usleep(1000);
	}
}

/*
 * Addresses 0 to N - 1 are bound to port 1 on device IN, and are found behind port 2 on device OUT:
 * N entries in `bindings` and N in `fdb`.
 */
static inline void fill(struct dataplane *dp, uint32_t in, uint32_t out, uint32_t n)
{
	static struct sp_bind_key bind_keys[BENCH_BATCH];
	static struct sp_bind binds[BENCH_BATCH];
	static struct sp_fdb_key fdb_keys[BENCH_BATCH];
	static struct sp_dst dsts[BENCH_BATCH];
	int bind_fd = dataplane_map_fd(dp, "bindings"), fdb_fd = dataplane_map_fd(dp, "fdb");

	for (uint32_t at = 0; at < n;) {
		uint32_t k = 0;

		for (; k < BENCH_BATCH && at < n; k++, at++) {
			bind_keys[k] = (struct sp_bind_key){.ifindex = in};
			bench_mac(bind_keys[k].mac, at);
			binds[k] = (struct sp_bind){
				.segment = BENCH_SEGMENT, .port = 1, .generation = 1};
			fdb_keys[k] = (struct sp_fdb_key){.segment = BENCH_SEGMENT};
			bench_mac(fdb_keys[k].mac, at);
			dsts[k] = (struct sp_dst){
				.ifindex = out, .port = 2, .max_len = 1514, .kind = SP_PORT_NETNS};
		}
		update_batch(fdb_fd, fdb_keys, sizeof(*fdb_keys), dsts, sizeof(*dsts), k);
		update_batch(bind_fd, bind_keys, sizeof(*bind_keys), binds, sizeof(*binds), k);
	}
}

/* 10,000 addresses, of which 10.0.0.1, the source of the bench's frames, is the machine's at
 * port 1.
 */
static inline void fill_addresses(struct dataplane *dp)
{
	struct sp_address value = {.port = 1};
	uint8_t addr[16] = {[10] = 0xff, [11] = 0xff, [12] = 10};

	bench_mac(value.mac, 3);
	for (uint32_t i = 0; i < 10000; i++) {
		addr[14] = (uint8_t)(i >> 8);
		addr[15] = (uint8_t)i;
		value.port = i == 1 ? 1 : 3;
		must(dataplane_address_set(dp, BENCH_SEGMENT, addr, &value), "address");
	}
}

/* The segment's flows, FLOWS of them, none of which ends by time. */
static inline void make_slot(struct dataplane *dp, uint32_t slot, uint32_t flows)
{
	static const struct sp_timeouts timeouts = {.ticks = {[0 ... 31] = 1 << 20}};
	const struct dataplane_budget budget = {.flows = flows};

	must(dataplane_timeouts_set(dp, &timeouts), "timeouts");
	must(dataplane_slot_begin(dp, slot, BENCH_SEGMENT, &budget, 0), "slot");
	must(dataplane_slot_make(dp, slot), "tables");
}

static inline struct dataplane *open_dataplane(const struct dataplane_options *options)
{
	_cleanup_free_
	char *error = NULL;
	struct dataplane *dp = NULL;
	int r = dataplane_open(options, &dp, &error);

	must(r, error ? error : "dataplane_open");
	return dp;
}

#endif
