/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is what the daemon needs of the host there, with the right permissions, and does it answer? */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "ctl/call.h"
#include "ctl/doctor.h"
#include "lib/cleanup.h"
#include "lib/client.h"
#include "sallyport/paths.h"

static void check_bpffs(struct doctor *d)
{
	struct statfs s;

	if (statfs(SP_BPFFS, &s) < 0 || s.f_type != BPF_FS_MAGIC)
		doctor_add(d, DOCTOR_FAIL, "bpffs", "mount -t bpf bpf " SP_BPFFS,
			   SP_BPFFS " is no bpffs");
	else if (access(SP_BPFFS, W_OK) < 0)
		doctor_add(d, geteuid() == 0 ? DOCTOR_FAIL : DOCTOR_WARN, "bpffs",
			   geteuid() == 0 ? "mount -o remount,rw " SP_BPFFS
					  : "run sallyport doctor as root",
			   SP_BPFFS " cannot be written: %s", strerror(errno));
	else
		doctor_add(d, DOCTOR_OK, "bpffs", NULL, SP_BPFFS " is mounted and can be written");
}

static void check_tun(struct doctor *d)
{
	_cleanup_close_
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		doctor_add(d, DOCTOR_FAIL, "/dev/net/tun",
			   errno == EACCES ? "chmod 666 /dev/net/tun" : "modprobe tun",
			   "cannot be opened: %s", strerror(errno));
	else
		doctor_add(d, DOCTOR_OK, "/dev/net/tun", NULL, "can be opened");
}

static void check_clock(struct doctor *d)
{
	struct timex t = {0}; /* modes 0: only read */
	char now[32] = "?";
	time_t s = time(NULL);
	struct tm tm;

	if (gmtime_r(&s, &tm))
		strftime(now, sizeof(now), "%Y-%m-%d %H:%M UTC", &tm);
	if (s < 1735689600) /* 2025: before this program was written */
		doctor_add(d, DOCTOR_FAIL, "clock", "set it, and keep it with chrony or timesyncd",
			   "%s cannot be: certificates will be refused", now);
	else if (adjtimex(&t) == TIME_ERROR || (t.status & STA_UNSYNC))
		doctor_add(d, DOCTOR_WARN, "clock", "keep it with chrony or systemd-timesyncd",
			   "%s, not kept by the kernel: certificates depend on it", now);
	else
		doctor_add(d, DOCTOR_OK, "clock", NULL, "%s, synchronised", now);
}

/* May anybody but its owner (and root) put something else in a file's place? */
static void check_directory(struct doctor *d, const char *what, const char *path)
{
	_cleanup_free_
	char *copy = strdup(path);
	const char *dir = copy ? dirname(copy) : "/";
	struct stat s;

	if (stat(dir, &s) == 0 && (s.st_mode & 0022) && !(s.st_mode & S_ISVTX))
		doctor_add(d, DOCTOR_FAIL, what, "chmod go-w that directory",
			   "%s can be written by others (mode %04o)", dir, s.st_mode & 07777);
}

static void check_socket(struct doctor *d)
{
	const char *path = call_socket_path(d->ctl);
	struct stat s;

	if (lstat(path, &s) < 0) {
		doctor_add(d, DOCTOR_FAIL, "socket", "systemctl start sallyportd.socket", "%s: %s",
			   path, strerror(errno));
		return;
	}
	if (!S_ISSOCK(s.st_mode))
		doctor_add(d, DOCTOR_FAIL, "socket", "remove it and restart sallyportd",
			   "%s is no socket", path);
	else if ((s.st_mode & 0222) != 0222)
		doctor_add(
			d, DOCTOR_FAIL, "socket",
			"mode 0666: who may call what is decided by credentials, not by the mode",
			"%s: OpenVPN's hooks cannot connect (mode %04o)", path, s.st_mode & 07777);
	else
		doctor_add(d, DOCTOR_OK, "socket", NULL, "%s, mode %04o", path, s.st_mode & 07777);
	check_directory(d, "socket", path);
}

