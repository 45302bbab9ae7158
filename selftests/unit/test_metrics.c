/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is what the daemon tells Prometheus text that it can read, do sums only grow, and can nobody who
 * reads it over HTTP hold up the daemon?
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/client.h"
#include "lib/loopback.h"
#include "loader/trace/exposition.h"
#include "loader/trace/http.h"
#include "loader/trace/loop.h"
#include "loader/trace/metrics.h"
#include "loader/trace/trace.h"
#include "selftests/harness/host.h"
#include "selftests/harness/net.h"

#define LISTEN "127.0.0.1:9469"

static int setup(void **state)
{
	struct control_config c = {.ops = (const struct op[]){{NULL, ROLE_NONE, NULL, NULL}},
				   .admin_gid = HOST_ADMIN_GID};
	struct host *h;
	int fd;

	if (host_setup(state) < 0)
		return -1;
	h = *state;
	h->d.started_us = client_now_us();
	fd = control_listen(h->socket);
	return fd < 0 ? fd : control_new(h->d.event, fd, &c, &h->d.control);
}

static int teardown(void **state)
{
	struct host *h = *state;

	h->d.http = http_free(h->d.http);
	return host_teardown(state);
}

/* --- the format --- */

static char *one_sample(const char *value)
{
	const struct label l = {"x", value};
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	exposition_count(f, "m", &l, 1, 7);
	fclose(f);
	return text;
}

