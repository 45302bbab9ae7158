/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which server of MySQL or MariaDB is asked, and is it the right one? Hosts are tried in turn, the
 * one that served last before all others; one that is read-only only where no other is there.
 */
#include <errmsg.h>
#include <errno.h>
#include <fcntl.h>
#include <mysqld_error.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mysql_internal.h"
#include "sallyport/limits.h"

/* --- threads: the library wants to know of each that uses it --- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static int library_failed;

static void end_thread(void *unused)
{
	mysql_thread_end();
}

static void init_library(void)
{
	library_failed = mysql_library_init(0, NULL, NULL) != 0 ||
			 pthread_key_create(&thread_key, end_thread) != 0;
}

static int init_thread(void)
{
	pthread_once(&library_once, init_library);
	if (library_failed)
		return -ENOMEM;
	if (pthread_getspecific(thread_key))
		return 0;
	mysql_thread_init();
	pthread_setspecific(thread_key, &thread_key);
	return 0;
}

/* --- the options, kept: a connection may be made anew at any time --- */

static bool keep(char **field, const char *text)
{
	*field = text ? strdup(text) : NULL;
	return !text || *field;
}

static int add_host(struct mysql_store *s, const char *name, unsigned int port)
{
	struct mysql_host *h = &s->hosts[s->n_hosts];

	if (s->n_hosts == STORE_HOSTS_MAX)
		return -E2BIG;
	if (!keep(&h->name, name))
		return -ENOMEM;
	h->port = port;
	if (name)
		snprintf(h->words, sizeof(h->words), strchr(name, ':') ? "[%s]:%u" : "%s:%u", name,
			 port);
	else
		snprintf(h->words, sizeof(h->words), "%.*s", (int)sizeof(h->words) - 1,
			 s->socket ? s->socket : "the local socket");
	s->n_hosts++;
	return 0;
}

static int add_hosts(struct mysql_store *s, const char *hosts)
{
	char name[STORE_HOST_MAX];
	unsigned int port;
	int r;

	if (!hosts)
		return add_host(s, NULL, 0);
	while ((r = store_host_next(&hosts, name, &port)) > 0) {
		r = add_host(s, name, port);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : s->n_hosts > 0 ? 0 : -EINVAL;
}

int mysql_store_new(const struct store_options *o, struct mysql_store **ret, char **ret_error)
{
	struct mysql_store *s = calloc(1, sizeof(*s));
	const struct store_mysql *m = &o->mysql;
	int r;

	if (!s)
		return -ENOMEM;
	s->base.driver = &mysql_driver;
	s->base.timeout_ms = o->timeout_ms;
	s->tls = m->tls;
	snprintf(s->base.description, sizeof(s->base.description), "MySQL");
	r = keep(&s->socket, m->socket) && keep(&s->user, m->user) &&
			    keep(&s->database, m->database) &&
			    keep(&s->password_file, m->password_file) &&
			    keep(&s->password_credential, m->password_credential) &&
			    keep(&s->tls_ca, m->tls_ca) && keep(&s->tls_cert, m->tls_cert) &&
			    keep(&s->tls_key, m->tls_key)
		    ? 0
		    : -ENOMEM;
	r = r ?: add_hosts(s, m->hosts);
	if (r < 0)
		store_open_failed(ret_error, r, m->hosts ? m->hosts : "hosts",
				  "expected at most 16 of HOST or HOST:PORT, with commas between");
	r = r ?: init_thread();
	r = r ?: watchdog_new(&s->watchdog);
	if (r < 0) {
		store_close(&s->base);
		return r;
	}
	*ret = s;
	return 0;
}

void mysql_store_free(struct store *base)
{
	struct mysql_store *s = mysql_of(base);
	char *const texts[] = {s->socket, s->user,     s->database, s->password_file,
			       s->tls_ca, s->tls_cert, s->tls_key,  s->password_credential};

	init_thread();
	mysql_drop(s, false); /* first: then no statement is closed by a packet of its own */
	sql_forget(base);
	watchdog_free(s->watchdog);
	for (size_t i = 0; i < s->n_hosts; i++)
		free(s->hosts[i].name);
	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++)
		free(texts[i]);
}

const char *mysql_where(const struct mysql_store *s)
{
	return s->hosts[s->current].words;
}

/* --- the deadline --- */

