/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a trace tell what was when, whose it is, and is every bound of it kept? */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "loader/trace/trace.h"

#define S 1000000ULL
#define PENDING (SP_TRACE_PENDING_S * S)

static int setup(void **state)
{
	return traces_new((struct traces **)state);
}

static int teardown(void **state)
{
	traces_free(*state);
	return 0;
}

static uint64_t begin(struct traces *t, const char *user, uint16_t port, uint64_t now)
{
	return trace_begin(t, user, "main", user, "192.0.2.1", port, now);
}

static uint64_t find(struct traces *t, const char *name, uint16_t port, uint64_t now)
{
	return trace_of_login(t, "main", name, "192.0.2.1", port, now);
}

/* By its id; NULL: it is not kept. */
static json_t *view(struct traces *t, uint64_t id)
{
	char text[17];

	trace_format_id(id, text);
	return trace_view(t, 0, text);
}

static bool is_kept(struct traces *t, uint64_t id)
{
	json_t *j = view(t, id);

	json_decref(j);
	return j != NULL;
}

static uint64_t count_of(struct traces *t, enum trace_stage stage)
{
	return trace_stage_histogram(t, stage)->count;
}

/* --- whose it is --- */

static void test_login(void **state)
{
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 1194, S);

	assert_true(id != 0);
	assert_true(find(t, "alice", 1194, 2 * S) == id);
	assert_true(find(t, "alice", 1195, 2 * S) == 0);
	assert_true(find(t, "bob", 1194, 2 * S) == 0);
	assert_true(trace_of_login(t, "main", "alice", "192.0.2.2", 1194, 2 * S) == 0);
	assert_true(trace_of_login(t, "other", "alice", "192.0.2.1", 1194, 2 * S) == 0);
	assert_true(find(t, "alice", 1194, S + PENDING) == id);
	assert_true(find(t, "alice", 1194, S + PENDING + 1) == 0);
	trace_session(t, id, 7);
	assert_true(find(t, "alice", 1194, 2 * S) == 0);
	/* The next from there is another's. */
	assert_true(begin(t, "alice", 1194, 3 * S) != id);
	assert_true(find(t, "alice", 1194, 3 * S) != id);
}

static void test_latest_login(void **state)
{
	struct traces *t = *state;
	uint64_t old = begin(t, "alice", 1194, S), new = begin(t, "alice", 1194, 2 * S);
	char text[17];
	json_t *j;

	assert_true(find(t, "alice", 1194, 3 * S) == new);
	trace_session(t, new, 1);
	assert_true(find(t, "alice", 1194, 3 * S) == 0);
	assert_true(is_kept(t, old));
	/* A session has one trace, the first. */
	trace_session(t, old, 1);
	trace_format_id(new, text);
	j = trace_view(t, 1, NULL);
	assert_string_equal(json_string_value(json_object_get(j, "id")), text);
	json_decref(j);
	trace_session(t, old, 2);
	j = trace_view(t, 2, NULL);
	assert_non_null(j);
	json_decref(j);
}

/* With username-as-common-name the certificate's name is told at login, the user's at connect. */
static void test_other_name(void **state)
{
	struct traces *t = *state;
	uint64_t id = trace_begin(t, "alice", "main", "laptop-17", "192.0.2.1", 5, S);

	assert_true(find(t, "laptop-17", 5, S) == id);
	assert_true(find(t, "alice", 5, S) == id);
	assert_true(find(t, "laptop", 5, S) == 0);
}

/* A plugin of before does not tell the port. */
static void test_no_port(void **state)
{
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 0, S);

	assert_true(find(t, "alice", 1194, S) == id);
	assert_true(find(t, "bob", 1194, S) == 0);
	trace_session(t, id, 3);
	assert_true(find(t, "alice", 1194, S) == 0);
}

