/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is what is copied from one database to another the same there, and back again? Are old files
 * brought up to date without loss? Does a look at all rows find each that is wrong?
 */
#include "store_fixture.h"

/* --- all that the interface tells of a store, as text --- */

struct dump {
	FILE *f;
	char *text;
	size_t size;
};

static void put(struct dump *d, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(d->f, "%02x", ((const uint8_t *)bytes)[i]);
	fputc(' ', d->f);
}

static int dump_user(const struct store_user *u, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "user %u %u %d %u %u %u %u %u %llu %u %u %u %u %lld ", u->id, u->segment,
		u->disabled, u->max_sessions, u->max_macs, u->max_machines, u->max_memory_mib,
		u->max_vcpus, (unsigned long long)u->rate_bytes, u->rate_frames, u->max_user_macs,
		u->max_flows, u->new_flows, (long long)u->created);
	put(d, u->name, strlen(u->name));
	put(d, u->hash, strlen(u->hash));
	fprintf(d->f, "%s %s\n", u->address, u->address6);
	return 0;
}

static int dump_workload(const struct store_workload *w, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "workload %u %u %u %s %s %s ", w->id, w->user_id, w->segment, w->name,
		w->netns, w->ifname);
	put(d, w->mac, 6);
	fputc('\n', d->f);
	return 0;
}

static int dump_machine(const struct store_machine *m, void *arg)
{
	struct dump *d = arg;

	put(d, m, sizeof(*m)); /* zeroed before it was filled */
	fputc('\n', d->f);
	return 0;
}

static int dump_rules(const struct store_rules *r, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "policy %u %llu %s\n", r->machine_id, (unsigned long long)r->generation,
		r->text ? r->text : "(NULL)");
	return 0;
}

static int dump_session(const struct store_session *x, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "session %llu %u %u %s %s %u %lld %lld %u %u %lld %lld ",
		(unsigned long long)x->id, x->user_id, x->segment, x->instance, x->trusted_ip,
		x->trusted_port, (long long)x->time_unix, (long long)x->daemon_pid, x->vid,
		x->index, (long long)x->started, (long long)x->ended);
	put(d, x->user, strlen(x->user));
	put(d, x->common_name, strlen(x->common_name));
	fputc('\n', d->f);
	return 0;
}

static int dump_audit(int64_t when, const char *who, const char *what, const char *object,
		      const char *detail, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "audit %lld %s %s %s %s\n", (long long)when, who, what, object,
		detail ? detail : "(NULL)");
	return 0;
}

static int dump_server(const struct store_server *s, void *arg)
{
	fprintf(((struct dump *)arg)->f, "server %s\n", s->name);
	return 0;
}

static char *dump(struct store *s)
{
	struct dump d = {0};

	d.f = open_memstream(&d.text, &d.size);
	assert_non_null(d.f);
	assert_int_equal(store_server_each(s, dump_server, &d), 0);
	assert_int_equal(store_user_each(s, dump_user, &d), 0);
	assert_int_equal(store_workload_each(s, dump_workload, &d), 0);
	assert_int_equal(store_machine_each(s, dump_machine, &d), 0);
	assert_int_equal(store_rules_each(s, dump_rules, &d), 0);
	assert_int_equal(store_session_each_since(s, 0, dump_session, &d), 0);
	assert_int_equal(store_audit_each(s, SIZE_MAX, dump_audit, &d), 0);
	fclose(d.f);
	return d.text;
}

/* --- a store with something of everything --- */

#define MANY 1200 /* more than two pages */

/* One with as long a text as may be, and one that has none any more. */
static void fill_rules(struct store *s, struct store_machine *m)
{
	char *text = calloc(1, SP_POLICY_MAX + 1);
	uint64_t generation;

	assert_non_null(text);
	memset(text, '#', SP_POLICY_MAX);
	assert_int_equal(store_rules_set(s, m->id, "accept in tcp # '\\ \"", STORE_ANY_GENERATION,
					 &generation),
			 0);
	assert_int_equal(store_rules_set(s, m->id, text, 1, &generation), 0);
	assert_int_equal(generation, 2);
	free(text);
	m->router = false;
	m->dhcp_server = true;
	strcpy(m->name, "n");
	strcpy(m->domain, "n");
	m->uuid[15] = m->mac[5] = 2;
	assert_int_equal(store_machine_add(s, m), 0);
	assert_int_equal(store_rules_set(s, m->id, NULL, 0, &generation), 0);
}