void mysql_arm(struct mysql_store *s)
{
	s->struck = false;
	watchdog_arm(s->watchdog, (int)s->my->net.fd, s->base.deadline_us);
}

bool mysql_disarm(struct mysql_store *s)
{
	s->struck |= watchdog_disarm(s->watchdog);
	return s->struck;
}

int mysql_late(struct mysql_store *s, const char *words)
{
	mysql_say(s, 0, words);
	s->base.again = false;
	mysql_drop(s, true);
	return -ETIMEDOUT;
}

/* Whole seconds of what is left of the call, for one host of those that are to be tried. */
static unsigned int seconds_left(const struct mysql_store *s, size_t hosts_left)
{
	uint64_t now = store_now_us();
	uint64_t left = s->base.deadline_us > now ? s->base.deadline_us - now : 0;
	uint64_t seconds = left / hosts_left / 1000000;

	return seconds ? (unsigned int)seconds : 1;
}

/* --- the password --- */

/* One line, which may end. */
static int read_password(const char *path, char *ret, size_t size)
{
	_cleanup_close_
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size);

	if (n < 0)
		return -errno;
	while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == '\r'))
		n--;
	if ((size_t)n == size || memchr(ret, '\n', (size_t)n) || memchr(ret, '\0', (size_t)n))
		return -EINVAL;
	ret[n] = '\0';
	return 0;
}

static int get_password(struct mysql_store *s, char *ret, size_t size)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char path[SP_PATH_MAX];
	int r;

	ret[0] = '\0';
	if (!s->password_file && !s->password_credential)
		return 0;
	if (s->password_credential && !dir)
		return sql_fail(
			&s->base, -ENOENT,
			"the password is the credential '%s', but $CREDENTIALS_DIRECTORY is "
			"not set: only a unit with LoadCredential= has it",
			s->password_credential);
	r = snprintf(path, sizeof(path), "%s%s%s", s->password_file ? "" : dir,
		     s->password_file ? "" : "/",
		     s->password_file ? s->password_file : s->password_credential);
	r = r < (int)sizeof(path) ? read_password(path, ret, size) : -ENAMETOOLONG;
	if (r == -EINVAL)
		return sql_fail(&s->base, r,
				"%s: expected the password in one line of less than %zu "
				"bytes",
				path, size);
	return r < 0 ? sql_fail(&s->base, r, "%s: %s", path, strerror(-r)) : 0;
}

/* --- one host --- */