static void test_ids(void **state)
{
	static const char *const none[] = {"",
					   "0",
					   "0000000000000000",
					   "00000000000000000",
					   "xyzxyzxyzxyzxyzx",
					   "+000000000000001",
					   "0x00000000000001",
					   " 000000000000001",
					   "000000000000001\n"};
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 1, S);
	char text[17], upper[17];
	json_t *j;

	trace_format_id(0, text);
	assert_string_equal(text, "");
	trace_format_id(id, text);
	assert_int_equal(strlen(text), 16);
	for (int i = 0; i < 17; i++)
		upper[i] = (char)(text[i] >= 'a' ? text[i] - 'a' + 'A' : text[i]);
	j = trace_view(t, 0, upper);
	assert_string_equal(json_string_value(json_object_get(j, "id")), text);
	assert_null(json_object_get(j, "session"));
	json_decref(j);
	for (size_t i = 0; i < SP_ARRAY_SIZE(none); i++)
		assert_null(trace_view(t, 0, none[i]));
	trace_session(t, id, 42);
	assert_null(trace_view(t, 0, NULL));
	assert_null(trace_view(t, 41, NULL));
	j = trace_view(t, 42, NULL);
	assert_string_equal(json_string_value(json_object_get(j, "id")), text);
	json_decref(j);
}

/* 0 and what is not known are passed over everywhere. */
static void test_unknown(void **state)
{
	struct traces *t = *state;

	for (uint64_t id = 0; id < 2; id++) {
		trace_mark(t, id, TRACE_AUTH, "alice/web", S);
		trace_session(t, id, 1);
		assert_false(trace_has(t, id, TRACE_AUTH, NULL));
	}
	assert_null(trace_view(t, 1, NULL));
	assert_null(trace_view(t, 0, NULL));
}

/* --- how many are kept --- */

static void test_ring(void **state)
{
	static uint64_t ids[TRACES_KEPT + 100];
	struct traces *t = *state;

	for (size_t i = 0; i < SP_ARRAY_SIZE(ids); i++) {
		ids[i] = begin(t, "alice", (uint16_t)(i + 1), S + i);
		assert_true(ids[i] != 0);
		trace_session(t, ids[i], i + 1);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(ids); i++) {
		json_t *j = trace_view(t, i + 1, NULL);

		assert_true(is_kept(t, ids[i]) == (i >= 100));
		assert_true((j != NULL) == (i >= 100));
		json_decref(j);
	}
	trace_mark(t, ids[0], TRACE_AUTH, NULL, 2 * S);
	assert_false(trace_has(t, ids[0], TRACE_AUTH, NULL));
}

/* A login that came to nothing gives way before any session. */
static void test_who_gives_way(void **state)
{
	struct traces *t = *state;
	uint64_t session = begin(t, "alice", 1, S), failed, pending;

	trace_session(t, session, 1);
	failed = begin(t, "mallory", 2, 2 * S);
	for (uint16_t i = 2; i < TRACES_KEPT; i++)
		assert_true(begin(t, "many", (uint16_t)(i + 1), 100 * S) != 0);
	assert_true(is_kept(t, session) && is_kept(t, failed));
	pending = begin(t, "bob", 2000, 2 * S + PENDING + 1);
	assert_true(is_kept(t, session));
	assert_false(is_kept(t, failed));
	/* No login has expired: the oldest of all. */
	begin(t, "carol", 2001, 2 * S + PENDING + 2);
	assert_false(is_kept(t, session));
	assert_true(is_kept(t, pending));
	/* A storm of logins, and nothing else. */
	for (int i = 0; i < 2 * TRACES_KEPT; i++)
		begin(t, "storm", 7, 3 * S + PENDING);
	assert_false(is_kept(t, pending));
	assert_true(find(t, "storm", 7, 3 * S + PENDING) != 0);
}

/* --- what was when --- */

static const char *event_text(const json_t *trace, size_t i, const char *name)
{
	const char *s = json_string_value(
		json_object_get(json_array_get(json_object_get(trace, "events"), i), name));

	return s ? s : "-";
}

static int64_t event_int(const json_t *trace, size_t i, const char *name)
{
	const json_t *v =
		json_object_get(json_array_get(json_object_get(trace, "events"), i), name);

	return v ? json_integer_value(v) : -1;
}