static void test_labels(void **state)
{
	static const struct {
		const char *value, *text;
	} rows[] = {
		{"", "m{x=\"\"} 7\n"},
		{"alice", "m{x=\"alice\"} 7\n"},
		{"a\"b", "m{x=\"a\\\"b\"} 7\n"},
		{"a\\", "m{x=\"a\\\\\"} 7\n"},
		{"a\nb 1\nm{x=\"c", "m{x=\"a\\nb 1\\nm{x=\\\"c\"} 7\n"},
		{"\"} 1\n# TYPE m counter\n", "m{x=\"\\\"} 1\\n# TYPE m counter\\n\"} 7\n"},
		{"caf\xc3\xa9 \xf0\x9f\x98\x80", "m{x=\"caf\xc3\xa9 \xf0\x9f\x98\x80\"} 7\n"},
		{"a\xff", "m{x=\"a\xef\xbf\xbd\"} 7\n"},
		{"a\xc3", "m{x=\"a\xef\xbf\xbd\"} 7\n"},
		{"\xc0\x80", "m{x=\"\xef\xbf\xbd\xef\xbf\xbd\"} 7\n"},
		{"\xed\xa0\x80", "m{x=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"} 7\n"},
		{"%s{},", "m{x=\"%s{},\"} 7\n"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_free_
		char *text = one_sample(rows[i].value);

		assert_string_equal(text, rows[i].text);
	}
}

static void test_numbers(void **state)
{
	const struct label two[] = {{"a", "1"}, {"b", "2"}};
	_cleanup_free_
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	exposition_family(f, "m", "gauge", "Help.");
	exposition_count(f, "m", NULL, 0, UINT64_MAX);
	exposition_real(f, "m", two, 2, 1795696626.25);
	exposition_real(f, "m", two, 2, 0.000001);
	fclose(f);
	assert_string_equal(text, "# HELP m Help.\n# TYPE m gauge\nm 18446744073709551615\n"
				  "m{a=\"1\",b=\"2\"} 1795696626.25\nm{a=\"1\",b=\"2\"} 1e-06\n");
}

/* What is checked of a text while it is read line by line. */
struct reader {
	char family[64], type[16];
	char *series[4096]; /* names with labels, seen so far */
	size_t n_series;
	unsigned long long bucket; /* of the histogram series being read */
};

static bool is_metric_name(const char *s, size_t n)
{
	if (n == 0 || (*s >= '0' && *s <= '9'))
		return false;
	for (; n; n--, s++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_", *s))
			return false;
	return true;
}

/* Length of NAME{LABELS}. */
static size_t series_length(const char *line)
{
	size_t n = strcspn(line, "{ ");
	bool quoted = false;

	assert_true(is_metric_name(line, n));
	if (line[n] != '{')
		return n;
	for (n++; line[n] && (quoted || line[n] != '}'); n++) {
		if (quoted && line[n] == '\\')
			n++;
		else if (line[n] == '"')
			quoted = !quoted;
	}
	assert_int_equal(line[n], '}');
	return n + 1;
}

/* A histogram's buckets grow, and the last is its count. */
static void read_histogram(struct reader *r, const char *line, double value)
{
	const char *suffix = line + strlen(r->family);

	if (strncmp(suffix, "_bucket{", 8) == 0) {
		if (strstr(line, "le=\"0.0001\""))
			r->bucket = 0;
		assert_true(value >= (double)r->bucket);
		r->bucket = (unsigned long long)value;
	} else if (strncmp(suffix, "_count{", 7) == 0) {
		assert_true(value == (double)r->bucket);
	} else {
		assert_int_equal(strncmp(suffix, "_sum{", 5), 0);
	}
}

static void read_sample(struct reader *r, const char *line)
{
	size_t n = series_length(line), name = strcspn(line, "{ ");
	double value;
	char *end;

	assert_int_equal(line[n], ' ');
	value = strtod(line + n + 1, &end);
	assert_true(end > line + n + 1 && *end == '\0' && value >= 0);
	assert_int_equal(strncmp(line, r->family, strlen(r->family)), 0);
	if (strcmp(r->type, "histogram") == 0)
		read_histogram(r, line, value);
	else
		assert_int_equal(name, strlen(r->family));
	for (size_t i = 0; i < r->n_series; i++)
		if (strlen(r->series[i]) == n && strncmp(r->series[i], line, n) == 0)
			fail_msg("twice: %s", line);
	assert_true(r->n_series < SP_ARRAY_SIZE(r->series));
	r->series[r->n_series++] = strndup(line, n);
}

static void read_line(struct reader *r, const char *line)
{
	char family[64];
	size_t n;

	if (sscanf(line, "# HELP %63s", family) == 1) {
		assert_true(strlen(line) > strlen(family) + 10);
		snprintf(r->family, sizeof(r->family), "%s", family);
		r->type[0] = '\0';
	} else if (sscanf(line, "# TYPE %63s %15s", family, r->type) == 2) {
		assert_string_equal(family, r->family);
		n = strlen(family);
		assert_int_equal(strcmp(r->type, "counter") == 0,
				 n > 6 && strcmp(family + n - 6, "_total") == 0);
	} else {
		assert_true(r->type[0] != '\0');
		read_sample(r, line);
	}
}

/* TEXT is taken apart. Returns the number of series. */
static size_t read_text(char *text)
{
	struct reader r = {.n_series = 0};
	size_t size = strlen(text);
	char *save = NULL;

	assert_int_equal(text[size - 1], '\n');
	for (const char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		read_line(&r, line);
	for (size_t i = 0; i < r.n_series; i++)
		free(r.series[i]);
	return r.n_series;
}

/* --- putting it together --- */

struct answer {
	unsigned int n;
	char *text;
};

static void on_answer(const char *text, size_t size, void *arg)
{
	struct answer *a = arg;

	a->n++;
	free(a->text);
	a->text = text ? strndup(text, size) : NULL;
	assert_true(!text || strlen(a->text) == size);
}

static char *collect(struct host *h)
{
	struct answer a = {0};

	assert_int_equal(metrics_collect(h->d.metrics, on_answer, &a), 0);
	assert_int_equal(a.n, 0);
	while (!a.n)
		assert_true(sd_event_run(h->d.event, UINT64_MAX) >= 0);
	assert_non_null(a.text);
	return a.text;
}

/* The value of one series; -1: it is not there. */
static double value_of(const char *text, const char *series)
{
	size_t n = strlen(series);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, series, n) == 0 && line[n] == ' ')
			return strtod(line + n, NULL);
	}
	return -1;
}

