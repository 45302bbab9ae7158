/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does an old session's late word ever harm a newer one, and is nothing left of one that ended? */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "lib/client.h"
#include "loader/ends.h"
#include "loader/vid.h"
#include "selftests/harness/host.h"

static bool has_vid(struct host *h, uint16_t vid)
{
	struct sp_vid_key key = {.ifindex = HOST_IFINDEX + HOST_VLAN, .vid = vid};
	struct sp_vid value;

	return bpf_map_lookup_elem(dataplane_map_fd(h->d.dp, "vids"), &key, &value) == 0;
}

static void test_keys(void **state)
{
	struct host *h = *state;
	struct session *old = host_session(h, HOST_VLAN, "alice", 1), *s;
	struct session *new = host_session(h, HOST_VLAN, "alice", 2);
	struct session_key key = old->key;
	uint64_t old_id = old->id;

	assert_true(new->id > old->id); /* a generation is never reused */
	assert_int_not_equal(new->member.dst.vid, old->member.dst.vid);
	assert_int_equal(session_new(&h->d, h->instances[HOST_VLAN], &key, &s), -EEXIST);
	assert_ptr_equal(session_find(&h->d, &key), old);
	session_end(old, "the test");
	assert_null(session_find(&h->d, &key));
	assert_null(session_find_id(&h->d, old_id));
	assert_ptr_equal(session_find_id(&h->d, new->id), new);
	/* The same but for the port, the instance, the second. */
	session_key_set(&key, "vlan", "alice", "192.0.2.1", 1195, 2);
	assert_null(session_find(&h->d, &key));
	session_key_set(&key, "mac", "alice", "192.0.2.1", 1194, 2);
	assert_null(session_find(&h->d, &key));
	session_key_set(&key, "vlan", "alice", "192.0.2.1", 1194, 2);
	assert_ptr_equal(session_find(&h->d, &key), new);
	session_end(new, "the test is over");
}

static void test_nothing_is_left(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "alice", 1);
	uint16_t vid = s->member.dst.vid;
	uint32_t port = s->member.dst.port, segment = s->member.segment;
	struct vids_count count;

	assert_true(has_vid(h, vid));
	assert_int_equal(portnum_take(h->d.portnums, port), -EEXIST);
	session_end(s, "the test is over");
	assert_false(has_vid(h, vid));
	assert_int_equal(host_flood_count(h, segment), -1);
	assert_int_equal(portnum_take(h->d.portnums, port), 0);
	portnum_put(h->d.portnums, port);
	assert_int_equal(h->d.n_sessions, 0);
	/* The id rests. */
	vids_count(h->instances[HOST_VLAN]->vids, client_now_us(), &count);
	assert_int_equal(count.used, 0);
	assert_true(count.resting > 0);
}

static void test_restart_of_openvpn(void **state)
{
	struct host *h = *state;
	struct instance *i = h->instances[HOST_VLAN];
	struct session *a = host_session(h, HOST_VLAN, "alice", 1);
	struct session *m = host_session(h, HOST_MAC, "alice", 2);
	struct session_key key = a->key;

	assert_true(instance_saw_pid(i, HOST_PID));
	assert_ptr_equal(session_find(&h->d, &key), a);
	/* kill -9 fired no hook; the new process's first word ends what the old one had. */
	assert_true(instance_saw_pid(i, HOST_PID + 1));
	assert_null(session_find(&h->d, &key));
	assert_int_equal(h->d.n_sessions, 1); /* the other instance's is not concerned */
	/* A hook of the old process that comes late is told so, and ends nothing. */
	a = host_session(h, HOST_VLAN, "alice", 3);
	a->daemon_pid = HOST_PID + 1;
	assert_false(instance_saw_pid(i, HOST_PID));
	assert_int_equal(h->d.n_sessions, 2);
	session_end(a, "the test is over");
	session_end(m, "the test is over");
	i->openvpn_pid = 0;
	memset(i->retired, 0, sizeof(i->retired));
}

