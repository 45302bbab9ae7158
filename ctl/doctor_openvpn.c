/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is OpenVPN there and new enough, and does the daemon accept its own and OpenVPN's configuration?
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "lib/cleanup.h"

#define DIRS "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
#define OUTPUT_MAX 65536
#define RUN_TIMEOUT_MS 10000
#define OPENVPN_MAJOR 2
#define OPENVPN_MINOR 6

int doctor_find(const char *name, const char *dirs, char *ret, size_t size)
{
	for (const char *s = dirs; *s; s += *s == ':') {
		size_t n = strcspn(s, ":");

		if ((size_t)snprintf(ret, size, "%.*s/%s", (int)n, s, name) < size &&
		    access(ret, X_OK) == 0)
			return 0;
		s += n;
	}
	return -ENOENT;
}

int doctor_openvpn_version(const char *text, unsigned int *ret_major, unsigned int *ret_minor)
{
	unsigned int major, minor;
	int n = 0;

	if (sscanf(text, "OpenVPN %3u.%3u%n", &major, &minor, &n) != 2 || n == 0)
		return -EINVAL;
	*ret_major = major;
	*ret_minor = minor;
	return 0;
}

static void check_version(struct doctor *d)
{
	char path[PATH_MAX], out[OUTPUT_MAX];
	unsigned int major, minor;
	int r;

	if (doctor_find("openvpn", DIRS, path, sizeof(path)) < 0) {
		doctor_add(d, DOCTOR_FAIL, "OpenVPN", "apt install openvpn", "is not installed");
		return;
	}
	r = doctor_run(path, (const char *const[]){"openvpn", "--version", NULL}, out, sizeof(out),
		       RUN_TIMEOUT_MS);
	out[strcspn(out, "[\n")] = '\0'; /* what it was built with */
	while (out[0] && out[strlen(out) - 1] == ' ')
		out[strlen(out) - 1] = '\0';
	/* 2.5 and older end --version with 1 */
	if ((r != 0 && r != 1) || doctor_openvpn_version(out, &major, &minor) < 0)
		doctor_add(d, DOCTOR_FAIL, "OpenVPN", "reinstall it", "%s --version: %s", path,
			   r < 0 ? strerror(-r) : "no version was printed");
	else if (major < OPENVPN_MAJOR || (major == OPENVPN_MAJOR && minor < OPENVPN_MINOR))
		doctor_add(d, DOCTOR_FAIL, "OpenVPN", "install 2.6 or later", "%s is too old", out);
	else
		doctor_add(d, DOCTOR_OK, "OpenVPN", NULL, "%s (%s)", out, path);
}

/* The daemon that belongs to us: beside this program, as it was installed or built. */
static int find_daemon(char *ret, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		if (doctor_find("sallyportd", dirname(self), ret, size) == 0)
			return 0;
	}
	return doctor_find("sallyportd", DIRS, ret, size);
}

/* Each line that the check printed is a finding. */
static void add_lines(struct doctor *d, enum doctor_level level, char *out)
{
	char *save = NULL;

	for (char *line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		doctor_add(d, level, "configuration",
			   level == DOCTOR_FAIL ? "correct it, then: sallyport reload" : NULL, "%s",
			   line);
}

static void check_configuration(struct doctor *d)
{
	char path[PATH_MAX], out[OUTPUT_MAX];
	int r;

	if (find_daemon(path, sizeof(path)) < 0) {
		doctor_add(d, DOCTOR_FAIL, "configuration", "install sallyportd",
			   "there is no sallyportd to check it");
		return;
	}
	if (access(d->config, R_OK) < 0) {
		doctor_add(d, errno == EACCES ? DOCTOR_WARN : DOCTOR_FAIL, "configuration",
			   errno == EACCES ? "run sallyport doctor as root"
					   : "write one: sallyportd.conf(5)",
			   "%s: %s", d->config, strerror(errno));
		return;
	}
	r = doctor_run(path,
		       (const char *const[]){"sallyportd", "--check", "--config", d->config, NULL},
		       out, sizeof(out), RUN_TIMEOUT_MS);
	if (r < 0) {
		doctor_add(d, DOCTOR_FAIL, "configuration", NULL, "%s --check: %s", path,
			   strerror(-r));
	} else if (r == 0) {
		add_lines(d, DOCTOR_OK, out);
	} else {
		if (!out[0])
			strcpy(out, "the check failed and did not say why");
		add_lines(d, DOCTOR_FAIL, out);
	}
}

void doctor_openvpn(struct doctor *d)
{
	check_version(d);
	check_configuration(d);
}