static double value_now(struct host *h, const char *series)
{
	_cleanup_free_
	char *text = collect(h);

	return value_of(text, series);
}

static void test_text(void **state)
{
	struct host *h = *state;
	const struct session *s = host_session(h, HOST_VLAN, "alice", 1);
	uint64_t id = trace_begin(h->d.traces, "alice", "vlan", "alice", "192.0.2.1", 1, 0);
	_cleanup_free_
	char *text = NULL;

	trace_mark(h->d.traces, id, TRACE_AUTH, NULL, 0);
	trace_mark(h->d.traces, id, TRACE_AUTH_STORE, NULL, 2500);
	trace_mark(h->d.traces, id, TRACE_CONNECTED, NULL, 100000000);
	for (int e = 0; e < _METRICS_EVENTS; e++)
		for (int i = 0; i <= e; i++)
			metrics_note(h->d.metrics, (enum metrics_event)e);
	text = collect(h);
	assert_true(value_of(text, "sallyport_build_info{version=\"" SP_VERSION "\",abi=\"1\"}") ==
		    1);
	assert_true(value_of(text, "sallyport_sessions{openvpn=\"vlan\"}") == 1);
	assert_true(value_of(text, "sallyport_sessions{openvpn=\"mac\"}") == 0);
	assert_true(value_of(text, "sallyport_vids{openvpn=\"vlan\",state=\"used\"}") == 1);
	assert_true(value_of(text, "sallyport_vids{openvpn=\"mac\",state=\"used\"}") == -1);
	assert_true(value_of(text, "sallyport_instances{state=\"up\"}") == HOST_INSTANCES);
	assert_true(value_of(text, "sallyport_auth_total{result=\"accept\"}") == 1);
	assert_true(value_of(text, "sallyport_auth_total{result=\"retry\"}") == 3);
	assert_true(value_of(text, "sallyport_connects_total{result=\"refuse\"}") == 5);
	assert_true(value_of(text, "sallyport_macs_total{result=\"refuse\"}") == 7);
	assert_true(value_of(text, "sallyport_store_errors_total") == 8);
	assert_true(value_of(text, "sallyport_store_up") == 1);
	assert_true(value_of(text, "sallyport_stage_seconds_bucket{stage=\"auth-store\",le="
				   "\"0.002\"}") == 0);
	assert_true(value_of(text, "sallyport_stage_seconds_bucket{stage=\"auth-store\",le="
				   "\"0.005\"}") == 1);
	assert_true(value_of(text, "sallyport_stage_seconds_sum{stage=\"auth-store\"}") == 0.0025);
	assert_true(value_of(text, "sallyport_span_seconds_bucket{span=\"login\",le=\"60\"}") == 0);
	assert_true(value_of(text, "sallyport_span_seconds_bucket{span=\"login\",le=\"+Inf\"}") ==
		    1);
	assert_true(value_of(text, "sallyport_drops_total{reason=\"src-unbound\"}") == 0);
	assert_true(value_of(text, "process_resident_memory_bytes") > 1 << 20);
	assert_true(value_of(text, "process_open_fds") > 5);
	assert_true(read_text(text) > 300);
	session_end(session_find_id(&h->d, s->id), "the test is over");
}

static void test_store_down(void **state)
{
	struct host *h = *state;
	double before = value_now(h, "sallyport_store_errors_total");

	daemon_store_state(&h->d, "the disk is full");
	daemon_store_state(&h->d, "the disk is full");
	assert_true(value_now(h, "sallyport_store_up") == 0);
	assert_true(value_now(h, "sallyport_store_errors_total") == before + 2);
	daemon_store_state(&h->d, NULL);
	assert_true(value_now(h, "sallyport_store_up") == 1);
}