/* A login whose machines start meanwhile: the branches are measured each by itself. */
static void test_stages(void **state)
{
	static const struct {
		enum trace_stage stage;
		const char *object;
		uint64_t ms;
		int64_t took_ms;
		const char *from;
	} rows[] = {
		{TRACE_AUTH, NULL, 0, -1, "-"},
		{TRACE_AUTH_STORE, NULL, 2, 2, "auth"},
		{TRACE_AUTH_DONE, NULL, 22, 20, "auth-store"},
		{TRACE_MACHINE_WANTED, "alice/web", 23, -1, "-"},
		{TRACE_MACHINE_WANTED, "alice/db", 24, -1, "-"},
		{TRACE_MACHINE_QUEUED, "alice/db", 24, -1, "-"},
		{TRACE_PORT_UP, "alice/web", 30, 7, "machine-wanted"},
		{TRACE_CONNECT, NULL, 50, 28, "auth-done"},
		{TRACE_DOMAIN_CALL, "alice/web", 51, 28, "machine-wanted"},
		{TRACE_PORT_UP, "alice/db", 60, 36, "machine-wanted"},
		{TRACE_DOMAIN_CALL, "alice/db", 61, 37, "machine-wanted"},
		{TRACE_CONNECT_STORE, NULL, 65, 15, "connect"},
		{TRACE_CONNECTED, NULL, 66, 1, "connect-store"},
		{TRACE_DOMAIN_UP, "alice/db", 160, 99, "domain-call"},
		{TRACE_FIRST_MAC, "02:00:00:00:00:01", 70, 4, "connected"},
		{TRACE_DOMAIN_UP, "alice/web", 251, 200, "domain-call"},
		{TRACE_FIRST_FRAME, "alice/web", 300, 234, "connected"},
		{TRACE_FIRST_ANSWER, "alice/web", 301, 1, "first-frame"},
		/* Twice: what began it began the first. */
		{TRACE_FIRST_FRAME, "alice/web", 400, -1, "-"},
		/* Of a machine that nobody wanted. */
		{TRACE_DOMAIN_UP, "alice/other", 500, -1, "-"},
		/* Once more, much later. */
		{TRACE_MACHINE_WANTED, "alice/web", 900000, -1, "-"},
		{TRACE_DOMAIN_CALL, "alice/web", 900001, 1, "machine-wanted"},
		{TRACE_DOMAIN_UP, "alice/web", 900011, 10, "domain-call"},
	};
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 1, 5 * S);
	json_t *j;

	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++)
		trace_mark(t, id, rows[i].stage, rows[i].object, 5 * S + rows[i].ms * 1000);
	j = view(t, id);
	assert_int_equal(json_array_size(json_object_get(j, "events")), SP_ARRAY_SIZE(rows));
	for (size_t i = 0; i < SP_ARRAY_SIZE(rows); i++) {
		assert_string_equal(event_text(j, i, "stage"), trace_stage_name(rows[i].stage));
		assert_string_equal(event_text(j, i, "object"),
				    rows[i].object ? rows[i].object : "-");
		assert_string_equal(event_text(j, i, "from"), rows[i].from);
		assert_int_equal(event_int(j, i, "us"), rows[i].ms * 1000);
		assert_int_equal(event_int(j, i, "took_us"),
				 rows[i].took_ms < 0 ? -1 : rows[i].took_ms * 1000);
	}
	json_decref(j);
	/* The histograms say the same. */
	assert_int_equal(count_of(t, TRACE_DOMAIN_UP), 3);
	assert_int_equal(trace_stage_histogram(t, TRACE_DOMAIN_UP)->sum_us, 309000);
	assert_int_equal(count_of(t, TRACE_FIRST_FRAME), 1);
	assert_int_equal(count_of(t, TRACE_MACHINE_WANTED), 0);
	assert_int_equal(trace_span_histogram(t, TRACE_SPAN_LOGIN)->sum_us, 66000);
	assert_int_equal(trace_span_histogram(t, TRACE_SPAN_WAKE)->count, 3);
	assert_int_equal(trace_span_histogram(t, TRACE_SPAN_WAKE)->sum_us, 136000 + 228000 + 11000);
}

static void test_has(void **state)
{
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 1, S);

	assert_false(trace_has(t, id, TRACE_FIRST_FRAME, NULL));
	trace_mark(t, id, TRACE_FIRST_FRAME, "alice/web", S);
	assert_true(trace_has(t, id, TRACE_FIRST_FRAME, NULL));
	assert_true(trace_has(t, id, TRACE_FIRST_FRAME, "alice/web"));
	assert_false(trace_has(t, id, TRACE_FIRST_FRAME, "alice/db"));
	assert_false(trace_has(t, id, TRACE_FIRST_ANSWER, "alice/web"));
}

/* A clock that is behind, one that is years ahead. */
static void test_clock(void **state)
{
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 1, S);
	json_t *j;

	trace_mark(t, id, TRACE_AUTH, NULL, 0);
	trace_mark(t, id, TRACE_AUTH_STORE, NULL, UINT64_MAX);
	trace_mark(t, id, TRACE_AUTH_DONE, NULL, 2 * S);
	j = view(t, id);
	assert_int_equal(event_int(j, 0, "us"), 0);
	assert_true(event_int(j, 1, "us") == (1LL << 48) - 1);
	assert_int_equal(event_int(j, 2, "took_us"), 0);
	json_decref(j);
}

