/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the daemon itself cost? proc(5). */
#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/cleanup.h"

static uint64_t resident_bytes(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages;

	if (!f || fscanf(f, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Linux 6.2 and later has the number as the directory's size; before, one has to count. */
static uint64_t open_fds(void)
{
	struct stat st;
	uint64_t n = 0;
	DIR *dir;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* the directory itself */
}

static uint64_t microseconds(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

void process_look(struct process_stats *ret)
{
	struct rusage u = {0};
	struct rlimit l = {0};

	getrusage(RUSAGE_SELF, &u);
	getrlimit(RLIMIT_NOFILE, &l);
	*ret = (struct process_stats){
		.resident_bytes = resident_bytes(),
		.open_fds = open_fds(),
		.max_fds = l.rlim_cur,
		.cpu_us = microseconds(&u.ru_utime) + microseconds(&u.ru_stime),
	};
}