/* What came in by PORT: N on the first CPU, and as much on the last. */
static void set_counter(struct host *h, uint32_t port, uint64_t n)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_
	struct sp_counter *c = calloc((size_t)cpus, sizeof(*c));

	c[0].rx_frames += n;
	c[cpus - 1].rx_frames += n;
	c[0].tx_bytes = 3 * n;
	assert_int_equal(
		bpf_map_update_elem(dataplane_map_fd(h->d.dp, "counters"), &port, c, BPF_ANY), 0);
}

#define VPN_RX "sallyport_port_frames_total{kind=\"vpn\",direction=\"rx\"}"
#define VPN_TX "sallyport_port_bytes_total{kind=\"vpn\",direction=\"tx\"}"
#define MACHINE_RX "sallyport_port_frames_total{kind=\"machine\",direction=\"rx\"}"

/* More sessions than are looked at in one turn of the loop. */
#define MANY 300

static void test_sums(void **state)
{
	struct host *h = *state;
	struct session *s[MANY];
	double rx = value_now(h, VPN_RX), tx = value_now(h, VPN_TX);
	char name[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "sum%d", i);
		s[i] = host_session(h, HOST_VLAN, name, 1);
		set_counter(h, s[i]->member.dst.port, (uint64_t)i);
	}
	rx += MANY * (MANY - 1); /* twice the sum of i */
	tx += 3.0 * MANY * (MANY - 1) / 2;
	assert_true(value_now(h, VPN_RX) == rx);
	assert_true(value_now(h, VPN_TX) == tx);
	/* Who goes takes nothing away; the next owner of the number adds to it. */
	for (int i = 0; i < MANY; i++)
		if (i % 2)
			session_end(s[i], "the test");
	assert_true(value_now(h, VPN_RX) == rx);
	set_counter(h, s[0]->member.dst.port, 5);
	assert_true(value_now(h, VPN_RX) == rx + 10);
	for (int i = 0; i < MANY; i += 2)
		session_end(s[i], "the test is over");
	assert_true(value_now(h, VPN_RX) == rx + 10);
	/* A counter that went back, as if taken again meanwhile: the sum does not. */
	s[0] = host_session(h, HOST_VLAN, "sum0", 2);
	set_counter(h, s[0]->member.dst.port, 50);
	assert_true(value_now(h, VPN_RX) == rx + 110);
	set_counter(h, s[0]->member.dst.port, 0);
	assert_true(value_now(h, VPN_RX) == rx + 110);
	session_end(s[0], "the test is over");
}

/* Several ask at once: it is put together once. */
static void test_together(void **state)
{
	struct host *h = *state;
	struct answer a = {0}, b = {0}, c = {0};

	assert_int_equal(metrics_collect(h->d.metrics, on_answer, &a), 0);
	assert_int_equal(metrics_collect(h->d.metrics, on_answer, &b), 0);
	while (!a.n)
		assert_true(sd_event_run(h->d.event, UINT64_MAX) >= 0);
	assert_int_equal(b.n, 1);
	assert_string_equal(a.text, b.text);
	/* The daemon ends meanwhile. */
	assert_int_equal(metrics_collect(h->d.metrics, on_answer, &c), 0);
	h->d.metrics = metrics_free(h->d.metrics);
	assert_int_equal(c.n, 1);
	assert_null(c.text);
	assert_int_equal(metrics_new(&h->d, &h->d.metrics), 0);
	free(a.text);
	free(b.text);
}

static size_t machine_states(struct daemon *d, struct metrics_state *ret, size_t room)
{
	assert_int_equal(room, METRICS_STATES_MAX);
	ret[0] = (struct metrics_state){"running", 3};
	ret[1] = (struct metrics_state){"paused", 0};
	return 2;
}

static uint32_t machine_port;

