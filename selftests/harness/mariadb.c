// SPDX-License-Identifier: GPL-2.0-or-later
/* How does a test get a database server of its own? */
#include "selftests/harness/mariadb.h"

#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define READY_MS 60000

/* --- processes --- */

/* ARGV's output goes to LOG. NOTIFY: where it tells that it is ready; NULL: it does not. */
static pid_t spawn(char *const *argv, const char *log, const char *notify)
{
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	if (notify)
		setenv("NOTIFY_SOCKET", notify, 1);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void show_log(const struct mariadb *m)
{
	char path[96], text[4096];
	_cleanup_fclose_ FILE *f = NULL;
	size_t n;

	snprintf(path, sizeof(path), "%s/log", m->dir);
	f = fopen(path, "re");
	if (!f || (fseek(f, -(long)sizeof(text), SEEK_END) < 0 && fseek(f, 0, SEEK_SET) < 0))
		return;
	n = fread(text, 1, sizeof(text), f);
	fwrite(text, 1, n, stderr);
}

static void format(char *buf, size_t size, const char *prefix, const char *value)
{
	snprintf(buf, size, "%s%s", prefix, value);
}

/* Waits for our end, whatever it is; mariadbd has gone by then (PR_SET_PDEATHSIG). */
static int guard(struct mariadb *m)
{
	int fds[2];
	char c;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	m->guardian = fork();
	if (m->guardian == 0) {
		/* Another server's guardian must not be kept alive by this one. */
		close_range(3, (unsigned int)fds[0] - 1, 0);
		close_range((unsigned int)fds[0] + 1, ~0U, 0);
		setsid(); /* a terminal's signals are not for it */
		while (read(fds[0], &c, 1) < 0)
			;
		execlp("rm", "rm", "-rf", m->dir, NULL);
		_exit(1);
	}
	close(fds[0]);
	m->alive = fds[1];
	return m->guardian < 0 ? -errno : 0;
}

int mariadb_new(struct mariadb *m)
{
	char data[96], tmp[96], log[64],
		*argv[] = {(char *)"mariadb-install-db",
			   (char *)"--no-defaults",
			   data,
			   tmp,
			   (char *)"--auth-root-authentication-method=normal",
			   (char *)"--skip-test-db",
			   (char *)"--skip-name-resolve",
			   (char *)"--innodb-log-file-size=8M",
			   geteuid() == 0 ? (char *)"--user=root" : NULL,
			   NULL};
	int status;
	pid_t pid;

	memset(m, 0, sizeof(*m));
	strcpy(m->dir, "/dev/shm/sp-mariadb-XXXXXX");
	if (!mkdtemp(m->dir))
		return -errno;
	if (guard(m) < 0)
		return -EIO;
	snprintf(m->data, sizeof(m->data), "%s/data", m->dir);
	snprintf(m->socket, sizeof(m->socket), "%s/socket", m->dir);
	snprintf(log, sizeof(log), "%s/log", m->dir);
	format(data, sizeof(data), "--datadir=", m->data);
	format(tmp, sizeof(tmp), "--tmpdir=", m->dir);
	pid = spawn(argv, log, NULL);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		show_log(m);
		return -EIO;
	}
	return 0;
}

/* --- its life --- */

static int listen_notify(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	closep(&fd);
	return -errno;
}

/* Until READY=1, or its end. */
static int wait_ready(struct mariadb *m, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[512];

	for (int waited = 0; waited < READY_MS; waited += 100) {
		ssize_t n = poll(&p, 1, 100) > 0 ? recv(fd, text, sizeof(text) - 1, 0) : 0;

		if (n > 0) {
			text[n] = '\0';
			if (strstr(text, "READY=1"))
				return 0;
		}
		if (waitpid(m->pid, NULL, WNOHANG) == m->pid) {
			m->pid = 0;
			break;
		}
	}
	show_log(m);
	mariadb_kill(m);
	return -EIO;
}

