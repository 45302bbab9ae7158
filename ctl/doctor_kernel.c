/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Can this kernel run the dataplane? Asked by trying, where trying changes nothing. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "lib/cleanup.h"

/* enum bpf_attach_type of kernels newer than our headers. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
/* No device has this index. */
#define NO_IFINDEX 0x7ffffff0

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

static void check_version(struct doctor *d)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		doctor_add(d, DOCTOR_WARN, "kernel", NULL, "its version could not be read");
	else if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		doctor_add(d, DOCTOR_WARN, "kernel", "run 6.1 or later",
			   "Linux %s: older than tested", u.release);
	else
		doctor_add(d, DOCTOR_OK, "kernel", NULL, "Linux %s", u.release);
}

static void check_btf(struct doctor *d)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		doctor_add(d, DOCTOR_OK, "BTF", NULL, "/sys/kernel/btf/vmlinux is there");
	else
		doctor_add(d, DOCTOR_FAIL, "BTF", "use a kernel with CONFIG_DEBUG_INFO_BTF=y",
			   "/sys/kernel/btf/vmlinux: %s", strerror(errno));
}

static void check_jit(struct doctor *d)
{
	_cleanup_close_
	int fd = open("/proc/sys/net/core/bpf_jit_enable", O_RDONLY | O_CLOEXEC);
	char c = '?';

	if (fd < 0 && errno == ENOENT)
		doctor_add(d, DOCTOR_WARN, "BPF JIT",
			   "look from the first network namespace, or use CONFIG_BPF_JIT=y",
			   "net.core.bpf_jit_enable is not to be seen here");
	else if (fd < 0 || read(fd, &c, 1) != 1)
		doctor_add(d, DOCTOR_WARN, "BPF JIT", "run as root to see", "could not be read: %s",
			   strerror(errno));
	else if (c == '0')
		doctor_add(d, DOCTOR_WARN, "BPF JIT", "sysctl -w net.core.bpf_jit_enable=1",
			   "off: programs are interpreted, several times slower");
	else
		doctor_add(d, DOCTOR_OK, "BPF JIT", NULL, "on");
}

/* A program that does nothing: shows that the system call is ours to use. -errno. */
static int load_nothing(void)
{
	static const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};

	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "doctor", "GPL", insns,
			       SP_ARRAY_SIZE(insns), NULL);

	return fd < 0 ? -errno : fd;
}

static void check_maps(struct doctor *d)
{
	static const struct {
		enum bpf_map_type type;
		const char *name;
	} maps[] = {
		{BPF_MAP_TYPE_HASH, "hash"},
		{BPF_MAP_TYPE_ARRAY, "array"},
		{BPF_MAP_TYPE_PERCPU_ARRAY, "per-CPU array"},
		{BPF_MAP_TYPE_RINGBUF, "ring buffer"},
	};
	bool all = true;

	for (size_t i = 0; i < SP_ARRAY_SIZE(maps); i++) {
		if (libbpf_probe_bpf_map_type(maps[i].type, NULL) == 1)
			continue;
		doctor_add(d, DOCTOR_FAIL, "BPF maps", "use Linux 6.1 or later", "no %s maps",
			   maps[i].name);
		all = false;
	}
	if (all)
		doctor_add(d, DOCTOR_OK, "BPF maps", NULL, "all %zu types", SP_ARRAY_SIZE(maps));
}

/* What bpf/ calls that is not as old as BPF itself. */
static void check_programs(struct doctor *d)
{
	static const struct {
		enum bpf_prog_type type;
		const char *type_name;
		enum bpf_func_id helper;
		const char *name;
	} helpers[] = {
		{BPF_PROG_TYPE_XDP, "XDP", BPF_FUNC_xdp_load_bytes, "bpf_xdp_load_bytes"},
		{BPF_PROG_TYPE_XDP, "XDP", BPF_FUNC_ktime_get_coarse_ns, "bpf_ktime_get_coarse_ns"},
		{BPF_PROG_TYPE_XDP, "XDP", BPF_FUNC_ringbuf_reserve, "bpf_ringbuf_reserve"},
		{BPF_PROG_TYPE_SCHED_CLS, "tc", BPF_FUNC_clone_redirect, "bpf_clone_redirect"},
		{BPF_PROG_TYPE_SCHED_CLS, "tc", BPF_FUNC_skb_vlan_push, "bpf_skb_vlan_push"},
		{BPF_PROG_TYPE_SCHED_CLS, "tc", BPF_FUNC_loop, "bpf_loop"},
	};
	bool all = true;

	for (size_t i = 0; i < SP_ARRAY_SIZE(helpers); i++) {
		if (libbpf_probe_bpf_helper(helpers[i].type, helpers[i].helper, NULL) == 1)
			continue;
		doctor_add(d, DOCTOR_FAIL, "BPF programs", "use Linux 6.1 or later",
			   "no %s in %s programs", helpers[i].name, helpers[i].type_name);
		all = false;
	}
	if (all)
		doctor_add(d, DOCTOR_OK, "BPF programs", NULL, "XDP and tc, all %zu helpers",
			   SP_ARRAY_SIZE(helpers));
}

/* TCX answers ENODEV for a device that is not there; older kernels do not know the attach type. */
static void check_tcx(struct doctor *d, int prog_fd)
{
	int link = bpf_link_create(prog_fd, NO_IFINDEX, TCX_INGRESS, NULL);

	if (link >= 0) {
		close(link);
		doctor_add(d, DOCTOR_WARN, "TCX", NULL, "could not be told");
	} else if (errno == ENODEV) {
		doctor_add(d, DOCTOR_OK, "TCX", NULL, "is there");
	} else {
		doctor_add(d, DOCTOR_OK, "TCX", NULL, "not in this kernel: clsact is used");
	}
}

static int no_print(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

void doctor_kernel(struct doctor *d)
{
	_cleanup_close_
	int prog = -1;

	libbpf_set_print(no_print);
	check_version(d);
	check_btf(d);
	check_jit(d);
	prog = load_nothing();
	if (prog == -EPERM) {
		doctor_add(d, DOCTOR_WARN, "BPF", "run sallyport doctor as root",
			   "programs, maps and TCX were not tried: %s", strerror(EPERM));
		return;
	}
	if (prog < 0) {
		doctor_add(d, DOCTOR_FAIL, "BPF",
			   "use a kernel with CONFIG_BPF_SYSCALL=y and CONFIG_NET_CLS_ACT=y",
			   "no program can be loaded: %s", strerror(-prog));
		return;
	}
	check_maps(d);
	check_programs(d);
	check_tcx(d, prog);
}