static void set_tls(const struct mysql_store *s, MYSQL *my)
{
	if (!s->tls)
		return;
	mysql_options(my, MYSQL_OPT_SSL_CA, s->tls_ca);
	mysql_options(my, MYSQL_OPT_SSL_CERT, s->tls_cert);
	mysql_options(my, MYSQL_OPT_SSL_KEY, s->tls_key);
	mysql_options(my, MYSQL_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3");
#ifdef MARIADB_BASE_VERSION
	{
		mysql_bool yes = 1;

		mysql_options(my, MYSQL_OPT_SSL_ENFORCE, &yes);
		mysql_options(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	}
#else
	{
		unsigned int mode = SSL_MODE_VERIFY_IDENTITY;

		mysql_options(my, MYSQL_OPT_SSL_MODE, &mode);
	}
#endif
}

static void set_options(const struct mysql_store *s, MYSQL *my, const struct mysql_host *h,
			unsigned int seconds)
{
	/* "localhost" shall not mean a socket where a host was named. */
	unsigned int protocol = h->name ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
	unsigned int no = 0, longest = s->base.timeout_ms / 1000 + 1;

	mysql_options(my, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(my, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	/* The watchdog is sooner; this is for what it does not see of the handshake. */
	mysql_options(my, MYSQL_OPT_READ_TIMEOUT, &longest);
	mysql_options(my, MYSQL_OPT_WRITE_TIMEOUT, &longest);
	mysql_options(my, MYSQL_OPT_LOCAL_INFILE, &no); /* no server shall read our files */
	mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	set_tls(s, my);
}

static int fail_connecting(struct mysql_store *s, MYSQL *my)
{
	unsigned int error = mysql_errno(my);
	int r = mysql_error_of(error, mysql_error(my));

	/* The library's words for a wait that was too long have the number in them. */
	if (error == CR_SERVER_LOST && strstr(mysql_error(my), "110"))
		r = -ETIMEDOUT;
	mysql_say(s, r, mysql_error(my));
	mysql_close(my);
	return r;
}

static int log_in(struct mysql_store *s, const struct mysql_host *h, unsigned int seconds)
{
	char password[SP_PASSWORD_MAX];
	MYSQL *my;
	bool ok;
	int r = get_password(s, password, sizeof(password));

	if (r < 0)
		return r;
	my = mysql_init(NULL);
	if (!my)
		return -ENOMEM;
	set_options(s, my, h, seconds);
	ok = mysql_real_connect(my, h->name, s->user, password, s->database, h->port, s->socket,
				CLIENT_FOUND_ROWS) != NULL;
	explicit_bzero(password, sizeof(password));
	if (!ok)
		return fail_connecting(s, my);
	if (s->tls && !mysql_get_ssl_cipher(my)) {
		mysql_close(my);
		return mysql_say(s, -EPERM, "the connection is not encrypted, and tls = yes");
	}
	s->my = my;
	s->connections++;
	s->is_maria = strstr(mysql_get_server_info(my), "MariaDB") != NULL;
	return 0;
}

int mysql_failed(struct mysql_store *s)
{
	char words[512];

	snprintf(words, sizeof(words), "%s", mysql_error(s->my));
	return mysql_conclude(s, mysql_errno(s->my), words, false);
}

int mysql_plain(struct mysql_store *s, const char *sql)
{
	bool failed;

	mysql_arm(s);
	failed = mysql_query(s->my, sql) != 0;
	if (mysql_disarm(s))
		return mysql_late(s, "no answer within the deadline");
	return failed ? mysql_failed(s) : 0;
}

/* The one row of a constant question, its columns as text; NULL: SQL's NULL, or no row. */
static int ask(struct mysql_store *s, const char *sql, char ret[][64], unsigned int n)
{
	MYSQL_RES *res;
	MYSQL_ROW row;
	int r = mysql_plain(s, sql);

	if (r < 0)
		return r;
	res = mysql_store_result(s->my); /* short, and here with the answer */
	row = res ? mysql_fetch_row(res) : NULL;
	for (unsigned int i = 0; i < n; i++)
		snprintf(ret[i], 64, "%s", row && row[i] ? row[i] : "");
	mysql_free_result(res);
	return 0;
}

/* A server that does not know a variable has no need of it. */
static int set_if_known(struct mysql_store *s, const char *sql)
{
	int r;

	mysql_arm(s);
	r = mysql_query(s->my, sql);
	if (mysql_disarm(s))
		return mysql_late(s, "no answer within the deadline");
	return r == 0 || mysql_errno(s->my) == ER_UNKNOWN_SYSTEM_VARIABLE ? 0 : mysql_failed(s);
}

/*
 * Strict, in UTC, one mode whatever the server's default. READ COMMITTED: what decides is locked in
 * so many words, and gaps are not. wsrep_sync_wait: on a cluster, what another node has committed
 * is seen before anything is read, changed (4) or entered.
 */
static int set_session(struct mysql_store *s)
{
	/* InnoDB looks once a second: its answer shall come before the deadline. */
	unsigned int wait_s = s->base.timeout_ms < 3000 ? 1 : s->base.timeout_ms / 1000 - 1;
	char sql[384];
	int r;

	snprintf(sql, sizeof(sql),
		 "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,"
		 "ERROR_FOR_DIVISION_BY_ZERO', time_zone = '+00:00', autocommit = 1, "
		 "innodb_lock_wait_timeout = %u, lock_wait_timeout = %u",
		 wait_s, wait_s);
	r = mysql_plain(s, sql);
	r = r ?: mysql_plain(s, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
	r = r ?: set_if_known(s, "SET SESSION wsrep_sync_wait = 7");
	return r ?: set_if_known(s, "SET SESSION information_schema_stats_expiry = 0");
}

/* Does a node of a cluster belong to the part that may decide? Do the others write too? */
static int check_cluster(struct mysql_store *s)
{
	char answer[2][64];
	int r = ask(s, "SHOW STATUS LIKE 'wsrep_provider_name'", answer, 2);

	if (r < 0)
		return r;
	s->base.cluster = answer[1][0];
	if (!s->base.cluster) { /* MySQL's own */
		r = ask(s, "SHOW VARIABLES LIKE 'group_replication_single_primary_mode'", answer,
			2);
		s->base.cluster = r == 0 && strcmp(answer[1], "OFF") == 0;
		return r;
	}
	r = ask(s, "SHOW STATUS LIKE 'wsrep_ready'", answer, 2);
	return r == 0 && strcmp(answer[1], "ON") != 0
		       ? mysql_say(s, -ENOTCONN, "this node is not part of the primary component")
		       : r;
}

/* May it be written to? ANY: it need not. */
static int check_state(struct mysql_store *s, bool any)
{
	char read_only[1][64];
	int r = check_cluster(s);

	r = r ?: ask(s, "SELECT @@global.read_only", read_only, 1);
	if (r < 0)
		return r;
	if (strcmp(read_only[0], "0") != 0 && strcmp(read_only[0], "OFF") != 0 && !any)
		return mysql_say(s, -EROFS, "the server is read-only");
	return 0;
}

static int check_identity(struct mysql_store *s)
{
	uint8_t uuid[16];
	int version, r;

	if (!s->knows_uuid)
		return 0;
	r = mysql_schema_version(s, &version, uuid);
	if (r < 0)
		return r;
	if (version != STORE_SCHEMA_VERSION)
		return mysql_say(s, -ENOTUNIQ,
				 "the store was brought to another version meanwhile");
	return memcmp(uuid, s->uuid, sizeof(uuid)) == 0
		       ? 0
		       : mysql_say(
				 s, -EUCLEAN,
				 "it holds another store than the hosts before: [store] hosts must "
				 "be of one cluster");
}

static void describe(struct mysql_store *s)
{
	const char *info = mysql_get_server_info(s->my);

	snprintf(s->base.description, sizeof(s->base.description), "%s %.*s at %s%s",
		 s->is_maria ? "MariaDB" : "MySQL", (int)strcspn(info, "-"), info, mysql_where(s),
		 s->tls ? ", TLS" : "");
}

static int connect_one(struct mysql_store *s, bool read_only_too, unsigned int seconds)
{
	int r = log_in(s, &s->hosts[s->current], seconds);

	if (r < 0)
		return r;
	r = set_session(s);
	r = r ?: check_state(s, read_only_too);
	r = r ?: check_identity(s);
	if (r < 0)
		mysql_drop(s, false);
	else
		describe(s);
	return r;
}

/* --- all hosts --- */

static int connect_any(struct mysql_store *s)
{
	size_t first = s->current, n = s->n_hosts, read_only = SIZE_MAX;
	char words[sizeof(s->base.error)] = "";
	int r = -ENOTCONN;

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(words);

		if (i > 0 && store_now_us() + 1000000 > s->base.deadline_us)
			break; /* one second is the least that a host can be given */
		s->current = (first + i) % n;
		r = connect_one(s, n == 1, seconds_left(s, n - i));
		if (r == 0)
			return 0;
		if (r == -EROFS && read_only == SIZE_MAX)
			read_only = s->current;
		(void)snprintf(words + len, sizeof(words) - len, "%s%.150s", len ? "; " : "",
			       s->base.error);
	}
	if (read_only != SIZE_MAX) { /* better than none: what is there can be read */
		s->current = read_only;
		r = connect_one(s, true, seconds_left(s, 1));
		if (r == 0)
			return 0;
	}
	s->current = first + 1 < n ? first + 1 : 0;
	memcpy(s->base.error, words, sizeof(words));
	return r;
}

void mysql_drop(struct mysql_store *s, bool next)
{
	if (!s->my)
		return;
	mysql_disarm(s); /* before its descriptor is another's */
	mysql_close(TAKE_PTR(s->my));
	if (next)
		s->current = (s->current + 1) % s->n_hosts;
}

/* Nothing is asked, so whatever there is to be read says that the server has ended it. */
static bool seems_closed(const struct mysql_store *s)
{
	struct pollfd p = {.fd = (int)s->my->net.fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) > 0;
}

int mysql_ready(struct mysql_store *s)
{
	int r = init_thread();

	if (r < 0)
		return r;
	if (!s->my && s->base.in_transaction) {
		s->base.again = true;
		return sql_fail(&s->base, -ENOTCONN, "the connection was lost in a transaction");
	}
	if (s->my && !s->base.in_transaction && seems_closed(s)) {
		mysql_arm(s);
		r = mysql_ping(s->my);
		if (mysql_disarm(s) || r != 0)
			mysql_drop(s, false);
	}
	return s->my ? 0 : connect_any(s);
}