int mariadb_start(struct mariadb *m)
{
	char data[96], sock[96], pid[96], tmp[96], log[64], notify[64];
	char *argv[32] = {(char *)"mariadbd",
			  (char *)"--no-defaults",
			  data,
			  sock,
			  pid,
			  tmp,
			  (char *)"--skip-name-resolve",
			  (char *)"--innodb-buffer-pool-size=16M",
			  (char *)"--innodb-log-file-size=8M",
			  (char *)"--performance-schema=OFF",
			  (char *)"--aria-pagecache-buffer-size=1M",
			  (char *)"--key-buffer-size=64K"};
	_cleanup_close_
	int fd = -1;
	size_t n = 12;

	if (geteuid() == 0)
		argv[n++] = (char *)"--user=root";
	for (size_t i = 0; m->args[i]; i++)
		argv[n++] = m->args[i];
	if (!m->args[0])
		argv[n++] = (char *)"--skip-networking";
	format(data, sizeof(data), "--datadir=", m->data);
	format(sock, sizeof(sock), "--socket=", m->socket);
	snprintf(pid, sizeof(pid), "--pid-file=%s/pid", m->dir);
	/* A server deletes the temporary tables that it finds at its start, another's too. */
	format(tmp, sizeof(tmp), "--tmpdir=", m->dir);
	snprintf(log, sizeof(log), "%s/log", m->dir);
	snprintf(notify, sizeof(notify), "%s/notify", m->dir);
	fd = listen_notify(notify);
	if (fd < 0)
		return fd;
	m->pid = spawn(argv, log, notify);
	return m->pid < 0 ? -errno : wait_ready(m, fd);
}

static void end(struct mariadb *m, int sig)
{
	if (m->pid <= 0)
		return;
	kill(m->pid, sig);
	kill(m->pid, SIGCONT);
	waitpid(m->pid, NULL, 0);
	m->pid = 0;
}

void mariadb_stop(struct mariadb *m)
{
	end(m, SIGTERM);
}

void mariadb_kill(struct mariadb *m)
{
	end(m, SIGKILL);
}

void mariadb_pause(struct mariadb *m)
{
	kill(m->pid, SIGSTOP);
	waitpid(m->pid, NULL, WUNTRACED); /* until all its threads stand still */
}

void mariadb_resume(struct mariadb *m)
{
	kill(m->pid, SIGCONT);
}

void mariadb_free(struct mariadb *m)
{
	mariadb_kill(m);
	if (m->guardian <= 0)
		return;
	close(m->alive);
	waitpid(m->guardian, NULL, 0);
	m->guardian = 0;
}

/* --- as root --- */

static void die(MYSQL *my, const char *sql)
{
	fprintf(stderr, "mariadb: %s: %s\n", sql, mysql_error(my));
	abort();
}

static MYSQL *connect_root(const struct mariadb *m, const char *database)
{
	MYSQL *my = mysql_init(NULL);

	if (mysql_real_connect(my, NULL, "root", "", database, 0, m->socket,
			       CLIENT_MULTI_STATEMENTS))
		return my;
	fprintf(stderr, "mariadb: %s\n", mysql_error(my));
	abort();
}

void mariadb_sql(const struct mariadb *m, const char *database, const char *sql)
{
	MYSQL *my = connect_root(m, database);
	int r = mysql_query(my, sql);

	while (r == 0) {
		mysql_free_result(mysql_store_result(my));
		r = mysql_next_result(my);
	}
	if (r > 0)
		die(my, sql);
	mysql_close(my);
}

/* The first column of the first row as a number; -1: there is no row, or it is NULL. */
static long long ask(MYSQL *my, const char *sql)
{
	MYSQL_RES *res = mysql_query(my, sql) == 0 ? mysql_store_result(my) : NULL;
	MYSQL_ROW row;
	long long n;

	if (!res)
		die(my, sql);
	row = mysql_fetch_row(res);
	n = row && row[0] ? atoll(row[0]) : -1;
	mysql_free_result(res);
	return n;
}

long long mariadb_number(const struct mariadb *m, const char *database, const char *sql)
{
	MYSQL *my = connect_root(m, database);
	long long n = ask(my, sql);

	mysql_close(my);
	return n;
}

void mariadb_kill_connections(const struct mariadb *m, const char *database)
{
	MYSQL *my = connect_root(m, NULL);
	char list[160], sql[64];
	long long id;

	snprintf(list, sizeof(list),
		 "SELECT id FROM information_schema.processlist WHERE db = '%s' LIMIT 1", database);
	while ((id = ask(my, list)) >= 0) {
		snprintf(sql, sizeof(sql), "KILL %lld", id);
		if (mysql_query(my, sql) != 0 && mysql_errno(my) != ER_NO_SUCH_THREAD)
			die(my, sql);
	}
	mysql_close(my);
}