/* --- bounds of one trace --- */

static void test_many_events(void **state)
{
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 1, 0);
	json_t *j;

	for (uint64_t i = 0; i < 1000; i++)
		trace_mark(t, id, i % 2 ? TRACE_DOMAIN_UP : TRACE_DOMAIN_CALL, "alice/web",
			   i * 1000);
	j = view(t, id);
	assert_int_equal(json_array_size(json_object_get(j, "events")), TRACE_EVENTS_MAX);
	assert_int_equal(json_integer_value(json_object_get(j, "lost")), 1000 - TRACE_EVENTS_MAX);
	for (size_t i = 0; i < TRACE_EVENTS_MAX; i++) {
		size_t n = i < TRACE_EVENTS_HEAD ? i : 1000 - TRACE_EVENTS_MAX + i;

		assert_int_equal(event_int(j, i, "us"), n * 1000);
		assert_string_equal(event_text(j, i, "stage"), n % 2 ? "domain-up" : "domain-call");
	}
	json_decref(j);
	/* All were measured, those too that are not kept. */
	assert_int_equal(count_of(t, TRACE_DOMAIN_UP), 500);
	assert_int_equal(trace_stage_histogram(t, TRACE_DOMAIN_UP)->sum_us, 500 * 1000);
	assert_true(trace_has(t, id, TRACE_DOMAIN_UP, "alice/web"));
}

static void test_many_objects(void **state)
{
	struct traces *t = *state;
	uint64_t id = begin(t, "alice", 1, 0);
	char name[2 * SP_NAME_MAX];
	json_t *j;

	for (int i = 0; i < TRACE_OBJECTS_MAX + 5; i++) {
		snprintf(name, sizeof(name), "a/%d", i);
		trace_mark(t, id, TRACE_MACHINE_WANTED, name, 1);
	}
	j = view(t, id);
	assert_int_equal(json_array_size(json_object_get(j, "events")), TRACE_OBJECTS_MAX);
	assert_int_equal(json_integer_value(json_object_get(j, "lost")), 5);
	json_decref(j);
	/* Long ones: the same, earlier. Under another's name none is ever shown. */
	id = begin(t, "bob", 2, 0);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < 20; i++) {
		name[0] = (char)('a' + i);
		trace_mark(t, id, TRACE_MACHINE_WANTED, name, 1);
	}
	j = view(t, id);
	assert_int_equal(json_integer_value(json_object_get(j, "lost")) +
				 (int)json_array_size(json_object_get(j, "events")),
			 20);
	for (size_t i = 0; i < json_array_size(json_object_get(j, "events")); i++)
		assert_int_equal(event_text(j, i, "object")[0], 'a' + (int)i);
	json_decref(j);
}

/* Names that somebody chose, to harm: what comes out is JSON, bounded, and nobody else's. */
static void test_hostile_names(void **state)
{
	static const char *const names[] = {
		"\"}],\"x\":[{", "a\nb\\",	     "\x01\x7f", "\xff\xfe", "caf\xc3\xa9", "",
		"a\xc3",	 "\xf0\x9f\x98\x80", "%s%n",	 "/",	     "//",
	};
	struct traces *t = *state;
	char longest[3000];

	memset(longest, 0xc3, sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i <= SP_ARRAY_SIZE(names); i++) {
		const char *name = i < SP_ARRAY_SIZE(names) ? names[i] : longest;
		uint64_t id = trace_begin(t, name, name, name, name, 1, S);
		_cleanup_free_
		char *text = NULL;
		json_t *j, *back;

		assert_true(id != 0);
		if (i < SP_ARRAY_SIZE(names))
			assert_true(trace_of_login(t, name, name, name, 1, S) == id);
		trace_mark(t, id, TRACE_FIRST_MAC, name, S);
		j = view(t, id);
		assert_non_null(j);
		text = json_dumps(j, 0);
		assert_non_null(text);
		assert_true(strlen(text) < SP_MSG_MAX / 2);
		back = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		assert_true(json_equal(j, back));
		json_decref(back);
		json_decref(j);
	}
}

/* --- histograms --- */