static void fill(struct store *s)
{
	static const char *const names[] = {"alice", "x'; DROP TABLE user; --", "\xff\xfe \"\\",
					    "ALICE", "alice "};
	struct store_machine m = {.origin = ORIGIN_DOMAIN,
				  .policy = {.start = START_CONNECT,
					     .grace_s = STORE_DEFAULT,
					     .idle_s = STORE_DEFAULT,
					     .min_up_s = STORE_DEFAULT},
				  .user = "alice",
				  .name = "m",
				  .pinned = PINNED_DHCP,
				  .leases = "10.8.0.7@1764171646",
				  .router = true,
				  .domain = "d '\xff",
				  .uuid = {1, 0, 2},
				  .mac = {0x52, 0, 0, 0, 0, 1}};
	struct store_session x;
	struct store_user u[5];
	uint64_t from;

	for (size_t i = 0; i < 5; i++) {
		struct store_workload w = {.ifname = "eth0", .mac = {2, 0, 0, 0, 0, 9}};

		add_user(s, names[i], &u[i]);
		strcpy(w.user, names[i]);
		sprintf(w.name, "w\xff");
		sprintf(w.netns, "n%zu", i);
		assert_int_equal(store_workload_add(s, &w), 0);
	}
	assert_int_equal(store_machine_add(s, &m), 0);
	u[1].rate_bytes = INT64_MAX;
	u[1].max_user_macs = 9;
	u[1].max_flows = 10;
	u[1].new_flows = UINT32_MAX;
	assert_int_equal(store_user_update(s, &u[1]), 0);
	fill_rules(s, &m);
	for (uint16_t i = 0; i < MANY; i++) {
		x = a_session(&u[i % 3], i < 1000 ? i + 2 : 0);
		sprintf(x.common_name, "cn\xff' %u", i);
		x.time_unix = INT64_MIN + i;
		x.daemon_pid = INT64_MAX - i;
		assert_int_equal(store_session_begin(s, &x, 9999), 0);
		if (i % 5 == 0)
			assert_int_equal(store_session_end(s, x.id, 1700000000 + i), 0);
		else
			assert_int_equal(store_mac_claim(s, i % 2 ? x.segment : 0,
							 (uint8_t[6]){2, 2, 0, 0, (uint8_t)(i >> 8),
								      (uint8_t)i},
							 x.id, &from),
					 0);
	}
	assert_int_equal(store_audit_add(s, "uid:0", "what's", "\"it\"", NULL), 0);
	assert_int_equal(store_audit_add(s, "uid:0", "a", "b", ""), 0);
}

/* The last that was given is gone, and must not be given again. */
static void fill_and_forget(struct store *s)
{
	struct store_session x;
	struct store_user u;

	fill(s);
	add_user(s, "gone", &u);
	x = a_session(&u, 0);
	assert_int_equal(store_session_begin(s, &x, 9), 0);
	assert_int_equal(store_session_end(s, x.id, 5), 0);
	assert_int_equal(store_user_delete(s, "gone"), 0);
}

static struct store *open_tool(const char *file, const char *database, bool exclusive)
{
	struct store_options o = fixture_options();
	_cleanup_free_
	char *error = NULL;
	struct store *s = NULL;

	o.path = file;
	o.tool = true;
	o.exclusive = exclusive;
	o.timeout_ms = FIXTURE_SERVER_TIMEOUT_MS;
	o.mysql.database = database;
	o.mysql.socket = fixture_server.socket;
	o.mysql.user = "root";
	if (store_open(&o, &s, &error) < 0)
		fail_msg("%s", error);
	return s;
}

static void copy(struct store *from, struct store *to)
{
	_cleanup_free_
	char *error = NULL;
	int r = store_copy(from, to, NULL, NULL, &error);

	if (r < 0)
		fail_msg("%d %s", r, error);
}

static uint64_t problems(struct store *s)
{
	uint64_t n = 99;

	assert_int_equal(store_verify(s, NULL, NULL, &n), 0);
	return n;
}

