/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does any text harm what reads domains' descriptions? What it rewrites must read as ours, and give
 * the interface back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "loader/virt/domain_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static const struct domain_spec spec = {
	.origin = ORIGIN_DOMAIN,
	.domain = "x",
	.mark = {.server = "gate", .user = "u", .name = "n", .machine = 7, .origin = ORIGIN_DOMAIN},
	.tap = "sp-m7",
};

static void check_facts(const struct domain_facts *f)
{
	require(memchr(f->name, '\0', sizeof(f->name)) && f->name[0]);
	require(memchr(f->tap, '\0', sizeof(f->tap)) && f->tap[0]);
	require(f->queues >= 1 && f->queues <= DOMAIN_QUEUES_MAX);
	require(f->memory_mib >= 1 && f->vcpus >= 1);
	require(!(f->mac[0] & 1));
	require(!f->marked || (f->mark.server[0] && f->mark.origin));
}

static void rewrite(const char *text)
{
	_cleanup_free_
	char *xml = NULL, *before = NULL, *after = NULL, *error = NULL;
	_cleanup_free_
	char *back = NULL, *interface = NULL, *none = NULL;
	struct domain_mark mark;
	struct domain_facts f;
	int r = domain_rewrite(text, &spec, &f, &xml, &before, &after, &error);

	if (r < 0) {
		require((r == -EINVAL || r == -E2BIG) && error && !xml && !before && !after);
		return;
	}
	check_facts(&f);
	require(f.marked && strcmp(f.tap, "sp-m7") == 0 && f.mark.machine == 7);
	if (domain_mark_of(text, &mark, &none) != -ENODATA)
		return; /* what is given back is what that holds */
	require(domain_restore(xml, &back, &error) == 0);
	require(domain_interface(back, &interface) == 0);
	require(strcmp(interface, before) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_
	char *text = malloc(size + 1), *error = NULL, *back = NULL;
	struct domain_facts f;
	struct domain_mark mark;
	char path[SP_PATH_MAX], format[16];
	uint64_t kib;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (domain_read(text, &f, &error) == 0)
		check_facts(&f);
	else
		require(error != NULL);
	rewrite(text);
	free(TAKE_PTR(error));
	if (domain_restore(text, &back, &error) < 0)
		require(error && !back);
	/* Other descriptions that libvirt gives. */
	if (domain_mark_read(text, &mark) == 0)
		require(mark.server[0] && mark.origin);
	if (domain_disk(text, path) == 0)
		require(memchr(path, '\0', sizeof(path)) != NULL);
	if (domain_current_kib(text, &kib) == 0)
		require(kib > 0);
	if (pool_path(text, path) == 0)
		require(memchr(path, '\0', sizeof(path)) != NULL);
	if (volume_format(text, format) == 0)
		require(memchr(format, '\0', sizeof(format)) != NULL);
	return 0;
}