static void check_store(struct doctor *d)
{
	const char *path = SP_STORE_FILE;
	const json_t *store = json_object_get(d->status, "store");
	struct stat s;

	if (json_is_string(json_object_get(store, "path")))
		path = field_text(store, "path");
	if (store && !json_is_true(json_object_get(store, "ok")))
		doctor_add(d, DOCTOR_FAIL, "store",
			   "users cannot connect until it is in order: see the journal", "%s",
			   field_text(store, "error"));
	if (strcmp(field_text(store, "type"), "mysql") == 0) {
		if (json_is_true(json_object_get(store, "ok")))
			doctor_add(d, DOCTOR_OK, "store", NULL, "%s",
				   field_text(store, "description"));
		return;
	}
	if (stat(path, &s) < 0) {
		/* before the first start there is none */
		doctor_add(d, errno == ENOENT && !d->status ? DOCTOR_OK : DOCTOR_WARN, "store",
			   errno == EACCES ? "run sallyport doctor as root" : NULL, "%s: %s", path,
			   errno == ENOENT ? "not made yet" : strerror(errno));
		return;
	}
	if (!S_ISREG(s.st_mode))
		doctor_add(d, DOCTOR_FAIL, "store", NULL, "%s is no regular file", path);
	else if (s.st_mode & 0077)
		doctor_add(d, DOCTOR_FAIL, "store", "chmod 600, it holds password hashes",
			   "%s can be read or written by others (mode %04o)", path,
			   s.st_mode & 07777);
	else
		doctor_add(d, DOCTOR_OK, "store", NULL, "%s, mode %04o", path, s.st_mode & 07777);
	check_directory(d, "store", path);
}

void doctor_host(struct doctor *d)
{
	check_bpffs(d);
	check_tun(d);
	check_socket(d);
	check_store(d);
	check_clock(d);
}

/* --- the daemon --- */

/* CapEff of a process. -errno. */
static int effective_capabilities(pid_t pid, uint64_t *ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapEff: %" SCNx64, ret) == 1)
			return 0;
	}
	return -ENODATA;
}

static void check_capabilities(struct doctor *d)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		      {CAP_BPF, "CAP_BPF"},
		      {CAP_PERFMON, "CAP_PERFMON"}};
	pid_t pid = (pid_t)field_int(d->status, "pid");
	uint64_t caps = 0;
	int missing = 0;

	if (pid <= 0 || effective_capabilities(pid, &caps) < 0) {
		doctor_add(d, DOCTOR_WARN, "capabilities", "run sallyport doctor as root",
			   "those of the daemon could not be read");
		return;
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(needed); i++) {
		bool covered = needed[i].number != CAP_NET_ADMIN && caps >> CAP_SYS_ADMIN & 1;

		if ((caps >> needed[i].number & 1) || covered)
			continue;
		doctor_add(d, DOCTOR_FAIL, "capabilities",
			   "run the shipped unit, or add it to CapabilityBoundingSet= and "
			   "AmbientCapabilities=",
			   "the daemon has no %s", needed[i].name);
		missing++;
	}
	if (!missing)
		doctor_add(d, DOCTOR_OK, "capabilities", NULL, "the daemon has all that it needs");
}

static void check_instances(struct doctor *d)
{
	const json_t *instance;
	size_t i;

	json_array_foreach (json_object_get(d->status, "instances"), i, instance) {
		const char *state = field_text(instance, "state");
		const char *name = field_text(instance, "name");
		char what[80];

		snprintf(what, sizeof(what), "instance %s", name);
		if (strcmp(state, "refused") == 0)
			doctor_add(d, DOCTOR_FAIL, what, "correct it, then: sallyport reload",
				   "refused: %s", field_text(instance, "reason"));
		else if (strcmp(state, "up") != 0)
			doctor_add(d, DOCTOR_WARN, what, "start its OpenVPN server",
				   "%s: OpenVPN has its tap not open", state);
		else if (strcmp(field_text(instance, "management"), "disconnected") == 0)
			doctor_add(d, DOCTOR_WARN, what,
				   "see management= and OpenVPN's own management option",
				   "up, but its management socket does not answer");
		else
			doctor_add(d, DOCTOR_OK, what, NULL, "up on %s, %" PRId64 " sessions",
				   field_text(instance, "tap"), field_int(instance, "sessions"));
	}
}