static size_t machine_ports(struct daemon *d, uint32_t *ret, size_t room)
{
	if (room)
		ret[0] = machine_port;
	return 1;
}

static void test_machines(void **state)
{
	static const struct metrics_machines machines = {machine_states, machine_ports};
	struct host *h = *state;

	assert_true(value_now(h, "sallyport_machines{state=\"running\"}") == -1);
	machine_port = portnum_get(h->d.portnums);
	set_counter(h, machine_port, 21);
	metrics_set_machines(h->d.metrics, &machines);
	assert_true(value_now(h, "sallyport_machines{state=\"running\"}") == 3);
	assert_true(value_now(h, "sallyport_machines{state=\"paused\"}") == 0);
	assert_true(value_now(h, MACHINE_RX) == 42);
	metrics_port_gone(h->d.metrics, SP_PORT_MACHINE, machine_port);
	metrics_set_machines(h->d.metrics, NULL);
	assert_true(value_now(h, MACHINE_RX) == 42);
}

/* --- the loop --- */

static void test_windows(void **state)
{
	struct loop_stats s = {0};
	const uint64_t w = LOOP_WINDOW_NS;

	assert_true(loop_longest_ns(&s, w) == 0);
	loop_note(&s, 500, w);
	loop_note(&s, 100, w + 1);
	assert_true(s.turns == 2 && s.busy_ns == 600);
	assert_true(loop_longest_ns(&s, w + 2) == 500);
	/* Asking changes nothing; it is known for one window at least, and for two at most. */
	assert_true(loop_longest_ns(&s, 2 * w + 1) == 500);
	loop_note(&s, 50, 2 * w + 1);
	assert_true(loop_longest_ns(&s, 2 * w + 2) == 500);
	loop_note(&s, 70, 3 * w + 2);
	assert_true(loop_longest_ns(&s, 3 * w + 3) == 70);
	assert_true(loop_longest_ns(&s, 9 * w) == 0);
}

static int on_slow(sd_event_source *s, void *arg)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
	return sd_event_exit(sd_event_source_get_event(s), 7);
}

static void test_loop(void **state)
{
	struct loop_stats s = {0};
	sd_event *e;

	assert_true(sd_event_new(&e) >= 0);
	assert_true(sd_event_add_defer(e, NULL, on_slow, NULL) >= 0);
	assert_int_equal(loop_run(e, &s), 7);
	assert_true(s.turns >= 1 && s.busy_ns >= 20000000);
	assert_true(loop_longest_ns(&s, loop_now_ns()) >= 20000000);
	sd_event_unref(e);
}

/* --- HTTP --- */

static void test_address(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{LISTEN, true},
		{"127.0.0.1:1", true},
		{"127.1.2.3:65535", true},
		{"[::1]:9469", true},
		{"", false},
		{":9469", false},
		{"127.0.0.1", false},
		{"127.0.0.1:", false},
		{"127.0.0.1:0", false},
		{"127.0.0.1:65536", false},
		{"127.0.0.1:+1", false},
		{"127.0.0.1: 1", false},
		{"127.0.0.1:1x", false},
		{"127.0.0.1:09469", false},
		{"127.0.0.1:99999999999999999999", false},
		{"0.0.0.0:9469", false},
		{"192.0.2.1:9469", false},
		{"128.0.0.1:9469", false},
		{"127.1:9469", false},
		{"localhost:9469", false},
		{"::1:9469", false},
		{"[::1]9469", false},
		{"[::1]:", false},
		{"[::]:9469", false},
		{"[::2]:9469", false},
		{"[::ffff:127.0.0.1]:9469", false},
		{"[127.0.0.1]:9469", false},
		{"127.0.0.1:9469 127.0.0.2:9469", false},
		{"/run/metrics.sock", false},
		{"1111111111111111111111111111111:1", false},
	};
	struct sockaddr_storage a;
	socklen_t len;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
		if (loopback_parse(rows[i].text, &a, &len) != rows[i].good)
			fail_msg("'%s': expected %d", rows[i].text, rows[i].good);
	assert_true(loopback_parse("127.0.0.1:9469", &a, &len));
	assert_int_equal(((struct sockaddr_in *)&a)->sin_port, htons(9469));
	assert_true(loopback_parse("[::1]:80", &a, &len));
	assert_int_equal(((struct sockaddr_in6 *)&a)->sin6_port, htons(80));
	assert_int_equal(len, sizeof(struct sockaddr_in6));
}