/* What Prometheus would compute of the exact values lies in the same bucket. */
static void check_quantile(const uint64_t *sorted, size_t n, double q, double got)
{
	size_t rank = (size_t)(q * (double)n + 0.999999);
	uint64_t exact = sorted[rank ? rank - 1 : 0];
	uint64_t low = 0, high = sorted[n - 1];

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (histogram_bounds_us[i] < exact)
			low = histogram_bounds_us[i];
		else if (histogram_bounds_us[i] < high)
			high = histogram_bounds_us[i];
	}
	if (got < (double)low || got > (double)high)
		fail_msg("q %g of %zu: got %g, expected %llu to %llu", q, n, got,
			 (unsigned long long)low, (unsigned long long)high);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_histogram(void **state)
{
	static const double qs[] = {0, 0.01, 0.5, 0.9, 0.99, 1};
	static uint64_t v[5000];

	srandom(1);
	for (int round = 0; round < 200; round++) {
		size_t n = 1 + (size_t)random() % SP_ARRAY_SIZE(v);
		struct histogram h = {0};
		uint64_t sum = 0;

		for (size_t i = 0; i < n; i++) {
			v[i] = (uint64_t)random() >> random() % 31;
			if (random() % 20 == 0)
				v[i] = histogram_bounds_us[random() % HISTOGRAM_BUCKETS];
			histogram_add(&h, v[i]);
			sum += v[i];
		}
		assert_true(h.count == n && h.sum_us == sum);
		for (int b = 0; b <= HISTOGRAM_BUCKETS; b++) {
			uint64_t low = b ? histogram_bounds_us[b - 1] : 0, count = 0;

			for (size_t i = 0; i < n; i++)
				count += (v[i] > low || (b == 0 && v[i] == 0)) &&
					 (b == HISTOGRAM_BUCKETS || v[i] <= histogram_bounds_us[b]);
			assert_true(h.buckets[b] == count);
		}
		qsort(v, n, sizeof(v[0]), by_value);
		for (size_t i = 0; i < SP_ARRAY_SIZE(qs); i++)
			check_quantile(v, n, qs[i], histogram_quantile_us(&h, qs[i]));
	}
}

/* Worked out by hand, as histogram_quantile's documentation does it. */
static void test_quantiles(void **state)
{
	struct histogram h = {0};

	assert_true(histogram_quantile_us(&h, 0.5) == 0);
	for (int i = 0; i < 10; i++)
		histogram_add(&h, 150); /* 100 to 200 */
	for (int i = 0; i < 10; i++)
		histogram_add(&h, 450); /* 200 to 500 */
	assert_true(histogram_quantile_us(&h, 0.25) == 150);
	assert_true(histogram_quantile_us(&h, 0.5) == 200);
	assert_true(histogram_quantile_us(&h, 0.75) == 350);
	assert_true(histogram_quantile_us(&h, 1) == 450); /* not 500: there is none above */
	histogram_add(&h, 3600 * S);
	assert_true(histogram_quantile_us(&h, 1) == 60.0 * S);
	/* From 100 us to 60 s, each above the one before. */
	assert_true(histogram_bounds_us[0] == 100);
	assert_true(histogram_bounds_us[HISTOGRAM_BUCKETS - 1] == 60 * S);
	for (int i = 1; i < HISTOGRAM_BUCKETS; i++)
		assert_true(histogram_bounds_us[i] > histogram_bounds_us[i - 1]);
}

static void test_summary(void **state)
{
	struct traces *t = *state;
	json_t *list = trace_summary(t);
	uint64_t id = begin(t, "alice", 1, 0);

	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	trace_mark(t, id, TRACE_AUTH, NULL, 0);
	trace_mark(t, id, TRACE_AUTH_STORE, NULL, 1500);
	list = trace_summary(t);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")),
			    "auth-store");
	assert_true(json_real_value(json_object_get(json_array_get(list, 0), "p99_ms")) == 1.5);
	assert_true(json_real_value(json_object_get(json_array_get(list, 0), "sum_ms")) == 1.5);
	json_decref(list);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_login),	 TEST(test_latest_login),  TEST(test_other_name),
		TEST(test_no_port),	 TEST(test_ids),	   TEST(test_unknown),
		TEST(test_ring),	 TEST(test_who_gives_way), TEST(test_stages),
		TEST(test_has),		 TEST(test_clock),	   TEST(test_many_events),
		TEST(test_many_objects), TEST(test_hostile_names), TEST(test_histogram),
		TEST(test_quantiles),	 TEST(test_summary),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