static void note_progress(const char *table, uint64_t rows, void *arg)
{
	if (strcmp(table, "session") == 0)
		*(uint64_t *)arg = rows;
}

/* SQLite to MariaDB and back: three stores that tell the same, byte for byte. */
static void test_there_and_back(void **state)
{
	_cleanup_free_
	char *first = NULL;
	_cleanup_free_
	char *there = NULL;
	_cleanup_free_
	char *back = NULL;
	char second[128];
	struct store *s, *from, *to;
	uint64_t seen = 0;
	struct store_user u;

	setup(NULL); /* a file beside the database */
	s = open_or_fail();
	fill_and_forget(s);
	assert_int_equal(problems(s), 0);
	first = dump(s);
	store_close(s);

	from = open_tool(path, NULL, true);
	to = open_tool(NULL, fixture_database, false);
	assert_int_equal(store_copy(from, to, note_progress, &seen, NULL), 0);
	assert_int_equal(seen, MANY + 1);
	assert_int_equal(problems(to), 0);
	assert_int_equal(store_copy(from, to, NULL, NULL, NULL), -ENOTEMPTY);
	store_close(from);
	store_close(to);

	fixture_is_mysql = true;
	s = open_or_fail();
	there = dump(s);
	assert_string_equal(there, first);
	store_close(s);

	snprintf(second, sizeof(second), "%s2", path);
	{
		struct store_options o = {.path = second, .timeout_ms = 1000};

		assert_int_equal(store_init(&o, NULL), 0);
	}
	from = open_tool(NULL, fixture_database, false);
	to = open_tool(second, NULL, true);
	copy(from, to);
	assert_int_equal(problems(to), 0);
	store_close(from);
	store_close(to);

	fixture_is_mysql = false;
	strcpy(path, second);
	s = open_or_fail();
	back = dump(s);
	assert_string_equal(back, first);
	/* Neither number was given again, in either. */
	add_user(s, "new", &u);
	assert_int_equal(u.id, 7);
	store_close(s);
	fixture_is_mysql = true;
	s = open_or_fail();
	add_user(s, "new", &u);
	assert_int_equal(u.id, 7);
	{
		struct store_session x = a_session(&u, 0);

		assert_int_equal(store_session_begin(s, &x, 9), 0);
		assert_int_equal(x.id, MANY + 2);
	}
	store_close(s);
	teardown(NULL);
	path[strlen(path) - 1] = '\0';
	teardown(NULL);
}

/* A row that cannot be is named, and nothing is copied. */
static void test_copy_refuses(void **state)
{
	_cleanup_(store_closep) struct store *to = NULL;
	_cleanup_(store_closep) struct store *from = NULL;
	_cleanup_free_
	char *error = NULL;
	struct store *s;
	struct store_user u;

	setup(NULL);
	s = open_or_fail();
	add_user(s, "a", &u);
	add_user(s, "b", &u);
	store_close(s);
	foreign("PRAGMA ignore_check_constraints = ON; UPDATE user SET disabled = 7 WHERE "
		"username = 'b'");
	from = open_tool(path, NULL, true);
	to = open_tool(NULL, fixture_database, false);
	assert_int_equal(store_copy(from, to, NULL, NULL, &error), -EUCLEAN);
	assert_string_equal(error, "table user, row 2: column disabled is out of its range");
	fixture_is_mysql = true;
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), 0);
	/* It can go on: there is no transaction that is left open. */
	assert_int_equal(problems(to), 0);
	store_close(TAKE_PTR(from));
	teardown(NULL);
}

/* While somebody has the file open it is not copied, and while it is copied nobody opens it. */
static void test_exclusive(void **state)
{
	struct store *s = open_or_fail();
	struct store_options o = fixture_options();
	struct store *tool = NULL;
	char *error = NULL;

	o.tool = o.exclusive = true;
	assert_int_equal(store_open(&o, &tool, &error), -EBUSY);
	assert_non_null(strstr(error, "stop sallyportd first"));
	free(error);
	o.exclusive = false;
	assert_int_equal(store_open(&o, &tool, NULL), 0);
	store_close(tool);
	store_close(s);
	o.exclusive = true;
	assert_int_equal(store_open(&o, &tool, NULL), 0);
	assert_int_equal(open_error(), -EBUSY);
	store_close(tool);
	assert_int_equal(open_error(), 0);
}