static int dial(void)
{
	struct sockaddr_storage a;
	socklen_t len;
	int fd;

	assert_true(loopback_parse(LISTEN, &a, &len));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
	return fd;
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* What comes until the end of the connection, while the daemon's loop runs here. */
static char *hear(struct host *h, int fd)
{
	uint64_t deadline = client_now_us() + 20000000;
	char *text = calloc(1, 1 << 20);
	size_t n = 0;

	for (;;) {
		ssize_t got;

		assert_true(client_now_us() < deadline);
		assert_true(sd_event_run(h->d.event, 10000) >= 0);
		if (!is_readable(fd))
			continue;
		got = recv(fd, text + n, (1 << 20) - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	return text;
}

static char *ask(struct host *h, const char *request)
{
	int fd = dial();

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
			 (ssize_t)strlen(request));
	return hear(h, fd);
}

static void test_requests(void **state)
{
	static const struct {
		const char *request, *status;
		bool body;
	} rows[] = {
		{"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 ", true},
		{"GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.1 200 ", true},
		{"GET /metrics?a=b HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 ", true},
		{"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		 "HTTP/1.1 200 ", true},
		{"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 ", false},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", false},
		{"GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", false},
		{"GET /../metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", false},
		{"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n",
		 "HTTP/1.1 405 ", false},
		{"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 ", false},
		{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 ", false},
	};
	struct host *h = *state;

	assert_int_equal(http_new(h->d.event, h->d.metrics, LISTEN, &h->d.http), 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		_cleanup_free_
		char *text = ask(h, rows[i].request);

		if (strncmp(text, rows[i].status, strlen(rows[i].status)) != 0)
			fail_msg("%s: got %.60s", rows[i].request, text);
		assert_non_null(strstr(text, "Connection: close"));
		assert_int_equal(strstr(text, "405") == text + 9, strstr(text, "Allow: ") != NULL);
		assert_int_equal(strstr(text, "\nsallyport_uptime_seconds ") != NULL, rows[i].body);
		if (rows[i].body) {
			assert_non_null(strstr(text, "Content-Type: " EXPOSITION_TYPE "\r\n"));
			assert_true(read_text(strstr(text, "\r\n\r\n") + 4) > 300);
		}
	}
	h->d.http = http_free(h->d.http);
}

/* What is not HTTP ends its own connection; the next caller is answered. */
static void test_garbage(void **state)
{
	static const char *const rows[] = {
		"\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"GET /metrics HTTP/9.9\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\nzz\r\n",
		"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\nHost: x\r\n\r\n",
	};
	struct host *h = *state;
	uint64_t start = client_now_us();
	int fds[SP_ARRAY_SIZE(rows) + 1];
	_cleanup_free_
	char *long_one = calloc(1, 100000), *text = NULL;

	assert_int_equal(http_new(h->d.event, h->d.metrics, LISTEN, &h->d.http), 0);
	/* All at once: some are held until nothing has moved for 5 s, as is one that is silent. */
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		fds[i] = dial();
		send(fds[i], rows[i], strlen(rows[i]), MSG_NOSIGNAL);
		shutdown(fds[i], SHUT_WR);
	}
	fds[SP_ARRAY_SIZE(rows)] = dial();
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		free(hear(h, fds[i]));
	assert_true(client_now_us() - start < 8000000);
	memset(long_one, 'a', 99999);
	memcpy(long_one, "GET /", 5);
	text = ask(h, long_one);
	assert_true(*text == '\0' || strncmp(text + 8, " 414 ", 5) == 0 ||
		    strncmp(text + 8, " 431 ", 5) == 0);
	free(text);
	text = ask(h, "GET /metrics HTTP/1.0\r\n\r\n");
	assert_int_equal(strncmp(text + 8, " 200 ", 5), 0);
	h->d.http = http_free(h->d.http);
}

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The end at any moment: before a request, within one, while its answer is put together. */
static void test_end(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	struct host *h = *state;
	size_t before = count_fds();

	for (int turns = 0; turns < 8; turns++) {
		int whole[3], idle, half;

		assert_int_equal(http_new(h->d.event, h->d.metrics, LISTEN, &h->d.http), 0);
		idle = dial();
		half = dial();
		send(half, request, 9, MSG_NOSIGNAL);
		for (size_t i = 0; i < SP_ARRAY_SIZE(whole); i++) {
			whole[i] = dial();
			send(whole[i], request, sizeof(request) - 1, MSG_NOSIGNAL);
		}
		for (int n = 0; n < turns; n++)
			assert_true(sd_event_run(h->d.event, 0) >= 0);
		close(whole[0]); /* a caller that is gone before its answer */
		h->d.http = http_free(h->d.http);
		host_settle(h, 0); /* the collection that nobody waits for */
		for (size_t i = 1; i < SP_ARRAY_SIZE(whole); i++)
			close(whole[i]);
		close(idle);
		close(half);
	}
	assert_int_equal(count_fds(), before);
}

/* More callers than there is room for: the daemon goes on, and who waits is answered in turn. */
static void test_crowd(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	struct host *h = *state;
	int idle[HTTP_CONNECTIONS_MAX], late;
	_cleanup_free_
	char *text = NULL;

	assert_int_equal(http_new(h->d.event, h->d.metrics, LISTEN, &h->d.http), 0);
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		idle[i] = dial();
	late = dial();
	send(late, request, sizeof(request) - 1, MSG_NOSIGNAL);
	host_settle(h, 50);
	assert_false(is_readable(late));
	for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		close(idle[i]);
	text = hear(h, late);
	assert_int_equal(strncmp(text + 8, " 200 ", 5), 0);
	h->d.http = http_free(h->d.http);
}

static void test_listen(void **state)
{
	struct host *h = *state;
	struct http *second = NULL;

	assert_int_equal(http_new(h->d.event, h->d.metrics, "192.0.2.1:80", &second), -EINVAL);
	assert_int_equal(http_new(h->d.event, h->d.metrics, LISTEN, &h->d.http), 0);
	assert_int_equal(http_new(h->d.event, h->d.metrics, LISTEN, &second), -EADDRINUSE);
	assert_null(second);
	assert_int_equal(http_new(h->d.event, h->d.metrics, "[::1]:9469", &second), 0);
	second = http_free(second);
	h->d.http = http_free(h->d.http);
	/* At once again, as after a reload. */
	assert_int_equal(http_new(h->d.event, h->d.metrics, LISTEN, &h->d.http), 0);
	h->d.http = http_free(h->d.http);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),	 cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_text),	 cmocka_unit_test(test_store_down),
		cmocka_unit_test(test_sums),	 cmocka_unit_test(test_together),
		cmocka_unit_test(test_machines), cmocka_unit_test(test_windows),
		cmocka_unit_test(test_loop),	 cmocka_unit_test(test_address),
		cmocka_unit_test(test_requests), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_end),	 cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_listen),
	};
	int r = net_isolate();

	if (r == 0 && system("ip link set lo up") != 0)
		r = -EIO;
	if (r < 0) {
		printf("1..0 # SKIP root is needed for namespaces: %s\n", strerror(-r));
		return 0;
	}
	return cmocka_run_group_tests_name("metrics", tests, setup, teardown);
}