static void check_libvirt(struct doctor *d)
{
	const json_t *v = json_object_get(d->status, "libvirt");
	const char *state = field_text(v, "state"), *accel = field_text(v, "accel");

	if (strcmp(state, "not asked yet") == 0) {
		doctor_add(d, DOCTOR_OK, "libvirt", NULL,
			   "%s is not asked for anything: there are no machines",
			   field_text(v, "uri"));
		return;
	}
	if (strcmp(state, "connected") != 0) {
		doctor_add(d, DOCTOR_FAIL, "libvirt",
			   "systemctl start libvirtd (or virtqemud); or set [machines] uri",
			   "%s is not reachable: %s", field_text(v, "uri"), field_text(v, "error"));
		return;
	}
	doctor_add(d, DOCTOR_OK, "libvirt", NULL, "%s: %s", field_text(v, "uri"),
		   field_text(v, "what"));
	if (strcmp(accel, "kvm") == 0)
		doctor_add(d, DOCTOR_OK, "accelerator", NULL, "KVM: %s",
			   field_text(v, "accel_why"));
	else
		doctor_add(
			d, DOCTOR_WARN, "accelerator",
			"machines run some ten times slower; a host with VT-x or AMD-V, or nested "
			"virtualization, does better",
			"%s: %s", strcmp(accel, "tcg") == 0 ? "emulation (TCG)" : "not known yet",
			field_text(v, "accel_why"));
	if (field_int(v, "orphans"))
		doctor_add(d, DOCTOR_WARN, "machines",
			   "journalctl -u sallyportd names them; virsh undefine what is not needed",
			   "%" PRId64
			   " domains carry our mark, and the store knows no such machine",
			   field_int(v, "orphans"));
}

static void check_status(struct doctor *d)
{
	const json_t *features = json_object_get(d->status, "features");
	const char *version = field_text(d->status, "version");

	if (strcmp(version, SP_VERSION) != 0)
		doctor_add(d, DOCTOR_WARN, "daemon",
			   "systemctl restart sallyportd: no frame is lost",
			   "version %s runs, this program is " SP_VERSION, version);
	else
		doctor_add(d, DOCTOR_OK, "daemon", NULL, "version %s answers", version);
	doctor_add(d, DOCTOR_OK, "dataplane", NULL, "%s, XDP %s",
		   json_is_true(json_object_get(features, "tcx")) ? "TCX" : "clsact",
		   json_is_true(json_object_get(features, "xdp_native")) ? "native" : "generic");
	check_capabilities(d);
	check_instances(d);
}

void doctor_daemon(struct doctor *d)
{
	_cleanup_close_
	int fd = call_connect(d->ctl);
	_cleanup_json_ json_t *request = call_new("status");
	_cleanup_json_ json_t *reply = NULL;
	const char *why = "";
	int r = fd < 0 ? fd : call_exchange(d->ctl, fd, request, &reply);

	if (r < 0) {
		doctor_add(d, DOCTOR_FAIL, "daemon",
			   "systemctl start sallyportd, then: journalctl -u "
			   "sallyportd -n 20",
			   "does not answer at %s: %s", call_socket_path(d->ctl), strerror(-r));
		return;
	}
	if (client_reply_error(reply, &why) < 0) {
		doctor_add(d, DOCTOR_FAIL, "daemon", "be root or a member of the group sallyport",
			   "refuses: %s", why);
		return;
	}
	d->status = TAKE_PTR(reply);
	check_status(d);
	check_libvirt(d);
}