static void test_end_user(void **state)
{
	struct host *h = *state;
	uint32_t alice = host_user(h, "alice");

	host_session(h, HOST_VLAN, "alice", 1);
	host_session(h, HOST_MAC, "alice", 2);
	host_session(h, HOST_VLAN, "bob", 3);
	session_end_user(&h->d, alice, "the test");
	assert_int_equal(h->d.n_sessions, 1);
	session_end_user(&h->d, host_user(h, "bob"), "the test is over");
	assert_int_equal(h->d.n_sessions, 0);
}

/* Thousands end at once: the store learns of every one. */
struct count_job {
	struct job job;
	unsigned int live;
	bool done;
};

static int count_one(const struct store_session *s, void *arg)
{
	++*(unsigned int *)arg;
	return 0;
}

static void count_run(struct job *job, struct store *store)
{
	struct count_job *c = (struct count_job *)job;

	store_session_each_live(store, count_one, &c->live);
}

static void count_done(struct job *job)
{
	((struct count_job *)job)->done = true;
}

static unsigned int live_rows(struct host *h)
{
	struct count_job c = {.job = {count_run, count_done, NULL}};

	ends_flush(h->d.ends);
	assert_int_equal(workers_submit(h->d.workers, WORKER_STORE, &c.job), 0);
	while (!c.done)
		assert_true(sd_event_run(h->d.event, UINT64_MAX) >= 0);
	return c.live;
}

static void test_many_ends(void **state)
{
	struct host *h = *state;
	char user[16];

	assert_int_equal(live_rows(h), 0);
	for (int n = 0; n < 50; n++) {
		snprintf(user, sizeof(user), "user%d", n);
		host_session(h, HOST_VLAN, user, n);
	}
	assert_int_equal(live_rows(h), 50);
	session_end_instance(h->instances[HOST_VLAN], 0, "the test is over");
	assert_int_equal(live_rows(h), 0);
}

static void lock_db(sqlite3 **ret, struct host *h)
{
	assert_int_equal(sqlite3_open(h->db, ret), SQLITE_OK);
	assert_int_equal(sqlite3_exec(*ret, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
}

/* While the store refuses, ends wait; when it answers again they are written. */
static void test_store_away(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "alice", 1);
	sqlite3 *other;

	lock_db(&other, h);
	session_end(s, "the test");
	while (!h->d.store_error) /* the deadline of the fixture's store: 1 s */
		assert_true(sd_event_run(h->d.event, UINT64_MAX) >= 0);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(live_rows(h), 0);
	assert_null(h->d.store_error);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *base;
		uint32_t n;
		int r;
		const char *address;
	} rows[] = {
		{"", 5, 0, ""},
		{"10.8.0.10/24", 0, 0, "10.8.0.10/24"},
		{"10.8.0.10/24", 3, 0, "10.8.0.13/24"},
		{"10.8.0.250/24", 10, -ERANGE, NULL},
		{"10.8.0.250/16", 10, 0, "10.8.1.4/16"},
		{"255.255.255.255/1", 1, -ERANGE, NULL},
		{"fd00::10/64", 2, 0, "fd00::12/64"},
		{"fd00::ffff/112", 1, -ERANGE, NULL},
		{"fd00::ffff/64", 1, 0, "fd00::1:0/64"},
		{"10.8.0.10", 0, -EINVAL, NULL},
		{"10.8.0.10/", 0, -EINVAL, NULL},
		{"10.8.0.10/33", 0, -EINVAL, NULL},
		{"10.8.0.10/0", 0, -EINVAL, NULL},
		{"10.8.0.10/-1", 0, -EINVAL, NULL},
		{"10.8.0.10/24x", 0, -EINVAL, NULL},
		{"10.8.0/24", 0, -EINVAL, NULL},
		{"fd00::g/64", 0, -EINVAL, NULL},
		{"fd00::1/129", 0, -EINVAL, NULL},
	};
	char address[SP_ADDR_STRLEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = session_address(rows[i].base, rows[i].n, address);

		if (r != rows[i].r)
			fail_msg("row %zu: %s: expected %d, got %d", i, rows[i].base, rows[i].r, r);
		if (r == 0)
			assert_string_equal(address, rows[i].address);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_restart_of_openvpn),
		cmocka_unit_test(test_end_user),
		cmocka_unit_test(test_many_ends),
		cmocka_unit_test(test_store_away),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests_name("session", tests, host_setup, host_teardown);
}