/* --- making and migrating --- */

static void test_tool_makes_nothing(void **state)
{
	struct store_options o = fixture_options();
	struct store *s = NULL;
	char *error = NULL;
	int from = 7;

	o.tool = true;
	assert_int_equal(store_open(&o, &s, NULL), -ENOENT); /* no such file */
	assert_int_equal(store_migrate(&o, &from, NULL), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	make_version_1();
	assert_int_equal(store_open(&o, &s, &error), -ENOTUNIQ);
	assert_non_null(strstr(error, "sallyport store migrate"));
	free(error);
	assert_int_equal(store_init(&o, NULL), -EEXIST);
	assert_int_equal(foreign_number("PRAGMA user_version"), 1);
	assert_int_equal(store_migrate(&o, &from, NULL), 0);
	assert_int_equal(from, 1);
	assert_int_equal(store_migrate(&o, &from, NULL), 0);
	assert_int_equal(from, STORE_SCHEMA_VERSION);
	assert_int_equal(store_open(&o, &s, NULL), 0);
	store_close(s);
	assert_int_equal(foreign_number("SELECT count(*) FROM server"), 0);
	unlink(path);
	assert_int_equal(store_init(&o, NULL), 0);
	assert_int_equal(store_init(&o, NULL), -EEXIST);
}

/* A file as an older version left it: written by its own code, with hostile names and what is gone.
 */
static void load_version(const char *from)
{
	_cleanup_free_
	char *sql = calloc(1, 65536);
	_cleanup_fclose_ FILE *f = fopen(from, "re");

	assert_non_null(f);
	assert_true(fread(sql, 1, 65535, f) > 1000);
	foreign(sql);
}

static void test_version_2(void **state)
{
	static const char want_users[] = "user 1 1 0 0 0 0 0 0 0 0 0 0 0 1795696180 616c696365 "
					 "2479246a3954247361" /* and so on */;
	_cleanup_free_
	char *text = NULL;
	struct store_user u;
	struct store_session x;
	struct store *s;

	load_version("selftests/unit/store_v2.sql");
	s = open_or_fail();
	assert_int_equal(problems(s), 0);
	text = dump(s);
	assert_non_null(strstr(text, "server here\n"));
	assert_non_null(strstr(text, want_users));
	assert_int_equal(foreign_number("SELECT count(*) FROM user"), 4);
	assert_int_equal(foreign_number("SELECT count(*) FROM session"), 6);
	assert_int_equal(foreign_number("SELECT count(*) FROM workload"), 3);
	assert_int_equal(foreign_number("SELECT count(*) FROM audit"), 2);
	assert_non_null(strstr(text, "workload 3 2 2 web b-web eth0 525400000001"));
	assert_non_null(strstr(text, "session 1 1 1 main 192.0.2.7 1000 1700000000 77 2 0"));
	assert_int_equal(store_user_get(s, "\xc3\xa4\xff\xfe\"", &u), 0);
	assert_int_equal(u.max_macs, 6);
	assert_int_equal(store_user_get(s, "bob", &u), 0);
	assert_true(u.disabled);
	assert_string_equal(u.address6, "fd00::10/64");
	/* User 5, workload 4: given once, never again. */
	add_user(s, "new", &u);
	assert_int_equal(u.id, 6);
	x = a_session(&u, 2);
	strcpy(x.instance, "main");
	assert_int_equal(store_session_begin(s, &x, 9), -EEXIST); /* a live one has the id */
	x.vid = 99;
	assert_int_equal(store_session_begin(s, &x, 9), 0);
	assert_int_equal(x.id, 7);
	/* Both users' workloads have the MAC; it goes when the second does. */
	assert_int_equal(store_workload_delete(s, "alice", "web"), 0);
	assert_int_equal(foreign_number("SELECT holders FROM mac WHERE scope = 0 AND "
					"mac_addr = x'525400000001'"),
			 1);
	assert_int_equal(store_user_delete(s, "bob"), 0);
	assert_int_equal(
		foreign_number("SELECT count(*) FROM mac WHERE mac_addr = x'525400000001'"), 0);
	assert_int_equal(problems(s), 0);
	store_close(s);
}

/* The table of machines is made anew: they, and who has which MAC, are what they were. */
static void test_version_3(void **state)
{
	struct store_machine m, n = {.origin = ORIGIN_DOMAIN,
				     .policy = {.start = START_MANUAL},
				     .user = "alice",
				     .name = "new",
				     .domain = "new",
				     .mac = {0x52, 0x54, 0, 0, 0, 9}};
	struct store *s;

	load_version("selftests/unit/store_v3.sql");
	s = open_or_fail();
	assert_int_equal(problems(s), 0);
	assert_int_equal(foreign_number("SELECT count(*) FROM machine"), 2);
	assert_int_equal(foreign_number("SELECT count(*) FROM mac"), 8);
	assert_int_equal(foreign_number("SELECT count(*) FROM mac WHERE machine_id > 0"), 4);
	assert_int_equal(
		foreign_number("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'old%'"), 0);
	assert_int_equal(store_machine_get(s, "alice", "web", &m), 0);
	assert_string_equal(m.domain, "sp-alice-web \xff'");
	assert_string_equal(m.addresses, "10.8.0.7 fd00::7");
	assert_int_equal(m.pinned, PINNED_LIST);
	assert_true(m.held);
	assert_false(m.router || m.dhcp_server);
	/* Number 3 was given once, never again. */
	assert_int_equal(store_machine_add(s, &n), 0);
	assert_int_equal(n.id, 4);
	/* A claim goes with its machine, as it did. */
	foreign("PRAGMA foreign_keys = ON; DELETE FROM machine WHERE id = 1");
	assert_int_equal(foreign_number("SELECT count(*) FROM mac WHERE machine_id = 1"), 0);
	store_close(s);
}

/* --- looking at all rows --- */

struct found {
	const char *want;
	int n;
};

static void note_found(const char *sentence, void *arg)
{
	struct found *f = arg;

	f->n += strstr(sentence, f->want) != NULL;
}

static const struct {
	const char *sql, *want;
	uint64_t n;
} breaches[] = {
	{"UPDATE user SET created = 1 WHERE user_id = 1", "", 0},
	{"UPDATE workload SET user_id = 77 WHERE id = 1",
	 "table workload, row 1: its user is "
	 "not there",
	 3},
	{"UPDATE workload SET server_id = 77 WHERE id = 1",
	 "table workload, row 1: its server is not there", 1},
	{"UPDATE machine SET server_id = 77", "table machine, row 1: its server", 1},
	{"UPDATE session SET server_id = 77 WHERE id = 2", "table session, row 2: its server", 1},
	{"UPDATE session SET ended = 5 WHERE id = 2",
	 "table mac, row 0 02:02:00:00:00:02: its session has ended", 1},
	{"UPDATE session SET user_id = 1 WHERE id = 2",
	 "table mac, row 0 02:02:00:00:00:02: its session is another user's", 1},
	{"DELETE FROM mac WHERE workload_id = 1",
	 "table workload, row 1: its MAC address is not claimed in its segment", 1},
	{"DELETE FROM mac WHERE user_id IS NULL",
	 "its MAC address is not held against others everywhere", 2},
	{"UPDATE policy SET machine_id = 77", "table policy, row 77: its machine is not there", 1},
	{"UPDATE policy SET generation = 0",
	 "table policy, row 1: column generation is out of its range", 1},
	{"DELETE FROM mac WHERE machine_id = 1 AND scope = 0",
	 "table machine, row 1: its MAC address is not claimed everywhere", 1},
	{"DELETE FROM mac WHERE machine_id = 1 AND scope > 0",
	 "table machine, row 1: its MAC address is not claimed in its segment", 1},
	{"UPDATE mac SET holders = 9 WHERE user_id IS NULL",
	 "table mac, row 0 02:00:00:00:00:09: it is not as many workloads", 1},
	{"UPDATE mac SET mac_addr = x'020000000077' WHERE workload_id = 1",
	 "table mac, row 1 02:00:00:00:00:77: its workload is not there, or has another", 2},
	{"UPDATE mac SET mac_addr = x'020000000077' WHERE machine_id = 1 AND scope = 0",
	 "table mac, row 0 02:00:00:00:00:77: its machine is not there, or has another", 2},
	{"DELETE FROM session WHERE id = 2", "its session has ended", 1},
	{"UPDATE budget SET user_id = 77 WHERE user_id = 1",
	 "table budget, row 77: its user is not there", 1},
	{"UPDATE budget SET max_flows = -1",
	 "table budget, row 1: column max_flows is out of its range", 1},
	{"UPDATE budget SET new_flows = 4294967296",
	 "table budget, row 1: column new_flows is out of its range", 1},
	{"UPDATE machine SET router = 2", "table machine, row 1: column router is out of its range",
	 1},
	{"UPDATE machine SET dhcp_server = 2",
	 "table machine, row 1: column dhcp_server is out of its range", 1},
	{"UPDATE machine SET pinned = 0",
	 "table lease, row 1: its machine is not there, or not pinned", 1},
	{"UPDATE user SET disabled = 2 WHERE user_id = 2",
	 "table user, row 2: column disabled is out of its range", 1},
};

/* A store with a row in every table: two users, their sessions, and a machine of the first. */
static struct store *with_rows(void)
{
	struct store_workload w = {.name = "w", .ifname = "eth0", .mac = {2, 0, 0, 0, 0, 9}};
	struct store_machine m = {.origin = ORIGIN_DOMAIN,
				  .policy = {.start = START_MANUAL},
				  .user = "a",
				  .name = "m",
				  .pinned = PINNED_DHCP,
				  .domain = "d",
				  .mac = {0x52, 0, 0, 0, 0, 1}};
	struct store *s = open_or_fail();
	struct store_session x;
	struct store_user u[2];
	uint64_t from, generation;

	for (uint8_t k = 0; k < 2; k++) {
		add_user(s, k ? "b" : "a", &u[k]);
		strcpy(w.user, u[k].name);
		strcpy(w.netns, u[k].name);
		assert_int_equal(store_workload_add(s, &w), 0);
		x = a_session(&u[k], (uint16_t)(k + 2));
		assert_int_equal(store_session_begin(s, &x, 9), 0);
		assert_int_equal(store_mac_claim(s, 0,
						 (uint8_t[6]){2, 2, 0, 0, 0, (uint8_t)(k + 1)},
						 x.id, &from),
				 0);
	}
	assert_int_equal(store_machine_add(s, &m), 0);
	assert_int_equal(store_rules_set(s, m.id, "accept in", 0, &generation), 0);
	u[0].rate_frames = 5;
	assert_int_equal(store_user_update(s, &u[0]), 0);
	return s;
}

/* Its constraints are switched off for what SQL does. */
static void breach(const char *sql)
{
	char text[256];

	snprintf(text, sizeof(text), "%s%s",
		 fixture_is_mysql ? "SET foreign_key_checks = 0; SET check_constraint_checks = 0; "
				  : "PRAGMA ignore_check_constraints = ON; ",
		 sql);
	foreign(text);
}

/* Each breach is found, and named. */
static void test_verify(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(breaches); i++) {
		struct found f = {.want = breaches[i].want};
		struct store *s = with_rows();
		uint64_t n = 0;

		assert_int_equal(problems(s), 0);
		breach(breaches[i].sql);
		assert_int_equal(store_verify(s, note_found, &f, &n), 0);
		/* SQLite's own look finds values that may not be, too. */
		if (n < breaches[i].n ||
		    n > breaches[i].n + (strstr(breaches[i].want, ": column ") != NULL) ||
		    (n > 0 && f.n == 0))
			fail_msg("%s: %llu found, %d of them '%s'", breaches[i].sql,
				 (unsigned long long)n, f.n, breaches[i].want);
		store_close(s);
		if (fixture_is_mysql)
			teardown_mysql(NULL), setup_mysql(NULL);
		else
			unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_MYSQL(test_there_and_back),
		TEST_MYSQL(test_copy_refuses),
		TEST(test_exclusive),
		TEST(test_tool_makes_nothing),
		TEST(test_version_2),
		TEST(test_version_3),
		TESTS(test_verify),
	};

	return cmocka_run_group_tests_name("store copy", tests, start_mysql, stop_mysql);
}
